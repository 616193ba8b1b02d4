/* ringpg/budget.h - a bound on the connections of a whole process to one server, shared by the pools of all reactors.
 *
 * Each pool that is opened with a budget (pg_pool_config.budget) has some connections that are sure: its
 * pool_min_conns, one at least. They are set aside when it opens, used or not. What the sum of these leaves of the
 * bound is common stock: a pool takes from it up to its own pool_max_conns and gives back when a connection has ended.
 * A connection counts from before its connect until the server has let go of it, so that the bound holds at every
 * instant. Two exceptions are counted in `abandoned_count`: connections that were closed though their server did not
 * let go of them within pool_close_linger, and those of a reactor that was freed before its end.
 *
 * A pool that has waiters, may grow and finds the stock empty waits for a connection. After 10 ms the others are
 * told, on their own reactors (so that budgets need hosts with `wake`), and give way by two rules:
 *  - one that has at least two more of the common stock than the waiting pool gives one, at once if one is idle, else
 *    as soon as one comes to rest, even if it has waiters of its own: a skewed load starves nobody;
 *  - any other gives what has been idle for 200 ms: two busy pools do not pass connections to and fro.
 * What is given goes to the pool that has the least of the common stock, of equals to the one that waited longest; no
 * pool ever waits for what is sure. A handler that holds a lease of one pool and waits for another one is freed only
 * by its acquire's deadline (pool_acquire_timeout), as within one pool.
 *
 * The connection of a pool's listeners (listen.h) counts like any other, and is never one of the sure ones.
 *
 * One budget is for one server (one primary, say): what different pools of it connect to is not compared. */
#ifndef RINGPG_BUDGET_H
#define RINGPG_BUDGET_H
#include "error.h"
#ifdef __cplusplus
extern "C" {
#endif

struct pg_budget;

/* The bound as a part of what the server has for ordinary users, 1 to 100 percent of max_connections less
 * superuser_reserved_connections and reserved_connections; rounded down. Every pool asks for it on a connection that it
 * makes while it has no other, so that a restarted server is asked anew. Until the first answer the bound is what is
 * sure, and it is never below that. A connect on which the server does not answer that has failed. */
#define PG_BUDGET_PERCENT(percent) (UINT32_C(0x80000000) | (percent))

/* A budget of so many connections, 1 to 1,000,000, or PG_BUDGET_PERCENT. Any thread. PG_E_CONFIG: out of range;
 * -ENOMEM. Up to 256 pools may share it. */
int pg_budget_open(struct pg_budget **out, uint32_t connections) PG_WARN_UNUSED;

/* Another bound from now on, a number; the server is asked no more. Any thread, any callback. More: pools that wait are
 * served at once. Fewer: nothing is granted before enough has been given back; every pool gives what it has beyond its
 * sure connections, idle ones at once and others as they come to rest, until the bound is kept. Returns 0; PG_E_CONFIG:
 * out of range, or less than what is sure for the pools that are open; then nothing has changed. */
int pg_budget_resize(struct pg_budget *budget, uint32_t connections) PG_WARN_UNUSED;

/* Any thread, after the last pool's on_closed or its reactor's pg_reactor_free; asserts that no pool uses it. NULL is
 * fine. */
void pg_budget_close(struct pg_budget *budget);

/* Any thread, without a lock; each figure by itself is as of now. `used` may exceed `connections` only after the bound
 * was made smaller. */
struct pg_budget_stats {
    size_t size;                                     /* in: sizeof this struct                                    */
    uint32_t connections, sure;                      /* the bound, and how much of it is set aside for pools      */
    uint32_t used;                                   /* from before the connect until the server has let go       */
    uint32_t pools, waiting;                         /* that share it, and those of them that wait for a connection */
    uint64_t given_count;                            /* connections that a pool closed for another one's sake     */
    uint64_t abandoned_count;                        /* given up, though the server's backend may run on          */
};
void pg_budget_stats(const struct pg_budget *budget, struct pg_budget_stats *out);

/* The same as text for Prometheus, as pg_pool_metrics for a pool (pool.h), with `labels` such as `server="primary"`,
 * copied as they are; NULL: none. Any thread. Like snprintf; 2 KiB and seven times the labels are enough. */
size_t pg_budget_metrics(const struct pg_budget *budget, const char *labels, char *out, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
