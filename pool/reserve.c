/* pool/reserve.c - whom the connections are for: leases of high priority may have every one, normal leases and
 * statements all but the last pool_reserved_conns. Owns nothing: what may be had follows, each time it is asked for,
 * from the counts of slots and waiters. Must never know who in particular waits, or on what.
 *
 *      max_conns   | idle | coming | not made yet | in normal hands, closing | in high hands |
 *                   \______ may be had __________/                            \__ a part of what is kept
 *
 * A connection that was not made yet is as good as an idle one to be kept, since a high waiter has it made; so nothing
 * is made before somebody wants it. What high leases hold counts as kept for them: then normal ones have max_conns -
 * pool_reserved_conns also while administration is at work. A closing connection is nobody's and still has its place,
 * so that it counts against the normal ones, whose it most likely was. */
#include "pool/state.h"

static uint32_t less(uint32_t a, uint32_t b) { return a > b ? a - b : 0; }

/* At least one is left to the normal ones, whatever max_conns has become, or how few the server lets in. */
static uint32_t kept(const struct pg_pool *pool)
{
    uint32_t most = less(rp_capacity(pool), 1), wanted = pool->info.pool_reserved_conns;
    return less(wanted < most ? wanted : most, pool->nhigh + pool->nurgent);
}

uint32_t rp_left_to_normal(const struct pg_pool *pool)
{
    uint32_t too_many = less(rp_pool_live(pool), pool->info.pool_max_conns); /* and those being made go first */
    uint32_t had = rp_pool_idle(pool) + less(rp_pool_connecting(pool), too_many) + rp_pool_room(pool);
    return less(had, pool->nurgent + kept(pool));
}

uint32_t rp_idle_left_to_normal(const struct pg_pool *pool)
{
    uint32_t idle = less(rp_pool_idle(pool), pool->nurgent), left = rp_left_to_normal(pool);
    return idle < left ? idle : left;
}

/* While the server takes fewer than max_conns, whether it has room for those that are kept is to be found out before
 * they are needed. */
uint32_t rp_worth_making(const struct pg_pool *pool, uint32_t wanted)
{
    uint32_t left = rp_left_to_normal(pool);
    return wanted < left || rp_capacity(pool) < pool->info.pool_max_conns ? wanted : left;
}

/* One of them, and it leaves its list by being moved. */
struct rp_slot *rp_idle_slot(const struct pg_pool *pool, bool high)
{
    struct rp_slot *slot = TAILQ_FIRST(&pool->slots[RP_SLOT_IDLE]);
    return !slot || high || rp_idle_for_normal(pool) ? slot : NULL;
}
