/* test_sim.c - the simulated host by itself: how its kernel moves bytes, cancels, numbers descriptors and orders
 * events, and that what the host contract forbids a library ends the program. */
#include <signal.h>
#include "support/fake_clock_host.h"
#include "support/sim_world.h"

/* ---- moving bytes ---- */
static void test_echo(void **state)
{
    (void)state;
    struct sim_world *f =
        sim_world_connected((struct sim_config){ .latency_min_ns = 100 * US, .latency_max_ns = 100 * US });
    f->server->echoes = true;
    uint64_t start = sim_now(f->sim);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_socket_send(&f->s, "hello", 5);
    assert_int_equal(f->s.sends.count, 0); /* never inside submit */
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.count, 1);
    assert_int_equal(f->s.sends.result[0], 5);
    assert_int_equal(f->s.recvs.count, 1);
    assert_int_equal(f->s.recvs.result[0], 5);
    assert_memory_equal(f->s.in, "hello", 5);
    assert_int_equal(f->s.sends.at_ns[0] - start, 100 * US); /* the connect */
    assert_int_equal(f->s.recvs.at_ns[0] - start, 300 * US);
    sim_world_end(f);
}

static uint8_t *pattern(size_t n)
{
    uint8_t *at = malloc(n);
    assert_non_null(at);
    for (size_t i = 0; i < n; i++) at[i] = (uint8_t)(i * 31 + i / 256);
    return at;
}

/* Everything at once: the stream arrives whole and in order. */
static void stream_under(struct sim_config config, const uint8_t *out, size_t n, struct sim_counters *sum)
{
    struct sim_world *f;
    config.backlog_full = 0;
    f = sim_world_connected(config);
    f->server->echoes = true;
    while (sim_socket_receive(&f->s)) {}
    sim_socket_send(&f->s, out, n);
    sim_settle(f->sim);
    assert_int_equal(f->server->n, n);
    assert_memory_equal(f->server->bytes, out, n);
    assert_int_equal(f->s.in_bytes, n);
    assert_memory_equal(f->s.in, out, n);
    const struct sim_counters *c = sim_counters(f->sim);
    assert_int_equal(c->bytes_sent, n);
    assert_int_equal(c->bytes_received, n);
    sum->short_sends += c->short_sends;
    sum->short_recvs += c->short_recvs;
    sum->again += c->again;
    sum->retryable += c->retryable;
    sim_world_end(f);
}

static void test_faults_keep_the_stream(void **state)
{
    (void)state;
    enum { BYTES = 100 * 1000 };
    uint8_t *out = pattern(BYTES);
    struct sim_counters sum = { 0 };
    for (uint64_t seed = 1; seed <= 30; seed++) stream_under(sim_faults(seed), out, BYTES, &sum);
    assert_true(sum.short_sends && sum.short_recvs && sum.again && sum.retryable);
    free(out);
}

/* Of each fault some seeds draw none and others some, so that each is also seen without the others. */
static void test_faults_are_drawn(void **state)
{
    (void)state;
    unsigned none[6] = { 0 };
    enum { SEEDS = 64 };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_config c = sim_faults(seed);
        const uint32_t drawn[6] = { c.short_send, c.short_recv, c.submit_again, c.retryable, c.burst, c.cancel_late };
        assert_int_equal(c.seed, seed);
        for (int i = 0; i < 6; i++) none[i] += drawn[i] == 0;
    }
    for (int i = 0; i < 6; i++) assert_in_range(none[i], SEEDS / 8, SEEDS * 7 / 8);
}

static void test_retryable_moves_nothing(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .retryable = 1000 });
    f->s.once = true;
    assert_int_equal(f->s.host->ops->submit_send(f->s.host, &f->s.socket, "x", 1, &f->s.sent), 0);
    f->s.sending = true;
    while (!f->s.sends.count) assert_true(sim_step(f->sim));
    int32_t result = f->s.sends.result[0];
    assert_true(result == -EINTR || result == -EAGAIN || result == -ENOBUFS);
    sim_settings(f->sim)->retryable = 0;
    sim_settle(f->sim);
    assert_int_equal(f->server->n, 0);
    sim_world_end(f);
}

static void test_again_leads_to_no_completion(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .submit_again = 1000 });
    assert_int_equal(sim_socket_receive(&f->s), -EAGAIN);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.count, 0);
    assert_int_equal(sim_counters(f->sim)->in_flight, 0);
    sim_world_end(f);
}

static void test_full_send_buffer_waits_for_the_peer(void **state)
{
    (void)state;
    static const char out[8192] = { 1 };
    struct sim_world *f = sim_world_connected((struct sim_config){ .send_buffer_bytes = 4096 });
    sim_peer_pause(f->server->peer[0], true);
    sim_socket_send(&f->s, out, sizeof out);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.count, 1);
    assert_int_equal(f->s.sends.result[0], 4096);
    assert_true(f->s.sending);
    assert_int_equal(f->server->n, 0);
    sim_peer_pause(f->server->peer[0], false);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.count, 2);
    assert_int_equal(f->server->n, sizeof out);
    sim_world_end(f);
}

static void test_unread_counts_what_was_not_received(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 3 });
    sim_peer_send(f->server->peer[0], "0123456789", 10);
    assert_int_equal(sim_peer_unread(f->server->peer[0]), 10);
    sim_settle(f->sim);
    assert_int_equal(sim_peer_unread(f->server->peer[0]), 10);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_settle(f->sim);
    assert_int_equal(sim_peer_unread(f->server->peer[0]), 0);
    sim_world_end(f);
}

/* ---- cancelling ---- */
static void test_cancel(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 1 });
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_settle(f->sim);
    f->s.once = true;
    sim_socket_cancel(&f->s, &f->s.received);
    assert_int_equal(f->s.recvs.count, 0);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.count, 1);
    assert_int_equal(f->s.recvs.result[0], -ECANCELED);
    sim_socket_cancel(&f->s, &f->s.received); /* of nothing: finds nothing */
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.count, 1);
    sim_world_end(f);
}

static void test_cancel_after_the_decision(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 1, .burst = 1000 });
    sim_settle(f->sim);
    sim_socket_send(&f->s, "x", 1);
    assert_true(sim_step(f->sim)); /* decided, completes at the next burst */
    assert_int_equal(f->s.sends.count, 0);
    sim_socket_cancel(&f->s, &f->s.sent);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.count, 1);
    assert_int_equal(f->s.sends.result[0], 1);
    assert_int_equal(f->s.sends.at_ns[0] % MS, 0);
    sim_world_end(f);
}

static void test_cancel_too_late(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 1, .cancel_late = 1000 });
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_socket_cancel(&f->s, &f->s.received);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.count, 0);
    sim_peer_send(f->server->peer[0], "y", 1);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.result[0], 1);
    sim_world_end(f);
}

/* ---- descriptors ---- */
static void test_descriptors_are_reused_lowest_first(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_open((struct sim_config){ .first_fd = 3 });
    struct sim_socket s[4], again;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sim_socket_open(&s[i], f->sim, AF_INET), 0);
        assert_int_equal(s[i].socket.fd, 3 + i);
    }
    sim_socket_close(&s[2]);
    sim_socket_close(&s[1]);
    assert_int_equal(sim_socket_open(&again, f->sim, AF_INET), 0);
    assert_int_equal(again.socket.fd, 4);
    assert_int_equal(sim_counters(f->sim)->descriptors_now, 3);
    assert_int_equal(sim_counters(f->sim)->descriptors_max, 4);
    sim_socket_close(&again);
    sim_socket_close(&s[0]);
    sim_socket_close(&s[3]);
    sim_world_close(f);
}

/* Bytes for the old owner of a number do not reach the new one. */
static void test_late_bytes_miss_the_next_owner(void **state)
{
    (void)state;
    struct sim_world *f =
        sim_world_connected((struct sim_config){ .seed = 1, .latency_min_ns = MS, .latency_max_ns = MS });
    sim_settle(f->sim);
    sim_peer_send(f->server->peer[0], "old", 3);
    int fd = f->s.socket.fd;
    sim_socket_close(&f->s);
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), 0);
    assert_int_equal(f->s.socket.fd, fd);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.count, 0);
    sim_world_end(f);
}

/* ---- order ---- */
static unsigned first_of_two(uint64_t seed, uint64_t *hash)
{
    struct sim_world *f = sim_world_open((struct sim_config){ .seed = seed });
    struct sim_socket a, b;
    assert_int_equal(sim_socket_open(&a, f->sim, AF_INET), 0);
    assert_int_equal(sim_socket_open(&b, f->sim, AF_INET), 0);
    sim_settle(f->sim);
    a.once = b.once = true;
    assert_int_equal(sim_socket_receive(&a), 0);
    assert_int_equal(sim_socket_receive(&b), 0);
    sim_peer_send(f->server->peer[0], "a", 1);
    sim_peer_send(f->server->peer[1], "b", 1);
    unsigned first = 0;
    sim_settings(f->sim)->completion_ns = 1000;
    while (!a.recvs.count || !b.recvs.count) {
        assert_true(sim_step(f->sim));
        if (!first && a.recvs.count != b.recvs.count) first = a.recvs.count ? 1 : 2;
    }
    *hash = sim_hash(f->sim);
    sim_socket_close(&a);
    sim_socket_close(&b);
    sim_world_close(f);
    return first;
}

static void test_seed_decides_the_order(void **state)
{
    (void)state;
    unsigned seen[3] = { 0 };
    uint64_t hash, same, last = 0, differing = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        unsigned first = first_of_two(seed, &hash);
        assert_int_equal(first_of_two(seed, &same), first);
        assert_int_equal(hash, same);
        seen[first]++;
        differing += hash != last;
        last = hash;
    }
    assert_true(seen[1] && seen[2]);
    assert_int_equal(differing, 30);
}

static void count(void *arg)
{
    ++*(unsigned *)arg;
}

static void count_peer(struct sim_peer *peer, void *arg)
{
    assert_true(sim_peer_open(peer));
    ++*(unsigned *)arg;
}

static void test_timers_and_the_clock(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 1 });
    sim_settle(f->sim);
    unsigned early = 0, late = 0, dropped = 0, of_peer = 0;
    uint64_t start = sim_now(f->sim), at;
    sim_after(f->sim, 3 * MS, count, &late);
    sim_after(f->sim, 2 * MS, count, &early);
    sim_peer_after(f->server->peer[0], 1 * MS, count_peer, &of_peer);
    sim_peer_after(f->server->peer[0], 4 * MS, count_peer, &dropped);
    assert_false(sim_step_until(f->sim, start + MS / 2));
    assert_int_equal(sim_now(f->sim), start + MS / 2);
    assert_true(sim_next_event(f->sim, &at));
    assert_int_equal(at, start + MS);
    assert_true(sim_step(f->sim));
    assert_int_equal(of_peer, 1);
    assert_true(sim_step(f->sim));
    assert_true(early && !late);
    sim_peer_close(f->server->peer[0]);
    sim_settle(f->sim);
    assert_int_equal(late, 1);
    assert_int_equal(dropped, 0);
    assert_int_equal(sim_now(f->sim), start + 3 * MS);
    sim_world_end(f);
}

/* ---- the n-th host call fails ---- */
static void test_fail_call(void **state)
{
    (void)state;
    struct sim_world *f = sim_world_open((struct sim_config){ .fail_call = 1 });
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), -EMFILE);
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), 0);
    sim_settings(f->sim)->fail_call = sim_counters(f->sim)->calls + 1;
    assert_int_equal(sim_socket_receive(&f->s), -ENOMEM);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    uint8_t bytes[4];
    sim_settings(f->sim)->fail_call = sim_counters(f->sim)->calls + 1;
    assert_int_equal(f->s.host->ops->entropy(f->s.host, bytes, 4), -EIO);
    assert_int_equal(f->s.host->ops->entropy(f->s.host, bytes, 4), 0);
    sim_world_end(f);
}

/* ---- misuse ends the program ---- */
static void two_receives(struct sim_world *f)
{
    (void)!sim_socket_receive(&f->s);
    (void)!f->s.host->ops->submit_recv(f->s.host, &f->s.socket, f->s.buffer, 1, &f->s.sent);
}

static void one_completion_twice(struct sim_world *f)
{
    (void)!sim_socket_receive(&f->s);
    (void)!f->s.host->ops->submit_send(f->s.host, &f->s.socket, f->s.buffer, 1, &f->s.received);
}

static void changed_send_buffer(struct sim_world *f)
{
    uint8_t out[4] = "abc";
    sim_socket_send(&f->s, out, 4);
    out[0] = 'z';
    sim_settle(f->sim);
}

static void changed_completion(struct sim_world *f)
{
    (void)!sim_socket_receive(&f->s);
    f->s.received.host_priv[1]++;
    sim_peer_send(f->server->peer[0], "x", 1);
    sim_settle(f->sim);
}

static void unbind_in_flight(struct sim_world *f)
{
    (void)!sim_socket_receive(&f->s);
    f->s.host->ops->unbind(f->s.host, &f->s.socket);
}

static void close_bound(struct sim_world *f)
{
    f->s.host->ops->close(f->s.host, &f->s.socket);
}

static void use_after_close(struct sim_world *f)
{
    struct pg_socket old = f->s.socket;
    sim_socket_close(&f->s);
    (void)!sim_socket_open(&f->s, f->sim, AF_INET); /* takes the number over */
    f->s.host->ops->shutdown(f->s.host, &old, SHUT_RDWR);
}

static void submit_unbound(struct sim_world *f)
{
    f->s.host->ops->unbind(f->s.host, &f->s.socket);
    (void)!sim_socket_receive(&f->s);
}

static void submit_nothing(struct sim_world *f)
{
    (void)!f->s.host->ops->submit_send(f->s.host, &f->s.socket, f->s.buffer, 0, &f->s.sent);
}

static void leak_a_descriptor(struct sim_world *f)
{
    sim_close(f->sim);
}

struct misuse {
    struct sim_world *f;
    void (*run)(struct sim_world *);
};

static void misuse(void *arg)
{
    struct misuse *m = arg;
    m->run(m->f);
}

static void nothing_wrong(struct sim_world *f)
{
    (void)!sim_socket_receive(&f->s);
    sim_socket_send(&f->s, "fine", 4);
    sim_settle(f->sim);
}

static void test_misuse_aborts(void **state)
{
    (void)state;
    void (*const wrong[])(struct sim_world *) = {
        two_receives, one_completion_twice, changed_send_buffer, changed_completion, unbind_in_flight, close_bound,
        use_after_close, submit_unbound, submit_nothing, leak_a_descriptor,
    };
    struct sim_world *f = sim_world_connected((struct sim_config){ .seed = 1 });
    sim_settle(f->sim);
    assert_int_equal(signal_of(misuse, &(struct misuse){ f, nothing_wrong }), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (signal_of(misuse, &(struct misuse){ f, wrong[i] }) != SIGABRT) fail_msg("misuse %zu went through", i);
    }
    sim_world_end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_faults_keep_the_stream),
        cmocka_unit_test(test_faults_are_drawn),
        cmocka_unit_test(test_retryable_moves_nothing),
        cmocka_unit_test(test_again_leads_to_no_completion),
        cmocka_unit_test(test_full_send_buffer_waits_for_the_peer),
        cmocka_unit_test(test_unread_counts_what_was_not_received),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_after_the_decision),
        cmocka_unit_test(test_cancel_too_late),
        cmocka_unit_test(test_descriptors_are_reused_lowest_first),
        cmocka_unit_test(test_late_bytes_miss_the_next_owner),
        cmocka_unit_test(test_seed_decides_the_order),
        cmocka_unit_test(test_timers_and_the_clock),
        cmocka_unit_test(test_fail_call),
        cmocka_unit_test(test_misuse_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
