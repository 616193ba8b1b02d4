/* The contract of include/ringpg/host.h, clause by clause, over every host of the library. What is particular to one host
 * stands in test_host_uring.c and test_host_epoll.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/contract.h"

static int setup(void **state)
{
    *state = contract_open(*state);
    return 0;
}

static int teardown(void **state)
{
    contract_close(*state);
    return 0;
}

/* Sends all of it, however short the sends are. */
static void send_all(struct contract *c, struct pg_socket *s, const char *at, size_t n)
{
    struct contract_op op = { 0 };
    while (n > 0) {
        assert_int_equal(contract_send(c, s, &op, at, n), 0);
        CONTRACT_UNTIL(c, op.calls);
        assert_int_equal(op.calls, 1);
        assert_in_range(op.res, 1, n);
        at += op.res;
        n -= (size_t)op.res;
    }
}

static void recv_all(struct contract *c, struct pg_socket *s, char *at, size_t n)
{
    struct contract_op op = { 0 };
    while (n > 0) {
        assert_int_equal(contract_recv(c, s, &op, at, n), 0);
        CONTRACT_UNTIL(c, op.calls);
        assert_in_range(op.res, 1, n);
        at += op.res;
        n -= (size_t)op.res;
    }
}

/* An operation that is in flight ends exactly once, and after that nothing comes. */
static void expect_end(struct contract *c, struct contract_op *op)
{
    CONTRACT_UNTIL(c, op->calls);
    contract_settle(c);
    assert_int_equal(op->calls, 1);
}

/* ---- moving bytes ---- */

static void one_completion_per_submit(void **state)
{
    struct contract *c = *state;
    struct contract_pair pair;
    struct contract_op out = { 0 }, in = { 0 };
    char got[16] = "";

    contract_pair_open(c, &pair);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
    assert_int_equal(contract_send(c, &pair.socket, &out, "query", 5), 0);
    assert_int_equal(out.calls + in.calls, 0);
    expect_end(c, &out);
    assert_int_equal(out.res, 5);
    assert_int_equal(in.calls, 0);
    contract_peer_read(c, &pair, got, 5);
    assert_memory_equal(got, "query", 5);
    contract_peer_write(c, &pair, "answers", 7);
    expect_end(c, &in);
    assert_int_equal(in.res, 7);
    assert_memory_equal(got, "answers", 7);
    assert_int_equal(out.calls, 1);
    contract_pair_close(c, &pair);
}

/* Connecting needs no operation of its own: both may be submitted before anybody has accepted. */
static void first_operations_while_connecting(void **state)
{
    struct contract *c = *state;
    struct contract_pair pair = { 0 };
    struct contract_op out = { 0 }, in = { 0 };
    char got[8];

    assert_int_equal(rp_host_open(c->reactor, &pair.socket, (struct sockaddr *)&c->address, c->address_size), 0);
    assert_int_equal(rp_host_bind(c->reactor, &pair.socket), 0);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
    assert_int_equal(contract_send(c, &pair.socket, &out, "hello", 5), 0);
    expect_end(c, &out);
    assert_int_equal(out.res, 5);
    c->kind->accept(c, &pair.peer);
    contract_peer_write(c, &pair, "R", 1);
    expect_end(c, &in);
    assert_int_equal(in.res, 1);
    contract_pair_close(c, &pair);
}

static void bytes_that_came_before_the_recv(void **state)
{
    struct contract *c = *state;
    struct contract_pair pair;
    char got[9] = "";

    contract_pair_open(c, &pair);
    contract_peer_write(c, &pair, "12345678", 8);
    contract_settle(c);
    recv_all(c, &pair.socket, got, 3); /* exactly full, with more behind it */
    recv_all(c, &pair.socket, got + 3, 5);
    assert_string_equal(got, "12345678");
    contract_peer_write(c, &pair, "abcdefgh", 8);
    recv_all(c, &pair.socket, got, 8); /* exactly full, with nothing behind it */
    assert_string_equal(got, "abcdefgh");
    contract_peer_write(c, &pair, "x", 1);
    recv_all(c, &pair.socket, got, 1);
    contract_pair_close(c, &pair);
}

/* Megabytes both ways at once, with short sends and a peer that takes and gives them in pieces. */
static void large_transfers(void **state)
{
    enum { SIZE = 4 << 20, PIECE = 100000 };
    struct contract *c = *state;
    struct contract_pair pair;
    struct contract_op out = { 0 }, in = { 0 };
    char *bytes = malloc(SIZE), *there = malloc(SIZE), *back = malloc(SIZE);
    size_t sent = 0, taken = 0, given = 0, received = 0;

    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    contract_pair_open(c, &pair);
    out.calls = in.calls = 1;
    out.res = in.res = 0;
    for (uint64_t until = contract_clock() + CONTRACT_PATIENCE_NS; taken < SIZE || received < SIZE;) {
        assert_true(contract_clock() < until);
        if (out.calls) {
            assert_true(out.res >= 0);
            sent += (size_t)out.res;
            out.res = 0;
            if (sent < SIZE)
                assert_int_equal(contract_send(c, &pair.socket, &out, bytes + sent, SIZE - sent), 0);
        }
        if (in.calls) {
            assert_true(in.res >= 0);
            received += (size_t)in.res;
            in.res = 0;
            if (received < SIZE)
                assert_int_equal(contract_recv(c, &pair.socket, &in, back + received, SIZE - received), 0);
        }
        taken += c->kind->read(c, &pair.peer, there + taken, SIZE - taken < PIECE ? SIZE - taken : PIECE);
        if (given < taken)
            given += c->kind->write(c, &pair.peer, there + given, taken - given);
        contract_turn(c, 0);
    }
    expect_end(c, &out);
    assert_memory_equal(there, bytes, SIZE);
    assert_memory_equal(back, bytes, SIZE);
    contract_pair_close(c, &pair);
    free(bytes);
    free(there);
    free(back);
}

struct chain { struct contract_pair pair; unsigned left; char byte; };

static void next_in_chain(struct contract_op *op)
{
    struct chain *chain = op->arg;
    assert_int_equal(op->res, 1);
    if (--chain->left)
        assert_int_equal(contract_recv(op->contract, &chain->pair.socket, op, &chain->byte, 1), 0);
}

/* A callback submits the next operation; what is there already must not make the stack grow or the loop stop. */
static void submits_inside_callbacks(void **state)
{
    enum { BYTES = 5000 };
    struct contract *c = *state;
    struct chain chain = { .left = BYTES };
    struct contract_op in = { .then = next_in_chain, .arg = &chain };
    char bytes[BYTES] = "";

    contract_pair_open(c, &chain.pair);
    assert_int_equal(contract_recv(c, &chain.pair.socket, &in, &chain.byte, 1), 0);
    contract_peer_write(c, &chain.pair, bytes, sizeof bytes);
    CONTRACT_UNTIL(c, chain.left == 0);
    contract_pair_close(c, &chain.pair);
}

/* More sockets with news than one batch of any host has room for. */
static void many_sockets_at_once(void **state)
{
    enum { SOCKETS = 300 };
    struct contract *c = *state;
    struct contract_pair *pairs = calloc(SOCKETS, sizeof *pairs);
    struct contract_op *ops = calloc(SOCKETS, sizeof *ops);
    char got[SOCKETS];

    for (int i = 0; i < SOCKETS; i++) {
        contract_pair_open(c, &pairs[i]);
        while (contract_recv(c, &pairs[i].socket, &ops[i], &got[i], 1) == -EAGAIN)
            contract_turn(c, 0);
    }
    contract_settle(c);
    for (int i = 0; i < SOCKETS; i++)
        contract_peer_write(c, &pairs[i], &(char){ (char)i }, 1);
    for (int i = 0; i < SOCKETS; i++)
        CONTRACT_UNTIL(c, ops[i].calls);
    contract_settle(c);
    for (int i = 0; i < SOCKETS; i++) {
        assert_int_equal(ops[i].calls, 1);
        assert_int_equal(ops[i].res, 1);
        assert_int_equal(got[i], (char)i);
        contract_pair_close(c, &pairs[i]);
    }
    free(pairs);
    free(ops);
}

/* ---- ends ---- */

static void end_of_file_is_zero(void **state)
{
    struct contract *c = *state;
    struct contract_pair pair;
    struct contract_op in = { 0 };
    char got[8];

    contract_pair_open(c, &pair);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
    contract_settle(c);
    contract_hang_up(c, &pair, false);
    expect_end(c, &in);
    assert_int_equal(in.res, 0);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0); /* and stays so */
    expect_end(c, &in);
    assert_int_equal(in.res, 0);
    contract_pair_close(c, &pair);
}

/* The end arrives together with the last bytes, and they are read in two pieces, the second one short. */
static void bytes_and_then_the_end(void **state)
{
    struct contract *c = *state;
    struct contract_pair pair;
    struct contract_op in = { 0 };
    char got[8] = "";

    contract_pair_open(c, &pair);
    contract_peer_write(c, &pair, "FATAL", 5);
    contract_hang_up(c, &pair, false);
    recv_all(c, &pair.socket, got, 3);
    recv_all(c, &pair.socket, got + 3, 2);
    assert_string_equal(got, "FATAL");
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
    expect_end(c, &in);
    assert_int_equal(in.res, 0);
    contract_pair_close(c, &pair);
}

static void a_reset_is_an_error(void **state)
{
    struct contract *c = *state;
    struct contract_pair pair;
    struct contract_op in = { 0 }, out = { 0 };
    char got[8];

    contract_pair_open(c, &pair);
    send_all(c, &pair.socket, "never read", 10);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
    contract_settle(c);
    contract_hang_up(c, &pair, c->kind->can_reset);
    expect_end(c, &in);
    assert_int_equal(in.res, -ECONNRESET);
    assert_int_equal(contract_send(c, &pair.socket, &out, "x", 1), 0); /* no SIGPIPE either */
    expect_end(c, &out);
    assert_true(out.res < 0);
    contract_pair_close(c, &pair);
}

/* Which of the two operations meets the error first is the kernel's business; alone, each one must. Where connect() itself
 * knows at once, as on a Unix socket, open says so. */
static void a_refused_connection(void **state)
{
    struct contract *c = *state;
    struct contract_op in = { 0 }, out = { 0 };
    char got[8];

    c->kind->refuse(c);
    for (int which = 1; which <= 3; which++) { /* a recv, a send, both */
        struct contract_pair pair = { 0 };
        int rc = rp_host_open(c->reactor, &pair.socket, (struct sockaddr *)&c->address, c->address_size);
        if (rc) {
            assert_int_equal(rc, -ECONNREFUSED);
            continue;
        }
        assert_int_equal(rp_host_bind(c->reactor, &pair.socket), 0);
        in.res = out.res = 0;
        if (which & 1)
            assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
        if (which & 2)
            assert_int_equal(contract_send(c, &pair.socket, &out, "hello", 5), 0);
        if (which & 1)
            expect_end(c, &in);
        if (which & 2)
            expect_end(c, &out);
        assert_true(in.res <= 0 && out.res <= 0);
        assert_true(in.res == -ECONNREFUSED || out.res == -ECONNREFUSED);
        contract_unbind_close(c, &pair);
    }
}

static void shutdown_ends_what_is_in_flight(void **state)
{
    enum { SIZE = 1 << 20 };
    struct contract *c = *state;
    struct contract_pair pair;
    struct contract_op in = { 0 }, out = { .calls = 1 };
    char got[8], *bytes = calloc(1, SIZE);

    contract_pair_open(c, &pair);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
    do { /* until the buffers between here and the peer are full */
        assert_int_equal(contract_send(c, &pair.socket, &out, bytes, SIZE), 0);
        contract_settle(c);
    } while (out.calls);
    rp_host_shutdown(c->reactor, &pair.socket, SHUT_RDWR);
    expect_end(c, &in);
    expect_end(c, &out);
    assert_true(in.res <= 0);
    contract_pair_close(c, &pair);
    free(bytes);
}

static void half_a_shutdown(void **state)
{
    struct contract *c = *state;
    struct contract_pair pair;
    struct contract_op in = { 0 };
    char got[8] = "";

    contract_pair_open(c, &pair);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
    send_all(c, &pair.socket, "X", 1);
    rp_host_shutdown(c->reactor, &pair.socket, SHUT_WR);
    contract_peer_read(c, &pair, got, 1);
    CONTRACT_UNTIL(c, c->kind->at_eof(c, &pair.peer));
    assert_int_equal(in.calls, 0);
    contract_peer_write(c, &pair, "late", 4);
    expect_end(c, &in);
    assert_int_equal(in.res, 4);
    contract_pair_close(c, &pair);
}

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
    expect_end(c, &in);
    assert_int_equal(in.res, -ECANCELED);
    memcpy(got, "...", 4); /* the buffer is ours again */
    contract_cancel(c, &pair.socket, &in); /* too late: finds nothing */
    contract_settle(c);
    contract_peer_write(c, &pair, "abc", 3);
    contract_settle(c);
    assert_string_equal(got, "...");
    recv_all(c, &pair.socket, got, 3);
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
        expect_end(c, &in);
        if (in.res == -ECANCELED)
            recv_all(c, &pair.socket, got, 3);
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
    expect_end(c, &out);
    assert_int_equal(out.res, -ECANCELED);
    contract_pair_close(c, &pair);
    free(bytes);
}

/* ---- descriptors ---- */

/* The kernel gives the number of a closed descriptor to the next one: what was of the old one must not reach the new. */
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
        expect_end(c, &second);
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
    send_all(c, &pair.socket, "x", 1);
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

/* Three sockets have news at once; the callback of the one closes the others and then itself, in the middle of it all. */
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
        expect_end(c, &in);
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

#define CLAUSES(X)                                                                                                    \
    X(one_completion_per_submit) X(first_operations_while_connecting) X(bytes_that_came_before_the_recv)              \
    X(large_transfers) X(submits_inside_callbacks) X(many_sockets_at_once) X(end_of_file_is_zero)                     \
    X(bytes_and_then_the_end) X(a_reset_is_an_error) X(a_refused_connection) X(shutdown_ends_what_is_in_flight) X(half_a_shutdown)            \
    X(cancel_of_an_idle_recv) X(cancel_against_data) X(cancel_of_a_blocked_send) X(a_descriptor_number_is_used_again) \
    X(nothing_after_the_close) X(a_callback_closes_other_sockets) X(the_last_callback_closes) X(wake_ends_the_wait)   \
    X(tasks_from_another_thread) X(no_wait_when_a_turn_is_wanted) X(a_wait_ends_in_time)

static const struct CMUnitTest *clauses_of(const struct contract_kind *kind, struct CMUnitTest *clauses, size_t count)
{
    for (size_t i = 0; i < count; i++)
        clauses[i].initial_state = (void *)(uintptr_t)kind;
    return clauses;
}

int main(void)
{
#define CLAUSE(name) { #name, name, setup, teardown, NULL },
    struct CMUnitTest clauses[] = { CLAUSES(CLAUSE) };
    enum { COUNT = RP_COUNT(clauses) };
    int failed = 0;

    failed += _cmocka_run_group_tests(contract_sim.name, clauses_of(&contract_sim, clauses, COUNT), COUNT, NULL, NULL);
    for (const struct contract_kind *kind = contract_real; kind->name; kind++)
        failed += _cmocka_run_group_tests(kind->name, clauses_of(kind, clauses, COUNT), COUNT, NULL, NULL);
    return failed;
}
