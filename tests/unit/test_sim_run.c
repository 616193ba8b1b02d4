/* test_sim_run.c - reactors in virtual time: what ends a run, when deadlines fire, that a reactor that never waits
 * does not stop the clock, and that the same seed gives the same run. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <cmocka.h>
#include "reactor/reactor.h"
#include "support/sim.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

struct fixture {
    struct sim *sim;
    struct pg_reactor *r[2];
    unsigned count;
    uint64_t fired_at_ns;
    struct rp_timer timer;
    struct rp_node node;
    struct pg_task task;
    unsigned runs;
    /* a client of the echoing peer */
    struct pg_socket socket;
    struct pg_completion sent, received;
    char out[8], in[8];
    unsigned rounds, open;
    bool sending, due; /* the echo may come before its own send has completed */
};

static struct fixture *open_with(struct sim_config config, unsigned reactors)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->sim = sim_open(&config);
    f->count = reactors;
    for (unsigned i = 0; i < reactors; i++) {
        struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host_at(f->sim, i));
        assert_int_equal(pg_reactor_open(&f->r[i], &rc, NULL), 0);
    }
    return f;
}

static void close_down(struct fixture *f)
{
    for (unsigned i = 0; i < f->count; i++) pg_reactor_close(f->r[i], 0);
    assert_int_equal(sim_run_all(f->sim, f->r, f->count, NULL, NULL, SECOND), SIM_CLOSED);
    for (unsigned i = 0; i < f->count; i++) pg_reactor_free(f->r[i]);
    sim_close(f->sim);
    free(f);
}

/* ---- ends ---- */
static void fire(struct rp_timer *t)
{
    struct fixture *f = RP_CONTAINER(t, struct fixture, timer);
    f->fired_at_ns = sim_now(f->sim);
}

static bool has_fired(void *arg)
{
    return ((struct fixture *)arg)->fired_at_ns != 0;
}

static void test_ends(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct sim_config){ .seed = 1 }, 1);
    uint64_t start = sim_now(f->sim);
    assert_int_equal(sim_run(f->sim, f->r[0], SECOND), SIM_IDLE);
    assert_int_equal(sim_now(f->sim), start);
    f->timer.fire = fire;
    rp_timer_start(f->r[0], &f->timer, start + 100 * MS);
    assert_int_equal(sim_run(f->sim, f->r[0], 50 * MS), SIM_TIME);
    assert_int_equal(sim_now(f->sim), start + 50 * MS);
    assert_false(has_fired(f));
    assert_int_equal(sim_run_until(f->sim, f->r[0], has_fired, f, SECOND), SIM_DONE);
    assert_in_range(f->fired_at_ns, start + 100 * MS, start + 102 * MS);
    assert_int_equal(sim_run_until(f->sim, f->r[0], has_fired, f, SECOND), SIM_DONE);
    assert_true(sim_counters(f->sim)->turns < 20); /* it jumps */
    close_down(f);
}

static void run_for_ever(struct rp_node *node)
{
    struct fixture *f = RP_CONTAINER(node, struct fixture, node);
    f->runs++;
    rp_flush(f->r[0], node);
}

static void test_a_busy_reactor_does_not_stop_the_clock(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct sim_config){ .seed = 1, .turn_ns = 1000 }, 1);
    uint64_t start = sim_now(f->sim);
    f->node.run = run_for_ever;
    rp_flush(f->r[0], &f->node);
    assert_int_equal(sim_run(f->sim, f->r[0], MS), SIM_TIME);
    assert_int_equal(sim_now(f->sim), start + MS);
    assert_in_range(f->runs, 1000, 1002);
    rp_unqueue(f->r[0], &f->node);
    close_down(f);
}

static void task_runs(struct pg_task *task)
{
    RP_CONTAINER(task, struct fixture, task)->runs++;
}

static void *post(void *arg)
{
    struct fixture *f = arg;
    pg_reactor_post(f->r[0], &f->task);
    return NULL;
}

static void test_posted_from_another_thread(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct sim_config){ .seed = 1 }, 1);
    pthread_t thread;
    f->task.run = task_runs;
    assert_int_equal(pthread_create(&thread, NULL, post, f), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sim_counters(f->sim)->wakes, 1);
    assert_int_equal(sim_run(f->sim, f->r[0], SECOND), SIM_IDLE);
    assert_int_equal(f->runs, 1);
    close_down(f);
}

/* ---- a wake between a turn and its wait: the next turn comes at once ---- */
static void post_at_event(void *arg)
{
    post(arg);
}

static void test_wake_from_an_event(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct sim_config){ .seed = 1 }, 1);
    uint64_t start = sim_now(f->sim);
    f->task.run = task_runs;
    sim_after(f->sim, 5 * MS, post_at_event, f);
    assert_int_equal(sim_run(f->sim, f->r[0], SECOND), SIM_IDLE);
    assert_int_equal(f->runs, 1);
    assert_in_range(sim_now(f->sim), start + 5 * MS, start + 6 * MS);
    close_down(f);
}

/* ---- bytes through the reactor's host calls ---- */
enum { ROUNDS = 200 };

static void echo(struct sim_peer *peer, const uint8_t *at, size_t n)
{
    sim_peer_send(peer, at, n);
}

static void hang_up(struct sim_peer *peer)
{
    sim_peer_close(peer);
}

static enum sim_connect accept_echo(void *arg, struct sim_peer *peer, const struct sockaddr *address)
{
    (void)arg, (void)address;
    *peer = (struct sim_peer){ .on_bytes = echo, .on_eof = hang_up };
    return SIM_ACCEPT;
}

static void ping(struct rp_node *node)
{
    struct fixture *f = RP_CONTAINER(node, struct fixture, node);
    if (f->sending || !f->due) return;
    if (rp_host_send(f->r[0], &f->socket, f->out, 1, &f->sent)) {
        rp_flush(f->r[0], node);
        return;
    }
    f->sending = true;
    f->due = false;
}

static void arm(struct fixture *f)
{
    while (rp_host_recv(f->r[0], &f->socket, f->in, 1, &f->received)) {}
}

static void on_sent(struct pg_completion *c, int32_t result)
{
    struct fixture *f = RP_CONTAINER(c, struct fixture, sent);
    f->sending = false;
    if (result != 1) f->due = true;
    if (f->due) rp_flush(f->r[0], &f->node);
}

static void on_received(struct pg_completion *c, int32_t result)
{
    struct fixture *f = RP_CONTAINER(c, struct fixture, received);
    if (result == 0) {
        f->open = 0;
        return;
    }
    if (result == 1) {
        assert_int_equal(f->in[0], 'p');
        f->due = ++f->rounds < ROUNDS;
        if (f->due) rp_flush(f->r[0], &f->node);
        else rp_host_shutdown(f->r[0], &f->socket, SHUT_WR);
    }
    arm(f);
}

static bool is_closed(void *arg)
{
    struct fixture *f = arg;
    return !f->open && !f->sending;
}

static uint64_t ping_pong(uint64_t seed)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct fixture *f = open_with((struct sim_config){
        .seed = seed, .latency_max_ns = MS, .completion_ns = MS, .submit_again = 300, .retryable = 100,
        .short_send = 100, .burst = 100 }, 1);
    sim_listen(f->sim, accept_echo, NULL);
    f->node.run = ping;
    f->sent.complete = on_sent;
    f->received.complete = on_received;
    f->open = 1;
    f->out[0] = 'p';
    f->due = true;
    assert_int_equal(rp_host_open(f->r[0], &f->socket, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(rp_host_bind(f->r[0], &f->socket), 0);
    arm(f);
    rp_flush(f->r[0], &f->node);
    assert_int_equal(sim_run_until(f->sim, f->r[0], is_closed, f, 100 * SECOND), SIM_DONE);
    assert_int_equal(f->rounds, ROUNDS);
    rp_host_unbind(f->r[0], &f->socket);
    rp_host_close(f->r[0], &f->socket);
    uint64_t hash = sim_hash(f->sim);
    close_down(f);
    return hash;
}

static void test_same_seed_same_run(void **state)
{
    (void)state;
    uint64_t last = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        uint64_t hash = ping_pong(seed);
        assert_int_equal(ping_pong(seed), hash);
        assert_int_not_equal(hash, last);
        last = hash;
    }
}

/* ---- several reactors of one world ---- */
static void test_two_reactors(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct sim_config){ .seed = 1 }, 2);
    uint64_t start = sim_now(f->sim);
    f->timer.fire = fire;
    rp_timer_start(f->r[1], &f->timer, start + 20 * MS);
    assert_int_equal(sim_run_all(f->sim, f->r, 2, NULL, NULL, SECOND), SIM_IDLE);
    assert_in_range(f->fired_at_ns, start + 20 * MS, start + 22 * MS);
    pg_reactor_close(f->r[0], 0);
    assert_int_equal(sim_run_all(f->sim, f->r, 2, NULL, NULL, SECOND), SIM_IDLE); /* one is still open */
    close_down(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_a_busy_reactor_does_not_stop_the_clock),
        cmocka_unit_test(test_posted_from_another_thread),
        cmocka_unit_test(test_wake_from_an_event),
        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_two_reactors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
