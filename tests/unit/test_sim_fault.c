/* test_sim_fault.c - what the simulated host does to connections that stood: other errnos, silence, a peer that shuts
 * its own direction; and the clock that jumps. */
#include "support/sim_world.h"

static void test_fatal(void **state)
{
    (void)state;
    bool seen[2] = { false, false };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim_world *f = sim_world_connected((struct sim_config){ .seed = seed, .fatal = 1000 });
        sim_socket_send(&f->s, "x", 1);
        sim_settle(f->sim);
        assert_int_equal(f->s.sends.count, 1);
        int result = f->s.sends.result[0];
        assert_true(result == -ETIMEDOUT || result == -EHOSTUNREACH || result == -ENETUNREACH || result == -ENETDOWN ||
                    result == -ECONNABORTED || result == -EIO || result == -EPIPE);
        seen[result == -ETIMEDOUT] = true;
        assert_int_equal(f->server->eofs, 1); /* the other end is told, too */
        assert_int_equal(f->server->n, 0);
        sim_world_end(f);
    }
    assert_true(seen[0] && seen[1]);
}

/* Nothing comes through, in either direction, until both kernels give up. */
static void test_hole(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 1, .hole = 1000, .hole_ns = 50 * MS });
    uint64_t begun_ns = sim_now(f->sim);
    f->server->echoes = true;
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_socket_send(&f->s, "x", 1);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.result[0], 1); /* taken, and lost */
    assert_int_equal(f->s.recvs.result[0], -ETIMEDOUT);
    assert_in_range(f->s.recvs.at_ns[0], begun_ns + 50 * MS, begun_ns + 60 * MS);
    assert_int_equal(f->server->n, 0);
    assert_int_equal(f->server->eofs, 1);
    assert_int_equal(f->server->resets, 1);
    assert_int_equal(sim_counters(f->sim)->holes, 1);
    sim_world_end(f);
}

static void test_peer_shuts_one_direction(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 1 });
    sim_peer_send(f->server->peer[0], "bye", 3);
    sim_peer_shut(f->server->peer[0]);
    sim_peer_send(f->server->peer[0], "more", 4); /* is not said any more */
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_settle(f->sim);
    assert_int_equal(f->s.in_bytes, 3);
    assert_true(f->s.ended);
    f->s.ended = false; /* for its own direction is open */
    sim_socket_send(&f->s, "still heard", 11);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.result[0], 11);
    assert_int_equal(f->server->n, 11);
    assert_int_equal(f->server->resets, 0);
    sim_world_end(f);
}

/* Between two turns, and never back. */
static void test_jump(void **state)
{
    (void)state;
    struct sim *sim = sim_open(&(struct sim_config){ .seed = 1, .jump = 1000, .jump_ns = 100 * MS });
    struct pg_reactor_config config = PG_REACTOR_CONFIG(sim_host(sim));
    struct pg_reactor *reactor;
    assert_int_equal(pg_reactor_open(&reactor, &config, NULL), 0);
    for (int i = 0; i < 20; i++) {
        uint64_t before_ns = sim_now(sim);
        (void)sim_run(sim, reactor, 1);
        assert_true(sim_now(sim) >= before_ns);
    }
    assert_true(sim_counters(sim)->jumped_ns > 100 * MS);
    pg_reactor_close(reactor, 0);
    assert_int_equal(sim_run(sim, reactor, PG_NEVER), SIM_CLOSED);
    pg_reactor_free(reactor);
    sim_close(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fatal),
        cmocka_unit_test(test_hole),
        cmocka_unit_test(test_peer_shuts_one_direction),
        cmocka_unit_test(test_jump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
