/* The floor: what the kernel's socket path costs a client that does everything a driver must except understand the
 * bytes. One ring; on each connection a receive is always armed, every reply is answered by the next request (refilled
 * per reply, no batches in step), one SEND per connection and turn after the completion queue is drained, and the wait
 * is the one of pg_uring_wait. Every request is the
 * same; replies are counted by their known length and not parsed.
 *
 * Invariant: due == replies that the server still owes, unsent requests included; at the end no byte is left over. */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "bench.h"

enum { INPUT_BYTES = 8192, RING_ENTRIES = 512, CONNECTIONS_MAX = 512 };
enum { WAIT_FROM = 16, WAIT_REPLIES_MAX = 20, MIN_WAIT_US = 50 };
#define FEAT_MIN_TIMEOUT                                                                                               \
    (1u << 15) /* Linux 6.12: getevents_arg.pad is the minimum wait in µs; liburing 2.3 does not name it */

struct connection {
    struct floor_session session;
    unsigned char *requests; /* depth + 1 copies, so that a short send can go on in the middle of one */
    size_t unsent, offset;   /* bytes to send, and where in the pattern they begin */
    size_t due, received;    /* replies owed by the server; bytes of a reply that is not complete yet */
    bool sending, receiving;
    unsigned char input[INPUT_BYTES];
};

struct floor {
    struct io_uring ring;
    struct connection *connections;
    unsigned count;
    size_t due, sending; /* sums over the connections */
    bool filling;        /* replies are answered by new requests */
    struct bench_meter *meter;
};

static void open_connection(struct connection *c, const struct bench_shape *shape)
{
    c->session = floor_connect(shape->target);
    size_t size = c->session.request_bytes;
    c->requests = malloc(size * (shape->in_flight + 1));
    if (!c->requests) bench_die("floor: no memory");
    floor_request(c->requests);
    for (unsigned i = 1; i <= shape->in_flight; i++) memcpy(c->requests + i * size, c->requests, size);
    c->due = shape->in_flight;
    c->unsent = size * shape->in_flight;
}

static void received(struct floor *floor, struct connection *c, int res)
{
    c->receiving = false;
    if (res <= 0) bench_die("floor: receive: %s", res ? strerror(-res) : "end of file");
    c->received += (size_t)res;
    size_t replies = c->received / c->session.reply_bytes;
    c->received %= c->session.reply_bytes;
    if (replies > c->due) bench_die("floor: more bytes than requests");
    floor->meter->answered += replies;
    if (floor->filling) {
        c->unsent += replies * c->session.request_bytes;
    } else {
        c->due -= replies;
        floor->due -= replies;
    }
}

static void sent(struct floor *floor, struct connection *c, int res)
{
    c->sending = false;
    floor->sending--;
    if (res <= 0) bench_die("floor: send: %s", strerror(-res));
    c->unsent -= (size_t)res;
    c->offset = (c->offset + (size_t)res) % c->session.request_bytes;
}

static struct io_uring_sqe *next_sqe(struct floor *floor)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&floor->ring);
    if (!sqe) bench_die("floor: the submission queue is full");
    return sqe;
}

/* Arms what is not armed; returns the number of sends among it. */
static unsigned flush(struct floor *floor)
{
    unsigned sends = 0;
    for (unsigned i = 0; i < floor->count; i++) {
        struct connection *c = &floor->connections[i];
        if (c->unsent && !c->sending) {
            struct io_uring_sqe *sqe = next_sqe(floor);
            io_uring_prep_send(sqe, c->session.fd, c->requests + c->offset, c->unsent, MSG_NOSIGNAL);
            sqe->user_data = i * 2 + 1;
            c->sending = true;
            floor->sending++;
            sends++;
        }
        if (!c->receiving) {
            struct io_uring_sqe *sqe = next_sqe(floor);
            io_uring_prep_recv(sqe, c->session.fd, c->input, sizeof c->input, 0);
            sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
            sqe->user_data = i * 2;
            c->receiving = true;
        }
    }
    return sends;
}

/* How many completions are worth waiting for: the sends, which mostly complete at once, and half of the connections
 * that have an answer to come. Never more than there are operations armed. */
static unsigned wish(const struct floor *floor, unsigned sends)
{
    unsigned waiting = 0;
    for (unsigned i = 0; i < floor->count; i++) waiting += floor->connections[i].due > 0;
    if (waiting < WAIT_FROM) return 1;
    return sends + (waiting / 2 < WAIT_REPLIES_MAX ? waiting / 2 : WAIT_REPLIES_MAX);
}

/* io_uring_enter with a minimum wait: liburing 2.3 has no helper for it, so the queue's tail is published here. */
static unsigned publish(struct io_uring *ring)
{
    struct io_uring_sq *sq = &ring->sq;
    for (unsigned i = sq->sqe_head; i != sq->sqe_tail; i++) sq->array[i & sq->ring_mask] = i & sq->ring_mask;
    sq->sqe_head = sq->sqe_tail;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    return sq->sqe_tail - *sq->khead;
}

static void submit_and_wait(struct floor *floor, unsigned sends)
{
    struct __kernel_timespec limit = {.tv_sec = 1};
    bool min_wait = floor->ring.features & FEAT_MIN_TIMEOUT;
    unsigned completions = min_wait ? wish(floor, sends) : 1;
    struct io_uring_getevents_arg arg = {.pad = completions > 1 ? MIN_WAIT_US : 0, .ts = (uint64_t)(uintptr_t)&limit};
    long rc = syscall(__NR_io_uring_enter, floor->ring.ring_fd, publish(&floor->ring), completions,
                      IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
    if (rc < 0 && errno != ETIME && errno != EINTR) bench_die("floor: io_uring_enter: %s", strerror(errno));
}

static void drain_completions(struct floor *floor)
{
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(&floor->ring, head, cqe)
    {
        struct connection *c = &floor->connections[cqe->user_data / 2];
        if (cqe->user_data & 1)
            sent(floor, c, cqe->res);
        else
            received(floor, c, cqe->res);
        seen++;
    }
    io_uring_cq_advance(&floor->ring, seen);
}

void floor_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    struct floor floor = {.count = shape->connections, .filling = true, .meter = meter};
    if (!floor.count || floor.count > CONNECTIONS_MAX) bench_die("floor: 1 to %d connections", CONNECTIONS_MAX);
    /* In one turn each connection may want both, a send and a receive. */
    unsigned entries = 2 * floor.count > RING_ENTRIES ? 2 * floor.count : RING_ENTRIES;
    struct io_uring_params params = {
        .flags =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = entries * 4,
    };
    int rc = io_uring_queue_init_params(entries, &floor.ring, &params);
    if (rc < 0) bench_die("floor: io_uring_setup: %s", strerror(-rc));
    floor.connections = calloc(floor.count, sizeof *floor.connections);
    if (!floor.connections) bench_die("floor: no memory");
    for (unsigned i = 0; i < floor.count; i++) open_connection(&floor.connections[i], shape);
    floor.due = (size_t)floor.count * shape->in_flight;

    bench_meter_start(meter);
    while (floor.due || floor.sending) {
        submit_and_wait(&floor, flush(&floor));
        drain_completions(&floor);
        floor.filling = bench_tick(meter); /* a stall ends the process, so the loop is bounded */
    }

    io_uring_queue_exit(&floor.ring);
    for (unsigned i = 0; i < floor.count; i++) {
        struct connection *c = &floor.connections[i];
        if (c->received || c->unsent) bench_die("floor: bytes left over");
        close(c->session.fd);
        free(c->requests);
    }
    free(floor.connections);
}
