/* pool/lease.c - the lease lane: from acquire to release or abandon. */
#include "pool/state.h"

static void begin(struct pg_pool *pool, struct pg_lease *lease)
{
    struct rp_lease *rl = rp_lease(lease);
    struct rp_waker *waker = rl->waker;
    RP_CALLER(rl->waiter.place == RP_PLACE_NONE, "a lease that is acquired is neither parked nor held");
    RP_CALLER(lease->priority <= PG_PRIORITY_HIGH, "a lease's priority is PG_PRIORITY_NORMAL or PG_PRIORITY_HIGH");
    *rl = (struct rp_lease){ .waiter = { .pool = pool, .lane = RP_LANE_LEASE }, .waker = waker };
    if (lease->priority == PG_PRIORITY_HIGH) rl->waiter.flags = RP_LEASE_HIGH;
    rl->waiter.since_ns = rp_now(pool->reactor);
    RP_PROBE3(acquire, pool, lease, lease->tag);
}

void rp_grant(struct rp_slot *slot, struct pg_lease *lease)
{
    struct rp_lease *rl = rp_lease(lease);
    if (!RP_PLANT(double_grant)) rp_slot_move(slot, RP_SLOT_LEASED);
    slot->lease = lease;
    rp_slot_set_normal(slot, !(rl->waiter.flags & RP_LEASE_HIGH));
    slot->conn.session.exclusive = true;
    rl->slot = slot;
    rl->waiter.place = RP_PLACE_ACTIVE;
    slot->pool->nleases_out++;
    rp_saw_grant(slot->pool, lease);
}

void pg_pool_acquire(struct pg_pool *pool, struct pg_lease *lease)
{
    struct pg_error why;
    begin(pool, lease);
    if (pool->closing) {
        rp_end_lease(lease, PG_E_CLOSED);
    } else if (rp_shed_at_the_door(pool, &rp_lease(lease)->waiter, &why)) {
        rp_end_lease(lease, why.code);
        if (lease->error) *lease->error = why;
    } else {
        rp_park(pool, &rp_lease(lease)->waiter);
    }
}

int pg_pool_try_acquire(struct pg_pool *pool, struct pg_lease *lease)
{
    begin(pool, lease);
    if (pool->closing) return PG_E_CLOSED;
    bool high = lease->priority == PG_PRIORITY_HIGH;
    struct rp_slot *slot = rp_idle_slot(pool, high);
    if (pool->hook[RP_HOOK_PREPARE_CONN]) return PG_E_REFUSED; /* it would have to wait for that */
    bool others = pool->nurgent || (!high && (pool->nwaiting || rp_slow_due(pool)));
    if (!slot || pool->suspended || others) return PG_E_REFUSED;
    pool->stats.acquire_count++;
    rp_grant(slot, lease);
    if (rp_life_idle_wanted(pool)) rp_pool_kick(pool);
    return 0;
}

/* The connection goes back: clean to the next one, else it is cleaned first. */
static void give_back(struct rp_slot *slot)
{
    slot->lease = NULL;
    slot->conn.session.exclusive = false;
    if (RP_PLANT(rollback_skipped)) slot->conn.session.transaction = 'I';
    rp_slot_move(slot, RP_SLOT_RESETTING); /* and in the same step IDLE, if it is clean */
    rp_slot_settle(slot);
}

void pg_lease_release(struct pg_lease *lease)
{
    struct rp_lease *rl = rp_lease(lease);
    RP_CALLER(rl->waiter.place == RP_PLACE_ACTIVE, "a lease that is released is held");
    RP_CALLER(rl->waiter.lane != RP_LANE_HOOK, "a hook's lease ends with its hook");
    RP_CALLER(rl->ended == 0, "a lease that is released has no query in flight");
    struct rp_slot *slot = rl->slot;
    rl->waiter.place = RP_PLACE_NONE;
    rp_saw_return(rl->waiter.pool, lease);
    rl->slot = NULL;
    if (slot) {
        RP_ASSERT(slot->lease == lease);
        RP_CALLER(!rp_slot_has_queries(slot), "a lease that is released has no query in flight");
        give_back(slot);
        if (RP_PLANT(recursion)) rp_pool_dispatch(&slot->pool->dispatch);
    }
    rp_pool_return_lease(rl->waiter.pool);
}

/* Everything that the lease has on its connection. */
static void forget_queries(struct rp_slot *slot)
{
    struct rp_session *s = &slot->conn.session;
    bool broken = false;
    for (uint32_t sequence = s->head; sequence != s->tail; sequence++)
        if (rp_session_entry(s, sequence)->query) rp_forget_query(rp_session_entry(s, sequence)->query);
    for (uint32_t sequence = s->head; sequence != s->tail; sequence++) {
        struct pg_query *q = rp_session_entry(s, sequence)->query;
        if (q && rp_conn_detach(&slot->conn, q) == RP_DETACH_BROKEN) broken = true;
    }
    if (broken) rp_slot_kill(slot, PG_E_LOST, PG_SENT_MAYBE, NULL);
}

static void forget_ended(struct pg_lease *lease)
{
    struct rp_waiter *w = TAILQ_FIRST(&rp_lease(lease)->waiter.pool->ended);
    while (w && rp_lease(lease)->ended) {
        struct rp_waiter *next = TAILQ_NEXT(w, link);
        if (w->lane == RP_LANE_LEASED_QUERY && rp_query(rp_query_of(w))->lease == lease)
            rp_forget_query(rp_query_of(w));
        w = next;
    }
}

void pg_lease_abandon(struct pg_lease *lease)
{
    struct rp_lease *rl = rp_lease(lease);
    struct pg_pool *pool = rl->waiter.pool;
    switch (rl->waiter.place) {
    case RP_PLACE_PARKED:
        pool->stats.canceled_acquire_count++;
        rp_unpark(&rl->waiter);
        rp_pool_kick(pool);
        break;
    case RP_PLACE_ENDED:
        TAILQ_REMOVE(&pool->ended, &rl->waiter, link);
        rl->waiter.place = RP_PLACE_NONE;
        rp_pool_kick(pool);
        break;
    case RP_PLACE_ACTIVE:
        RP_CALLER(rl->waiter.lane != RP_LANE_HOOK, "a hook's lease ends with its hook");
        rl->waiter.place = RP_PLACE_NONE;
        rp_saw_return(pool, lease);
        forget_ended(lease);
        if (rl->slot) forget_queries(rl->slot);
        if (rl->slot) give_back(rl->slot);
        rl->slot = NULL;
        rp_pool_return_lease(pool);
        break;
    default: break;
    }
}

char pg_lease_transaction(const struct pg_lease *lease)
{
    const struct rp_lease *rl = (const struct rp_lease *)(const void *)lease->private_;
    return rl->waiter.place == RP_PLACE_ACTIVE && rl->slot ? rl->slot->conn.session.transaction : 0;
}

const char *pg_lease_parameter(const struct pg_lease *lease, const char *name)
{
    const struct rp_lease *rl = (const struct rp_lease *)(const void *)lease->private_;
    return rl->waiter.place == RP_PLACE_ACTIVE && rl->slot ? rp_session_parameter(&rl->slot->conn.session, name) : NULL;
}
