/* test_sim.c - the simulated host by itself: what its kernel and its network do, on demand and by chance, and that what the
 * host contract forbids a library ends the program. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "support/fake_clock_host.h"
#include "support/sim_socket.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

/* ---- a listener whose peers the test holds in its hands ---- */
enum { PEERS = 8 };
struct server {
    enum sim_connect outcome;
    bool echoes;
    unsigned peers, eofs, resets, gone;
    struct sim_peer *peer[PEERS];
    uint8_t bytes[512 * 1024];
    size_t n;
    uint64_t eof_at_ns;
    size_t n_at_eof;
};

static void on_bytes(struct sim_peer *peer, const uint8_t *at, size_t n)
{
    struct server *server = peer->user;
    assert_true(server->n + n <= sizeof server->bytes);
    memcpy(server->bytes + server->n, at, n);
    server->n += n;
    if (server->echoes) sim_peer_send(peer, at, n);
}

static void on_eof(struct sim_peer *peer)
{
    struct server *server = peer->user;
    server->eofs++;
    server->resets += peer->reset;
    server->eof_at_ns = sim_now(sim_of(peer));
    server->n_at_eof = server->n;
}

static void on_gone(struct sim_peer *peer)
{
    ((struct server *)peer->user)->gone++;
}

static enum sim_connect on_accept(void *arg, struct sim_peer *peer, const struct sockaddr *address)
{
    struct server *server = arg;
    assert_true(address->sa_family == AF_INET || address->sa_family == AF_UNIX);
    if (server->outcome != SIM_ACCEPT) return server->outcome;
    *peer = (struct sim_peer){ .user = server, .on_bytes = on_bytes, .on_eof = on_eof, .on_gone = on_gone };
    server->peer[server->peers++ % PEERS] = peer;
    return SIM_ACCEPT;
}

struct fixture {
    struct sim *sim;
    struct server *server;
    struct sim_socket s;
};

static struct fixture *open_with(struct sim_config config)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->server = calloc(1, sizeof *f->server);
    assert_non_null(f->server);
    if (!config.seed) config.seed = 1;
    f->sim = sim_open(&config);
    sim_listen(f->sim, on_accept, f->server);
    return f;
}

static struct fixture *connected_with(struct sim_config config)
{
    struct fixture *f = open_with(config);
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), 0);
    return f;
}

static void close_world(struct fixture *f)
{
    sim_settle(f->sim);
    sim_close(f->sim);
    free(f->server);
    free(f);
}

static void close_all(struct fixture *f)
{
    sim_socket_close(&f->s);
    close_world(f);
}

/* ---- moving bytes ---- */
static void test_echo(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .latency_min_ns = 100 * US, .latency_max_ns = 100 * US });
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
    close_all(f);
}

static uint8_t *pattern(size_t n)
{
    uint8_t *at = malloc(n);
    assert_non_null(at);
    for (size_t i = 0; i < n; i++) at[i] = (uint8_t)(i * 31 + i / 256);
    return at;
}

/* Everything at once: the stream arrives whole and in order. */
static void test_faults_keep_the_stream(void **state)
{
    (void)state;
    enum { BYTES = 100 * 1000 };
    uint8_t *out = pattern(BYTES);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fixture *f = connected_with((struct sim_config){
            .seed = seed, .short_send = 500, .short_recv = 500, .submit_again = 200, .retryable = 200, .burst = 300,
            .latency_max_ns = 50 * US, .completion_ns = 20 * US, .send_buffer_bytes = 8192 });
        f->server->echoes = true;
        while (sim_socket_receive(&f->s)) {}
        sim_socket_send(&f->s, out, BYTES);
        sim_settle(f->sim);
        assert_int_equal(f->server->n, BYTES);
        assert_memory_equal(f->server->bytes, out, BYTES);
        assert_int_equal(f->s.in_bytes, BYTES);
        assert_memory_equal(f->s.in, out, BYTES);
        const struct sim_counters *c = sim_counters(f->sim);
        assert_true(c->short_sends && c->short_recvs && c->again && c->retryable);
        assert_int_equal(c->bytes_sent, BYTES);
        assert_int_equal(c->bytes_received, BYTES);
        close_all(f);
    }
    free(out);
}

static void test_retryable_moves_nothing(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .retryable = 1000 });
    f->s.once = true;
    assert_int_equal(f->s.host->ops->submit_send(f->s.host, &f->s.socket, "x", 1, &f->s.sent), 0);
    f->s.sending = true;
    while (!f->s.sends.count) assert_true(sim_step(f->sim));
    int32_t result = f->s.sends.result[0];
    assert_true(result == -EINTR || result == -EAGAIN || result == -ENOBUFS);
    sim_settings(f->sim)->retryable = 0;
    sim_settle(f->sim);
    assert_int_equal(f->server->n, 0);
    close_all(f);
}

static void test_again_leads_to_no_completion(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .submit_again = 1000 });
    assert_int_equal(sim_socket_receive(&f->s), -EAGAIN);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.count, 0);
    assert_int_equal(sim_counters(f->sim)->in_flight, 0);
    close_all(f);
}

static void test_full_send_buffer_waits_for_the_peer(void **state)
{
    (void)state;
    static const char out[8192] = { 1 };
    struct fixture *f = connected_with((struct sim_config){ .send_buffer_bytes = 4096 });
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
    close_all(f);
}

static void test_unread_counts_what_was_not_received(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .seed = 3 });
    sim_peer_send(f->server->peer[0], "0123456789", 10);
    assert_int_equal(sim_peer_unread(f->server->peer[0]), 10);
    sim_settle(f->sim);
    assert_int_equal(sim_peer_unread(f->server->peer[0]), 10);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_settle(f->sim);
    assert_int_equal(sim_peer_unread(f->server->peer[0]), 0);
    close_all(f);
}

/* ---- connecting ---- */
static void test_refused(void **state)
{
    (void)state;
    bool first_was_send = false, first_was_recv = false;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fixture *f = open_with((struct sim_config){ .seed = seed });
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
        close_all(f);
    }
    assert_true(first_was_send && first_was_recv);
}

static void test_open_fails_at_once(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct sim_config){ .seed = 1 });
    f->server->outcome = SIM_BACKLOG_FULL;
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), -EAGAIN);
    f->server->outcome = SIM_REFUSE;
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_UNIX), -ECONNREFUSED);
    assert_int_equal(sim_counters(f->sim)->descriptors_max, 0);
    assert_int_equal(f->server->gone, 0);
    close_world(f);
}

static void test_unreachable(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct sim_config){ .seed = 1 });
    f->server->outcome = SIM_UNREACHABLE;
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), 0);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.result[0], -EHOSTUNREACH);
    close_all(f);
}

static void test_hang_ends_with_shutdown(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct sim_config){ .seed = 1 });
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
    close_all(f);
}

/* ---- ending ---- */
static void test_half_close(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .latency_max_ns = MS, .seed = 5 });
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
    close_all(f);
}

static void test_send_after_shutdown(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .seed = 1 });
    sim_settle(f->sim);
    sim_socket_shutdown(&f->s, SHUT_WR);
    sim_socket_send(&f->s, "x", 1);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.result[0], -EPIPE);
    close_all(f);
}

static void test_reset_behind_data(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .seed = 1 });
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
    close_all(f);
}

static void test_bytes_to_a_closed_peer_are_answered_by_reset(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .seed = 1 });
    sim_peer_close(f->server->peer[0]);
    sim_settle(f->sim);
    sim_socket_send(&f->s, "x", 1);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.result[0], 1);
    assert_int_equal(f->server->n, 0);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.result[0], -ECONNRESET);
    close_all(f);
}

static void test_reset_by_chance(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .seed = 1 });
    sim_settle(f->sim);
    sim_settings(f->sim)->reset = 1000;
    sim_socket_send(&f->s, "x", 1);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.result[0], -ECONNRESET);
    assert_int_equal(f->server->eofs, 1);
    assert_int_equal(f->server->resets, 1);
    assert_int_equal(f->server->n, 0);
    close_all(f);
}

static void test_close_with_unread_bytes_resets(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .seed = 1 });
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
    close_world(f);
}

/* ---- cancelling ---- */
static void test_cancel(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .seed = 1 });
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
    close_all(f);
}

static void test_cancel_after_the_decision(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .seed = 1, .burst = 1000 });
    sim_settle(f->sim);
    sim_socket_send(&f->s, "x", 1);
    assert_true(sim_step(f->sim)); /* decided, completes at the next burst */
    assert_int_equal(f->s.sends.count, 0);
    sim_socket_cancel(&f->s, &f->s.sent);
    sim_settle(f->sim);
    assert_int_equal(f->s.sends.count, 1);
    assert_int_equal(f->s.sends.result[0], 1);
    assert_int_equal(f->s.sends.at_ns[0] % MS, 0);
    close_all(f);
}

static void test_cancel_too_late(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .seed = 1, .cancel_late = 1000 });
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_socket_cancel(&f->s, &f->s.received);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.count, 0);
    sim_peer_send(f->server->peer[0], "y", 1);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.result[0], 1);
    close_all(f);
}

/* ---- descriptors ---- */
static void test_descriptors_are_reused_lowest_first(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct sim_config){ .first_fd = 3 });
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
    close_world(f);
}

/* Bytes for the old owner of a number do not reach the new one. */
static void test_late_bytes_miss_the_next_owner(void **state)
{
    (void)state;
    struct fixture *f = connected_with((struct sim_config){ .seed = 1, .latency_min_ns = MS, .latency_max_ns = MS });
    sim_settle(f->sim);
    sim_peer_send(f->server->peer[0], "old", 3);
    int fd = f->s.socket.fd;
    sim_socket_close(&f->s);
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), 0);
    assert_int_equal(f->s.socket.fd, fd);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    sim_settle(f->sim);
    assert_int_equal(f->s.recvs.count, 0);
    close_all(f);
}

/* ---- order ---- */
static unsigned first_of_two(uint64_t seed, uint64_t *hash)
{
    struct fixture *f = open_with((struct sim_config){ .seed = seed });
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
    close_world(f);
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
    struct fixture *f = connected_with((struct sim_config){ .seed = 1 });
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
    close_all(f);
}

/* ---- the n-th host call fails ---- */
static void test_fail_call(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct sim_config){ .fail_call = 1 });
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), -EMFILE);
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), 0);
    sim_settings(f->sim)->fail_call = sim_counters(f->sim)->calls + 1;
    assert_int_equal(sim_socket_receive(&f->s), -ENOMEM);
    assert_int_equal(sim_socket_receive(&f->s), 0);
    uint8_t bytes[4];
    sim_settings(f->sim)->fail_call = sim_counters(f->sim)->calls + 1;
    assert_int_equal(f->s.host->ops->entropy(f->s.host, bytes, 4), -EIO);
    assert_int_equal(f->s.host->ops->entropy(f->s.host, bytes, 4), 0);
    close_all(f);
}

/* ---- misuse ends the program ---- */
static void two_receives(struct fixture *f)
{
    (void)!sim_socket_receive(&f->s);
    (void)!f->s.host->ops->submit_recv(f->s.host, &f->s.socket, f->s.buffer, 1, &f->s.sent);
}

static void one_completion_twice(struct fixture *f)
{
    (void)!sim_socket_receive(&f->s);
    (void)!f->s.host->ops->submit_send(f->s.host, &f->s.socket, f->s.buffer, 1, &f->s.received);
}

static void changed_send_buffer(struct fixture *f)
{
    uint8_t out[4] = "abc";
    sim_socket_send(&f->s, out, 4);
    out[0] = 'z';
    sim_settle(f->sim);
}

static void changed_completion(struct fixture *f)
{
    (void)!sim_socket_receive(&f->s);
    f->s.received.host_priv[1]++;
    sim_peer_send(f->server->peer[0], "x", 1);
    sim_settle(f->sim);
}

static void unbind_in_flight(struct fixture *f)
{
    (void)!sim_socket_receive(&f->s);
    f->s.host->ops->unbind(f->s.host, &f->s.socket);
}

static void close_bound(struct fixture *f)
{
    f->s.host->ops->close(f->s.host, &f->s.socket);
}

static void use_after_close(struct fixture *f)
{
    struct pg_socket old = f->s.socket;
    sim_socket_close(&f->s);
    (void)!sim_socket_open(&f->s, f->sim, AF_INET); /* takes the number over */
    f->s.host->ops->shutdown(f->s.host, &old, SHUT_RDWR);
}

static void submit_unbound(struct fixture *f)
{
    f->s.host->ops->unbind(f->s.host, &f->s.socket);
    (void)!sim_socket_receive(&f->s);
}

static void submit_nothing(struct fixture *f)
{
    (void)!f->s.host->ops->submit_send(f->s.host, &f->s.socket, f->s.buffer, 0, &f->s.sent);
}

static void leak_a_descriptor(struct fixture *f)
{
    sim_close(f->sim);
}

struct misuse {
    struct fixture *f;
    void (*run)(struct fixture *);
};

static void misuse(void *arg)
{
    struct misuse *m = arg;
    m->run(m->f);
}

static void nothing_wrong(struct fixture *f)
{
    (void)!sim_socket_receive(&f->s);
    sim_socket_send(&f->s, "fine", 4);
    sim_settle(f->sim);
}

static void test_misuse_aborts(void **state)
{
    (void)state;
    void (*const wrong[])(struct fixture *) = {
        two_receives, one_completion_twice, changed_send_buffer, changed_completion, unbind_in_flight, close_bound,
        use_after_close, submit_unbound, submit_nothing, leak_a_descriptor,
    };
    struct fixture *f = connected_with((struct sim_config){ .seed = 1 });
    sim_settle(f->sim);
    assert_int_equal(signal_of(misuse, &(struct misuse){ f, nothing_wrong }), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (signal_of(misuse, &(struct misuse){ f, wrong[i] }) != SIGABRT) fail_msg("misuse %zu went through", i);
    }
    close_all(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_faults_keep_the_stream),
        cmocka_unit_test(test_retryable_moves_nothing),
        cmocka_unit_test(test_again_leads_to_no_completion),
        cmocka_unit_test(test_full_send_buffer_waits_for_the_peer),
        cmocka_unit_test(test_unread_counts_what_was_not_received),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_open_fails_at_once),
        cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_hang_ends_with_shutdown),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_send_after_shutdown),
        cmocka_unit_test(test_reset_behind_data),
        cmocka_unit_test(test_bytes_to_a_closed_peer_are_answered_by_reset),
        cmocka_unit_test(test_reset_by_chance),
        cmocka_unit_test(test_close_with_unread_bytes_resets),
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
