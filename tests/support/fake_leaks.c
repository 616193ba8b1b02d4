/* support/fake_leaks.c - what a user's handlers have out: looked up in the pools and fibers of the reactors themselves,
 * which keep no book of it for that purpose. Changes nothing. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "fiber/fiber.h"
#include "pool/state.h"
#include "reactor/state.h"
#include "support/fake_private.h"

struct report {
    char *out;
    size_t capacity, size;
    int count;
};

static void __attribute__((format(printf, 2, 3))) line(struct report *r, const char *format, ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text, sizeof text - 1, format, list);
    va_end(list);
    size_t size = (size_t)n < sizeof text - 1 ? (size_t)n : sizeof text - 2;
    text[size++] = '\n';
    r->count++;
    for (size_t i = 0; i < size; i++)
        if (r->size + i + 1 < r->capacity) r->out[r->size + i] = text[i];
    r->size += size;
}

static unsigned long long since_ms(const struct rp_waiter *w)
{
    return (unsigned long long)((rp_now(w->pool->reactor) - w->since_ns) / 1000000);
}

static void tell_lease(struct report *r, const struct pg_lease *lease, const char *what)
{
    const struct rp_lease *rl = (const struct rp_lease *)(const void *)lease->private_;
    line(r, "a lease %s for %llu ms: %s", what, since_ms(&rl->waiter), lease->tag ? lease->tag : "without a tag");
}

static void tell_query(struct report *r, const struct pg_query *q, const char *what)
{
    const struct rp_query *rq = (const struct rp_query *)(const void *)q->private_;
    const char *sql = q->statement ? q->statement->sql : q->sql;
    line(r, "a query %s for %llu ms: %s", what, since_ms(&rq->waiter), sql ? sql : "without SQL");
}

static void tell_waiter(struct report *r, struct rp_waiter *w, const char *what)
{
    if (w->lane == RP_LANE_LEASE) tell_lease(r, rp_lease_of(w), what);
    else tell_query(r, rp_query_of(w), what);
}

static void look_at_slot(struct report *r, const struct rp_slot *slot)
{
    const struct rp_session *s = &slot->conn.session;
    if (slot->lease) tell_lease(r, slot->lease, "is held");
    if (slot->state == RP_SLOT_FREE || slot->state == RP_SLOT_CONNECTING || slot->state == RP_SLOT_CLOSING) return;
    for (uint32_t sequence = s->head; sequence != s->tail; sequence++) {
        struct pg_query *q = s->entry[sequence & (s->config->entries - 1)].query;
        if (q && rp_query(q)->waiter.pool) tell_query(r, q, "runs"); /* the pool's own are of no pool */
    }
}

static void look_at_pool(struct report *r, const struct pg_pool *pool)
{
    struct rp_waiter *w;
    for (uint32_t i = 0; i < pool->nslots; i++) look_at_slot(r, pool->slot[i]);
    for (uint32_t i = pool->count[RP_SLOT_LEASED]; i < pool->nleases_out; i++)
        line(r, "a lease is held, and its connection is lost");
    TAILQ_FOREACH(w, &pool->urgent, link) tell_waiter(r, w, "waits");
    TAILQ_FOREACH(w, &pool->waiting, link) tell_waiter(r, w, "waits");
    TAILQ_FOREACH(w, &pool->slow, link) tell_waiter(r, w, "waits");
    TAILQ_FOREACH(w, &pool->ended, link) tell_waiter(r, w, "has ended and was not told yet,");
}

static void look(const struct pg_fake *f, struct report *r)
{
    for (unsigned i = 0; i < PG_FAKE_HOSTS; i++) {
        struct pg_reactor *reactor = sim_host_at(f->sim, i)->reactor;
        struct rp_member *m;
        if (!reactor) continue;
        TAILQ_FOREACH(m, &reactor->members, link) look_at_pool(r, RP_CONTAINER(m, const struct pg_pool, member));
        uint32_t fibers = rp_fibers_alive(reactor);
        for (uint32_t n = 0; n < fibers; n++) line(r, "a fiber has not ended");
    }
    if (r->capacity) r->out[r->size < r->capacity ? r->size : r->capacity - 1] = 0;
}

int pg_fake_leaks(const struct pg_fake *f)
{
    struct report r = { 0 };
    look(f, &r);
    return r.count;
}

size_t pg_fake_leak_report(const struct pg_fake *f, char *out, size_t capacity)
{
    struct report r = { .out = out, .capacity = capacity };
    look(f, &r);
    return r.size;
}
