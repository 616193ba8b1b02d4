/* pool/secure.c - what a pool's sslmode means for each of its hosts: which ways are tried, and the TLS state that their
 * connections share. Must never know bytes, nor what OpenSSL does. Source: PostgreSQL, "SSL Support", table "SSL Mode
 * Descriptions". A Unix socket's host has no TLS, whatever is asked for, as in libpq: nobody sits in between. */
#include "pool/state.h"

static const enum rp_way ways[][2] = {
    [RP_SSLMODE_DISABLE] = { RP_WAY_PLAIN, RP_WAY_NONE },
    [RP_SSLMODE_ALLOW] = { RP_WAY_PLAIN, RP_WAY_DEMANDED },
    [RP_SSLMODE_PREFER] = { RP_WAY_OFFERED, RP_WAY_PLAIN },
    [RP_SSLMODE_REQUIRE] = { RP_WAY_DEMANDED, RP_WAY_NONE },
    [RP_SSLMODE_VERIFY_CA] = { RP_WAY_DEMANDED, RP_WAY_NONE },
    [RP_SSLMODE_VERIFY_FULL] = { RP_WAY_DEMANDED, RP_WAY_NONE },
};

/* TLS's own number of a version, 0 for no bound. */
static int version_of(uint32_t version) { return version == RP_TLS_NEWEST ? 0 : 0x0301 + (int)version; }

static int open_tls(struct pg_pool *pool, struct pg_error *error)
{
    static const enum rp_tls_cert modes[] = { [RP_SSLCERTMODE_DISABLE] = RP_TLS_CERT_NEVER,
                                              [RP_SSLCERTMODE_ALLOW] = RP_TLS_CERT_IF_ASKED,
                                              [RP_SSLCERTMODE_REQUIRE] = RP_TLS_CERT_MUST_BE_ASKED };
    const struct rp_conninfo *i = &pool->info;
    char folder[1024];
    bool there = i->outside && rp_environment_home(folder, sizeof folder, ".postgresql");
    const struct rp_tls_options options = {
        .verify = i->sslmode == RP_SSLMODE_VERIFY_FULL ? RP_TLS_VERIFY_FULL
                  : i->sslmode == RP_SSLMODE_VERIFY_CA ? RP_TLS_VERIFY_CA
                                                       : RP_TLS_VERIFY_NOTHING,
        .cert_mode = modes[i->sslcertmode],
        .rootcert = i->sslrootcert, .cert = i->sslcert, .key = i->sslkey, .crl = i->sslcrl,
        .crldir = i->sslcrldir, .key_password = i->sslpassword,
        .min_version = version_of(i->ssl_min_protocol_version), .max_version = version_of(i->ssl_max_protocol_version),
        .sni = i->sslsni, .direct = i->sslnegotiation == RP_SSLNEGOTIATION_DIRECT, .folder = there ? folder : NULL,
    };
    return rp_tls_open(&pool->tls, &options, error);
}

int rp_secure_open(struct pg_pool *pool, struct pg_error *error)
{
    const struct rp_conninfo *i = &pool->info;
    int rc = 0;
    for (uint32_t n = 0; n < pool->hosts.count && !rc; n++) {
        struct rp_host *host = &pool->hosts.at[n];
        if (i->sslmode == RP_SSLMODE_DISABLE || rp_host_is_socket(host)) continue;
        if (!pool->tls && (rc = open_tls(pool, error))) continue;
        host->tls = (struct rp_tls_peer){ .tls = pool->tls, .name = host->info->name };
        host->secured = (struct rp_security){ .transform = { rp_tls_make, &host->tls } };
        memcpy(host->secured.way, ways[i->sslmode], sizeof host->secured.way);
        if (i->sslnegotiation == RP_SSLNEGOTIATION_DIRECT) host->secured.way[0] = RP_WAY_DIRECT;
        host->security = &host->secured;
    }
    return rc;
}

void rp_secure_close(struct pg_pool *pool)
{
    for (uint32_t n = 0; pool->hosts.at && n < pool->hosts.count; n++) rp_tls_peer_forget(&pool->hosts.at[n].tls);
    rp_tls_close(pool->tls);
    pool->tls = NULL;
}
