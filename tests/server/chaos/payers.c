/* server/chaos/payers.c - handlers in fibers: a transfer between two accounts with its key, in a transaction that is
 * tried again after a conflict. The sum of all accounts never changes. Some are cancelled wherever they are. */
#include "server/chaos/chaos.h"
#include <stdlib.h>

static struct pg_statement pay =
    PG_STATEMENT("UPDATE chaos_account SET balance = balance + $1 WHERE id = $2", PG_TYPE_INT8, PG_TYPE_INT8);

struct chaos_payer {
    struct chaos_reactor *r;
    struct pg_fiber fiber;
    struct pg_error error;
    int64_t key, amount, from, to;
    bool running, paid;
    unsigned left;
    uint64_t deadline_ns, cancel_ns, next_ns;
};

static int update(struct pg_lease *lease, struct pg_statement *statement, int64_t first, int64_t second,
                  unsigned params, uint64_t deadline_ns)
{
    struct pg_param param[] = { pg_int8(first), pg_int8(second) };
    struct pg_query q = {
        .statement = statement, .params = param, .nparams = (uint16_t)params, .deadline_ns = deadline_ns
    };
    pg_lease_query(lease, &q);
    int rc = pg_await(&q);
    if (rc) return rc;
    if (q.rows != 1) chaos_complain("%llu rows were changed instead of one", (unsigned long long)q.rows);
    return 0;
}

static int transfer(struct pg_lease *lease, void *arg)
{
    struct chaos_payer *p = arg;
    p->paid = false; /* until then nothing can have been committed */
    int rc = update(lease, &pay, -p->amount, p->from, 2, p->deadline_ns);
    if (!rc) rc = update(lease, &pay, p->amount, p->to, 2, p->deadline_ns);
    if (!rc) rc = update(lease, &chaos_insert, p->key, 0, 1, p->deadline_ns);
    p->paid = !rc;
    return rc;
}

static enum chaos_fate fate(const struct chaos_payer *p, int rc)
{
    if (rc == 0) return CHAOS_THERE;
    if (!p->paid) return CHAOS_NOT;
    return p->error.sent == PG_SENT_MAYBE || rc == PG_E_CANCELLED ? CHAOS_MAYBE : CHAOS_NOT;
}

static void run(void *arg)
{
    struct chaos_payer *p = arg;
    struct chaos_reactor *r = p->r;
    do {
        uint64_t now = pg_reactor_now(r->live.reactor);
        bool calm = chaos_phase != CHAOS_STORM; /* and nobody is told that his transfer met another one */
        p->from = 1 + (int64_t)chaos_draw(r, CHAOS_ACCOUNTS);
        p->to = 1 + (int64_t)chaos_draw(r, CHAOS_ACCOUNTS);
        if (calm && p->from > p->to) {
            int64_t lower = p->to;
            p->to = p->from;
            p->from = lower;
        }
        p->amount = 1 + (int64_t)chaos_draw(r, 100);
        p->deadline_ns = chaos_deadline(r, now);
        p->key = chaos_key(&r->ledger, false);
        p->paid = false;
        p->error = (struct pg_error){ 0 };
        int rc = pg_await_transaction(r->pool, NULL, 3, p->deadline_ns, transfer, p, &p->error);
        chaos_note(&r->ledger, p->key, fate(p, rc));
        chaos_ended(r, "a transfer", rc, p->deadline_ns, &p->error);
        if (p->left) p->left--;
        if (!calm && pg_await_sleep(pg_reactor_now(r->live.reactor) + chaos_draw(r, 200 * CHAOS_MS))) break;
    } while (chaos_phase == CHAOS_STORM || (chaos_phase == CHAOS_LAST_PHASE && p->left));
    p->running = false;
    r->busy--;
}

void chaos_payers_make(struct chaos_reactor *r)
{
    r->payers = calloc(CHAOS_PAYERS, sizeof *r->payers);
    if (!r->payers) abort();
    for (unsigned i = 0; i < CHAOS_PAYERS; i++) r->payers[i].r = r;
}

void chaos_payers_begin_last(struct chaos_reactor *r)
{
    for (unsigned i = 0; i < CHAOS_PAYERS; i++) r->payers[i].left = CHAOS_LAST;
}

bool chaos_payers_tend(struct chaos_reactor *r, uint64_t now)
{
    bool done = true;
    for (unsigned i = 0; i < CHAOS_PAYERS; i++) {
        struct chaos_payer *p = &r->payers[i];
        bool may = chaos_may_begin(r, p->left);
        if (p->running && chaos_phase == CHAOS_STORM && p->cancel_ns <= now) {
            r->hang_ups++;
            pg_fiber_cancel(p->fiber);
            p->cancel_ns = PG_NEVER;
        }
        if (!p->running && may) {
            p->running = true;
            r->busy++;
            p->cancel_ns = now + chaos_draw(r, 8000 * CHAOS_MS);
            if (pg_fiber_spawn(r->live.reactor, run, p, &p->fiber)) abort();
        }
        done &= !p->running && !p->left;
    }
    return done;
}
