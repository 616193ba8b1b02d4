/* pool/dispatch.c - who is served next, and by which connection; how the pool grows. Runs in the turn's ready queue.
 *
 * Leases of high priority come first, whenever a connection is idle. They hold up nobody for whom theirs would not do:
 * while they wait, statements go on joining connections that are shared. For all others:
 *
 * The rule for sharing: strictly first in, first out over both lanes. The head of the queue is a lease: it takes an
 * idle connection; if there is none and none can be added, the shared connection with the least work takes no more
 * statements (DRAINING) until it is idle. The head is a statement: it joins the connection with the least work (work.c)
 * that has room. Whoever comes while others wait stands behind them. Slow statements, each of which wants a connection
 * for itself, stand in a queue beside it (slow.c): an idle connection goes to the older of the two heads. */
#include "pool/state.h"

void rp_pool_kick(struct pg_pool *pool) { rp_ready(pool->reactor, &pool->dispatch); }

/* ---- growing ---- */

/* One more connection than the waiters need is never tried, those to hosts that failed before aside. */
static bool wants_more(const struct pg_pool *pool)
{
    uint32_t limit = pool->info.pool_connecting_limit;
    if (RP_PLANT(connecting_unlimited)) limit++;
    if (pool->finished || pool->suspended || !rp_pool_has_place(pool)) return false;
    if (rp_pool_connecting(pool) >= limit) return false;
    /* In a pool that closes whoever does not wait is served already: what would be made is closed at once. */
    uint32_t more = pool->more_wanted && (!pool->closing || RP_PLANT(connects_for_nobody));
    uint32_t normal = rp_worth_making(pool, pool->nwaiting + rp_slow_due(pool) + more);
    uint32_t wanted = pool->nurgent + normal + rp_life_idle_wanted(pool);
    if (wanted && rp_hosts_coming(pool) + pool->count[RP_SLOT_CHECKING] < wanted) return true;
    if (pool->closing) return false;
    if (rp_listen_wants(pool) && !rp_pool_live(pool) && rp_purse_untold(pool)) return true; /* it asks for the bound */
    return rp_pool_live(pool) < pool->info.pool_min_conns;
}

bool rp_pool_can_grow(struct pg_pool *pool)
{
    bool any;
    return (wants_more(pool) || rp_listen_wants(pool)) && rp_hosts_next(pool, &any);
}

/* The listeners' one. Before those of the waiters, who are many and would else always be first. False: no host may be
 * tried for it now. */
static bool grow_beside(struct pg_pool *pool)
{
    bool any;
    if (!rp_listen_wants(pool)) return true;
    struct rp_host *host = rp_hosts_next(pool, &any);
    if (host && rp_purse_take_beside(pool)) rp_slot_begin(pool->listening.slot, host, any);
    return host != NULL;
}

static void grow(struct pg_pool *pool)
{
    struct rp_host *host = NULL;
    bool any, more;
    rp_timer_stop(pool->reactor, &pool->retry);
    bool tried = grow_beside(pool);
    while ((more = wants_more(pool)) && (host = rp_hosts_next(pool, &any)) && rp_purse_take(pool))
        rp_slot_begin(TAILQ_FIRST(&pool->slots[RP_SLOT_FREE]), host, any);
    if ((more && !host) || !tried) rp_timer_start(pool->reactor, &pool->retry, rp_hosts_time(pool));
    if (!pool->purse.waiting) pool->more_wanted = false; /* else it is still true when the budget has one */
    rp_purse_settle(pool);
}

void rp_pool_connect_failed(struct rp_slot *slot, const struct pg_error *why)
{
    struct pg_pool *pool = slot->pool;
    pool->stats.connect_failed_count++;
    rp_pool_kick(pool);
    if (RP_PLANT(waiters_lost_on_failure)) TAILQ_INIT(&pool->waiting);
    if (!rp_hosts_elsewhere(slot) && rp_capacity_is_refusal(why)) {
        if (slot->listens) rp_listen_later(pool);
        else rp_capacity_refused(pool);
        rp_try_full(slot, why);
        return;
    }
    if (!rp_try_failed(slot, why)) return;
    rp_life_warm_end(pool, PG_E_UNAVAILABLE);
    if (rp_pool_usable(pool) == 0)
        while (rp_first_waiter(pool)) rp_end_waiter(rp_first_waiter(pool), PG_E_UNAVAILABLE);
}

/* ---- draining and checking ---- */

/* How many leases stand at the head of the normal queue, one behind the other; `most` at the most. */
static uint32_t normal_leases_first(const struct pg_pool *pool, uint32_t most)
{
    uint32_t n = 0;
    const struct rp_waiter *w = TAILQ_FIRST(&pool->waiting);
    for (; w && w->lane == RP_LANE_LEASE && n < most; w = TAILQ_NEXT(w, link)) n++;
    return n;
}

/* As many idle connections are checked as leases stand at the heads and may have one. None is for one of them: the
 * first that passes goes to whoever is the head then. */
static void begin_checks(struct pg_pool *pool)
{
    struct rp_slot *slot;
    if (!pool->hook[RP_HOOK_PREPARE_CONN] || pool->suspended) return;
    uint32_t wanted = pool->nurgent + normal_leases_first(pool, rp_idle_for_normal(pool));
    while (pool->count[RP_SLOT_CHECKING] < wanted && (slot = TAILQ_FIRST(&pool->slots[RP_SLOT_IDLE])))
        rp_slot_check(slot);
}

static uint32_t less(uint32_t a, uint32_t b) { return a > b ? a - b : 0; }

/* Idle and coming ones, less those that are reserved and that nobody who waits may have. */
static uint32_t coming_for_waiters(const struct pg_pool *pool)
{
    uint32_t coming = rp_pool_idle(pool) + rp_hosts_coming(pool), left = pool->nurgent + rp_left_to_normal(pool);
    return pool->info.pool_reserved_conns && left < coming ? left : coming;
}

/* As many shared connections are drained as leases and slow statements are next, less those that idle and coming ones
 * will serve; for slow ones not the last, which the fast ones share. */
static uint32_t wanted_drained(const struct pg_pool *pool, uint32_t most)
{
    uint32_t coming = coming_for_waiters(pool);
    uint32_t leases = pool->nurgent + normal_leases_first(pool, coming + most);
    uint32_t slow = pool->nslow && rp_slow_most(pool) ? rp_slow_due(pool) : 0;
    uint32_t for_leases = less(leases, coming), for_all = less(leases + slow, coming);
    if (for_leases >= most) return most;
    return for_all < most ? for_all : most - 1;
}

static void balance_draining(struct pg_pool *pool)
{
    uint32_t most = pool->count[RP_SLOT_SHARED] + pool->count[RP_SLOT_DRAINING];
    if (!most || (!pool->count[RP_SLOT_DRAINING] && !rp_first_waiter(pool))) return;
    uint32_t wanted = wanted_drained(pool, most);
    while (pool->count[RP_SLOT_DRAINING] < wanted) rp_slot_move(rp_slot_least_loaded(pool), RP_SLOT_DRAINING);
    if (pool->count[RP_SLOT_DRAINING] > wanted && !TAILQ_EMPTY(&pool->waiting)) rp_pool_kick(pool);
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
    if (!(w->flags & RP_QUERY_WAITED) && !waited_ns) return; /* an idle one was there, and still was */
    pool->stats.empty_acquire_count++;
    pool->stats.empty_acquire_wait_ns += waited_ns;
    rp_saw_wait(pool, waited_ns);
    if (waited_ns > pool->stats.maxwait_ns) pool->stats.maxwait_ns = waited_ns;
}

static void grant(struct rp_slot *slot, struct rp_waiter *w)
{
    struct pg_lease *lease = rp_lease_of(w);
    rp_unpark(w);
    rp_shed_served(w);
    count_wait(slot->pool, w);
    rp_grant(slot, lease);
    struct rp_waker *waker = rp_lease(lease)->waker;
    if (lease->on_grant) lease->on_grant(lease, PG_OK);
    else if (waker) waker->wake(waker, PG_OK);
}

bool rp_pool_grant_first(struct pg_pool *pool, struct rp_slot *slot)
{
    struct rp_waiter *w = rp_first_waiter(pool);
    if (!w || w->lane != RP_LANE_LEASE || pool->suspended) return false;
    if (!(w->flags & RP_LEASE_HIGH) && !rp_left_to_normal(pool)) return false;
    grant(slot, w);
    return true;
}

static bool start(struct rp_slot *slot, struct rp_waiter *w)
{
    rp_unpark(w);
    rp_shed_served(w);
    count_wait(slot->pool, w);
    rp_slot_start(slot, rp_query_of(w));
    return true;
}

/* The head of a queue. False: it has to go on waiting. */
static bool serve(struct pg_pool *pool, struct rp_waiter *w)
{
    struct rp_slot *slot = rp_idle_slot(pool, w->flags & RP_LEASE_HIGH);
    if (w->lane == RP_LANE_LEASE) {
        bool checked = !pool->hook[RP_HOOK_PREPARE_CONN] || RP_PLANT(granted_unchecked);
        if (!slot || !checked) return false;
        grant(slot, w);
        return true;
    }
    if (!slot) slot = rp_slot_to_share(pool, rp_batch_size(rp_query_of(w)), rp_now(pool->reactor));
    return slot && start(slot, w);
}

/* For the first of the slow ones; NULL: it has to go on waiting. From nobody who has waited for longer. */
static struct rp_slot *slot_for_slow(struct pg_pool *pool, struct rp_waiter *w)
{
    const struct rp_waiter *other = TAILQ_FIRST(&pool->waiting);
    if (other && other->since_ns < w->since_ns) return NULL;
    if (rp_slow_most(pool)) return rp_slow_slot(pool);
    struct rp_slot *slot = rp_idle_slot(pool, false);
    return slot ? slot : rp_slot_to_share(pool, rp_batch_size(rp_query_of(w)), rp_now(pool->reactor));
}

static bool serve_slow(struct pg_pool *pool, struct rp_waiter *w)
{
    struct rp_slot *slot = slot_for_slow(pool, w);
    if (!slot) return false;
    if (!rp_slow_most(pool)) rp_park_as_fast(w);
    return start(slot, w);
}

static bool serve_one(struct pg_pool *pool)
{
    struct rp_waiter *w;
    if (pool->suspended) return false;
    if ((w = TAILQ_FIRST(&pool->urgent)) && serve(pool, w)) return true;
    if ((w = TAILQ_FIRST(&pool->slow)) && serve_slow(pool, w)) return true;
    if ((w = TAILQ_FIRST(&pool->waiting)) && serve(pool, w)) return true;
    return rp_shed_first(pool);
}

void rp_pool_dispatch(struct rp_node *node)
{
    struct pg_pool *pool = RP_CONTAINER(node, struct pg_pool, dispatch);
    rp_stats_changed(pool);
    if (!STAILQ_EMPTY(&pool->retired) && !rp_life_tell_retired(pool)) {
        rp_pool_kick(pool);
        return;
    }
    balance_draining(pool); /* a lease that went away gives its connection back to the statements behind it */
    while (serve_one(pool)) {
        if (rp_budget_take(pool->reactor)) continue;
        rp_pool_kick(pool);
        return;
    }
    rp_shed_watch(pool);
    begin_checks(pool);
    grow(pool);
    balance_draining(pool);
    struct rp_waiter *slow = TAILQ_FIRST(&pool->slow);
    if (slow && !pool->suspended && slot_for_slow(pool, slow)) rp_pool_kick(pool); /* it may share, by now */
    if (!TAILQ_EMPTY(&pool->warming)) rp_life_tell(pool);
    rp_pool_close_if_done(pool);
}
