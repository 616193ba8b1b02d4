/* unit/test_pool_hosts.c - a pool with several hosts (failures 16, 50): the order in which they are tried, their
 * circuits, what is told of which host. One model server per host, told apart by their ports. */
#include "support/world.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include "pool/state.h"
#include "support/sim_private.h"

#define THREE "host=127.0.0.1,127.0.0.1,127.0.0.1 port=5432,5433,5434 "
#define TWO "host=127.0.0.1,127.0.0.1 port=5432,5433 "

static void open_hosts(struct world *w, unsigned n, const char *options)
{
    world_open(w, options);
    struct model_config config = { .exit_delay_ns = 200000 };
    while (w->nservers < n) world_add_server(w, config);
}

static uint64_t made(const struct world *w, unsigned i) { return model_stats(w->servers[i])->connections_total; }
static uint32_t now(const struct world *w, unsigned i) { return model_stats(w->servers[i])->connections_now; }

/* One statement, by itself; it must go well. */
static void serve_one(struct world *w, uint64_t within_ns)
{
    struct seen s;
    seen_init(&s, &world_echo, 7);
    pg_pool_query(w->pool, &s.query);
    world_run(w, within_ns);
    if (s.status || s.done != 1)
        fail_msg("done %u, %s: %s", s.done, pg_error_name(s.status), pg_error_field(&s.error, 'M'));
    assert_int_equal(s.value, 7);
}

static void hold(struct world *w, struct held *h, unsigned n)
{
    for (unsigned i = 0; i < n; i++) held_init(&h[i]), pg_pool_acquire(w->pool, &h[i].lease);
    world_run(w, WORLD_SECOND);
}
static void let_go(struct world *w, struct held *h, unsigned n)
{
    for (unsigned i = 0; i < n; i++) pg_lease_abandon(&h[i].lease);
    world_run(w, WORLD_SECOND);
}

/* ---- order ---- */

static void the_first_that_can_be_reached(void **state)
{
    (void)state;
    static const enum sim_connect down[] = { SIM_REFUSE, SIM_UNREACHABLE, SIM_BACKLOG_FULL };
    for (unsigned i = 0; i < 3; i++) {
        struct world w;
        open_hosts(&w, 3, THREE "pool_max_conns=1");
        model_server_connects(w.servers[0], down[i]);
        serve_one(&w, 40 * WORLD_MS); /* long before a backoff is over: the next one is tried at once */
        assert_int_equal(now(&w, 1), 1);
        assert_int_equal(made(&w, 2), 0);
        assert_int_equal(world_stats(&w).connect_failed_count, 1);
        assert_int_equal(w.events[PG_EVENT_CONNECT_FAILED], 1);
        assert_string_equal(w.last_event.host, "127.0.0.1:5433"); /* CONNECTED came last */
        world_close(&w);
    }
}

static void all_in_order_by_default(void **state)
{
    (void)state;
    struct world w;
    struct held h[4];
    open_hosts(&w, 2, TWO "pool_max_conns=4");
    hold(&w, h, 4);
    assert_int_equal(now(&w, 0), 4);
    assert_int_equal(made(&w, 1), 0);
    let_go(&w, h, 4);
    world_close(&w);
}

static void at_random_if_asked_for(void **state)
{
    (void)state;
    struct world w;
    struct held h[60];
    open_hosts(&w, 3, THREE "pool_max_conns=60 load_balance_hosts=random");
    hold(&w, h, 60);
    assert_int_equal(now(&w, 0) + now(&w, 1) + now(&w, 2), 60);
    for (unsigned i = 0; i < 3; i++) assert_in_range(now(&w, i), 10, 30);
    let_go(&w, h, 60);
    world_close(&w);
}

/* Nothing of one host is left when the next is talked to: a whole new session, and no bytes before its own. */
static void a_password_goes_only_where_it_is_asked_for(void **state)
{
    (void)state;
    struct world w;
    open_hosts(&w, 2, TWO "pool_max_conns=1 password=pw");
    model_settings(w.servers[0])->auth = MODEL_CLEARTEXT;
    model_settings(w.servers[0])->password = "pw";
    model_server_refuse(w.servers[0], "57P03"); /* before authentication */
    serve_one(&w, 50 * WORLD_MS);               /* the second one asks for none, and aborts the test if one is sent */
    assert_int_equal(now(&w, 1), 1);
    world_close(&w);
}

/* ---- circuits ---- */

static void a_host_that_is_down_is_not_asked_again_while_another_serves(void **state)
{
    (void)state;
    struct world w;
    struct held h[3];
    open_hosts(&w, 2, TWO "pool_max_conns=3 pool_connecting_limit=1");
    model_server_connects(w.servers[0], SIM_REFUSE);
    hold(&w, h, 3);
    assert_int_equal(now(&w, 1), 3);
    assert_int_equal(world_stats(&w).connect_failed_count, 1);
    let_go(&w, h, 3);
    pg_pool_reset(w.pool);
    world_run(&w, 5 * WORLD_SECOND); /* its backoff is over for long */
    hold(&w, h, 2);
    assert_int_equal(now(&w, 1), 2);
    assert_int_equal(world_stats(&w).connect_failed_count, 1);
    let_go(&w, h, 2);
    world_close(&w);
}

/* After a while it is worth a look, if others have room meanwhile; then it is the first again. */
static void one_that_came_back_is_used_again(void **state)
{
    (void)state;
    struct world w;
    struct held h[2];
    open_hosts(&w, 2, TWO "pool_max_conns=3 pool_connecting_limit=1");
    model_server_connects(w.servers[0], SIM_REFUSE);
    serve_one(&w, WORLD_SECOND);
    model_server_connects(w.servers[0], SIM_ACCEPT);
    world_run(&w, 31 * WORLD_SECOND);
    hold(&w, h, 2);
    assert_int_equal(now(&w, 0), 1);
    assert_int_equal(now(&w, 1), 1);
    let_go(&w, h, 2);
    world_close(&w);
}

/* The trial itself may hang: meanwhile nobody waits for it who could be served. */
static void a_trial_that_hangs_harms_nobody(void **state)
{
    (void)state;
    struct world w;
    struct held h[3];
    open_hosts(&w, 2, TWO "pool_max_conns=3 connect_timeout=20");
    model_server_connects(w.servers[0], SIM_REFUSE);
    serve_one(&w, WORLD_SECOND);
    model_server_connects(w.servers[0], SIM_HANG);
    world_run(&w, 31 * WORLD_SECOND);
    for (unsigned i = 0; i < 2; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(h[0].grants + h[1].grants, 2);
    assert_int_equal(h[0].status | h[1].status, 0);
    assert_int_equal(w.pool->hosts.at[0].connecting, 1); /* it was there, and hangs */
    let_go(&w, h, 2);
    world_close(&w);
}

static struct { sim_accept_fn *model; void *model_arg; unsigned asked[2]; uint64_t at_ns[2][64]; bool up; } gate;
static enum sim_connect count_connects(void *arg, struct sim_peer *peer, const struct sockaddr *address)
{
    unsigned i = ((const uint8_t *)address->sa_data)[1] & 1; /* the port's low byte: 5432 is 0x1538 */
    if (gate.asked[i] < 64) gate.at_ns[i][gate.asked[i]] = sim_now(arg);
    gate.asked[i]++;
    return gate.up ? gate.model(gate.model_arg, peer, address) : SIM_REFUSE;
}

/* All are down, 40 wait: each host is tried by one connect at a time, after a delay that doubles and is never shorter
 * than half of it; when one is up, everybody is served. */
static void all_down_and_then_one_up(void **state)
{
    (void)state;
    struct world w;
    struct seen s[40];
    open_hosts(&w, 2, TWO "pool_max_conns=8 pool_connecting_limit=8 pool_acquire_timeout=1h");
    memset(&gate, 0, sizeof gate);
    gate.model = w.sim->accept;
    gate.model_arg = w.sim->accept_arg;
    sim_listen(w.sim, count_connects, w.sim);
    for (int i = 0; i < 40; i++) seen_init(&s[i], &world_echo, i), pg_pool_query(w.pool, &s[i].query);
    world_run(&w, 20 * WORLD_SECOND);
    for (int i = 0; i < 2; i++) {
        uint64_t delay = 100 * (uint64_t)WORLD_MS;
        unsigned first = 0; /* those that began together */
        while (gate.at_ns[i][first + 1] - gate.at_ns[i][0] < 40 * (uint64_t)WORLD_MS) first++;
        assert_in_range(gate.asked[i], first + 9,
                        first + 18); /* 20 s by delays of 1.5 to 3 s, after 3 s of shorter ones */
        for (unsigned k = first + 1; k < gate.asked[i]; k++) {
            uint64_t waited = gate.at_ns[i][k] - gate.at_ns[i][k == first + 1 ? first : k - 1];
            assert_in_range(waited, delay / 2, delay + 5 * WORLD_MS);
            delay = delay * 2 > 3000ull * WORLD_MS ? 3000ull * WORLD_MS : delay * 2;
        }
        assert_int_equal(w.pool->hosts.at[i].connecting + (w.pool->hosts.at[i].circuit.state == RP_CIRCUIT_CLOSED), 0);
    }
    gate.up = true;
    model_server_connects(w.servers[0], SIM_REFUSE);
    world_run(&w, 4 * WORLD_SECOND);
    for (int i = 0; i < 40; i++) assert_int_equal(s[i].status + (int)s[i].done, 1);
    assert_true(now(&w, 1) > 0);
    assert_int_equal(now(&w, 0), 0);
    world_close(&w);
}

/* ---- what is told ---- */

static void each_host_has_its_say(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_hosts(&w, 3, THREE "pool_max_conns=1");
    model_server_connects(w.servers[0], SIM_REFUSE);
    model_server_connects(w.servers[1], SIM_UNREACHABLE);
    model_server_refuse(w.servers[2], "57P03");
    seen_init(&s, &world_echo, 7);
    s.query.deadline_ns = pg_reactor_now(w.reactor) + WORLD_SECOND;
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 2 * WORLD_SECOND);
    assert_int_equal(s.status, PG_E_UNAVAILABLE);
    const char *text = pg_error_field(&s.error, 'M');
    assert_non_null(strstr(text, "connection to 127.0.0.1:5432 failed: "));
    assert_non_null(strstr(text, "; connection to 127.0.0.1:5433 failed: "));
    assert_non_null(strstr(text, "; connection to 127.0.0.1:5434 failed: the database system is starting up"));
    world_close(&w);
}

/* One that refuses for good is as if it were down, as long as another may serve; when all do, nobody waits for it. */
static void refused_for_good(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_hosts(&w, 2, TWO "pool_max_conns=1 pool_acquire_timeout=1h");
    model_server_refuse(w.servers[0], "28000");
    serve_one(&w, 50 * WORLD_MS);
    assert_int_equal(now(&w, 1), 1);
    model_server_refuse(w.servers[1], "28000");
    pg_pool_reset(w.pool);
    world_run(&w, 10 * WORLD_MS);
    seen_init(&s, &world_echo, 7);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.status, PG_E_UNAVAILABLE);
    assert_string_equal(s.error.sqlstate, "28000");
    assert_non_null(strstr(pg_error_field(&s.error, 'M'), "127.0.0.1:5432 failed: "));
    assert_non_null(strstr(pg_error_field(&s.error, 'M'), "127.0.0.1:5433 failed: "));
    world_close(&w);
}

/* Of a full server the waiters of one host wait for room; with another host that serves they go there. */
static void a_full_host_is_passed_over(void **state)
{
    (void)state;
    struct world w;
    struct held h[3];
    open_hosts(&w, 2, TWO "pool_max_conns=3 pool_connecting_limit=1");
    model_settings(w.servers[0])->max_connections = 1;
    hold(&w, h, 3);
    assert_int_equal(now(&w, 0), 1);
    assert_int_equal(now(&w, 1), 2);
    for (int i = 0; i < 3; i++) assert_int_equal(h[i].status + (int)h[i].grants, 1);
    assert_int_equal(world_stats(&w).connect_failed_count, 1);
    let_go(&w, h, 3);
    world_close(&w);
}

/* All were full, and the first one has room again: it is found though the others stay full. */
static void a_full_host_is_asked_again_while_the_others_are_full(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_hosts(&w, 2, TWO "pool_max_conns=1 pool_acquire_timeout=1h");
    model_server_refuse(w.servers[0], "57P03");
    model_server_refuse(w.servers[1], "57P03");
    seen_init(&s, &world_echo, 7);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 10 * WORLD_SECOND);
    uint64_t asked = made(&w, 0) + made(&w, 1);
    assert_in_range(asked, 2 + 2 * 5, 2 * 14); /* each of them with growing delays */
    model_server_refuse(w.servers[0], NULL);
    world_run(&w, 7 * WORLD_SECOND);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.status, 0);
    assert_int_equal(now(&w, 0), 1);
    world_close(&w);
}

static void events_name_their_host(void **state)
{
    (void)state;
    struct world w;
    struct held h[2];
    open_hosts(&w, 2, TWO "pool_max_conns=2 pool_connecting_limit=1");
    model_settings(w.servers[0])->max_connections = 1;
    hold(&w, h, 2);
    model_conn_notice(model_conn_at(w.servers[1], 0), "01000", "hear, hear");
    world_run(&w, WORLD_MS);
    assert_int_equal(w.events[PG_EVENT_NOTICE], 1);
    assert_string_equal(w.last_event.host, "127.0.0.1:5433");
    model_conn_end(model_conn_at(w.servers[0], 0), MODEL_END_FATAL, "57P01");
    world_run(&w, WORLD_MS);
    assert_int_equal(w.events[PG_EVENT_LOST], 1);
    assert_string_equal(w.last_event.host, "127.0.0.1:5432");
    let_go(&w, h, 2);
    world_close(&w);
}

/* ---- names ---- */

/* What cannot be resolved is one host less; when nothing can, the pool does not open. */
static void names_that_stand_for_nothing(void **state)
{
    (void)state;
    struct world w;
    struct pg_error error;
    struct pg_pool *none = NULL;
    open_hosts(&w, 1, "host=no-such-host.invalid,127.0.0.1 port=5432 pool_max_conns=1");
    assert_int_equal(w.pool->hosts.at[0].naddresses, 0);
    serve_one(&w, 50 * WORLD_MS);
    assert_int_equal(w.events[PG_EVENT_CONNECT_FAILED], 1);
    struct pg_pool_config config = PG_POOL_CONFIG("host=no-such-host.invalid,nor-this.invalid user=u");
    assert_int_equal(pg_pool_open(&none, w.reactor, &config, &error), PG_E_UNAVAILABLE);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "cannot resolve host \"nor-this.invalid\""));
    world_close(&w);
}

/* When all that is known of a host has failed, its name is resolved anew: it may stand for another address by now. */
static void a_name_is_resolved_again(void **state)
{
    (void)state;
    struct world w;
    open_hosts(&w, 2, "pool_max_conns=1");
    struct rp_host *host = &w.pool->hosts.at[0];
    struct sockaddr_in former = { .sin_family = AF_INET, .sin_port = htons(1) };
    for (int i = 0; i < 2; i++) memcpy(&host->address[i].at, &former, host->address[i].size = sizeof former);
    host->naddresses = 2;
    serve_one(&w, 200 * WORLD_MS);
    assert_int_equal(world_stats(&w).connect_failed_count, 1);
    assert_int_equal(host->naddresses, 1);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_that_can_be_reached),
        cmocka_unit_test(all_in_order_by_default),
        cmocka_unit_test(at_random_if_asked_for),
        cmocka_unit_test(a_password_goes_only_where_it_is_asked_for),
        cmocka_unit_test(a_host_that_is_down_is_not_asked_again_while_another_serves),
        cmocka_unit_test(one_that_came_back_is_used_again),
        cmocka_unit_test(a_trial_that_hangs_harms_nobody),
        cmocka_unit_test(all_down_and_then_one_up),
        cmocka_unit_test(each_host_has_its_say),
        cmocka_unit_test(refused_for_good),
        cmocka_unit_test(a_full_host_is_passed_over),
        cmocka_unit_test(a_full_host_is_asked_again_while_the_others_are_full),
        cmocka_unit_test(events_name_their_host),
        cmocka_unit_test(names_that_stand_for_nothing),
        cmocka_unit_test(a_name_is_resolved_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
