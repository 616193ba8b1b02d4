/* The contract of include/ringpg/host.h over every host of the library, first half: bytes that move, and connections
 * that end. What is particular to one host stands in test_host_uring.c and test_host_epoll.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "support/contract.h"

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
    contract_expect_end(c, &out);
    assert_int_equal(out.res, 5);
    assert_int_equal(in.calls, 0);
    contract_peer_read(c, &pair, got, 5);
    assert_memory_equal(got, "query", 5);
    contract_peer_write(c, &pair, "answers", 7);
    contract_expect_end(c, &in);
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
    contract_expect_end(c, &out);
    assert_int_equal(out.res, 5);
    c->kind->accept(c, &pair.peer);
    contract_peer_write(c, &pair, "R", 1);
    contract_expect_end(c, &in);
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
    contract_recv_all(c, &pair.socket, got, 3); /* exactly full, with more behind it */
    contract_recv_all(c, &pair.socket, got + 3, 5);
    assert_string_equal(got, "12345678");
    contract_peer_write(c, &pair, "abcdefgh", 8);
    contract_recv_all(c, &pair.socket, got, 8); /* exactly full, with nothing behind it */
    assert_string_equal(got, "abcdefgh");
    contract_peer_write(c, &pair, "x", 1);
    contract_recv_all(c, &pair.socket, got, 1);
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
    contract_expect_end(c, &out);
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
    contract_expect_end(c, &in);
    assert_int_equal(in.res, 0);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0); /* and stays so */
    contract_expect_end(c, &in);
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
    contract_recv_all(c, &pair.socket, got, 3);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got + 3, 5), 0);
    contract_expect_end(c, &in);
    assert_int_equal(in.res, 2);
    assert_memory_equal(got, "FATAL", 5);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
    contract_expect_end(c, &in);
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
    contract_send_all(c, &pair.socket, "never read", 10);
    assert_int_equal(contract_recv(c, &pair.socket, &in, got, sizeof got), 0);
    contract_settle(c);
    contract_hang_up(c, &pair, c->kind->can_reset);
    contract_expect_end(c, &in);
    assert_int_equal(in.res, -ECONNRESET);
    assert_int_equal(contract_send(c, &pair.socket, &out, "x", 1), 0); /* no SIGPIPE either (failures 41) */
    contract_expect_end(c, &out);
    assert_true(out.res < 0);
    contract_pair_close(c, &pair);
}

/* Which of the two operations meets the error first is the kernel's business; alone, each one must. Where connect()
 * itself knows at once, as on a Unix socket, open says so. */
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
            contract_expect_end(c, &in);
        if (which & 2)
            contract_expect_end(c, &out);
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
    contract_expect_end(c, &in);
    contract_expect_end(c, &out);
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
    contract_send_all(c, &pair.socket, "X", 1);
    rp_host_shutdown(c->reactor, &pair.socket, SHUT_WR);
    contract_peer_read(c, &pair, got, 1);
    CONTRACT_UNTIL(c, c->kind->at_eof(c, &pair.peer));
    assert_int_equal(in.calls, 0);
    contract_peer_write(c, &pair, "late", 4);
    contract_expect_end(c, &in);
    assert_int_equal(in.res, 4);
    contract_pair_close(c, &pair);
}

int main(void)
{
    static struct CMUnitTest clauses[] = {
        CONTRACT_CLAUSE(one_completion_per_submit),
        CONTRACT_CLAUSE(first_operations_while_connecting),
        CONTRACT_CLAUSE(bytes_that_came_before_the_recv),
        CONTRACT_CLAUSE(large_transfers),
        CONTRACT_CLAUSE(submits_inside_callbacks),
        CONTRACT_CLAUSE(many_sockets_at_once),
        CONTRACT_CLAUSE(end_of_file_is_zero),
        CONTRACT_CLAUSE(bytes_and_then_the_end),
        CONTRACT_CLAUSE(a_reset_is_an_error),
        CONTRACT_CLAUSE(a_refused_connection),
        CONTRACT_CLAUSE(shutdown_ends_what_is_in_flight),
        CONTRACT_CLAUSE(half_a_shutdown),
    };
    return contract_run(clauses, RP_COUNT(clauses));
}
