/* unit/test_pool_capacity.c - a server that is full: 53300 and its kind shrink the effective maximum, end nobody who
 * waits, are asked about seldom, and pass by themselves. Simulated host, virtual time. */
#include "support/world.h"
#include <string.h>

/* ---- a crowd: each of them holds a lease for a while, again and again ---- */

enum { CROWD = 12, HOLD_MS = 10 };
static struct crowd {
    struct world w;
    struct member { struct held held; struct pg_pool *pool; } member[CROWD];
    unsigned served, failed;
    bool over;
    struct pg_pool *other;
    unsigned other_served;
} c;

static void go_home(void *arg)
{
    struct member *m = arg;
    pg_lease_release(&m->held.lease);
    if (!c.over) pg_pool_acquire(m->pool, &m->held.lease);
}
static void came(struct pg_lease *lease, int status)
{
    struct member *m = lease->data;
    c.failed += status != 0;
    if (!status) {
        c.served++;
        c.other_served += m->pool == c.other;
        sim_after(c.w.sim, HOLD_MS * WORLD_MS, go_home, m);
    } else if (!c.over) {
        pg_pool_acquire(m->pool, &m->held.lease);
    }
}
static void come(struct pg_pool *pool, int from, int to)
{
    for (int i = from; i < to; i++) {
        held_init(&c.member[i].held);
        c.member[i].pool = pool;
        c.member[i].held.lease.on_grant = came;
        c.member[i].held.lease.data = &c.member[i];
        pg_pool_acquire(pool, &c.member[i].held.lease);
    }
}
static void leave(void)
{
    c.over = true;
    world_run(&c.w, WORLD_SECOND);
    for (int i = 0; i < CROWD; i++) pg_lease_abandon(&c.member[i].held.lease);
}

static void open_crowd(uint32_t server_takes, const char *options)
{
    struct sim_config sim = { .seed = 7, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    struct model_config server = { .exit_delay_ns = 200000, .max_connections = server_takes };
    memset(&c, 0, sizeof c);
    world_open_with(&c.w, &sim, &server, options);
}

static uint64_t attempts(void) { return model_stats(c.w.server)->connections_total; }

/* What a pool may ask of a full server in that time: its first flight, the short delays, and one each 1.5 s then. */
static uint64_t attempts_most(uint64_t seconds) { return 4 + 6 + seconds * 2 / 3; }

static void a_full_server_is_no_failure(void **state)
{
    (void)state;
    open_crowd(3, "pool_max_conns=8 pool_acquire_timeout=2s");
    come(c.w.pool, 0, CROWD);
    world_run(&c.w, 60 * WORLD_SECOND);
    struct pg_pool_stats s = world_stats(&c.w);
    assert_int_equal(c.failed, 0);
    assert_in_range(c.served, 17000, 18100); /* as three connections can: 300 a second */
    assert_int_equal(s.total_conns, 3);
    assert_in_range(s.effective_max_conns, 3, 4);
    assert_int_equal(s.max_conns, 8);
    assert_int_equal(s.lost_conns_count, 0);
    assert_in_range(attempts(), 3 + 60 / 4, 3 + attempts_most(60));
    leave();
    world_close(&c.w);
}

static void room_is_found_within_one_delay(void **state)
{
    (void)state;
    open_crowd(2, "pool_max_conns=8");
    come(c.w.pool, 0, CROWD);
    world_run(&c.w, 30 * WORLD_SECOND);
    assert_int_equal(world_stats(&c.w).total_conns, 2);
    model_settings(c.w.server)->max_connections = 0;
    world_run(&c.w, 3 * WORLD_SECOND + 50 * WORLD_MS);
    struct pg_pool_stats s = world_stats(&c.w);
    assert_int_equal(s.total_conns, 8);
    assert_int_equal(s.effective_max_conns, 8);
    assert_int_equal(c.failed, 0);
    leave();
    world_close(&c.w);
}

/* One by one, and then by twos and fours; the last four are one too many by three, and then come the short delays. */
static void part_of_the_room_is_found(void **state)
{
    (void)state;
    open_crowd(2, "pool_max_conns=12");
    come(c.w.pool, 0, CROWD);
    world_run(&c.w, 30 * WORLD_SECOND);
    uint64_t before = model_stats(c.w.server)->refused;
    model_settings(c.w.server)->max_connections = 7;
    world_run(&c.w, 3 * WORLD_SECOND + 50 * WORLD_MS);
    assert_int_equal(world_stats(&c.w).total_conns, 7);
    assert_in_range(model_stats(c.w.server)->refused - before, 1, 3 + 6);
    model_settings(c.w.server)->max_connections = 3; /* who is in stays in */
    world_run(&c.w, 10 * WORLD_SECOND);
    assert_int_equal(world_stats(&c.w).total_conns, 7);
    size_t first = 0;
    while (!model_conn_alive(model_conn_at(c.w.server, first))) first++;
    model_conn_end(model_conn_at(c.w.server, first), MODEL_END_RESET, NULL);
    uint64_t asked = attempts();
    world_run(&c.w, 10 * WORLD_SECOND);
    assert_int_equal(world_stats(&c.w).total_conns, 6); /* its place is gone */
    assert_in_range(attempts() - asked, 1, attempts_most(10));
    leave();
    world_close(&c.w);
}

static void statements_go_on_too(void **state)
{
    (void)state;
    struct seen s[200];
    open_crowd(1, "pool_max_conns=4 pool_max_pipeline=8");
    for (int i = 0; i < 200; i++) seen_init(&s[i], &world_echo, i), pg_pool_query(c.w.pool, &s[i].query);
    world_run(&c.w, WORLD_SECOND);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(s[i].done, 1);
        assert_int_equal(s[i].status, 0);
    }
    assert_int_equal(model_stats(c.w.server)->connections_max, 1);
    world_close(&c.w);
}

/* ---- with no connection at all ---- */

static void nobody_is_let_in(const char *sqlstate)
{
    struct held early, late;
    open_crowd(0, "pool_max_conns=4 pool_min_conns=2 pool_acquire_timeout=20s");
    model_server_refuse(c.w.server, sqlstate);
    held_init(&early);
    held_init(&late);
    uint64_t start = sim_now(c.w.sim);
    early.lease.deadline_ns = start + 5 * WORLD_SECOND;
    pg_pool_acquire(c.w.pool, &early.lease);
    pg_pool_acquire(c.w.pool, &late.lease);
    world_run(&c.w, 4900ull * WORLD_MS);
    assert_int_equal(early.grants, 0); /* it may pass: nobody is ended before the own deadline */
    world_run(&c.w, 200 * WORLD_MS);
    assert_int_equal(early.grants, 1);
    assert_int_equal(early.status, PG_E_UNAVAILABLE);
    assert_string_equal(early.error.sqlstate, sqlstate);
    world_run(&c.w, 10 * WORLD_SECOND);
    assert_int_equal(late.grants, 0);
    assert_in_range(attempts(), 5, attempts_most(15));
    assert_int_equal(world_stats(&c.w).effective_max_conns, 1);
    model_server_refuse(c.w.server, NULL);
    world_run(&c.w, 3 * WORLD_SECOND + 50 * WORLD_MS);
    assert_int_equal(late.grants, 1);
    assert_int_equal(late.status, 0);
    assert_in_range(world_stats(&c.w).total_conns, 2, 4);
    pg_lease_release(&late.lease);
    world_close(&c.w);
}
static void waiters_wait_for_the_first_one(void **state)
{
    (void)state;
    nobody_is_let_in("53300");
    nobody_is_let_in("57P03");
}

/* ---- several that want the same ---- */

static void two_pools_share_what_there_is(void **state)
{
    (void)state;
    struct pg_error error;
    open_crowd(4, "pool_max_conns=4 pool_acquire_timeout=1m");
    struct pg_pool_config config = PG_POOL_CONFIG("host=127.0.0.1 user=app dbname=app sslmode=disable pool_max_conns=4 "
                                                  "pool_acquire_timeout=1m");
    assert_int_equal(pg_pool_open(&c.other, c.w.reactor, &config, &error), 0);
    come(c.w.pool, 0, CROWD / 2);
    come(c.other, CROWD / 2, CROWD);
    world_run(&c.w, 30 * WORLD_SECOND);
    assert_int_equal(c.failed, 0);
    assert_in_range(c.served, 11000, 12100); /* four connections are busy */
    assert_true(c.other_served > 2500);
    assert_in_range(attempts(), 8, 2 * attempts_most(30));
    struct pg_pool_stats mine = world_stats(&c.w), other = { .size = sizeof other };
    pg_pool_stats(c.other, &other);
    assert_int_equal(mine.total_conns + other.total_conns, 4);
    assert_int_equal(pg_pool_resize(c.w.pool, 0, 1), 0); /* what one gives away the other one finds */
    world_run(&c.w, 3 * WORLD_SECOND + 50 * WORLD_MS);
    pg_pool_stats(c.other, &other);
    assert_int_equal(other.total_conns, 3);
    leave();
    pg_pool_close(c.other, 0, NULL, NULL);
    world_close(&c.w);
}

/* ---- beside the rest ---- */

static void resizing_keeps_the_limit(void **state)
{
    (void)state;
    open_crowd(3, "pool_max_conns=6");
    come(c.w.pool, 0, CROWD);
    world_run(&c.w, 30 * WORLD_SECOND);
    uint64_t before = attempts();
    assert_int_equal(pg_pool_resize(c.w.pool, 0, 10), 0); /* there is no more room for that */
    world_run(&c.w, WORLD_MS);
    assert_true(attempts() - before <= 1);
    assert_in_range(world_stats(&c.w).effective_max_conns, 3, 4);
    assert_int_equal(pg_pool_resize(c.w.pool, 0, 2), 0);
    world_run(&c.w, WORLD_SECOND);
    assert_int_equal(world_stats(&c.w).total_conns, 2);
    assert_int_equal(world_stats(&c.w).effective_max_conns, 2);
    assert_int_equal(pg_pool_resize(c.w.pool, 0, 3), 0);
    world_run(&c.w, WORLD_SECOND);
    assert_int_equal(world_stats(&c.w).total_conns, 3);
    assert_int_equal(c.failed, 0);
    leave();
    world_close(&c.w);
}

/* Without demand nothing is asked: a limit costs no connects. */
static void nobody_asks_for_nothing(void **state)
{
    (void)state;
    open_crowd(2, "pool_max_conns=4");
    come(c.w.pool, 0, CROWD);
    world_run(&c.w, 5 * WORLD_SECOND);
    leave();
    uint64_t before = attempts();
    world_run(&c.w, 60 * WORLD_SECOND);
    assert_int_equal(attempts(), before);
    assert_true(world_stats(&c.w).effective_max_conns <= 3);
    world_close(&c.w);
}

static void closing_ends_the_delay(void **state)
{
    (void)state;
    open_crowd(1, "pool_max_conns=4");
    come(c.w.pool, 0, CROWD);
    world_run(&c.w, 20 * WORLD_SECOND);
    c.over = true;
    uint64_t now = sim_now(c.w.sim);
    pg_pool_close(c.w.pool, now + 30 * WORLD_SECOND, NULL, NULL);
    world_run(&c.w, 2 * WORLD_SECOND); /* who waits is served by the one */
    assert_int_equal(c.failed, 0);
    c.w.pool = NULL;
    assert_int_equal(model_stats(c.w.server)->connections_now, 0);
    world_close(&c.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_server_is_no_failure), cmocka_unit_test(room_is_found_within_one_delay),
        cmocka_unit_test(part_of_the_room_is_found),   cmocka_unit_test(statements_go_on_too),
        cmocka_unit_test(waiters_wait_for_the_first_one), cmocka_unit_test(two_pools_share_what_there_is),
        cmocka_unit_test(resizing_keeps_the_limit),    cmocka_unit_test(nobody_asks_for_nothing),
        cmocka_unit_test(closing_ends_the_delay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
