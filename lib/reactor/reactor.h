/* reactor/reactor.h - the reactor as the library's own parts see it: host, clock, deadlines, ready and flush queue,
 * memory.
 *
 * Everything here runs on the reactor's thread except rp_inbox_push. A turn is
 *
 *      inbox -> finished operations -> deadlines -> ready queue (budget) -> flush (one SEND per connection)
 *
 * and the callbacks of all of them may start, cancel and close anything; so each stage takes its entries one at a time
 * from the head and never holds an iterator across a callback. */
#ifndef RP_REACTOR_H
#define RP_REACTOR_H
#include <stdbool.h>
#include <sys/queue.h>
#include "ringpg/host.h"
#include "ringpg/reactor.h"
#include "wire/check.h"
#include "wire/error.h"

/* A place in the ready or the flush queue; embedded in its owner, zero-initialised. In at most one of them at a time:
 * while it is queued in either, queueing it again does nothing. */
struct rp_node {
    TAILQ_ENTRY(rp_node) link;
    void (*run)(struct rp_node *);
    bool queued;
};
TAILQ_HEAD(rp_nodes, rp_node);

/* A deadline; embedded in its owner, zero-initialised. Starting, moving and stopping one costs O(1). */
struct rp_timer {
    LIST_ENTRY(rp_timer) link;
    uint64_t expires_ns;
    void (*fire)(struct rp_timer *); /* the timer is stopped before it is called */
};
static inline bool rp_timer_armed(const struct rp_timer *t) { return t->link.le_prev != NULL; }

/* Whatever must be gone before a closed reactor is empty: each pool is one. */
struct rp_member {
    TAILQ_ENTRY(rp_member) link;
    void (*close)(struct rp_member *, uint64_t drain_until_ns);
    void (*abort)(
        struct rp_member *); /* pg_reactor_free before the end: close descriptors, free nothing that the host holds */
};

struct rp_fibers; /* fiber/fiber.c */

/* ---- queues. Outside of a turn the first entry asks the host for one (want_turn). ---- */
void rp_queue_ready(struct pg_reactor *r, struct rp_node *node);
void rp_queue_flush(struct pg_reactor *r, struct rp_node *node);
/* Runs once in the next free place of a turn; no-op while queued there. */
static inline void rp_ready(struct pg_reactor *r, struct rp_node *node)
{
    if (!node->queued) rp_queue_ready(r, node); /* on the hot path it mostly is */
}
/* Runs at the end of the turn, after all that is ready; a node that queues itself again while it runs is run in the next
 * turn. */
static inline void rp_flush(struct pg_reactor *r, struct rp_node *node)
{
    if (!node->queued) rp_queue_flush(r, node);
}
void rp_unqueue(struct pg_reactor *r, struct rp_node *node); /* from whichever queue it is in; no-op in none */

/* One callback's worth of the turn's budget. False: it is used up, put the rest into the ready queue. The budget is
 * filled at the end of each turn and shared by the completions before the next one and that turn's ready queue. */
bool rp_budget_take(struct pg_reactor *r);

/* ---- deadlines, 1 ms fine: never early, at most 1 ms and one turn late. PG_NEVER stops the timer. ---- */
void rp_timer_start(struct pg_reactor *r, struct rp_timer *t, uint64_t at_ns);
void rp_timer_disarm(struct pg_reactor *r, struct rp_timer *t); /* it is armed */
static inline void rp_timer_stop(struct pg_reactor *r, struct rp_timer *t)
{
    if (rp_timer_armed(t)) rp_timer_disarm(r, t);
}

/* ---- memory: never on the query path. NULL: there is none. ---- */
void *rp_alloc(struct pg_reactor *r, size_t bytes); /* zeroed */
void rp_free(struct pg_reactor *r, void *at, size_t bytes);
/* Large buffers, borrowed: powers of two from RP_SLAB_MIN bytes, bounded in sum by pg_reactor_config.slab_bytes, a few
 * kept for reuse. `*bytes` is rounded up. */
enum { RP_SLAB_MIN = 16 * 1024 };
void *rp_slab_get(struct pg_reactor *r, size_t *bytes);
void rp_slab_put(struct pg_reactor *r, void *at, size_t bytes);

/* ---- the host, with POSIX defaults in the place of what it does not bring ---- */
int rp_host_open(struct pg_reactor *r, struct pg_socket *s, const struct sockaddr *address, socklen_t size);
int rp_host_bind(struct pg_reactor *r, struct pg_socket *s);
void rp_host_unbind(struct pg_reactor *r, struct pg_socket *s);
int rp_host_send(struct pg_reactor *r, struct pg_socket *s, const void *at, size_t bytes, struct pg_completion *c);
int rp_host_recv(struct pg_reactor *r, struct pg_socket *s, void *at, size_t bytes, struct pg_completion *c);
void rp_host_cancel(struct pg_reactor *r, struct pg_socket *s,
                    struct pg_completion *c); /* no-op where the host has none */
void rp_host_shutdown(struct pg_reactor *r, struct pg_socket *s, int how);
void rp_host_close(struct pg_reactor *r, struct pg_socket *s);
int rp_host_entropy(struct pg_reactor *r, void *at, size_t bytes);

/* ---- the rest ---- */
uint64_t rp_now(struct pg_reactor *r); /* pg_reactor_now */
uint32_t rp_random(
    struct pg_reactor *r); /* for jitter, not for secrets: a small generator seeded once from the host's entropy */
/* What feeds pg_reactor_wait_hint: connections that wait for an answer, ... */
void rp_due(struct pg_reactor *r, int change);
bool rp_anything_due(const struct pg_reactor *r);
/* ... and, in a turn, a receive that was armed for more of a long answer of which all that was there has been taken. */
void rp_stream(struct pg_reactor *r);
bool rp_turn_wanted(
    const struct pg_reactor *r); /* work was queued since the last turn: a host's own wait must not block */
bool rp_can_wake(const struct pg_reactor *r);  /* other threads may post to it */
bool rp_on_owner(const struct pg_reactor *r); /* any thread: is it the reactor's own? */
void rp_check_owner(const struct pg_reactor *r); /* asserts: not in a forked child (MADV_WIPEONFORK page) */
void rp_join(struct pg_reactor *r, struct rp_member *m); /* and the reactor's own close is passed on to it */
void rp_leave(struct pg_reactor *r, struct rp_member *m);
bool rp_closing(const struct pg_reactor *r); /* pg_reactor_close was called: nothing may be opened any more */
uint32_t rp_statement_capacity(const struct pg_reactor *r);
struct rp_fibers **rp_fibers_slot(struct pg_reactor *r); /* fiber/ keeps its own state there, made on first use ... */
void rp_fibers_on_free(struct pg_reactor *r, void (*free_fibers)(struct pg_reactor *)); /* ... and is told of the end */
const struct pg_reactor_config *rp_config(const struct pg_reactor *r); /* with defaults filled in */




#endif
