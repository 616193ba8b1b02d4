/* pool/shed.c - who is turned away, at the door or out of the queue, so that the others are served in time. It applies
 * the rules of overload.c (pool_codel_target) and admission.c (pool_admission) to the queue and keeps their figures; it
 * must never know slots, and nobody is turned away by it whose turn it is and for whom there is a connection.
 *
 * Neither rule holds for high priority: those waiters are few, and are to get in just then; nor for slow statements,
 * which wait for each other and not for a connection. Neither holds for a statement that waits for the second time,
 * since its connection was lost: it has had its turn. A suspended queue is not judged; it stands because somebody
 * wanted it to. */
#include "pool/state.h"

static const uint64_t MS = 1000000;

static uint64_t now_of(const struct pg_pool *pool) { return rp_now(pool->reactor); }
static bool judged(const struct rp_waiter *w)
{
    return !(w->flags & (RP_LEASE_HIGH | RP_QUERY_SLOW | RP_QUERY_AGAIN)) && !w->pool->suspended;
}

/* Else neither rule has a use for what is measured. */
static bool judges(const struct pg_pool *pool) { return pool->overload.target_ns || pool->info.pool_admission; }

static void look(struct rp_timer *timer) { rp_pool_kick(RP_CONTAINER(timer, struct pg_pool, doomed)); }

void rp_shed_open(struct pg_pool *pool)
{
    rp_overload_open(&pool->overload, pool->info.pool_codel_target_ns, pool->info.pool_codel_interval_ns);
    rp_admission_open(&pool->admission);
    pool->doomed.fire = look;
}

/* ---- at the door ---- */

/* `ahead`: less those for whom there is a connection, or will be one. */
static bool too_late(struct pg_pool *pool, const struct rp_waiter *w, struct pg_error *why)
{
    if (!pool->info.pool_admission || !judged(w)) return false;
    uint32_t left = rp_left_to_normal(pool), ahead = pool->nwaiting > left ? pool->nwaiting - left : 0;
    uint64_t now = now_of(pool), until = rp_wait_until(w);
    if (ahead == 0 || until == PG_NEVER) return false;
    uint64_t wait_ns = rp_admission_wait(&pool->admission, now, ahead), rest_ns = until > now ? until - now : 0;
    if (wait_ns <= rest_ns) return false;
    rp_error_set(why, PG_E_REFUSED, "refused: it would wait for about %llu ms, and has %llu ms until its deadline",
                 (unsigned long long)(wait_ns / MS), (unsigned long long)(rest_ns / MS));
    pool->stats.not_admitted_count++;
    return true;
}

bool rp_shed_at_the_door(struct pg_pool *pool, const struct rp_waiter *w, struct pg_error *why)
{
    if (rp_queue_full(pool, w->flags & RP_LEASE_HIGH)) {
        rp_error_set(why, PG_E_REFUSED, "%s", pg_error_text(PG_E_REFUSED));
        pool->stats.refused_count++;
        return true;
    }
    return too_late(pool, w, why);
}

/* ---- in the queue ---- */

void rp_shed_parked(struct rp_waiter *w)
{
    struct pg_pool *pool = w->pool;
    if (!judges(pool) || w->flags & (RP_LEASE_HIGH | RP_QUERY_SLOW)) return;
    if (pool->nwaiting == 1) rp_overload_began(&pool->overload, now_of(pool));
    if (w->flags & RP_QUERY_WAITED) rp_admission_began(&pool->admission, now_of(pool));
}

void rp_shed_left(struct pg_pool *pool)
{
    if (pool->nwaiting == 0 && judges(pool)) rp_admission_emptied(&pool->admission, now_of(pool));
}

void rp_shed_served(const struct rp_waiter *w)
{
    struct pg_pool *pool = w->pool;
    if (!judges(pool) || !judged(w)) return;
    uint64_t now = now_of(pool);
    rp_overload_served(&pool->overload, now, w->since_ns, pool->nwaiting);
    if (w->flags & RP_QUERY_WAITED) rp_admission_served(&pool->admission, now);
}

void rp_shed_resumed(struct pg_pool *pool)
{
    rp_admission_open(&pool->admission); /* it has not seen the pace of those */
    rp_overload_open(&pool->overload, pool->overload.target_ns, pool->overload.interval_ns);
    if (judges(pool) && pool->nwaiting) rp_admission_began(&pool->admission, now_of(pool));
}

static uint64_t end_of(const struct pg_pool *pool, const struct rp_waiter *w)
{
    return w && judged(w) ? rp_overload_end(&pool->overload, w->since_ns) : PG_NEVER;
}

bool rp_shed_first(struct pg_pool *pool)
{
    struct pg_error why;
    if (!pool->overload.target_ns) return false;
    struct rp_waiter *w = TAILQ_FIRST(&pool->waiting);
    uint64_t now = now_of(pool);
    if (end_of(pool, w) > now) return false;
    rp_error_set(&why, PG_E_REFUSED, "refused after %llu ms: the pool is overloaded (pool_codel_target)",
                 (unsigned long long)((now - w->since_ns) / MS));
    rp_overload_refused(&pool->overload, now);
    pool->stats.overload_count++;
    rp_end_refused(w, &why);
    return true;
}

void rp_shed_watch(struct pg_pool *pool)
{
    if (!pool->overload.target_ns) return;
    rp_timer_start(pool->reactor, &pool->doomed, end_of(pool, TAILQ_FIRST(&pool->waiting)));
}
