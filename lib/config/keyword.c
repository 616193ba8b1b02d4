/* config/keyword.c - the one table of keywords: what each is called, what its value may be, where it goes.
 *
 * All of libpq's are here. What is not built is here, too, so that it is refused by name: a value that asks for nothing
 * passes (sslmode=prefer: plaintext, as with a libpq without TLS), one that asks for something does not
 * (sslmode=require). Owns nothing. Invariant: an error text shows a value only if the table has it. */
#include "config/piece.h"
#include "wire/check.h"
#include "wire/error.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum kind {
    TEXT,     /* as it is                                                                          */
    LIST,     /* text, looked at by hosts.c                                                        */
    PORTS,    /* the same, and goes nowhere from here                                              */
    SWITCH,   /* bool: a number, 0 is off                                                          */
    SECONDS,  /* uint64_t ns: libpq's timeout, negative is 0 and 1 is 2                            */
    NATURAL,  /* uint32_t: libpq's number, negative is 0                                           */
    COUNT,    /* uint32_t                                                                          */
    DURATION, /* uint64_t ns                                                                       */
    BYTES,    /* uint64_t                                                                          */
    CHOICE,   /* goes nowhere: one of `accepted`; of `refused`, named with `why`; else refused     */
    ONE_OF,   /* uint32_t: which of `accepted`                                                     */
};

struct keyword {
    const char *name;
    enum kind kind;
    bool secret;
    size_t field;
    uint64_t min, max;
    const char *range;       /* min and max in the user's units */
    const char *accepted[6]; /* beside "" */
    const char *refused[6];
    const char *why;
};

#define S (UINT64_C(1000000000))
#define FIELD(f) .field = offsetof(struct rp_conninfo, f)
#define RANGE(low, high) .min = (low), .max = (high), .range = #low " to " #high
#define YEAR .max = 8760 * 3600 * S, .range = "0 to 8760h"
#define TLS "TLS is not there yet"
#define GSS "GSSAPI is not there yet"
#define LATER "not there yet"
#define NOT_A_DURATION "not a duration such as 10s, 500ms or 1m30s"
#define NOT_A_SIZE "not a size such as 4096, 64kB or 16MB"
#define NEEDS(name_, what) { name_, CHOICE, .why = (what) }                   /* only empty           */
#define NEEDS_OFF(name_, what) { name_, CHOICE, .accepted = { "0" }, .why = (what) } /* only empty or 0 */

static const struct keyword table[] = {
    [RP_KEY_HOST] = { "host", LIST, FIELD(hosts) },
    [RP_KEY_HOSTADDR] = { "hostaddr", LIST, FIELD(hostaddrs) },
    [RP_KEY_PORT] = { .name = "port", .kind = PORTS },
    [RP_KEY_DBNAME] = { "dbname", TEXT, FIELD(dbname) },
    [RP_KEY_USER] = { "user", TEXT, FIELD(user) },
    [RP_KEY_PASSWORD] = { "password", TEXT, .secret = true, FIELD(password) },
    [RP_KEY_APPLICATION_NAME] = { "application_name", TEXT, FIELD(application_name) },
    [RP_KEY_FALLBACK_APPLICATION_NAME] = { "fallback_application_name", TEXT, FIELD(application_name) },
    [RP_KEY_OTHERS] = { "options", TEXT, FIELD(options) },
    { "client_encoding", TEXT, FIELD(client_encoding) },
    { "connect_timeout", SECONDS, FIELD(connect_timeout_ns), RANGE(0, 2147483647) },
    { "keepalives", SWITCH, FIELD(keepalives), .max = INT_MAX, .range = "0 or 1" },
    { "keepalives_idle", NATURAL, FIELD(keepalives_idle_s), RANGE(0, 32767) }, /* these three: Linux' own bounds */
    { "keepalives_interval", NATURAL, FIELD(keepalives_interval_s), RANGE(0, 32767) },
    { "keepalives_count", NATURAL, FIELD(keepalives_count), RANGE(0, 127) },
    { "tcp_user_timeout", NATURAL, FIELD(tcp_user_timeout_ms), RANGE(0, 2147483647) },

    { "pool_max_conns", COUNT, FIELD(pool_max_conns), RANGE(1, 10000) },
    { "pool_min_conns", COUNT, FIELD(pool_min_conns), RANGE(0, 10000) },
    { "pool_min_idle_conns", COUNT, FIELD(pool_min_idle_conns), RANGE(0, 10000) },
    { "pool_reserved_conns", COUNT, FIELD(pool_reserved_conns), RANGE(0, 9999) },
    { "pool_max_conn_lifetime", DURATION, FIELD(pool_max_conn_lifetime_ns), YEAR },
    { "pool_max_conn_lifetime_jitter", DURATION, FIELD(pool_max_conn_lifetime_jitter_ns), YEAR },
    { "pool_max_conn_idle_time", DURATION, FIELD(pool_max_conn_idle_time_ns), YEAR },
    { "pool_health_check_period", DURATION, FIELD(pool_health_check_period_ns), .min = S / 1000, .max = 8760 * 3600 * S,
      .range = "1ms to 8760h" },
    { "pool_max_waiters", COUNT, FIELD(pool_max_waiters), RANGE(1, 100000000) },
    { "pool_connecting_limit", COUNT, FIELD(pool_connecting_limit), RANGE(1, 10000) },
    { "pool_max_pipeline", COUNT, FIELD(pool_max_pipeline), RANGE(1, 1024) },
    { "pool_acquire_timeout", DURATION, FIELD(pool_acquire_timeout_ns), YEAR },
    { "pool_codel_target", DURATION, FIELD(pool_codel_target_ns), .max = 3600 * S, .range = "0 to 1h" },
    { "pool_codel_interval", DURATION, FIELD(pool_codel_interval_ns), .min = S / 1000, .max = 3600 * S,
      .range = "1ms to 1h" },
    { "pool_admission", ONE_OF, FIELD(pool_admission), .accepted = { "off", "on" } },
    { "pool_close_linger", DURATION, FIELD(pool_close_linger_ns), .max = 3600 * S, .range = "0 to 1h" },
    { "pool_leak_detection_threshold", DURATION, FIELD(pool_leak_detection_threshold_ns), YEAR },
    { "pool_slow_statement", DURATION, FIELD(pool_slow_statement_ns), .max = 3600 * S, .range = "0 to 1h" },
    { "pool_connect_sql", TEXT, FIELD(pool_connect_sql) },
    { "pool_reset_sql", TEXT, FIELD(pool_reset_sql) },
    { "pool_max_row_bytes", BYTES, FIELD(pool_max_row_bytes), .min = 1 << 10, .max = 1 << 30, .range = "1kB to 1GB" },
    { "pool_max_scram_iterations", COUNT, FIELD(pool_max_scram_iterations), RANGE(1, 100000000) },

    NEEDS("passfile", "password files are not there yet"),
    NEEDS("service", "service files are not there yet"),
    { "sslmode", CHOICE, .accepted = { "disable", "allow", "prefer" },
      .refused = { "require", "verify-ca", "verify-full" }, .why = TLS },
    { "sslnegotiation", CHOICE, .accepted = { "postgres" }, .refused = { "direct" }, .why = TLS },
    { "sslsni", CHOICE, .accepted = { "0", "1" }, .why = TLS }, /* without a handshake neither asks for anything */
    { "sslcompression", CHOICE, .accepted = { "0" }, .why = TLS },
    NEEDS("sslcert", TLS),
    NEEDS("sslkey", TLS),
    NEEDS("sslrootcert", TLS),
    NEEDS("sslcrl", TLS),
    NEEDS("sslcrldir", TLS),
    { "sslpassword", CHOICE, .secret = true, .why = TLS },
    NEEDS("ssl_min_protocol_version", TLS),
    NEEDS("ssl_max_protocol_version", TLS),
    { "gssencmode", CHOICE, .accepted = { "disable", "prefer" }, .refused = { "require" }, .why = GSS },
    NEEDS("krbsrvname", GSS),
    NEEDS("gsslib", GSS),
    NEEDS_OFF("gssdelegation", GSS),
    { "channel_binding", CHOICE, .accepted = { "disable", "prefer" }, .refused = { "require" }, .why = TLS },
    NEEDS("require_auth", LATER),
    NEEDS("requirepeer", LATER),
    { "min_protocol_version", CHOICE, .accepted = { "3.0" }, .refused = { "3.2", "latest" },
      .why = "protocol 3.2 is not there yet" },
    { "max_protocol_version", CHOICE, .accepted = { "3.0", "3.2", "latest" } }, /* 3.0 is within all of them */
    { "target_session_attrs", ONE_OF, FIELD(target), /* in the order of enum rp_target */
      .accepted = { "any", "read-write", "read-only", "primary", "standby", "prefer-standby" } },
    { "load_balance_hosts", ONE_OF, FIELD(load_balance_hosts), .accepted = { "disable", "random" } },
    { "replication", CHOICE, .accepted = { "false", "off", "no", "0" },
      .refused = { "true", "on", "yes", "1", "database" }, .why = LATER },
    NEEDS_OFF("statement_cache_capacity", LATER),
};
_Static_assert(RP_COUNT(table) <= RP_KEYWORDS_MAX, "struct rp_pieces has a place for every keyword");

int rp_keyword_find(const char *name, size_t size)
{
    for (size_t i = 0; i < RP_COUNT(table); i++)
        if (strlen(table[i].name) == size && memcmp(table[i].name, name, size) == 0) return (int)i;
    return -1;
}

const char *rp_keyword_name(int keyword)
{
    RP_ASSERT(keyword >= 0 && (size_t)keyword < RP_COUNT(table));
    return table[keyword].name;
}

bool rp_keyword_is_secret(int keyword)
{
    RP_ASSERT(keyword >= 0 && (size_t)keyword < RP_COUNT(table));
    return table[keyword].secret;
}

/* ---- one check for each kind; values come unescaped, and shorter than `small` below unless they are text ---- */

static int refuse(const struct keyword *k, const char *fault, struct pg_error *error)
{
    return rp_error_set(error, PG_E_CONFIG, "%s: %s", k->name, fault);
}

static int refuse_range(const struct keyword *k, struct pg_error *error)
{
    return rp_error_set(error, PG_E_CONFIG, "%s: must be %s", k->name, k->range);
}

static int check_choice(const struct keyword *k, const char *value, void *field, struct pg_error *error)
{
    char list[96] = "";
    for (size_t i = 0; i < RP_COUNT(k->accepted) && k->accepted[i]; i++) {
        if (strcmp(value, k->accepted[i]) == 0) {
            if (k->kind == ONE_OF) *(uint32_t *)field = (uint32_t)i;
            return 0;
        }
        size_t size = strlen(list);
        snprintf(list + size, sizeof list - size, "%s%s", i ? ", " : "", k->accepted[i]);
    }
    for (size_t i = 0; i < RP_COUNT(k->refused) && k->refused[i]; i++)
        if (strcmp(value, k->refused[i]) == 0)
            return rp_error_set(error, PG_E_CONFIG, "%s=%s: %s", k->name, k->refused[i], k->why);
    if (k->why && !k->refused[0]) return refuse(k, k->why, error);
    return rp_error_set(error, PG_E_CONFIG, "%s: must be one of %s", k->name, list);
}

static int check_integer(const struct keyword *k, const char *value, void *field, struct pg_error *error)
{
    int64_t n = 0;
    enum rp_number rc = rp_number_integer(value, &n);
    if (rc == RP_NUMBER_GARBAGE) return refuse(k, "not a number", error);
    if (n < 0 && (k->kind == NATURAL || k->kind == SECONDS)) n = 0;
    if (n < 0 && k->kind == SWITCH) n = 1;
    if (rc == RP_NUMBER_RANGE || n < 0 || (uint64_t)n < k->min || (uint64_t)n > k->max) return refuse_range(k, error);
    switch (k->kind) {
    case SWITCH: *(bool *)field = n != 0; break;
    case SECONDS: *(uint64_t *)field = (n == 1 ? 2 : (uint64_t)n) * S; break;
    default: *(uint32_t *)field = (uint32_t)n; break;
    }
    return 0;
}

static int check_amount(const struct keyword *k, const char *value, void *field, struct pg_error *error)
{
    uint64_t n = 0;
    bool duration = k->kind == DURATION;
    enum rp_number rc = duration ? rp_number_duration(value, &n) : rp_number_bytes(value, &n);
    if (rc == RP_NUMBER_GARBAGE)
        return refuse(k, duration ? NOT_A_DURATION : NOT_A_SIZE, error);
    if (rc == RP_NUMBER_RANGE || n < k->min || n > k->max) return refuse_range(k, error);
    *(uint64_t *)field = n;
    return 0;
}

static int check(const struct keyword *k, struct rp_piece piece, struct rp_conninfo *out, struct pg_error *error)
{
    char small[128];
    void *field = (char *)out + k->field;
    if (k->kind <= PORTS) return 0;
    if (!rp_piece_copy(piece, small, sizeof small)) strcpy(small, "?"); /* nothing that is right is that long */
    int rc;
    switch (k->kind) {
    case CHOICE:
    case ONE_OF: rc = check_choice(k, small, field, error); break;
    case DURATION:
    case BYTES: rc = check_amount(k, small, field, error); break;
    default: rc = check_integer(k, small, field, error); break;
    }
    explicit_bzero(small, sizeof small); /* sslpassword was here, or what a slip of the pen made of a password */
    return rc;
}

int rp_keyword_apply(const struct rp_pieces *pieces, struct rp_conninfo *out, struct pg_error *error)
{
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        if (pieces->of[i].size == 0) continue;
        int rc = check(&table[i], pieces->of[i], out, error);
        if (rc) return rc;
    }
    return 0;
}

void rp_keyword_texts(const struct rp_pieces *pieces, struct rp_conninfo *out,
                      void (*text)(void *arg, struct rp_piece piece, const char **field), void *arg)
{
    for (size_t i = 0; i < RP_COUNT(table); i++)
        if (table[i].kind <= LIST && pieces->of[i].size > 0)
            text(arg, pieces->of[i], (const char **)(void *)((char *)out + table[i].field));
}
