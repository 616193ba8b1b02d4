/* unit/test_pool_roles.c - target_session_attrs and failover (failures 55): which host a pool comes to, what makes it
 * leave one, and what must not. One model server per host, told apart by their ports. */
#include "support/world.h"
#include <stdio.h>
#include <string.h>
#include "pool/state.h"

#define THREE "host=127.0.0.1,127.0.0.1,127.0.0.1 port=5432,5433,5434 "
#define TWO "host=127.0.0.1,127.0.0.1 port=5432,5433 "

#define P MODEL_PRIMARY
#define S MODEL_STANDBY
#define R MODEL_READ_ONLY

static void open_roles(struct world *w, unsigned n, const enum model_role *role, bool old, const char *options)
{
    world_open(w, options);
    struct model_config config = { .exit_delay_ns = 200000, .version_13 = old };
    model_settings(w->server)->version_13 = old;
    model_settings(w->server)->role = role[0];
    while (w->nservers < n) {
        config.role = role[w->nservers];
        world_add_server(w, config);
    }
}

static uint32_t now(const struct world *w, unsigned i) { return model_stats(w->servers[i])->connections_now; }
static uint64_t made(const struct world *w, unsigned i) { return model_stats(w->servers[i])->connections_total; }

static void ask(struct world *w, struct seen *s, struct pg_statement *statement, uint64_t ns)
{
    seen_init(s, statement, 7);
    pg_pool_query(w->pool, &s->query);
    if (ns) world_run(w, ns);
}
static void expect(const struct seen *s, int status)
{
    if (s->done != 1 || s->status != status)
        fail_msg("done %u, %s: %s", s->done, pg_error_name(s->status), pg_error_field(&s->error, 'M'));
}
static void serve(struct world *w, struct pg_statement *statement, uint64_t within_ns)
{
    struct seen s;
    ask(w, &s, statement, within_ns);
    expect(&s, PG_OK);
}

/* ---- which host ---- */

static void each_target_finds_its_host(void **state)
{
    (void)state;
    static const struct { const char *target; enum model_role role[3]; int host; const char *misfit; } table[] = {
        { "any", { S, P, R }, 0, NULL },
        { "read-write", { S, R, P }, 2, "session is read-only" },
        { "read-write", { P, S, S }, 0, NULL },
        { "read-only", { P, S, P }, 1, "session is not read-only" },
        { "read-only", { P, R, S }, 1, "session is not read-only" },
        { "primary", { S, R, P }, 1, "server is in hot standby mode" },
        { "standby", { P, R, S }, 2, "server is not in hot standby mode" },
        { "prefer-standby", { P, S, P }, 1, "server is not in hot standby mode" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (int old = 0; old < 2; old++) {
            struct world w;
            char options[200];
            snprintf(options, sizeof options, THREE "pool_max_conns=1 target_session_attrs=%s", table[i].target);
            if (old && table[i].role[0] == R) continue; /* a server of that age would be asked the same */
            open_roles(&w, 3, table[i].role, old, options);
            serve(&w, &world_echo, 40 * WORLD_MS); /* long before any delay is over */
            for (int k = 0; k < 3; k++) assert_int_equal(now(&w, (unsigned)k), k == table[i].host);
            assert_int_equal(w.events[PG_EVENT_CONNECT_FAILED], table[i].host);
            assert_int_equal(world_stats(&w).connect_failed_count, table[i].host);
            if (table[i].misfit) assert_string_equal(pg_error_field(&w.event_error, 'M'), table[i].misfit);
            for (uint32_t k = 0; k < 3; k++)
                assert_int_equal(w.pool->hosts.at[k].circuit.state, RP_CIRCUIT_CLOSED); /* no failure of those */
            world_close(&w);
        }
}

/* What was found stays known: the next connect goes there at once. */
static void what_a_host_is_stays_known(void **state)
{
    (void)state;
    struct world w;
    struct held h[3];
    open_roles(&w, 2, (enum model_role[]){ S, P }, false,
               TWO "pool_max_conns=3 pool_connecting_limit=1 target_session_attrs=read-write");
    for (int i = 0; i < 3; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
    world_run(&w, 40 * WORLD_SECOND);
    assert_int_equal(now(&w, 1), 3);
    assert_int_equal(made(&w, 0), 1);
    for (int i = 0; i < 3; i++) pg_lease_release(&h[i].lease);
    world_close(&w);
}

static void when_none_fits_each_says_why(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_roles(&w, 3, (enum model_role[]){ S, R, P }, false, THREE "pool_max_conns=2 target_session_attrs=read-write");
    model_server_connects(w.servers[2], SIM_REFUSE);
    seen_init(&s, &world_echo, 7);
    s.query.deadline_ns = pg_reactor_now(w.reactor) + 10 * WORLD_SECOND;
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 11 * WORLD_SECOND);
    expect(&s, PG_E_UNAVAILABLE);
    assert_string_equal(pg_error_field(&s.error, 'M'),
                        "connection to 127.0.0.1:5432 failed: session is read-only; connection to 127.0.0.1:5433 "
                        "failed: session is read-only; connection to 127.0.0.1:5434 failed: Connection refused");
    assert_in_range(made(&w, 0), 4, 12); /* looked at again and again, with growing delays */
    model_server_become(w.servers[0], MODEL_PRIMARY); /* promoted: found by the next look */
    ask(&w, &s, &world_insert, 4 * WORLD_SECOND);
    expect(&s, PG_OK);
    world_close(&w);
}

static void prefer_standby_takes_what_there_is(void **state)
{
    (void)state;
    struct world w;
    struct held h[3];
    open_roles(&w, 2, (enum model_role[]){ P, S }, false,
               TWO "pool_max_conns=4 pool_connecting_limit=1 target_session_attrs=prefer-standby");
    model_server_connects(w.servers[1], SIM_REFUSE);
    serve(&w, &world_echo, 300 * WORLD_MS); /* one trial of the standby at the most */
    assert_int_equal(now(&w, 0), 1);
    model_server_connects(w.servers[1], SIM_ACCEPT); /* it comes back, and new connections are made there again */
    world_run(&w, 31 * WORLD_SECOND);
    for (int i = 0; i < 3; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(now(&w, 0), 1);
    assert_int_equal(now(&w, 1), 2);
    for (int i = 0; i < 3; i++) pg_lease_release(&h[i].lease);
    world_close(&w);

    open_roles(&w, 2, (enum model_role[]){ P, P }, false, TWO "pool_max_conns=2 target_session_attrs=prefer-standby");
    serve(&w, &world_echo, 300 * WORLD_MS);
    assert_int_equal(now(&w, 0) + now(&w, 1), 1);
    world_close(&w);
}

/* ---- failover ---- */

/* The server behind the address has become a standby and nobody said so (a proxy, a virtual address): the first 25006
 * is told to its caller; idle connections go at once, shared ones when they are drained, the leased one on its return;
 * and those who wait are served by the new primary. */
static void failover_by_25006(void **state)
{
    (void)state;
    for (int old = 0; old < 2; old++) {
        struct world w;
        struct held h[3];
        struct seen in_lease, behind[3], first, slow, late;
        open_roles(&w, 2, (enum model_role[]){ P, S }, old,
                   TWO "pool_max_conns=3 pool_connecting_limit=3 target_session_attrs=read-write");
        for (int i = 0; i < 3; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
        world_run(&w, 10 * WORLD_MS);
        assert_int_equal(now(&w, 0), 3);
        pg_lease_release(&h[1].lease);
        pg_lease_release(&h[2].lease);
        world_run(&w, WORLD_MS);
        model_settings(w.servers[0])->role = MODEL_STANDBY;
        model_settings(w.servers[1])->role = MODEL_PRIMARY;

        seen_sql(&slow, "SLEEP 100"); /* neighbours on the shared connection are not harmed */
        pg_pool_query(w.pool, &slow.query);
        ask(&w, &first, &world_insert, 0);
        for (int i = 0; i < 3; i++) ask(&w, &behind[i], &world_insert, 0);
        seen_init(&in_lease, &world_insert, 9);
        pg_lease_query(&h[0].lease, &in_lease.query);
        world_run(&w, 200 * WORLD_MS);
        expect(&slow, PG_OK);
        expect(&first, PG_E_SERVER);
        assert_string_equal(first.error.sqlstate, "25006");
        expect(&in_lease, PG_E_SERVER);
        assert_int_equal(now(&w, 0), 1);                     /* the leased one */
        assert_int_equal(w.events[PG_EVENT_RETIRED], 2);
        ask(&w, &late, &world_insert, 50 * WORLD_MS);
        expect(&late, PG_OK);
        pg_lease_release(&h[0].lease);
        world_run(&w, 10 * WORLD_MS);
        assert_int_equal(w.events[PG_EVENT_RETIRED], 3);
        assert_string_equal(w.last_event.host, "127.0.0.1:5432");
        assert_non_null(strstr(pg_error_field(&w.event_error, 'M'), "target_session_attrs"));
        assert_int_equal(now(&w, 0), 0);
        assert_true(now(&w, 1) > 0);
        assert_int_equal(world_stats(&w).lost_conns_count, 0);
        world_close(&w);
    }
}

/* Seen on a lease alone: it is asked when it comes back, and the idle one goes with it. */
static void failover_seen_on_a_lease(void **state)
{
    (void)state;
    struct world w;
    struct held h[2];
    struct seen s[2];
    open_roles(&w, 2, (enum model_role[]){ P, S }, false,
               TWO "pool_max_conns=2 target_session_attrs=read-write pool_reset_sql='SET x TO 1'");
    for (int i = 0; i < 2; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
    world_run(&w, 10 * WORLD_MS);
    pg_lease_release(&h[1].lease);
    model_settings(w.servers[0])->role = MODEL_STANDBY;
    model_settings(w.servers[1])->role = MODEL_PRIMARY;
    seen_sql(&s[0], "BEGIN");
    seen_init(&s[1], &world_insert, 1);
    for (int i = 0; i < 2; i++) pg_lease_query(&h[0].lease, &s[i].query);
    world_run(&w, 10 * WORLD_MS);
    expect(&s[1], PG_E_SERVER);
    assert_int_equal(now(&w, 0), 2);
    assert_int_equal(pg_lease_transaction(&h[0].lease), 'E');
    pg_lease_release(&h[0].lease);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(now(&w, 0), 0);
    assert_int_equal(w.events[PG_EVENT_RETIRED], 2);
    serve(&w, &world_insert, 50 * WORLD_MS);
    world_close(&w);
}

/* What one connection is told of its server counts for all of them, and the others are looked at at once, though it
 * is not long ago that they were not what is asked for. */
static void one_speaks_for_all(void **state)
{
    (void)state;
    struct world w;
    open_roles(&w, 2, (enum model_role[]){ P, S }, false,
               TWO "pool_min_conns=3 pool_max_conns=3 target_session_attrs=standby");
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(now(&w, 1), 3);
    model_settings(w.servers[1])->role = MODEL_PRIMARY;
    model_settings(w.servers[0])->role = MODEL_STANDBY;
    model_conn_parameter_status(model_conn_at(w.servers[1], 1), "in_hot_standby", "off");
    world_run(&w, WORLD_MS / 4); /* no time for a new connection to find it out */
    assert_int_equal(w.events[PG_EVENT_RETIRED], 3);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(now(&w, 0), 3);
    world_close(&w);
}

/* Of a pool that nobody uses, too: the receive is armed. */
static void failover_by_parameter_status(void **state)
{
    (void)state;
    struct world w;
    open_roles(&w, 2, (enum model_role[]){ S, P }, false,
               TWO "pool_min_conns=2 pool_max_conns=2 target_session_attrs=standby");
    world_run(&w, WORLD_SECOND);
    assert_int_equal(now(&w, 0), 2);
    model_server_become(w.servers[0], MODEL_PRIMARY);
    model_server_become(w.servers[1], MODEL_STANDBY);
    world_run(&w, 50 * WORLD_MS);
    assert_int_equal(w.events[PG_EVENT_RETIRED], 2);
    assert_int_equal(now(&w, 0), 0);
    assert_int_equal(now(&w, 1), 2);
    world_close(&w);
}

/* The primary is gone and the standby is not promoted yet: who waits is served once it is. */
static void waiters_outlast_the_promotion(void **state)
{
    (void)state;
    struct world w;
    struct seen s[20];
    struct held held;
    open_roles(&w, 2, (enum model_role[]){ P, S }, false,
               TWO "pool_max_conns=4 pool_acquire_timeout=60s target_session_attrs=primary");
    held_init(&held);
    pg_pool_acquire(w.pool, &held.lease);
    serve(&w, &world_insert, 10 * WORLD_MS);
    model_server_connects(w.servers[0], SIM_REFUSE);
    model_server_restart(w.servers[0], MODEL_END_FATAL, 0);
    for (int i = 0; i < 20; i++) ask(&w, &s[i], &world_insert, WORLD_MS);
    world_run(&w, 15 * WORLD_SECOND);
    unsigned lost = 0; /* those that were on their way when the server went: they know it */
    for (int i = 0; i < 20; i++) lost += s[i].done;
    for (int i = 0; i < 20; i++)
        if (s[i].done) assert_true(s[i].status == PG_E_LOST);
    assert_true(lost < 3);
    model_server_become(w.servers[1], MODEL_PRIMARY);
    world_run(&w, 4 * WORLD_SECOND);
    for (int i = 0; i < 20; i++)
        if (s[i].status != PG_E_LOST) expect(&s[i], PG_OK);
    pg_lease_release(&held.lease);
    world_close(&w);
}

/* A new connection finds another server than the older ones did: they go as well. */
static void a_new_connection_knows_better(void **state)
{
    (void)state;
    struct world w;
    struct held h[2];
    open_roles(&w, 2, (enum model_role[]){ P, S }, false,
               TWO "pool_max_conns=3 pool_connecting_limit=1 target_session_attrs=read-write");
    for (int i = 0; i < 2; i++) held_init(&h[i]);
    pg_pool_acquire(w.pool, &h[0].lease);
    world_run(&w, 10 * WORLD_MS);
    model_settings(w.servers[0])->role = MODEL_STANDBY;
    model_settings(w.servers[1])->role = MODEL_PRIMARY;
    pg_pool_acquire(w.pool, &h[1].lease);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(h[1].status + (int)h[1].grants, 1);
    assert_int_equal(now(&w, 1), 1);
    assert_int_equal(now(&w, 0), 1);
    pg_lease_release(&h[0].lease);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(now(&w, 0), 0);
    pg_lease_release(&h[1].lease);
    world_close(&w);
}

/* ---- what must not cause churn ---- */

static void a_transaction_may_be_read_only(void **state)
{
    (void)state;
    static const char *const targets[] = { "read-write", "primary", "any", "prefer-standby" };
    for (int i = 0; i < 8; i++) {
        struct world w;
        struct held h;
        struct seen s[3];
        char options[200];
        snprintf(options, sizeof options, TWO "pool_max_conns=1 target_session_attrs=%s", targets[i % 4]);
        open_roles(&w, 2, (enum model_role[]){ P, P }, i >= 4, options);
        for (int round = 0; round < 3; round++) {
            held_init(&h);
            pg_pool_acquire(w.pool, &h.lease);
            world_run(&w, 10 * WORLD_MS);
            seen_sql(&s[0], "BEGIN READ ONLY");
            seen_init(&s[1], &world_insert, 1);
            seen_sql(&s[2], "ROLLBACK");
            for (int k = 0; k < 3; k++) pg_lease_query(&h.lease, &s[k].query);
            world_run(&w, 10 * WORLD_MS);
            expect(&s[1], PG_E_SERVER);
            assert_string_equal(s[1].error.sqlstate, "25006");
            pg_lease_release(&h.lease);
            serve(&w, &world_insert, 10 * WORLD_MS);
        }
        assert_int_equal(made(&w, 0) + made(&w, 1), i % 4 == 3 ? 2 : 1);
        assert_int_equal(w.events[PG_EVENT_RETIRED], 0);
        world_close(&w);
    }
}

/* SET default_transaction_read_only in one session: that one goes on its return, unless it was taken back. */
static void a_session_may_be_read_only(void **state)
{
    (void)state;
    struct world w;
    struct held h[2];
    open_roles(&w, 2, (enum model_role[]){ P, P }, false, TWO "pool_max_conns=2 target_session_attrs=read-write");
    for (int taken_back = 1; taken_back >= 0; taken_back--) {
        for (int i = 0; i < 2; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
        world_run(&w, 10 * WORLD_MS);
        struct seen s[3];
        seen_sql(&s[0], "SET default_transaction_read_only = on");
        seen_init(&s[1], &world_insert, 1);
        seen_sql(&s[2], "SET default_transaction_read_only = off");
        for (int i = 0; i < 2 + taken_back; i++) pg_lease_query(&h[0].lease, &s[i].query);
        world_run(&w, 10 * WORLD_MS);
        expect(&s[1], PG_E_SERVER);
        assert_int_equal(now(&w, 0), 2);
        for (int i = 0; i < 2; i++) pg_lease_release(&h[i].lease);
        world_run(&w, 10 * WORLD_MS);
        assert_int_equal(now(&w, 0), 1 + taken_back);
        assert_int_equal(w.events[PG_EVENT_RETIRED], !taken_back);
    }
    world_close(&w);
}

/* any: a connection that was writable and is not any more goes, by itself; on a standby 25006 is the rule. */
static void any_is_any(void **state)
{
    (void)state;
    struct world w;
    struct held h[2];
    struct seen s;
    open_roles(&w, 1, (enum model_role[]){ P }, false, "pool_max_conns=2");
    for (int i = 0; i < 2; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
    world_run(&w, 10 * WORLD_MS);
    for (int i = 0; i < 2; i++) pg_lease_release(&h[i].lease);
    model_settings(w.server)->role = MODEL_STANDBY;
    ask(&w, &s, &world_insert, 10 * WORLD_MS);
    expect(&s, PG_E_SERVER);
    assert_int_equal(w.events[PG_EVENT_RETIRED], 1);
    assert_int_equal(now(&w, 0), 1);
    ask(&w, &s, &world_insert, 10 * WORLD_MS);
    assert_int_equal(w.events[PG_EVENT_RETIRED], 2);
    for (int i = 0; i < 3; i++) ask(&w, &s, &world_insert, 10 * WORLD_MS);
    expect(&s, PG_E_SERVER);
    assert_int_equal(w.events[PG_EVENT_RETIRED], 2);
    assert_int_equal(made(&w, 0), 3);
    world_close(&w);
}

/* A slow statement has its connection for itself; what it learns is as good as what others learn. */
static void failover_seen_by_a_slow_statement(void **state)
{
    (void)state;
    static struct pg_statement slow_insert = PG_STATEMENT("INSERT $1", PG_TYPE_INT8);
    struct world w;
    struct seen s;
    slow_insert.flags = PG_STATEMENT_SLOW;
    open_roles(&w, 2, (enum model_role[]){ P, S }, false, TWO "pool_max_conns=2 target_session_attrs=read-write");
    serve(&w, &slow_insert, 50 * WORLD_MS);
    assert_int_equal(now(&w, 0), 1);
    model_settings(w.servers[0])->role = MODEL_STANDBY;
    model_settings(w.servers[1])->role = MODEL_PRIMARY;
    ask(&w, &s, &slow_insert, 50 * WORLD_MS);
    expect(&s, PG_E_SERVER);
    assert_int_equal(w.events[PG_EVENT_RETIRED], 1);
    assert_int_equal(now(&w, 0), 0);
    serve(&w, &slow_insert, 50 * WORLD_MS);
    assert_int_equal(now(&w, 1), 1);
    world_close(&w);
}

/* No more connections than are needed, though the only host is not what is preferred. */
static void a_primary_is_not_overrun_for_want_of_a_standby(void **state)
{
    (void)state;
    struct world w;
    struct held h[3];
    open_roles(&w, 1, (enum model_role[]){ P }, false,
               "pool_max_conns=8 pool_connecting_limit=8 target_session_attrs=prefer-standby");
    for (unsigned i = 0; i < 3; i++) {
        held_init(&h[i]);
        pg_pool_acquire(w.pool, &h[i].lease);
        world_run(&w, 20 * WORLD_MS);
        assert_int_equal(h[i].grants, 1);
        assert_int_equal(made(&w, 0), i + 1);
    }
    for (int i = 0; i < 3; i++) pg_lease_release(&h[i].lease);
    world_close(&w);
}

/* A standby that is full keeps nobody from the primary. */
static void a_full_standby_is_passed_over(void **state)
{
    (void)state;
    struct world w;
    struct held h[4];
    open_roles(&w, 2, (enum model_role[]){ S, P }, false,
               TWO "pool_max_conns=4 pool_connecting_limit=1 target_session_attrs=prefer-standby");
    model_settings(w.servers[0])->max_connections = 1;
    for (unsigned i = 0; i < 4; i++) {
        held_init(&h[i]);
        pg_pool_acquire(w.pool, &h[i].lease);
        world_run(&w, 5 * WORLD_SECOND); /* the standby may be asked again by then */
        if (!h[i].grants) fail_msg("%u waits", i);
    }
    assert_int_equal(now(&w, 0), 1);
    assert_int_equal(now(&w, 1), 3);
    for (int i = 0; i < 4; i++) pg_lease_release(&h[i].lease);
    world_close(&w);
}

/* What a host is does not matter while no other can be had, and nobody waits until it may have become another. */
static void the_only_primary_is_back_as_soon_as_it_can_be_reached(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_roles(&w, 1, (enum model_role[]){ P }, false, "pool_max_conns=1 target_session_attrs=prefer-standby");
    for (int i = 0; i < 7; i++) { /* found to be no standby, again and again: the delay is at its longest */
        serve(&w, &world_echo, 3100ull * WORLD_MS);
        pg_pool_reset(w.pool);
        world_run(&w, 20 * WORLD_MS);
    }
    serve(&w, &world_echo, 20 * WORLD_MS);
    model_server_restart(w.servers[0], MODEL_END_RESET, 30 * WORLD_MS);
    world_run(&w, WORLD_MS);
    ask(&w, &s, &world_echo, 250 * WORLD_MS);
    expect(&s, PG_OK);
    world_close(&w);
}

/* It had been judged when its connect_sql began. */
static void a_change_while_it_is_made_ready(void **state)
{
    (void)state;
    struct world w;
    open_roles(&w, 2, (enum model_role[]){ P, S }, false,
               TWO "pool_max_conns=1 pool_min_conns=1 target_session_attrs=primary pool_connect_sql='SLEEP 30'");
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(world_stats(&w).constructing_conns, 1);
    assert_int_equal(now(&w, 0), 1);
    model_server_become(w.servers[0], S);
    model_server_become(w.servers[1], P);
    serve(&w, &world_echo, 10 * WORLD_SECOND);
    assert_int_equal(now(&w, 0), 0);
    assert_int_equal(now(&w, 1), 1);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_while_it_is_made_ready),
        cmocka_unit_test(each_target_finds_its_host),
        cmocka_unit_test(what_a_host_is_stays_known),
        cmocka_unit_test(when_none_fits_each_says_why),
        cmocka_unit_test(prefer_standby_takes_what_there_is),
        cmocka_unit_test(failover_by_25006),
        cmocka_unit_test(failover_seen_on_a_lease),
        cmocka_unit_test(one_speaks_for_all),
        cmocka_unit_test(failover_by_parameter_status),
        cmocka_unit_test(waiters_outlast_the_promotion),
        cmocka_unit_test(a_new_connection_knows_better),
        cmocka_unit_test(a_transaction_may_be_read_only),
        cmocka_unit_test(a_session_may_be_read_only),
        cmocka_unit_test(any_is_any),
        cmocka_unit_test(failover_seen_by_a_slow_statement),
        cmocka_unit_test(a_primary_is_not_overrun_for_want_of_a_standby),
        cmocka_unit_test(a_full_standby_is_passed_over),
        cmocka_unit_test(the_only_primary_is_back_as_soon_as_it_can_be_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
