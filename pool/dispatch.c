/* pool/dispatch.c - who is served next, and by which connection; how the pool grows. Runs in the turn's ready queue.
 *
 * The rule for sharing: strictly first in, first out over both lanes. The head of the queue is a lease: it takes an
 * idle connection; if there is none and none can be added, the least loaded shared connection takes no more statements
 * (DRAINING) until it is idle. The head is a statement: it joins the least loaded connection that has room. Whoever
 * comes while others wait stands behind them. */
#include "pool/state.h"

void rp_pool_kick(struct pg_pool *pool) { rp_ready(pool->reactor, &pool->dispatch); }

/* ---- growing ---- */

/* One more connection than the waiters need is never tried, those to hosts that failed before aside. */
static bool wants_more(const struct pg_pool *pool)
{
    uint32_t limit = pool->info.pool_connecting_limit;
    if (RP_PLANT(connecting_unlimited)) limit++;
    if (pool->finished || pool->suspended || !rp_pool_has_place(pool) || rp_pool_connecting(pool) >= limit) return false;
    if (rp_hosts_coming(pool) < pool->nwaiting + pool->more_wanted + rp_life_idle_wanted(pool)) return true;
    return !pool->closing && rp_pool_live(pool) < pool->info.pool_min_conns;
}

static void grow(struct pg_pool *pool)
{
    struct rp_host *host = NULL;
    bool any;
    rp_timer_stop(pool->reactor, &pool->retry);
    while (wants_more(pool) && (host = rp_hosts_next(pool, &any))) {
        struct rp_slot *slot = TAILQ_FIRST(&pool->slots[RP_SLOT_FREE]);
        slot->generation = pool->generation;
        rp_slot_move(slot, RP_SLOT_CONNECTING);
        rp_host_begin(slot, host, any);
        rp_conn_open(&slot->conn, host->address, host->naddresses);
    }
    if (wants_more(pool)) rp_timer_start(pool->reactor, &pool->retry, rp_hosts_time(pool));
    pool->more_wanted = false;
}

void rp_pool_connect_failed(struct rp_slot *slot, const struct pg_error *why)
{
    struct pg_pool *pool = slot->pool;
    pool->stats.connect_failed_count++;
    if (RP_PLANT(waiters_lost_on_failure)) TAILQ_INIT(&pool->waiting);
    if (!rp_hosts_elsewhere(slot) && rp_capacity_refused(pool, why)) {
        rp_host_full(slot, why);
        return;
    }
    if (!rp_host_failed(slot, why)) return;
    rp_life_warm_end(pool, PG_E_UNAVAILABLE);
    if (rp_pool_usable(pool) == 0)
        while (!TAILQ_EMPTY(&pool->waiting)) rp_end_waiter(TAILQ_FIRST(&pool->waiting), PG_E_UNAVAILABLE);
}

/* ---- draining ---- */

/* As many shared connections are drained as leases stand at the head of the queue, less those that idle and coming ones
 * will serve. */
static void balance_draining(struct pg_pool *pool)
{
    uint32_t wanted = 0, most = pool->count[RP_SLOT_SHARED] + pool->count[RP_SLOT_DRAINING];
    for (struct rp_waiter *w = TAILQ_FIRST(&pool->waiting); w && w->lane == RP_LANE_LEASE && wanted < most;
         w = TAILQ_NEXT(w, link))
        wanted++;
    uint32_t coming = pool->count[RP_SLOT_IDLE] + rp_hosts_coming(pool);
    wanted = wanted > coming ? wanted - coming : 0;
    while (pool->count[RP_SLOT_DRAINING] < wanted) rp_slot_move(rp_slot_least_loaded(pool), RP_SLOT_DRAINING);
    while (pool->count[RP_SLOT_DRAINING] > wanted && !RP_PLANT(draining_forgotten))
        rp_slot_move(TAILQ_FIRST(&pool->slots[RP_SLOT_DRAINING]), RP_SLOT_SHARED);
}

/* ---- serving ---- */

static void count_wait(struct pg_pool *pool, const struct rp_waiter *w)
{
    uint64_t waited_ns = rp_now(pool->reactor) - w->since_ns;
    if (w->lane == RP_LANE_LEASE) {
        pool->stats.acquire_count++;
        pool->stats.acquire_duration_ns += waited_ns;
    }
    if (!(w->flags & RP_QUERY_WAITED)) return;
    pool->stats.empty_acquire_count++;
    pool->stats.empty_acquire_wait_ns += waited_ns;
    rp_saw_wait(pool, waited_ns);
    if (waited_ns > pool->stats.maxwait_ns) pool->stats.maxwait_ns = waited_ns;
}

/* The head of the queue. False: it has to go on waiting. */
static bool serve(struct pg_pool *pool, struct rp_waiter *w)
{
    struct rp_slot *slot = TAILQ_FIRST(&pool->slots[RP_SLOT_IDLE]);
    if (w->lane == RP_LANE_LEASE) {
        if (!slot) return false;
        struct pg_lease *lease = rp_lease_of(w);
        rp_unpark(w);
        count_wait(pool, w);
        rp_grant(slot, lease);
        struct rp_waker *waker = rp_lease(lease)->waker;
        if (lease->on_grant) lease->on_grant(lease, PG_OK);
        else if (waker) waker->wake(waker, PG_OK);
        return true;
    }
    struct pg_query *q = rp_query_of(w);
    if (!slot) slot = rp_slot_least_loaded(pool);
    if (!slot || !rp_slot_room(slot, rp_batch_size(q))) return false;
    rp_unpark(w);
    count_wait(pool, w);
    rp_slot_start(slot, q);
    return true;
}

void rp_pool_dispatch(struct rp_node *node)
{
    struct pg_pool *pool = RP_CONTAINER(node, struct pg_pool, dispatch);
    struct rp_waiter *w;
    rp_stats_changed(pool);
    if (!rp_life_tell_retired(pool)) {
        rp_pool_kick(pool);
        return;
    }
    balance_draining(pool); /* a lease that went away gives its connection back to the statements behind it */
    while (!pool->suspended && (w = TAILQ_FIRST(&pool->waiting)) && serve(pool, w)) {
        if (rp_budget_take(pool->reactor)) continue;
        rp_pool_kick(pool);
        return;
    }
    grow(pool);
    balance_draining(pool);
    rp_life_tell(pool);
    rp_pool_close_if_done(pool);
}
