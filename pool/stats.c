/* pool/stats.c - the pool's figures: what is counted and measured while it works, and what other threads see of it.
 *
 * The reactor writes; at the end of each turn in which something changed it publishes (published.h). On the path of a
 * query stands one comparison and one increment: requests that were started at the same reading of the clock and end
 * before the next one lasted equally long, so that they are counted here and go into the histogram together. It
 * also watches leases that are held for too long, and names the holders to those who waited in vain. */
#include "pool/state.h"
#include <stdio.h>
#include "pool/histogram.h"

static const uint64_t MS = 1000000;
#define NO_RUN PG_NEVER

/* ---- what is measured ---- */

/* The caller publishes, or has it published. */
static inline void record(struct pg_pool *pool, enum rp_histogram which, uint64_t ns, uint64_t times)
{
    size_t bucket = rp_histogram_record(rp_histogram(&pool->stats, which), ns, times);
    pool->seeing.dirty[which] |= (uint16_t)(1u << bucket / RP_DIRTY_BUCKETS);
}

static uint64_t since(struct pg_pool *pool, uint64_t since_ns) { return rp_now(pool->reactor) - since_ns; }

static void end_run(struct pg_pool *pool)
{
    struct rp_seeing *s = &pool->seeing;
    if (s->run_since_ns == NO_RUN) return;
    record(pool, RP_HIST_QUERY, since(pool, s->run_since_ns), s->run_count);
    pool->stats.query_count += s->run_count;
    if (RP_PLANT(miscounted) && s->run_count > 1) pool->stats.query_count--;
    s->run_since_ns = NO_RUN;
    s->run_count = 0;
}

void rp_saw_start_run(struct pg_pool *pool, uint64_t since_ns)
{
    end_run(pool);
    pool->seeing.run_since_ns = since_ns;
    rp_stats_changed(pool);
}

void rp_saw_wait(struct pg_pool *pool, uint64_t waited_ns)
{
    record(pool, RP_HIST_WAIT, waited_ns, 1);
    rp_stats_changed(pool);
}

void rp_saw_connected(struct rp_slot *slot)
{
    record(slot->pool, RP_HIST_CONNECT, since(slot->pool, slot->connecting_since_ns), 1);
    rp_stats_changed(slot->pool);
}

/* ---- leases ---- */

/* Told once; what the callback does to lease and pool is its business. */
static void leaked(struct rp_timer *timer)
{
    struct rp_waiter *w = RP_CONTAINER(timer, struct rp_waiter, timer);
    struct pg_pool *pool = w->pool;
    struct pg_error why;
    if (pool->finished) return; /* there is nobody to be told any more */
    struct pg_event event = { .kind = PG_EVENT_LEAK, .error = &why, .tag = rp_lease_of(w)->tag };
    struct rp_slot *slot = rp_lease(rp_lease_of(w))->slot;
    event.host = slot ? slot->host->where : ""; /* its connection is lost */
    event.held_ns = since(pool, w->since_ns);
    rp_error_set(&why, PG_E_TIMEOUT, "a lease is held for %llu ms: %s", (unsigned long long)(event.held_ns / MS),
                 event.tag ? event.tag : "no tag");
    pool->stats.leak_count++;
    rp_stats_changed(pool);
    if (pool->on_event) pool->on_event(pool->arg, &event);
}

void rp_saw_grant(struct pg_pool *pool, struct pg_lease *lease)
{
    struct rp_waiter *w = &rp_lease(lease)->waiter;
    uint64_t threshold_ns = pool->info.pool_leak_detection_threshold_ns, now = rp_now(pool->reactor);
    RP_PROBE4(grant, pool, lease, lease->tag, now - w->since_ns);
    w->since_ns = now; /* from here on: held since */
    if (!threshold_ns) return;
    w->timer.fire = leaked;
    rp_timer_start(pool->reactor, &w->timer, now + threshold_ns);
}

void rp_saw_return(struct pg_pool *pool, struct pg_lease *lease)
{
    struct rp_waiter *w = &rp_lease(lease)->waiter;
    RP_PROBE4(release, pool, lease, lease->tag, since(pool, w->since_ns));
    rp_timer_stop(pool->reactor, &w->timer);
    record(pool, RP_HIST_HOLD, since(pool, w->since_ns), 1);
    rp_stats_changed(pool);
}

/* Those who held longest come first: a slot that is leased goes to the head of the list. */
void rp_name_holders(struct pg_pool *pool, struct pg_error *error)
{
    enum { NAMED = 3 };
    char text[400], *at = text + snprintf(text, sizeof text, "%.120s", pg_error_field(error, 'M'));
    struct rp_slot *slot;
    int n = 0;
    if (pool->suspended) return; /* it was not for them that nobody was served */
    TAILQ_FOREACH_REVERSE(slot, &pool->slots[RP_SLOT_LEASED], rp_slots, link) {
        if (n++ == NAMED) break;
        const char *tag = slot->lease->tag ? slot->lease->tag : "no tag";
        unsigned long long held_ms = since(pool, rp_lease(slot->lease)->waiter.since_ns) / MS;
        at += snprintf(at, sizeof text - (size_t)(at - text), "%s%.64s for %llu ms", n == 1 ? "; held by " : ", ", tag,
                       held_ms);
    }
    if (n > NAMED) snprintf(at, sizeof text - (size_t)(at - text), " and others");
    if (n) rp_error_set(error, error->code, "%s", text);
}

/* The holder's frame is still there, since its fiber stands in it: it cannot return the lease while it waits. */
void rp_saw_nested(struct pg_pool *pool, struct pg_lease *timed_out, const void *stack, size_t bytes)
{
    struct rp_slot *slot;
    TAILQ_FOREACH(slot, &pool->slots[RP_SLOT_LEASED], link)
        if ((uintptr_t)slot->lease - (uintptr_t)stack < bytes) break;
    if (!slot) return;
    pool->stats.nested_acquire_count++;
    rp_stats_changed(pool);
    if (!timed_out->error) return;
    char text[440];
    snprintf(text, sizeof text, "%.320s; this fiber itself holds one: %.64s", pg_error_field(timed_out->error, 'M'),
             slot->lease->tag ? slot->lease->tag : "no tag");
    rp_error_set(timed_out->error, PG_E_TIMEOUT, "%s", text);
}

/* ---- publishing ---- */

static void refresh_gauges(struct pg_pool *pool)
{
    struct pg_pool_stats *s = &pool->stats;
    s->max_conns = pool->info.pool_max_conns;
    s->solo_conns = pool->count[RP_SLOT_SOLO];
    s->effective_max_conns = rp_capacity(pool) ? rp_capacity(pool) : 1;
    s->total_conns = rp_pool_total(pool);
    s->idle_conns = pool->count[RP_SLOT_IDLE];
    s->acquired_conns = pool->count[RP_SLOT_LEASED];
    s->shared_conns = pool->count[RP_SLOT_SOLO] + pool->count[RP_SLOT_SHARED] + pool->count[RP_SLOT_DRAINING] +
                      pool->count[RP_SLOT_RETIRING] + pool->count[RP_SLOT_STALLED];
    s->constructing_conns = rp_pool_connecting(pool);
    s->pending = pool->nwaiting + pool->nurgent + pool->nslow;
}

static void publish(struct pg_pool *pool)
{
    end_run(pool);
    refresh_gauges(pool);
    rp_published_write(&pool->seeing.published, &pool->stats, pool->seeing.dirty);
    memset(pool->seeing.dirty, 0, sizeof pool->seeing.dirty);
}

/* Who was to be served at once when he came, and was not, waits as well. */
static void run_publish(struct rp_node *node)
{
    struct pg_pool *pool = RP_CONTAINER(node, struct pg_pool, seeing.publish);
    uint32_t pending = pool->nwaiting + pool->nurgent + pool->nslow;
    if (pending > pool->stats.max_pending) pool->stats.max_pending = pending;
    publish(pool);
}

void rp_stats_open(struct pg_pool *pool)
{
    pool->seeing.publish.run = run_publish;
    pool->seeing.run_since_ns = NO_RUN;
    publish(pool);
}

/* The reactor's own thread need not wait for the end of the turn. */
void pg_pool_stats(const struct pg_pool *pool, struct pg_pool_stats *out)
{
    size_t given = out->size, size = given < sizeof *out ? given : sizeof *out;
    struct pg_pool_stats now;
    if (rp_on_owner(pool->reactor)) publish((struct pg_pool *)(uintptr_t)pool);
    rp_published_read(&pool->seeing.published, &now, size);
    now.size = given;
    memcpy(out, &now, size);
}
