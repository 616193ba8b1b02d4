/* fiber/loop.c - a reactor's loop for programs that have none: a ring where the kernel allows one, epoll where not.
 *
 * It stands on the hosts' public interface, like any program's own loop. Invariant: once a wait has failed, nothing
 * runs any more but pg_loop_close, which then frees without waiting. */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include "fiber/fiber.h"
#include "fiber/loop.h"
#include "ringpg/epoll.h"
#include "ringpg/uring.h"

enum { ENTRIES = 256, COMPLETIONS = 4 * ENTRIES, BATCH = 64 };

struct pg_loop {
    struct pg_uring *uring; /* this ... */
    struct pg_epoll *epoll; /* ... or this */
    struct pg_reactor *reactor;
    struct io_uring ring;
    bool failed; /* a wait did */
    void (*run)(void *);
    void *arg;
    bool running; /* pg_loop_run's fiber has not returned */
    bool closing; /* pg_loop_close was called */
};

/* ---- opening ---- */

/* From the fastest setup to what every kernel with io_uring has. */
static int open_ring(struct io_uring *ring)
{
    static const unsigned setups[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
        0,
    };
    int rc = -EINVAL;
    for (size_t i = 0; i < RP_COUNT(setups) && rc == -EINVAL; i++) {
        struct io_uring_params params = { .flags = setups[i] | IORING_SETUP_CQSIZE, .cq_entries = COMPLETIONS };
        rc = io_uring_queue_init_params(ENTRIES, ring, &params);
    }
    return rc;
}

static int open_uring(struct pg_loop *loop, struct pg_error *error)
{
    int rc = open_ring(&loop->ring);
    if (rc) return rp_error_set(error, rc, "io_uring cannot be had: %s", pg_error_text(rc));
    struct pg_uring_config config = { .size = sizeof config, .ring = &loop->ring };
    rc = pg_uring_open(&loop->uring, &config, error);
    if (rc) io_uring_queue_exit(&loop->ring);
    return rc;
}

static void close_host(struct pg_loop *loop)
{
    if (loop->uring) {
        pg_uring_close(loop->uring);
        io_uring_queue_exit(&loop->ring);
    }
    pg_epoll_close(loop->epoll);
    free(loop);
}

int rp_loop_open(struct pg_loop **out, bool epoll_only, struct pg_error *error)
{
    *out = NULL;
    struct pg_loop *loop = calloc(1, sizeof *loop);
    if (!loop) return rp_error_set(error, -ENOMEM, "no memory for a loop");
    int rc = epoll_only ? -ENOSYS : open_uring(loop, error);
    if (rc) rc = pg_epoll_open(&loop->epoll, error); /* forbidden, unknown, or too little locked memory */
    if (rc == 0) {
        struct pg_host *host = loop->uring ? pg_uring_host(loop->uring) : pg_epoll_host(loop->epoll);
        struct pg_reactor_config config = PG_REACTOR_CONFIG(host);
        rc = pg_reactor_open(&loop->reactor, &config, error);
    }
    if (rc) {
        close_host(loop);
        return rc;
    }
    *out = loop;
    return 0;
}

int pg_loop_open(struct pg_loop **out, struct pg_error *error)
{
    return rp_loop_open(out, false, error);
}

struct pg_reactor *pg_loop_reactor(struct pg_loop *loop)
{
    return loop->reactor;
}

bool rp_loop_on_ring(const struct pg_loop *loop)
{
    return loop->uring != NULL;
}

/* ---- going round ---- */

static int wait_for_ring(struct pg_loop *loop, int64_t wait_ns)
{
    struct io_uring_cqe *cqes[BATCH];
    unsigned n;
    int rc = pg_uring_wait(loop->uring, wait_ns);
    if (rc) return rc;
    while ((n = io_uring_peek_batch_cqe(&loop->ring, cqes, BATCH))) {
        for (unsigned i = 0; i < n; i++) {
            bool ours = pg_uring_complete(loop->uring, cqes[i]);
            RP_ASSERT(ours); /* the ring is nobody else's */
        }
        io_uring_cq_advance(&loop->ring, n);
        if (n < BATCH) break;
    }
    return 0;
}

enum { CLOSED = 1 };

/* One turn and, unless the caller has what it wants, one wait. 0; CLOSED: the turn said so; -errno of the wait. */
static int step(struct pg_loop *loop)
{
    int64_t wait_ns = pg_reactor_turn(loop->reactor);
    if (wait_ns == PG_WAIT_CLOSED) return CLOSED;
    if (!loop->running && !loop->closing) return 0;
    int rc = loop->uring ? wait_for_ring(loop, wait_ns) : pg_epoll_dispatch(loop->epoll, wait_ns);
    loop->failed = rc != 0;
    return rc;
}

static void run_program(void *arg)
{
    struct pg_loop *loop = arg;
    loop->run(loop->arg);
    loop->running = false;
}

/* A reactor that the program itself has closed: what its fiber waits for will not come any more, and it is
 * cancelled. */
int pg_loop_run(struct pg_loop *loop, void (*run)(void *), void *arg)
{
    struct pg_fiber program;
    RP_ASSERT(!loop->running && !loop->failed);
    int rc = pg_fiber_spawn(loop->reactor, run_program, loop, &program);
    if (rc) return rc;
    loop->run = run;
    loop->arg = arg;
    loop->running = true;
    while (loop->running) {
        rc = step(loop);
        if (rc == CLOSED) pg_fiber_cancel(program);
        else if (rc) return rc;
    }
    return 0;
}

/* Fibers that are still there are cancelled, and run to their ends while their pools still exist. */
void pg_loop_close(struct pg_loop *loop)
{
    if (!loop) return;
    RP_ASSERT(!loop->running || loop->failed); /* pg_loop_run is still at work */
    loop->closing = true;
    if (!loop->failed) {
        rp_fibers_cancel_all(loop->reactor);
        pg_reactor_close(loop->reactor, 0);
        while (step(loop) == 0) continue;
    }
    pg_reactor_free(loop->reactor);
    close_host(loop);
}
