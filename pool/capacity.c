/* pool/capacity.c - how many connections the server will carry. It owns the effective maximum: what max_conns permits,
 * less what the server has refused. It must never know who waits.
 *
 * A server that answers a connect with "too many connections" (class 53) or "cannot connect now" (57P03) is alive, and
 * well enough to say so. That is no failure: nobody who waits is ended for it, the connections that stand go on, and
 * those who wait are served by them. But it would be asked again and again, by every pool of every process at once, and
 * each of these connects costs it a process. So the rule is:
 *
 *      refused          the limit becomes the number of connections that stand; 0 is one that is tried later
 *      after a delay    the limit rises by one, which permits one attempt, if somebody wants it. The delay doubles with
 *                       each refusal, up to 3 s, and is drawn at random from its upper half: many pools do not ask in
 *                       step
 *      it stands        the limit rises by one, then by 2, 4, 8 ..., whenever all that it permits stands: what became
 *                       free at once is found after one delay and a few round trips
 *      at max_conns     there is no limit any more
 *
 * Below the limit nothing is delayed: a connection that is lost or retired is replaced as always, and if its place has
 * been taken by somebody else, that is one more refusal. No connection is ever closed for the limit's sake. */
#include "pool/state.h"

static const uint32_t NO_LIMIT = UINT32_MAX;

/* Those that the server has let in and that have not left: retiring ones count, since their places are freed here. */
static uint32_t standing(const struct pg_pool *pool)
{
    return rp_pool_total(pool) - pool->count[RP_SLOT_ASKING] - pool->count[RP_SLOT_CONNECTING] -
           pool->count[RP_SLOT_CLOSING];
}

static void set_limit(struct pg_pool *pool, uint32_t limit)
{
    pool->capacity.limit = limit < pool->info.pool_max_conns ? limit : NO_LIMIT;
    rp_stats_changed(pool);
}

static void raise(struct rp_timer *timer)
{
    struct pg_pool *pool = RP_CONTAINER(timer, struct pg_pool, capacity.later);
    if (pool->capacity.limit == NO_LIMIT) return; /* max_conns was made smaller */
    pool->capacity.rising = true;
    set_limit(pool, pool->capacity.limit + 1);
    rp_pool_kick(pool);
}

void rp_capacity_open(struct pg_pool *pool)
{
    pool->capacity = (struct rp_capacity){ .limit = NO_LIMIT, .step = 1, .later = { .fire = raise } };
}

bool rp_capacity_is_refusal(const struct pg_error *why)
{
    if (why->code != PG_E_SERVER) return false;
    return strncmp(why->sqlstate, "53", 2) == 0 || strcmp(why->sqlstate, "57P03") == 0;
}

void rp_capacity_refused(struct pg_pool *pool)
{
    struct rp_capacity *c = &pool->capacity;
    c->rising = false;
    c->step = 1;
    set_limit(pool, standing(pool));
    if (!rp_timer_armed(&c->later)) /* else with one that was refused just before: the server is full once */
        rp_timer_start(pool->reactor, &c->later,
                       rp_now(pool->reactor) + rp_backoff(&c->backoff_ns, rp_random(pool->reactor)));
}

void rp_capacity_stands(struct pg_pool *pool)
{
    struct rp_capacity *c = &pool->capacity;
    uint32_t n = standing(pool);
    if (c->limit == NO_LIMIT) {
        c->backoff_ns = 0;
    } else if (!c->rising) { /* it was under way when another one was refused */
        if (n > c->limit) set_limit(pool, n);
    } else if (n >= c->limit) {
        c->backoff_ns = 0;
        set_limit(pool, n + c->step);
        c->step *= 2;
    }
}

void rp_capacity_resized(struct pg_pool *pool)
{
    if (pool->capacity.limit != NO_LIMIT) set_limit(pool, pool->capacity.limit);
}
