/* ringpg/pool.h - N connections of one reactor, two lanes over one queue. Reactor thread only, except where it says:
 * any thread.
 *
 * Lease lane: pg_pool_acquire gives an exclusive connection, for transactions and session state. Shared lane:
 * pg_pool_query pipelines one statement (or one batch) on a connection that others use at the same time; this is where
 * the speed is. Both wait in one first-in-first-out queue: nobody who comes later is served earlier. Two kinds have a
 * queue of their own, first in, first out, too: leases of high priority (health checks, administration) in front of it,
 * and slow statements (pg_pool_query) beside it. */
#ifndef RINGPG_POOL_H
#define RINGPG_POOL_H
#include "budget.h"
#include "query.h"
#include "reactor.h"
#include "stats.h"
#ifdef __cplusplus
extern "C" {
#endif

struct pg_pool;
struct pg_lease;
struct pg_hook;

/* What happened without a caller who could be told. */
enum pg_event_kind {
    PG_EVENT_CONNECTED, PG_EVENT_CONNECT_FAILED, PG_EVENT_LOST,
    PG_EVENT_RETIRED, /* the pool closed a healthy connection for a reason of its own; not when it closes as a whole */
    PG_EVENT_NOTICE,
    PG_EVENT_LISTEN_FAILED, /* the server refused a LISTEN (ringpg/listen.h); it is said again after a delay */
    PG_EVENT_POOLER, /* prepared statements are gone, or there, without our doing, twice within a minute: probably
                      * somebody gives each transaction another backend (PgBouncer's transaction mode), who needs
                      * prepared_statements=off; once in the pool's life, and nothing changes by itself. Until then each
                      * was repaired outside of transactions, and failed with 26000 or 42P05 inside of them */
    PG_EVENT_LEAK /* a lease is held longer than pool_leak_detection_threshold; once per lease */
};
struct pg_event {
    enum pg_event_kind kind;
    const struct pg_error *error;                    /* a view, NULL for CONNECTED: dies when on_event returns.
                                                      * RETIRED: PG_E_CLOSED, and the text says for which reason */
    const char *host;                                /* the same; "host:port" or the socket's path; of LEAK ""
                                                      * if the lease has lost its connection */
    const char *tag;                                 /* LEAK: the lease's, which may be NULL                   */
    uint64_t held_ns;                                /* LEAK: for how long so far                              */
};

struct pg_pool_config {
    size_t size;                                     /* sizeof this struct                                     */
    const char *conninfo;                            /* keyword/value or URI, copied; NULL: "" (libpq's defaults).
                                                      * What it does not say is looked for in a service file, in the
                                                      * PG* environment and, if it is the password, in a password
                                                      * file: see PG_POOL_STRING_ONLY                           */
    uint32_t max_conns, min_conns, max_waiters;      /* not 0: wins over the string                            */
    void (*on_event)(void *arg, const struct pg_event *); /* from a turn or a completion; may be NULL          */
    void *arg;
    /* SQL that the pool runs itself, by the simple protocol, so that it may be several statements; copied. NULL: the
     * string's pool_connect_sql, pool_reset_sql; "": none. Both must leave no transaction open.
     * connect_sql: on every new connection before anybody has it ("SET search_path = app"); part of the connect, within
     * connect_timeout: if it fails the connect has failed, and on_event and those who wait are told why. */
    const char *connect_sql;
    /* When a lease is over, behind the ROLLBACK where one is needed, before the next one has the connection ("DISCARD
     * ALL"; "RESET ALL; SELECT pg_advisory_unlock_all()"). Not after a lease that ran nothing, nor on the shared lane.
     * If it fails or takes longer than pool_close_linger, the connection is closed (PG_EVENT_LOST). RESET and DISCARD
     * ALL also undo what connect_sql has SET; say it here once more, or set it by `options` in the string, which a
     * RESET goes back to. DISCARD ALL stands alone (the server refuses it among several) and each statement is
     * prepared anew on its next use. */
    const char *reset_sql;
    /* nwarm statements, prepared on every new connection behind connect_sql, in one flight; one that fails fails the
     * connect. The array is copied. 0: each is prepared on its first use. With prepared_statements=off none is. */
    struct pg_statement *const *warm;
    size_t nwarm;
    /* Hooks, each of which may be NULL; `arg` is the one above. See pg_hook_done. */
    void (*before_connect)(void *arg, struct pg_hook *hook);
    void (*after_connect)(void *arg, struct pg_hook *hook, struct pg_lease *lease);
    void (*prepare_conn)(void *arg, struct pg_hook *hook, struct pg_lease *lease);
    void (*after_release)(void *arg, struct pg_hook *hook, struct pg_lease *lease);
    void (*before_close)(void *arg, struct pg_hook *hook, struct pg_lease *lease);
    struct pg_budget *budget;                        /* NULL: none; outlives the pool                          */
    uint32_t flags;                                  /* PG_POOL_*                                              */
    /* Reads along: every message of every connection, both ways, as a line of text in the style of libpq's PQtrace with
     * PQTRACE_REGRESS_MODE and PQTRACE_SUPPRESS_TIMESTAMPS (README, "A wire trace"), which is what is said inside of
     * TLS, too. NULL: off. `text` has no NUL at its end, is a view that dies when the call returns, and a piece of a
     * line, or all of it: a line ends with "\n", and between its pieces no other's come. `connection` counts the
     * sockets that the pool has opened, from 1. Passwords, hashes and SASL's bytes are left out; SQL, parameters and
     * rows are not, so that a trace is as secret as they are. From a turn or a completion, in the middle of what the
     * connection does: it may call nothing of this pool. Each connection takes 16 KiB more. `arg` is the one above. */
    void (*trace)(void *arg, uint64_t connection, const char *text, size_t size);
};
/* pg_pool_config.flags: nothing counts but the connection string. Without it the rest is libpq's, read once, when the
 * pool opens: the section of a service (`service`, PGSERVICE) in ~/.pg_service.conf, PGSERVICEFILE or the system's
 * pg_service.conf; the PG* variables of the environment; ~/.pgpass or `passfile` (PGPASSFILE), in which each host of a
 * list has its own line. What stands earlier in "string, service, environment, default" wins, and a value that is there
 * and empty asks for the default. A password file that others may read is passed over, and an error says so when a
 * server asks for a password. With it `service` and `passfile` in the string are refused. */
#define PG_POOL_STRING_ONLY 1u
/* Every member is named, so that C++ compilers have nothing to warn of. */
#define PG_POOL_CONFIG(conninfo_)                                                                                      \
    { .size = sizeof(struct pg_pool_config), .conninfo = (conninfo_), .max_conns = 0, .min_conns = 0,                  \
      .max_waiters = 0, .on_event = NULL, .arg = NULL, .connect_sql = NULL, .reset_sql = NULL, .warm = NULL,           \
      .nwarm = 0, .before_connect = NULL, .after_connect = NULL, .prepare_conn = NULL, .after_release = NULL,          \
      .before_close = NULL, .budget = NULL, .flags = 0, .trace = NULL }

/* Parses, checks, reads service and password file, resolves the hosts' names (getaddrinfo: that can block) and a user's
 * (requirepeer), allocates everything that the capacities add up to; no other I/O: connections are made by the turns
 * that follow. PG_E_CONFIG: the option is named in `error` (may be NULL), the password never; PG_E_UNAVAILABLE: no
 * host's name can be resolved (each is resolved again, which can block a turn, whenever all of its known addresses have
 * failed, but the first time one must succeed); PG_E_CLOSED: the reactor is closing; -ENOMEM. With a budget PG_E_CONFIG
 * also says that the reactor's host has no `wake`, that the sum of what is sure for its pools would exceed its bound,
 * or that 256 pools share it already (ringpg/budget.h). Of several hosts, and of what target_session_attrs asks of
 * them: README. Options beside libpq's (README, "The connection string"): pool_max_conns 4, pool_min_conns 0,
 * pool_min_idle_conns 0, pool_reserved_conns 0, pool_max_conn_lifetime 1h, pool_max_conn_lifetime_jitter 0,
 * pool_max_conn_idle_time 30m, pool_health_check_period 1m, pool_acquire_timeout 10s, pool_max_waiters 10000,
 * pool_codel_target 0, pool_codel_interval 100ms, pool_admission off, pool_connecting_limit 4, pool_max_pipeline 64,
 * pool_slow_statement 20ms, pool_leak_detection_threshold 0, pool_close_linger 5s, pool_max_row_bytes 16MB,
 * pool_max_scram_iterations 1000000; pool_connect_sql and pool_reset_sql as connect_sql and reset_sql above. */
int pg_pool_open(struct pg_pool **out, struct pg_reactor *reactor, const struct pg_pool_config *config,
                 struct pg_error *error) PG_WARN_UNUSED;

/* A hook is called from a turn, never inside a call, and has its connection for itself until it ends with pg_hook_done:
 * inside of the hook or at any later time, exactly once. Meanwhile it may run queries on `lease` (all that a held lease
 * can do, except to release or abandon it: that asserts); they must have ended, or be abandoned, before pg_hook_done.
 * The connection counts against max_conns throughout. `status`: 0, go on; anything else, as follows.
 *
 *  before_connect  before each connect, with pg_hook_set. Not 0: the connect has failed.
 *  after_connect   on a new connection, behind connect_sql and warm. Not 0: it is closed, the connect has failed.
 *                  A connect that failed is told to on_event and tried again after a delay; with PG_E_CONFIG it ends
 *                  those who wait at once, like a wrong password.
 *  prepare_conn    on an idle connection before a lease gets it; leases only, never for statements of the shared lane.
 *                  Not 0: it is closed (PG_EVENT_RETIRED), and the same waiter gets another one; after a delay, or
 *                  from another host, if it was new and nobody had had it. Who waits keeps its place and its deadline
 *                  meanwhile, and as many are checked at once as leases stand at the head.
 *                  pg_pool_try_acquire gives PG_E_REFUSED where there is this hook, since it cannot wait.
 *  after_release   when a lease is over, behind the ROLLBACK and before reset_sql; also when prepare_conn had ended
 *                  well and nobody waited any more. Not 0: it is closed (PG_EVENT_RETIRED).
 *  before_close    on a healthy connection with nothing in flight that the pool closes for its age, for being idle, by
 *                  reset or resize, or when the pool closes; not on one that a hook or a failed reset condemned. The
 *                  status does not matter.
 *
 * A hook that leaves a transaction open has failed. One that takes too long has, too: connect_timeout for the first two
 * (from the connect's begin for after_connect), pool_close_linger for the others. Then, and when the connection is lost
 * or the pool closed meanwhile, the connection goes without waiting for the hook: queries on its lease end with
 * PG_E_LOST or PG_E_CLOSED, and pg_hook_done, which still has to come, does nothing. After on_closed the handle is gone
 * with the pool. Reactor thread; any callback may call both functions. */
void pg_hook_done(struct pg_hook *hook, int status);
/* For this connect only, inside of before_connect or until its pg_hook_done: "user", "password", "dbname", "options",
 * "application_name", in the place of the connection string's. The value is copied, and a password wiped as soon as the
 * session is up or the connect has failed. 0; PG_E_PARAMETER: another keyword, or a value that is NULL, has more than
 * 512 bytes (a password: 4096), or a line break where it goes into the startup message. */
int pg_hook_set(struct pg_hook *hook, const char *keyword, const char *value) PG_WARN_UNUSED;

/* New work is refused (PG_E_CLOSED); what is queued or out goes on until `drain_until_ns` (0: not at all) and is then
 * ended with PG_E_CLOSED. on_closed (may be NULL) runs last, exactly once, from a turn; the handle is gone when it
 * returns. Again: shortens the deadline; the first on_closed stays. Any callback may call it. Leases that are held then
 * stay so, on nothing, until they are returned; that must happen before pg_reactor_free. */
void pg_pool_close(struct pg_pool *pool, uint64_t drain_until_ns, void (*on_closed)(void *arg), void *arg);

/* The pool makes its min_conns by itself, in the background; this tells when they are up. `on_warm` (may be NULL: then
 * nothing is awaited) runs exactly once, from a turn, never inside the call, if this returned 0. Its status: 0,
 * min_conns connections stand; PG_E_TIMEOUT, PG_E_UNAVAILABLE: not before `deadline_ns` (0: pool_acquire_timeout from
 * now; PG_NEVER), and in the second case the last connect had failed (on_event told why); PG_E_UNAVAILABLE also at
 * once, when the server says what it will say again, such as a wrong password; PG_E_CLOSED. Several may be awaited at a
 * time. Any callback may call it. Returns 0, PG_E_CLOSED, or -ENOMEM: then no callback comes. */
int pg_pool_warm(struct pg_pool *pool, uint64_t deadline_ns, void (*on_warm)(void *arg, int status),
                 void *arg) PG_WARN_UNUSED;

/* Other bounds from now on, any callback may call it. Growing serves those who wait at once, as far as connecting goes.
 * Shrinking closes idle connections at once, those that are being made when they stand, lets shared ones run dry, and
 * takes leased ones back when they are returned: until then there are more than max_conns, but never more than there
 * were. Memory of connections is allocated when max_conns exceeds all that it was before, and freed with the pool.
 * Returns 0; PG_E_CONFIG: max_conns is 0 or above 10000, or min_conns above it or more than the pool's budget can make
 * sure; PG_E_CLOSED; -ENOMEM; then nothing has changed. */
int pg_pool_resize(struct pg_pool *pool, uint32_t min_conns, uint32_t max_conns) PG_WARN_UNUSED;
/* No connection that exists now is used by anyone who comes later: idle ones are closed at once, those that are being
 * made when they stand, shared ones when what runs on them has ended, leased ones when they are returned. New ones take
 * their places as they are needed. Nothing that runs is disturbed, but that listeners are told of the change
 * (listen.h). After a failover or a change of roles and settings. Any callback may call it; of a pool that is closing
 * it does nothing. */
void pg_pool_reset(struct pg_pool *pool);
/* No grants, no statements to connections, and no new connections until pg_pool_resume. Who comes is parked, who waits
 * keeps place and deadline (PG_E_TIMEOUT then); leases that are held and statements that run go on. Both are
 * idempotent, any callback may call them. Closing the pool ends it, since what is queued is to be served. */
void pg_pool_suspend(struct pg_pool *pool);
void pg_pool_resume(struct pg_pool *pool);

/* Shared lane. A statement joins the connection with the least work to be expected; one that is started from another
 * one's on_done that one's, unless fewer are in flight elsewhere or half the work is. One that is slow, or a batch with
 * one that is (declared PG_STATEMENT_SLOW, or longer than pool_slow_statement beyond what the shortest take, on the
 * average; half of that makes it fast again), runs on a connection alone, if there are two that are not leased: of
 * these slow ones may have what the fast ones do not keep, who keep one for each that is in flight, one at least, half
 * at the most. The next slow ones wait in a queue of their own, first in, first out; fast ones overtake them on
 * connections that are shared, and an idle connection goes to whoever of all waits longest. Success requires that the
 * server is outside of a transaction afterwards; BEGIN, SET, LISTEN, COPY, PREPARE, DECLARE and the like are refused
 * with PG_E_NEEDS_LEASE where they can be recognised, and destroy the connection where not. */
void pg_pool_query(struct pg_pool *pool, struct pg_query *query);

#define PG_STRING_(x) #x
#define PG_STRING(x) PG_STRING_(x)
#define PG_HERE __FILE__ ":" PG_STRING(__LINE__)

/* pg_lease.priority; any other value asserts. HIGH stands before all that is NORMAL, is counted by itself against
 * pool_max_waiters, and may have the last pool_reserved_conns connections: of max_conns normal leases and statements
 * together never have more than max_conns - pool_reserved_conns, those of theirs that are being closed included. What
 * is reserved and not made yet is made when a high lease comes (with a budget it has to wait for it like any other).
 * High leases that are more than are reserved take from the others, and too many of them starve the normal ones. At
 * least one connection is for the normal ones, also after a resize and while the server lets in fewer. */
enum { PG_PRIORITY_NORMAL = 0, PG_PRIORITY_HIGH = 1 };

/* Lease lane: one struct from parking to release; the caller's memory, zero-initialised once, reusable after release,
 * abandon or a grant with a status other than 0. */
struct pg_lease {
    void (*on_grant)(struct pg_lease *, int status); /* exactly once, never inside the acquire; 0: it is held.
                                                      * PG_E_TIMEOUT, PG_E_UNAVAILABLE (error->text names the last
                                                      * cause), PG_E_REFUSED (the queue is full, standing, or too
                                                      * slow for the deadline: the text says which), PG_E_CLOSED */
    uint64_t deadline_ns;                            /* for the acquire; 0: pool_acquire_timeout; PG_NEVER     */
    const char *tag;                                 /* PG_HERE; for reports; not copied                       */
    struct pg_error *error;                          /* may be NULL                                            */
    void *data;                                      /* the caller's                                           */
    uint32_t priority;                               /* PG_PRIORITY_*                                          */
    uint64_t private_[14];
};
/* Parks until a connection is granted. No error return: refusal comes through on_grant. */
void pg_pool_acquire(struct pg_pool *pool, struct pg_lease *lease);
/* 0: held, on_grant is not called; PG_E_REFUSED: nothing idle that it may have, others wait (for a high one: other high
 * ones), suspended, or there is a prepare_conn hook; PG_E_CLOSED. Never parks. */
int pg_pool_try_acquire(struct pg_pool *pool, struct pg_lease *lease) PG_WARN_UNUSED;
/* Pipelined in order behind what the lease already runs; pool_max_pipeline in flight, one more ends with PG_E_FULL. The
 * lease must be held, else it asserts. One whose connection died stays held until it is released, and its queries end
 * with PG_E_LOST. */
void pg_lease_query(struct pg_lease *lease, struct pg_query *query);
/* Held and nothing in flight, else it asserts. An open transaction is rolled back before the next one gets the
 * connection; session state (SET, LISTEN, temporary tables, advisory locks) stays, unless the pool's reset_sql removes
 * it. */
void pg_lease_release(struct pg_lease *lease);
/* Any state, idempotent: parked, held, queries in flight (they are abandoned, what runs is cancelled at the server). No
 * callback of lease or queries comes after it returned. For destructors and clients that hang up. */
void pg_lease_abandon(struct pg_lease *lease);
/* 'I' idle, 'T' in a transaction, 'E' in a failed one, as of the last ReadyForQuery; 0: not held or the connection is
 * lost. */
char pg_lease_transaction(const struct pg_lease *lease);
/* A ParameterStatus of the lease's server ("server_version"), a view that lives until the lease's next query ends;
 * NULL: unknown, not held, or not among those kept (server_version server_encoding client_encoding DateStyle TimeZone
 * standard_conforming_strings integer_datetimes in_hot_standby default_transaction_read_only is_superuser). */
const char *pg_lease_parameter(const struct pg_lease *lease, const char *name);

/* Gauges, counters and histograms. Names as in pgxpool.Stat. Connections that are being checked, reset or closed are in
 * total_conns alone; those that are being made ready are constructing_conns. */
struct pg_pool_stats {
    size_t size;                                     /* in: sizeof this struct                              */
    uint32_t max_conns, total_conns, idle_conns, acquired_conns, shared_conns, constructing_conns; /* now   */
    uint32_t pending, max_pending;                   /* waiters parked: now, and the most so far            */
    uint32_t solo_conns;          /* of shared_conns: those with one slow statement each */
    uint32_t effective_max_conns; /* less than max_conns after the server refused one as too many (class 53, 57P03): the
                                   * pool makes no more for the time being, and rises again by itself */
    uint64_t acquire_count, acquire_duration_ns;     /* leases granted, and the sum of their waits          */
    uint64_t empty_acquire_count,
        empty_acquire_wait_ns; /* of both lanes: those that had to park and were served, sum of waits */
    uint64_t canceled_acquire_count, timeout_count, refused_count; /* of both lanes; refused: the queue was full */
    uint64_t overload_count;      /* refused in the queue, since it was standing (pool_codel_target)        */
    uint64_t not_admitted_count;  /* refused at the door, since they would have waited in vain (pool_admission) */
    uint64_t query_count;                            /* outcomes given, of both lanes                       */
    uint64_t new_conns_count, lost_conns_count, connect_failed_count; /* connections made, lost, not made   */
    uint64_t abandoned_count; /* connections closed though the server had not let go of them within
                               * pool_close_linger: its backends may run on          */
    uint64_t maxwait_ns;                             /* the longest wait of those that were served          */
    uint64_t max_lifetime_destroy_count, max_idle_destroy_count; /* closed for their age, for being idle too long */
    uint64_t retired_count;   /* these and all others that the pool closed though they were healthy: PG_EVENT_RETIRED */
    uint64_t leak_count;                             /* leases held beyond pool_leak_detection_threshold    */
    uint64_t nested_acquire_count; /* pg_await_acquire that timed out while its own fiber held another lease of the
                                    * pool (one whose struct is a local of it): enough of them wait for each other */
    struct pg_histogram wait;    /* those that had to park and were served: empty_acquire_count, ..._wait_ns */
    struct pg_histogram hold;    /* leases that were returned: from grant to release or abandon              */
    struct pg_histogram connect; /* connections that were made: new_conns_count; all addresses tried         */
    struct pg_histogram query;   /* outcomes, failures too: query_count; from the start, parking included    */
};
/* Any thread, without a lock, while the pool is there (until on_closed; see to it that nobody reads after that). On the
 * reactor's thread as of now, on any other as of the end of the last turn that changed something; either way all of it
 * as of one moment: total_conns is never below idle_conns + acquired_conns, query.count is query_count. A smaller
 * `size` gets that many bytes. */
void pg_pool_stats(const struct pg_pool *pool, struct pg_pool_stats *out);

/* The same as text for Prometheus (exposition format 0.0.4, text/plain), with OpenTelemetry's names; README,
 * "Watching it". Any thread. Like snprintf: writes at most `capacity` bytes, the last of them a NUL, and returns how
 * long the whole is without it; `out` may be NULL if `capacity` is 0. It may be longer next time; 64 KiB are enough. */
size_t pg_pool_metrics(const struct pg_pool *pool, char *out, size_t capacity);
/* Of several pools: each metric's name once, a line per pool, told apart by their labels: `reactor="0"`, several with
 * commas, copied as they are; NULL: none. 32 KiB per pool, and as many for the whole, are enough. */
struct pg_metrics_source { const struct pg_pool_stats *stats; const char *labels; };
size_t pg_stats_metrics(const struct pg_metrics_source *sources, size_t count, char *out, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
