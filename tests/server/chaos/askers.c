/* server/chaos/askers.c - handlers on the shared lane, by callbacks: one statement or one batch at a time, with a
 * deadline, and at times with a wish to cancel it or to be gone. */
#include "server/chaos/chaos.h"
#include <stdlib.h>

enum kind { ECHO, MANY, NAP, INSERT, PAIR };

struct chaos_asker {
    struct chaos_reactor *r;
    struct pg_query q[2];
    struct pg_param param[2][2];
    struct pg_error error[2];
    enum kind kind;
    int64_t token[2];
    int64_t row;   /* MANY: the last one */
    unsigned due;  /* outcomes           */
    unsigned left; /* in the last phase  */
    uint64_t deadline_ns, next_ns;
    struct chaos_wish wish;
    bool complained;
};

static void begin(struct chaos_asker *a);

static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    struct chaos_asker *a = q->data;
    if (!a->due) chaos_complain("a row came for a statement that has ended");
    if (pg_row_int8(row, 0) != a->token[0])
        chaos_complain("a foreign answer: %lld instead of %lld", (long long)pg_row_int8(row, 0),
                       (long long)a->token[0]);
    a->row++;
    if (a->kind == MANY && pg_row_int4(row, 1) != a->row) chaos_complain("a row is missing, or came twice");
    return PG_CONTINUE;
}

static int64_t rows_owed(const struct chaos_asker *a) { return a->kind == MANY ? CHAOS_MANY : a->kind < INSERT; }

static void on_done(struct pg_query *q)
{
    struct chaos_asker *a = q->data;
    struct chaos_reactor *r = a->r;
    size_t i = (size_t)(q - a->q);
    if (!a->due) chaos_complain("an outcome came twice, or after the abandon: %s", pg_error_name(q->status));
    if (a->kind >= INSERT)
        chaos_note(&r->ledger, a->token[i], chaos_fate(q));
    else if (q->status == PG_OK && a->row != rows_owed(a))
        chaos_complain("%lld rows of an answer", (long long)a->row);
    if (q->status == PG_OK && a->kind >= INSERT && q->rows != 1)
        chaos_complain("INSERT 0 %llu", (unsigned long long)q->rows);
    chaos_ended(r, "a statement", q->status, a->deadline_ns, &a->error[i]);
    if (--a->due) return;
    r->busy--;
    uint64_t now = pg_reactor_now(r->live.reactor);
    a->next_ns = now + chaos_draw(r, 100 * CHAOS_MS);
    if (chaos_phase == CHAOS_STORM && q->status == PG_OK && chaos_percent(r, 30)) begin(a);
}

static void prepare(struct chaos_asker *a, unsigned i)
{
    static struct pg_statement *const statements[] = { &chaos_echo, &chaos_many, &chaos_nap, &chaos_insert,
                                                       &chaos_insert };
    struct chaos_reactor *r = a->r;
    a->token[i] = a->kind >= INSERT ? chaos_key(&r->ledger, a->kind == PAIR && i == 0)
                                    : (int64_t)chaos_draw(r, UINT64_C(1) << 62);
    a->param[i][0] = pg_int8(a->token[i]);
    a->param[i][1] = pg_float8((double)chaos_draw(r, 100) / 1e3);
    a->q[i] = (struct pg_query){ .statement = statements[a->kind],
                                 .params = a->param[i],
                                 .nparams = a->kind == NAP ? 2 : 1,
                                 .deadline_ns = a->deadline_ns,
                                 .on_row = on_row,
                                 .on_done = on_done,
                                 .error = &a->error[i],
                                 .data = a };
}

static void begin(struct chaos_asker *a)
{
    static const enum kind kinds[] = { ECHO, ECHO, ECHO, ECHO, ECHO, ECHO, MANY, NAP, INSERT, INSERT, INSERT, PAIR };
    struct chaos_reactor *r = a->r;
    uint64_t now = pg_reactor_now(r->live.reactor);
    a->kind = kinds[chaos_draw(r, sizeof kinds / sizeof *kinds)];
    a->deadline_ns = chaos_deadline(r, now);
    a->wish = chaos_wish(r, now, a->deadline_ns);
    a->row = 0;
    a->due = a->kind == PAIR ? 2 : 1;
    if (a->left) a->left--;
    for (unsigned i = 0; i < a->due; i++) prepare(a, i);
    if (a->kind == PAIR) a->q[0].next = &a->q[1];
    r->busy++;
    pg_pool_query(r->pool, &a->q[0]);
}

static void fulfil(struct chaos_asker *a, uint64_t now)
{
    struct chaos_reactor *r = a->r;
    if (a->wish.what == CHAOS_CANCEL) {
        r->cancels++;
        pg_query_cancel(&a->q[0]);
    } else {
        r->hang_ups++;
        for (unsigned i = 0; i < (a->kind == PAIR ? 2u : 1u); i++) {
            pg_query_abandon(&a->q[i]);
            if (a->kind >= INSERT) chaos_note(&r->ledger, a->token[i], CHAOS_MAYBE);
        }
        a->due = 0;
        r->busy--;
        a->next_ns = now + chaos_draw(r, 100 * CHAOS_MS);
    }
    a->wish.what = CHAOS_NOTHING;
}

void chaos_askers_make(struct chaos_reactor *r)
{
    r->askers = calloc(CHAOS_ASKERS, sizeof *r->askers);
    if (!r->askers) abort();
    for (unsigned i = 0; i < CHAOS_ASKERS; i++) r->askers[i].r = r;
}

void chaos_askers_begin_last(struct chaos_reactor *r)
{
    for (unsigned i = 0; i < CHAOS_ASKERS; i++) r->askers[i].left = CHAOS_LAST;
}

bool chaos_askers_tend(struct chaos_reactor *r, uint64_t now)
{
    bool done = true;
    for (unsigned i = 0; i < CHAOS_ASKERS; i++) {
        struct chaos_asker *a = &r->askers[i];
        if (a->due && a->wish.what && a->wish.at_ns <= now) fulfil(a, now);
        if (a->due && !a->complained && now > a->deadline_ns + 2 * CHAOS_SLACK_NS) {
            chaos_complain("a statement has no outcome long after its deadline");
            a->complained = true;
        }
        bool may = chaos_may_begin(r, a->left) && (a->left || a->next_ns <= now);
        if (!a->due && may) begin(a);
        done &= !a->due && !a->left;
    }
    return done;
}
