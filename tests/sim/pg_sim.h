/* sim/pg_sim.h - one seed is one world: one to four reactors of the production library on the simulated host, each
 * with a pool, one model server, and handlers that do at random all that the API permits, while host, network and
 * server do at random all that they may.
 *
 *      settings.c   what the seed draws             heap.c     memory of library and handlers, counted and poisoned
 *      server.c     answers, restarts, refusals     ledger.c   which INSERTs must, may and must not be committed
 *      hosts.c      several addresses of the same database: roles, failovers, hosts that are down
 *      ask.c        one query or batch              holder.c   one lease with its script
 *      copy.c       one COPY, and the server's side of it
 *      statements.c texts that come again, and what the server has prepared of them
 *      chores.c     connect_sql, reset_sql, warm statements, hooks
 *      ears.c       listeners, and who notifies them
 *      tune.c       the operator: resize, reset, suspend, resume, warm
 *      rules.c      the queue's: priority, reserved connections, overload, admission
 *      shares.c     a budget over the pools
 *      audit.c      what must hold in the books of the pools, after each event and turn
 *      act.c        what a handler does next, out of the blue or inside of any callback
 *      run.c        a seed from open to close, and what must hold then
 *
 * Every decision is drawn from the simulation's generator, so a seed repeats. One world at a time per process. */
#ifndef SIM_PG_SIM_H
#define SIM_PG_SIM_H
#include "ringpg.h"
#include "support/model_server.h"
#include "support/sim.h"
#include "support/toy.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

/* ---- what a seed draws ---- */
struct rules { uint32_t high, reserved, target_ms, interval_ms; bool admission; }; /* high: per mille */
struct settings {
    bool calm;         /* no faults, deadlines, abandons: then everything must succeed  */
    bool strict;       /* nothing that lets a backend outlive its connection's slot     */
    bool closes_early; /* the pool is closed while handlers are at work                 */
    bool wrong_password, one_at_a_time;
    bool ordered;      /* one connection, and nothing that is ever sent a second time   */
    uint32_t max_conns, min_conns, min_idle, connecting_limit, pipeline, waiters, resumes, statements;
    size_t slab_bytes;
    size_t row_limit;
    uint64_t acquire_timeout_ns, linger_ns, connect_timeout_ns, span_ns, heal_ns;
    uint32_t actors, burst_size;
    uint32_t reenter, abandons, cancels, deadlines, leases, batches, strays, errors, pauses, stops; /* per mille */
    uint32_t hangs, large, tunes, slow, copies, alloc_failures;                                          /* per mille */
    uint64_t tune_every_ns;
    uint32_t listeners;          /* at a time                                           */
    uint64_t notify_every_ns;
    uint64_t lifetime_ns, jitter_ns, idle_ns, period_ns, slow_ns;
    uint32_t drop, garbage, notice, forget, delay, server_error, kill, closing_callback;   /* per mille */
    uint64_t delay_ns;
    uint32_t restarts, refusals, crowds, outages;
    uint32_t hosts, failovers, silent_failovers, host_outages; /* of more than one host */
    const char *target;          /* target_session_attrs; each reactor's own            */
    uint32_t hooks, hook_errors, hook_late, hook_never; /* bits of those that there are; per mille */
    uint32_t reset_sql, nwarm;
    uint32_t texts;              /* that come again                                     */
    uint32_t kept, kept_bytes, discards; /* statement_cache_*; per mille                */
    bool unnamed;
    bool connect_sql;
    struct rules rules;
    const char *password;
    const char *protocol;        /* its options, or "" */
    char options[900];
};

/* ---- memory ---- */
struct block;
struct heap {
    size_t blocks, bytes, kept_bytes;
    uint64_t calls, fail_at; /* the fail_at-th allocation gives NULL; 0: none */
    struct sim *sim;         /* draws which others fail, ...                  */
    uint32_t fail;           /* ... so many per mille                         */
    struct block *graves;
};
void *heap_allocate(void *heap, size_t bytes); /* for pg_reactor_config, like the next */
void heap_deallocate(void *heap, void *at, size_t bytes);
void *heap_actor(size_t bytes);                /* a handler's block, zeroed */
/* The library has let go of it: poisoned, and freed where a sanitizer watches; else kept for heap_check. */
void heap_bury(struct heap *heap, void *at);
/* What was written into the dead. NULL: nothing. Frees them. */
const char *heap_check(struct heap *heap);

/* ---- the ledger of INSERTs ---- */
enum fate { FATE_OPEN, FATE_MUST, FATE_NEVER };
struct ledger {
    struct entry *entry;
    size_t count, capacity;
    uint64_t groups;
};
int64_t ledger_key(struct ledger *l, bool repeatable);
uint64_t ledger_group(struct ledger *l);
void ledger_join(struct ledger *l, int64_t key, uint64_t group); /* all of a group or nothing of it is committed */
void ledger_fate(struct ledger *l, int64_t key, enum fate fate);
void ledger_check(struct ledger *l, const struct model_server *server);
void ledger_free(struct ledger *l);

/* ---- handlers ---- */
enum ask_kind {
    ASK_ECHO, ASK_ECHO_TEXT, ASK_ECHO_SQL, ASK_ROWS, ASK_INSERT, ASK_INSERT_REPEATABLE, ASK_INSERT_SQL, ASK_SLEEP,
    ASK_SLOW, ASK_TARDY, ASK_DEFERRED, ASK_FAIL, ASK_SYNTAX, ASK_STRAY, ASK_BIG, ASK_BIG_PIECES, ASK_GETTER,
    ASK_HANG, ASK_SET,
    ASK_TEXT_ECHO, ASK_TEXT_ROWS, ASK_TEXT_INSERT, ASK_DEALLOCATE, ASK_DEALLOCATE_ALL,
    ASK_WRONG, ASK_COPY, ASK_DISCARD, ASK_BEGIN, ASK_COMMIT, ASK_ROLLBACK, ASK_SAVEPOINT, ASK_RELEASE,
    ASK_ROLLBACK_TO, ASK_SIMPLE, ASK_COPY_IN, ASK_COPY_OUT,
    ASK_KINDS
};

struct live { uint32_t id, at; }; /* a place in a table of everything that is alive */
struct table {
    struct live **of;             /* by id; NULL: gone */
    uint32_t *alive;
    uint32_t ids, count, capacity;
};
uint32_t table_add(struct table *t, struct live *l);
void table_remove(struct table *t, struct live *l);
void *table_find(const struct table *t, uint32_t id);
void *table_any(const struct table *t, uint64_t random); /* NULL: none */
void table_free(struct table *t);

struct holder;
struct ask {
    struct live live; /* first */
    struct run *run;
    union {
        struct pg_query query; /* of a COPY: copy.query */
        struct pg_copy copy;
    };
    struct pg_param param;
    struct pg_error error;
    struct holder *holder;    /* NULL: shared lane                                    */
    enum ask_kind kind;
    int64_t token, key[2];    /* key 0: none                                          */
    uint64_t rows, due_rows, serial, started_ns;
    struct pg_row *paused;
    bool stopped, rolled_back, grouped;
    bool called_off;          /* it, or another of its batch, was cancelled           */
    bool over;                /* its paused row has died: it has ended, and is still to be told; of a COPY: its
                               * end was said */
    bool data_paused, paused_piece;
    struct pg_text piece;     /* the last one, ...                                    */
    uint32_t piece_seen, piece_at, column; /* ... where it begins, and where the next is to  */
    struct pg_rows *kept;     /* NULL: rows are not kept; its buffer stands behind it */
    uint64_t moved;           /* bytes copied         */
    size_t payload;
    char text[];
};

enum { HOLDER_STEPS = 12, HOLDER_PENDING = 64 };
struct holder {
    struct live live; /* first */
    struct run *run;
    struct pg_lease lease;
    struct pg_error error;
    bool held, waiting, resting, pipelined;
    bool began;    /* it has started what may open a transaction */
    bool doubtful; /* the end of a transaction was given up while what stands before it is still due */
    uint32_t steps, in_flight;
    uint64_t serial, started_ns;
    int64_t pending[HOLDER_PENDING]; /* inserted into the open transaction */
    uint32_t mark[HOLDER_STEPS];     /* its savepoints: as many were pending. The oldest may be missing. */
    uint32_t npending, nmarks;
};

/* What the hooks know of a slot's backend. */
enum { BOOK_NEW, BOOK_READY, BOOK_CHECKED, BOOK_HELD, BOOK_CONDEMNED };
struct chore_book { const struct rp_slot *slot; uint32_t pid, state; };

enum { SIZE_MOST = 8 };
enum { STATUSES = 17 }; /* 0: PG_OK; 1 to 15: the library's own; 16: the system's */
/* One reactor, its pool, and the handlers of it. */
struct run {
    struct scene *scene;
    unsigned index;
    struct sim *sim;             /* the world's, like the server                       */
    struct model_server *server;
    struct settings set;         /* what is about server and network is the first's everywhere */
    struct heap heap;
    struct pg_reactor *reactor;
    struct pg_pool *pool;        /* NULL once it is closed                             */
    struct table asks, holders, chores, ears;
    bool listened;               /* at any time                                        */
    struct chore_book books[SIZE_MOST + 2]; /* the last one: nobody's                    */
    uint32_t min_conns, max_conns; /* as they were set last                            */
    uint32_t peak_conns, bound, solo;  /* the most that they were; how many there may be     */
    uint32_t normal_bound;       /* how many connections normal ones may have          */
    unsigned warming;
    bool suspended;
    uint32_t most_alive;         /* handlers at a time                                 */
    uint64_t done_ns;            /* since then it is closing and nobody waits; 0: not  */
    unsigned audited;            /* what was published when the books were looked at  */
    uint32_t callbacks, turns;   /* callbacks: since the end of the last turn          */
    uint64_t turn_events;        /* of the world, at that end                          */
    uint64_t turn_ns;            /* when that was                                      */
    unsigned calling;            /* inside a call of the library: no callback may come */
    bool closing, closed;
    uint64_t close_bound_ns;     /* when the end must have come                        */
    uint32_t actors_left, arrivals_left;
    uint64_t serial, last_granted[2], last_served; /* of each priority; of anything */
    uint64_t outcomes[STATUSES], told, grants, refused_grants, events, retired;
    uint64_t note;               /* a hash of what the handlers saw                    */
};

enum { RUNS = 4, HOSTS = 3, CHANNELS = 3 };
struct scene {
    uint64_t seed;
    bool verbose;
    struct sim *sim;
    struct model_server *server;
    struct rp_security security;      /* where the servers talk through a toy, or are asked for it */
    struct model_server *host[HOSTS]; /* the first is that server; the others are more addresses of it */
    unsigned primary;
    int64_t notified[CHANNELS];  /* on each channel so far                             */
    struct ledger ledger;
    char *stack;                 /* where it was when the seed began                   */
    bool healed, over;
    bool resting;                /* nobody begins anything, not even in a callback     */
    struct pg_budget *budget;    /* of all pools; NULL: none                           */
    uint32_t connections, bound; /* of it: now; how many there may be                  */
    bool shrunk;
    uint32_t most_connections, lacking_turns;
    uint64_t lacking_since_ns;
    unsigned runs;
    struct run run[RUNS];
};
extern struct scene *the_scene;

/* An actor as the argument of a timer, which may outlive it. */
static inline void *actor_ref(const struct run *r, uint32_t id) { return (void *)(uintptr_t)(id * RUNS + r->index); }
static inline uint32_t actor_id(void *arg, struct run **r)
{
    *r = &the_scene->run[(uintptr_t)arg % RUNS];
    return (uint32_t)((uintptr_t)arg / RUNS);
}

#define CALL(r, what) ((r)->calling++, (what), (r)->calling--)

/* Says seed and what was violated, and ends the process. */
_Noreturn void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define REQUIRE(holds, ...) ((holds) ? (void)0 : violation(__VA_ARGS__))
void noted(struct run *r, uint64_t what);
static inline bool chance(struct run *r, uint32_t per_mille) { return sim_chance(r->sim, per_mille); }
static inline uint64_t pick(struct run *r, uint64_t below) { return sim_random(r->sim, below); }

/* settings.c */
void settings_draw(struct scene *w);
/* server.c */
void server_answer(void *arg, struct model_query *q);
void server_trouble(struct run *r); /* schedules all that will happen to it, as the first run has drawn it */
void server_heal(struct scene *w);
/* hosts.c */
void hosts_draw(struct run *r);     /* what all reactors share */
void hosts_draw_target(struct run *r);
size_t hosts_option(const struct run *r, char *out, size_t capacity);
void hosts_open(struct scene *w);
void hosts_trouble(struct run *r);
void hosts_heal(struct scene *w);
void hosts_check_rest(const struct scene *w);
void hosts_check_turn(const struct run *r);
void hosts_close(struct scene *w);
/* ask.c */
void ask_ids(void);                 /* once per process: no seed shall depend on those before it */
void ask_shared(struct run *r);
void ask_leased(struct holder *h);
void ask_step(struct holder *h, enum ask_kind kind);
void ask_abandon(struct ask *a);
void ask_cancel(struct ask *a);
struct pg_statement *ask_statement(enum ask_kind kind);
void ask_forget(struct ask *a);     /* its lease was abandoned */
/* copy.c */
void copy_make(struct ask *a);
void copy_check(const struct ask *a);
bool copy_answer(struct run *r, struct model_query *q); /* false: it copies nothing */
void copy_arrived(void *arg, struct model_query *q, const uint8_t *at, size_t n);
/* holder.c */
void holder_savepoint(struct holder *h, const struct ask *a);
void holder_acquire(struct run *r);
void holder_try(struct run *r);
void holder_abandon(struct holder *h);
void holder_release(struct holder *h);
void holder_check(const struct holder *h);
void holder_idle(struct holder *h); /* one of its queries has ended */
void holder_settle(struct holder *h, enum fate fate); /* what its open transaction inserted */
/* statements.c */
void statements_draw(struct run *r);
void statements_options(struct run *r);
void statements_granted(struct holder *h);
/* chores.c */
struct model_conn *chores_backend(struct run *r, uint32_t pid);
void chores_draw(struct run *r);
void chores_config(struct run *r, struct pg_pool_config *config);
void chores_granted(struct holder *h);
void chores_end(struct run *r);
/* ears.c */
void ears_draw(struct run *r);
void ears_begin(struct run *r);
void ears_act(struct run *r);        /* one comes or goes */
void ears_closed(struct run *r);
bool ears_restless(const struct run *r);
bool ears_at_rest(const struct run *r, uint32_t *conns);
void ears_notify(struct scene *w, unsigned channel);
void ears_check_listening(struct scene *w);
void ears_check_heard(struct scene *w);
/* tune.c */
void tune(struct run *r);           /* one thing, at random */
void tune_begin(struct run *r);
void tune_check(struct run *r);
/* rules.c */
void rules_draw(struct run *r);
void rules_options(struct run *r);
void rules_priority(struct holder *h);
void rules_granted(struct holder *h);
void rules_event(struct run *r);
uint32_t rules_kept(const struct run *r); /* so many may be idle while normal ones wait */
void rules_turn(const struct run *r);
/* shares.c: a budget over the pools */
void shares_open(struct scene *w);
void shares_resize(struct run *r);
void shares_check(struct scene *w);
void shares_turn(struct scene *w);
void shares_close(struct scene *w);
/* audit.c */
struct audit_before { uint32_t waiting, slow; bool full; };
void audit_event(void *scene);
void audit_counts(struct run *r); /* of the pool, as it is at this moment */
void audit_turn(void *scene, struct pg_reactor *reactor);
void audit_callback(struct run *r);
void audit_grant(struct holder *h);
/* Around the start of an acquire or a query on an open pool. */
struct audit_before audit_before(const struct run *r);
void audit_acquired(struct holder *h, struct audit_before before);
void audit_asked(struct ask *a, struct audit_before before);
uint64_t audit_slack(const struct run *r); /* how late a deadline may be: a tick of the wheel and a turn */
/* It is told now; no deadline: 0 or PG_NEVER. */
void audit_told(const struct run *r, uint64_t deadline_ns, uint64_t started_ns, const char *who);
void audit_end(const struct run *r);
/* act.c */
void act_in_callback(struct run *r);
void act_arrivals(struct run *r);
void act_close(struct run *r);
/* run.c */
struct run_result { uint64_t hash, events, outcomes[STATUSES]; };
struct run_result run_seed(uint64_t seed, bool verbose);

#endif
