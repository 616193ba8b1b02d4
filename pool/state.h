/* pool/state.h - the pool as its own files see it: slots, the one queue, and the rules that move them.
 *
 *      pg_pool_acquire, pg_pool_query -> waiting (one FIFO, high ones before it) -> dispatch -> slot -> connection
 *                                                outcome, grant <- ended (what is decided and still to be told)
 *
 * A slot is a place for one connection. It moves only by rp_slot_move, which knows the legal transitions and keeps
 * lists and counts together:
 *
 *      FREE (-> ASKING) -> CONNECTING -> PREPARING -> IDLE     FREE: nothing there; all other states count
 *      IDLE <-> SHARED <-> DRAINING                            DRAINING: takes no more statements, a lease waits for it
 *       |        |  \------> RETIRING                          RETIRING: the same, since it is to be closed
 *       |        \-> STALLED -> IDLE                           STALLED: the same, until what was given up has passed
 *       \(-> CHECKING) -> LEASED -> RESETTING -> IDLE          CHECKING, if nobody waits any more -> RESETTING
 *      PREPARING -> LISTENING                               the one of the pool's listeners (listen.c), in no list
 *      all that come to rest (-> PARTING) -> CLOSING
 *      all but FREE -> CLOSING -> FREE
 *
 * In ASKING, PREPARING, CHECKING, RESETTING and PARTING the pool and its hooks do their chores on it (chore.c).
 *
 * Slots are allocated one by one and never move in memory: a host holds pointers into them. There are as many as the
 * largest max_conns so far; how many may be in use at once is what pool_max_conns says now.
 *
 * Callbacks of the caller run from rp_pool_tell (the ended list), from grants in dispatch, and from outcomes and rows
 * on a connection; each of them is the last thing done in its step, and nothing is held across it. */
#ifndef RP_POOL_STATE_H
#define RP_POOL_STATE_H
#include "config/conninfo.h"
#include "conn/cancel.h"
#include "conn/conn.h"
#include "conn/query.h"
#include "conn/texts.h"
#include "pool/budget.h"
#include "pool/hosts.h"
#include "pool/listen.h"
#include "pool/overload.h"
#include "pool/published.h"
#include "reactor/probe.h"

enum rp_slot_state {
    RP_SLOT_FREE, RP_SLOT_ASKING, RP_SLOT_CONNECTING, RP_SLOT_PREPARING, RP_SLOT_IDLE, RP_SLOT_SOLO, RP_SLOT_SHARED,
    RP_SLOT_DRAINING, RP_SLOT_RETIRING, RP_SLOT_STALLED, RP_SLOT_CHECKING, RP_SLOT_LEASED, RP_SLOT_RESETTING,
    RP_SLOT_LISTENING, RP_SLOT_PARTING, RP_SLOT_CLOSING, RP_SLOT_STATES
};

/* Why the pool closes a healthy connection (PG_EVENT_RETIRED); their texts stand in life.c. */
enum rp_reason {
    RP_REASON_NONE, RP_REASON_LIFETIME, RP_REASON_IDLE, RP_REASON_RESET, RP_REASON_RESIZE, RP_REASON_ROLE,
    RP_REASON_BUDGET, RP_REASON_BESIDE, RP_REASON_UNHEARD,
    RP_REASON_PREPARE_CONN, RP_REASON_AFTER_RELEASE, /* a hook refused it */
    RP_REASONS
};

/* role.c: what one connection knows of its server. */
enum rp_fact { RP_FACT_UNKNOWN, RP_FACT_NO, RP_FACT_YES };
struct rp_role {
    uint64_t generation;   /* of the host when the connection came up        */
    enum rp_fact standby;  /* as it was then, by in_hot_standby              */
    enum rp_fact told;     /* the answer to what was asked last              */
    bool writable;         /* it was known to be when it came up             */
    bool doubted;          /* 25006 was seen: it is asked before anybody else gets the connection */
    bool asking;           /* in the midst of others' statements             */
    bool misfit;           /* by its session's own state: retired            */
};

/* login.c: who the connection is to be, by before_connect. */
enum { RP_LOGIN_USER, RP_LOGIN_PASSWORD, RP_LOGIN_VALUES = 5, RP_LOGIN_MOST = 512, RP_LOGIN_PASSWORD_MOST = 4096 };
struct rp_login {
    struct rp_session_config session; /* the host's, with what was changed */
    struct rp_pair startup[10];
    char value[RP_LOGIN_VALUES][RP_LOGIN_MOST + 1]; /* but the password's */
    char password[RP_LOGIN_PASSWORD_MOST + 1];      /* tokens are long */
    bool changed;
};

/* hook.c */
enum rp_hook_kind {
    RP_HOOK_BEFORE_CONNECT, RP_HOOK_AFTER_CONNECT, RP_HOOK_PREPARE_CONN, RP_HOOK_AFTER_RELEASE, RP_HOOK_BEFORE_CLOSE,
    RP_HOOKS
};
enum rp_hook_phase { RP_HOOK_REST, RP_HOOK_DUE, RP_HOOK_CALLED, RP_HOOK_OVER };
typedef void rp_hook_fn(void *arg, struct pg_hook *hook, struct pg_lease *lease);
struct pg_hook {
    struct pg_pool *pool;
    struct rp_slot *slot; /* NULL: a stray    */
    struct pg_lease lease;
    TAILQ_ENTRY(pg_hook) link; /* in pool->strays */
    struct rp_login login;
};
TAILQ_HEAD(rp_strays, pg_hook);

/* What each query touches stands first, as in the session. */
struct rp_slot {
    struct rp_conn conn;
    struct pg_pool *pool;
    struct rp_host *host;      /* whose connection it is, or was last                            */
    TAILQ_ENTRY(rp_slot) link; /* in pool->slots[state], or in pool->loaded[load] while SHARED   */
    enum rp_slot_state state;
    uint32_t load;             /* SHARED: of which list of pool->loaded                          */
    uint64_t work_ns;          /* expected, of what is in flight: by its statements' averages    */
    uint64_t load_from_ns, load_span_ns; /* it stays in its list while its work is within        */
    uint64_t head_since_ns;    /* the oldest in flight is so since then                          */
    bool from_idle, late;      /* it found the connection idle; it takes longer than it should   */
    bool listens;              /* the listeners': beside pool->slot, in no list and no count     */
    bool normal;               /* in normal hands (reserve.c), and counted in nnormal            */
    bool fresh;                /* it is up, and nobody has had it yet                            */
    bool used;                 /* a lease ran something on it since it was reset last            */
    bool trying;               /* the connect counts in host->connecting                         */
    bool any;                  /* whatever the host is: there was no other                       */
    bool promised;             /* to another pool of the budget: what is in it goes, and then it goes back */
    bool asked;                /* the server was, to cancel what has this sequence number:       */
    uint32_t asked_for;
    struct pg_lease *lease;    /* LEASED, or a hook's                                            */
    enum rp_reason reason;     /* RETIRING; and in pool->retired until it is told                */
    uint32_t chore;            /* of a state that has chores: how many were looked at            */
    const char *doing;         /* the one of them that was begun last                            */
    struct rp_role role;
    uint64_t idle_since_ns;    /* IDLE; later towards the head of that list                      */
    uint64_t expires_ns;       /* since it is up: the end of its lifetime, PG_NEVER without one  */
    uint64_t generation;       /* of the pool when it was begun                                  */
    struct rp_timer stall;     /* STALLED, and where there are chores: how long it may take      */
    struct rp_cancel cancel;   /* busy: the slot is neither idle nor free                        */

    struct rp_timer again;     /* before that the same statement is not cancelled once more      */
    uint64_t connecting_since_ns;
    uint32_t warmed;           /* PREPARING: statements that were begun                          */
    uint32_t mislaid;          /* of its session's, those that were looked at                    */
    struct pg_query own;       /* the one that a chore runs                                      */
    struct pg_hook *hook;      /* the handle; NULL: a new one is made when it is needed          */
    enum rp_hook_kind hook_kind;
    enum rp_hook_phase hook_phase;
    int hook_status;
    struct rp_node hooking;    /* DUE, OVER                                                      */
    struct rp_timer age;       /* at expires_ns                                                  */
    STAILQ_ENTRY(rp_slot) retired;
};
TAILQ_HEAD(rp_slots, rp_slot);
STAILQ_HEAD(rp_retired, rp_slot);

/* purse.c: what the pool has of its budget */
struct rp_purse {
    struct pg_budget *budget;            /* NULL: none, and nothing else means anything         */
    struct rp_share *share;
    uint32_t slots, used, sure;          /* in hand; of these by connections; never given       */
    uint32_t beside;                     /* 1: one of those in use is the listeners'            */
    uint32_t promised;                   /* of those in use: on their way to others             */
    uint32_t need;                       /* of the ticket                                       */
    bool waiting;                        /* there is a ticket                                   */
    bool pressing;                       /* the wait is long enough for others to be told       */
    bool pressed;                        /* the next one that comes to rest is to go            */
    bool left;
    struct rp_slot *clearing;            /* goes for the sake of the listeners'                 */
    struct rp_slot *asking;              /* its connection asks how many the server has         */
    int32_t told;                        /* that many                                           */
    struct rp_timer patience, watch;
};

/* stats.c: what was measured and is not published yet. */
struct rp_seeing {
    uint64_t run_since_ns, run_count;    /* outcomes of requests that were started at that time; PG_NEVER: none */
    uint16_t dirty[RP_HISTOGRAMS];       /* as rp_published_write takes it                       */
    struct rp_node publish;              /* in the flush queue: at the end of the turn           */
    struct rp_published published;
};

/* capacity.c: what the server has refused. */
struct rp_capacity {
    uint32_t limit;        /* connections at the most, whatever max_conns says; UINT32_MAX: none was refused */
    uint32_t step;         /* how much it rises when all that it permits stand      */
    bool rising;           /* it was raised since the last refusal                  */
    uint64_t backoff_ns;   /* the last delay, 0: none                               */
    struct rp_timer later; /* then it rises by one                                  */
};

struct rp_warm; /* life.c: a warm-up that somebody waits for */
TAILQ_HEAD(rp_warms, rp_warm);

/* work.c: what statements cost. */
struct rp_cost {
    uint32_t ns; /* on the average        */
    bool slow;   /* is above the threshold, or was and is not below half of it */
};
struct rp_work {
    struct rp_cost *cost; /* by the statement's id; 0: SQL that is built at run time                  */
    uint64_t most_ns;     /* a single measurement counts for no more                                  */
    uint64_t shortest_ns; /* a round trip; PG_NEVER: none was measured yet                            */
    uint64_t late_ns;     /* what takes longer is late; PG_NEVER: nothing is                          */
    uint64_t turn_at_ns, blur_ns; /* when the latest outcomes came; how long before those the ones before them */
};
enum { RP_LOADS = 128, RP_LOAD_WORDS = RP_LOADS / 64 };

struct pg_pool {
    struct pg_reactor *reactor;
    struct rp_member member;
    struct rp_conninfo info;
    struct rp_conn_config config;
    struct rp_trace_sink trace;          /* write NULL: nobody reads along */
    struct rp_pair startup[10];
    struct rp_hosts hosts;
    struct rp_tls *tls;                  /* NULL: no connection is encrypted                    */
    struct rp_catalog catalog;
    struct rp_texts kept;                /* SQL that is built at run time */
    uint64_t mislaid_ns;                 /* when a statement was not there, or was there, without a reason; 0: never */
    bool pooler_told;                    /* PG_EVENT_POOLER */
    struct rp_keys keys;
    void (*on_event)(void *arg, const struct pg_event *);
    void *arg;

    struct rp_slot **slot;               /* nslots of them                                      */
    uint32_t nslots, slot_places;
    struct rp_slots slots[RP_SLOT_STATES];
    uint32_t count[RP_SLOT_STATES];
    bool hooked;                         /* there is any hook                                       */
    bool cleans;                         /* more than a ROLLBACK may be due when a lease is over    */
    struct pg_query *warm;               /* prepared on each new connection; all slots share them  */
    size_t nwarm, texts_size;
    char *texts;                         /* connect_sql and reset_sql, where the struct had them    */
    void (*before_connect)(void *arg, struct pg_hook *);
    rp_hook_fn *hook[RP_HOOKS];          /* the others                                              */
    struct rp_strays strays;
    struct pg_error own_error;           /* what the server said last to a query of the pool's own */

    struct rp_slots loaded[RP_LOADS];    /* SHARED slots by their work                          */
    uint64_t load_bits[RP_LOAD_WORDS];   /* which of those lists are not empty                  */
    struct rp_slot *telling;             /* the one whose outcome is being told; NULL: none     */
    struct rp_work work;

    struct rp_waiters waiting, urgent, slow, ended; /* urgent: leases of high priority          */
    uint32_t nwaiting, nurgent, nslow, nnormal; /* nnormal: connections in normal hands         */
    uint32_t nleases_out;                /* leases out, and calls that still need the closed pool's shell */
    struct rp_node dispatch, tell;
    struct rp_overload overload;         /* two rules about the queue, applied by shed.c        */
    struct rp_admission admission;
    struct rp_timer doomed;              /* when the first of the queue has waited in vain      */
    bool more_wanted;                    /* a statement had to queue behind others on a connection */

    struct rp_timer retry;               /* armed while no host may be tried: then one may      */
    struct pg_error connect_error;       /* of the last failed connect; code 0: it succeeded    */
    struct rp_capacity capacity;

    uint64_t generation;                 /* resets so far                                       */
    bool suspended;
    struct rp_timer sweep;               /* armed while something idle may have to be closed    */
    struct rp_warms warming;
    struct rp_purse purse;
    struct rp_listening listening;
    struct rp_retired retired;           /* CLOSING or FREE again: PG_EVENT_RETIRED is still to be told */

    bool closing, finished;
    uint64_t drain_until_ns;
    struct rp_timer drain;
    void (*on_closed)(void *arg);
    void *closed_arg;

    struct pg_pool_stats stats;          /* the reactor's own; gauges and query_count: as last published */
    struct rp_seeing seeing;
};

/* slot.c */
extern const struct rp_conn_ops rp_slot_ops;
void rp_slot_move(struct rp_slot *slot, enum rp_slot_state state);
void rp_slot_settle(struct rp_slot *slot);   /* after something on it ended: the state that follows */
void rp_slot_begin(struct rp_slot *slot, struct rp_host *host, bool any); /* FREE: a connection is made */
void rp_slot_connect(struct rp_slot *slot);  /* ASKING: nothing speaks against it */
void rp_slot_made(struct rp_slot *slot);     /* PREPARING: it is ready to serve */
void rp_slot_check(struct rp_slot *slot);    /* IDLE: a lease is to have it, if prepare_conn agrees */
void rp_slot_checked(struct rp_slot *slot);  /* it does */
void rp_slot_part(struct rp_slot *slot);     /* healthy, and nothing in flight: closed, and before_close is called */
void rp_slot_parted(struct rp_slot *slot);
bool rp_slot_has_queries(struct rp_slot *slot); /* in flight, and their caller waits for them */
void rp_slot_rest(struct rp_slot *slot);     /* nothing is in flight, and nothing is to be cleaned */
bool rp_slot_quiet(const struct rp_slot *slot); /* nothing is in flight, no cancel request either */
/* A chore failed: it is closed. ASKING, PREPARING: as a connect that failed; PARTING: it was to go anyway; else as a
 * connection that was lost. */
void rp_slot_unfit(struct rp_slot *slot, const struct pg_error *why);
void rp_slot_stall(struct rp_slot *slot);    /* an answer is due that nobody waits for: no new statements behind it */
/* The query's caller goes away, or wants it no more: as rp_conn_detach. */
enum rp_detach rp_slot_detach(struct rp_slot *slot, struct pg_query *q);
void rp_slot_start(struct rp_slot *slot, struct pg_query *head); /* the whole batch; there is room */
static inline uint32_t rp_batch_size(const struct pg_query *q)
{
    uint32_t n = 0;
    for (; q; q = q->next) n++;
    return n;
}
static inline bool rp_slot_room(struct rp_slot *slot, uint32_t n)
{
    if (RP_PLANT(pipeline_exceeded)) n--;
    return rp_session_in_flight(&slot->conn.session) + n <= slot->pool->info.pool_max_pipeline &&
           rp_session_room(&slot->conn.session, n);
}
/* Ends the connection. What was written fails with `status`, `sent` and the details in `why` (may be NULL); what was
 * not goes back to the head of the queue where that is possible. */
void rp_slot_kill(struct rp_slot *slot, int status, enum pg_sent sent, const struct pg_error *why);
void rp_slot_free(struct rp_slot *slot);     /* CLOSING, once the connection and its cancel request are at their ends */
/* All slots, the listeners' as the last one; for what holds for every connection of the pool. */
static inline uint32_t rp_pool_all(const struct pg_pool *pool) { return pool->nslots + (pool->listening.slot != NULL); }
static inline struct rp_slot *rp_pool_slot(const struct pg_pool *pool, uint32_t i)
{
    return i < pool->nslots ? pool->slot[i] : pool->listening.slot;
}
static inline uint32_t rp_pool_total(const struct pg_pool *pool) /* what counts against max_conns */
{
    return pool->nslots - pool->count[RP_SLOT_FREE];
}
static inline uint32_t rp_pool_live(const struct pg_pool *pool) /* less those that are about to go */
{
    return rp_pool_total(pool) - pool->count[RP_SLOT_RETIRING] - pool->count[RP_SLOT_PARTING] -
           pool->count[RP_SLOT_CLOSING];
}
static inline uint32_t rp_pool_idle(const struct pg_pool *pool) /* nobody's, those that are being checked too */
{
    return pool->count[RP_SLOT_IDLE] + pool->count[RP_SLOT_CHECKING];
}
static inline uint32_t rp_pool_connecting(const struct pg_pool *pool) /* those that are being made */
{
    return pool->count[RP_SLOT_ASKING] + pool->count[RP_SLOT_CONNECTING] + pool->count[RP_SLOT_PREPARING];
}
static inline uint32_t rp_pool_usable(const struct pg_pool *pool) /* connections that serve or will again */
{
    return rp_pool_live(pool) - rp_pool_connecting(pool);
}
static inline uint32_t rp_capacity(const struct pg_pool *pool) /* max_conns, or what the server lets it have */
{
    uint32_t max = pool->info.pool_max_conns;
    return pool->capacity.limit < max ? pool->capacity.limit : max;
}
static inline uint32_t rp_pool_room(const struct pg_pool *pool) /* how many more there may be */
{
    uint32_t total = RP_PLANT(closing_uncounted) ? rp_pool_live(pool) : rp_pool_total(pool);
    uint32_t most = rp_capacity(pool);
    return total < most ? most - total : 0;
}
static inline bool rp_pool_has_place(const struct pg_pool *pool) { return rp_pool_room(pool) > 0; }
void rp_slot_event(struct rp_slot *slot, enum pg_event_kind kind, const struct pg_error *error);

/* chore.c: what the pool does of its own accord on a connection while nobody else has it, one thing
 * after the other. */
struct rp_chore {
    const char *name;                    /* stands before the error of one that fails */
    /* Begins it: by rp_chore_query, and the next one follows when that has ended well; or rp_chore_fail. False: there
     * is nothing to do on this connection. Calls nobody back. */
    bool (*begin)(struct rp_slot *slot);
};
/* By the simple protocol. Rows are of text, q->data is the slot; `sql` stays where it is until the outcome. */
void rp_chore_query(struct rp_slot *slot, const char *sql, enum pg_flow (*on_row)(struct pg_query *, struct pg_row *));
void rp_chore_fail(struct rp_slot *slot, const struct pg_error *why); /* the connection is closed for it */
void rp_chore_run(struct rp_slot *slot); /* if nothing is in flight: the next one, or what follows the last */
void rp_chore_outcome(struct rp_slot *slot, struct pg_query *q);
void rp_chore_late(struct rp_slot *slot);

/* hook.c */
struct pg_hook *rp_hook_new(struct pg_pool *pool); /* NULL: there is no memory */
void rp_hook_free(struct pg_hook *hook);
void rp_hook_free_strays(struct pg_pool *pool);
bool rp_hook_begin(struct rp_slot *slot, enum rp_hook_kind kind); /* false: there is no such hook. Called by a turn */
void rp_hook_run(struct rp_node *node);            /* slot->hooking */
void rp_hook_drop(struct rp_slot *slot);           /* the connection goes: it is not waited for any more */

/* login.c */
void rp_login_begin(struct rp_login *login, const struct pg_pool *pool, const struct rp_host *host);
void rp_login_wipe(struct rp_login *login);

/* cancel.c */
void rp_slot_cancel_unwanted(struct rp_slot *slot); /* if what the server does there is, and nobody is harmed */
/* The caller of this query wants it stopped, with its whole batch: done as soon as it can be. */
void rp_slot_wish(struct rp_slot *slot, uint32_t sequence);
bool rp_slot_wanted(struct rp_slot *slot);          /* all that is in flight, and no cancel request is under way */
void rp_slot_cancel_last(struct rp_slot *slot);     /* before the connection ends: whatever runs */

/* work.c */
int rp_work_open(struct pg_pool *pool); /* -ENOMEM */
void rp_work_close(struct pg_pool *pool);
enum { RP_UNIT_BITS = 13 }; /* 8 us: about what the server takes for the least of statements */
static inline struct rp_cost *rp_cost_of(const struct pg_pool *pool, const struct pg_query *q)
{
    uint32_t id = q->statement ? q->statement->id_private : 0;
    return &pool->work.cost[id <= pool->catalog.statements ? id : 0]; /* one too many can only run unnamed */
}
static inline uint32_t rp_work_expected(const struct pg_pool *pool, const struct pg_query *q) /* ns */
{
    return rp_cost_of(pool, q)->ns + (1u << RP_UNIT_BITS);
}
void rp_work_head(struct rp_slot *slot);                         /* the connection was idle until now */
void rp_work_end(struct rp_slot *slot, struct pg_query *q);      /* its outcome, shared lane; NULL: of nobody */
void rp_work_given_up(struct rp_slot *slot, struct pg_query *q); /* by its caller, and before its outcome */
void rp_work_recount(struct rp_slot *slot);                      /* something was taken out of its FIFO */
void rp_work_list(struct rp_slot *slot);                         /* into the list of its load; or out of it */
void rp_work_unlist(struct rp_slot *slot);
static inline void rp_work_relist(struct rp_slot *slot)          /* after its work has changed */
{
    if (slot->work_ns - slot->load_from_ns <= slot->load_span_ns) return;
    rp_work_unlist(slot);
    rp_work_list(slot);
}
struct rp_slot *rp_slot_least_loaded(struct pg_pool *pool);      /* of all that are SHARED */
uint32_t rp_work_in_flight(const struct pg_pool *pool);          /* on all that are SHARED */
/* The SHARED one that takes `n` more statements best, NULL: none has room. */
struct rp_slot *rp_slot_to_share(struct pg_pool *pool, uint32_t n, uint64_t now);

/* slow.c */
bool rp_slow(const struct pg_pool *pool, const struct pg_query *head); /* it is to run alone */
uint32_t rp_slow_most(const struct pg_pool *pool); /* solo connections at a time; 0: slow ones share */
/* How many of those that wait may each have the next idle connection, when so many fast ones have been started that are
 * about to be; where slow ones share, all of them. */
uint32_t rp_slow_due_beside(const struct pg_pool *pool, uint32_t coming);
static inline uint32_t rp_slow_due(const struct pg_pool *pool) { return rp_slow_due_beside(pool, 0); }
struct rp_slot *rp_slow_slot(const struct pg_pool *pool); /* an idle one for the next of them; NULL: it waits */

/* reserve.c */
/* Of those that are idle, coming or could be made, how many normal ones may have when the high waiters have theirs; and
 * how many idle ones of them. */
uint32_t rp_left_to_normal(const struct pg_pool *pool);
uint32_t rp_idle_left_to_normal(const struct pg_pool *pool);
/* How many more are worth making for as many normal ones as would have one. */
uint32_t rp_worth_making(const struct pg_pool *pool, uint32_t wanted);
static inline void rp_slot_set_normal(struct rp_slot *slot, bool normal)
{
    slot->pool->nnormal += (uint32_t)normal - (uint32_t)slot->normal;
    slot->normal = normal;
}
static inline uint32_t rp_idle_for_normal(const struct pg_pool *pool)
{
    if (!pool->nurgent && !pool->info.pool_reserved_conns) return rp_pool_idle(pool);
    return rp_idle_left_to_normal(pool);
}
/* One that may be had; NULL: none. It leaves its list by being moved. */
static inline struct rp_slot *rp_idle_slot(const struct pg_pool *pool, bool high)
{
    struct rp_slot *slot = TAILQ_FIRST(&pool->slots[RP_SLOT_IDLE]);
    return !slot || high || rp_idle_for_normal(pool) ? slot : NULL;
}

/* queue.c */
void rp_park(struct pg_pool *pool, struct rp_waiter *w);         /* at the end; arms the deadline */
void rp_park_first(struct pg_pool *pool, struct rp_waiters *again);
void rp_park_as_fast(struct rp_waiter *w); /* the oldest of all, and slow: first in pool->waiting */
void rp_unpark(struct rp_waiter *w);
uint64_t rp_wait_until(const struct rp_waiter *w);               /* its own deadline, or pool_acquire_timeout */
bool rp_waited_enough(const struct rp_waiter *w);                /* it must not be parked once more */
static inline struct rp_waiter *rp_first_waiter(const struct pg_pool *pool) /* served next; NULL: nobody waits */
{
    struct rp_waiter *w = TAILQ_FIRST(&pool->urgent);
    if (!w) w = TAILQ_FIRST(&pool->waiting);
    return w ? w : TAILQ_FIRST(&pool->slow);
}
bool rp_queue_full(const struct pg_pool *pool, bool high);       /* each of the two has its own bound */
void rp_end_lease(struct pg_lease *lease, int status);           /* to be told later */
void rp_end_query(struct pg_query *q, int status, enum pg_sent sent,
                  const struct pg_error *why);                   /* one; results are set, told later */
void rp_end_decided(struct pg_query *q);                         /* the server's word stands in its results */
void rp_end_batch(struct pg_query *culprit, int status, enum pg_sent sent,
                  const struct pg_error *why); /* all of its batch */
/* `culprit`: the parked query itself, or a later one of its batch; NULL for a lease. */
void rp_end_parked(struct rp_waiter *w, struct pg_query *culprit, int status);
void rp_end_waiter(struct rp_waiter *w,
                   int status); /* whichever it is, unparked; with the connect error where that is why */
void rp_end_refused(struct rp_waiter *w, const struct pg_error *why); /* parked, and turned away */
void rp_forget_query(struct pg_query *q);                        /* no callback any more; the memory is the caller's */
void rp_tell_query(struct pg_query *q);                          /* at once; results are set */
void rp_pool_tell(struct rp_node *node);                         /* pool->tell */
void rp_fire_query(struct rp_timer *timer);

/* shed.c */
void rp_shed_open(struct pg_pool *pool);
/* Whether it must not be parked: PG_E_REFUSED for the reason in `why`. */
bool rp_shed_at_the_door(struct pg_pool *pool, const struct rp_waiter *w, struct pg_error *why);
void rp_shed_parked(struct rp_waiter *w);          /* it is */
void rp_shed_left(struct pg_pool *pool);           /* somebody is no longer parked, whyever */
void rp_shed_served(const struct rp_waiter *w);    /* no longer parked, and this is why */
void rp_shed_resumed(struct pg_pool *pool);
bool rp_shed_first(struct pg_pool *pool);          /* refuses the first of the queue, if it has waited in vain */
void rp_shed_watch(struct pg_pool *pool);          /* so that this is not forgotten while nobody can be served */

/* dispatch.c */
void rp_pool_dispatch(struct rp_node *node);                     /* pool->dispatch */
void rp_pool_connect_failed(struct rp_slot *slot, const struct pg_error *why);
bool rp_pool_grant_first(struct pg_pool *pool, struct rp_slot *slot); /* false: no lease may have it */
bool rp_pool_can_grow(struct pg_pool *pool); /* a connection is wanted, and may be made; a budget aside */
void rp_pool_kick(struct pg_pool *pool); /* something changed: dispatch in this or the next turn */

/* secure.c */
int rp_secure_open(struct pg_pool *pool, struct pg_error *error); /* once the hosts are there. 0, PG_E_CONFIG, -ENOMEM */
void rp_secure_close(struct pg_pool *pool);

/* capacity.c */
void rp_capacity_open(struct pg_pool *pool);
bool rp_capacity_is_refusal(const struct pg_error *why); /* a connect has failed: is it that? */
void rp_capacity_refused(struct pg_pool *pool);
void rp_capacity_stands(struct pg_pool *pool);         /* one more connection stands */
void rp_capacity_resized(struct pg_pool *pool);        /* max_conns is another one */

/* role.c */
void rp_role_up(struct rp_slot *slot);        /* the session stands */
bool rp_role_ask(struct rp_slot *slot);       /* chores of a new connection */
bool rp_role_judge(struct rp_slot *slot);
bool rp_role_ask_again(struct rp_slot *slot); /* chores between two leases */
bool rp_role_judge_again(struct rp_slot *slot);
void rp_role_saw(struct rp_slot *slot, const struct pg_query *q);      /* an outcome, not told yet */
void rp_role_answered(struct rp_slot *slot, const struct pg_query *q); /* of what was asked in the midst of others */
void rp_role_parameter(struct rp_slot *slot);                          /* the server said one anew */

/* pooler.c */
bool rp_pooler_suspected(struct rp_slot *slot); /* by what this connection has met last */
void rp_pooler_tell(struct rp_slot *slot);      /* then; it calls back */

/* query.c */
void rp_lease_start(struct pg_lease *lease, struct pg_query *q, uint8_t flags); /* RP_QUERY_COPY or none */

/* lease.c */
void rp_grant(struct rp_slot *slot, struct pg_lease *lease);     /* held from now on; nobody is told */

/* life.c */
void rp_life_begin(struct rp_slot *slot);      /* it is up */
void rp_life_idle(struct rp_slot *slot);       /* it has become idle */
void rp_life_sweep(struct rp_timer *timer);    /* pool->sweep */
enum rp_reason rp_life_over(struct rp_slot *slot); /* too old, of a former generation, one too many; or NONE */
/* Used no more, and closed as soon as nothing runs on it; or, where it is leased or the like, left to rp_life_over when
 * it comes to rest. */
void rp_life_retire(struct rp_slot *slot, enum rp_reason reason);
/* Nothing runs on it: closed now, and told by the next turn. */
void rp_life_end(struct rp_slot *slot, enum rp_reason reason);
bool rp_life_tell_retired(struct pg_pool *pool); /* from the turn's queue; false: the budget is used up */
void rp_life_tell(struct pg_pool *pool);       /* the warm-ups that are decided; from the turn's queue */
void rp_life_warm_end(struct pg_pool *pool, int status);
struct rp_slot *rp_life_superfluous(struct pg_pool *pool); /* whose going disturbs least; NULL: none can go now */
uint32_t rp_life_idle_wanted(const struct pg_pool *pool); /* how many idle ones are missing */

/* purse.c */
int rp_purse_open(struct pg_pool *pool, struct pg_budget *budget, struct pg_error *error);
bool rp_purse_take(struct pg_pool *pool);      /* for a connection that is begun; false: it has to wait for one */
bool rp_purse_take_beside(struct pg_pool *pool); /* the same for the listeners', never of what is sure */
bool rp_purse_lacks(const struct pg_pool *pool); /* what is sure, while the listeners' one may have more than that */
bool rp_purse_untold(const struct pg_pool *pool); /* the bound is the server's to say, which nobody has asked yet */
void rp_purse_put(struct rp_slot *slot);       /* that connection has ended */
void rp_purse_settle(struct pg_pool *pool);    /* what was not used goes back */
bool rp_purse_needed(struct rp_slot *slot);
static inline bool rp_purse_over(struct rp_slot *slot) /* it has come to rest: does another pool need it? */
{
    const struct rp_purse *p = &slot->pool->purse;
    return slot->promised || p->clearing == slot || (p->pressed && rp_purse_needed(slot));
}
bool rp_purse_ask_server(struct rp_slot *slot);  /* chores of a bound that the server says */
bool rp_purse_server_told(struct rp_slot *slot);
bool rp_purse_resize(struct pg_pool *pool, uint32_t min_conns); /* false: the budget has no room for more sure ones */
bool rp_purse_leave(struct pg_pool *pool);     /* nothing is in use; false: again in the next turn */
void rp_purse_abort(struct pg_pool *pool);

/* open.c */
int rp_pool_make_slots(struct pg_pool *pool, uint32_t n); /* so that there are n at least; -ENOMEM leaves what is */
int rp_pool_make_listening(struct pg_pool *pool);         /* so that there is the listeners'; -ENOMEM */
void rp_pool_close_if_done(struct pg_pool *pool);
void rp_pool_return_lease(struct pg_pool *pool); /* one less out; the last one frees a closed pool's shell */

/* stats.c; none of these calls anybody back */
void rp_stats_open(struct pg_pool *pool);
void rp_saw_wait(struct pg_pool *pool, uint64_t waited_ns);      /* parked and served */
void rp_saw_connected(struct rp_slot *slot);
void rp_saw_grant(struct pg_pool *pool, struct pg_lease *lease); /* held from now on; arms the leak report */
void rp_saw_return(struct pg_pool *pool, struct pg_lease *lease);
void rp_saw_start_run(struct pg_pool *pool, uint64_t since_ns);
void rp_name_holders(struct pg_pool *pool, struct pg_error *error); /* adds to the text who holds and for how long */

/* Something that pg_pool_stats shows has changed, or will before the turn ends. */
static inline void rp_stats_changed(struct pg_pool *pool)
{
    if (!pool->seeing.publish.queued) rp_flush(pool->reactor, &pool->seeing.publish);
}

static inline void rp_saw_move(struct rp_slot *slot, enum rp_slot_state state)
{
    if (state == RP_SLOT_CONNECTING) slot->connecting_since_ns = rp_now(slot->pool->reactor);
    rp_stats_changed(slot->pool);
}

static inline void rp_saw_outcome(struct pg_pool *pool, uint64_t since_ns)
{
    if (pool->seeing.run_since_ns != since_ns) rp_saw_start_run(pool, since_ns);
    pool->seeing.run_count++;
}

#endif
