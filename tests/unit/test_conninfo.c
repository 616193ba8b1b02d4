/* unit/test_conninfo.c - connection strings: tables of good and of bad ones, memory, and the promise that no error text
 * holds a piece of a password, however the string is mangled. */
#define _GNU_SOURCE /* memmem */
#include <errno.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "config/conninfo.h"
#include "wire/check.h"

#define S (UINT64_C(1000000000))
#define MS (UINT64_C(1000000))

/* ---- an allocator that counts, and that can refuse ---- */

struct memory { size_t calls, fail_at, bytes, frees; };

static void *allocate(void *arg, size_t bytes)
{
    struct memory *m = arg;
    if (++m->calls == m->fail_at) return NULL;
    m->bytes = bytes;
    return malloc(bytes);
}

static void deallocate(void *arg, void *at, size_t bytes)
{
    struct memory *m = arg;
    assert_int_equal(bytes, m->bytes);
    for (size_t i = 0; i < bytes; i++) assert_int_equal(((char *)at)[i], 0);
    m->frees++;
    free(at);
}

static bool all_zero(const void *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((const char *)at)[i]) return false;
    return true;
}

static void wipe(struct rp_conninfo *c)
{
    struct memory m = { .bytes = c->storage_size };
    const struct rp_memory memory = { allocate, deallocate, &m };
    rp_conninfo_wipe(c, &memory);
    assert_true(all_zero(c, sizeof *c));
}

static int parse(struct rp_conninfo *c, const char *text, struct pg_error *error)
{
    struct memory m = { 0 };
    const struct rp_memory memory = { allocate, deallocate, &m };
    if (error) memset(error, 0, sizeof *error);
    int rc = rp_conninfo_parse(c, text, RP_SOURCES_STRING, &memory, error);
    if (rc) {
        assert_int_equal(m.calls, 0);
        assert_true(all_zero(c, sizeof *c));
    } else {
        assert_int_equal(m.calls, 1);
        assert_int_equal(c->storage_size, m.bytes);
        rc = rp_conninfo_check(c, error);
        if (rc) wipe(c);
    }
    if (rc) assert_int_equal(rc, PG_E_CONFIG);
    if (error) {
        assert_int_equal(error->code, rc);
        assert_int_equal(rc == 0, *pg_error_field(error, 'M') == '\0');
    }
    return rc;
}

static void must_parse(struct rp_conninfo *c, const char *text)
{
    struct pg_error error;
    if (parse(c, text, &error)) fail_msg("%s: %s", text, pg_error_field(&error, 'M'));
}

/* ---- strings ---- */

#define HOME "/var/run/postgresql"

struct good {
    const char *text, *host, *hostaddr;
    uint16_t port;
    const char *user, *dbname, *password, *options, *application_name;
};

static void check_text(const char *text, const char *what, const char *is, const char *expected)
{
    if (!is != !expected || (is && strcmp(is, expected) != 0))
        fail_msg("%s: %s is %s, expected %s", text, what, is ? is : "NULL", expected ? expected : "NULL");
}

static void good_strings(void **state)
{
    (void)state;
    static char me[256];
    snprintf(me, sizeof me, "%s", getpwuid(geteuid())->pw_name);
    const struct good table[] = {
        { "", HOME, NULL, 5432, me, me, NULL, NULL, NULL },
        { NULL, HOME, NULL, 5432, me, me, NULL, NULL, NULL },
        { " \t\n", HOME, NULL, 5432, me, me, NULL, NULL, NULL },
        { "user=joe", HOME, NULL, 5432, "joe", "joe", NULL, NULL, NULL },
        { "dbname=shop", HOME, NULL, 5432, me, "shop", NULL, NULL, NULL },
        { "host=h port=1 user=u dbname=d password=p options=-cx=y application_name=a", "h", NULL, 1, "u", "d", "p",
          "-cx=y", "a" },
        { "host = h\tport\n=\r65535 user=u", "h", NULL, 65535, "u", "u", NULL, NULL, NULL },
        { "user='joe o\\'neil' password='a\\\\b c'", HOME, NULL, 5432, "joe o'neil", "joe o'neil", "a\\b c", NULL,
          NULL },
        { "user=a\\ b password=it's", HOME, NULL, 5432, "a b", "a b", "it's", NULL, NULL },
        { "user='a'password='b'", HOME, NULL, 5432, "a", "a", "b", NULL, NULL },
        { "user=u password=''", HOME, NULL, 5432, "u", "u", NULL, NULL, NULL },
        { "user=u password=abc\\", HOME, NULL, 5432, "u", "u", "abc", NULL, NULL },
        { "user=u dbname=\\", HOME, NULL, 5432, "u", "u", NULL, NULL, NULL },
        { "user= dbname=x", HOME, NULL, 5432, "dbname=x", "dbname=x", NULL, NULL, NULL }, /* libpq skips the space */
        { "user=a user=b", HOME, NULL, 5432, "b", "b", NULL, NULL, NULL },
        { "user=a user=''", HOME, NULL, 5432, me, me, NULL, NULL, NULL },
        { "user=u port='' host='' hostaddr=''", HOME, NULL, 5432, "u", "u", NULL, NULL, NULL },
        { "user=u port=' 77 '", HOME, NULL, 77, "u", "u", NULL, NULL, NULL },
        { "user=u hostaddr=127.0.0.1", "127.0.0.1", "127.0.0.1", 5432, "u", "u", NULL, NULL, NULL },
        { "user=u host=db hostaddr=::1", "db", "::1", 5432, "u", "u", NULL, NULL, NULL },
        { "user=u hostaddr=fe80::1%eth0", "fe80::1%eth0", "fe80::1%eth0", 5432, "u", "u", NULL, NULL, NULL },
        { "user=u host=/run/a@b", "/run/a@b", NULL, 5432, "u", "u", NULL, NULL, NULL },
        { "user=u host=@abstract", "@abstract", NULL, 5432, "u", "u", NULL, NULL, NULL },
        { "user=u dbname=postgresql://h/d", HOME, NULL, 5432, "u", "postgresql://h/d", NULL, NULL,
          NULL }, /* not expanded */
        { "user=u dbname='host=h'", HOME, NULL, 5432, "u", "host=h", NULL, NULL, NULL },
        { "user=u fallback_application_name=f", HOME, NULL, 5432, "u", "u", NULL, NULL, "f" },
        { "user=u fallback_application_name=f application_name=a", HOME, NULL, 5432, "u", "u", NULL, NULL, "a" },
        { "user=u fallback_application_name=f application_name=''", HOME, NULL, 5432, "u", "u", NULL, NULL, NULL },
        { "user=\xc3\xa4\xff password=\xff\xfe", HOME, NULL, 5432, "\xc3\xa4\xff", "\xc3\xa4\xff", "\xff\xfe", NULL,
          NULL },
        { "postgresql://", HOME, NULL, 5432, me, me, NULL, NULL, NULL },
        { "postgres://", HOME, NULL, 5432, me, me, NULL, NULL, NULL },
        { "postgresql:///", HOME, NULL, 5432, me, me, NULL, NULL, NULL },
        { "postgresql://u@", HOME, NULL, 5432, "u", "u", NULL, NULL, NULL },
        { "postgresql://u@h", "h", NULL, 5432, "u", "u", NULL, NULL, NULL },
        { "postgresql://u@h/", "h", NULL, 5432, "u", "u", NULL, NULL, NULL },
        { "postgres://u:p@h:1/d", "h", NULL, 1, "u", "d", "p", NULL, NULL },
        { "postgresql://u:@h:/d", "h", NULL, 5432, "u", "d", NULL, NULL, NULL },
        { "postgresql://:p@h/d?user=u", "h", NULL, 5432, "u", "d", "p", NULL, NULL },
        { "postgresql://u:p:q@h", "h", NULL, 5432, "u", "u", "p:q", NULL, NULL },
        { "postgresql://u:p?=&q@h", "h", NULL, 5432, "u", "u", "p?=&q", NULL, NULL },
        { "postgresql://u%40x:p%2f%3A%25@h%2de/d%20e", "h-e", NULL, 5432, "u@x", "d e", "p/:%", NULL, NULL },
        { "postgresql://u@[::1]:6/d", "::1", NULL, 6, "u", "d", NULL, NULL, NULL },
        { "postgresql://u@[::1]", "::1", NULL, 5432, "u", "u", NULL, NULL, NULL },
        { "postgresql://u@[fe80::1%25eth0]/d", "fe80::1%eth0", NULL, 5432, "u", "d", NULL, NULL, NULL },
        { "postgresql://u@:7/d", HOME, NULL, 7, "u", "d", NULL, NULL, NULL },
        { "postgresql://u@%2Ftmp%2Fsock:8/d", "/tmp/sock", NULL, 8, "u", "d", NULL, NULL, NULL },
        { "postgresql:///d?host=/tmp&user=u&port=9", "/tmp", NULL, 9, "u", "d", NULL, NULL, NULL },
        { "postgresql://u@h/d?host=other&", "other", NULL, 5432, "u", "d", NULL, NULL, NULL },
        { "postgresql://u@h/d?host=", HOME, NULL, 5432, "u", "d", NULL, NULL, NULL },
        { "postgresql://u@h?dbname=d&%6fptions=-c%20x%3Dy", "h", NULL, 5432, "u", "d", NULL, "-c x=y", NULL },
        { "postgresql://u@h/d?application_name=a+b%C3%A4&password=%26", "h", NULL, 5432, "u", "d", "&", NULL,
          "a+b\xc3\xa4" },
        { "postgresql://u@h/a/b", "h", NULL, 5432, "u", "a/b", NULL, NULL, NULL },
        { "postgresql://u@h?", "h", NULL, 5432, "u", "u", NULL, NULL, NULL },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        const struct good *g = &table[i];
        const char *text = g->text ? g->text : "NULL";
        struct rp_conninfo c;
        must_parse(&c, g->text);
        check_text(text, "host", c.host[0].name, g->host);
        check_text(text, "hostaddr", c.host[0].hostaddr, g->hostaddr);
        check_text(text, "user", c.user, g->user);
        check_text(text, "dbname", c.dbname, g->dbname);
        check_text(text, "password", c.password, g->password);
        check_text(text, "options", c.options, g->options);
        check_text(text, "application_name", c.application_name, g->application_name);
        assert_int_equal(c.host[0].port, g->port);
        assert_int_equal(c.nhosts, 1);
        const char *const strings[] = { c.hosts,   c.hostaddrs,        c.user,           c.dbname, c.password,
                                        c.options, c.application_name, c.client_encoding };
        for (size_t k = 0; k < RP_COUNT(strings); k++)
            if (strings[k])
                assert_in_range((uintptr_t)strings[k], (uintptr_t)c.storage, (uintptr_t)c.storage + c.storage_size - 1);
        wipe(&c);
    }
}

/* ---- lists of hosts ---- */

/* "name/hostaddr:port ..." of all hosts, "-" for an absent address. */
static void several_hosts(void **state)
{
    (void)state;
    static const struct { const char *text, *hosts; } table[] = {
        { "host=a,b", "a/-:5432 b/-:5432" },
        { "host=a,b port=7", "a/-:7 b/-:7" },
        { "host=a,b port=7,8", "a/-:7 b/-:8" },
        { "host=a,b port=,8", "a/-:5432 b/-:8" },
        { "host=a,b port=','", "a/-:5432 b/-:5432" },
        { "host=a, port=7,8", "a/-:7 " HOME "/-:8" },
        { "host=',' hostaddr=::1,", "::1/::1:5432 " HOME "/-:5432" },
        { "host=a,b hostaddr=::1,1.2.3.4", "a/::1:5432 b/1.2.3.4:5432" },
        { "hostaddr=::1,fe80::1%eth0 port=1,2", "::1/::1:1 fe80::1%eth0/fe80::1%eth0:2" },
        { "host=/tmp,@x,h", "/tmp/-:5432 @x/-:5432 h/-:5432" },
        { "host='a\\,b'", "a/-:5432 b/-:5432" },
        { "postgresql://a,b/d", "a/-:5432 b/-:5432" },
        { "postgresql://u:p@a:1,b:2/d", "a/-:1 b/-:2" },
        { "postgresql://a:1,b/d", "a/-:1 b/-:5432" },
        { "postgresql://a,b:2", "a/-:5432 b/-:2" },
        { "postgresql://[::1]:6,[::2],h:7/d", "::1/-:6 ::2/-:5432 h/-:7" },
        { "postgresql://,", HOME "/-:5432 " HOME "/-:5432" },
        { "postgresql://:1,:2/", HOME "/-:1 " HOME "/-:2" },
        { "postgresql://%2Ftmp:1,h%2D:%32/", "/tmp/-:1 h-/-:2" },
        { "postgresql://a%2Cb/d", "a/-:5432 b/-:5432" },
        { "postgresql://a:1,b:2/d?host=x,y", "x/-:1 y/-:2" },
        { "postgresql://a:1,b:2/d?port=3", "a/-:3 b/-:3" },
        { "postgresql:///d?host=x,y&port=1,2&target_session_attrs=standby", "x/-:1 y/-:2" },
        { "host=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p port=1",
          "a/-:1 b/-:1 c/-:1 d/-:1 e/-:1 f/-:1 g/-:1 h/-:1 i/-:1 j/-:1 k/-:1 l/-:1 m/-:1 n/-:1 o/-:1 p/-:1" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct rp_conninfo c;
        char is[600] = "";
        must_parse(&c, table[i].text);
        for (uint32_t k = 0; k < c.nhosts; k++) {
            size_t size = strlen(is);
            snprintf(is + size, sizeof is - size, "%s%s/%s:%u", k ? " " : "", c.host[k].name,
                     c.host[k].hostaddr ? c.host[k].hostaddr : "-", c.host[k].port);
        }
        check_text(table[i].text, "the list", is, table[i].hosts);
        wipe(&c);
    }
}

static void targets(void **state)
{
    (void)state;
    static const char *const words[RP_TARGETS] = {
        [RP_TARGET_ANY] = "any", [RP_TARGET_READ_WRITE] = "read-write", [RP_TARGET_READ_ONLY] = "read-only",
        [RP_TARGET_PRIMARY] = "primary", [RP_TARGET_STANDBY] = "standby", [RP_TARGET_PREFER_STANDBY] = "prefer-standby",
    };
    for (uint32_t i = 0; i < RP_TARGETS; i++) {
        char text[100];
        struct rp_conninfo c;
        snprintf(text, sizeof text, "target_session_attrs=%s load_balance_hosts=%s", words[i],
                 i % 2 ? "random" : "disable");
        must_parse(&c, text);
        assert_int_equal(c.target, i);
        assert_int_equal(c.load_balance_hosts, i % 2);
        wipe(&c);
    }
}

/* ---- numbers ---- */

static void defaults(void **state)
{
    (void)state;
    struct rp_conninfo c;
    must_parse(&c, "");
    assert_int_equal(c.connect_timeout_ns, 0);
    assert_true(c.keepalives);
    assert_int_equal(c.keepalives_idle_s | c.keepalives_interval_s | c.keepalives_count | c.tcp_user_timeout_ms, 0);
    assert_int_equal(c.pool_max_conns, 4);
    assert_int_equal(c.pool_min_conns, 0);
    assert_int_equal(c.pool_reserved_conns, 0);
    assert_int_equal(c.pool_codel_target_ns + c.pool_admission, 0);
    assert_int_equal(c.pool_codel_interval_ns, 100 * MS);
    assert_int_equal(c.pool_max_waiters, 10000);
    assert_int_equal(c.pool_connecting_limit, 4);
    assert_int_equal(c.pool_max_pipeline, 64);
    assert_int_equal(c.statement_cache_capacity, 256);
    assert_int_equal(c.statement_cache_bytes, 256 << 10);
    assert_false(c.prepared_statements_off);
    assert_int_equal(c.pool_acquire_timeout_ns, 10 * S);
    assert_int_equal(c.pool_close_linger_ns, 5 * S);
    assert_int_equal(c.pool_slow_statement_ns, S / 50);
    assert_int_equal(c.pool_max_row_bytes, 16 << 20);
    assert_int_equal(c.pool_max_scram_iterations, 1000000);
    assert_null(c.client_encoding);
    assert_null(c.pool_connect_sql);
    assert_null(c.pool_reset_sql);
    wipe(&c);
    must_parse(
        &c,
        "keepalives=0 keepalives_idle=1 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=4 pool_max_conns=5 "
        "pool_min_conns=5 pool_max_waiters=7 pool_connecting_limit=8 pool_max_pipeline=9 pool_acquire_timeout=10ms "
        "pool_close_linger=11 pool_slow_statement=14ms pool_max_row_bytes=12kB pool_max_scram_iterations=13 "
        "statement_cache_capacity=15 statement_cache_bytes=16kB prepared_statements=off "
        "client_encoding=UTF8 pool_connect_sql='SET a = \\'b\\'; SET c = d' pool_reset_sql='DISCARD ALL'");
    assert_false(c.keepalives);
    assert_int_equal(c.keepalives_idle_s, 1);
    assert_int_equal(c.keepalives_interval_s, 2);
    assert_int_equal(c.keepalives_count, 3);
    assert_int_equal(c.tcp_user_timeout_ms, 4);
    assert_int_equal(c.pool_max_conns, 5);
    assert_int_equal(c.pool_min_conns, 5);
    assert_int_equal(c.pool_max_waiters, 7);
    assert_int_equal(c.pool_connecting_limit, 8);
    assert_int_equal(c.pool_max_pipeline, 9);
    assert_int_equal(c.statement_cache_capacity, 15);
    assert_int_equal(c.statement_cache_bytes, 16 << 10);
    assert_true(c.prepared_statements_off);
    assert_int_equal(c.pool_acquire_timeout_ns, 10 * MS);
    assert_int_equal(c.pool_close_linger_ns, 11 * S);
    assert_int_equal(c.pool_slow_statement_ns, 14 * S / 1000);
    assert_int_equal(c.pool_max_row_bytes, 12 << 10);
    assert_int_equal(c.pool_max_scram_iterations, 13);
    assert_string_equal(c.client_encoding, "UTF8");
    assert_string_equal(c.pool_connect_sql, "SET a = 'b'; SET c = d");
    assert_string_equal(c.pool_reset_sql, "DISCARD ALL");
    wipe(&c);
}

/* libpq's numbers: 1 second is 2, negative is 0, any number but 0 is "on". */
static void libpq_numbers(void **state)
{
    (void)state;
    static const struct { const char *text; uint64_t ns; } timeouts[] = {
        { "0", 0 }, { "-5", 0 }, { "1", 2 * S }, { "2", 2 * S }, { "3", 3 * S }, { "+10", 10 * S },
        { "2147483647", 2147483647 * S }, { "''", 0 },
    };
    for (size_t i = 0; i < RP_COUNT(timeouts); i++) {
        char text[64];
        struct rp_conninfo c;
        snprintf(text, sizeof text, "connect_timeout=%s", timeouts[i].text);
        must_parse(&c, text);
        assert_int_equal(c.connect_timeout_ns, timeouts[i].ns);
        wipe(&c);
    }
    struct rp_conninfo c;
    must_parse(&c, "keepalives=-1 keepalives_idle=-1 tcp_user_timeout=-1");
    assert_true(c.keepalives);
    assert_int_equal(c.keepalives_idle_s | c.tcp_user_timeout_ms, 0);
    wipe(&c);
}

/* ---- what is refused, word for word ---- */

#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HIDDEN "unknown option (its name is not shown: it may be a part of the password)"

static void bad_strings(void **state)
{
    (void)state;
    static const struct { const char *text, *error; } table[] = {
        { "hots=x", "unknown option \"hots\"" },
        { "HOST=x", "unknown option \"HOST\"" },
        { "=x", HIDDEN },
        { "host=a =x", HIDDEN },
        { "host", "missing \"=\" after \"host\"" },
        { "host x", "missing \"=\" after \"host\"" },
        { "user=u password x=y", "missing \"=\" after \"password\"" },
        { "hots", "missing \"=\" after an option's name" },
        { "postgresql:/h", "missing \"=\" after an option's name" },
        { "POSTGRES://h?a=b", HIDDEN },
        { "password=my secret=x", HIDDEN },
        { "password=my secret", "missing \"=\" after an option's name" },
        { "password='my secret", "password: the quoted value has no end" },
        { "password='my secret\\'", "password: the quoted value has no end" },
        { "user='", "user: the quoted value has no end" },
        { "port=0", "port: must be 1 to 65535" },
        { "port=65536", "port: must be 1 to 65535" },
        { "port=-1", "port: must be 1 to 65535" },
        { "port=99999999999999999999", "port: must be 1 to 65535" },
        { "port=http", "port: not a number" },
        { "port=1,2", "port: 2 in the list do not match 1 host" },
        { "host=a,b port=1,2,3", "port: 3 in the list do not match 2 hosts" },
        { "host=a,b hostaddr=::1", "host: 2 in the list do not match 1 of hostaddr" },
        { "host=a hostaddr=::1,::2", "host: 1 in the list do not match 2 of hostaddr" },
        { "host=a,b port=1,x", "port: not a number" },
        { "host=a,b port=65536,1", "port: must be 1 to 65535" },
        { "hostaddr=1.2.3.4,::1,a", "hostaddr: not a numeric address" },
        { "host=a,/" A50 A50, "host: a socket's directory of 101 bytes, 93 at the most" },
        { "host=a,b@c", "host: \"@\" in a name; in a URI those of user and password are percent-encoded" },
        { "host=,,,,,,,,,,,,,,,,", "host: 17 hosts, 16 at the most" },
        { "hostaddr=,,,,,,,,,,,,,,,,", "hostaddr: 17 hosts, 16 at the most" },
        { "hostaddr=localhost", "hostaddr: not a numeric address" },
        { "hostaddr=1.2.3", "hostaddr: not a numeric address" },
        { "hostaddr=1.2.3.4%eth0", "hostaddr: not a numeric address" },
        { "host=word@db", "host: \"@\" in a name; in a URI those of user and password are percent-encoded" },
        { "host=/" A50 A50, "host: a socket's directory of 101 bytes, 93 at the most" },
        { "port=1 host=@" A50 A50, "host: a socket's directory of 101 bytes, 96 at the most" },
        { "connect_timeout=soon", "connect_timeout: not a number" },
        { "connect_timeout=2147483648", "connect_timeout: must be 0 to 2147483647" },
        { "keepalives=yes", "keepalives: not a number" },
        { "keepalives=9999999999", "keepalives: must be 0 or 1" },
        { "keepalives_idle=32768", "keepalives_idle: must be 0 to 32767" },
        { "keepalives_count=128", "keepalives_count: must be 0 to 127" },
        { "pool_max_conns=0", "pool_max_conns: must be 1 to 10000" },
        { "pool_max_conns=10001", "pool_max_conns: must be 1 to 10000" },
        { "pool_max_conns=-1", "pool_max_conns: must be 1 to 10000" },
        { "pool_max_conns=four", "pool_max_conns: not a number" },
        { "pool_min_conns=5", "pool_min_conns: 5 is above pool_max_conns, 4" },
        { "pool_max_conns=2 pool_min_conns=3", "pool_min_conns: 3 is above pool_max_conns, 2" },
        { "pool_max_waiters=0", "pool_max_waiters: must be 1 to 100000000" },
        { "pool_connecting_limit=0", "pool_connecting_limit: must be 1 to 10000" },
        { "pool_max_pipeline=1025", "pool_max_pipeline: must be 1 to 1024" },
        { "pool_acquire_timeout=-1s", "pool_acquire_timeout: must be 0 to 8760h" },
        { "pool_acquire_timeout=8760h1ns", "pool_acquire_timeout: must be 0 to 8760h" },
        { "pool_acquire_timeout=99999999999999999999999h", "pool_acquire_timeout: must be 0 to 8760h" },
        { "pool_acquire_timeout=soon", "pool_acquire_timeout: not a duration such as 10s, 500ms or 1m30s" },
        { "pool_close_linger=2h", "pool_close_linger: must be 0 to 1h" },
        { "pool_slow_statement=2h", "pool_slow_statement: must be 0 to 1h" },
        { "pool_max_row_bytes=1023", "pool_max_row_bytes: must be 1kB to 1GB" },
        { "pool_max_row_bytes=2GB", "pool_max_row_bytes: must be 1kB to 1GB" },
        { "pool_max_row_bytes=1KB", "pool_max_row_bytes: not a size such as 4096, 64kB or 16MB" },
        { "pool_max_scram_iterations=0", "pool_max_scram_iterations: must be 1 to 100000000" },
        { "port=1" A50 A50 A50, "port: not a number" },
        { "sslmode=Prefer", "sslmode: must be one of disable, allow, prefer, require, verify-ca, verify-full" },
        { "sslpassword=my secret=x", HIDDEN },
        { "gssencmode=require", "gssencmode=require: GSSAPI is not there yet" },
        { "channel_binding=maybe", "channel_binding: must be one of disable, prefer, require" },
        { "max_protocol_version=2.0", "max_protocol_version: must be one of 3.0, 3.2, latest" },
        { "target_session_attrs=master",
          "target_session_attrs: must be one of any, read-write, read-only, primary, standby, prefer-standby" },
        { "load_balance_hosts=on", "load_balance_hosts: must be one of disable, random" },
        { "replication=database", "replication=database: not there yet" },
        { "passfile=/x", "passfile: files are switched off (PG_POOL_STRING_ONLY)" },
        { "service=x", "service: files are switched off (PG_POOL_STRING_ONLY)" },
        { "pool_max_conn_lifetime=1x", "pool_max_conn_lifetime: not a duration such as 10s, 500ms or 1m30s" },
        { "pool_max_conn_lifetime_jitter=9000h", "pool_max_conn_lifetime_jitter: must be 0 to 8760h" },
        { "pool_max_conn_idle_time=-1s", "pool_max_conn_idle_time: must be 0 to 8760h" },
        { "pool_health_check_period=0", "pool_health_check_period: must be 1ms to 8760h" },
        { "pool_min_idle_conns=5", "pool_min_idle_conns: 5 is above pool_max_conns, 4" },
        { "pool_reserved_conns=4", "pool_reserved_conns: 4 is not below pool_max_conns, 4" },
        { "pool_codel_target=2h", "pool_codel_target: must be 0 to 1h" },
        { "pool_codel_interval=0", "pool_codel_interval: must be 1ms to 1h" },
        { "pool_admission=maybe", "pool_admission: must be one of off, on" },
        { "pool_reserved_conns=-1", "pool_reserved_conns: must be 0 to 9999" },
        { "statement_cache_capacity=10001", "statement_cache_capacity: must be 0 to 10000" },
        { "statement_cache_bytes=1023", "statement_cache_bytes: must be 1kB to 1GB" },
        { "prepared_statements=no", "prepared_statements: must be one of on, off" },
        { "postgresql://u:p%zz@h", "password: bad percent-encoding" },
        { "postgresql://u:secret%@h", "password: bad percent-encoding" },
        { "postgresql://u:secret%4@h", "password: bad percent-encoding" },
        { "postgresql://u%00:p@h", "user: %00 is not allowed" },
        { "postgresql://u:p%00@h", "password: %00 is not allowed" },
        { "postgresql://h%00", "host: %00 is not allowed" },
        { "postgresql://h:%00", "port: %00 is not allowed" },
        { "postgresql://h/%00", "dbname: %00 is not allowed" },
        { "postgresql://h?options=%00", "options: %00 is not allowed" },
        { "postgresql://h?%00=x", "bad percent-encoding in an option's name" },
        { "postgresql://h?%q=x", "bad percent-encoding in an option's name" },
        { "postgresql://h?hots=x", "unknown option \"hots\"" },
        { "postgresql://u:p@h?hots=x", "unknown option \"hots\"" },
        { "postgresql://h?" A50 A50 "=x", HIDDEN },
        { "postgresql://h/?password=my&secret=x", HIDDEN },
        { "postgresql://u:se/cret@h", "port: not a number" },
        { "postgresql://u:se/cr?et=x@h", HIDDEN },
        { "postgresql://u:12/cr?et=x@h", HIDDEN },
        { "postgresql://h?host", "missing \"=\" after \"host\"" },
        { "postgresql://h?&", "missing \"=\" after an option's name" },
        { "postgresql://h?user=a&&port=1", "missing \"=\" after an option's name" },
        { "postgresql://h?hots", "missing \"=\" after an option's name" },
        { "postgresql://h?user=a=b", "user: a second \"=\"; percent-encode it" },
        { "datestyle=ISO", "unknown option \"datestyle\"" }, /* these three are the environment's alone */
        { "timezone=UTC", "unknown option \"timezone\"" },
        { "geqo=off", "unknown option \"geqo\"" },
        { "postgresql://h?ssl=false", "unknown option \"ssl\"" },
        { "postgresql://a:1,b:2,c/d?host=a,b", "port: 3 in the list do not match 2 hosts" },
        { "postgresql://a,b:x/d", "port: not a number" },
        { "postgresql://a,b%zz:1/d", "host: bad percent-encoding" },
        { "postgresql://a,b:1%z/d", "port: bad percent-encoding" },
        { "postgresql://a,[::1", "host: no \"]\" after the IPv6 address" },
        { "postgresql://a,[]", "host: the IPv6 address is empty" },
        { "postgresql://[a,b]", "host: not a numeric address between \"[\" and \"]\"" },
        { "postgresql://u:p@ss@h/d", "host: \"@\" in a name; in a URI those of user and password are percent-encoded" },
        { "postgresql://h:x/d", "port: not a number" },
        { "postgresql://h:99999/d", "port: must be 1 to 65535" },
        { "postgresql://[::1", "host: no \"]\" after the IPv6 address" },
        { "postgresql://[]/d", "host: the IPv6 address is empty" },
        { "postgresql://[::1]x/d", "host: something stands behind the \"]\"" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct rp_conninfo c;
        struct pg_error error;
        if (parse(&c, table[i].text, &error) == 0) fail_msg("%s was accepted", table[i].text);
        check_text(table[i].text, "the error", pg_error_field(&error, 'M'), table[i].error);
        assert_int_equal(parse(&c, table[i].text, NULL), PG_E_CONFIG); /* nobody asks why */
    }
}

/* What asks for nothing, or is overruled by a later value, is no reason to refuse. */
static void asks_for_nothing(void **state)
{
    (void)state;
    static const char *const table[] = {
        "sslmode=disable",
        "sslmode=allow",
        "sslmode=prefer",
        "sslmode=''",
        "sslmode=require sslmode=disable",
        "sslnegotiation=postgres",
        "sslcert='' sslkey='' sslrootcert='' sslcrl='' sslcrldir='' sslpassword='' ssl_min_protocol_version=''",
        "sslsni=1",
        "sslsni=0",
        "sslcompression=0",
        "gssencmode=disable",
        "gssencmode=prefer krbsrvname='' gsslib='' gssdelegation=0",
        "channel_binding=disable",
        "channel_binding=prefer",
        "require_auth='' requirepeer=''",
        "min_protocol_version=3.0 max_protocol_version=latest",
        "max_protocol_version=3.2",
        "target_session_attrs=any",
        "load_balance_hosts=disable",
        "replication=off",
        "passfile='' service=''",
        "pool_min_idle_conns=0 pool_max_conn_lifetime=0 pool_max_conn_lifetime_jitter=0 pool_max_conn_idle_time=0",
        "pool_health_check_period=1ms pool_leak_detection_threshold=0 statement_cache_capacity=0",
        "statement_cache_bytes=1kB prepared_statements=on",
        "postgresql://h/d?sslmode=disable&target_session_attrs=any&sslcert=",
        "port=x port=5",
        "pool_min_conns=4",
        "pool_reserved_conns=3",
        "pool_codel_target=5ms pool_codel_interval=1s pool_admission=on",
        "pool_admission=off",
        "pool_acquire_timeout=0",
        "pool_slow_statement=0",
        "pool_slow_statement=1h",
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct rp_conninfo c;
        must_parse(&c, table[i]);
        wipe(&c);
    }
}

/* The longest directory that a socket's path has room for; a numeric address makes the directory a mere name. */
static void socket_path(void **state)
{
    (void)state;
    char text[300], directory[200];
    struct rp_conninfo c;
    struct pg_error error;
    for (size_t size = 80; size < 120; size++) {
        memset(directory, 'a', size);
        directory[0] = '/';
        directory[size] = '\0';
        snprintf(text, sizeof text, "host=%s", directory);
        char path[300];
        bool fits = snprintf(path, sizeof path, "%s/.s.PGSQL.5432", directory) < 108;
        assert_int_equal(parse(&c, text, &error) == 0, fits);
        if (fits) wipe(&c);
        snprintf(text, sizeof text, "host=%s hostaddr=::1", directory);
        must_parse(&c, text);
        wipe(&c);
    }
}

static void memory(void **state)
{
    (void)state;
    struct rp_conninfo c;
    struct pg_error error;
    struct memory m = { .fail_at = 1 };
    const struct rp_memory memory = { allocate, deallocate, &m };
    assert_int_equal(rp_conninfo_parse(&c, "user=u password=p", RP_SOURCES_STRING, &memory, &error), -ENOMEM);
    assert_int_equal(error.code, -ENOMEM);
    assert_true(all_zero(&c, sizeof c));
    rp_conninfo_wipe(&c, &memory);
    assert_int_equal(m.frees, 0);
    m = (struct memory){ .fail_at = 2 }; /* there is no second */
    assert_int_equal(rp_conninfo_parse(&c, "user=u password=p", RP_SOURCES_STRING, &memory, &error), 0);
    assert_int_equal(m.calls, 1);
    assert_int_equal(m.bytes, sizeof "u" + sizeof "u" + sizeof "p");
    rp_conninfo_wipe(&c, &memory);
    assert_int_equal(m.frees, 1);
}

/* ---- passwords ---- */

#define SECRET "Zq7Xw9Kv"

/* No three characters of the password in the text. */
static void check_silent(const char *text)
{
    struct rp_conninfo c;
    struct pg_error error;
    if (parse(&c, text, &error) == 0) {
        wipe(&c);
        return;
    }
    for (size_t i = 0; i + 3 <= strlen(SECRET); i++) {
        char piece[4] = { SECRET[i], SECRET[i + 1], SECRET[i + 2], '\0' };
        if (memmem(error.text, sizeof error.text, piece, 3)) fail_msg("%s: %s", text, pg_error_field(&error, 'M'));
    }
}

/* Every prefix, every character deleted, replaced by and preceded by each character that means something. */
static void silent_about_passwords(void **state)
{
    (void)state;
    static const char *const strings[] = {
        "host=h user=joe password=" SECRET " port=5432 dbname=d",
        "password='" SECRET "' host=h connect_timeout=5",
        "user='joe' password = '\\'" SECRET "\\\\' sslmode=disable",
        "dbname=d password=" SECRET,
        "postgresql://joe:" SECRET "@h:5432/d?connect_timeout=5",
        "postgres://joe:%20" SECRET "%2f@[::1]:5432/d",
        "postgresql://h/d?user=joe&password=" SECRET "&port=5432",
        "postgresql://h/d?password=" SECRET,
    };
    static const char marks[] = " '\\%@=/:?&,[]0";
    for (size_t i = 0; i < RP_COUNT(strings); i++) {
        const char *s = strings[i];
        size_t size = strlen(s);
        for (size_t at = 0; at <= size; at++) {
            char text[200];
            snprintf(text, sizeof text, "%.*s", (int)at, s);
            check_silent(text);
            if (at == size) break;
            snprintf(text, sizeof text, "%.*s%s", (int)at, s, s + at + 1);
            check_silent(text);
            for (const char *mark = marks; *mark; mark++) {
                snprintf(text, sizeof text, "%.*s%c%s", (int)at, s, *mark, s + at + 1);
                check_silent(text);
                snprintf(text, sizeof text, "%.*s%c%s", (int)at, s, *mark, s + at);
                check_silent(text);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_strings), cmocka_unit_test(defaults),         cmocka_unit_test(libpq_numbers),
        cmocka_unit_test(several_hosts), cmocka_unit_test(targets),
        cmocka_unit_test(bad_strings),  cmocka_unit_test(asks_for_nothing), cmocka_unit_test(socket_path),
        cmocka_unit_test(memory),       cmocka_unit_test(silent_about_passwords),
    };
    return cmocka_run_group_tests_name("conninfo", tests, NULL, NULL);
}
