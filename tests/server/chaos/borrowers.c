/* server/chaos/borrowers.c - handlers on the lease lane, by callbacks: acquire, a few statements in flight at once,
 * release; some hang up in the midst of it, some give the connection back inside a transaction, and some leave a
 * setting behind that the next one must not find. */
#include "server/chaos/chaos.h"
#include <stdlib.h>

enum script { ECHOES, TRANSACTION, LEFT_OPEN, MARKED, SCRIPTS };
enum { QUERIES = 3 };

static struct pg_statement is_clean =
    PG_STATEMENT("SELECT $1, coalesce(current_setting('chaos.mark', true), '') = ''", PG_TYPE_INT8);
static struct pg_statement mark = PG_STATEMENT("SELECT $1, set_config('chaos.mark', 'x', false)", PG_TYPE_INT8);

struct chaos_borrower {
    struct chaos_reactor *r;
    struct pg_lease lease;
    struct pg_query q[QUERIES];
    struct pg_param param[QUERIES][2];
    struct pg_error error, query_error[QUERIES];
    enum script script;
    int64_t token[QUERIES], key;
    bool busy, held;
    unsigned due, left;
    uint64_t deadline_ns, next_ns;
    struct chaos_wish wish;
    bool complained;
};

static void rest(struct chaos_borrower *b, uint64_t now)
{
    b->busy = b->held = false;
    b->due = 0;
    b->r->busy--;
    b->next_ns = now + chaos_draw(b->r, 150 * CHAOS_MS);
}

static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    struct chaos_borrower *b = q->data;
    if (pg_row_int8(row, 0) != b->token[q - b->q]) chaos_complain("a foreign answer on a lease");
    if (q->statement == &is_clean && !pg_row_bool(row, 1)) chaos_complain("a setting of another holder is there");
    return PG_CONTINUE;
}

static void on_done(struct pg_query *q)
{
    struct chaos_borrower *b = q->data;
    struct chaos_reactor *r = b->r;
    if (!b->due) chaos_complain("an outcome on a lease came twice, or after the abandon");
    chaos_ended(r, "a statement on a lease", q->status, b->deadline_ns, q->error);
    bool commit = b->script == TRANSACTION && q == &b->q[QUERIES - 1];
    if (commit) chaos_note(&r->ledger, b->key, chaos_fate(q));
    if (--b->due) return;
    pg_lease_release(&b->lease);
    rest(b, pg_reactor_now(r->live.reactor));
}

static struct pg_query query(struct chaos_borrower *b, unsigned i, struct pg_statement *statement, unsigned params)
{
    b->token[i] = (int64_t)chaos_draw(b->r, UINT64_C(1) << 62);
    b->param[i][0] = pg_int8(b->token[i]);
    b->param[i][1] = pg_float8((double)chaos_draw(b->r, 100) / 1e3);
    return (struct pg_query){ .statement = statement,
                              .params = b->param[i],
                              .nparams = (uint16_t)params,
                              .deadline_ns = b->deadline_ns,
                              .on_row = on_row,
                              .on_done = on_done,
                              .error = &b->query_error[i],
                              .data = b };
}

static void on_grant(struct pg_lease *lease, int status)
{
    struct chaos_borrower *b = lease->data;
    struct chaos_reactor *r = b->r;
    if (!b->busy || b->held) chaos_complain("a grant came twice, or after the abandon");
    chaos_ended(r, "an acquire", status, b->deadline_ns, &b->error);
    uint64_t now = pg_reactor_now(r->live.reactor);
    if (status) {
        rest(b, now);
        return;
    }
    if (pg_lease_transaction(lease) != 'I') chaos_complain("a lease was granted inside a transaction");
    b->held = true;
    b->deadline_ns = chaos_deadline(r, now);
    switch (b->script) {
    case ECHOES:
        b->q[0] = query(b, 0, &chaos_echo, 1);
        b->q[1] = query(b, 1, chaos_percent(r, 30) ? &chaos_nap : &chaos_echo, 1);
        if (b->q[1].statement == &chaos_nap) b->q[1].nparams = 2;
        b->q[2] = query(b, 2, &chaos_echo, 1);
        break;
    case TRANSACTION: /* one Sync: if BEGIN fails, the rest is skipped */
        b->key = chaos_key(&r->ledger, false);
        b->q[0] = query(b, 0, &pg_begin, 0);
        b->q[1] = query(b, 1, &chaos_insert, 1);
        b->param[1][0] = pg_int8(b->key);
        b->q[2] = query(b, 2, &pg_commit, 0);
        b->q[0].next = &b->q[1];
        b->q[1].next = &b->q[2];
        break;
    case MARKED:
        b->q[0] = query(b, 0, &is_clean, 1);
        b->q[1] = query(b, 1, &mark, 1);
        b->q[2] = query(b, 2, &chaos_echo, 1);
        break;
    default: /* and it is given back as it is */
        b->q[0] = query(b, 0, &pg_begin, 0);
        b->q[1] = query(b, 1, &chaos_echo, 1);
        b->q[2] = query(b, 2, &chaos_nap, 2);
        break;
    }
    b->due = QUERIES;
    if (b->script == TRANSACTION)
        pg_lease_query(lease, &b->q[0]);
    else
        for (unsigned i = 0; i < QUERIES; i++) pg_lease_query(lease, &b->q[i]);
}

static void begin(struct chaos_borrower *b, uint64_t now)
{
    struct chaos_reactor *r = b->r;
    b->script = (enum script)chaos_draw(r, r->cleans ? SCRIPTS : MARKED);
    b->deadline_ns = chaos_deadline(r, now);
    b->wish = chaos_wish(r, now, b->deadline_ns);
    b->lease = (struct pg_lease){
        .on_grant = on_grant, .deadline_ns = b->deadline_ns, .tag = PG_HERE, .error = &b->error, .data = b
    };
    b->lease.priority = chaos_percent(r, 15) ? PG_PRIORITY_HIGH : PG_PRIORITY_NORMAL;
    b->busy = true;
    b->held = false;
    if (b->left) b->left--;
    r->busy++;
    pg_pool_acquire(r->pool, &b->lease);
}

static void fulfil(struct chaos_borrower *b, uint64_t now)
{
    struct chaos_reactor *r = b->r;
    if (b->wish.what == CHAOS_HANG_UP) {
        r->hang_ups++;
        bool unknown = b->held && b->script == TRANSACTION;
        pg_lease_abandon(&b->lease);
        if (unknown) chaos_note(&r->ledger, b->key, CHAOS_MAYBE);
        rest(b, now);
    } else if (b->held) {
        r->cancels++;
        pg_query_cancel(&b->q[chaos_draw(r, QUERIES)]);
    }
    b->wish.what = CHAOS_NOTHING;
}

void chaos_borrowers_make(struct chaos_reactor *r)
{
    r->borrowers = calloc(CHAOS_BORROWERS, sizeof *r->borrowers);
    if (!r->borrowers) abort();
    for (unsigned i = 0; i < CHAOS_BORROWERS; i++) r->borrowers[i].r = r;
}

void chaos_borrowers_begin_last(struct chaos_reactor *r)
{
    for (unsigned i = 0; i < CHAOS_BORROWERS; i++) r->borrowers[i].left = CHAOS_LAST;
}

bool chaos_borrowers_tend(struct chaos_reactor *r, uint64_t now)
{
    bool done = true;
    for (unsigned i = 0; i < CHAOS_BORROWERS; i++) {
        struct chaos_borrower *b = &r->borrowers[i];
        if (b->busy && b->wish.what && b->wish.at_ns <= now) fulfil(b, now);
        if (b->busy && !b->complained && now > b->deadline_ns + 2 * CHAOS_SLACK_NS) {
            chaos_complain("a lease's %s has no outcome long after its deadline", b->held ? "statement" : "acquire");
            b->complained = true;
        }
        bool may = chaos_may_begin(r, b->left) && (b->left || b->next_ns <= now);
        if (!b->busy && may) begin(b, now);
        done &= !b->busy && !b->left;
    }
    return done;
}
