/* ringpg/reactor.h - what the library keeps per thread: clock, deadlines, ready handlers, memory.
 *
 * One reactor belongs to one thread and to one host. Callbacks run from pg_reactor_turn and from the host's delivery
 * of completions, and from nowhere else; each may start, abandon, release and close anything, itself included.
 *
 * A child of fork(2) shares ring, epoll set and sockets with its parent and would ruin both. There whatever turns,
 * waits, takes a completion, starts, posts, releases or closes asserts (Linux 4.14 or later), so that nothing reaches
 * the ring. The child execs, ends by _exit(2), or opens a ring, a host and a reactor of its own. */
#ifndef RINGPG_REACTOR_H
#define RINGPG_REACTOR_H
#include "error.h"
#ifdef __cplusplus
extern "C" {
#endif

struct pg_host;
struct pg_reactor;

#define PG_ABI 1u
#define PG_NEVER UINT64_MAX                          /* a deadline that does not come */
enum { PG_WAIT_FOREVER = -1, PG_WAIT_CLOSED = -2 };  /* beside ns >= 0 */

/* Every capacity of the reactor; 0 takes the default. */
struct pg_reactor_config {
    size_t size;                                     /* sizeof this struct                                          */
    uint32_t abi;                                    /* PG_ABI: one check for every caller-owned struct             */
    struct pg_host *host;                            /* borrowed until pg_reactor_free                              */
    uint32_t resumes_per_turn;                       /* callbacks per turn before the program's own sockets get their
                                                      * share again; default 1024                                   */
    uint32_t fibers; /* alive at once; default 1024, at most a quarter of vm.max_map_count */
    size_t fiber_stack_bytes;                        /* default 64 KiB (256 KiB under AddressSanitizer)             */
    uint32_t statements; /* declared statements; default 256; one byte per connection each */
    size_t slab_bytes;                               /* bound for borrowed large buffers; default 64 MiB            */
    void *(*allocate)(void *arg, size_t bytes);      /* NULL: malloc. 16-byte aligned                               */
    void (*deallocate)(void *arg, void *at, size_t bytes);
    void *arg;
};
#define PG_REACTOR_CONFIG(host_)                                                                                       \
    { .size = sizeof(struct pg_reactor_config), .abi = PG_ABI, .host = (host_), .resumes_per_turn = 0, .fibers = 0,    \
      .fiber_stack_bytes = 0, .statements = 0, .slab_bytes = 0, .allocate = NULL, .deallocate = NULL, .arg = NULL }

/* Opens a reactor on the calling thread, which is its thread from then on. -ENOMEM; PG_E_CONFIG with the culprit's name
 * in `error` (may be NULL): size or abi of another version, a host without a required operation, a bound out of range.
 */
int pg_reactor_open(struct pg_reactor **out, const struct pg_reactor_config *config,
                    struct pg_error *error) PG_WARN_UNUSED;

/* Once per loop, after the completions and before the program's own flush and wait: posted tasks, finished operations,
 * deadlines, ready handlers, and LAST one SEND per connection with everything that was queued. Returns the longest wait
 * in ns; 0: do not block; PG_WAIT_FOREVER: no deadline; PG_WAIT_CLOSED: the reactor was closed and is empty.
 * Asserts: called from a callback, from another thread's reactor, in a forked child. */
int64_t pg_reactor_turn(struct pg_reactor *reactor) PG_WARN_UNUSED;

/* The clock of all deadlines: ns, the host's (default CLOCK_MONOTONIC). Read afresh at the first use after each wait
 * and then constant until the turn has ended. */
uint64_t pg_reactor_now(struct pg_reactor *reactor);

/* For programs that wait themselves (pg_uring_wait does it by itself): how many completions are worth waiting for and
 * for how long at the most, in ns, before one is enough. More than one is only ever waited for with that time limit. */
struct pg_wait_hint { uint32_t completions; uint32_t min_wait_ns; };
struct pg_wait_hint pg_reactor_wait_hint(const struct pg_reactor *reactor);

/* Begins the end: every pool refuses new work, serves what is queued or out until `drain_until_ns` and then ends it
 * (0: at once). Go on looping until the turn returns PG_WAIT_CLOSED, then free. Calling it again shortens the deadline.
 * Any callback may call it. */
void pg_reactor_close(struct pg_reactor *reactor, uint64_t drain_until_ns);

/* After PG_WAIT_CLOSED. Earlier, as a last resort when the loop itself failed: descriptors are closed, and memory that
 * the host may still write to is left allocated. Leases are returned before; afterwards they lead nowhere. NULL is
 * fine. */
void pg_reactor_free(struct pg_reactor *reactor);

/* Runs `run` on the reactor's thread in its next turn. Any thread, the reactor's own included (then it is a deferral).
 * Intrusive, therefore infallible; the memory is the caller's again when `run` is called. From another thread it needs
 * a host with `wake`. Tasks of one thread run in the order of their posts. */
struct pg_task {
    void (*run)(struct pg_task *);
    struct pg_task *next_private;
};
void pg_reactor_post(struct pg_reactor *reactor, struct pg_task *task);

#ifdef __cplusplus
}
#endif
#endif
