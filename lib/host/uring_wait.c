/* host/uring_wait.c - the wait of pg_uring: one io_uring_enter(2) that submits, waits and knows a minimum wait.
 *
 * liburing 2.3 has no call that takes a minimum wait, and with DEFER_TASKRUN none that submits without blocking and
 * reaps in the same call; so the system call is made here, over the public fields of struct io_uring. Knows nothing of
 * sockets or of the library. Invariants: completions that are already there are never slept on; more than one
 * completion is never waited for without a time limit; nothing spins for longer than it was told to. */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "host/uring_wait.h"

/* struct io_uring_getevents_arg as of Linux 6.12; before that min_wait_usec is padding that must be 0. */
struct getevents_arg {
    uint64_t sigmask;
    uint32_t sigmask_bytes;
    uint32_t min_wait_us;
    uint64_t timeout; /* struct __kernel_timespec * */
};
_Static_assert(sizeof(struct getevents_arg) == sizeof(struct io_uring_getevents_arg), "the kernel's layout");

enum {
    FEATURE_MIN_TIMEOUT = 1 << 15,  /* IORING_FEAT_MIN_TIMEOUT, which older headers do not name          */
    SIGMASK_BYTES = 8,              /* the kernel's sigset, which is not glibc's sigset_t                */
    SETUP_FLAGS_KNOWN = (1 << 17) - 1, /* rings with later setup flags publish their queue in other ways */
};
static const int64_t SECOND_NS = 1000000000;
static const int64_t DAY_NS = 86400 * SECOND_NS;

/* Shows the kernel the SQEs that were prepared so far, as liburing does in front of its own system call, so that
 * publishing and waiting need one call together. Only for queues that nobody else consumes: with SQPOLL, and with
 * setup flags that this code does not know, liburing itself submits first. The number of SQEs that are left for
 * io_uring_enter. */
static int publish(struct io_uring *ring, unsigned *to_submit)
{
    struct io_uring_sq *sq = &ring->sq;

    if (ring->flags & (IORING_SETUP_SQPOLL | ~(unsigned)SETUP_FLAGS_KNOWN)) {
        int rc = io_uring_submit(ring);
        *to_submit = 0;
        return rc < 0 ? rc : 0;
    }
    if (sq->sqe_head != sq->sqe_tail) {
        sq->sqe_head = sq->sqe_tail;
        __atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
    }
    *to_submit = sq->sqe_tail - __atomic_load_n(sq->khead, __ATOMIC_RELAXED);
    return 0;
}

/* -errno; 0 also for a time limit or a signal that came after something was submitted: the kernel reports only one. */
static int enter(struct io_uring *ring, unsigned to_submit, unsigned completions, uint32_t min_wait_ns,
                 int64_t timeout_ns)
{
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    struct __kernel_timespec timeout = { .tv_sec = timeout_ns / SECOND_NS, .tv_nsec = timeout_ns % SECOND_NS };
    struct getevents_arg arg = { .sigmask_bytes = SIGMASK_BYTES, .min_wait_us = min_wait_ns / 1000 };

    if (timeout_ns >= 0)
        arg.timeout = (uint64_t)(uintptr_t)&timeout;
    /* A registered ring descriptor is an index. Where it equals the real number, either reading names the same ring. */
    if (ring->enter_ring_fd != ring->ring_fd)
        flags |= IORING_ENTER_REGISTERED_RING;
    long rc = syscall(__NR_io_uring_enter, ring->enter_ring_fd, to_submit, completions, flags, &arg, sizeof arg);
    return rc < 0 ? -errno : 0;
}

/* The minimum wait without the kernel's help: first for several with a time limit, then for one. Also with SQPOLL,
 * where another thread posts the completions and the wait must not depend on how it is told of the first late one. */
static int wait_twice(struct io_uring *ring, unsigned to_submit, const struct rp_ring_wait *wait)
{
    int64_t first_ns = wait->min_wait_ns;

    if (wait->wait_ns >= 0 && wait->wait_ns <= first_ns)
        return enter(ring, to_submit, wait->completions, 0, wait->wait_ns);
    int rc = enter(ring, to_submit, wait->completions, 0, first_ns);
    /* After a submission a signal looks like the end of the time: back to the caller, who comes again with none. */
    if (rc != -ETIME || io_uring_cq_ready(ring))
        return rc;
    return enter(ring, 0, 1, 0, wait->wait_ns < 0 ? -1 : wait->wait_ns - first_ns);
}

static int wait_once(struct io_uring *ring, unsigned to_submit, const struct rp_ring_wait *wait)
{
    if (wait->completions <= 1 || wait->min_wait_ns < 1000)
        return enter(ring, to_submit, 1, 0, wait->wait_ns);
    if (!(ring->features & FEATURE_MIN_TIMEOUT) || ring->flags & IORING_SETUP_SQPOLL)
        return wait_twice(ring, to_submit, wait);
    /* Without a timeout beside it the minimum wait itself would end the call, and an idle ring would spin. */
    int64_t timeout_ns = wait->wait_ns < 0 ? DAY_NS : wait->wait_ns;
    return enter(ring, to_submit, wait->completions, wait->min_wait_ns, timeout_ns);
}

static int64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* Asks again and again instead of sleeping: the kernel each time, since with DEFER_TASKRUN completions are only posted
 * there. Whatever is still to be waited for stays in `wait`. */
static int spin(struct io_uring *ring, unsigned to_submit, struct rp_ring_wait *wait)
{
    int64_t began_ns = clock_ns(), spun_ns = 0, most_ns = wait->spin_ns;

    if (wait->wait_ns >= 0 && wait->wait_ns < most_ns)
        most_ns = wait->wait_ns;
    while (spun_ns < most_ns) {
        int rc = enter(ring, to_submit, 0, 0, -1);
        if (rc || io_uring_cq_ready(ring))
            return rc;
        to_submit = 0;
        spun_ns = clock_ns() - began_ns;
    }
    if (wait->wait_ns >= 0)
        wait->wait_ns = spun_ns < wait->wait_ns ? wait->wait_ns - spun_ns : 0;
    return wait->wait_ns ? wait_once(ring, 0, wait) : 0;
}

static int submit_and_wait(struct io_uring *ring, struct rp_ring_wait wait)
{
    unsigned to_submit;
    int rc = publish(ring, &to_submit);

    if (rc)
        return rc;
    bool ready = io_uring_cq_ready(ring) > 0;
    if (ready && to_submit == 0)
        return 0; /* what has overflowed comes with the next wait, when these have made room */
    if (ready || wait.wait_ns == 0)
        return enter(ring, to_submit, 0, 0, -1);
    return wait.spin_ns ? spin(ring, to_submit, &wait) : wait_once(ring, to_submit, &wait);
}

int rp_ring_wait(struct io_uring *ring, const struct rp_ring_wait *wait)
{
    int rc = submit_and_wait(ring, *wait);

    switch (rc) {
    case -ETIME:
    case -EINTR:
    case -EAGAIN: /* no memory for requests right now: what is queued stays queued */
    case -EBUSY:  /* the completion queue has overflowed: the caller walks it      */
        return 0;
    default:
        return rc;
    }
}
