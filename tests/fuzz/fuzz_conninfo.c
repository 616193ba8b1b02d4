/* fuzz/fuzz_conninfo.c - any text as a connection string: no crash, no allocation for a refused one, every string
 * inside the block, its size and the numbers within their bounds. */
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "config/conninfo.h"
#include "wire/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *allocate(void *arg, size_t bytes)
{
    *(size_t *)arg = bytes;
    return malloc(bytes);
}

static void deallocate(void *arg, void *at, size_t bytes)
{
    RP_ASSERT(*(size_t *)arg == bytes);
    for (size_t i = 0; i < bytes; i++) RP_ASSERT(((char *)at)[i] == '\0');
    free(at);
}

static void check_string(const struct rp_conninfo *c, const char *s)
{
    if (!s) return;
    RP_ASSERT(s >= c->storage && s < c->storage + c->storage_size && *s != '\0');
    RP_ASSERT(s + strlen(s) < c->storage + c->storage_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';

    size_t bytes = 0;
    struct pg_error error;
    struct rp_conninfo c;
    const struct rp_memory memory = { allocate, deallocate, &bytes };
    int rc = rp_conninfo_parse(&c, text, RP_SOURCES_STRING, &memory, &error);
    if (rc) {
        RP_ASSERT(rc == PG_E_CONFIG && error.code == rc && bytes == 0 && *pg_error_field(&error, 'M') != '\0');
    } else {
        const char *const strings[] = { c.dbname,      c.user,    c.password,    c.options, c.application_name,
                                        c.client_encoding, c.sslcert, c.sslkey,  c.sslpassword, c.sslrootcert,
                                        c.sslcrl,      c.sslcrldir, c.requirepeer };
        for (size_t i = 0; i < RP_COUNT(strings); i++) check_string(&c, strings[i]);
        RP_ASSERT(c.user && c.dbname && c.nhosts >= 1 && c.nhosts <= RP_HOSTS_MAX && c.target < RP_TARGETS);
        for (uint32_t i = 0; i < c.nhosts; i++) {
            check_string(&c, c.host[i].hostaddr);
            RP_ASSERT(c.host[i].name && *c.host[i].name && !strchr(c.host[i].name, ',') && c.host[i].port > 0);
        }
        RP_ASSERT(c.storage_size <= 3 * strlen(text) + 3 * LOGIN_NAME_MAX + 64); /* a codeset's name */
        RP_ASSERT(c.pool_max_pipeline > 0 && c.pool_connecting_limit > 0);
        RP_ASSERT(c.sslmode <= RP_SSLMODE_VERIFY_FULL && c.ssl_max_protocol_version <= RP_TLS_NEWEST);
        RP_ASSERT(c.auth_refused < 1u << RP_METHODS && c.max_protocol_version <= RP_PROTOCOL_3_2);
        if (rp_conninfo_check(&c, &error) == 0) {
            RP_ASSERT(c.pool_min_conns <= c.pool_max_conns && c.pool_min_idle_conns <= c.pool_max_conns &&
                      c.pool_reserved_conns < c.pool_max_conns);
            RP_ASSERT(c.ssl_min_protocol_version <= c.ssl_max_protocol_version);
        }
    }
    rp_conninfo_wipe(&c, &memory);
    free(text);
    return 0;
}
