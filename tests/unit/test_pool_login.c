/* unit/test_pool_login.c - what a pool makes of what stands outside of its connection string: each host's own password
 * and no other one's (failures 16), startup parameters, what is said when a password is missing, the switch that turns
 * all of it off. And that nothing of a password stays behind where it was sent from (failures 15). */
#define _GNU_SOURCE /* memmem */
#include "support/world.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "pool/state.h"
#include "support/sim_private.h"

#define TWO "host=127.0.0.1,127.0.0.1 port=5432,5433 "

static char path[] = "/tmp/ringpg-passfile-XXXXXX";

static void write_passfile(const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* Two servers with the same salt; each wants its own password, "one" and "two". */
static void open_two(struct world *w, enum model_auth auth, const char *options)
{
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    struct model_config server = { .auth = auth, .password = "one", .scram_iterations = 50, .exit_delay_ns = 200000 };
    world_open_with(w, &sim, &server, options);
    server.password = "two";
    world_add_server(w, server);
}

static int ask(struct world *w)
{
    struct seen s;
    seen_init(&s, &world_echo, 7);
    pg_pool_query(w->pool, &s.query);
    world_run(w, 5 * WORLD_SECOND);
    assert_int_equal(s.done, 1);
    return s.status;
}

static unsigned failures(struct world *w)
{
    return (unsigned)(model_stats(w->servers[0])->auth_failures + model_stats(w->servers[1])->auth_failures);
}

static void each_host_has_its_own(void **state)
{
    (void)state;
    static const enum model_auth auths[] = { MODEL_CLEARTEXT, MODEL_MD5, MODEL_SCRAM };
    write_passfile("127.0.0.1:5433:*:*:two\n127.0.0.1:5432:*:*:one\n", 0600);
    for (size_t i = 0; i < RP_COUNT(auths); i++) {
        struct world w;
        open_two(&w, auths[i], TWO "pool_max_conns=1");
        for (int round = 0; round < 3; round++) { /* by turns: no key of the one is used for the other */
            model_server_connects(w.servers[round % 2], SIM_REFUSE);
            model_server_connects(w.servers[1 - round % 2], SIM_ACCEPT);
            pg_pool_reset(w.pool);
            assert_int_equal(ask(&w), PG_OK);
            assert_int_equal(model_stats(w.servers[1 - round % 2])->connections_now, 1);
        }
        assert_int_equal(failures(&w), 0);
        world_close(&w);
    }
}

/* One has a line, the other not: it is not shown the first one's. */
static void no_line_no_password(void **state)
{
    (void)state;
    struct world w;
    write_passfile("*:5432:*:*:one\n", 0600);
    open_two(&w, MODEL_CLEARTEXT, TWO "pool_max_conns=1 pool_acquire_timeout=4s");
    model_server_connects(w.servers[0], SIM_REFUSE);
    assert_int_equal(ask(&w), PG_E_UNAVAILABLE); /* when its time was over */
    assert_non_null(strstr(pg_error_field(&w.pool->hosts.at[1].error, 'M'), "the server asks for a password"));
    assert_int_equal(failures(&w), 0);
    model_server_connects(w.servers[0], SIM_ACCEPT);
    world_run(&w, 5 * WORLD_SECOND);
    assert_int_equal(ask(&w), PG_OK);
    world_close(&w);
}

/* before_connect begins with the host's password, and what it says wins. */
static const char *hook_user, *hook_password;
static void before_connect(void *arg, struct pg_hook *hook)
{
    (void)arg;
    int rc = pg_hook_set(hook, "application_name", "hooked");
    if (hook_user) rc |= pg_hook_set(hook, "user", hook_user);
    if (hook_password) rc |= pg_hook_set(hook, "password", hook_password);
    pg_hook_done(hook, rc);
}
static void under_a_hook(void **state)
{
    (void)state;
    write_passfile("*:5432:*:*:one\n", 0600);
    for (int own = 0; own < 2; own++) {
        struct world w;
        struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
        struct model_config server = { .auth = MODEL_SCRAM, .password = own ? "token" : "one", .scram_iterations = 9 };
        struct pg_pool_config pool = PG_POOL_CONFIG(NULL);
        pool.before_connect = before_connect;
        hook_user = NULL;
        hook_password = own ? "token" : NULL;
        world_open_pool(&w, &sim, &server, &pool, "pool_max_conns=1");
        assert_int_equal(ask(&w), PG_OK);
        assert_string_equal(model_conn_parameter(model_conn_at(w.server, 0), "application_name"), "hooked");
        world_close(&w);
    }
}

static void a_file_that_others_may_read(void **state)
{
    (void)state;
    struct world w;
    write_passfile("*:*:*:*:one\n", 0644);
    open_two(&w, MODEL_SCRAM, "pool_max_conns=1");
    assert_int_equal(ask(&w), PG_E_UNAVAILABLE);
    assert_string_equal(
        pg_error_field(&w.event_error, 'M'),
        "the server asks for a password and the connection string has none; the password file has group "
        "or world access; its permissions must be u=rw (0600) or less");
    world_close(&w);
}

static void startup_parameters(void **state)
{
    (void)state;
    static const char *const pairs[][2] = { { "datestyle", "SQL" }, { "timezone", "Asia/Tokyo" }, { "geqo", "off" },
                                            { "options", "-cx=y" }, { "client_encoding", "LATIN1" } };
    static const char *const variables[] = { "PGDATESTYLE", "PGTZ", "PGGEQO", "PGOPTIONS", "PGCLIENTENCODING" };
    for (int on = 1; on >= 0; on--) {
        struct world w;
        struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
        struct model_config server = { .exit_delay_ns = 200000 };
        struct pg_pool_config pool = PG_POOL_CONFIG(NULL);
        for (size_t i = 0; i < RP_COUNT(variables); i++) setenv(variables[i], pairs[i][1], 1);
        pool.flags = on ? 0 : PG_POOL_STRING_ONLY;
        world_open_pool(&w, &sim, &server, &pool, "pool_max_conns=1");
        assert_int_equal(ask(&w), PG_OK);
        for (size_t i = 0; i < RP_COUNT(variables); i++) {
            const char *is = model_conn_parameter(model_conn_at(w.server, 0), pairs[i][0]);
            if (on) assert_string_equal(is, pairs[i][1]);
            else if (is) assert_string_equal(is, "UTF8"); /* client_encoding, which is always said */
            unsetenv(variables[i]);
        }
        world_close(&w);
    }
}

/* ---- what is refused when the pool opens ---- */

static void refused(void **state)
{
    (void)state;
    static const struct { const char *text; uint32_t flags; const char *error; } table[] = {
        { "host=h sslnegotiation=direct", 0,
          "sslmode=prefer is too weak for sslnegotiation=direct: use require, verify-ca or verify-full" },
        { "host=h min_protocol_version=3.2", 0, "min_protocol_version: 3.2 is above max_protocol_version, 3.0" },
        { "host=h passfile=/x", PG_POOL_STRING_ONLY, "passfile: files are switched off (PG_POOL_STRING_ONLY)" },
        { "host=h", 2, "pg_pool_config.flags: 0x2 has a bit that nobody knows" },
    };
    struct sim *sim = sim_open(&(struct sim_config){ .seed = 1 });
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host(sim));
    struct pg_reactor *reactor;
    assert_int_equal(pg_reactor_open(&reactor, &rc, NULL), 0);
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct pg_pool *pool;
        struct pg_error error;
        struct pg_pool_config config = PG_POOL_CONFIG(table[i].text);
        config.flags = table[i].flags;
        assert_int_equal(pg_pool_open(&pool, reactor, &config, &error), PG_E_CONFIG);
        assert_string_equal(pg_error_field(&error, 'M'), table[i].error);
    }
    pg_reactor_close(reactor, 0);
    assert_int_equal(sim_run(sim, reactor, WORLD_SECOND), SIM_CLOSED);
    pg_reactor_free(reactor);
    sim_close(sim);
}

/* require_auth reaches the session: a server that asks for too little, or for too much, is not talked to. */
static void required_methods(void **state)
{
    (void)state;
    struct world w;
    open_two(&w, MODEL_CLEARTEXT, "pool_max_conns=1 password=one require_auth=scram-sha-256");
    assert_int_equal(ask(&w), PG_E_UNAVAILABLE);
    assert_string_equal(pg_error_field(&w.event_error, 'M'),
                        "the server asks for the password in cleartext, which require_auth excludes");
    model_settings(w.server)->auth = MODEL_TRUST;
    world_run(&w, 5 * WORLD_SECOND);
    assert_int_equal(ask(&w), PG_E_UNAVAILABLE);
    model_settings(w.server)->auth = MODEL_SCRAM;
    world_run(&w, 5 * WORLD_SECOND);
    assert_int_equal(ask(&w), PG_OK);
    assert_int_equal(failures(&w), 0);
    world_close(&w);
}

/* ---- where a password was ---- */

/* As soon as the connection stands, with one that fits the small buffer and with one that borrows a large one. */
static void sent_and_gone(void **state)
{
    (void)state;
    static char long_one[6001], options[6200];
    memset(long_one, 's', sizeof long_one - 1);
    const char *const passwords[] = { "s3cret-and-long", long_one };
    for (size_t i = 0; i < RP_COUNT(passwords); i++) {
        struct sim *sim = sim_open(&(struct sim_config){
            .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 50000 });
        struct model_config mc = { .sim = sim, .auth = MODEL_CLEARTEXT, .password = passwords[i] };
        struct model_server *server = model_server_open(&mc);
        struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host(sim));
        struct pg_reactor *reactor;
        struct pg_pool *pool;
        snprintf(options, sizeof options, "host=127.0.0.1 user=app pool_min_conns=1 pool_max_conns=1 password=%s",
                 passwords[i]);
        struct pg_pool_config pc = PG_POOL_CONFIG(options);
        assert_int_equal(pg_reactor_open(&reactor, &rc, NULL), 0);
        assert_int_equal(pg_pool_open(&pool, reactor, &pc, NULL), 0);
        const struct rp_conn *conn = &pool->slot[0]->conn;
        const uint8_t *large = NULL;
        while (conn->state != RP_CONN_OPEN) {
            (void)!sim_run(sim, reactor, 1000);
            if (conn->out != conn->out_small) large = conn->out;
        }
        assert_int_equal(i == 1, large != NULL);
        assert_null(memmem(conn->out_small, RP_CONN_OUT, passwords[i], 10));
        if (large) assert_null(memmem(large, RP_CONN_OUT_LARGE, passwords[i], 10)); /* the slab still has it */
        assert_null(memmem(conn, sizeof *conn, passwords[i], 10));
        assert_int_equal(model_stats(server)->auth_failures, 0);
        pg_reactor_close(reactor, 0);
        assert_int_equal(sim_run(sim, reactor, 100 * WORLD_SECOND), SIM_CLOSED);
        pg_reactor_free(reactor);
        model_server_close(server);
        sim_close(sim);
    }
}

static int setup(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    return setenv("PGPASSFILE", path, 1);
}
static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_host_has_its_own),
        cmocka_unit_test(no_line_no_password),
        cmocka_unit_test(under_a_hook),
        cmocka_unit_test(a_file_that_others_may_read),
        cmocka_unit_test(startup_parameters),
        cmocka_unit_test(refused),
        cmocka_unit_test(required_methods),
        cmocka_unit_test(sent_and_gone),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
