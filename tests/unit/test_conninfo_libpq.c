/* unit/test_conninfo_libpq.c - libpq as the oracle of connection strings: what both accept, both read alike; what
 * libpq's grammar refuses is refused here; and what is refused here alone is refused for its meaning. The strings come
 * from a seeded grammar that is wrong often enough. */
#ifdef RINGPG_TEST_LIBPQ
#include "libpq.h"

/* Each with words that it may have; others are put in anyway. */
static const struct { const char *name, *words[5]; } keywords[] = {
    { "host", { NULL } },
    { "port", { NULL } },
    { "user", { NULL } },
    { "dbname", { NULL } },
    { "password", { NULL } },
    { "options", { NULL } },
    { "application_name", { NULL } },
    { "fallback_application_name", { NULL } },
    { "hostaddr", { NULL } },
    { "client_encoding", { "UTF8", "latin1" } },
    { "passfile", { NULL } },
    { "service", { NULL } },
    { "connect_timeout", { "0", "1", "2", "-1", "+30" } },
    { "keepalives", { "0", "1", "-1" } },
    { "keepalives_idle", { "7" } },
    { "keepalives_interval", { "8", "-1" } },
    { "keepalives_count", { "9" } },
    { "tcp_user_timeout", { "1000" } },
    { "sslmode", { "disable", "allow", "prefer", "require", "verify-full" } },
    { "sslcompression", { "0" } },
    { "sslcert", { NULL } },
    { "sslkey", { NULL } },
    { "sslpassword", { NULL } },
    { "sslrootcert", { NULL } },
    { "sslcrl", { NULL } },
    { "sslcrldir", { NULL } },
    { "sslsni", { "0", "1" } },
    { "requirepeer", { "root", "daemon" } },
    { "ssl_min_protocol_version", { "TLSv1", "tlsv1.1", "TLSv1.2" } },
    { "ssl_max_protocol_version", { "TLSV1.3", "TLSv1.2" } },
    { "channel_binding", { "disable", "prefer", "require" } },
    { "gssencmode", { "disable", "prefer" } },
    { "krbsrvname", { "postgres" } },
    { "gsslib", { "gssapi" } },
    { "replication", { "false", "0", "off" } },
    { "target_session_attrs", { "any", "read-write", "standby", "prefer-standby" } },
    { "hots", { NULL } },
};
static const char *const atoms[] = { "a",         "B7",     "5432",     "1", "db", "/tmp", "::1",
                                     "127.0.0.1", "prefer", "\xc3\xa4", "-", "_",  ".",    "any", ",", "::2,::1" };
static const char *const specials[] = { " ", "'", "\\", "=", "%41", "%2f", "%",  "%4",  "%zz", "@", ":",
                                        "/", "?", "&",  ",", "[",   "]",   "\t", "%00", "\\'", "+" };

static void put_value(struct text *t, size_t keyword)
{
    const char *word = keyword < RP_COUNT(keywords) ? PICK(keywords[keyword].words) : NULL;
    if (word && any(8)) put(t, word);
    else for (uint32_t n = any(4); n > 0; n--) put(t, any(6) ? PICK(atoms) : PICK(specials));
}

/* The first ones more often: they are in every string that people write. */
static size_t pick_keyword(void) { return any(2) ? any(9) : any(RP_COUNT(keywords)); }
enum { NO_KEYWORD = 1000 };

static void make_keywords(struct text *t)
{
    for (uint32_t n = any(7); n > 0; n--) {
        size_t keyword = pick_keyword();
        put(t, keywords[keyword].name);
        put(t, any(10) ? "=" : any(3) ? " = " : " ");
        bool quoted = any(3) == 0;
        if (quoted) put(t, "'");
        put_value(t, keyword);
        if (quoted && any(20)) put(t, "'");
        put(t, any(12) ? " " : "");
    }
}

static void make_uri(struct text *t)
{
    put(t, any(2) ? "postgresql://" : "postgres://");
    if (any(2)) {
        put_value(t, NO_KEYWORD);
        if (any(2)) put(t, ":"), put_value(t, NO_KEYWORD);
        if (any(12)) put(t, "@");
    }
    static const char *const hosts[] = { "h", "", "[::1]", "localhost", "%2Ftmp", "[", "[]", "a,b", "[::1]x" };
    for (uint32_t n = any(3); ; n--) {
        put(t, any(10) ? hosts[any(5)] : PICK(hosts));
        if (any(2)) put(t, ":"), put(t, any(5) ? "5432" : PICK(atoms));
        if (n == 0) break;
        put(t, ",");
    }
    if (any(2)) put(t, "/"), put_value(t, NO_KEYWORD);
    for (uint32_t n = any(4), first = 1; n > 0; n--, first = 0) {
        size_t keyword = pick_keyword();
        put(t, first ? any(12) ? "?" : "&" : any(12) ? "&" : "?");
        put(t, any(15) ? keywords[keyword].name : any(2) ? "%68ost" : "ssl=true&user");
        if (any(15)) put(t, "=");
        put_value(t, keyword);
    }
}

static void like_libpq(void **state)
{
    (void)state;
    size_t both = 0, neither = 0, with_password = 0, several = 0, with_tls = 0;
    forget_environment();
    setenv("HOME", "/nonexistent", 1);
    for (seed = 1; both + neither < 12000;) {
        struct text t = { .size = 0 };
        if (any(2)) make_uri(&t);
        else make_keywords(&t);
        char *message = NULL;
        PQconninfoOption *options = PQconninfoParse(t.at, &message);
        struct rp_conninfo c;
        struct pg_error error;
        int rc = rp_conninfo_parse(&c, t.at, RP_SOURCES_ALL, &memory, &error);
        if (!rc && !options) fail_msg("%s: libpq refuses it: %s", t.at, message);
        if (rc && options && !is_about_meaning(pg_error_field(&error, 'M')))
            fail_msg("%s: %s", t.at, pg_error_field(&error, 'M'));
        if (!rc) {
            compare(t.at, &c, options);
            with_password += c.password != NULL;
            several += c.nhosts > 1;
            with_tls += c.sslmode != RP_SSLMODE_PREFER || c.sslcert || c.ssl_max_protocol_version != RP_TLS_NEWEST;
            both++;
            rp_conninfo_wipe(&c, &memory);
        }
        neither += rc && !options;
        PQconninfoFree(options);
        PQfreemem(message);
    }
    assert_true(both > 2500 && neither > 2500 && with_password > 400 && several > 300 &&
                with_tls > 300); /* else the grammar tests nothing */
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
