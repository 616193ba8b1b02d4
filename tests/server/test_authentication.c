/* server/test_authentication.c - every way in, and one clear error for every way that does not lead in: what was wrong
 * is named, the password never (failures 15). */
#define _GNU_SOURCE
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "support/live.h"

static struct live live;

static int open_live(void **state)
{
    (void)state;
    return live_open(&live, LIVE_EPOLL) ? 0 : -1;
}
static int close_live(void **state)
{
    (void)state;
    live_close(&live);
    return 0;
}

static int ask(const char *conninfo, struct pg_error *error)
{
    static struct pg_statement one = PG_STATEMENT("SELECT 1");
    struct pg_pool *pool = live_pool(&live, conninfo, "pool_max_conns=1 pool_acquire_timeout=3s");
    struct pg_query q = { .statement = &one, .error = error };
    memset(error, 0, sizeof *error);
    int status = live_query(&live, pool, NULL, &q);
    pg_pool_close(pool, 0, NULL, NULL);
    return status;
}

static void roles_come_in_by_their_methods(void **state)
{
    (void)state;
    const char *users[] = { "scram_user", "md5_user", "plain_user" };
    const char *hosts[] = { "127.0.0.1", live_env("RINGPG_TEST_SOCKET_DIR") };
    for (size_t u = 0; u < 3; u++)
        for (size_t h = 0; h < 2; h++) {
            char text[512];
            struct pg_error error;
            snprintf(text, sizeof text, "host=%s port=%s user=%s dbname=postgres password=%s", hosts[h],
                     live_env("RINGPG_TEST_PORT"), users[u], live_env("RINGPG_TEST_PASSWORD"));
            if (ask(text, &error)) fail_msg("%s by %s: %s", users[u], hosts[h], pg_error_field(&error, 'M'));
            snprintf(text, sizeof text, "host=%s port=%s user=%s dbname=postgres password=wr0ng-secret", hosts[h],
                     live_env("RINGPG_TEST_PORT"), users[u]);
            assert_int_equal(ask(text, &error), PG_E_UNAVAILABLE);
            assert_string_equal(error.sqlstate, "28P01");
            assert_non_null(strstr(pg_error_field(&error, 'M'), users[u]));
            assert_null(memmem(error.text, sizeof error.text, "wr0ng-secret", 12));
            snprintf(text, sizeof text, "host=%s port=%s user=%s dbname=postgres", hosts[h],
                     live_env("RINGPG_TEST_PORT"), users[u]);
            assert_int_equal(ask(text, &error), PG_E_UNAVAILABLE);
            assert_non_null(strstr(pg_error_field(&error, 'M'), "password"));
        }
}

/* The server listens on 127.0.0.1 alone; where localhost is ::1 first, that is refused and the next address is tried.
 */
/* What stands outside of the string leads in, too: user and database of the environment, passwords of a file. */
static void environment_and_password_file(void **state)
{
    (void)state;
    char path[] = "/tmp/ringpg-passfile-XXXXXX", line[200], text[300];
    struct pg_error error;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    int size = snprintf(line, sizeof line, "*:*:*:nobody:wr0ng\n*:%s:postgres:scram_user:%s\n",
                        live_env("RINGPG_TEST_PORT"), live_env("RINGPG_TEST_PASSWORD"));
    assert_int_equal(write(fd, line, (size_t)size), size);
    close(fd);
    setenv("PGUSER", "scram_user", 1);
    setenv("PGDATABASE", "postgres", 1);
    setenv("PGPASSFILE", path, 1);
    setenv("PGDATESTYLE", "SQL, DMY", 1);
    snprintf(text, sizeof text, "host=127.0.0.1,127.0.0.1 port=%s", live_env("RINGPG_TEST_PORT"));
    if (ask(text, &error)) fail_msg("%s", pg_error_field(&error, 'M'));
    unsetenv("PGUSER"), unsetenv("PGDATABASE"), unsetenv("PGPASSFILE"), unsetenv("PGDATESTYLE");
    unlink(path);
}

/* failures 5: each role's method is the only one that it comes in by. */
static void required_methods(void **state)
{
    (void)state;
    static const struct { const char *user, *methods, *refused; } table[] = {
        { "scram_user", "scram-sha-256", NULL },
        { "scram_user", "!scram-sha-256",
          "the server asks for SCRAM-SHA-256 authentication, which require_auth excludes" },
        { "md5_user", "none,md5", NULL },
        { "md5_user", "scram-sha-256", "the server asks for an MD5 hash of the password, which require_auth excludes" },
        { "plain_user", "password", NULL },
        { "plain_user", "!password,!md5",
          "the server asks for the password in cleartext, which require_auth excludes" },
        { "tcp_user", "none", NULL },
        { "tcp_user", "scram-sha-256",
          "the server lets everybody in without authentication, which require_auth excludes" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[400];
        struct pg_error error;
        snprintf(text, sizeof text, "host=127.0.0.1 port=%s user=%s dbname=postgres password=%s require_auth=%s",
                 live_env("RINGPG_TEST_PORT"), table[i].user, live_env("RINGPG_TEST_PASSWORD"), table[i].methods);
        int status = ask(text, &error);
        if (!table[i].refused && status) fail_msg("%s: %s", table[i].user, pg_error_field(&error, 'M'));
        if (!table[i].refused) continue;
        assert_int_equal(status, PG_E_UNAVAILABLE);
        if (!strstr(pg_error_field(&error, 'M'), table[i].refused)) fail_msg("%s", pg_error_field(&error, 'M'));
    }
}

/* ROMAN NUMERAL NINE and a letter with its dots: however they are written, it is the same password (failures 11). */
static void passwords_are_prepared(void **state)
{
    (void)state;
    static const struct { const char *password; bool right; } table[] = {
        { "\xe2\x85\xa8 \xc3\xa4", true }, { "IX \xc3\xa4", true },  { "IX a\xcc\x88", true },
        { "I\xc2\xadX \xc3\xa4", true },    { "ix \xc3\xa4", false }, { "IX a", false },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[400];
        struct pg_error error;
        snprintf(text, sizeof text, "host=127.0.0.1 port=%s user=prepared_user dbname=postgres password='%s'",
                 live_env("RINGPG_TEST_PORT"), table[i].password);
        int status = ask(text, &error);
        assert_string_equal(table[i].right ? "" : error.sqlstate, table[i].right ? "" : "28P01");
        if (table[i].right && status) fail_msg("%zu: %s", i, pg_error_field(&error, 'M'));
        if (!table[i].right) assert_int_equal(status, PG_E_UNAVAILABLE);
    }
}

static void required_peer(void **state)
{
    (void)state;
    char text[500], socket[200], expected[200];
    struct stat server;
    struct pg_error error;
    const char *folder = live_env("RINGPG_TEST_SOCKET_DIR"), *port = live_env("RINGPG_TEST_PORT");
    snprintf(socket, sizeof socket, "%s/.s.PGSQL.%s", folder, port);
    assert_int_equal(stat(socket, &server), 0);
    const char *owner = getpwuid(server.st_uid)->pw_name, *other = server.st_uid ? "root" : "daemon";
    for (int right = 0; right < 2; right++) {
        snprintf(text, sizeof text, "host=%s port=%s user=scram_user dbname=postgres password=%s requirepeer=%s",
                 folder, port, live_env("RINGPG_TEST_PASSWORD"), right ? owner : other);
        int status = ask(text, &error);
        snprintf(expected, sizeof expected, "requirepeer: the server must run as %s, and runs as %s", other, owner);
        if (right && status) fail_msg("%s", pg_error_field(&error, 'M'));
        if (!right && !strstr(pg_error_field(&error, 'M'), expected)) fail_msg("%s", pg_error_field(&error, 'M'));
    }
}

static void every_address_of_a_name_is_tried(void **state)
{
    (void)state;
    char text[512];
    struct pg_error error;
    snprintf(text, sizeof text, "host=localhost port=%s user=tcp_user dbname=postgres", live_env("RINGPG_TEST_PORT"));
    if (ask(text, &error)) fail_msg("%s", pg_error_field(&error, 'M'));
}

static void an_unknown_database_is_named(void **state)
{
    (void)state;
    char text[512];
    struct pg_error error;
    snprintf(text, sizeof text, "host=127.0.0.1 port=%s user=tcp_user dbname=no_such_db", live_env("RINGPG_TEST_PORT"));
    assert_int_equal(ask(text, &error), PG_E_UNAVAILABLE);
    assert_string_equal(error.sqlstate, "3D000");
    assert_non_null(strstr(pg_error_field(&error, 'M'), "no_such_db"));
}

/* A port that nobody listens on: bound, and not listening, for as long as the test takes. */
static int port_taken(bool listening, uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    if (listening) assert_int_equal(listen(fd, 8), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void an_unreachable_host_is_named(void **state)
{
    (void)state;
    uint16_t port;
    int fd = port_taken(false, &port);
    char text[512], where[64];
    struct pg_error error;
    snprintf(text, sizeof text, "host=127.0.0.1 port=%u user=x password=s3cret", port);
    snprintf(where, sizeof where, "127.0.0.1:%u", port);
    assert_int_equal(ask(text, &error), PG_E_UNAVAILABLE); /* at the acquire's deadline, with the last cause */
    assert_non_null(strstr(pg_error_field(&error, 'M'), where));
    if (!strstr(pg_error_field(&error, 'M'), "refused")) fail_msg("%s", pg_error_field(&error, 'M'));
    assert_null(memmem(error.text, sizeof error.text, "s3cret", 6));
    close(fd);
    assert_int_equal(ask("host=/nowhere/at/all user=x", &error), PG_E_UNAVAILABLE);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "/nowhere/at/all"));
}

/* What answers is no PostgreSQL. */
struct garbage { struct pg_query query; struct pg_error error; int listener, client; const char *says; bool there; };
static bool answered(void *arg)
{
    struct garbage *g = arg;
    if (g->client < 0 && (g->client = accept4(g->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
        assert_true(send(g->client, g->says, strlen(g->says), MSG_NOSIGNAL) > 0);
    return g->there;
}
static void garbage_done(struct pg_query *q) { ((struct garbage *)q->data)->there = true; }
static void garbage_is_called_garbage(void **state)
{
    (void)state;
    const char *says[] = { "HTTP/1.1 400 Bad Request\r\n\r\n", "EFATAL:  unsupported frontend protocol\n",
                           "220 mail ready\r\n", "\x16\x03\x01\x02\x01\x01\x01" };
    /* Asked for TLS first, it may also have spoken before, or begun with the letter of an error. */
    const char *complaints[] = { "not PostgreSQL's protocol", "the server spoke before it was asked",
                                 "answered the request for TLS with an error" };
    for (size_t i = 0; i < 8; i++) {
        struct garbage g = { .client = -1, .says = says[i / 2] };
        uint16_t port;
        char text[128];
        g.listener = port_taken(true, &port);
        assert_int_equal(fcntl(g.listener, F_SETFL, O_NONBLOCK), 0);
        bool plain = i % 2;
        snprintf(text, sizeof text, "host=127.0.0.1 port=%u user=x password=s3cret sslmode=%s", port,
                 plain ? "disable" : "prefer");
        struct pg_pool *pool =
            live_pool(&live, text, "pool_max_conns=1 pool_acquire_timeout=20s pool_close_linger=100ms");
        g.query = (struct pg_query){ .sql = "SELECT 1", .on_done = garbage_done, .data = &g, .error = &g.error };
        pg_pool_query(pool, &g.query);
        assert_true(live_until(&live, answered, &g));
        assert_int_equal(g.query.status, PG_E_UNAVAILABLE);
        bool named = false;
        for (size_t k = 0; k < (plain ? 1 : 3); k++)
            named = named || strstr(pg_error_field(&g.error, 'M'), complaints[k]);
        if (!named) fail_msg("%s", pg_error_field(&g.error, 'M'));
        assert_null(memmem(g.error.text, sizeof g.error.text, "s3cret", 6));
        pg_pool_close(pool, 0, NULL, NULL);
        close(g.client);
        close(g.listener);
    }
}

static void bad_options_are_named(void **state)
{
    (void)state;
    const struct { const char *text, *says; } bad[] = {
        { "host=127.0.0.1 hots=1 password=s3cret", "hots" },
        { "host=127.0.0.1 pool_max_conns=none password=s3cret", "pool_max_conns" },
        { "postgresql://u:s3cret@127.0.0.1/db?sslmode=sometimes", "sslmode" },
        { "host=127.0.0.1 pool_max_conns=2 pool_min_conns=3 password=s3cret", "pool_min_conns" },
    };
    for (size_t i = 0; i < 4; i++) {
        struct pg_pool *pool;
        struct pg_error error;
        struct pg_pool_config config = PG_POOL_CONFIG(bad[i].text);
        assert_int_equal(pg_pool_open(&pool, live.reactor, &config, &error), PG_E_CONFIG);
        assert_null(pool);
        assert_non_null(strstr(pg_error_field(&error, 'M'), bad[i].says));
        assert_null(memmem(error.text, sizeof error.text, "s3cret", 6));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(environment_and_password_file),
        cmocka_unit_test(passwords_are_prepared),
        cmocka_unit_test(required_methods),               cmocka_unit_test(required_peer),
        cmocka_unit_test(roles_come_in_by_their_methods), cmocka_unit_test(every_address_of_a_name_is_tried),
        cmocka_unit_test(an_unknown_database_is_named),
        cmocka_unit_test(an_unreachable_host_is_named),   cmocka_unit_test(garbage_is_called_garbage),
        cmocka_unit_test(bad_options_are_named),
    };
    return cmocka_run_group_tests(tests, open_live, close_live);
}
