/* ringpg/uring.h - a host over a ring that the caller owns and shares. Includes no liburing header. */
#ifndef RINGPG_URING_H
#define RINGPG_URING_H
#include <stdbool.h>
#include "host.h"
#include "error.h"
#ifdef __cplusplus
extern "C" {
#endif
struct io_uring;
struct io_uring_cqe;
struct pg_uring;

struct pg_uring_config {
    size_t size;            /* sizeof this struct                                             */
    struct io_uring *ring;  /* the caller's, until pg_uring_close; one reactor per ring       */
    uint64_t tag, tag_mask; /* which user_data are the library's: (user_data & tag_mask) == tag; the mask
                             * covers top bits, at most 16 of them; 0: 0x5047 in the top 16   */
    uint32_t sockets;       /* connections and cancel requests at once; 0: 4096               */
    uint32_t spin_ns;       /* pg_uring_wait, while a few answers are due: asks the kernel again and again for so
                             * long before it sleeps, which saves the wake-up where a core is to spare and burns it
                             * for up to as long where none is. At most 1 ms; 0: sleeps at once */
};

/* No I/O but one poll of an eventfd for `wake`, submitted with the ring's next submit; it stays in the ring until
 * io_uring_queue_exit. Linux 5.13 or later. -ENOMEM, -errno; PG_E_CONFIG names the member. */
int pg_uring_open(struct pg_uring **out, const struct pg_uring_config *config, struct pg_error *error) PG_WARN_UNUSED;
struct pg_host *pg_uring_host(struct pg_uring *uring);

/* Hands one completion to the library; the caller marks it seen. False: not ours, untouched. Stale ones (an operation
 * whose socket is gone) are counted, dropped and true. Runs callbacks. */
bool pg_uring_complete(struct pg_uring *uring, const struct io_uring_cqe *cqe) PG_WARN_UNUSED;

/* Optional: submits everything in the ring and waits, with pg_reactor_wait_hint where the kernel has a minimum wait
 * (6.12), for ALL of the ring. `wait_ns` as pg_reactor_turn returned it. 0, also when the time ran out or a signal
 * came; -errno of io_uring_enter(2). The caller then walks the completion queue. */
int pg_uring_wait(struct pg_uring *uring, int64_t wait_ns) PG_WARN_UNUSED;

uint64_t pg_uring_stale(const struct pg_uring *uring); /* completions dropped as stale so far */

/* After pg_reactor_free, before io_uring_queue_exit; NULL is fine. Completions of the library that are still in the
 * ring must no longer be handed to it. */
void pg_uring_close(struct pg_uring *uring);
#ifdef __cplusplus
}
#endif
#endif
