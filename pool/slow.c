/* pool/slow.c - slow statements of the shared lane: which they are, and how many of them may run at a time, each on a
 * connection of its own. It owns the rule for them; it must never know what a statement does.
 *
 * A backend works off its statements one after the other, so whoever is sent behind a slow one waits for it. One that
 * is known to be slow, by declaration (PG_STATEMENT_SLOW) or by what it took before (work.c), is therefore sent to an
 * idle connection and nobody behind it (SOLO); a batch is slow when one of its members is.
 *
 *      How many       as many as there are connections for statements, those that idle, are shared, solo, being made or
 *                     could be made (the server is there, the budget has some), but not those that are leased or
 *                     reserved; less what the fast ones keep: one for each that is in flight, one at least, half of
 *                     them at the most. A single backend for all fast ones is one that sometimes does not run.
 *                     Where that makes none (a pool of one, all others leased) slow ones share like everybody
 *      Who waits      where all solo places are taken, or no connection is idle, in a queue of their own, first in,
 *                     first out. In the common one a slow statement would stand at the head and hold up the fast ones
 *                     for which there is room: those overtake it, but only to join others on a shared connection
 *      Who is next    an idle connection goes to the older one of the two queues' heads; a solo place that is free
 *                     counts as a lease: a shared connection is drained for it, or one is made */
#include "pool/state.h"

bool rp_slow(const struct pg_pool *pool, const struct pg_query *head)
{
    for (const struct pg_query *q = head; q; q = q->next)
        if (q->statement && (q->statement->flags & PG_STATEMENT_SLOW || rp_cost_of(pool, q)->slow)) return true;
    return false;
}

/* `coming`: fast ones that are about to be started. Each connection counted here has one in flight, so that there are
 * few to look at where that does not decide it. */
static uint32_t kept_for_fast(const struct pg_pool *pool, uint32_t most, uint32_t coming)
{
    const struct rp_slot *slot;
    uint32_t n = coming;
    if (n + pool->count[RP_SLOT_SHARED] + pool->count[RP_SLOT_DRAINING] >= most) return most;
    n += rp_work_in_flight(pool);
    TAILQ_FOREACH(slot, &pool->slots[RP_SLOT_DRAINING], link) n += rp_session_in_flight(&slot->conn.session);
    if (n < 1) return 1;
    return n < most ? n : most;
}

static uint32_t most_beside(const struct pg_pool *pool, uint32_t coming)
{
    const uint32_t *n = pool->count;
    uint32_t busy = n[RP_SLOT_SHARED] + n[RP_SLOT_DRAINING] + n[RP_SLOT_STALLED] + n[RP_SLOT_SOLO];
    uint32_t left = rp_left_to_normal(pool), there = rp_pool_idle(pool) + rp_pool_connecting(pool);
    bool no_more = rp_timer_armed(&pool->retry) || pool->purse.waiting;
    uint32_t all = busy + (no_more && there < left ? there : left), live = rp_pool_live(pool);
    uint32_t too_many = live > pool->info.pool_max_conns ? live - pool->info.pool_max_conns : 0;
    all -= too_many < all ? too_many : all;
    return all > 1 ? all - kept_for_fast(pool, all / 2, coming) : 0;
}

uint32_t rp_slow_most(const struct pg_pool *pool) { return most_beside(pool, 0); }

uint32_t rp_slow_due_beside(const struct pg_pool *pool, uint32_t coming)
{
    if (!pool->nslow) return 0;
    uint32_t most = most_beside(pool, coming), solo = pool->count[RP_SLOT_SOLO], places = most > solo ? most - solo : 0;
    return pool->nslow < places || !most ? pool->nslow : places;
}

struct rp_slot *rp_slow_slot(const struct pg_pool *pool)
{
    return pool->count[RP_SLOT_SOLO] < rp_slow_most(pool) ? rp_idle_slot(pool, false) : NULL;
}
