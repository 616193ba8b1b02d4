/* support/contract.c - the part of the contract suite's harness that is the same for every host. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "support/contract.h"

uint64_t contract_clock(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t contract_now(const struct contract *c)
{
    return c->host->ops->now ? c->host->ops->now(c->host) : contract_clock();
}

struct contract *contract_open(const struct contract_kind *kind)
{
    struct contract *c = calloc(1, sizeof *c);

    assert_non_null(c);
    c->kind = kind;
    kind->open(c);
    struct pg_reactor_config config = PG_REACTOR_CONFIG(c->host);
    assert_int_equal(pg_reactor_open(&c->reactor, &config, NULL), 0);
    return c;
}

void contract_close(struct contract *c)
{
    pg_reactor_free(c->reactor);
    assert_null(c->host->reactor);
    c->kind->close(c);
    free(c);
}

int64_t contract_begin(struct contract *c, int64_t wait_ns)
{
    int64_t permitted = pg_reactor_turn(c->reactor);

    assert_int_not_equal(permitted, PG_WAIT_CLOSED);
    return permitted < 0 || permitted > wait_ns ? wait_ns : permitted;
}

void contract_turn(struct contract *c, int64_t wait_ns)
{
    c->kind->wait(c, contract_begin(c, wait_ns));
}

void contract_settle(struct contract *c)
{
    for (int i = 0; i < 8; i++)
        contract_turn(c, 0);
}

/* ---- connections ---- */

void contract_pair_open(struct contract *c, struct contract_pair *pair)
{
    memset(pair, 0, sizeof *pair);
    assert_int_equal(
        rp_host_open(c->reactor, &pair->socket, (const struct sockaddr *)&c->address, c->address_size), 0);
    assert_true(pair->socket.flags & PG_SOCKET_STREAM);
    assert_int_equal(rp_host_bind(c->reactor, &pair->socket), 0);
    c->kind->accept(c, &pair->peer);
}

void contract_unbind_close(struct contract *c, struct contract_pair *pair)
{
    rp_host_unbind(c->reactor, &pair->socket);
    rp_host_close(c->reactor, &pair->socket);
}

void contract_hang_up(struct contract *c, struct contract_pair *pair, bool reset)
{
    if (!pair->hung_up)
        c->kind->hang_up(c, &pair->peer, reset);
    pair->hung_up = true;
}

void contract_pair_close(struct contract *c, struct contract_pair *pair)
{
    contract_unbind_close(c, pair);
    contract_hang_up(c, pair, false);
}

/* ---- operations ---- */

static void completed(struct pg_completion *completion, int32_t res)
{
    struct contract_op *op = RP_CONTAINER(completion, struct contract_op, completion);

    assert_false(op->contract->submitting);
    op->calls++;
    op->res = res;
    if (op->then)
        op->then(op);
}

/* An operation may be used again once it has completed: the callback and its argument stay, the count starts anew. */
static void prepare(struct contract *c, struct contract_op *op)
{
    op->completion.complete = completed;
    op->contract = c;
    op->calls = 0;
    op->res = INT32_MIN;
}

int contract_send(struct contract *c, struct pg_socket *s, struct contract_op *op, const void *at, size_t n)
{
    prepare(c, op);
    c->submitting = true;
    int rc = rp_host_send(c->reactor, s, at, n, &op->completion);
    c->submitting = false;
    return rc;
}

int contract_recv(struct contract *c, struct pg_socket *s, struct contract_op *op, void *at, size_t n)
{
    prepare(c, op);
    c->submitting = true;
    int rc = rp_host_recv(c->reactor, s, at, n, &op->completion);
    c->submitting = false;
    return rc;
}

void contract_cancel(struct contract *c, struct pg_socket *s, struct contract_op *op)
{
    c->submitting = true;
    rp_host_cancel(c->reactor, s, &op->completion);
    c->submitting = false;
}

/* ---- the other end ---- */

void contract_peer_read(struct contract *c, struct contract_pair *pair, void *at, size_t n)
{
    size_t got = 0;
    uint64_t give_up_ns = contract_clock() + CONTRACT_PATIENCE_NS;

    while (got < n) {
        assert_true(contract_clock() < give_up_ns);
        got += c->kind->read(c, &pair->peer, (char *)at + got, n - got);
        contract_turn(c, 0);
    }
}

void contract_peer_write(struct contract *c, struct contract_pair *pair, const void *at, size_t n)
{
    size_t put = 0;
    uint64_t give_up_ns = contract_clock() + CONTRACT_PATIENCE_NS;

    while (put < n) {
        assert_true(contract_clock() < give_up_ns);
        put += c->kind->write(c, &pair->peer, (const char *)at + put, n - put);
        if (put < n)
            contract_turn(c, 0);
    }
}

void contract_send_all(struct contract *c, struct pg_socket *s, const char *at, size_t n)
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

void contract_recv_all(struct contract *c, struct pg_socket *s, char *at, size_t n)
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

void contract_expect_end(struct contract *c, struct contract_op *op)
{
    CONTRACT_UNTIL(c, op->calls);
    contract_settle(c);
    assert_int_equal(op->calls, 1);
}

/* ---- the suite ---- */

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

static int run_over(const struct contract_kind *kind, struct CMUnitTest *clauses, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        clauses[i].initial_state = (void *)(uintptr_t)kind;
        clauses[i].setup_func = setup;
        clauses[i].teardown_func = teardown;
    }
    return _cmocka_run_group_tests(kind->name, clauses, count, NULL, NULL);
}

int contract_run(struct CMUnitTest *clauses, size_t count)
{
    int failed = run_over(&contract_sim, clauses, count);
    for (const struct contract_kind *kind = contract_real; kind->name; kind++)
        failed += run_over(kind, clauses, count);
    return failed;
}
