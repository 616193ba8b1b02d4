/* The contract of include/ringpg/host.h over every host of the library, second half: operations that are cancelled,
 * descriptors that go away, threads that wake, and the wait. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "support/contract.h"

/* ---- cancelling ---- */

static void cancel_of_an_idle_recv(void **state)
{
    struct contract *c = *state;
    struct contract_pair pair;
    struct contract_op in = { 0 };
    char got[4] = "";

    contract_pair_open(c, &pair);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
    contract_settle(c);
    contract_cancel(c, &pair.socket, &in);
    contract_cancel(c, &pair.socket, &in);
    contract_expect_end(c, &in);
    assert_int_equal(in.res, -ECANCELED);
    memcpy(got, "...", 4); /* the buffer is ours again */
    contract_cancel(c, &pair.socket, &in); /* too late: finds nothing */
    contract_settle(c);
    contract_peer_write(c, &pair, "abc", 3);
    contract_settle(c);
    assert_string_equal(got, "...");
    contract_recv_all(c, &pair.socket, got, 3);
    assert_memory_equal(got, "abc", 3);
    contract_pair_close(c, &pair);
}

/* Cancelled in the turn in which the bytes come: one completion, and the bytes come either with it or with the next. */
static void cancel_against_data(void **state)
{
    struct contract *c = *state;
    struct contract_pair pair;
    struct contract_op in = { 0 };
    char got[4] = "";

    contract_pair_open(c, &pair);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
        if (i & 1)
            contract_settle(c);
        if (i & 2) {
            contract_cancel(c, &pair.socket, &in);
            contract_peer_write(c, &pair, "abc", 3);
        } else {
            contract_peer_write(c, &pair, "abc", 3);
            contract_cancel(c, &pair.socket, &in);
        }
        contract_expect_end(c, &in);
        if (in.res == -ECANCELED)
            contract_recv_all(c, &pair.socket, got, 3);
        else
            assert_int_equal(in.res, 3);
        assert_memory_equal(got, "abc", 3);
    }
    contract_pair_close(c, &pair);
}

static void cancel_of_a_blocked_send(void **state)
{
    enum { SIZE = 1 << 20 };
    struct contract *c = *state;
    struct contract_pair pair;
    struct contract_op out = { .calls = 1 };
    char *bytes = calloc(1, SIZE);

    contract_pair_open(c, &pair);
    do {
        assert_int_equal(contract_send(c, &pair.socket, &out, bytes, SIZE), 0);
        contract_settle(c);
    } while (out.calls);
    contract_cancel(c, &pair.socket, &out);
    contract_expect_end(c, &out);
    assert_int_equal(out.res, -ECANCELED);
    contract_pair_close(c, &pair);
    free(bytes);
}

/* ---- descriptors ---- */

/* The kernel gives the number of a closed descriptor to the next: what was of the old one must not reach the new. */
static void a_descriptor_number_is_used_again(void **state)
{
    struct contract *c = *state;
    struct contract_pair old, fresh;
    struct contract_op first = { 0 }, second = { 0 };
    char never[4], got[4] = "";

    for (int i = 0; i < 20; i++) {
        contract_pair_open(c, &old);
        int fd = old.socket.fd;
        assert_int_equal(contract_recv(c, &old.socket, &first, never, sizeof never), 0);
        contract_cancel(c, &old.socket, &first);
        CONTRACT_UNTIL(c, first.calls);
        memcpy(never, "...", 4);
        contract_unbind_close(c, &old); /* the cancel's own echo may still be under way */
        contract_pair_open(c, &fresh);
        assert_int_equal(fresh.socket.fd, fd);
        assert_int_equal(contract_recv(c, &fresh.socket, &second, got, sizeof got), 0);
        contract_hang_up(c, &old, false);
        contract_settle(c);
        assert_int_equal(second.calls, 0);
        contract_peer_write(c, &fresh, "new", 3);
        contract_expect_end(c, &second);
        assert_int_equal(second.res, 3);
        assert_int_equal(first.calls, 1);
        assert_string_equal(never, "...");
        contract_pair_close(c, &fresh);
    }
}

static void nothing_after_the_close(void **state)
{
    struct contract *c = *state;
    struct contract_pair pair;
    struct contract_op in = { 0 }, out = { 0 };
    char got[4];

    contract_pair_open(c, &pair);
    contract_send_all(c, &pair.socket, "x", 1);
    assert_int_equal(contract_send(c, &pair.socket, &out, "y", 1), 0);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
    contract_cancel(c, &pair.socket, &in);
    CONTRACT_UNTIL(c, in.calls && out.calls);
    contract_unbind_close(c, &pair);
    contract_hang_up(c, &pair, true);
    contract_settle(c);
    assert_int_equal(in.calls, 1);
    assert_int_equal(out.calls, 1);
}

struct victim { struct contract_pair pair; bool closed; };

static void close_victims(struct contract_op *op)
{
    struct victim *victim = op->arg;
    for (int i = 0; i < 2; i++, victim++) {
        if (!victim->closed)
            contract_unbind_close(op->contract, &victim->pair);
        victim->closed = true;
    }
}

/* Three sockets have news at once; the callback of the one closes the two others in the middle of it. */
static void a_callback_closes_other_sockets(void **state)
{
    struct contract *c = *state;
    struct victim victims[2] = { 0 };
    struct contract_pair pair;
    struct contract_op in = { .then = close_victims, .arg = victims };
    char got[4];

    for (int i = 0; i < 20; i++) {
        contract_pair_open(c, &victims[0].pair);
        contract_pair_open(c, &pair);
        contract_pair_open(c, &victims[1].pair);
        victims[0].closed = victims[1].closed = false;
        assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
        contract_settle(c);
        contract_peer_write(c, &victims[i & 1].pair, "a", 1);
        contract_peer_write(c, &pair, "b", 1);
        contract_peer_write(c, &victims[!(i & 1)].pair, "c", 1);
        contract_expect_end(c, &in);
        assert_true(victims[0].closed && victims[1].closed);
        contract_hang_up(c, &victims[0].pair, false);
        contract_hang_up(c, &victims[1].pair, false);
        contract_pair_close(c, &pair);
    }
}

struct last { struct contract_pair pair; unsigned ended; };

static void close_after_both(struct contract_op *op)
{
    struct last *last = op->arg;
    if (++last->ended == 2)
        contract_unbind_close(op->contract, &last->pair);
}

/* Both directions end at once; the callback of the later one closes the socket. */
static void the_last_callback_closes(void **state)
{
    struct contract *c = *state;

    for (int i = 0; i < 20; i++) {
        struct last last = { 0 };
        struct contract_op in = { .then = close_after_both, .arg = &last }, out = in;
        char got[4];

        contract_pair_open(c, &last.pair);
        contract_settle(c);
        contract_peer_write(c, &last.pair, "x", 1);
        assert_int_equal(contract_recv(c, &last.pair.socket, &in, got, sizeof got), 0);
        assert_int_equal(contract_send(c, &last.pair.socket, &out, "y", 1), 0);
        CONTRACT_UNTIL(c, last.ended == 2);
        contract_settle(c);
        assert_int_equal(in.calls + out.calls, 2);
        contract_hang_up(c, &last.pair, false);
    }
}

/* ---- the wait ---- */

static void *wake_it(void *arg)
{
    struct contract *c = arg;
    c->host->ops->wake(c->host);
    return NULL;
}

/* Each wake ends one wait, whether it comes before the wait or while it lasts. */
static void wake_ends_the_wait(void **state)
{
    struct contract *c = *state;
    pthread_t thread;

    contract_settle(c);
    for (int i = 0; i < 50; i++) {
        uint64_t start_ns = contract_now(c);
        bool before = i & 1 || c->kind->virtual_time;
        assert_int_equal(pthread_create(&thread, NULL, wake_it, c), 0);
        if (before)
            pthread_join(thread, NULL);
        c->kind->wait(c, CONTRACT_PATIENCE_NS);
        assert_true(contract_now(c) - start_ns < CONTRACT_PATIENCE_NS);
        if (!before)
            pthread_join(thread, NULL);
    }
}

struct posted { struct pg_task task; unsigned *runs; };

static void run_posted(struct pg_task *task)
{
    (*RP_CONTAINER(task, struct posted, task)->runs)++;
}

struct poster { struct contract *contract; struct posted *tasks; size_t count; };

static void *post_all(void *arg)
{
    struct poster *poster = arg;
    for (size_t i = 0; i < poster->count; i++)
        pg_reactor_post(poster->contract->reactor, &poster->tasks[i].task);
    return NULL;
}

static void tasks_from_another_thread(void **state)
{
    enum { TASKS = 2000 };
    struct contract *c = *state;
    struct posted *tasks = calloc(TASKS, sizeof *tasks);
    unsigned runs = 0;
    pthread_t thread;

    for (int i = 0; i < TASKS; i++)
        tasks[i] = (struct posted){ .task.run = run_posted, .runs = &runs };
    struct poster poster = { c, tasks, TASKS };
    assert_int_equal(pthread_create(&thread, NULL, post_all, &poster), 0);
    CONTRACT_UNTIL(c, runs == TASKS);
    pthread_join(thread, NULL);
    free(tasks);
}

struct late { struct rp_node node; bool ran; };

static void run_late(struct rp_node *node)
{
    RP_CONTAINER(node, struct late, node)->ran = true;
}

/* Work that was queued after the turn: the wait that the turn permitted must not begin. */
static void no_wait_when_a_turn_is_wanted(void **state)
{
    struct contract *c = *state;
    struct late late = { .node.run = run_late };

    contract_settle(c);
    uint64_t start_ns = contract_now(c);
    assert_int_equal(pg_reactor_turn(c->reactor), PG_WAIT_FOREVER);
    rp_ready(c->reactor, &late.node);
    c->kind->wait(c, CONTRACT_PATIENCE_NS);
    assert_true(contract_now(c) - start_ns < CONTRACT_PATIENCE_NS);
    contract_turn(c, 0);
    assert_true(late.ran);
}

static void a_wait_ends_in_time(void **state)
{
    struct contract *c = *state;
    contract_settle(c);
    for (int64_t ns = 1; ns <= 10000000; ns *= 10)
        c->kind->wait(c, ns); /* returns: nothing else is asked of it */
}

int main(void)
{
    static struct CMUnitTest clauses[] = {
        CONTRACT_CLAUSE(cancel_of_an_idle_recv),
        CONTRACT_CLAUSE(cancel_against_data),
        CONTRACT_CLAUSE(cancel_of_a_blocked_send),
        CONTRACT_CLAUSE(a_descriptor_number_is_used_again),
        CONTRACT_CLAUSE(nothing_after_the_close),
        CONTRACT_CLAUSE(a_callback_closes_other_sockets),
        CONTRACT_CLAUSE(the_last_callback_closes),
        CONTRACT_CLAUSE(wake_ends_the_wait),
        CONTRACT_CLAUSE(tasks_from_another_thread),
        CONTRACT_CLAUSE(no_wait_when_a_turn_is_wanted),
        CONTRACT_CLAUSE(a_wait_ends_in_time),
    };
    return contract_run(clauses, RP_COUNT(clauses));
}
