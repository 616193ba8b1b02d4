/* pool/reserve.c - whom the connections are for: leases of high priority may have every one, normal leases and
 * statements all but the last pool_reserved_conns. Owns nothing: what may be had follows, each time it is asked for,
 * from the counts of slots and waiters. Must never know who in particular waits, or on what.
 *
 *      max_conns  | idle | coming | not made yet | in normal hands | in high hands | closing |
 *                  \______ may be had __________/  \_ max_conns - pool_reserved_conns at the most
 *
 * So nothing is kept in particular, but the normal ones never have more than is theirs, and the rest is for the others.
 * A connection is in normal hands from when a normal lease has it, or the first statement, until it is idle again, or
 * until the server has let go of it: one that is closing still has its place. Those that close for want of work are
 * nobody's and take nothing from anybody's share, or normal ones would starve where connections live short lives. What
 * is not made yet is as good as an idle one, since a high waiter has it made: nothing is made before somebody wants
 * it. */
#include "pool/state.h"

static uint32_t less(uint32_t a, uint32_t b) { return a > b ? a - b : 0; }

/* At least one, whatever max_conns has become, or how few the server lets in. */
static uint32_t share_of_normal(const struct pg_pool *pool)
{
    uint32_t all = rp_capacity(pool), reserved = pool->info.pool_reserved_conns;
    return reserved < all ? all - reserved : all > 0;
}

uint32_t rp_left_to_normal(const struct pg_pool *pool)
{
    uint32_t had = less(rp_pool_idle(pool) + rp_pool_connecting(pool) + rp_pool_room(pool), pool->nurgent);
    if (!pool->info.pool_reserved_conns) return had; /* all are theirs, also while others close */
    uint32_t share = less(share_of_normal(pool), pool->nnormal);
    return had < share ? had : share;
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
    if (!wanted) return 0;
    uint32_t left = rp_left_to_normal(pool);
    return wanted < left || rp_capacity(pool) < pool->info.pool_max_conns ? wanted : left;
}

