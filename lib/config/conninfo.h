/* config/conninfo.h - a connection string, keyword/value or URI, as values: libpq's keywords, pool_* beside them.
 *
 * Source: PostgreSQL, "Connection Strings", "Parameter Key Words", "Environment Variables", "The Password File", "The
 * Connection Service File". What counts is, first to last: the string, the service file, the environment, the default.
 * A value that is there and empty asks for the default: neither file nor environment is looked at then.
 *
 * One table lists every keyword; unknown ones are refused by name, and those of libpq's that ask for something that is
 * not built are refused with what they ask for. The password is in no error text. Knows nothing of sockets. A dbname
 * that looks like a connection string is a name like any other, as for PQconnectdb: expanding it is what
 * PQconnectdbParams does, where the name comes from a user's command line and not from a string. */
#ifndef RP_CONFIG_CONNINFO_H
#define RP_CONFIG_CONNINFO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "ringpg/error.h"
#include "wire/auth.h"
#include "wire/protocol.h"

enum { RP_HOSTS_MAX = 16 };

/* One of the hosts that may be connected to, in the order of the string. */
struct rp_conninfo_host {
    const char *name; /* a name, an address, or a directory that starts with '/' (or '@': abstract); default: hostaddr,
                       * or else /var/run/postgresql. libpq's socket in it is ".s.PGSQL.<port>" */
    const char *hostaddr; /* numeric; wins over resolving name; NULL: absent */
    const char *password; /* the password file's for this host, if nothing else has one; NULL: absent */
    uint16_t port;        /* 5432 */
};

/* Which servers of the list are good for the pool's connections; libpq's words. */
enum rp_target {
    RP_TARGET_ANY, RP_TARGET_READ_WRITE, RP_TARGET_READ_ONLY, RP_TARGET_PRIMARY, RP_TARGET_STANDBY,
    RP_TARGET_PREFER_STANDBY, RP_TARGETS
};

/* TLS, weakest first: what is at least REQUIRE never goes on without it. */
enum rp_sslmode {
    RP_SSLMODE_DISABLE, RP_SSLMODE_ALLOW, RP_SSLMODE_PREFER, RP_SSLMODE_REQUIRE, RP_SSLMODE_VERIFY_CA,
    RP_SSLMODE_VERIFY_FULL
};
enum rp_sslnegotiation { RP_SSLNEGOTIATION_POSTGRES, RP_SSLNEGOTIATION_DIRECT };
enum rp_sslcertmode { RP_SSLCERTMODE_DISABLE, RP_SSLCERTMODE_ALLOW, RP_SSLCERTMODE_REQUIRE };
enum rp_tls_version { RP_TLS_1_0, RP_TLS_1_1, RP_TLS_1_2, RP_TLS_1_3, RP_TLS_NEWEST };

/* Values point into `storage` and `secrets`, a host's default name at a constant; absent strings are NULL. Times in ns,
 * 0: none. */
struct rp_conninfo {
    struct rp_conninfo_host host[RP_HOSTS_MAX];
    uint32_t nhosts;                    /* at least 1 */
    bool sockets;                       /* at least one of them is a Unix socket's */
    const char *hosts, *hostaddrs;      /* the lists, cut into the above; NULL: absent */
    uint32_t target;                    /* enum rp_target */
    uint32_t load_balance_hosts;        /* 1: in random order */
    const char *dbname;   /* default: user */
    const char *user;     /* default: the operating system's user name */
    const char *password;
    const char *passfile;     /* as it was said; NULL: ~/.pgpass */
    char passfile_fault[256]; /* why the password file was not read, in words, where it is there or was asked for; "" */
    const char *options, *application_name, *client_encoding;
    const char *datestyle, *timezone, *geqo; /* of the environment alone: startup parameters of those names */
    uint64_t connect_timeout_ns; /* libpq's rule: seconds, below 2 means 2; 0 or absent: 0 */
    bool keepalives;
    uint32_t keepalives_idle_s, keepalives_interval_s, keepalives_count, tcp_user_timeout_ms; /* 0: the system's */

    uint32_t sslmode, sslnegotiation, sslcertmode,
        channel_binding; /* the enums above; prefer, postgres, allow, prefer */
    uint32_t ssl_min_protocol_version, ssl_max_protocol_version;    /* enum rp_tls_version; 1.2, the newest */
    bool sslsni;                                                    /* true */
    const char *sslcert, *sslkey, *sslpassword, *sslcrl, *sslcrldir;
    const char *sslrootcert; /* "system": what the system trusts; then sslmode is verify-full */
    bool outside;            /* files of the home directory may be looked at (~/.postgresql, too) */
    uint32_t min_protocol_version, max_protocol_version; /* enum rp_protocol; 3.0, 3.0 */
    uint32_t auth_refused;   /* require_auth: a bit per enum rp_method that the server may not ask for; 0: none */
    const char *requirepeer; /* who the server must run as, if it is on a Unix socket; NULL: anybody */
    uid_t peer;              /* the same, if it is not NULL and there are sockets */

    uint32_t pool_max_conns, pool_min_conns, pool_max_waiters, pool_connecting_limit, pool_max_pipeline;
    uint32_t pool_min_idle_conns, pool_reserved_conns;
    uint64_t pool_max_conn_lifetime_ns, pool_max_conn_lifetime_jitter_ns, pool_max_conn_idle_time_ns; /* 0: no limit */
    uint64_t pool_health_check_period_ns;
    uint64_t pool_acquire_timeout_ns; /* Go's durations, as pgxpool: "10s" "500ms" "1m30s"; a bare number: seconds */
    uint64_t pool_codel_target_ns, pool_codel_interval_ns; /* target 0: off */
    uint32_t pool_admission;          /* 1: on */
    uint64_t pool_leak_detection_threshold_ns; /* 0: no report */
    uint64_t pool_slow_statement_ns;           /* 20ms; 0: no statement is taken for slow by itself */
    uint64_t pool_close_linger_ns;    /* how long a teardown waits for the server's EOF; 5s */
    uint64_t pool_max_row_bytes; /* a larger row ends its query with PG_E_FULL; 16 MiB; "64kB" "16MB" "1GB" or bytes */
    uint32_t pool_max_scram_iterations; /* 1,000,000 */
    const char *pool_connect_sql, *pool_reset_sql;
    uint32_t statement_cache_capacity; /* texts built at run time that are kept; 256; 0: none */
    uint64_t statement_cache_bytes;    /* of them all, and of their columns; 256 kB */
    uint32_t prepared_statements_off;  /* 1: nothing is prepared under a name */
    char *storage, *secrets;          /* one block for all strings, one for the password file's: wiped and freed by
                                       * rp_conninfo_wipe */
    size_t storage_size, secrets_size;
};

/* As in pg_reactor_config, but neither is NULL. */
struct rp_memory {
    void *(*allocate)(void *arg, size_t bytes);
    void (*deallocate)(void *arg, void *at, size_t bytes);
    void *arg;
};

/* Where values come from: the string alone, or service file, environment and password file, too. */
enum rp_sources { RP_SOURCES_STRING, RP_SOURCES_ALL };

/* 0; PG_E_CONFIG with one sentence that names keyword and fault (`error` may be NULL), and where a bad value comes from
 * if that is not the string; -ENOMEM. Checks each value by itself, and the lists (of unequal length, of more than
 * RP_HOSTS_MAX, a NUL or an overlong socket path). `text` NULL: "". A failure leaves nothing allocated and `out`
 * zeroed, which rp_conninfo_wipe takes, too. Can block: getpwuid_r if there is no user, files. A password file that
 * cannot be used is no failure, as for libpq: a server that asks for no password needs none. */
int rp_conninfo_parse(struct rp_conninfo *out, const char *text, enum rp_sources sources,
                      const struct rp_memory *memory, struct pg_error *error);
/* The contradictions: pool_min_conns or pool_min_idle_conns above pool_max_conns, pool_reserved_conns not below it;
 * what TLS options ask of each other. By itself, so that a caller who has better values puts them in first. 0;
 * PG_E_CONFIG as above. */
int rp_conninfo_check(const struct rp_conninfo *c, struct pg_error *error);
/* A file in the home directory: HOME, or else what the system says. False: there is none, or no room for its name. */
bool rp_environment_home(char *path, size_t size, const char *file);
void rp_conninfo_wipe(struct rp_conninfo *c, const struct rp_memory *memory);

#endif
