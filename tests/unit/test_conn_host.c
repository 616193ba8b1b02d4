/* unit/test_conn_host.c - what a connection asks of its host at its end, and what it makes of an operation that
 * somebody else has cancelled (failures 35, 36, 38, 39): the simulated host with some of its operations replaced. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "ringpg.h"
#include "support/model_server.h"
#include "support/sim_private.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

static struct sim *sim;
static struct model_server *server;
static struct pg_reactor *reactor;
static struct pg_pool *pool;
static char calls[64];          /* of the one connection: W SHUT_WR, S SHUT_RDWR, c cancel, u unbind, x close */
static size_t ncalls;
static bool deaf_to_shutdown, deaf_to_cancel;
static size_t bytes_at_once;    /* a send moves at the most so many; 0: all */
static unsigned cancel_every;   /* so many operations are really submitted, one is cancelled by somebody else */
static unsigned submits, cancelled;

static void note(char call)
{
    if (ncalls + 1 < sizeof calls) calls[ncalls++] = call;
}

/* ---- the host ---- */

static void host_shutdown(struct pg_host *h, struct pg_socket *s, int how)
{
    note(how == SHUT_WR ? 'W' : 'S');
    if (!deaf_to_shutdown) sim_host_ops.shutdown(h, s, how);
}
static void host_cancel(struct pg_host *h, struct pg_socket *s, struct pg_completion *c)
{
    note('c');
    if (!deaf_to_cancel) sim_host_ops.submit_cancel(h, s, c);
}
static void host_unbind(struct pg_host *h, struct pg_socket *s)
{
    note('u'); /* the simulated host ends the test if an operation is in flight */
    sim_host_ops.unbind(h, s);
}
static void host_close(struct pg_host *h, struct pg_socket *s)
{
    note('x');
    sim_host_ops.close(h, s);
}
static bool somebody_cancels(struct pg_host *h, struct pg_completion *c)
{
    if (!cancel_every || ++submits % cancel_every) return false;
    cancelled++;
    pg_host_finish(h, c, -ECANCELED);
    return true;
}
static int host_send(struct pg_host *h, struct pg_socket *s, const void *at, size_t n, struct pg_completion *c)
{
    if (bytes_at_once && n > bytes_at_once) n = bytes_at_once;
    return somebody_cancels(h, c) ? 0 : sim_host_ops.submit_send(h, s, at, n, c);
}
static int host_recv(struct pg_host *h, struct pg_socket *s, void *at, size_t n, struct pg_completion *c)
{
    return somebody_cancels(h, c) ? 0 : sim_host_ops.submit_recv(h, s, at, n, c);
}

static void open_world(void)
{
    static struct pg_host_ops ops;
    ops = sim_host_ops;
    ops.shutdown = host_shutdown;
    ops.submit_cancel = host_cancel;
    ops.unbind = host_unbind;
    ops.close = host_close;
    ops.submit_send = host_send;
    ops.submit_recv = host_recv;
    ncalls = submits = cancelled = cancel_every = 0;
    bytes_at_once = 0;
    memset(calls, 0, sizeof calls);
    deaf_to_shutdown = deaf_to_cancel = false;
    sim = sim_open(&(struct sim_config){ .seed = 1, .latency_min_ns = 20000, .latency_max_ns = 60000 });
    server = model_server_open(&(struct model_config){ .sim = sim });
    sim_host(sim)->ops = &ops;
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host(sim));
    struct pg_pool_config pc = PG_POOL_CONFIG("host=127.0.0.1 user=app pool_max_conns=1 pool_close_linger=100ms");
    assert_int_equal(pg_reactor_open(&reactor, &rc, NULL), 0);
    assert_int_equal(pg_pool_open(&pool, reactor, &pc, NULL), 0);
}
static void close_world(void)
{
    pg_reactor_close(reactor, 0);
    assert_int_equal(sim_run(sim, reactor, 5 * SECOND), SIM_CLOSED);
    pg_reactor_free(reactor);
    assert_int_equal(sim_counters(sim)->descriptors_now, 0);
    model_server_close(server);
    sim_close(sim);
}

/* ---- the end ---- */

static struct pg_statement echo = PG_STATEMENT("ECHO $1", PG_TYPE_INT8);
static struct pg_query query;
static struct pg_param param;
static unsigned done;
static void on_done(struct pg_query *q)
{
    (void)q;
    done++;
}
static void ask(void)
{
    done = 0;
    param = pg_int8(7);
    query = (struct pg_query){ .statement = &echo, .params = &param, .nparams = 1, .on_done = on_done };
    query.deadline_ns = pg_reactor_now(reactor) + SECOND;
    pg_pool_query(pool, &query);
}

/* Whoever lets go of the server waits for its end of the stream: no operation has to be stopped. */
static void a_graceful_end(void **state)
{
    (void)state;
    open_world();
    ask();
    sim_run(sim, reactor, 10 * MS);
    assert_int_equal(done, 1);
    close_world();
    assert_string_equal(calls, "WSux");
}

/* A connect that hangs is given up with both operations in flight: all that is known to end them, then both
 * completions, and only then the descriptor. */
static void give_up_a_connect(bool no_shutdown, bool no_cancel)
{
    open_world();
    model_server_connects(server, SIM_HANG);
    ask();
    sim_run(sim, reactor, 10 * MS);
    assert_int_equal(sim_counters(sim)->in_flight, 2);
    deaf_to_shutdown = no_shutdown;
    deaf_to_cancel = no_cancel;
    close_world();
    assert_string_equal(calls, "Sccux");
}
static void a_hanging_connect(void **state)
{
    (void)state;
    give_up_a_connect(false, false);
    give_up_a_connect(true, false); /* a kernel whose shutdown does not reach a connecting socket */
    give_up_a_connect(false, true); /* a host that cannot cancel */
}

/* A linger that is over: our side was shut, and the receive that waits for the end is stopped. */
static void a_server_that_does_not_let_go(void **state)
{
    (void)state;
    open_world();
    model_settings(server)->exit_delay_ns = 3000 * SECOND;
    ask();
    sim_run(sim, reactor, 10 * MS);
    close_world();
    assert_string_equal(calls, "WScux");
}

/* ---- cancelled by somebody else: the thread that submitted is gone, the ring is being torn down ---- */

static void a_foreign_cancel_is_tried_again(void **state)
{
    (void)state;
    for (unsigned every = 2; every <= 5; every++) {
        open_world();
        cancel_every = every;
        for (int i = 0; i < 5; i++) {
            ask();
            sim_run(sim, reactor, 100 * MS);
            assert_int_equal(done, 1);
            assert_int_equal(query.status, PG_OK);
        }
        assert_true(cancelled >= 3);
        assert_int_equal(model_stats(server)->connections_total, 1);
        cancel_every = 0;
        close_world();
    }
}

/* ---- short sends: of the connection, and of a cancel request's sixteen bytes ---- */

static void three_bytes_at_a_time(void **state)
{
    (void)state;
    open_world();
    bytes_at_once = 3;
    ask();
    sim_run(sim, reactor, 100 * MS);
    assert_int_equal(done, 1);
    assert_int_equal(query.status, PG_OK);
    done = 0;
    query = (struct pg_query){ .sql = "SLEEP 60000", .on_done = on_done };
    pg_pool_query(pool, &query);
    sim_run(sim, reactor, 100 * MS);
    pg_query_cancel(&query);
    sim_run(sim, reactor, 100 * MS);
    assert_int_equal(done, 1);
    assert_int_equal(query.status, PG_E_CANCELLED);
    assert_int_equal(model_stats(server)->cancels_that_hit, 1);
    assert_int_equal(model_stats(server)->connections_total, 1);
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_graceful_end),
        cmocka_unit_test(a_hanging_connect),
        cmocka_unit_test(a_server_that_does_not_let_go),
        cmocka_unit_test(a_foreign_cancel_is_tried_again),
        cmocka_unit_test(three_bytes_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
