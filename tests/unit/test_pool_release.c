/* unit/test_pool_release.c - a lease that comes back with its transaction open, or failed (failures 52): the next one
 * has the connection clean, or another one where the ROLLBACK did not do. What else a session keeps is the matter of
 * test_pool_hygiene and, with a real server, of server/test_hygiene. Simulated host, virtual time. */
#include <string.h>
#include "support/world.h"

enum rollback { AS_IT_SHOULD, FAILS, HANGS, LOSES_THE_CONNECTION, ROLLBACKS };

static void answer(void *arg, struct model_query *q)
{
    enum rollback how = *(enum rollback *)arg;
    if (strcmp(model_sql(q), "ROLLBACK") || how == AS_IT_SHOULD) model_default_answer(q);
    else if (model_describing(q)) model_columns(q, 0, NULL);
    else if (how == FAILS) model_error(q, "XX000", "no rollback");
    else if (how == HANGS) model_delay(q, 60 * WORLD_SECOND), model_default_answer(q);
    else model_drop(q);
}

static void say(struct world *w, struct held *h, struct seen *s)
{
    pg_lease_query(&h->lease, &s->query);
    world_run(w, 20 * WORLD_MS);
    assert_int_equal(s->done, 1);
}

/* With an INSERT in it; behind that an error, if `failed`. */
static void begin(struct world *w, struct held *h, bool failed)
{
    struct seen s;
    held_init(h);
    pg_pool_acquire(w->pool, &h->lease);
    world_run(w, 20 * WORLD_MS);
    assert_int_equal(h->status + (int)h->grants, 1);
    seen_init(&s, &pg_begin, 0);
    s.query.nparams = 0;
    say(w, h, &s);
    seen_init(&s, &world_insert, 3);
    say(w, h, &s);
    seen_sql(&s, "FAIL 22012");
    if (failed) say(w, h, &s);
    assert_int_equal(pg_lease_transaction(&h->lease), failed ? 'E' : 'T');
}

/* Released with somebody waiting behind it, in both lanes. */
static void release(bool failed, enum rollback how)
{
    struct world w;
    struct held h, next;
    struct seen shared;
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    struct model_config server = { .exit_delay_ns = 200000, .answer = answer, .arg = &how };
    world_open_with(&w, &sim, &server, "pool_max_conns=1 pool_close_linger=300ms");
    begin(&w, &h, failed);
    held_init(&next);
    pg_pool_acquire(w.pool, &next.lease);
    seen_init(&shared, &world_insert, 4);
    pg_pool_query(w.pool, &shared.query);
    pg_lease_release(&h.lease);
    assert_int_equal(next.grants, 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(next.status + (int)next.grants, 1);
    assert_int_equal(pg_lease_transaction(&next.lease), 'I');
    pg_lease_release(&next.lease);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(shared.status + (int)shared.done, 1);
    world_run(&w, 60 * WORLD_SECOND); /* a backend that hung has noticed */
    const struct model_stats *stats = model_stats(w.server);
    assert_int_equal(stats->connections_total, how == AS_IT_SHOULD ? 1 : 2);
    assert_int_equal(world_stats(&w).lost_conns_count, how == AS_IT_SHOULD ? 0 : 1);
    assert_int_equal(stats->inserts_rolled_back, 1);
    assert_int_equal(stats->inserts_committed, 1); /* the neighbour's alone */
    world_close(&w);
}

static void an_open_transaction(void **state)
{
    (void)state;
    release(false, AS_IT_SHOULD);
}
static void a_failed_transaction(void **state)
{
    (void)state;
    release(true, AS_IT_SHOULD);
}
static void a_rollback_that_does_not_do_costs_the_connection(void **state)
{
    (void)state;
    for (int how = FAILS; how < ROLLBACKS; how++)
        for (int failed = 0; failed < 2; failed++) release(failed, (enum rollback)how);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_transaction),
        cmocka_unit_test(a_failed_transaction),
        cmocka_unit_test(a_rollback_that_does_not_do_costs_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
