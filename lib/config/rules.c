/* config/rules.c - what options ask of each other. Knows values, not where they
 * come from: its error texts show words of the table, and no text of the caller's. */
#include "config/conninfo.h"
#include "wire/error.h"
#include <string.h>

static const char *const sslmodes[] = { "disable", "allow", "prefer", "require", "verify-ca", "verify-full" };
static const char *const tls_versions[] = { "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", "any" };
static const char *const protocols[] = { "3.0", "3.2" };

static int check_pool(const struct rp_conninfo *c, struct pg_error *error)
{
    if (c->pool_min_conns > c->pool_max_conns)
        return rp_error_set(error, PG_E_CONFIG, "pool_min_conns: %u is above pool_max_conns, %u", c->pool_min_conns,
                            c->pool_max_conns);
    if (c->pool_min_idle_conns > c->pool_max_conns)
        return rp_error_set(error, PG_E_CONFIG, "pool_min_idle_conns: %u is above pool_max_conns, %u",
                            c->pool_min_idle_conns, c->pool_max_conns);
    if (c->pool_reserved_conns >= c->pool_max_conns)
        return rp_error_set(error, PG_E_CONFIG, "pool_reserved_conns: %u is not below pool_max_conns, %u",
                            c->pool_reserved_conns, c->pool_max_conns);
    return 0;
}

/* What would be silently weaker than it reads, as in libpq; and what can never come to a connection. */
static int check_tls(const struct rp_conninfo *c, struct pg_error *error)
{
    const char *mode = sslmodes[c->sslmode];
    if (c->sslrootcert && strcmp(c->sslrootcert, "system") == 0 && c->sslmode != RP_SSLMODE_VERIFY_FULL)
        return rp_error_set(error, PG_E_CONFIG, "sslmode=%s is too weak for sslrootcert=system: use verify-full", mode);
    if (c->sslnegotiation == RP_SSLNEGOTIATION_DIRECT && c->sslmode < RP_SSLMODE_REQUIRE)
        return rp_error_set(error, PG_E_CONFIG,
                            "sslmode=%s is too weak for sslnegotiation=direct: use require, verify-ca or verify-full",
                            mode);
    if (c->ssl_min_protocol_version > c->ssl_max_protocol_version)
        return rp_error_set(error, PG_E_CONFIG,
                            "ssl_min_protocol_version: %s is above ssl_max_protocol_version, %s",
                            tls_versions[c->ssl_min_protocol_version], tls_versions[c->ssl_max_protocol_version]);
    if (c->sslmode == RP_SSLMODE_DISABLE && c->channel_binding == RP_CHANNEL_BINDING_REQUIRE)
        return rp_error_set(error, PG_E_CONFIG, "channel_binding=require needs TLS, and sslmode=disable has none");
    if (c->sslmode == RP_SSLMODE_DISABLE && c->sslcertmode == RP_SSLCERTMODE_REQUIRE)
        return rp_error_set(error, PG_E_CONFIG, "sslcertmode=require needs TLS, and sslmode=disable has none");
    return 0;
}

int rp_conninfo_check(const struct rp_conninfo *c, struct pg_error *error)
{
    int rc = check_pool(c, error);
    if (!rc) rc = check_tls(c, error);
    if (rc) return rc;
    if (c->min_protocol_version > c->max_protocol_version)
        return rp_error_set(error, PG_E_CONFIG, "min_protocol_version: %s is above max_protocol_version, %s",
                            protocols[c->min_protocol_version], protocols[c->max_protocol_version]);
    if (c->channel_binding == RP_CHANNEL_BINDING_REQUIRE && c->auth_refused & 1u << RP_METHOD_SCRAM)
        return rp_error_set(error, PG_E_CONFIG,
                            "channel_binding=require needs scram-sha-256, which require_auth excludes");
    return 0;
}
