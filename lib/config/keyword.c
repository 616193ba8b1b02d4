/* config/keyword.c - the one table of keywords: what each is called, what its value may be, where it goes, which
 * variable of the environment stands for it.
 *
 * All of libpq's are here. What is not built is here, too, so that it is refused by name: a value that asks for nothing
 * passes (gssencmode=prefer, as with a libpq without GSSAPI), one that asks for something does not. Owns nothing.
 * Invariant: an error text shows a value only if the table has it. */
#include "config/piece.h"
#include "wire/check.h"
#include "wire/error.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#define S (UINT64_C(1000000000))
#define FIELD(f) .field = offsetof(struct rp_conninfo, f)
#define RANGE(low, high) .min = (low), .max = (high), .range = #low " to " #high
#define YEAR .max = 8760 * 3600 * S, .range = "0 to 8760h"
#define GSS "GSSAPI is not there yet"
#define LATER "not there yet"

const struct rp_option rp_options[] = {
    [RP_KEY_HOST] = { "host", "PGHOST", RP_LIST, FIELD(hosts) },
    [RP_KEY_HOSTADDR] = { "hostaddr", "PGHOSTADDR", RP_LIST, FIELD(hostaddrs) },
    [RP_KEY_PORT] = { "port", "PGPORT", .kind = RP_PORTS },
    [RP_KEY_DBNAME] = { "dbname", "PGDATABASE", RP_TEXT, .startup = true, FIELD(dbname) },
    [RP_KEY_USER] = { "user", "PGUSER", RP_TEXT, .startup = true, FIELD(user) },
    [RP_KEY_PASSWORD] = { "password", "PGPASSWORD", RP_TEXT, .secret = true, FIELD(password) },
    [RP_KEY_APPLICATION_NAME] = { "application_name", "PGAPPNAME", RP_TEXT, .startup = true, FIELD(application_name) },
    [RP_KEY_FALLBACK_APPLICATION_NAME] = { "fallback_application_name", NULL, RP_TEXT, .startup = true,
                                           FIELD(application_name) },
    [RP_KEY_CLIENT_ENCODING] = { "client_encoding", "PGCLIENTENCODING", RP_TEXT, .startup = true,
                                 FIELD(client_encoding) },
    [RP_KEY_SERVICE] = { "service", "PGSERVICE", .kind = RP_IGNORED }, /* service.c looks at it */
    [RP_KEY_PASSFILE] = { "passfile", "PGPASSFILE", RP_TEXT, FIELD(passfile) },
    [RP_KEY_SSLMODE] = { "sslmode", "PGSSLMODE", RP_ONE_OF, FIELD(sslmode), /* as enum rp_sslmode; so those below */
                         .accepted = { "disable", "allow", "prefer", "require", "verify-ca", "verify-full" } },
    [RP_KEY_REQUIREPEER] = { "requirepeer", "PGREQUIREPEER", RP_TEXT, FIELD(requirepeer) },
    [RP_KEY_OTHERS] = { "options", "PGOPTIONS", RP_TEXT, .startup = true, FIELD(options) },
    { "connect_timeout", "PGCONNECT_TIMEOUT", RP_SECONDS, FIELD(connect_timeout_ns), RANGE(0, 2147483647) },
    { "keepalives", NULL, RP_SWITCH, FIELD(keepalives), .max = INT_MAX, .range = "0 or 1" },
    { "keepalives_idle", NULL, RP_NATURAL, FIELD(keepalives_idle_s), RANGE(0, 32767) }, /* three of Linux' bounds */
    { "keepalives_interval", NULL, RP_NATURAL, FIELD(keepalives_interval_s), RANGE(0, 32767) },
    { "keepalives_count", NULL, RP_NATURAL, FIELD(keepalives_count), RANGE(0, 127) },
    { "tcp_user_timeout", NULL, RP_NATURAL, FIELD(tcp_user_timeout_ms), RANGE(0, 2147483647) },
    { "target_session_attrs", "PGTARGETSESSIONATTRS", RP_ONE_OF, FIELD(target),
      .accepted = { "any", "read-write", "read-only", "primary", "standby", "prefer-standby" } },
    { "load_balance_hosts", "PGLOADBALANCEHOSTS", RP_ONE_OF, FIELD(load_balance_hosts),
      .accepted = { "disable", "random" } },
    { "datestyle", "PGDATESTYLE", RP_TEXT, .startup = true, .unsaid = true, FIELD(datestyle) },
    { "timezone", "PGTZ", RP_TEXT, .startup = true, .unsaid = true, FIELD(timezone) },
    { "geqo", "PGGEQO", RP_TEXT, .startup = true, .unsaid = true, FIELD(geqo) },

    { "sslnegotiation", "PGSSLNEGOTIATION", RP_ONE_OF, FIELD(sslnegotiation), .accepted = { "postgres", "direct" } },
    { "sslcert", "PGSSLCERT", RP_TEXT, FIELD(sslcert) },
    { "sslkey", "PGSSLKEY", RP_TEXT, FIELD(sslkey) },
    { "sslpassword", NULL, RP_TEXT, .secret = true, FIELD(sslpassword) },
    { "sslcertmode", "PGSSLCERTMODE", RP_ONE_OF, FIELD(sslcertmode), .accepted = { "disable", "allow", "require" } },
    { "sslrootcert", "PGSSLROOTCERT", RP_TEXT, FIELD(sslrootcert) },
    { "sslcrl", "PGSSLCRL", RP_TEXT, FIELD(sslcrl) },
    { "sslcrldir", "PGSSLCRLDIR", RP_TEXT, FIELD(sslcrldir) },
    { "sslsni", "PGSSLSNI", RP_SWITCH, FIELD(sslsni), .max = 1, .range = "0 or 1" },
    { "sslcompression", "PGSSLCOMPRESSION", RP_CHOICE, .accepted = { "0" }, .refused = { "1" },
      .why = "compression under TLS is not offered" },
    { "ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", RP_ANY_CASE, FIELD(ssl_min_protocol_version),
      .accepted = { "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" } },
    { "ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", RP_ANY_CASE, FIELD(ssl_max_protocol_version),
      .accepted = { "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" } },
    { "channel_binding", "PGCHANNELBINDING", RP_ONE_OF, FIELD(channel_binding),
      .accepted = { "disable", "prefer", "require" } },
    { "require_auth", "PGREQUIREAUTH", RP_METHODS_OF, FIELD(auth_refused) },
    { "gssencmode", "PGGSSENCMODE", RP_CHOICE, .accepted = { "disable", "prefer" }, .refused = { "require" },
      .why = GSS },
    { "krbsrvname", "PGKRBSRVNAME", .kind = RP_IGNORED },
    { "gsslib", "PGGSSLIB", .kind = RP_IGNORED },
    { "gssdelegation", "PGGSSDELEGATION", RP_CHOICE, .accepted = { "0" }, .refused = { "1" }, .why = GSS },
    { "min_protocol_version", "PGMINPROTOCOLVERSION", RP_ONE_OF, FIELD(min_protocol_version),
      .accepted = { "3.0", "3.2", "latest" } },
    { "max_protocol_version", "PGMAXPROTOCOLVERSION", RP_ONE_OF, FIELD(max_protocol_version),
      .accepted = { "3.0", "3.2", "latest" } },
    { "replication", NULL, RP_CHOICE, .accepted = { "false", "off", "no", "0" },
      .refused = { "true", "on", "yes", "1", "database" }, .why = LATER },

    { "pool_max_conns", NULL, RP_AMOUNT, FIELD(pool_max_conns), RANGE(1, 10000) },
    { "pool_min_conns", NULL, RP_AMOUNT, FIELD(pool_min_conns), RANGE(0, 10000) },
    { "pool_min_idle_conns", NULL, RP_AMOUNT, FIELD(pool_min_idle_conns), RANGE(0, 10000) },
    { "pool_reserved_conns", NULL, RP_AMOUNT, FIELD(pool_reserved_conns), RANGE(0, 9999) },
    { "pool_max_conn_lifetime", NULL, RP_DURATION, FIELD(pool_max_conn_lifetime_ns), YEAR },
    { "pool_max_conn_lifetime_jitter", NULL, RP_DURATION, FIELD(pool_max_conn_lifetime_jitter_ns), YEAR },
    { "pool_max_conn_idle_time", NULL, RP_DURATION, FIELD(pool_max_conn_idle_time_ns), YEAR },
    { "pool_health_check_period", NULL, RP_DURATION, FIELD(pool_health_check_period_ns), .min = S / 1000,
      .max = 8760 * 3600 * S, .range = "1ms to 8760h" },
    { "pool_max_waiters", NULL, RP_AMOUNT, FIELD(pool_max_waiters), RANGE(1, 100000000) },
    { "pool_connecting_limit", NULL, RP_AMOUNT, FIELD(pool_connecting_limit), RANGE(1, 10000) },
    { "pool_max_pipeline", NULL, RP_AMOUNT, FIELD(pool_max_pipeline), RANGE(1, 1024) },
    { "pool_acquire_timeout", NULL, RP_DURATION, FIELD(pool_acquire_timeout_ns), YEAR },
    { "pool_codel_target", NULL, RP_DURATION, FIELD(pool_codel_target_ns), .max = 3600 * S, .range = "0 to 1h" },
    { "pool_codel_interval", NULL, RP_DURATION, FIELD(pool_codel_interval_ns), .min = S / 1000, .max = 3600 * S,
      .range = "1ms to 1h" },
    { "pool_admission", NULL, RP_ONE_OF, FIELD(pool_admission), .accepted = { "off", "on" } },
    { "pool_close_linger", NULL, RP_DURATION, FIELD(pool_close_linger_ns), .max = 3600 * S, .range = "0 to 1h" },
    { "pool_leak_detection_threshold", NULL, RP_DURATION, FIELD(pool_leak_detection_threshold_ns), YEAR },
    { "pool_slow_statement", NULL, RP_DURATION, FIELD(pool_slow_statement_ns), .max = 3600 * S, .range = "0 to 1h" },
    { "pool_connect_sql", NULL, RP_TEXT, FIELD(pool_connect_sql) },
    { "pool_reset_sql", NULL, RP_TEXT, FIELD(pool_reset_sql) },
    { "pool_max_row_bytes", NULL, RP_BYTES, FIELD(pool_max_row_bytes), .min = 1 << 10, .max = 1 << 30,
      .range = "1kB to 1GB" },
    { "pool_max_scram_iterations", NULL, RP_AMOUNT, FIELD(pool_max_scram_iterations), RANGE(1, 100000000) },

    { "prepared_statements", NULL, RP_ONE_OF, FIELD(prepared_statements_off), .accepted = { "on", "off" } },
    { "statement_cache_capacity", NULL, RP_AMOUNT, FIELD(statement_cache_capacity), RANGE(0, 10000) },
    { "statement_cache_bytes", NULL, RP_BYTES, FIELD(statement_cache_bytes), .min = 1 << 10, .max = 1 << 30,
      .range = "1kB to 1GB" },
};
const int rp_noptions = RP_COUNT(rp_options);
_Static_assert(RP_COUNT(rp_options) <= RP_KEYWORDS_MAX, "struct rp_pieces has a place for every keyword");

int rp_keyword_find(const char *name, size_t size)
{
    for (int i = 0; i < rp_noptions; i++)
        if (!rp_options[i].unsaid && strlen(rp_options[i].name) == size && memcmp(rp_options[i].name, name, size) == 0)
            return i;
    return -1;
}

const char *rp_keyword_name(int keyword)
{
    RP_ASSERT(keyword >= 0 && keyword < rp_noptions);
    return rp_options[keyword].name;
}

bool rp_keyword_is_secret(int keyword)
{
    RP_ASSERT(keyword >= 0 && keyword < rp_noptions);
    return rp_options[keyword].secret;
}

int rp_keyword_refuse(const struct rp_pieces *pieces, int keyword, struct pg_error *error, const char *format, ...)
{
    const struct rp_option *o = &rp_options[keyword];
    enum rp_origin origin = pieces->of[keyword].origin;
    const char *from = origin == RP_FROM_ENVIRONMENT ? o->variable
                       : origin == RP_FROM_SERVICE   ? "the service file"
                                                     : "";
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!*from) return rp_error_set(error, PG_E_CONFIG, "%s%s", o->name, text);
    return rp_error_set(error, PG_E_CONFIG, "%s%s (from %s)", o->name, text, from);
}
