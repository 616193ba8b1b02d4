/* pool/life.c - how many connections there are to be and how long each lives: lifetimes, idle time, warm-up, resize,
 * reset, suspend.
 *
 * A connection is not marked for its end. Whether it may be used again follows, each time that it comes to rest, from
 * what it is (its expiry, its generation) and from how many there are: so a second resize takes back what the first
 * one wanted, and nothing has to be unmarked. (Only what was promised to another pool of the budget is: purse.c.) A
 * shared connection that has to go leaves for a state of its own, RETIRING, since statements would else keep it from
 * ever coming to rest.
 *
 * Closing comes first and replacing afterwards, by the growth in dispatch.c: a connection in the place of one that
 * went is made when the server has let go of that one, or when max_conns leaves room. Must never know who waits. */
#include <errno.h>
#include "pool/state.h"

struct rp_warm {
    TAILQ_ENTRY(rp_warm) link;
    struct pg_pool *pool;
    struct rp_timer timer;
    void (*on_warm)(void *arg, int status);
    void *arg;
    bool decided;
    int status;
};

enum { CONNS_MOST = 10000 };

/* ---- retiring ---- */

enum retirement { NOTHING, AT_ONCE, WHEN_DRAINED, ON_RETURN };
static const enum retirement retirement[RP_SLOT_STATES] = {
    [RP_SLOT_FREE] = NOTHING,           [RP_SLOT_ASKING] = ON_RETURN,      [RP_SLOT_CONNECTING] = ON_RETURN,
    [RP_SLOT_PREPARING] = ON_RETURN,    [RP_SLOT_IDLE] = AT_ONCE,          [RP_SLOT_SHARED] = WHEN_DRAINED,
    [RP_SLOT_SOLO] = ON_RETURN,
    [RP_SLOT_DRAINING] = WHEN_DRAINED,  [RP_SLOT_RETIRING] = NOTHING,      [RP_SLOT_STALLED] = ON_RETURN,
    [RP_SLOT_CHECKING] = ON_RETURN,     [RP_SLOT_LEASED] = ON_RETURN,      [RP_SLOT_RESETTING] = ON_RETURN,
    [RP_SLOT_LISTENING] = AT_ONCE,      [RP_SLOT_PARTING] = NOTHING,        [RP_SLOT_CLOSING] = NOTHING,
};

static const char *const reasons[RP_REASONS] = {
    [RP_REASON_LIFETIME] = "for its age (pool_max_conn_lifetime)",
    [RP_REASON_IDLE] = "since it was idle for long (pool_max_conn_idle_time)",
    [RP_REASON_RESET] = "since the pool was reset",
    [RP_REASON_RESIZE] = "since the pool was made smaller",
    [RP_REASON_ROLE] = "since its server is no longer what is asked for (target_session_attrs)",
    [RP_REASON_PREPARE_CONN] = "since prepare_conn refused it",
    [RP_REASON_AFTER_RELEASE] = "since after_release refused it",
    [RP_REASON_BUDGET] = "for another pool of its budget",
    [RP_REASON_BESIDE] = "for the connection of the pool's listeners",
    [RP_REASON_UNHEARD] = "since nobody listens any more",
};

/* Told later: those who resize, reset or release are inside of a call. */
void rp_life_end(struct rp_slot *slot, enum rp_reason reason)
{
    struct pg_pool *pool = slot->pool;
    RP_ASSERT(reason != RP_REASON_NONE);
    pool->stats.retired_count++;
    pool->stats.max_lifetime_destroy_count += reason == RP_REASON_LIFETIME;
    pool->stats.max_idle_destroy_count += reason == RP_REASON_IDLE;
    slot->reason = reason;
    STAILQ_INSERT_TAIL(&pool->retired, slot, retired);
    if (reason == RP_REASON_PREPARE_CONN || reason == RP_REASON_AFTER_RELEASE) rp_slot_parted(slot);
    else rp_slot_part(slot);
    rp_pool_kick(pool);
}

/* Before anything grows: a slot in this list is not used again. */
bool rp_life_tell_retired(struct pg_pool *pool)
{
    struct rp_slot *slot;
    while ((slot = STAILQ_FIRST(&pool->retired))) {
        struct pg_error why;
        if (!rp_budget_take(pool->reactor)) return false;
        STAILQ_REMOVE_HEAD(&pool->retired, retired);
        rp_error_set(&why, PG_E_CLOSED, "the connection was closed %s", reasons[slot->reason]);
        slot->reason = RP_REASON_NONE;
        rp_slot_event(slot, PG_EVENT_RETIRED, &why);
    }
    return true;
}

/* ON_RETURN: it comes to rest, and is asked then. That holds for a connect, too: given up in the middle it would leave
 * a backend that starts nevertheless, and that nobody counts. */
void rp_life_retire(struct rp_slot *slot, enum rp_reason reason)
{
    switch (retirement[slot->state]) {
    case AT_ONCE: rp_life_end(slot, reason); break;
    case WHEN_DRAINED:
        slot->reason = reason;
        rp_slot_move(slot, RP_SLOT_RETIRING);
        break;
    default: break;
    }
    rp_pool_kick(slot->pool);
}

enum rp_reason rp_life_over(struct rp_slot *slot)
{
    struct pg_pool *pool = slot->pool;
    if (slot->generation != pool->generation && !RP_PLANT(generation_unchecked)) return RP_REASON_RESET;
    if (slot->expires_ns <= rp_now(pool->reactor)) return RP_REASON_LIFETIME;
    if (slot->role.misfit || slot->role.generation != slot->host->generation) return RP_REASON_ROLE;
    if (slot->listens && !pool->listening.count) return RP_REASON_UNHEARD;
    if (slot->listens) return slot->promised || rp_purse_lacks(pool) ? RP_REASON_BUDGET : RP_REASON_NONE;
    /* Of those that are too many the ones that are being made go first. */
    uint32_t others = slot->state == RP_SLOT_PREPARING ? rp_pool_live(pool) : rp_pool_usable(pool);
    if (others > pool->info.pool_max_conns) return RP_REASON_RESIZE;
    if (!rp_purse_over(slot)) return RP_REASON_NONE;
    return pool->purse.clearing == slot ? RP_REASON_BESIDE : RP_REASON_BUDGET;
}

static void aged(struct rp_timer *timer)
{
    rp_life_retire(RP_CONTAINER(timer, struct rp_slot, age), RP_REASON_LIFETIME);
}

void rp_life_begin(struct rp_slot *slot)
{
    struct pg_pool *pool = slot->pool;
    uint64_t lifetime_ns = pool->info.pool_max_conn_lifetime_ns;
    uint64_t jitter_ns = pool->info.pool_max_conn_lifetime_jitter_ns;
    slot->expires_ns = PG_NEVER;
    slot->age.fire = aged;
    if (!lifetime_ns || slot->listens) return;
    if (jitter_ns) lifetime_ns += (jitter_ns >> 16) * (rp_random(pool->reactor) & 0xffff);
    slot->expires_ns = rp_now(pool->reactor) + lifetime_ns;
    rp_timer_start(pool->reactor, &slot->age, slot->expires_ns);
}

/* ---- idle ones ---- */

uint32_t rp_life_idle_wanted(const struct pg_pool *pool)
{
    uint32_t least = pool->info.pool_min_idle_conns, idle = pool->count[RP_SLOT_IDLE];
    return !pool->closing && least > idle ? least - idle : 0;
}

/* The longest idle one, if it may be missed. */
static struct rp_slot *spare(struct pg_pool *pool)
{
    if (pool->closing || !pool->info.pool_max_conn_idle_time_ns) return NULL;
    if (rp_pool_live(pool) <= pool->info.pool_min_conns) return NULL;
    if (pool->count[RP_SLOT_IDLE] <= pool->info.pool_min_idle_conns) return NULL;
    return TAILQ_LAST(&pool->slots[RP_SLOT_IDLE], rp_slots);
}

/* When the longest idle one has been so for too long, and not sooner than a period from now: an idle pool wakes its
 * reactor seldom, a busy one does not move a timer with every statement. */
static void arm_sweep(struct pg_pool *pool)
{
    if (rp_timer_armed(&pool->sweep)) return;
    struct rp_slot *slot = spare(pool);
    if (!slot) return;
    uint64_t at_ns = slot->idle_since_ns + pool->info.pool_max_conn_idle_time_ns;
    uint64_t next_ns = rp_now(pool->reactor) + pool->info.pool_health_check_period_ns;
    rp_timer_start(pool->reactor, &pool->sweep, at_ns > next_ns ? at_ns : next_ns);
}

void rp_life_idle(struct rp_slot *slot)
{
    slot->idle_since_ns = rp_now(slot->pool->reactor);
    arm_sweep(slot->pool);
}

void rp_life_sweep(struct rp_timer *timer)
{
    struct pg_pool *pool = RP_CONTAINER(timer, struct pg_pool, sweep);
    uint64_t now = rp_now(pool->reactor);
    struct rp_slot *slot;
    while ((slot = spare(pool)) && slot->idle_since_ns + pool->info.pool_max_conn_idle_time_ns <= now)
        rp_life_end(slot, RP_REASON_IDLE);
    arm_sweep(pool);
}

/* ---- sizes and generations ---- */

/* Whose going disturbs least; NULL: all that are left go on their return, or when they are up. */
struct rp_slot *rp_life_superfluous(struct pg_pool *pool)
{
    struct rp_slot *slot = TAILQ_LAST(&pool->slots[RP_SLOT_IDLE], rp_slots);
    if (!slot) slot = rp_slot_least_loaded(pool);
    return slot ? slot : TAILQ_FIRST(&pool->slots[RP_SLOT_DRAINING]);
}

int pg_pool_resize(struct pg_pool *pool, uint32_t min_conns, uint32_t max_conns)
{
    if (pool->closing) return PG_E_CLOSED;
    if (max_conns == 0 || max_conns > CONNS_MOST || min_conns > max_conns) return PG_E_CONFIG;
    if (rp_pool_make_slots(pool, max_conns)) return -ENOMEM;
    if (!rp_purse_resize(pool, min_conns)) return PG_E_CONFIG;
    pool->info.pool_min_conns = min_conns;
    pool->info.pool_max_conns = max_conns;
    rp_capacity_resized(pool);
    if (RP_PLANT(resize_ignored)) return 0;
    struct rp_slot *slot;
    while (rp_pool_usable(pool) > max_conns && (slot = rp_life_superfluous(pool)))
        rp_life_retire(slot, RP_REASON_RESIZE);
    arm_sweep(pool); /* there may be more to spare now */
    rp_pool_kick(pool);
    return 0;
}

void pg_pool_reset(struct pg_pool *pool)
{
    if (pool->closing) return;
    pool->generation++;
    for (uint32_t i = 0; i < rp_pool_all(pool); i++) rp_life_retire(rp_pool_slot(pool, i), RP_REASON_RESET);
}

void pg_pool_suspend(struct pg_pool *pool) { pool->suspended = !pool->closing && !RP_PLANT(suspension_ignored); }

void pg_pool_resume(struct pg_pool *pool)
{
    if (pool->suspended) rp_shed_resumed(pool);
    pool->suspended = false;
    rp_pool_kick(pool);
}

/* ---- warm-up ---- */

static void decide(struct rp_warm *w, int status)
{
    if (w->decided) return;
    w->decided = true;
    w->status = status;
    rp_timer_stop(w->pool->reactor, &w->timer);
    rp_pool_kick(w->pool);
}

static void too_late(struct rp_timer *timer)
{
    struct rp_warm *w = RP_CONTAINER(timer, struct rp_warm, timer);
    decide(w, w->pool->connect_error.code ? PG_E_UNAVAILABLE : PG_E_TIMEOUT);
}

void rp_life_warm_end(struct pg_pool *pool, int status)
{
    struct rp_warm *w;
    TAILQ_FOREACH(w, &pool->warming, link) decide(w, status);
}

int pg_pool_warm(struct pg_pool *pool, uint64_t deadline_ns, void (*on_warm)(void *arg, int status), void *arg)
{
    if (pool->closing) return PG_E_CLOSED;
    rp_pool_kick(pool);
    if (!on_warm) return 0;
    struct rp_warm *w = rp_alloc(pool->reactor, sizeof *w);
    if (!w) return -ENOMEM;
    w->pool = pool;
    w->on_warm = on_warm;
    w->arg = arg;
    w->timer.fire = too_late;
    uint64_t timeout_ns = pool->info.pool_acquire_timeout_ns;
    if (!deadline_ns) deadline_ns = timeout_ns ? rp_now(pool->reactor) + timeout_ns : PG_NEVER;
    rp_timer_start(pool->reactor, &w->timer, deadline_ns);
    TAILQ_INSERT_TAIL(&pool->warming, w, link);
    return 0;
}

/* The first in the list is asked anew after each callback: it may have closed, resized or warmed anything. */
void rp_life_tell(struct pg_pool *pool)
{
    struct rp_warm *w;
    while ((w = TAILQ_FIRST(&pool->warming))) {
        if (!w->decided && rp_pool_usable(pool) >= pool->info.pool_min_conns) decide(w, PG_OK);
        while (w && !w->decided) w = TAILQ_NEXT(w, link);
        if (!w) return;
        if (!rp_budget_take(pool->reactor)) {
            rp_pool_kick(pool);
            return;
        }
        struct rp_warm told = *w;
        TAILQ_REMOVE(&pool->warming, w, link);
        rp_free(pool->reactor, w, sizeof *w);
        told.on_warm(told.arg, told.status);
    }
}
