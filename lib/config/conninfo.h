/* config/conninfo.h - a connection string, keyword/value or URI, as values: libpq's keywords, pool_* beside them.
 *
 * Source: PostgreSQL, "Connection Strings" and "Parameter Key Words". One table lists every keyword; unknown ones are
 * refused by name, and those of libpq's that ask for something that is not built are refused with what they ask for.
 * Knows nothing of sockets; the password is in no error text. Not read: PG* environment variables, ~/.pgpass, service
 * files. */
#ifndef RP_CONFIG_CONNINFO_H
#define RP_CONFIG_CONNINFO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ringpg/error.h"

enum { RP_HOSTS_MAX = 16 };

/* One of the hosts that may be connected to, in the order of the string. */
struct rp_conninfo_host {
    const char *name; /* a name, an address, or a directory that starts with '/' (or '@': abstract); default: hostaddr,
                       * or else /var/run/postgresql. libpq's socket in it is ".s.PGSQL.<port>" */
    const char *hostaddr; /* numeric; wins over resolving name; NULL: absent */
    uint16_t port;        /* 5432 */
};

/* Which servers of the list are good for the pool's connections; libpq's words. */
enum rp_target {
    RP_TARGET_ANY, RP_TARGET_READ_WRITE, RP_TARGET_READ_ONLY, RP_TARGET_PRIMARY, RP_TARGET_STANDBY,
    RP_TARGET_PREFER_STANDBY, RP_TARGETS
};

/* Values point into `storage`, a host's default name at a constant; absent strings are NULL. Times in ns, 0: none. */
struct rp_conninfo {
    struct rp_conninfo_host host[RP_HOSTS_MAX];
    uint32_t nhosts;                    /* at least 1 */
    const char *hosts, *hostaddrs;      /* the lists, cut into the above; NULL: absent */
    uint32_t target;                    /* enum rp_target */
    uint32_t load_balance_hosts;        /* 1: in random order */
    const char *dbname;   /* default: user */
    const char *user;     /* default: the operating system's user name */
    const char *password;
    const char *options, *application_name, *client_encoding;
    uint64_t connect_timeout_ns; /* libpq's rule: seconds, below 2 means 2; 0 or absent: 0 */
    bool keepalives;
    uint32_t keepalives_idle_s, keepalives_interval_s, keepalives_count, tcp_user_timeout_ms; /* 0: the system's */
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
    char *storage;                    /* one block for all strings: wiped and freed by rp_conninfo_wipe */
    size_t storage_size;
};

/* 0; PG_E_CONFIG with one sentence that names keyword and fault (`error` may be NULL); -ENOMEM. Checks each value by
 * itself, and the lists (of unequal length, of more than RP_HOSTS_MAX, a NUL or an overlong socket path). `text` NULL:
 * "". `allocate` as in pg_reactor_config but not NULL; called once, after all checks: a failure leaves nothing to free
 * and `out` zeroed, which rp_conninfo_wipe takes, too. Can block: getpwuid_r, if there is no user. */
int rp_conninfo_parse(struct rp_conninfo *out, const char *text, void *(*allocate)(void *arg, size_t bytes), void *arg,
                      struct pg_error *error);
/* The contradictions: pool_min_conns or pool_min_idle_conns above pool_max_conns, pool_reserved_conns not below it. By
 * itself, so that a caller who has better values puts them in first. 0; PG_E_CONFIG as above. */
int rp_conninfo_check(const struct rp_conninfo *c, struct pg_error *error);
void rp_conninfo_wipe(struct rp_conninfo *c, void (*deallocate)(void *arg, void *at, size_t bytes), void *arg);

#endif
