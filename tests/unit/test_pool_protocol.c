/* unit/test_pool_protocol.c - min_protocol_version and max_protocol_version of the connection string, from the pool to
 * a model server of either age, and cancel requests with keys of every length. */
#include <stdio.h>
#include <string.h>
#include "support/world.h"

static const struct sim_config plain = { .seed = 1 };

/* One statement that only a cancel request ends, and one behind it on the same connection. */
static void stop_one(struct world *w)
{
    struct seen slow, after;
    seen_sql(&slow, "SLEEP 60000");
    slow.query.deadline_ns = pg_reactor_now(w->reactor) + 50 * WORLD_MS;
    pg_pool_query(w->pool, &slow.query);
    world_run(w, 60 * WORLD_MS);
    assert_int_equal(slow.status, PG_E_TIMEOUT);
    seen_init(&after, &world_echo, 42);
    pg_pool_query(w->pool, &after.query);
    world_run(w, 100 * WORLD_MS);
    assert_int_equal(after.status, 0);
    assert_int_equal(after.value, 42);
}

static void cancel_keys_of_every_length(void **state)
{
    (void)state;
    static const size_t sizes[] = { 4, 5, 32, 255, 256 };
    static const struct { const char *asks; bool server, speaks; } cases[] = {
        { "", true, false },
        { "max_protocol_version=latest", false, false },
        { "max_protocol_version=latest", true, true },
        { "min_protocol_version=3.2 max_protocol_version=3.2", true, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            struct world w;
            struct model_config m = { .speaks_3_2 = cases[i].server, .key_size = sizes[k], .auth = MODEL_SCRAM,
                                      .password = "secret" };
            char options[120];
            snprintf(options, sizeof options, "pool_max_conns=1 password=secret %s", cases[i].asks);
            world_open_with(&w, &plain, &m, options);
            stop_one(&w);
            assert_int_equal(model_conn_speaks_3_2(model_conn_at(w.server, 0)), cases[i].speaks);
            assert_int_equal(model_stats(w.server)->cancels_that_hit, 1);
            assert_int_equal(model_stats(w.server)->connections_total, 1);
            world_close(&w);
        }
}

static void a_server_that_is_too_old(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    struct model_config m = { .auth = MODEL_TRUST };
    world_open_with(&w, &plain, &m, "min_protocol_version=3.2 max_protocol_version=latest");
    seen_init(&s, &world_echo, 1);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s.status, PG_E_UNAVAILABLE); /* at once: another try would end in the same way */
    assert_non_null(strstr(pg_error_field(&s.error, 'M'),
                           "min_protocol_version=3.2: the server speaks no protocol above 3.0"));
    world_close(&w);
}

/* Some poolers send no BackendKeyData: then there is nothing to ask with, and nothing is sent. */
static void without_a_key(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, after;
    struct model_config m = { .no_key = true };
    world_open_with(&w, &plain, &m, "pool_max_conns=1 pool_close_linger=5s");
    seen_sql(&slow, "SLEEP 1000");
    slow.query.deadline_ns = pg_reactor_now(w.reactor) + 50 * WORLD_MS;
    pg_pool_query(w.pool, &slow.query);
    world_run(&w, 60 * WORLD_MS);
    assert_int_equal(slow.status, PG_E_TIMEOUT);
    seen_init(&after, &world_echo, 42);
    pg_pool_query(w.pool, &after.query);
    world_run(&w, 1500 * WORLD_MS);
    assert_int_equal(after.status, 0);
    assert_int_equal(model_stats(w.server)->cancels, 0);
    assert_int_equal(model_stats(w.server)->connections_total, 1); /* it came to its end by itself */
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancel_keys_of_every_length),
        cmocka_unit_test(a_server_that_is_too_old),
        cmocka_unit_test(without_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
