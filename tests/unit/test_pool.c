/* unit/test_pool.c - parking and resuming on the simulated host: who is granted in which order, and that every waiter ends
 * exactly once whatever happens in the same turn. Each test opens its own world and closes it; closing asserts that
 * nothing is left anywhere. */
#include "support/world.h"
#include <stdlib.h>
#include <string.h>

/* ---- serving ---- */

static void shared_query_answers(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    world_open(&w, "pool_max_conns=2");
    seen_init(&s, &world_echo, 42);
    pg_pool_query(w.pool, &s.query);
    assert_int_equal(s.done, 0); /* never inside the call */
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s.done, 1);
    assert_string_equal(pg_error_name(s.status), "PG_OK");
    assert_int_equal(s.rows, 1);
    assert_int_equal(s.value, 42);
    assert_int_equal(s.query.rows, 1);
    assert_string_equal(s.query.tag, "SELECT");
    assert_int_equal(s.sent, PG_SENT_YES);
    world_close(&w);
}

/* N handlers on M < N connections: granted in the order of their calls, one resumed by each release. */
static void grants_are_first_in_first_out(void **state)
{
    (void)state;
    enum { N = 64, M = 3 };
    struct world w;
    struct held h[N];
    world_open(&w, "pool_max_conns=3");
    for (int i = 0; i < N; i++) {
        held_init(&h[i]);
        pg_pool_acquire(w.pool, &h[i].lease);
        assert_int_equal(h[i].grants, 0);
    }
    world_run(&w, WORLD_SECOND);
    unsigned last = 0;
    for (int i = 0; i < N; i++) {
        assert_int_equal(h[i].grants, 1);
        assert_int_equal(h[i].status, 0);
        assert_true(h[i].order > last);
        last = h[i].order;
        if (i + M < N) assert_int_equal(h[i + M].grants, 0); /* M at a time, not one more */
        pg_lease_release(&h[i].lease);
        world_run(&w, WORLD_MS);
    }
    assert_int_equal(model_stats(w.server)->connections_max, M);
    assert_int_equal(world_stats(&w).acquire_count, N);
    assert_int_equal(world_stats(&w).max_pending, N);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_query_answers),
        cmocka_unit_test(grants_are_first_in_first_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
