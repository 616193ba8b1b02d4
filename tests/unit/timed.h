/* unit/timed.h - statements that take the server a known time: "WORK <us>". For the tests of how connections are
 * shared. */
#ifndef UNIT_TIMED_H
#define UNIT_TIMED_H
#include <stdlib.h>
#include <string.h>
#include "support/world.h"

static struct pg_statement fast = PG_STATEMENT("WORK 100");
static uint64_t changing_us; /* of "CHANGING" */
static uint64_t asked_ns, answered_ns; /* the last of each */

static void timed_answer(void *arg, struct model_query *q)
{
    (void)arg;
    bool work = strncmp(model_sql(q), "WORK ", 5) == 0;
    if ((!work && strcmp(model_sql(q), "CHANGING") != 0) || model_describing(q)) return;
    uint64_t us = work ? strtoull(model_sql(q) + 5, NULL, 10) : changing_us;
    if (us) model_delay(q, us * 1000);
    model_complete(q, "SELECT 0");
}

static void timed_open(struct world *w, uint64_t latency_ns, const char *options)
{
    struct sim_config sim = { .seed = 3, .latency_min_ns = latency_ns, .latency_max_ns = latency_ns + 10000 };
    struct model_config server = { .answer = timed_answer };
    world_open_with(w, &sim, &server, options);
}

/* As many idle connections as leases. */
static void timed_make(struct world *w, int n)
{
    struct held h[8];
    for (int i = 0; i < n; i++) held_init(&h[i]), pg_pool_acquire(w->pool, &h[i].lease);
    world_run(w, 2 * WORLD_SECOND);
    for (int i = 0; i < n; i++) pg_lease_release(&h[i].lease);
    assert_int_equal(world_stats(w).idle_conns, n);
}

static void timed_answered(struct pg_query *q)
{
    struct seen *s = q->data;
    s->done++;
    s->order = ++world_outcomes;
    s->status = q->status;
    answered_ns = sim_now(s->world->sim);
}

static void timed_init(struct world *w, struct seen *s, struct pg_statement *statement)
{
    seen_init(s, statement, 0);
    s->query.nparams = 0;
    s->query.on_done = timed_answered;
    s->world = w;
    asked_ns = sim_now(w->sim);
}

static inline void timed_start(struct world *w, struct seen *s, struct pg_statement *statement)
{
    timed_init(w, s, statement);
    pg_pool_query(w->pool, &s->query);
}

/* Alone, again and again. */
static inline void timed_learn(struct world *w, struct pg_statement *statement, int times)
{
    for (int i = 0; i < times; i++) {
        struct seen s;
        timed_start(w, &s, statement);
        world_run(w, WORLD_SECOND / 2);
        assert_int_equal(s.done, 1);
        assert_int_equal(s.status, 0);
    }
}

#endif
