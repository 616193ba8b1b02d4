/* host/uring.c - pg_uring: the seam over a ring that the caller owns and shares with sockets of its own.
 *
 * Owns a fixed table of slots, one per bound socket, and an eventfd that wakes the ring from other threads. Knows SQEs
 * and user_data; must never know PostgreSQL. The ring's completion queue is the caller's: nothing here reaps or marks
 * as seen.
 *
 * user_data, from the top:  tag 16 (the caller's choice) | kind 3 | generation 25 | slot 20.  The kinds stop short of
 * 7, so it is never ~0, liburing's own mark. Invariants:
 *  - Each operation has a generation of its own, so its user_data names it and no other: a completion or a cancel that
 *    comes late finds nothing, whatever its slot does by then.
 *  - The kernel writes to no memory of the host, so that closing needs to wait for nothing. (The eventfd is polled and
 *    read with read(2), never read by the ring.)
 *  - What found the submission queue full is remembered and caught up with: a cancel in `wishes`, the poll in
 *    wake_armed. */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>
#include "host/uring_wait.h"
#include "reactor/reactor.h"
#include "ringpg/uring.h"

enum kind { KIND_SEND = 1, KIND_RECV, KIND_WAKE, KIND_CANCEL };
enum {
    SLOT_BITS = 20,
    GENERATION_BITS = 25,
    KIND_SHIFT = SLOT_BITS + GENERATION_BITS,
    KIND_MASK = 7,
    SLOT_MASK = (1 << SLOT_BITS) - 1,
    GENERATION_MASK = (1 << GENERATION_BITS) - 1,
    TAG_BITS_MAX = 16,
    SOCKETS_DEFAULT = 4096,
    SOCKETS_MAX = 1 << SLOT_BITS,
    BYTES_MAX = 0x7ffff000, /* one transfer; the result is an int32_t */
    SPIN_MOST_NS = 1000000,
};
static const uint64_t TAG_DEFAULT = 0x5047ull << 48, TAG_MASK_DEFAULT = 0xffffull << 48;

struct operation {
    struct pg_completion *completion; /* NULL: nothing in flight                          */
    uint64_t user_data;
    TAILQ_ENTRY(operation) wish;      /* in pg_uring.wishes, if `wished`                  */
    bool wished;                      /* to be cancelled, but there was no room to say so */
    bool poll_first;                  /* was asked with IORING_RECVSEND_POLL_FIRST        */
};
struct slot {
    struct pg_socket *socket; /* NULL: free */
    struct slot *next_free;
    uint32_t generation;
    struct operation send, recv;
};
struct pg_uring {
    struct pg_host host; /* first */
    struct io_uring *ring;
    uint64_t tag, tag_mask;
    int event_fd;
    bool wake_armed;
    bool poll_first;      /* the kernel knows IORING_RECVSEND_POLL_FIRST (5.19): assumed until it says -EINVAL  */
    uint32_t epoch;       /* where generations start: a ring may outlive a host and see another one with its tag */
    uint32_t spin_ns;     /* of the config                                                                       */
    uint32_t sends;       /* since the last pg_uring_wait                                                        */
    uint32_t used, count; /* of `slots`: touched so far, all                                                     */
    struct slot *slots, *free;
    TAILQ_HEAD(, operation) wishes;
    uint64_t stale;
};

static struct pg_uring *of(struct pg_host *host)
{
    return RP_CONTAINER(host, struct pg_uring, host);
}

static uint64_t user_data(const struct pg_uring *u, enum kind kind, uint32_t generation, size_t slot)
{
    return u->tag | (uint64_t)kind << KIND_SHIFT | (uint64_t)generation << SLOT_BITS | slot;
}

/* ---- what may find the queue full and must not be lost ---- */

static bool arm_wake(struct pg_uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(u->ring);
    if (!sqe)
        return false;
    io_uring_prep_poll_multishot(sqe, u->event_fd, POLLIN);
    sqe->user_data = user_data(u, KIND_WAKE, u->epoch, 0);
    return u->wake_armed = true;
}

static bool send_cancel(struct pg_uring *u, const struct operation *op)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(u->ring);
    if (!sqe)
        return false;
    io_uring_prep_cancel64(sqe, op->user_data, 0);
    sqe->user_data = user_data(u, KIND_CANCEL, 0, 0);
    return true;
}

static void forget_wish(struct pg_uring *u, struct operation *op)
{
    if (!op->wished)
        return;
    TAILQ_REMOVE(&u->wishes, op, wish);
    op->wished = false;
}

static void catch_up(struct pg_uring *u)
{
    struct operation *op;

    if (!u->wake_armed && !arm_wake(u))
        return;
    while ((op = TAILQ_FIRST(&u->wishes)) && send_cancel(u, op))
        forget_wish(u, op);
}

/* ---- the seam ---- */

static int bind_socket(struct pg_host *host, struct pg_socket *socket)
{
    struct pg_uring *u = of(host);
    struct slot *slot = u->free;

    if (slot) {
        u->free = slot->next_free;
    } else if (u->used < u->count) {
        slot = &u->slots[u->used++];
        slot->generation = u->epoch;
    } else {
        return -EMFILE;
    }
    slot->socket = socket;
    socket->host_data = slot;
    return 0;
}

static void unbind_socket(struct pg_host *host, struct pg_socket *socket)
{
    struct pg_uring *u = of(host);
    struct slot *slot = socket->host_data;

    RP_ASSERT(slot && slot->socket == socket);
    RP_ASSERT(!slot->send.completion && !slot->recv.completion);
    slot->socket = NULL;
    slot->next_free = u->free;
    u->free = slot;
    socket->host_data = NULL;
}

/* NULL: the submission queue is full. */
static struct io_uring_sqe *begin(struct pg_uring *u, struct slot *slot, enum kind kind, struct operation *op,
                                  struct pg_completion *completion)
{
    RP_ASSERT(!op->completion);
    catch_up(u);
    struct io_uring_sqe *sqe = io_uring_get_sqe(u->ring);
    if (!sqe)
        return NULL;
    slot->generation = (slot->generation + 1) & GENERATION_MASK;
    op->user_data = user_data(u, kind, slot->generation, (size_t)(slot - u->slots));
    op->completion = completion;
    return sqe;
}

static int submit_send(struct pg_host *host, struct pg_socket *socket, const void *at, size_t bytes,
                       struct pg_completion *completion)
{
    struct pg_uring *u = of(host);
    struct slot *slot = socket->host_data;
    struct io_uring_sqe *sqe = begin(u, slot, KIND_SEND, &slot->send, completion);

    if (!sqe)
        return -EAGAIN;
    io_uring_prep_send(sqe, socket->fd, at, bytes < BYTES_MAX ? bytes : BYTES_MAX, MSG_NOSIGNAL);
    sqe->user_data = slot->send.user_data;
    u->sends++;
    return 0;
}

static int submit_recv(struct pg_host *host, struct pg_socket *socket, void *at, size_t bytes,
                       struct pg_completion *completion)
{
    struct slot *slot = socket->host_data;
    struct io_uring_sqe *sqe = begin(of(host), slot, KIND_RECV, &slot->recv, completion);

    if (!sqe)
        return -EAGAIN;
    io_uring_prep_recv(sqe, socket->fd, at, bytes < BYTES_MAX ? bytes : BYTES_MAX, 0);
    slot->recv.poll_first = of(host)->poll_first;
    if (slot->recv.poll_first)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST; /* the answer to what is sent beside it cannot be here yet */
    sqe->user_data = slot->recv.user_data;
    return 0;
}

static void wake(struct pg_host *host)
{
    /* Fails only when the counter is at its end, and then it is readable anyway. */
    uint64_t one = 1;
    (void)!write(of(host)->event_fd, &one, sizeof one);
}

static void submit_cancel(struct pg_host *host, struct pg_socket *socket, struct pg_completion *completion)
{
    struct pg_uring *u = of(host);
    struct slot *slot = socket->host_data;
    struct operation *op = slot->send.completion == completion ? &slot->send : &slot->recv;

    if (op->completion != completion || op->wished)
        return;
    catch_up(u);
    if (send_cancel(u, op))
        return;
    op->wished = true;
    TAILQ_INSERT_TAIL(&u->wishes, op, wish);
    wake(host); /* makes a completion of ours, and with it an occasion to catch up, whoever waits on the ring */
}

/* ---- completions ---- */

static void end_operation(struct pg_uring *u, uint64_t data, int32_t res)
{
    uint32_t index = data & SLOT_MASK;
    struct slot *slot = index < u->used ? &u->slots[index] : NULL;
    struct operation *op = !slot ? NULL : (data >> KIND_SHIFT & KIND_MASK) == KIND_SEND ? &slot->send : &slot->recv;

    if (!op || !op->completion || op->user_data != data) {
        u->stale++;
        return;
    }
    struct pg_completion *completion = op->completion;
    op->completion = NULL;
    forget_wish(u, op);
    if (res == -EINVAL && op->poll_first) {
        u->poll_first = false; /* an older kernel: asked again, without */
        res = -EAGAIN;
    }
    completion->complete(completion, res);
}

/* What was posted is taken by the next turn; here the counter is reset and the poll kept armed. */
static void woken(struct pg_uring *u, const struct io_uring_cqe *cqe)
{
    uint64_t count;

    if ((cqe->user_data >> SLOT_BITS & GENERATION_MASK) != u->epoch) {
        u->stale++;
        return;
    }
    (void)!read(u->event_fd, &count, sizeof count);
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    u->wake_armed = false;
    /* The one place that submits by itself: without the poll nothing may ever come that gives another occasion. */
    if (cqe->res >= 0 && !arm_wake(u) && io_uring_submit(u->ring) >= 0)
        arm_wake(u);
}

bool pg_uring_complete(struct pg_uring *u, const struct io_uring_cqe *cqe)
{
    uint64_t data = cqe->user_data;

    if ((data & u->tag_mask) != u->tag)
        return false;
    if (u->host.reactor)
        rp_check_owner(u->host.reactor);
    if (!TAILQ_EMPTY(&u->wishes))
        catch_up(u);
    switch (data >> KIND_SHIFT & KIND_MASK) {
    case KIND_SEND:
    case KIND_RECV:
        end_operation(u, data, cqe->res);
        break;
    case KIND_WAKE:
        woken(u, cqe);
        break;
    case KIND_CANCEL: /* done, -ENOENT, -EALREADY: the target's own completion tells */
        break;
    default:
        u->stale++;
    }
    return true;
}

int pg_uring_wait(struct pg_uring *u, int64_t wait_ns)
{
    struct rp_ring_wait wait = { .wait_ns = wait_ns, .completions = 1 };
    const struct pg_reactor *reactor = u->host.reactor;

    if (reactor)
        rp_check_owner(reactor);
    catch_up(u);
    if (wait_ns < PG_WAIT_FOREVER || (reactor && rp_turn_wanted(reactor)))
        wait.wait_ns = 0;
    if (wait.wait_ns != 0 && reactor) {
        struct pg_wait_hint hint = pg_reactor_wait_hint(reactor);
        uint32_t queued = io_uring_sq_ready(u->ring);
        if (hint.min_wait_ns > 0) {
            /* A send mostly completes at once and would end the wait by itself. The caller may have submitted some. */
            wait.completions = (hint.completions ? hint.completions : 1) + (u->sends < queued ? u->sends : queued);
            wait.min_wait_ns = hint.min_wait_ns;
        } else if (rp_anything_due(reactor)) {
            wait.spin_ns = u->spin_ns;
        }
    }
    u->sends = 0;
    return rp_ring_wait(u->ring, &wait);
}

/* ---- opening and closing ---- */

static int check_config(const struct pg_uring_config *c, struct pg_error *error)
{
    uint64_t mask = c->tag_mask;
    const char *culprit = NULL;

    if (c->size != sizeof *c)
        culprit = "size: of another version";
    else if (!c->ring)
        culprit = "ring: NULL";
    else if (!(c->ring->features & IORING_FEAT_RSRC_TAGS)) /* came with the multishot poll, after the enter timeout */
        culprit = "ring: Linux 5.13 or later is needed";
    else if (mask ? mask << TAG_BITS_MAX || (mask | (mask - 1)) != UINT64_MAX : c->tag != 0)
        culprit = "tag_mask: at most 16 bits, the topmost";
    else if (c->tag & ~mask || (mask && c->tag == mask))
        culprit = "tag: within tag_mask, and not all ones";
    else if (c->sockets > SOCKETS_MAX)
        culprit = "sockets: at most 1048576";
    else if (c->spin_ns > SPIN_MOST_NS)
        culprit = "spin_ns: at most 1000000";
    return culprit ? rp_error_set(error, PG_E_CONFIG, "pg_uring_config.%s", culprit) : 0;
}

static const struct pg_host_ops uring_ops = {
    .size = sizeof(struct pg_host_ops),
    .bind = bind_socket,
    .unbind = unbind_socket,
    .submit_send = submit_send,
    .submit_recv = submit_recv,
    .submit_cancel = submit_cancel,
    .wake = wake,
};

int pg_uring_open(struct pg_uring **out, const struct pg_uring_config *config, struct pg_error *error)
{
    struct timespec now;
    int rc = check_config(config, error);

    *out = NULL;
    if (rc)
        return rc;
    struct pg_uring *u = calloc(1, sizeof *u);
    uint32_t count = config->sockets ? config->sockets : SOCKETS_DEFAULT;
    struct slot *slots = calloc(count, sizeof *slots);
    int event_fd = u && slots ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
    if (event_fd < 0) {
        rc = u && slots ? -errno : -ENOMEM;
        free(slots);
        free(u);
        return rp_error_set(error, rc, "pg_uring: %s", pg_error_text(rc));
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    *u = (struct pg_uring){
        .host = { .ops = &uring_ops }, .ring = config->ring, .event_fd = event_fd, .slots = slots, .count = count,
        .poll_first = true, .spin_ns = config->spin_ns, .tag = config->tag_mask ? config->tag : TAG_DEFAULT,
        .tag_mask = config->tag_mask ? config->tag_mask : TAG_MASK_DEFAULT,
        .epoch = ((uint32_t)now.tv_sec * 1000003u + (uint32_t)now.tv_nsec) & GENERATION_MASK,
    };
    TAILQ_INIT(&u->wishes);
    catch_up(u);
    *out = u;
    return 0;
}

struct pg_host *pg_uring_host(struct pg_uring *u)
{
    return &u->host;
}

uint64_t pg_uring_stale(const struct pg_uring *u)
{
    return u->stale;
}

void pg_uring_close(struct pg_uring *u)
{
    if (!u)
        return;
    RP_ASSERT(!u->host.reactor);
    close(u->event_fd); /* its poll stays in the ring, where nothing can make it fire any more */
    free(u->slots);
    free(u);
}
