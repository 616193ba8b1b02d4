/* server/tls_check.c - run by tests/server/tls beside a PostgreSQL with certificates: what each sslmode and its options
 * let in, what they refuse and in which words, and that queries, large ones and many, cancel requests and the end of a
 * connection are inside of TLS what they are without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "support/live.h"

static struct live live;
static char said[64];

static enum pg_flow take(struct pg_query *q, struct pg_row *row)
{
    struct pg_text text = pg_row_text(row, 0);
    (void)q;
    snprintf(said, sizeof said, "%.*s", (int)text.size, text.data);
    return PG_CONTINUE;
}

/* %C in the options is the certificates' folder. */
static void write_options(char *out, size_t capacity, const char *options)
{
    size_t n = 0;
    for (const char *at = options; *at && n < capacity - 1; at++) {
        if (strncmp(at, "%C", 2)) {
            out[n++] = *at;
            continue;
        }
        n += (size_t)snprintf(out + n, capacity - n, "%s", live_env("RINGPG_TEST_CERTS"));
        at++;
    }
    out[n] = 0;
}

/* What is read along. NULL: nothing is. */
static void (*trace)(void *arg, uint64_t connection, const char *text, size_t size);

static struct pg_pool *open_pool(const char *options, struct pg_error *error)
{
    char more[512], text[1024];
    struct pg_pool *pool;
    write_options(more, sizeof more, options);
    snprintf(text, sizeof text, "%s port=%s dbname=postgres pool_max_conns=2 pool_acquire_timeout=20s %s%s %s",
             strstr(options, "host=") ? "" : "host=127.0.0.1", live_env("RINGPG_TEST_PORT"),
             strstr(options, "user=scram_user") ? "password=" : "",
             strstr(options, "user=scram_user") ? live_env("RINGPG_TEST_PASSWORD") : "", more);
    struct pg_pool_config config = PG_POOL_CONFIG(text);
    config.trace = trace;
    return pg_pool_open(&pool, live.reactor, &config, error) ? NULL : pool;
}

/* The version of TLS, or "none"; or the reason. */
static const char *ask(const char *options)
{
    static struct pg_error error;
    struct pg_query q = { .sql = "SELECT coalesce(version, 'none') FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
                          .on_row = take, .error = &error };
    assert_true(live_open(&live, LIVE_EPOLL));
    struct pg_pool *pool = open_pool(options, &error);
    int rc = pool ? live_query(&live, pool, NULL, &q) : error.code;
    live_close(&live);
    assert_null(strstr(error.text, live_env("RINGPG_TEST_PASSWORD")));
    return rc ? pg_error_field(&error, 'M') : said;
}

struct way { const char *options, *expected; };
static void check(const struct way *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *got = ask(table[i].options);
        if (!strstr(got, table[i].expected))
            fail_msg("%s: expected \"%s\", got \"%s\"", table[i].options, table[i].expected, got);
    }
}

#define PLAIN "none"
#define TLS "TLSv1.3"

static void modes(void **state)
{
    (void)state;
    static const struct way table[] = {
        { "user=tcp_user sslmode=disable", PLAIN },
        { "user=tcp_user sslmode=allow", PLAIN },
        { "user=tcp_user sslmode=prefer", TLS },
        { "user=tcp_user", TLS },
        { "user=tcp_user sslmode=require", TLS },
        { "user=tcp_user sslmode=verify-ca sslrootcert=%C/root.crt", TLS },
        { "user=tcp_user sslmode=verify-full host=localhost sslrootcert=%C/root.crt", TLS },
        { "user=tcp_user sslmode=verify-full host=localhost hostaddr=127.0.0.1 sslrootcert=%C/root.crt", TLS },
        /* the server lets nobody in this way: the other one is tried */
        { "user=tls_user sslmode=allow", TLS },
        { "user=plain_user sslmode=prefer", PLAIN },
        { "user=tls_user sslmode=disable", "no pg_hba.conf entry" },
        { "user=plain_user sslmode=require", "no pg_hba.conf entry" },
        /* a handshake that fails is a reason to go on without only where that was offered */
        { "user=tcp_user sslmode=prefer sslrootcert=%C/other.crt", PLAIN },
        { "user=tcp_user sslmode=require sslrootcert=%C/other.crt", "certificate is not trusted" },
    };
    check(table, sizeof table / sizeof *table);
}

static void on_a_unix_socket_there_is_none(void **state)
{
    char options[256];
    (void)state;
    snprintf(options, sizeof options, "host=%s user=postgres sslmode=require", live_env("RINGPG_TEST_SOCKET_DIR"));
    check(&(struct way){ options, PLAIN }, 1);
}

static void who_the_server_is(void **state)
{
    (void)state;
    static const struct way table[] = {
        { "user=tcp_user sslmode=verify-full sslrootcert=%C/root.crt",
          "TLS: the server's certificate is not for host \"127.0.0.1\"" },
        { "user=tcp_user sslmode=verify-ca sslrootcert=%C/other.crt", "TLS: the server's certificate is not trusted: " },
        { "user=tcp_user sslmode=verify-full host=localhost sslrootcert=system",
          "TLS: the server's certificate is not trusted: " },
        { "user=tcp_user sslmode=verify-ca sslrootcert=/nowhere", "sslrootcert: \"/nowhere\": " },
        { "user=tcp_user sslmode=verify-ca sslrootcert=%C/server.key", "sslrootcert: \"" },
        { "user=tcp_user sslmode=verify-ca sslrootcert=%C/root.crt sslcrl=%C/empty.crl", TLS },
        { "user=tcp_user sslmode=verify-ca sslrootcert=%C/root.crt sslcrl=%C/nothing.crl", "sslcrl: \"" },
    };
    check(table, sizeof table / sizeof *table);
    if (getenv("RINGPG_TEST_ED25519")) return;
    check(&(struct way){ "user=tcp_user sslmode=verify-ca sslrootcert=%C/root.crt sslcrl=%C/revoked.crl",
                         "certificate is not trusted: certificate revoked" }, 1);
}

static void who_the_client_is(void **state)
{
    (void)state;
    static const struct way table[] = {
        { "user=cert_user sslmode=require sslcert=%C/client.crt sslkey=%C/client.key", TLS },
        { "user=cert_user sslmode=require sslcert=%C/client.crt sslkey=%C/locked.key sslpassword=open-sesame", TLS },
        { "user=cert_user sslmode=require sslcert=%C/client.crt sslkey=%C/locked.key sslpassword=wrong", "sslkey: \"" },
        { "user=cert_user sslmode=require sslcert=%C/client.crt sslkey=%C/open.key", "has group or world access" },
        { "user=cert_user sslmode=require sslcert=%C/client.crt sslkey=%C/server.key", "sslkey: \"" },
        { "user=cert_user sslmode=require sslcert=%C/nobody.crt", "sslcert: \"" },
        { "user=cert_user sslmode=require sslcert=%C/client.crt sslkey=/nowhere", "No such file" },
        { "user=cert_user sslmode=require sslcertmode=disable sslcert=%C/client.crt sslkey=%C/client.key",
          "connection requires a valid client certificate" },
        { "user=cert_user sslmode=require", "connection requires a valid client certificate" },
        { "user=tcp_user sslmode=require sslcert=%C/client.crt sslkey=%C/client.key sslcertmode=require", TLS },
    };
    check(table, sizeof table / sizeof *table);
}

/* libpq's own files, which nobody names. */
static void what_stands_in_the_home_directory(void **state)
{
    char home[300], before[300];
    (void)state;
    snprintf(before, sizeof before, "%s", getenv("HOME") ? getenv("HOME") : "");
    snprintf(home, sizeof home, "%s/home", live_env("RINGPG_TEST_CERTS"));
    setenv("HOME", home, 1);
    check(&(struct way){ "user=cert_user sslmode=verify-ca", TLS }, 1);
    check(&(struct way){ "user=cert_user sslmode=verify-ca sslcertmode=disable",
                         "connection requires a valid client certificate" }, 1);
    setenv("HOME", "/nonexistent", 1);
    check(&(struct way){ "user=cert_user sslmode=verify-ca", "sslrootcert: there is no root certificate" }, 1);
    setenv("HOME", before, 1);
}

static void versions(void **state)
{
    (void)state;
    static const struct way table[] = {
        { "user=tcp_user sslmode=require ssl_max_protocol_version=TLSv1.2", "TLSv1.2" },
        { "user=tcp_user sslmode=require ssl_min_protocol_version=TLSv1.3", "TLSv1.3" },
        { "user=tcp_user sslmode=require ssl_min_protocol_version=TLSv1.1 ssl_max_protocol_version=TLSv1.1", "TLS: " },
        { "user=tcp_user sslmode=require sslsni=0", TLS },
    };
    check(table, sizeof table / sizeof *table);
}

static bool has_direct;

/* A server before PostgreSQL 17 has no direct negotiation: it takes a ClientHello for an odd start packet. A password
 * is bound to the certificate there, too. */
static void direct(void **state)
{
    (void)state;
    const char *major = getenv("RINGPG_TEST_MAJOR");
    const char *got = ask("user=tcp_user sslmode=require sslnegotiation=direct pool_acquire_timeout=1s");
    bool old = strstr(got, "the server closed the connection");
    if (!old && strcmp(got, TLS)) fail_msg("%s", got);
    if (major) assert_int_equal(old, atoi(major) < 17);
    has_direct = !old;
    if (old) return;
    static const struct way table[] = {
        { "user=tcp_user sslmode=verify-full host=localhost sslrootcert=%C/root.crt sslnegotiation=direct", TLS },
        { "user=tcp_user sslmode=verify-ca sslrootcert=%C/other.crt sslnegotiation=direct",
          "certificate is not trusted" },
        { "user=cert_user sslmode=require sslcert=%C/client.crt sslkey=%C/client.key sslnegotiation=direct", TLS },
    };
    check(table, sizeof table / sizeof *table);
    if (getenv("RINGPG_TEST_ED25519")) return;
    check(&(struct way){ "user=scram_user sslmode=require sslnegotiation=direct channel_binding=require", TLS }, 1);
}

static void channel_binding(void **state)
{
    (void)state;
    static const struct way bound[] = {
        { "user=scram_user sslmode=require channel_binding=require", TLS },
        { "user=scram_user sslmode=require channel_binding=prefer", TLS },
        { "user=scram_user sslmode=require ssl_max_protocol_version=TLSv1.2 channel_binding=require", "TLSv1.2" },
    };
    static const struct way table[] = {
        { "user=scram_user sslmode=require channel_binding=disable", TLS },
        { "user=scram_user sslmode=require", TLS },
        { "user=scram_user sslmode=allow channel_binding=require",
          "channel_binding=require: the connection is not encrypted" },
        { "user=tcp_user sslmode=require channel_binding=require",
          "the server lets everybody in without authentication, which channel_binding=require excludes" },
        { "user=tcp_user sslmode=require require_auth=scram-sha-256",
          "the server lets everybody in without authentication, which require_auth excludes" },
    };
    check(table, sizeof table / sizeof *table);
    if (getenv("RINGPG_TEST_ED25519"))
        check(&(struct way){ "user=scram_user sslmode=require channel_binding=require",
                             "channel_binding=require: there is none for the server's certificate" }, 1);
    else check(bound, sizeof bound / sizeof *bound);
}

/* ---- what goes on inside ---- */

enum { MANY = 400, LARGE = 3000000 };
static unsigned ended;
static char *large;

static enum pg_flow compare(struct pg_query *q, struct pg_row *row)
{
    struct pg_text text = pg_row_text(row, 0);
    (void)q;
    assert_int_equal(text.size, LARGE);
    assert_memory_equal(text.data, large, LARGE);
    return PG_CONTINUE;
}
static enum pg_flow number(struct pg_query *q, struct pg_row *row)
{
    assert_int_equal(pg_row_int8(row, 0), (int64_t)(intptr_t)q->data);
    return PG_CONTINUE;
}
static void on_done(struct pg_query *q)
{
    if (q->status) fail_msg("%s", pg_error_field(q->error, 'M'));
    ended++;
}
static bool all_ended(void *arg) { return ended == *(unsigned *)arg; }

/* Many small ones in flight, and in the midst of them some that are larger than all buffers. */
static void queries(void **state)
{
    static struct pg_statement echo = PG_STATEMENT("SELECT $1::int8", PG_TYPE_INT8);
    static struct pg_statement echo_large = PG_STATEMENT("SELECT $1::text", PG_TYPE_TEXT);
    static struct pg_query q[MANY];
    static struct pg_param p[MANY];
    static struct pg_error e[MANY];
    (void)state;
    large = malloc(LARGE);
    assert_non_null(large);
    for (size_t i = 0; i < LARGE; i++) large[i] = (char)('a' + i * 31 % 23);
    for (int host = LIVE_URING; host <= LIVE_EPOLL; host++) {
        struct pg_error error;
        unsigned all = MANY;
        if (!live_open(&live, (enum live_host)host)) continue;
        struct pg_pool *pool = open_pool("user=tcp_user sslmode=verify-ca sslrootcert=%C/root.crt", &error);
        assert_non_null(pool);
        ended = 0;
        for (int i = 0; i < MANY; i++) {
            bool is_large = i % 100 == 50;
            p[i] = is_large ? pg_strn(large, LARGE) : pg_int8(i);
            q[i] = (struct pg_query){ .statement = is_large ? &echo_large : &echo, .params = &p[i], .nparams = 1,
                                      .on_row = is_large ? compare : number, .on_done = on_done, .error = &e[i],
                                      .data = (void *)(intptr_t)i };
            pg_pool_query(pool, &q[i]);
        }
        assert_true(live_until(&live, all_ended, &all));
        live_close(&live);
    }
    free(large);
}

static bool is_idle(void *arg)
{
    struct pg_pool_stats s = { .size = sizeof s };
    pg_pool_stats(arg, &s);
    return s.idle_conns == s.total_conns && s.total_conns > 0;
}

/* The backend is stopped by a request that has its own TLS, and the connection serves on. */
static void stop_one(const char *options)
{
    struct pg_error error;
    struct pg_query q = { .sql = "SELECT pg_sleep(60)", .error = &error };
    struct pg_query after = { .sql = "SELECT 'there'", .on_row = take };
    assert_true(live_open(&live, LIVE_EPOLL));
    struct pg_pool *pool = open_pool(options, &error);
    assert_non_null(pool);
    q.deadline_ns = pg_reactor_now(live.reactor) + 300000000;
    assert_int_equal(live_query(&live, pool, NULL, &q), PG_E_TIMEOUT);
    assert_true(live_until(&live, is_idle, pool));
    assert_int_equal(live_query(&live, pool, NULL, &after), 0);
    assert_string_equal(said, "there");
    struct pg_pool_stats s = { .size = sizeof s };
    pg_pool_stats(pool, &s);
    assert_int_equal(s.new_conns_count, 1);
    assert_int_equal(s.lost_conns_count, 0);
    live_close(&live);
}
static void cancel(void **state)
{
    (void)state;
    stop_one("user=tls_user sslmode=require pool_max_conns=1");
    if (has_direct) stop_one("user=tls_user sslmode=require sslnegotiation=direct pool_max_conns=1");
}

/* What is inside of TLS is told, and what is around it. */
static char told[16384];
static void tell(void *arg, uint64_t connection, const char *text, size_t size)
{
    (void)arg;
    (void)connection;
    strncat(told, text, size < sizeof told - strlen(told) ? size : 0);
}
static void traced(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "F\t8\tSSLRequest\t 1234 5679\nB\t1\tSSLResponse\t S\n", "\tStartupMessage\t 3 0 \"user\" \"tls_user\" ",
        "\nB\t8\tAuthenticationOk\n", "\tParse\t \"\" \"SELECT coalesce(version", "\tDataRow\t 1 7 'TLSv1.3'\n",
        "\nF\t4\tTerminate\n",
    };
    trace = tell;
    check(&(struct way){ "user=tls_user sslmode=require", TLS }, 1);
    trace = NULL;
    const char *at = told;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!(at = strstr(at, lines[i]))) fail_msg("no \"%s\" in\n%s", lines[i], told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes),           cmocka_unit_test(on_a_unix_socket_there_is_none),
        cmocka_unit_test(who_the_server_is), cmocka_unit_test(who_the_client_is),
        cmocka_unit_test(what_stands_in_the_home_directory),
        cmocka_unit_test(versions),        cmocka_unit_test(direct),
        cmocka_unit_test(channel_binding), cmocka_unit_test(queries),
        cmocka_unit_test(cancel),          cmocka_unit_test(traced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
