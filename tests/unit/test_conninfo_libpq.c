/* unit/test_conninfo_libpq.c - libpq as the oracle of connection strings: what both accept, both read alike; what
 * libpq's grammar refuses is refused here; and what is refused here alone is refused for its meaning. The strings come
 * from a seeded grammar that is wrong often enough. */
#ifdef RINGPG_TEST_LIBPQ
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
#include <libpq-fe.h>
#include "config/conninfo.h"
#include "wire/check.h"

#define HOME "/var/run/postgresql"

static void *allocate(void *arg, size_t bytes)
{
    (void)arg;
    return malloc(bytes);
}

static void deallocate(void *arg, void *at, size_t bytes)
{
    (void)arg, (void)bytes;
    free(at);
}

static void check_text(const char *text, const char *what, const char *is, const char *expected)
{
    if (!is != !expected || (is && strcmp(is, expected) != 0))
        fail_msg("%s: %s is %s, expected %s", text, what, is ? is : "NULL", expected ? expected : "NULL");
}

static uint64_t seed;
static uint32_t any(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % below;
}
#define PICK(list) (list)[any(RP_COUNT(list))]

struct text { char at[1024]; size_t size; };
static void put(struct text *t, const char *s)
{
    size_t size = strlen(s);
    if (t->size + size < sizeof t->at) memcpy(t->at + t->size, s, size + 1), t->size += size;
}

static const char *const keywords[] = { "host",
                                        "port",
                                        "user",
                                        "dbname",
                                        "password",
                                        "options",
                                        "application_name",
                                        "hostaddr",
                                        "sslmode",
                                        "connect_timeout",
                                        "keepalives",
                                        "target_session_attrs",
                                        "hots" };
static const char *const atoms[] = { "a",         "B7",     "5432",     "1", "db", "/tmp", "::1",
                                     "127.0.0.1", "prefer", "\xc3\xa4", "-", "_",  ".",    "any", ",", "::2,::1" };
static const char *const specials[] = { " ", "'", "\\", "=", "%41", "%2f", "%",  "%4",  "%zz", "@", ":",
                                        "/", "?", "&",  ",", "[",   "]",   "\t", "%00", "\\'", "+" };

static void put_value(struct text *t)
{
    for (uint32_t n = any(4); n > 0; n--) put(t, any(6) ? PICK(atoms) : PICK(specials));
}

static void make_keywords(struct text *t)
{
    for (uint32_t n = any(6); n > 0; n--) {
        put(t, PICK(keywords));
        put(t, any(10) ? "=" : any(3) ? " = " : " ");
        bool quoted = any(3) == 0;
        if (quoted) put(t, "'");
        put_value(t);
        if (quoted && any(20)) put(t, "'");
        put(t, any(12) ? " " : "");
    }
}

static void make_uri(struct text *t)
{
    put(t, any(2) ? "postgresql://" : "postgres://");
    if (any(2)) {
        put_value(t);
        if (any(2)) put(t, ":"), put_value(t);
        if (any(12)) put(t, "@");
    }
    static const char *const hosts[] = { "h", "", "[::1]", "localhost", "%2Ftmp", "[", "[]", "a,b", "[::1]x" };
    for (uint32_t n = any(3); ; n--) {
        put(t, any(10) ? hosts[any(5)] : PICK(hosts));
        if (any(2)) put(t, ":"), put(t, any(5) ? "5432" : PICK(atoms));
        if (n == 0) break;
        put(t, ",");
    }
    if (any(2)) put(t, "/"), put_value(t);
    for (uint32_t n = any(4); n > 0; n--) {
        put(t, n == 3 || any(2) ? "?" : "&");
        put(t, any(15) ? PICK(keywords) : "%68ost");
        if (any(15)) put(t, "=");
        put_value(t);
    }
}

static const char *libpq_value(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0) return options->val && *options->val ? options->val : NULL;
    fail_msg("libpq does not know %s", keyword);
    return NULL;
}

/* The n-th element of a list as libpq reads it; `one_for_all`: of a list of one element it is that. NULL: empty. */
static const char *element(const char *list, unsigned n, bool one_for_all, char *out)
{
    if (!list) return NULL;
    for (bool single = one_for_all && !strchr(list, ','); n > 0 && !single; n--) {
        const char *comma = strchr(list, ',');
        if (!comma) fail_msg("the list %s is too short", list);
        list = comma + 1;
    }
    size_t size = strcspn(list, ",");
    memcpy(out, list, size);
    out[size] = 0;
    return size ? out : NULL;
}

static unsigned elements(const char *list)
{
    unsigned n = 1;
    for (; *list; list++) n += *list == ',';
    return n;
}

static void compare(const char *text, const struct rp_conninfo *c, const PQconninfoOption *options)
{
    const char *addresses = libpq_value(options, "hostaddr"), *hosts = libpq_value(options, "host");
    const char *user = libpq_value(options, "user"), *dbname = libpq_value(options, "dbname"),
               *ports = libpq_value(options, "port");
    assert_int_equal(c->nhosts, addresses ? elements(addresses) : hosts ? elements(hosts) : 1);
    for (unsigned i = 0; i < c->nhosts; i++) {
        char buffers[3][1024];
        const char *host = element(hosts, i, false, buffers[0]), *address = element(addresses, i, false, buffers[1]);
        const char *port = element(ports, i, true, buffers[2]);
        check_text(text, "host", c->host[i].name, host ? host : address ? address : HOME);
        check_text(text, "hostaddr", c->host[i].hostaddr, address);
        assert_int_equal(c->host[i].port, port ? atoi(port) : 5432);
    }
    if (!user) user = getpwuid(geteuid())->pw_name;
    check_text(text, "user", c->user, user);
    check_text(text, "dbname", c->dbname, dbname ? dbname : user);
    check_text(text, "password", c->password, libpq_value(options, "password"));
    check_text(text, "options", c->options, libpq_value(options, "options"));
    check_text(text, "application_name", c->application_name, libpq_value(options, "application_name"));
}

/* PQconninfoParse looks at the grammar alone: where only it accepts, the reason must be a value's meaning. */
static bool is_about_meaning(const char *error)
{
    static const char *const reasons[] = { "not there yet", ": must be ", ": not a ", "\"@\" in a name",
                                           ": a socket's directory", " in the list do not match ", " at the most" };
    for (size_t i = 0; i < RP_COUNT(reasons); i++)
        if (strstr(error, reasons[i])) return true;
    return false;
}

static void like_libpq(void **state)
{
    (void)state;
    size_t both = 0, neither = 0, with_password = 0, several = 0;
    for (seed = 1; both + neither < 8000;) {
        struct text t = { .size = 0 };
        if (any(2)) make_uri(&t);
        else make_keywords(&t);
        char *message = NULL;
        PQconninfoOption *options = PQconninfoParse(t.at, &message);
        struct rp_conninfo c;
        struct pg_error error;
        int rc = rp_conninfo_parse(&c, t.at, allocate, NULL, &error);
        if (!rc && !options) fail_msg("%s: libpq refuses it: %s", t.at, message);
        if (rc && options && !is_about_meaning(pg_error_field(&error, 'M')))
            fail_msg("%s: %s", t.at, pg_error_field(&error, 'M'));
        if (!rc) {
            compare(t.at, &c, options);
            with_password += c.password != NULL;
            several += c.nhosts > 1;
            both++;
            rp_conninfo_wipe(&c, deallocate, NULL);
        }
        neither += rc && !options;
        PQconninfoFree(options);
        PQfreemem(message);
    }
    assert_true(both > 1500 && neither > 1500 && with_password > 300 &&
                several > 200); /* else the grammar tests nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(like_libpq) };
    return cmocka_run_group_tests_name("conninfo_libpq", tests, NULL, NULL);
}
#else
#include <stdio.h>

int main(void)
{
    puts("skipped: libpq is not here");
    return 77;
}
#endif
