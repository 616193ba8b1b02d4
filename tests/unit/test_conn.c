/* unit/test_conn.c - one connection by itself, without a pool: the addresses of a name are tried in their order, each
 * within the connect's deadline, and the owner hears of it once. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include "conn/conn.h"
#include "support/model_server.h"
#include "support/sim_private.h"

enum { MS = 1000000 };

struct fixture {
    struct sim *sim;
    struct model_server *server;
    struct pg_reactor *reactor;
    struct rp_conn conn;
    struct rp_conn_config config;
    struct rp_address address[3];
    struct rp_catalog catalog;
    struct rp_keys keys;
    unsigned up, down, closed;
    struct pg_error why;
    enum sim_connect outcome[3]; /* by the last byte of the address */
    sim_accept_fn *accept;       /* the model's                     */
    void *accept_arg;
};
static struct fixture f;

static void on_up(struct rp_conn *c) { (void)c, f.up++; }
static void on_down(struct rp_conn *c, const struct pg_error *why)
{
    (void)c;
    f.down++;
    f.why = *why;
}
static void on_closed(struct rp_conn *c) { (void)c, f.closed++; }
static void on_query(struct rp_conn *c, struct pg_query *q) { (void)c, (void)q, fail(); }
static void on_notice(struct rp_conn *c, const struct pg_error *notice) { (void)c, (void)notice; }
static void on_parameter(struct rp_conn *c) { (void)c; }
static void on_notification(struct rp_conn *c, const struct rp_notification *n) { (void)c, (void)n, fail(); }
static const struct rp_conn_ops ops = {
    on_up, on_down, on_query, on_query, on_query, on_notice, on_notification, on_parameter, on_closed
};

static const struct rp_pair startup[] = { { "user", "app" }, { NULL, NULL } };

/* In front of the model's own listener: the last byte of the address decides. */
static enum sim_connect by_address(void *arg, struct sim_peer *peer, const struct sockaddr *address)
{
    (void)arg;
    struct sockaddr_in at;
    memcpy(&at, address, sizeof at);
    enum sim_connect outcome = f.outcome[ntohl(at.sin_addr.s_addr) & 3];
    return outcome == SIM_ACCEPT ? f.accept(f.accept_arg, peer, address) : outcome;
}

static void open_fixture(enum sim_connect first, enum sim_connect second, enum sim_connect third)
{
    struct sim_config sim = { .seed = 1, .latency_max_ns = 100000 };
    memset(&f, 0, sizeof f);
    f.sim = sim_open(&sim);
    struct model_config server = { .sim = f.sim };
    f.server = model_server_open(&server);
    f.accept = f.sim->accept;
    f.accept_arg = f.sim->accept_arg;
    sim_listen(f.sim, by_address, NULL);
    struct pg_reactor_config config = PG_REACTOR_CONFIG(sim_host(f.sim));
    assert_int_equal(pg_reactor_open(&f.reactor, &config, NULL), 0);
    enum sim_connect outcome[] = { first, second, third };
    memcpy(f.outcome, outcome, sizeof outcome);
    for (int i = 0; i < 3; i++) {
        struct sockaddr_in at = { .sin_family = AF_INET,
                                  .sin_port = htons(5432),
                                  .sin_addr.s_addr = htonl(0x0a000000u + (unsigned)i) };
        memcpy(&f.address[i].at, &at, sizeof at);
        f.address[i].size = sizeof at;
    }
    assert_int_equal(rp_catalog_init(&f.catalog, f.reactor, 4), 0);
    f.config = (struct rp_conn_config){ .session = { .startup = startup,
                                                     .user = "app",
                                                     .message_limit = 1 << 30,
                                                     .row_limit = 1 << 20,
                                                     .entries = 8,
                                                     .statements = 4,
                                                     .catalog = f.catalog.entry },
                                        .ops = &ops,
                                        .catalog = &f.catalog,
                                        .keys = &f.keys,
                                        .connect_timeout_ns = 500ull * MS,
                                        .close_linger_ns = 1000ull * MS };
    assert_int_equal(rp_conn_init(&f.conn, f.reactor, &f.config), 0);
}

static void close_fixture(void)
{
    rp_conn_end(&f.conn);
    sim_run(f.sim, f.reactor, 5000ull * MS);
    assert_int_equal(f.conn.state, RP_CONN_CLOSED);
    rp_conn_free(&f.conn);
    rp_catalog_free(&f.catalog);
    pg_reactor_close(f.reactor, 0);
    assert_int_equal(sim_run(f.sim, f.reactor, 1000ull * MS), SIM_CLOSED);
    pg_reactor_free(f.reactor);
    model_server_close(f.server);
    sim_close(f.sim);
}

static void run(uint64_t ns) { (void)sim_run(f.sim, f.reactor, ns); }
static void start(void)
{
    rp_conn_open(&f.conn, f.address, 3, NULL);
    assert_int_equal(f.up + f.down, 0);
}

static void the_next_address_is_tried(void **state)
{
    (void)state;
    open_fixture(SIM_REFUSE, SIM_UNREACHABLE, SIM_ACCEPT);
    start();
    run(400ull * MS);
    assert_int_equal(f.up, 1);
    assert_int_equal(f.down, 0);
    assert_int_equal(f.conn.address, 2);
    close_fixture();
    assert_int_equal(f.closed, 1);
}

static void the_owner_hears_once_when_all_have_failed(void **state)
{
    (void)state;
    open_fixture(SIM_REFUSE, SIM_REFUSE, SIM_UNREACHABLE);
    start();
    run(400ull * MS);
    assert_int_equal(f.up, 0);
    assert_int_equal(f.down, 1);
    assert_int_equal(f.why.code, -EHOSTUNREACH);
    assert_int_equal(f.closed, 1);
    close_fixture();
}

static void each_address_has_the_connects_deadline(void **state)
{
    (void)state;
    open_fixture(SIM_HANG, SIM_HANG, SIM_ACCEPT);
    start();
    run(450ull * MS);
    assert_int_equal(f.conn.address, 0);
    run(500ull * MS);
    assert_int_equal(f.conn.address, 1);
    run(500ull * MS);
    assert_int_equal(f.up, 1);
    assert_int_equal(f.conn.address, 2);
    close_fixture();
}

/* What one address of a server refuses by its own word, the others would too. */
static void the_servers_own_word_ends_the_attempt(void **state)
{
    (void)state;
    open_fixture(SIM_ACCEPT, SIM_ACCEPT, SIM_ACCEPT);
    model_server_refuse(f.server, "28000");
    start();
    run(400ull * MS);
    assert_int_equal(f.down, 1);
    assert_string_equal(f.why.sqlstate, "28000");
    assert_int_equal(f.conn.address, 0);
    close_fixture();
}

static void a_full_backlog_is_told_and_not_lost(void **state)
{
    (void)state;
    open_fixture(SIM_BACKLOG_FULL, SIM_BACKLOG_FULL, SIM_BACKLOG_FULL);
    start();
    run(400ull * MS);
    assert_int_equal(f.down, 1);
    assert_int_equal(f.why.code, -EAGAIN);
    assert_int_equal(f.closed, 1);
    close_fixture();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_address_is_tried),
        cmocka_unit_test(the_owner_hears_once_when_all_have_failed),
        cmocka_unit_test(each_address_has_the_connects_deadline),
        cmocka_unit_test(the_servers_own_word_ends_the_attempt),
        cmocka_unit_test(a_full_backlog_is_told_and_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
