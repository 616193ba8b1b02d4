/* server/chaos/reactor.c - one thread: a reactor, a pool, and the loop that tends its handlers. And the ledger. */
#include "server/chaos/chaos.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct pg_statement chaos_echo = PG_STATEMENT("SELECT $1", PG_TYPE_INT8);
struct pg_statement chaos_many = PG_STATEMENT("SELECT $1, g FROM generate_series(1, 300) g", PG_TYPE_INT8);
struct pg_statement chaos_nap = PG_STATEMENT("SELECT $1, pg_sleep($2)", PG_TYPE_INT8, PG_TYPE_FLOAT8);
struct pg_statement chaos_insert = PG_STATEMENT("INSERT INTO chaos_key VALUES ($1)", PG_TYPE_INT8);

_Atomic enum chaos_phase chaos_phase;
_Atomic unsigned chaos_complaints;

void chaos_complain(const char *format, ...)
{
    enum { PRINTED = 20 };
    va_list arguments;
    if (atomic_fetch_add(&chaos_complaints, 1) >= PRINTED) return;
    flockfile(stderr);
    fprintf(stderr, "chaos: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    funlockfile(stderr);
}

/* ---- the ledger ---- */

int64_t chaos_key(struct chaos_ledger *l, bool with_next)
{
    if (l->count == l->room) {
        l->room = l->room ? l->room * 2 : 65536;
        l->fate = realloc(l->fate, l->room);
        l->with_next = realloc(l->with_next, l->room * sizeof *l->with_next);
        if (!l->fate || !l->with_next) abort();
    }
    l->fate[l->count] = CHAOS_OPEN;
    l->with_next[l->count] = with_next;
    return (int64_t)l->reactor << 32 | l->count++;
}

void chaos_note(struct chaos_ledger *l, int64_t key, enum chaos_fate fate) { l->fate[(uint32_t)key] = (uint8_t)fate; }

enum chaos_fate chaos_fate(const struct pg_query *q)
{
    if (q->status == PG_OK) return CHAOS_THERE;
    return q->sent == PG_SENT_MAYBE ? CHAOS_MAYBE : CHAOS_NOT;
}

void chaos_saw(struct chaos_ledger *l, int64_t key)
{
    if (!l->seen) l->seen = calloc(l->count + 1, 1);
    if (!l->seen) abort();
    if ((uint32_t)key >= l->count)
        chaos_complain("key %lld stands in the table and was never inserted", (long long)key);
    else if (l->seen[(uint32_t)key] < 255)
        l->seen[(uint32_t)key]++;
}

void chaos_judge(const struct chaos_ledger *l, uint64_t fates[CHAOS_FATES])
{
    static const char *const names[] = { "no outcome", "success", "certainly not executed", "perhaps executed" };
    for (uint32_t i = 0; i < l->count; i++) {
        unsigned seen = l->seen ? l->seen[i] : 0;
        bool right = l->fate[i] == CHAOS_THERE ? seen == 1 : l->fate[i] == CHAOS_MAYBE ? seen <= 1 : seen == 0;
        fates[l->fate[i]]++;
        if (!right || l->fate[i] == CHAOS_OPEN)
            chaos_complain("key %u.%u: its outcome was: %s; it stands %u times in the table", l->reactor, i,
                           names[l->fate[i]], seen);
        if (l->with_next[i] && l->seen && seen != l->seen[i + 1])
            chaos_complain("keys %u.%u and the next were one batch: %u and %u times in the table", l->reactor, i, seen,
                           l->seen[i + 1]);
    }
}

/* ---- what handlers share ---- */

uint64_t chaos_draw(struct chaos_reactor *r, uint64_t below)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return r->random % below;
}

bool chaos_may_begin(const struct chaos_reactor *r, unsigned left)
{
    enum { AT_WORK = 100 }; /* in the last phase none is to be refused because the queue is full */
    return chaos_phase == CHAOS_STORM || (chaos_phase == CHAOS_LAST_PHASE && left && r->busy < AT_WORK);
}

uint64_t chaos_deadline(struct chaos_reactor *r, uint64_t now)
{
    if (chaos_phase != CHAOS_STORM) return now + 20000 * CHAOS_MS;
    return now + (20 + chaos_draw(r, chaos_percent(r, 30) ? 200 : 2000)) * CHAOS_MS;
}

struct chaos_wish chaos_wish(struct chaos_reactor *r, uint64_t now, uint64_t deadline_ns)
{
    if (chaos_phase != CHAOS_STORM || chaos_percent(r, 75)) return (struct chaos_wish){ .what = CHAOS_NOTHING };
    return (struct chaos_wish){ .what = chaos_percent(r, 40) ? CHAOS_CANCEL : CHAOS_HANG_UP,
                                .at_ns =
                                    now + chaos_draw(r, chaos_percent(r, 80) ? 20 * CHAOS_MS : deadline_ns - now) };
}

void chaos_ended(struct chaos_reactor *r, const char *what, int status, uint64_t deadline_ns,
                 const struct pg_error *error)
{
    uint64_t now = pg_reactor_now(r->live.reactor);
    unsigned i = 0;
    while (i < CHAOS_STATUSES - 1 && r->outcomes[i].count && r->outcomes[i].status != status) i++;
    r->outcomes[i].status = status;
    r->outcomes[i].count++;
    r->requests++;
    r->ended++;
    if (status == PG_OK) r->succeeded++;
    if (now > deadline_ns + CHAOS_SLACK_NS)
        chaos_complain("%s ended %llu ms after its deadline with %s", what,
                       (unsigned long long)((now - deadline_ns) / CHAOS_MS), pg_error_name(status));
    if (chaos_phase != CHAOS_STORM && chaos_phase != CHAOS_CALM && status != PG_OK)
        chaos_complain("%s failed in the last phase, when all is well: %s: %s", what, pg_error_name(status),
                       error ? pg_error_field(error, 'M') : "");
}

/* ---- the operator ---- */

/* A pool in a budget has one connection that is sure, and what it gets. */
static void set_size(struct chaos_reactor *r, uint32_t most)
{
    int rc = pg_pool_resize(r->pool, r->budget ? 1 : most, most);
    if (rc) chaos_complain("the pool cannot be made %u: %s", most, pg_error_name(rc));
}

static void operate(struct chaos_reactor *r, uint64_t now)
{
    if (now < r->operate_ns) return;
    r->operate_ns = now + (200 + chaos_draw(r, 2500)) * CHAOS_MS;
    r->operations++;
    pg_pool_resume(r->pool);
    switch (chaos_draw(r, 4)) {
    case 0: pg_pool_reset(r->pool); break;
    case 1: set_size(r, 1 + (uint32_t)chaos_draw(r, r->conns)); break;
    case 2: set_size(r, r->conns); break;
    default:
        pg_pool_suspend(r->pool);
        r->operate_ns = now + chaos_draw(r, 200) * CHAOS_MS;
        break;
    }
}

/* ---- the thread ---- */

/* One turn, and a wait that is short enough for wishes. */
static void step(struct chaos_reactor *r)
{
    enum { MOST_NS = 3000000 };
    live_step_within(&r->live, MOST_NS);
}

static bool tend(struct chaos_reactor *r)
{
    uint64_t now = pg_reactor_now(r->live.reactor);
    bool askers = chaos_askers_tend(r, now), borrowers = chaos_borrowers_tend(r, now);
    return chaos_payers_tend(r, now) && askers && borrowers;
}

static void run_phase(struct chaos_reactor *r, enum chaos_phase phase)
{
    while (chaos_phase == phase) {
        step(r);
        if (phase == CHAOS_STORM) operate(r, pg_reactor_now(r->live.reactor));
        if (tend(r)) r->drained[phase] = true;
    }
}

static void *run(void *arg)
{
    struct chaos_reactor *r = arg;
    struct pg_error error;
    if (!live_open(&r->live, LIVE_URING)) live_open(&r->live, LIVE_EPOLL);
    struct pg_pool_config config = PG_POOL_CONFIG(r->conninfo);
    config.max_conns = r->conns;
    config.min_conns = r->budget ? 1 : r->conns;
    config.budget = r->budget;
    if (pg_pool_open(&r->pool, r->live.reactor, &config, &error)) {
        fprintf(stderr, "chaos: %s\n", pg_error_field(&error, 'M'));
        _exit(1);
    }
    chaos_askers_make(r);
    chaos_borrowers_make(r);
    chaos_payers_make(r);
    r->open = true;
    run_phase(r, CHAOS_STORM);
    pg_pool_resume(r->pool);
    set_size(r, r->conns);
    run_phase(r, CHAOS_CALM);
    chaos_askers_begin_last(r);
    chaos_borrowers_begin_last(r);
    chaos_payers_begin_last(r);
    run_phase(r, CHAOS_LAST_PHASE);
    live_close(&r->live);
    free(r->askers);
    free(r->borrowers);
    free(r->payers);
    return NULL;
}

void chaos_start(struct chaos_reactor *r)
{
    if (pthread_create(&r->thread, NULL, run, r)) abort();
    while (!r->open) usleep(1000); /* ends: the thread opens its pool, or the process */
}

void chaos_join(struct chaos_reactor *r) { pthread_join(r->thread, NULL); }
