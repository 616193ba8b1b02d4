/* libpq.h - what the tests begin with that have libpq as their oracle: a seeded source of chance, text that is put
 * together, and the comparison of what both read. Included by test_conninfo_libpq*.c. */
#ifndef UNIT_LIBPQ_H
#define UNIT_LIBPQ_H
#include <pwd.h>
#include <strings.h>
#include <unistd.h>
#include <libpq-fe.h>
#include "conninfo.h"

#define HOME "/var/run/postgresql"

static uint64_t seed;
static inline uint32_t any(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % below;
}
#define PICK(list) (list)[any(RP_COUNT(list))]

struct text { char at[4096]; size_t size; };
static inline void put(struct text *t, const char *s)
{
    size_t size = strlen(s);
    if (t->size + size < sizeof t->at) memcpy(t->at + t->size, s, size + 1), t->size += size;
}

/* NULL: absent. */
static inline const char *libpq_raw(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0) return options->val;
    fail_msg("libpq does not know %s", keyword);
    return NULL;
}
static inline const char *libpq_value(const PQconninfoOption *options, const char *keyword)
{
    const char *value = libpq_raw(options, keyword);
    return value && *value ? value : NULL;
}

/* The n-th element of a list as libpq reads it; `one_for_all`: of a list of one element it is that. NULL: empty. */
static inline const char *element(const char *list, unsigned n, bool one_for_all, char *out)
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

static inline unsigned elements(const char *list)
{
    unsigned n = 1;
    for (; *list; list++) n += *list == ',';
    return n;
}

static inline void compare_hosts(const char *text, const struct rp_conninfo *c, const PQconninfoOption *options)
{
    const char *addresses = libpq_value(options, "hostaddr"), *hosts = libpq_value(options, "host");
    const char *ports = libpq_value(options, "port");
    assert_int_equal(c->nhosts, addresses ? elements(addresses) : hosts ? elements(hosts) : 1);
    for (unsigned i = 0; i < c->nhosts; i++) {
        char buffers[3][4096];
        const char *host = element(hosts, i, false, buffers[0]), *address = element(addresses, i, false, buffers[1]);
        const char *port = element(ports, i, true, buffers[2]);
        check_text(text, "host", c->host[i].name, host ? host : address ? address : HOME);
        check_text(text, "hostaddr", c->host[i].hostaddr, address);
        assert_int_equal(c->host[i].port, port ? atoi(port) : 5432);
    }
}

static inline void compare_texts(const char *text, const struct rp_conninfo *c, const PQconninfoOption *options)
{
    const struct { const char *keyword, *value; } texts[] = {
        { "password", c->password },       { "options", c->options },         { "passfile", c->passfile },
        { "sslcert", c->sslcert },         { "sslkey", c->sslkey },           { "sslpassword", c->sslpassword },
        { "sslrootcert", c->sslrootcert }, { "sslcrl", c->sslcrl },           { "sslcrldir", c->sslcrldir },
        { "requirepeer", c->requirepeer }, { "client_encoding", c->client_encoding },
    };
    for (size_t i = 0; i < RP_COUNT(texts); i++)
        check_text(text, texts[i].keyword, texts[i].value, libpq_value(options, texts[i].keyword));
    const char *user = libpq_value(options, "user"), *dbname = libpq_value(options, "dbname");
    if (!user) user = getpwuid(geteuid())->pw_name;
    check_text(text, "user", c->user, user);
    check_text(text, "dbname", c->dbname, dbname ? dbname : user);
    const char *name = libpq_raw(options, "application_name");
    if (!name) name = libpq_raw(options, "fallback_application_name");
    check_text(text, "application_name", c->application_name, name && *name ? name : NULL);
}

static inline void compare_words(const char *text, const struct rp_conninfo *c, const PQconninfoOption *options)
{
    static const char *const sslmodes[] = { "disable", "allow", "prefer", "require", "verify-ca", "verify-full" };
    static const char *const bindings[] = { "disable", "prefer", "require" };
    static const char *const versions[] = { "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", "" };
    static const char *const targets[] = { "any", "read-write", "read-only", "primary", "standby", "prefer-standby" };
    const struct { const char *keyword, *is, *otherwise; } words[] = {
        { "sslmode", sslmodes[c->sslmode], "prefer" },
        { "channel_binding", bindings[c->channel_binding], "prefer" },
        { "ssl_min_protocol_version", versions[c->ssl_min_protocol_version], "TLSv1.2" },
        { "ssl_max_protocol_version", versions[c->ssl_max_protocol_version], "" },
        { "target_session_attrs", targets[c->target], "any" },
    };
    for (size_t i = 0; i < RP_COUNT(words); i++) {
        const char *said = libpq_value(options, words[i].keyword), *expected = said ? said : words[i].otherwise;
        if (strcasecmp(words[i].is, expected) != 0)
            fail_msg("%s: %s is %s, expected %s", text, words[i].keyword, words[i].is, expected);
    }
}

/* libpq's atoi-like numbers; below 0 is 0. */
static inline void compare_numbers(const char *text, const struct rp_conninfo *c, const PQconninfoOption *options)
{
    const struct { const char *keyword; uint64_t is; int otherwise; bool is_switch; } numbers[] = {
        { "keepalives", c->keepalives, 1, true },
        { "sslsni", c->sslsni, 1, true },
        { "keepalives_idle", c->keepalives_idle_s, 0, false },
        { "keepalives_interval", c->keepalives_interval_s, 0, false },
        { "keepalives_count", c->keepalives_count, 0, false },
        { "tcp_user_timeout", c->tcp_user_timeout_ms, 0, false },
    };
    for (size_t i = 0; i < RP_COUNT(numbers); i++) {
        const char *said = libpq_value(options, numbers[i].keyword);
        int n = said ? atoi(said) : numbers[i].otherwise;
        uint64_t expected = numbers[i].is_switch ? n != 0 : n < 0 ? 0 : n;
        if (numbers[i].is != expected)
            fail_msg("%s: %s is %ju, expected %ju", text, numbers[i].keyword, (uintmax_t)numbers[i].is,
                     (uintmax_t)expected);
    }
    const char *timeout = libpq_value(options, "connect_timeout");
    int seconds = timeout ? atoi(timeout) : 0;
    if (c->connect_timeout_ns / 1000000000 != (uint64_t)(seconds <= 0 ? 0 : seconds == 1 ? 2 : seconds))
        fail_msg("%s: connect_timeout", text);
}

static inline void compare(const char *text, const struct rp_conninfo *c, const PQconninfoOption *options)
{
    compare_hosts(text, c, options);
    compare_texts(text, c, options);
    compare_words(text, c, options);
    compare_numbers(text, c, options);
}

/* PQconninfoParse looks at the grammar alone: where only it accepts, the reason must be a value's meaning. */
static inline bool is_about_meaning(const char *error)
{
    static const char *const reasons[] = {
        "not there yet",
        ": must be ",
        ": not a ",
        "\"@\" in a name",
        ": a socket's directory",
        " in the list do not match ",
        " at the most",
        ": a line break",
        "service: its section is neither",
        "compression under TLS",
        "the operating system has no user",
    };
    for (size_t i = 0; i < RP_COUNT(reasons); i++)
        if (strstr(error, reasons[i])) return true;
    return false;
}

#endif
