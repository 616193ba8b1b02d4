/* server/chaos - what test_chaos.c is made of: reactors with crowds of handlers over pools, each pool behind a proxy of
 * its own, and ledgers that know what every request may have left in the database. The director (test_chaos.c) makes
 * the trouble, asks the server how many connections there are, and judges.
 *
 * A reactor's part belongs to its thread; what the director may read meanwhile is atomic, or published by the pool. */
#ifndef SERVER_CHAOS_H
#define SERVER_CHAOS_H
#include <pthread.h>
#include <stdatomic.h>
#include "support/live.h"
#include "support/proxy.h"

enum { CHAOS_ASKERS = 120, CHAOS_BORROWERS = 48, CHAOS_PAYERS = 32, CHAOS_ACCOUNTS = 40, CHAOS_LAST = 10 };
#define CHAOS_MS UINT64_C(1000000)
#define CHAOS_SLACK_NS (1500 * CHAOS_MS)

/* STORM: whatever comes. CALM: nobody begins anything. LAST: each handler CHAOS_LAST times, and all must succeed. */
enum chaos_phase { CHAOS_STORM, CHAOS_CALM, CHAOS_LAST_PHASE, CHAOS_OVER };
extern _Atomic enum chaos_phase chaos_phase;

/* Something is wrong: printed at once (the first of them), counted. Any thread. */
void chaos_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern _Atomic unsigned chaos_complaints;

/* ---- the ledger: what became of each key that was to be inserted ---- */
enum chaos_fate {
    CHAOS_OPEN,  /* not ended: at the end of the test there is none         */
    CHAOS_THERE, /* exactly once                                            */
    CHAOS_NOT,   /* certainly not                                           */
    CHAOS_MAYBE, /* at most once                                            */
    CHAOS_FATES
};
struct chaos_ledger {
    uint8_t *fate, *seen; /* by key; `seen`: how often it stands in the table */
    bool *with_next;      /* in one batch with the next key: both or none     */
    uint32_t count, room;
    unsigned reactor;
};
int64_t chaos_key(struct chaos_ledger *ledger, bool with_next);
void chaos_note(struct chaos_ledger *ledger, int64_t key, enum chaos_fate fate);
enum chaos_fate chaos_fate(const struct pg_query *query); /* of an INSERT with this outcome */
void chaos_saw(struct chaos_ledger *ledger, int64_t key); /* in the table; false keys complain */
void chaos_judge(const struct chaos_ledger *ledger, uint64_t fates[CHAOS_FATES]);

/* ---- a reactor ---- */
enum { CHAOS_STATUSES = 24 };
struct chaos_reactor {
    unsigned index, conns;
    const char *conninfo;
    struct pg_budget *budget; /* NULL: none */
    bool cleans;              /* its pool discards what a holder leaves */
    pthread_t thread;
    struct live live;
    struct pg_pool *pool;
    uint64_t random;
    struct chaos_ledger ledger;
    struct chaos_asker *askers;
    struct chaos_borrower *borrowers;
    struct chaos_payer *payers;
    _Atomic unsigned busy; /* handlers with something under way, fibers that have not ended */
    uint64_t hang_ups, cancels, requests, operations, operate_ns;
    struct {
        int status;
        uint64_t count;
    } outcomes[CHAOS_STATUSES];
    _Atomic bool open, drained[CHAOS_OVER]; /* by phase */
    _Atomic uint64_t ended, succeeded;      /* for the director's curiosity */
};
void chaos_start(struct chaos_reactor *r);
void chaos_join(struct chaos_reactor *r);

/* The three kinds of handlers. `tend` begins what is due and fulfils wishes; true: nobody is at work or will be. */
void chaos_askers_make(struct chaos_reactor *r);
void chaos_askers_begin_last(struct chaos_reactor *r);
bool chaos_askers_tend(struct chaos_reactor *r, uint64_t now);
void chaos_borrowers_make(struct chaos_reactor *r);
void chaos_borrowers_begin_last(struct chaos_reactor *r);
bool chaos_borrowers_tend(struct chaos_reactor *r, uint64_t now);
void chaos_payers_make(struct chaos_reactor *r);
void chaos_payers_begin_last(struct chaos_reactor *r);
bool chaos_payers_tend(struct chaos_reactor *r, uint64_t now);

/* ---- what they share ---- */
uint64_t chaos_draw(struct chaos_reactor *r, uint64_t below);
static inline bool chaos_percent(struct chaos_reactor *r, unsigned n) { return chaos_draw(r, 100) < n; }
/* An outcome of `what`, whose deadline it was. */
void chaos_ended(struct chaos_reactor *r, const char *what, int status, uint64_t deadline_ns,
                 const struct pg_error *error);
bool chaos_may_begin(const struct chaos_reactor *r, unsigned left); /* left: of the last phase, to do */
uint64_t chaos_deadline(struct chaos_reactor *r, uint64_t now);

/* A wish about something that runs, and when. */
struct chaos_wish {
    enum { CHAOS_NOTHING, CHAOS_CANCEL, CHAOS_HANG_UP } what;
    uint64_t at_ns;
};
struct chaos_wish chaos_wish(struct chaos_reactor *r, uint64_t now, uint64_t deadline_ns);

extern struct pg_statement chaos_echo, chaos_many, chaos_nap, chaos_insert;
enum { CHAOS_MANY = 300 };
#endif
