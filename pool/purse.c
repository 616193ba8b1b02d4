/* pool/purse.c - what a pool has of its budget: when it asks for a connection, and when it gives one.
 *
 * In hand are `slots`, of them `used` by slots that are not FREE. A connection is only begun with one in hand. What is
 * not used goes back at once, down to what is sure; so a pool keeps nothing in store, and everything else that follows
 * is about connections that exist.
 *
 * Asking. Nothing in hand and dispatch.c would grow: a ticket is filed, and served at once if there is stock. Else it
 * waits, and every PATIENCE_NS it is looked at: is the connection still wanted? If not, it is withdrawn: short bursts
 * disturb nobody. If so, the others are pressed once, and again whenever the need has changed. The next ticket after
 * one that had to wait presses without patience.
 *
 * Giving. `spare` is what a pool has beyond its sure ones, less what is promised already. Of the needs of those who
 * wait (budget.h) the most urgent counts: below `spare` means that the other one would still have less than this pool
 * after the move. Then it gives what disturbs least, and where nothing can go at once, the next one that comes to rest
 * (`pressed`): each such move makes the shares more equal, so that they come to an end. Otherwise only what has been
 * idle for LONG_IDLE_NS is given. As long as others wait a pool that has something to spare looks again at least every
 * LONG_IDLE_NS, by a timer of its own.
 *
 * The listeners' connection (listen.c) is one of `used` and never one of the sure ones, which are for those who ask:
 * else a pool that listens might have none left for them. Its ticket is like that of a waiter. It is not spare either,
 * since it serves as long as somebody listens; but where a pool, this one too, lacks what is sure, or the bound was
 * made smaller, and nothing else can be given, it goes, and waits for another one. While it waits the pool itself gives
 * what it has beyond its sure ones, one at a time (`clearing`), since nobody else would give to a pool that has many.
 *
 * Runs on the reactor's thread alone; other threads are behind budget.h. Without a budget each of these functions does
 * nothing and takes nothing amiss. Must never know who waits in the pool's queue. */
#include "pool/state.h"

static const uint64_t PATIENCE_NS = 10ull * 1000000, LONG_IDLE_NS = 200ull * 1000000;

static uint32_t less(uint32_t a, uint32_t b) { return a > b ? a - b : 0; }

/* Those in hand but the listeners'. */
static uint32_t in_lanes(const struct rp_purse *p) { return p->slots - p->beside; }
static uint32_t spare(const struct rp_purse *p) { return less(in_lanes(p), p->sure + p->promised); }
static void tell_spare(struct rp_purse *p) { rp_share_spare(p->share, spare(p) + p->beside); }

/* What is neither used nor sure goes back. `kept`: promises that end with it. */
static void settle(struct rp_purse *p, uint32_t kept)
{
    uint32_t used = p->used - p->beside, surplus = less(in_lanes(p), used > p->sure ? used : p->sure);
    if (!surplus && !kept) return;
    p->slots -= surplus;
    tell_spare(p);
    if (RP_PLANT(budget_slot_leaked) && surplus && kept) surplus--;
    rp_share_put(p->budget, p->share, surplus, kept);
}

/* After growing: what was wanted was made, or waits. */
void rp_purse_settle(struct pg_pool *pool)
{
    struct rp_purse *p = &pool->purse;
    if (!p->budget) return;
    if (p->pressing && !p->waiting) p->pressing = rp_pool_can_grow(pool); /* else the next wait is a new one */
    settle(p, 0);
}

/* ---- asking ---- */

static uint32_t need(const struct pg_pool *pool)
{
    const struct rp_purse *p = &pool->purse;
    if (in_lanes(p) < p->sure) return RP_NEED_SURE;
    uint32_t waiting = pool->nurgent + pool->nwaiting + rp_slow_due(pool);
    bool for_waiters = rp_pool_connecting(pool) < waiting + pool->more_wanted;
    return for_waiters || rp_listen_wants(pool) ? RP_NEED_FIRST + spare(p) : RP_NEED_IDLE;
}

static void in_hand(struct pg_pool *pool)
{
    struct rp_purse *p = &pool->purse;
    p->waiting = false;
    p->slots++;
    p->pressing &= p->need != RP_NEED_SURE;
    rp_timer_stop(pool->reactor, &p->patience);
    tell_spare(p);
    if (!rp_timer_armed(&p->watch))
        rp_timer_start(pool->reactor, &p->watch, rp_now(pool->reactor) + LONG_IDLE_NS);
}

static bool collect(struct pg_pool *pool)
{
    struct rp_purse *p = &pool->purse;
    if (!p->waiting || !rp_share_collect(p->budget, p->share)) return false;
    in_hand(pool);
    return true;
}

/* Files or renews the ticket. True: one is in hand. */
static bool ask(struct pg_pool *pool)
{
    struct rp_purse *p = &pool->purse;
    uint32_t before = p->waiting ? p->need : RP_NEED_IDLE + 1;
    p->need = need(pool);
    if (p->need != before) rp_share_ask(p->budget, p->share, p->need);
    p->waiting = true;
    if (collect(pool)) return true;
    if (p->need != before && p->pressing) rp_share_press(p->budget, p->share);
    if (!rp_timer_armed(&p->patience))
        rp_timer_start(pool->reactor, &p->patience, rp_now(pool->reactor) + PATIENCE_NS);
    return false;
}

/* What is sure is had in hand as soon as that is possible, needed or not. */
static void ask_for_sure(struct pg_pool *pool)
{
    struct rp_purse *p = &pool->purse;
    p->pressing |= in_lanes(p) < p->sure;
    while (in_lanes(p) < p->sure && ask(pool)) continue;
}

bool rp_purse_take(struct pg_pool *pool)
{
    struct rp_purse *p = &pool->purse;
    if (!p->budget) return true;
    if (p->left) return false;
    if (p->used == p->slots && !collect(pool)) {
        if (p->waiting) return false;
        if (ask(pool)) p->pressing = false;
    }
    if (p->used == p->slots && !RP_PLANT(budget_exceeded)) return false;
    p->used++;
    rp_share_used(p->budget, 1);
    return true;
}

bool rp_purse_take_beside(struct pg_pool *pool)
{
    struct rp_purse *p = &pool->purse;
    if (!p->budget) return true;
    if (p->left) return false;
    (void)collect(pool);
    while (p->slots - p->used <= less(p->sure, p->used)) { /* the rest is sure, and not used yet */
        if (p->waiting) return false;
        if (ask(pool)) p->pressing = false;
    }
    p->used++;
    p->beside = 1;
    if (!RP_PLANT(listener_uncounted)) rp_share_used(p->budget, 1);
    tell_spare(p);
    return true;
}

bool rp_purse_lacks(const struct pg_pool *pool)
{
    return pool->purse.budget && in_lanes(&pool->purse) < pool->purse.sure;
}

bool rp_purse_untold(const struct pg_pool *pool) { return pool->purse.budget && rp_share_untold(pool->purse.budget); }

/* The listeners wait, and the pool has more than what is sure: one of these goes for them. */
static bool must_clear(const struct pg_pool *pool)
{
    const struct rp_purse *p = &pool->purse;
    return p->waiting && !p->clearing && spare(p) && rp_listen_wants(pool);
}

static void clear(struct pg_pool *pool)
{
    struct rp_purse *p = &pool->purse;
    if (!must_clear(pool)) return;
    p->clearing = rp_life_superfluous(pool);
    if (p->clearing) rp_life_retire(p->clearing, RP_REASON_BESIDE);
    else p->pressed = true;
}

/* Is it still wanted? */
static void on_patience(struct rp_timer *timer)
{
    struct pg_pool *pool = RP_CONTAINER(timer, struct pg_pool, purse.patience);
    struct rp_purse *p = &pool->purse;
    bool wanted = in_lanes(p) < p->sure || rp_pool_can_grow(pool), first = !p->pressing;
    p->pressing = wanted;
    if (!wanted && rp_share_withdraw(p->budget, p->share)) in_hand(pool);
    else if (!wanted) p->waiting = false;
    else if (!ask(pool) && first) rp_share_press(p->budget, p->share);
    clear(pool);
    pool->more_wanted = false; /* the next statement that has to queue says so again */
    rp_pool_kick(pool);
}

/* ---- giving ---- */

static bool promise(struct rp_slot *slot)
{
    struct rp_purse *p = &slot->pool->purse;
    if (!rp_share_promise(p->budget, p->share)) return false;
    slot->promised = true;
    p->promised++;
    tell_spare(p);
    return true;
}

static struct rp_slot *long_idle(const struct pg_pool *pool)
{
    struct rp_slot *slot = TAILQ_LAST(&pool->slots[RP_SLOT_IDLE], rp_slots);
    if (pool->count[RP_SLOT_IDLE] <= pool->info.pool_min_idle_conns) return NULL;
    return slot->idle_since_ns + LONG_IDLE_NS <= rp_now(pool->reactor) ? slot : NULL;
}

static void watch(struct pg_pool *pool)
{
    const struct rp_slot *slot = TAILQ_LAST(&pool->slots[RP_SLOT_IDLE], rp_slots);
    uint64_t now = rp_now(pool->reactor), at_ns = slot ? slot->idle_since_ns + LONG_IDLE_NS : 0;
    rp_timer_start(pool->reactor, &pool->purse.watch, at_ns > now ? at_ns : now + LONG_IDLE_NS);
}

static void give_spare(struct pg_pool *pool)
{
    struct rp_purse *p = &pool->purse;
    p->pressed = false;
    while (spare(p) && !pool->closing) {
        struct rp_demand demand = rp_share_demand(p->budget, p->share);
        bool must = spare(p) > demand.need;
        if (!demand.count) return;
        struct rp_slot *slot = must ? rp_life_superfluous(pool) : long_idle(pool);
        p->pressed = must && !slot;
        if (!slot || !promise(slot)) {
            watch(pool);
            return;
        }
        rp_life_retire(slot, RP_REASON_BUDGET);
    }
}

static void give_beside(struct pg_pool *pool)
{
    struct rp_purse *p = &pool->purse;
    struct rp_slot *slot = pool->listening.slot;
    if (!p->beside || slot->promised || spare(p)) return;
    if (!rp_purse_lacks(pool)) {
        struct rp_demand demand = rp_share_demand(p->budget, p->share);
        if (!demand.count || demand.need != RP_NEED_SURE || !promise(slot)) return;
    }
    rp_life_retire(slot, RP_REASON_BUDGET);
}

static void give_way(struct pg_pool *pool)
{
    give_spare(pool);
    if (!pool->closing) give_beside(pool);
}

static void on_watch(struct rp_timer *timer) { give_way(RP_CONTAINER(timer, struct pg_pool, purse.watch)); }

/* The pool is pressed. */
bool rp_purse_needed(struct rp_slot *slot)
{
    struct rp_purse *p = &slot->pool->purse;
    if (slot->state == RP_SLOT_PREPARING) return false;
    if (must_clear(slot->pool)) p->clearing = slot;
    if (p->clearing == slot) return true;
    struct rp_demand demand = rp_share_demand(p->budget, p->share);
    p->pressed = demand.count && spare(p) > demand.need && promise(slot);
    return p->pressed;
}

/* News from other threads: the ticket was served, or others wait. */
static void on_look(struct pg_task *task)
{
    struct rp_share *share = RP_CONTAINER(task, struct rp_share, look);
    struct pg_pool *pool = share->pool;
    rp_share_looked(share);
    if (pool->purse.left) return;
    if (collect(pool)) rp_pool_kick(pool);
    ask_for_sure(pool);
    give_way(pool);
}

/* The server has let go of it, or was given up. */
void rp_purse_put(struct rp_slot *slot)
{
    struct rp_purse *p = &slot->pool->purse;
    bool kept = slot->promised;
    if (!p->budget) return;
    RP_ASSERT(p->used > 0 && p->used <= p->slots);
    slot->promised = false;
    if (p->asking == slot) p->asking = NULL;
    if (p->clearing == slot) p->clearing = NULL;
    p->promised -= kept;
    p->used--;
    if (slot->listens) p->beside = 0;
    rp_share_used(p->budget, -1);
    rp_share_abandoned(p->budget, slot->conn.abandoned);
    settle(p, kept);
}

/* ---- a bound that the server says ---- */

static enum pg_flow on_told(struct pg_query *q, struct pg_row *row)
{
    ((struct rp_slot *)q->data)->pool->purse.told = pg_row_int4(row, 0);
    return PG_CONTINUE;
}

/* One connection at a time asks, so that there is one answer. */
bool rp_purse_ask_server(struct rp_slot *slot)
{
    struct rp_purse *p = &slot->pool->purse;
    if (!p->budget || !rp_share_asks_server(p->budget) || rp_pool_usable(slot->pool) || p->asking) return false;
    p->asking = slot;
    p->told = 0;
    rp_chore_query(slot,
                   "SELECT current_setting('max_connections')::int4"
                   " - current_setting('superuser_reserved_connections')::int4"
                   " - coalesce(current_setting('reserved_connections', true)::int4, 0)",
                   on_told);
    return true;
}

bool rp_purse_server_told(struct rp_slot *slot)
{
    struct rp_purse *p = &slot->pool->purse;
    struct pg_error why;
    if (p->asking != slot) return false;
    p->asking = NULL;
    if (p->told > 0) {
        rp_share_told(p->budget, (uint32_t)p->told);
        return false;
    }
    rp_error_set(&why, PG_E_CONFIG, "the server did not say how many connections it has");
    rp_chore_fail(slot, &why);
    return true;
}

/* ---- from open to close ---- */

static uint32_t sure_of(uint32_t min_conns) { return min_conns ? min_conns : 1; }

int rp_purse_open(struct pg_pool *pool, struct pg_budget *budget, struct pg_error *error)
{
    struct rp_purse *p = &pool->purse;
    if (!budget) return 0;
    if (!rp_can_wake(pool->reactor))
        return rp_error_set(error, PG_E_CONFIG, "budget: the reactor's host has no wake, and other reactors could not "
                                                "tell this one that they need a connection");
    p->sure = sure_of(pool->info.pool_min_conns);
    int rc = rp_share_open(budget, &p->share, p->sure, pool->reactor, on_look, pool, error);
    if (rc) return rc;
    p->budget = budget;
    p->patience.fire = on_patience;
    p->watch.fire = on_watch;
    ask_for_sure(pool);
    return 0;
}

bool rp_purse_resize(struct pg_pool *pool, uint32_t min_conns)
{
    struct rp_purse *p = &pool->purse;
    uint32_t sum, bound;
    if (!p->budget) return true;
    if (!rp_share_reserve(p->budget, p->sure, sure_of(min_conns), &sum, &bound)) return false;
    p->sure = sure_of(min_conns);
    tell_spare(p);
    ask_for_sure(pool);
    settle(p, 0);
    give_way(pool); /* nobody who waited before could ask for what has become spare */
    return true;
}

static bool leave(struct pg_pool *pool, bool at_once)
{
    struct rp_purse *p = &pool->purse;
    if (!p->left) {
        p->left = true;
        rp_timer_stop(pool->reactor, &p->patience);
        rp_timer_stop(pool->reactor, &p->watch);
        p->slots += rp_share_withdraw(p->budget, p->share);
        rp_share_spare(p->share, 0);
        rp_share_put(p->budget, p->share, p->slots, p->promised);
        p->slots = p->promised = 0;
    }
    if (!rp_share_close(p->budget, p->share, p->sure, at_once)) return false;
    p->budget = NULL;
    return true;
}

bool rp_purse_leave(struct pg_pool *pool)
{
    RP_ASSERT(!pool->purse.used);
    return !pool->purse.budget || leave(pool, false);
}

void rp_purse_abort(struct pg_pool *pool)
{
    struct rp_purse *p = &pool->purse;
    if (!p->budget) return;
    rp_share_abandoned(p->budget, p->used);
    rp_share_used(p->budget, -(int)p->used);
    p->used = 0;
    leave(pool, true);
}
