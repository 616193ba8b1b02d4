/* test_sim_connect.c - how connections of the simulated host begin and end: outcomes of a connect, half closes,
 * resets. */
#include "support/sim_world.h"

/* ---- connecting ---- */
static void test_refused(void **state)
{
    (void)state;
    bool first_was_send = false, first_was_recv = false;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim_world *f = sim_world_open((struct sim_config){ .seed = seed });
        f->server->outcome = SIM_REFUSE;
        assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), 0);
        assert_int_equal(sim_socket_receive(&f->s), 0);
        sim_socket_send(&f->s, "x", 1);
        sim_settle(f->sim);
        bool send = f->s.sends.result[0] == -ECONNREFUSED;
        assert_int_equal(f->s.sends.count, 1);
        assert_int_equal(f->s.recvs.count, 1);
        assert_int_equal(f->s.sends.result[0], send ? -ECONNREFUSED : -EPIPE);
        assert_int_equal(f->s.recvs.result[0], send ? 0 : -ECONNREFUSED);
        first_was_send |= send;
        first_was_recv |= !send;
        sim_world_end(f);
    }
    assert_true(first_was_send && first_was_recv);
}

static void test_open_fails_at_once(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_open((struct sim_config){ .seed = 1 });
    f->server->outcome = SIM_BACKLOG_FULL;
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), -EAGAIN);
    f->server->outcome = SIM_REFUSE;
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_UNIX), -ECONNREFUSED);
    assert_int_equal(sim_counters(f->sim)->descriptors_max, 0);
    assert_int_equal(f->server->gone, 0);
    sim_world_close(f);
}

static void test_unreachable(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_open((struct sim_config){ .seed = 1 });
    f->server->outcome = SIM_UNREACHABLE;
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), 0);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.result[0], -EHOSTUNREACH);
    sim_world_end(f);
}

static void test_hang_ends_with_shutdown(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_open((struct sim_config){ .seed = 1 });
    f->server->outcome = SIM_HANG;
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), 0);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_socket_send(&f->s, "x", 1);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.count + f->s.recvs.count, 0);
    sim_socket_shutdown(&f->s, SHUT_RDWR);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.result[0], -EPIPE);
    assert_int_equal(f->s.recvs.result[0], 0);
    sim_world_end(f);
}

/* What a peer says in its accept cannot be received before the connection stands, which is when a send completes. */
static enum sim_connect greet(void *arg, struct sim_peer *peer, const struct sockaddr *address)
{
    (void)arg, (void)address;
    sim_peer_send(peer, "hello", 5);
    return SIM_ACCEPT;
}

static void test_nothing_arrives_before_the_connection(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim_world *f = sim_world_open((struct sim_config){ .seed = seed, .latency_max_ns = MS });
        sim_listen(f->sim, greet, NULL);
        assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), 0);
        assert_int_equal(sim_socket_receive(&f->s), 0);
        sim_socket_send(&f->s, "x", 1);
        sim_settle(f->sim);
        assert_int_equal(f->s.recvs.result[0], 5);
        assert_true(f->s.recvs.at_ns[0] >= f->s.sends.at_ns[0]);
        sim_world_end(f);
    }
}

/* Faults of connects strike by chance, before the listener is asked. */
static void test_connect_faults_by_chance(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_open((struct sim_config){ .backlog_full = 1000 });
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), -EAGAIN);
    sim_settings(f->sim)->backlog_full = 0;
    sim_settings(f->sim)->refuse = 1000;
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_UNIX), -ECONNREFUSED);
    sim_settings(f->sim)->refuse = 0;
    sim_settings(f->sim)->hang = 1000;
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), 0);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.count, 0);
    assert_int_equal(f->server->peers, 0);
    sim_world_end(f);
}

/* ---- ending ---- */
static void test_half_close(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .latency_max_ns = MS, .seed = 5 });
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_socket_send(&f->s, "last words", 10);
    while (!f->s.sends.count) assert_true(sim_step(f->sim));
    sim_socket_shutdown(&f->s, SHUT_WR);
    sim_settle(f->sim);
    assert_int_equal(f->server->eofs, 1);
    assert_int_equal(f->server->n_at_eof, 10); /* EOF behind the data */
    assert_int_equal(f->s.recvs.count, 0);
    sim_peer_send(f->server->peer[0], "bye", 3);
    sim_peer_close(f->server->peer[0]);
    sim_settle(f->sim);
    assert_int_equal(f->s.in_bytes, 3);
    assert_int_equal(f->s.recvs.result[1], 0);
    sim_socket_send(&f->s, "x", 1);
    sim_world_end(f);
}

static void test_send_after_shutdown(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 1 });
    sim_settle(f->sim);
    sim_socket_shutdown(&f->s, SHUT_WR);
    sim_socket_send(&f->s, "x", 1);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.result[0], -EPIPE);
    sim_world_end(f);
}

static void test_reset_behind_data(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 1 });
    sim_peer_send(f->server->peer[0], "FATAL", 5);
    sim_peer_reset(f->server->peer[0]);
    f->s.once = true;
    sim_settle(f->sim);
    const int32_t expected[] = { 5, -ECONNRESET, 0 };
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(sim_socket_receive(&f->s), 0);
        sim_settle(f->sim);
        assert_int_equal(f->s.recvs.result[i], expected[i]);
    }
    sim_world_end(f);
}

static void test_bytes_to_a_closed_peer_are_answered_by_reset(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 1 });
    sim_peer_close(f->server->peer[0]);
    sim_settle(f->sim);
    sim_socket_send(&f->s, "x", 1);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.result[0], 1);
    assert_int_equal(f->server->n, 0);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.result[0], -ECONNRESET);
    sim_world_end(f);
}

static void test_reset_by_chance(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 1 });
    sim_settle(f->sim);
    sim_settings(f->sim)->reset = 1000;
    sim_socket_send(&f->s, "x", 1);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.result[0], -ECONNRESET);
    assert_int_equal(f->server->eofs, 1);
    assert_int_equal(f->server->resets, 1);
    assert_int_equal(f->server->n, 0);
    sim_world_end(f);
}

static void test_close_with_unread_bytes_resets(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 1 });
    sim_peer_send(f->server->peer[0], "unread", 6);
    sim_settle(f->sim);
    f->s.host->ops->unbind(f->s.host, &f->s.socket);
    f->s.host->ops->close(f->s.host, &f->s.socket);
    sim_settle(f->sim);
    assert_int_equal(f->server->resets, 1);
    assert_int_equal(f->server->gone, 0);
    sim_peer_close(f->server->peer[0]);
    sim_settle(f->sim);
    assert_int_equal(f->server->gone, 1);
    sim_world_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_open_fails_at_once),
        cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_hang_ends_with_shutdown),
        cmocka_unit_test(test_connect_faults_by_chance),
        cmocka_unit_test(test_nothing_arrives_before_the_connection),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_send_after_shutdown),
        cmocka_unit_test(test_reset_behind_data),
        cmocka_unit_test(test_bytes_to_a_closed_peer_are_answered_by_reset),
        cmocka_unit_test(test_reset_by_chance),
        cmocka_unit_test(test_close_with_unread_bytes_resets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
