/* host/uring_wait.h - one wait on a ring: submit what is queued and wait for completions in one system call. Knows a
 * struct io_uring and nothing else, the library's operations least of all. */
#ifndef RP_HOST_URING_WAIT_H
#define RP_HOST_URING_WAIT_H
#include <stdint.h>

struct io_uring;

struct rp_ring_wait {
    int64_t wait_ns;      /* at the most; 0: do not block; negative: for ever                                     */
    uint32_t completions; /* worth waiting for, at least 1; more than one only together with min_wait_ns          */
    uint32_t min_wait_ns; /* so long at the most for `completions`, after that the first one that comes ends it  */
    uint32_t spin_ns;     /* before it sleeps it asks so long whether there is one; 0: it sleeps at once         */
};

/* 0, also when the time ran out, a signal came or the completion queue has to be walked first; -errno of
 * io_uring_enter(2). */
int rp_ring_wait(struct io_uring *ring, const struct rp_ring_wait *wait);

#endif
