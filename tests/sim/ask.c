/* sim/ask.c - one query of a handler, from its start to its one outcome, in either lane. Each carries a token that its
 * answer must bring back; a mix-up of answers cannot go unseen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conn/query.h"
#include "session/session.h"
#include "sim/ask.h"
#include "sim/pg_sim.h"

static struct pg_statement echo = PG_STATEMENT("ECHO $1", PG_TYPE_INT8);
static struct pg_statement echo_text = PG_STATEMENT("ECHO $1", PG_TYPE_TEXT);
static struct pg_statement insert = PG_STATEMENT("INSERT $1", PG_TYPE_INT8);
static struct pg_statement insert_again = { "INSERT $1", { PG_TYPE_INT8, 0 }, NULL, PG_STATEMENT_REPEATABLE, 0 };
static struct pg_statement deferred = PG_STATEMENT("DEFERRED $1", PG_TYPE_INT8);
static struct pg_statement slow = { "SLEEP 12", { 0 }, NULL, PG_STATEMENT_SLOW, 0 };
static struct pg_statement tardy = PG_STATEMENT("SLEEP 30"); /* slow, as is to be found out */
static struct pg_statement syntax = PG_STATEMENT("SYNTAX");
static struct pg_statement stray = PG_STATEMENT("STRAY");

static const struct {
    const char *name;
    struct pg_statement *statement;
    const char *sql; /* built at run time, with places for one or two numbers */
    unsigned habits;
} kinds[ASK_KINDS] = {
    [ASK_ECHO] = { "echo", &echo, NULL, TOKEN | PLAIN },
    [ASK_ECHO_TEXT] = { "echo text", &echo_text, NULL, PAYLOAD | PLAIN },
    [ASK_ECHO_SQL] = { "echo sql", NULL, "ECHO %lld", TOKEN | PLAIN },
    [ASK_ROWS] = { "rows", NULL, "ROWS %lld %lld", ROWS | PLAIN },
    [ASK_INSERT] = { "insert", &insert, NULL, INSERTS | PLAIN },
    [ASK_INSERT_REPEATABLE] = { "insert repeatable", &insert_again, NULL, INSERTS | PLAIN },
    [ASK_INSERT_SQL] = { "insert sql", NULL, "INSERT %lld", INSERTS | PLAIN },
    [ASK_SLEEP] = { "sleep", NULL, "SLEEP %lld", PLAIN },
    [ASK_SLOW] = { "slow", &slow, NULL, PLAIN },
    [ASK_TARDY] = { "tardy", &tardy, NULL, PLAIN },
    [ASK_DEFERRED] = { "deferred", &deferred, NULL, INSERTS },
    [ASK_FAIL] = { "fail", NULL, "FAIL 22012 --%lld", FAILS },
    [ASK_SYNTAX] = { "syntax", &syntax, NULL, FAILS },
    [ASK_STRAY] = { "stray", &stray, NULL, NOT_SHARED },
    [ASK_BIG] = { "big", NULL, "BIG %lld", FAILS },
    [ASK_BIG_PIECES] = { "big in pieces", NULL, "BIG %lld", PIECES | PLAIN },
    [ASK_GETTER] = { "wrong getter", &echo_text, NULL, PAYLOAD | FAILS },
    [ASK_HANG] = { "hang", NULL, "SLEEP 100000000 --%lld", FAILS },
    [ASK_SET] = { "set", NULL, "SET a = %lld", NOT_SHARED },
    [ASK_TEXT_ECHO] = { "echo text kept", NULL, "ECHO $1 --%lld", TOKEN | PLAIN },
    [ASK_TEXT_ROWS] = { "rows text kept", NULL, "ROWS %lld %lld", ROWS | PLAIN },
    [ASK_TEXT_INSERT] = { "insert text kept", NULL, "INSERT $1 --%lld", INSERTS | PLAIN },
    [ASK_DEALLOCATE] = { "deallocate", NULL, "DEALLOCATE one --%lld", NOT_SHARED },
    [ASK_DEALLOCATE_ALL] = { "deallocate all", NULL, "DEALLOCATE ALL --%lld", NOT_SHARED },
    [ASK_WRONG] = { "wrong parameters", &echo, NULL, FAILS },
    [ASK_COPY] = { "copy", NULL, "COPYIN %lld", FAILS },
    [ASK_DISCARD] = { "discard", NULL, "DISCARD ALL --%lld", NOT_SHARED },
    [ASK_BEGIN] = { "begin", &pg_begin, NULL, NOT_SHARED },
    [ASK_COMMIT] = { "commit", &pg_commit, NULL, NOT_SHARED },
    [ASK_ROLLBACK] = { "rollback", &pg_rollback, NULL, NOT_SHARED },
    [ASK_SAVEPOINT] = { "savepoint", &pg_savepoint, NULL, NOT_SHARED },
    [ASK_RELEASE] = { "release savepoint", &pg_release_savepoint, NULL, NOT_SHARED },
    [ASK_ROLLBACK_TO] = { "rollback to savepoint", &pg_rollback_to_savepoint, NULL, NOT_SHARED },
    [ASK_SIMPLE] = { "simple", NULL, "INSERT %lld; ECHO simple; INSERT %lld", INSERTS | NOT_SHARED },
    [ASK_COPY_IN] = { "copy in", NULL, NULL, INSERTS | COPIES | PLAIN | NOT_SHARED },
    [ASK_COPY_OUT] = { "copy out", NULL, NULL, COPIES | PLAIN | NOT_SHARED },
};

void ask_ids(void)
{
    for (int i = 0; i < ASK_KINDS; i++)
        if (kinds[i].statement) (void)rp_statement_id(kinds[i].statement);
}

struct pg_statement *ask_statement(enum ask_kind kind) { return kinds[kind].statement; }

unsigned ask_habits(enum ask_kind kind) { return kinds[kind].habits; }
const char *ask_name(enum ask_kind kind) { return kinds[kind].name; }

/* ---- outcomes ---- */

static void fate_of_keys(struct run *r, struct ask *a, enum fate fate)
{
    for (int i = 0; i < 2; i++)
        if (a->key[i]) ledger_fate(&r->scene->ledger, a->key[i], fate);
}

static bool server_said_no(const struct ask *a)
{
    int s = a->query.status;
    return s == PG_E_SERVER || s == PG_E_ROLLED_BACK || s == PG_E_NEEDS_LEASE ||
           (s == PG_E_BATCH && a->query.sent == PG_SENT_YES) || (s == PG_E_CANCELLED && a->query.sqlstate[0]);
}

static void inserted(struct run *r, struct ask *a)
{
    struct holder *h = a->holder;
    bool repeatable = a->kind == ASK_INSERT_REPEATABLE;
    if (a->query.sent == PG_SENT_NO || (server_said_no(a) && !repeatable)) {
        fate_of_keys(r, a, FATE_NEVER);
    } else if (a->query.status == PG_OK) {
        char status = h ? pg_lease_transaction(&h->lease) : 'I';
        /* 0: decided, and the connection was gone before it was told; whether a block was open is not to be seen. */
        REQUIRE(status == 'I' || status == 'T' || status == 0, "an insert succeeded and its lease is in '%c'", status);
        if (status == 0) fate_of_keys(r, a, FATE_OPEN);
        if (status == 'I') fate_of_keys(r, a, a->rolled_back ? FATE_NEVER : FATE_MUST);
        for (int i = 0; i < 2 && status == 'T' && !h->doubtful; i++) {
            if (!a->key[i]) continue;
            REQUIRE(h->npending < HOLDER_PENDING, "a script is too long");
            h->pending[h->npending++] = a->key[i];
        }
    }
}

static void committed(struct ask *a)
{
    int s = a->query.status;
    if (!a->holder || a->query.sent == PG_SENT_NO) return;
    char status = pg_lease_transaction(&a->holder->lease);
    /* It failed before the COMMIT, and may go back to a savepoint. */
    bool goes_on = server_said_no(a) && (s == PG_E_BATCH || status == 'T' || status == 'E');
    if (a->kind == ASK_COMMIT && !goes_on)
        holder_settle(a->holder, s == PG_OK ? FATE_MUST : server_said_no(a) ? FATE_NEVER : FATE_OPEN);
    else if (a->kind == ASK_ROLLBACK && !server_said_no(a))
        holder_settle(a->holder, s == PG_OK ? FATE_NEVER : FATE_OPEN);
    else if (a->kind >= ASK_SAVEPOINT && a->kind <= ASK_ROLLBACK_TO && !server_said_no(a))
        holder_savepoint(a->holder, a);
}

static void check_outcome(struct run *r, struct ask *a)
{
    const struct pg_query *q = &a->query;
    unsigned habits = kinds[a->kind].habits;
    const char *name = kinds[a->kind].name;
    bool ok = q->status == PG_OK;
    REQUIRE(q->status <= 0 && strcmp(pg_error_name(q->status), "?"), "%s: status %d", name, q->status);
    REQUIRE(!ok || q->sent == PG_SENT_YES, "%s: PG_OK, and sent is %d", name, q->sent);
    REQUIRE(!ok || !(habits & FAILS), "%s succeeded", name);
    REQUIRE(!ok || a->holder || !(habits & NOT_SHARED), "%s succeeded on the shared lane", name);
    REQUIRE(!ok || a->holder || a->kind != ASK_DEFERRED, "a deferred failure was told as success");
    rows_check_kept(a);
    REQUIRE(!ok || !(habits & (TOKEN | PAYLOAD | ROWS | PIECES)) || a->rows == a->due_rows,
            "%s: %llu rows came of %llu", name, (unsigned long long)a->rows, (unsigned long long)a->due_rows);
    REQUIRE(q->status != PG_E_VALUE || a->kind == ASK_GETTER, "%s: %s", name, pg_error_field(&a->error, 'M'));
    if (habits & COPIES) copy_check(a);
    REQUIRE(!ok || !a->over || habits & COPIES, "%s: its row died while it was paused, and it succeeded", name);
    REQUIRE(!ok || !a->stopped, "%s: was stopped and succeeded", name);
    REQUIRE((q->status == PG_E_SERVER) <= (q->sqlstate[0] != 0), "%s: the server reported an error without a SQLSTATE",
            name);
    bool no_buffer = habits & COPIES && q->status == PG_E_FULL;
    REQUIRE(a->called_off || strcmp(q->sqlstate, "57014") || no_buffer,
            "%s: a cancel request hit it, and it was another's", name);
    REQUIRE(q->status != PG_E_SERVER || strcmp(q->sqlstate, "22012") || a->kind == ASK_FAIL,
            "%s: its batch failed, and another one's error is told as its own", name);
    REQUIRE(a->called_off || a->stopped || q->status != PG_E_CANCELLED, "%s: cancelled by nobody", name);
    bool may_forget = r->set.forget || (r->set.discards && !r->set.calm);
    REQUIRE(may_forget || strcmp(q->sqlstate, "26000"), "%s: 26000, and the server has forgotten nothing", name);
    REQUIRE(ok || (a->error.code == q->status && a->error.sent == q->sent),
            "%s: error says %s, sent %d; the query %s, sent %d", name, pg_error_name(a->error.code), a->error.sent,
            pg_error_name(q->status), q->sent);
    REQUIRE(ok || pg_error_field(&a->error, 'M')[0], "%s: %s without a text", name, pg_error_name(q->status));
    audit_told(r, q->deadline_ns, a->started_ns, name);
    bool may_be_full = a->kept || (a->holder && a->holder->pipelined);
    if (r->set.calm && habits & PLAIN && !a->grouped && !r->closing)
        REQUIRE(ok || !strcmp(q->sqlstate, "25P02") || (q->status == PG_E_FULL && may_be_full),
                "%s failed in a calm world: %s, %s", name, pg_error_name(q->status), pg_error_field(&a->error, 'M'));
}

static void bury(struct run *r, struct ask *a)
{
    table_remove(&r->asks, &a->live);
    if (a->kept) heap_bury(&r->heap, a->kept);
    heap_bury(&r->heap, a);
}

static void start_shared(struct run *r, struct ask *a)
{
    struct audit_before before = audit_before(r);
    if (r->asks.count + r->holders.count > r->most_alive) r->most_alive = r->asks.count + r->holders.count;
    CALL(r, pg_pool_query(r->pool, &a->query));
    audit_asked(a, before);
}

/* The struct is the caller's again, and good for another request as it stands. */
static void ask_again(struct ask *a)
{
    struct run *r = a->run;
    r->actors_left--;
    a->rows = a->column = 0;
    a->piece_at = 0;
    a->stopped = a->called_off = false;
    a->serial = ++r->serial;
    a->started_ns = pg_reactor_now(r->reactor);
    trace("ask %u %s starts again", a->live.id, kinds[a->kind].name);
    start_shared(r, a);
}

static void on_done(struct pg_query *q)
{
    struct ask *a = q->data;
    struct run *r = a->run;
    struct holder *h = a->holder;
    uint32_t holder_id = h ? h->live.id : 0;
    REQUIRE(!r->calling, "on_done inside of a call");
    REQUIRE(table_find(&r->asks, a->live.id) == a, "an outcome came twice");
    trace("ask %u %s key %lld: %s sent %d%s%s %s", a->live.id, kinds[a->kind].name, (long long)a->key[0],
          pg_error_name(q->status), q->sent, q->sqlstate[0] ? " " : "", q->sqlstate,
          q->status ? pg_error_field(&a->error, 'M') : "");
    noted(r, (uint64_t)(int64_t)q->status ^ (uint64_t)a->live.id << 32);
    check_outcome(r, a);
    r->told++;
    r->outcomes[q->status == PG_OK ? 0 : q->status < -10000 ? -10000 - q->status : STATUSES - 1]++;
    if (!h && q->status == PG_OK && r->set.ordered) {
        REQUIRE(a->serial >= r->last_served, "served before one that came earlier");
        r->last_served = a->serial;
    }
    if (kinds[a->kind].habits & INSERTS) inserted(r, a);
    if (h && --h->in_flight == 0) h->doubtful = false;
    committed(a);
    if (h) holder_check(h);
    if (pick(r, 4) == 0) CALL(r, pg_query_abandon(q)); /* not in flight: nothing happens */
    if (!h && !a->grouped && !a->key[0] && !r->closed && r->actors_left && pick(r, 8) == 0) {
        ask_again(a);
        return;
    }
    bury(r, a);
    act_in_callback(r);
    if (h && table_find(&r->holders, holder_id) == h) holder_idle(h);
}

/* ---- starting ---- */

static uint64_t draw_deadline(struct run *r)
{
    if (!chance(r, r->set.deadlines)) return pick(r, 4) ? 0 : PG_NEVER;
    if (pick(r, 20) == 0) return 1;
    return sim_now(r->sim) + pick(r, pick(r, 2) ? 20 : 1500) * MS + pick(r, MS);
}

static size_t draw_payload(struct run *r)
{
    if (r->set.actors > 500) return pick(r, 100);
    if (chance(r, r->set.large))
        return pick(r, 300000); /* the parameter is too large for any buffer, and mostly for a row */
    uint64_t size = pick(r, 80);
    if (size == 0) return pick(r, r->set.row_limit - 100);
    return pick(r, size < 12 ? 1900 : 60);
}

static struct ask *new_ask(struct run *r, struct holder *h, enum ask_kind kind)
{
    unsigned habits = kinds[kind].habits;
    size_t payload = habits & PAYLOAD ? draw_payload(r) : 0, room = payload > 120 ? payload : 120;
    struct ask *a = heap_actor(sizeof *a + room);
    uint32_t id = table_add(&r->asks, &a->live);
    a->run = r;
    a->holder = h;
    a->kind = kind;
    a->token = (int64_t)(id * RUNS + r->index) * 1000;
    a->payload = payload;
    a->due_rows = habits & ROWS ? pick(r, pick(r, 8) ? 10 : 500) : 1;
    rows_write_text(a);
    if (habits & INSERTS) a->key[0] = ledger_key(&r->scene->ledger, kind == ASK_INSERT_REPEATABLE && !h);
    if (kind == ASK_SIMPLE || kind == ASK_COPY_IN) a->key[1] = ledger_key(&r->scene->ledger, false);
    a->query = (struct pg_query){
        .statement = kinds[kind].statement, .on_done = on_done, .data = a, .error = &a->error
    };
    rows_choose(a);
    a->query.deadline_ns = kind == ASK_HANG ? sim_now(r->sim) + pick(r, 1500) * MS : draw_deadline(r);
    if (habits & PAYLOAD)
        a->param = pg_strn(a->text, payload);
    else
        a->param = pg_int8(a->key[0] ? a->key[0] : a->token);
    bool kept = kind == ASK_TEXT_ECHO || kind == ASK_TEXT_INSERT;
    if (kept || (a->query.statement && a->query.statement->types[0])) {
        a->query.params = &a->param;
        a->query.nparams = kind == ASK_WRONG ? 0 : 1;
    }
    return a;
}

static struct ask *make(struct run *r, struct holder *h, enum ask_kind kind)
{
    struct ask *a = new_ask(r, h, kind);
    long long first = a->key[0] ? a->key[0] : a->token, second = a->key[1] ? a->key[1] : a->token;
    if (kind >= ASK_TEXT_ECHO && kind <= ASK_TEXT_INSERT) first = 1 + (long long)pick(r, r->set.texts);
    if (kind == ASK_TEXT_ROWS) a->due_rows = (uint64_t)first % 3, a->token = second = first * 10;
    if (kind == ASK_TEXT_ROWS || kind == ASK_ROWS) first = (long long)a->due_rows;
    if (kind == ASK_SLEEP) first = (long long)pick(r, r->set.delay_ns / MS + 1);
    if (kind == ASK_BIG || kind == ASK_BIG_PIECES) first = (long long)(r->set.row_limit + pick(r, 20000));
    if (kind == ASK_BIG_PIECES && pick(r, 4)) first = (long long)(PG_CHUNK_WHOLE + pick(r, 20000)); /* cheaper */
    if (kind == ASK_BIG_PIECES) a->payload = (size_t)first;
    const char *format = kinds[kind].sql;
    if (format) snprintf(a->text, 120, format, first, second);
    if (format) a->query.sql = a->text;
    if (kind == ASK_SIMPLE)
        a->query.flags = PG_QUERY_SIMPLE;
    else if (kind == ASK_ECHO_SQL && pick(r, 2))
        a->query.flags = PG_QUERY_TEXT;
    else if (!(ask_habits(kind) & COPIES) && pick(r, 10) == 0)
        a->query.flags = PG_QUERY_UNNAMED;
    if (ask_habits(kind) & COPIES) copy_make(a);
    if (a->key[1]) {
        uint64_t group = ledger_group(&r->scene->ledger);
        ledger_join(&r->scene->ledger, a->key[0], group);
        ledger_join(&r->scene->ledger, a->key[1], group);
    }
    return a;
}

static enum ask_kind draw_kind(struct run *r, bool shared)
{
    static const enum ask_kind plain[] = { ASK_ECHO, ASK_ECHO,   ASK_ECHO,   ASK_ECHO_TEXT,         ASK_ECHO_SQL,
                                           ASK_ROWS, ASK_INSERT, ASK_INSERT, ASK_INSERT_REPEATABLE, ASK_INSERT_SQL,
                                           ASK_SLEEP, ASK_BIG_PIECES };
    static const enum ask_kind wrong[] = {
        ASK_DEFERRED, ASK_FAIL, ASK_SYNTAX, ASK_BIG, ASK_WRONG, ASK_SET, ASK_GETTER
    };
    if (shared && chance(r, r->set.hangs)) return ASK_HANG;
    if (!shared && r->set.forget && pick(r, 20) == 0) return ASK_DISCARD;
    if (chance(r, r->set.garbage)) return ASK_COPY;
    if (shared && chance(r, r->set.strays)) return ASK_STRAY;
    if (chance(r, r->set.errors)) return wrong[pick(r, sizeof wrong / sizeof *wrong)];
    if (chance(r, r->set.slow)) return pick(r, 2) ? ASK_SLOW : ASK_TARDY;
    if (r->set.texts && pick(r, 3) == 0) return (enum ask_kind)(ASK_TEXT_ECHO + pick(r, 3));
    enum ask_kind kind = plain[pick(r, sizeof plain / sizeof *plain)];
    /* Its bytes cost as much as a hundred other asks: rare enough to leave the time to events. */
    if (kind == ASK_BIG_PIECES && pick(r, 4)) return ASK_ECHO;
    return kind == ASK_SLEEP && !r->set.delay ? ASK_ECHO : kind;
}

/* A batch: its inserts are one group. Returns the head; `last` is appended on a lease. */
static struct ask *make_batch(struct run *r, struct holder *h, uint32_t n, enum ask_kind last)
{
    struct ask *head = NULL, *tail = NULL;
    uint64_t group = ledger_group(&r->scene->ledger);
    bool rolled_back = last == ASK_ROLLBACK;
    for (uint32_t i = 0; i < n + (last != ASK_KINDS); i++) {
        struct ask *a = make(r, h, i < n ? draw_kind(r, !h) : last);
        a->grouped = true;
        a->rolled_back = rolled_back;
        if (a->key[0]) ledger_join(&r->scene->ledger, a->key[0], group);
        if (tail)
            tail->query.next = &a->query;
        else
            head = a;
        tail = a;
    }
    return head;
}

static void begin_members(struct run *r, struct ask *head)
{
    r->serial++;
    for (struct pg_query *q = &head->query; q; q = q->next) {
        struct ask *a = q->data;
        a->serial = r->serial;
        a->started_ns = pg_reactor_now(r->reactor);
        if (a->holder) a->holder->in_flight++;
        if (a->holder && (a->kind == ASK_BEGIN || a->kind == ASK_STRAY)) a->holder->began = true;
        trace("ask %u %s key %lld starts%s", a->live.id, kinds[a->kind].name, (long long)a->key[0],
              q->next ? ", in a batch" : "");
    }
}

void ask_shared(struct run *r)
{
    struct ask *a;
    if (chance(r, r->set.batches))
        a = make_batch(r, NULL, 1 + (uint32_t)pick(r, pick(r, 10) ? 5 : 40), ASK_KINDS);
    else
        a = make(r, NULL, draw_kind(r, true));
    begin_members(r, a);
    start_shared(r, a);
}

void ask_step(struct holder *h, enum ask_kind kind)
{
    struct run *r = h->run;
    struct ask *a = make(r, h, kind);
    begin_members(r, a);
    CALL(r, pg_lease_query(&h->lease, &a->query));
}

void ask_leased(struct holder *h)
{
    struct run *r = h->run;
    struct ask *a;
    static const enum ask_kind lasts[] = { ASK_KINDS, ASK_KINDS, ASK_COMMIT, ASK_ROLLBACK };
    /* What is pipelined behind it would be sent before its answer tells that everything is gone. */
    if (!h->pipelined && chance(r, r->set.discards))
        a = make(r, h, ASK_DEALLOCATE + (enum ask_kind)pick(r, 2));
    else if (chance(r, r->set.batches))
        a = make_batch(r, h, 1 + (uint32_t)pick(r, 4), lasts[pick(r, 4)]);
    else if (chance(r, r->set.copies))
        a = make(r, h, pick(r, 2) ? ASK_COPY_IN : ASK_COPY_OUT);
    else
        a = make(r, h, pick(r, 12) ? draw_kind(r, false) : ASK_SIMPLE);
    begin_members(r, a);
    if (ask_habits(a->kind) & COPIES)
        CALL(r, pg_lease_copy(&h->lease, &a->copy));
    else
        CALL(r, pg_lease_query(&h->lease, &a->query));
}

/* ---- going away ---- */

void ask_forget(struct ask *a)
{
    trace("ask %u %s is abandoned", a->live.id, kinds[a->kind].name);
    if ((a->kind == ASK_COMMIT || a->kind == ASK_ROLLBACK) && a->holder) holder_settle(a->holder, FATE_OPEN);
    bury(a->run, a);
}

/* Its outcome comes nevertheless, and that of its batch. */
void ask_cancel(struct ask *a)
{
    struct run *r = a->run;
    trace("ask %u %s is cancelled", a->live.id, kinds[a->kind].name);
    for (uint32_t i = 0; i < r->asks.count; i++) {
        struct ask *other = table_find(&r->asks, r->asks.alive[i]);
        if (other->serial == a->serial) other->called_off = true;
    }
    CALL(r, pg_query_cancel(&a->query));
}

void ask_abandon(struct ask *a)
{
    struct run *r = a->run;
    struct holder *h = a->holder;
    CALL(r, pg_query_abandon(&a->query));
    if (h) h->in_flight--;
    ask_forget(a);
    if (h) holder_idle(h);
}
