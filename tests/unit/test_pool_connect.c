/* unit/test_pool_connect.c - connecting over several addresses, and slow authentication: what is tried next, and what
 * remains of what was given up. On the simulated host; the addresses are put under the pool by hand, since a name's are
 * not ours to choose. */
#include "support/world.h"
#include <errno.h>
#include <string.h>
#include "pool/state.h"
#include "support/sim_private.h"

/* ---- a listener that answers each connect as its turn says, and then as the model server does ---- */

static struct { sim_accept_fn *model; void *model_arg; enum sim_connect first[4]; unsigned n, asked; } gate;
static enum sim_connect on_connect(void *arg, struct sim_peer *peer, const struct sockaddr *address)
{
    (void)arg;
    unsigned at = gate.asked++;
    return at < gate.n ? gate.first[at] : gate.model(gate.model_arg, peer, address);
}

static void open_addresses(struct world *w, unsigned naddresses, unsigned n, const enum sim_connect *first,
                           const char *options)
{
    world_open(w, options);
    struct rp_host *host = &w->pool->hosts.at[0];
    for (unsigned i = 1; i < naddresses; i++) host->address[i] = host->address[0];
    host->naddresses = naddresses;
    memset(&gate, 0, sizeof gate);
    gate.model = w->sim->accept;
    gate.model_arg = w->sim->accept_arg;
    gate.n = n;
    if (n) memcpy(gate.first, first, n * sizeof *first);
    sim_listen(w->sim, on_connect, NULL);
}

static void the_next_address_is_tried(void **state)
{
    (void)state;
    static const enum sim_connect worst[] = { SIM_REFUSE, SIM_HANG, SIM_BACKLOG_FULL, SIM_UNREACHABLE };
    for (int i = 0; i < 4; i++) {
        struct world w;
        struct seen s;
        open_addresses(&w, 3, 2, (enum sim_connect[]){ worst[i], worst[(i + 1) % 4] },
                       "pool_max_conns=1 connect_timeout=2");
        seen_init(&s, &world_echo, 7);
        pg_pool_query(w.pool, &s.query);
        world_run(&w, 9 * WORLD_SECOND);
        assert_int_equal(s.status + (int)s.done, 1);
        assert_int_equal(s.value, 7);
        assert_int_equal(gate.asked, 3);
        assert_int_equal(world_stats(&w).connect_failed_count, 0); /* one connect, over three addresses */
        world_close(&w);
    }
}

static void all_addresses_fail_as_one(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_addresses(&w, 2, 4, (enum sim_connect[]){ SIM_REFUSE, SIM_UNREACHABLE, SIM_REFUSE, SIM_REFUSE },
                   "pool_max_conns=1 hostaddr=127.0.0.1"); /* given, not resolved: so they stay */
    seen_init(&s, &world_echo, 7);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 9 * WORLD_SECOND);
    assert_int_equal(s.status + (int)s.done, 1);
    assert_int_equal(gate.asked, 5);
    assert_int_equal(world_stats(&w).connect_failed_count, 2);
    assert_int_equal(w.events[PG_EVENT_CONNECT_FAILED], 2);
    world_close(&w);
}

/* What the server itself refuses, it refuses on its other addresses too: nothing is told to them (failures 16). */
static void a_refusal_in_words_ends_the_list(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_addresses(&w, 3, 0, NULL, "pool_max_conns=1");
    model_server_refuse(w.server, "28000");
    seen_init(&s, &world_echo, 7);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(gate.asked, 1);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.status, PG_E_UNAVAILABLE);
    assert_string_equal(s.error.sqlstate, "28000");
    world_close(&w);
}

/* Closed at every moment of connecting, in steps finer than its messages; the second address included. */
static void closed_at_every_moment(void **state)
{
    (void)state;
    static const enum model_auth auth[] = { MODEL_TRUST, MODEL_CLEARTEXT, MODEL_SCRAM };
    for (int a = 0; a < 3; a++)
        for (uint64_t at_ns = 0; at_ns < 2 * WORLD_MS; at_ns += 20000) {
            struct world w;
            struct seen s;
            open_addresses(&w, 2, 1, (enum sim_connect[]){ SIM_REFUSE }, "pool_max_conns=2 password=pw");
            model_settings(w.server)->auth = auth[a];
            model_settings(w.server)->password = "pw";
            seen_init(&s, &world_echo, 7);
            pg_pool_query(w.pool, &s.query);
            world_run(&w, at_ns);
            pg_pool_close(w.pool, 0, NULL, NULL);
            w.pool = NULL;
            world_run(&w, 20 * WORLD_SECOND);
            world_close(&w);
            assert_int_equal(s.done, 1);
            assert_true(s.status == PG_OK || s.status == PG_E_CLOSED);
        }
}

/* ---- keys that take many turns (failures 8): a slice each, and once for each password, salt and count ---- */

/* Derived for the first connection, known to the next ones; another count is another key. */
static void a_key_is_derived_once(void **state)
{
    (void)state;
    struct world w;
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .turn_ns = WORLD_MS };
    struct model_config server = { .auth = MODEL_SCRAM, .user = "app", .password = "pw", .scram_iterations = 100000 };
    world_open_with(&w, &sim, &server, "pool_max_conns=1 password=pw connect_timeout=2");
    for (int round = 0; round < 5; round++) {
        struct seen s;
        model_settings(w.server)->scram_iterations = round < 3 ? 100000 : 150000;
        if (round) pg_pool_reset(w.pool);
        world_run(&w, WORLD_SECOND);
        seen_init(&s, &world_echo, 7);
        pg_pool_query(w.pool, &s.query);
        world_run(&w, 30 * WORLD_MS);
        assert_int_equal(s.done, round != 0 && round != 3); /* about a hundred slices, one a turn of 1 ms */
        world_run(&w, WORLD_SECOND);
        assert_int_equal(s.status + (int)s.done, 1);
        assert_int_equal(model_stats(w.server)->connections_total, round + 1);
    }
    assert_int_equal(model_stats(w.server)->auth_failures, 0);
    world_close(&w);
}

static void a_deadline_between_two_slices(void **state)
{
    (void)state;
    struct world w;
    struct seen late, good;
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .turn_ns = WORLD_MS };
    struct model_config server = { .auth = MODEL_SCRAM, .user = "app", .password = "pw", .scram_iterations = 100000 };
    world_open_with(&w, &sim, &server, "pool_max_conns=1 password=pw connect_timeout=2");
    seen_init(&late, &world_echo, 1);
    seen_init(&good, &world_echo, 2);
    late.query.deadline_ns = pg_reactor_now(w.reactor) + 20 * WORLD_MS; /* about a hundred slices, one a turn of 1 ms */
    pg_pool_query(w.pool, &late.query);
    pg_pool_query(w.pool, &good.query);
    world_run(&w, 40 * WORLD_MS);
    assert_int_equal(late.done, 1);
    assert_int_equal(late.status, PG_E_UNAVAILABLE);
    assert_int_equal(good.done, 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(good.status + (int)good.done, 1);
    world_close(&w);
}

/* The connect's own deadline, the server's end, and the pool's end, each while the key is half derived. */
static void ends_between_two_slices(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct world w;
        struct seen s;
        struct sim_config sim = {
            .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .turn_ns = how ? WORLD_MS : 50 * WORLD_MS
        };
        struct model_config server = {
            .auth = MODEL_SCRAM, .user = "app", .password = "pw", .scram_iterations = 100000, .exit_delay_ns = 1000
        };
        world_open_with(&w, &sim, &server, "pool_max_conns=1 password=pw connect_timeout=2");
        seen_init(&s, &world_echo, 1);
        s.query.deadline_ns = PG_NEVER;
        pg_pool_query(w.pool, &s.query);
        world_run(&w, 20 * WORLD_MS);
        if (how == 1) model_conn_end(model_conn_at(w.server, 0), MODEL_END_RESET, NULL);
        if (how == 2) pg_pool_close(w.pool, 0, NULL, NULL), w.pool = NULL;
        if (how < 2) {
            world_run(&w, how ? 20 * WORLD_MS : 2 * WORLD_SECOND);
            assert_int_equal(world_stats(&w).connect_failed_count, 1);
            assert_int_equal(w.event_error.code, how ? -ECONNRESET : -ETIMEDOUT);
            sim_settings(w.sim)->turn_ns = 1000;
            world_run(&w, 9 * WORLD_SECOND);
            assert_int_equal(s.status + (int)s.done, 1); /* the next attempt */
        }
        world_close(&w);
        assert_int_equal(s.done, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_address_is_tried),     cmocka_unit_test(all_addresses_fail_as_one),
        cmocka_unit_test(a_refusal_in_words_ends_the_list), cmocka_unit_test(closed_at_every_moment),
        cmocka_unit_test(a_key_is_derived_once),
        cmocka_unit_test(a_deadline_between_two_slices), cmocka_unit_test(ends_between_two_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
