/* session/receive.c - the session's incoming half: one table says which message is legal while which answer is due, and
 * what it does. Authentication has a table of its own in startup.c. Trusts nothing: what is illegal breaks the
 * connection. */
#include "session/session.h"
#include "session/internal.h"
#include "wire/check.h"
#include "wire/cursor.h"
#include "wire/error.h"

#define BIT(step) (1u << (step))

/* ---- messages by class ---- */

enum class {
    M_OTHER, M_PARSED, M_BOUND, M_CLOSED, M_COLUMNS, M_NO_DATA, M_ROW, M_COMPLETE, M_EMPTY, M_ERROR, M_READY, M_COPY_IN,
    M_COPY_OUT, M_COPY_BOTH, M_DATA, M_DONE, M_CLASSES
};
static const uint8_t class_of[256] = {
    ['1'] = M_PARSED, ['2'] = M_BOUND,    ['3'] = M_CLOSED, ['T'] = M_COLUMNS, ['n'] = M_NO_DATA,
    ['D'] = M_ROW,    ['C'] = M_COMPLETE, ['I'] = M_EMPTY,  ['E'] = M_ERROR,   ['Z'] = M_READY,
    ['G'] = M_COPY_IN, ['H'] = M_COPY_OUT, ['W'] = M_COPY_BOTH, ['d'] = M_DATA,  ['c'] = M_DONE,
};

enum action {
    ILLEGAL, STEP, PARSED, BOUND, COLUMNS, NO_COLUMNS, ROW, COMPLETE, RESULT, ERROR, READY, COPY, UNASKED, DATA, DONE,
    IDLE_ERROR
};

static const uint8_t table[RP_STEPS][M_CLASSES] = {
    [RP_STEP_CLOSE] = { [M_CLOSED] = STEP, [M_ERROR] = ERROR },
    [RP_STEP_PARSE] = { [M_PARSED] = PARSED, [M_ERROR] = ERROR },
    [RP_STEP_BIND] = { [M_BOUND] = BOUND, [M_ERROR] = ERROR },
    [RP_STEP_DESCRIBE] = { [M_COLUMNS] = COLUMNS, [M_NO_DATA] = NO_COLUMNS, [M_ERROR] = ERROR },
    [RP_STEP_EXECUTE] = { [M_ROW] = ROW,
                          [M_COMPLETE] = COMPLETE,
                          [M_EMPTY] = COMPLETE,
                          [M_ERROR] = ERROR,
                          [M_COPY_IN] = UNASKED,
                          [M_COPY_OUT] = UNASKED,
                          [M_COPY_BOTH] = UNASKED },
    [RP_STEP_ROWS] = { [M_ROW] = ROW, [M_COMPLETE] = RESULT, [M_ERROR] = ERROR },
    [RP_STEP_SIMPLE] = { [M_COLUMNS] = COLUMNS,
                         [M_COMPLETE] = RESULT,
                         [M_EMPTY] = RESULT,
                         [M_ERROR] = ERROR,
                         [M_READY] = READY,
                         [M_COPY_IN] = COPY,
                         [M_COPY_OUT] = COPY,
                         [M_COPY_BOTH] = UNASKED },
    /* A deferred constraint fails between CommandComplete and ReadyForQuery. */
    [RP_STEP_SYNC] = { [M_READY] = READY, [M_ERROR] = ERROR },
    /* Nothing is due: the only thing that may come is the announcement of the end. */
    [RP_STEP_NONE] = { [M_ERROR] = IDLE_ERROR },
    [RP_STEP_COPY_IN] = { [M_ERROR] = ERROR },
    [RP_STEP_COPY_OUT] = { [M_DATA] = DATA, [M_DONE] = DONE, [M_ERROR] = ERROR },
    [RP_STEP_COPY_DONE] = { [M_COMPLETE] = RESULT, [M_ERROR] = ERROR },
};
static const bool is_empty[IDLE_ERROR + 1] = {
    [STEP] = true, [PARSED] = true, [BOUND] = true, [NO_COLUMNS] = true, [DONE] = true
};
static const char *const step_name[RP_STEPS] = {
    "CloseComplete", "ParseComplete", "BindComplete",  "a row description", "rows",
    "rows",          "a result",      "ReadyForQuery", "nothing",
    "nothing but an error", "CopyData", "CommandComplete",
};

struct rp_event rp_session_break(struct rp_session *s, int code, const char *text)
{
    if (s->phase != RP_PHASE_READY) rp_session_wipe(s);
    s->phase = RP_PHASE_BROKEN;
    if (text) rp_error_set(&s->error, code, "%s", text);
    return (struct rp_event){ .kind = RP_EVENT_BROKEN };
}

static struct rp_event illegal(struct rp_session *s, uint8_t type, enum rp_step step)
{
    bool printable = type > ' ' && type < 127;
    s->phase = RP_PHASE_BROKEN;
    rp_error_set(&s->error, PG_E_PROTOCOL,
                 printable ? "the server sent message '%c' where %s was due"
                           : "the server sent message 0x%02x where %s was due",
                 type, step_name[step]);
    return (struct rp_event){ .kind = RP_EVENT_BROKEN };
}

/* ---- the entry that answers are due for ---- */

static bool anything_due(struct rp_session *s)
{
    while (s->due != s->unsent && rp_session_entry(s, s->due)->steps == 0) s->due++;
    bool written = s->due != s->unsent || s->written > 0;
    return written && rp_session_entry(s, s->due)->steps != 0;
}
static enum rp_step lowest(const struct rp_entry *e) { return (enum rp_step)__builtin_ctz(e->steps); }
enum rp_step rp_session_due_step(struct rp_session *s)
{
    if (!anything_due(s)) return RP_STEP_NONE;
    return s->copying ? s->copying : lowest(rp_session_entry(s, s->due));
}
static void done_step(struct rp_entry *e) { e->steps &= (uint8_t)(e->steps - 1); }

static bool parsed_again_behind(struct rp_session *s, uint32_t sequence)
{
    uint32_t id = rp_session_entry(s, sequence)->statement, end = s->unsent + (s->written > 0);
    while (++sequence != end)
        if (rp_session_entry(s, sequence)->statement == id &&
            rp_session_entry(s, sequence)->sent_steps & BIT(RP_STEP_PARSE))
            return true;
    return false;
}

static void forget_parse(struct rp_session *s, uint32_t sequence)
{
    const struct rp_entry *e = rp_session_entry(s, sequence);
    if (!e->statement || !(e->steps & BIT(RP_STEP_PARSE))) return;
    if (RP_PLANT(failed_parse_kept)) return;
    bool unsure = e->steps & BIT(RP_STEP_CLOSE) || parsed_again_behind(s, sequence);
    s->prepared[e->statement] = unsure ? RP_PREPARED_UNSURE : RP_PREPARED_NONE;
}

/* The server now discards everything up to the group's Sync. What of it was not written yet is not written at all. */
static void fail_group(struct rp_session *s)
{
    s->failed = true;
    s->culprit = s->due;
    if (s->copying && !s->said) s->say = RP_SAY_NOTHING; /* else the rest of it is to follow, and is dropped there */
    s->copying = 0;
    if (RP_PLANT(wrong_member_blamed) && !(rp_session_entry(s, s->due)->flags & RP_ENTRY_SYNC)) s->culprit++;
    for (uint32_t sequence = s->due;; sequence++) {
        struct rp_entry *e = rp_session_entry(s, sequence);
        forget_parse(s, sequence);
        if (!rp_session_written(s, sequence)) e->flags |= RP_ENTRY_SKIPPED;
        e->steps &= BIT(RP_STEP_SYNC);
        if (e->flags & RP_ENTRY_SYNC) return;
    }
}

/* ---- actions ---- */

static bool error_response(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev)
{
    struct pg_error later;
    bool first = !s->failed;
    bool fatal = rp_error_parse(first ? &s->error : &later, f->body, f->size);
    if (first) s->error.code = PG_E_SERVER;
    if (fatal) {
        if (!first) s->error = later, s->error.code = PG_E_SERVER;
        *ev = rp_session_break(s, PG_E_SERVER, NULL);
        return true;
    }
    if (RP_PLANT(outcome_at_complete) && rp_session_entry(s, s->due)->steps == BIT(RP_STEP_SYNC)) return false;
    if (first) fail_group(s); /* a second complaint about what has failed already changes nothing */
    return false;
}

static void discard_prepared(struct rp_session *s, uint8_t state)
{
    uint32_t last = s->config->statements + (s->held ? s->config->texts->places : 0);
    for (uint32_t i = 1; i <= last; i++)
        if (s->prepared[i] != RP_PREPARED_PARSING && s->prepared[i] != RP_PREPARED_NONE) s->prepared[i] = state;
}

static bool command_complete(struct rp_session *s, struct rp_entry *e, const struct rp_frame *f, struct rp_event *ev)
{
    struct rp_cursor c = { f->body, f->size, false };
    const char *tag = f->type == 'C' ? rp_read_cstr(&c) : "";
    if (c.bad || c.left) {
        *ev = rp_session_break(s, PG_E_PROTOCOL,
                               f->type == 'C' ? "a CommandComplete without its end"
                                              : "an EmptyQueryResponse with a body");
        return true;
    }
    uint64_t rows;
    rp_tag_parse(tag, e->tag, &rows);
    e->rows = rows;
    /* Someone emptied the server's list of prepared statements, or took one out that we cannot tell. */
    if (RP_PLANT(discard_unseen)) return false;
    if (tag[0] == 'D' && (!strcmp(tag, "DISCARD ALL") || !strcmp(tag, "DEALLOCATE ALL")))
        discard_prepared(s, RP_PREPARED_NONE);
    else if (tag[0] == 'D' && !strcmp(tag, "DEALLOCATE")) discard_prepared(s, RP_PREPARED_UNSURE);
    return false;
}

static bool describe(struct rp_session *s, const struct rp_entry *e, const struct rp_frame *f, struct rp_event *ev)
{
    static const uint8_t none[2]; /* NoData: a description of no columns */
    const char *why = NULL;
    const uint8_t *body = f->type == 'n' ? none : f->body;
    size_t size = f->type == 'n' ? sizeof none : f->size;
    if (!rp_columns_measure(body, size, &why)) {
        *ev = rp_session_break(s, PG_E_PROTOCOL, why);
        return true;
    }
    s->wait_columns = true;
    *ev = (struct rp_event){
        .kind = RP_EVENT_COLUMNS, .query = e->query, .body = body, .size = size,
        .statement = rp_session_declared(s, e) ? e->statement : 0
    };
    return true;
}

void rp_session_described(struct rp_session *s, const struct rp_columns *columns, uint8_t generation)
{
    RP_ASSERT(s->wait_columns);
    s->wait_columns = false;
    struct rp_entry *e = rp_session_entry(s, s->due);
    e->columns = columns;
    if (!columns && !e->complaint) e->complaint = PG_E_FULL;
    if (lowest(e) == RP_STEP_SIMPLE) {
        e->steps |= BIT(RP_STEP_ROWS);
        return;
    }
    if (e->statement) s->prepared[e->statement] = columns ? generation : RP_PREPARED_BLIND;
    done_step(e);
}

static bool ready_for_query(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev)
{
    struct rp_entry *e = rp_session_entry(s, s->due);
    /* The answer to a Sync that is not wholly sent, or to a simple query that had no result. */
    if (s->due == s->unsent || (lowest(e) == RP_STEP_SIMPLE && e->result == 0)) {
        *ev = illegal(s, f->type, lowest(e));
        return true;
    }
    if (f->size != 1 || (f->body[0] != 'I' && f->body[0] != 'T' && f->body[0] != 'E')) {
        *ev = rp_session_break(s, PG_E_PROTOCOL, "a ReadyForQuery without a transaction status");
        return true;
    }
    s->transaction = (char)f->body[0];
    if (e->flags & RP_ENTRY_COPY) s->barrier = false;
    e->steps = 0;
    s->due++;
    s->finishing = true;
    return false;
}

/* ---- all of them ---- */

static bool act(struct rp_session *s, enum action action, const struct rp_frame *f, struct rp_event *ev)
{
    struct rp_entry *e = rp_session_entry(s, s->due);
    if (f->size && is_empty[action]) {
        *ev = rp_session_break(s, PG_E_PROTOCOL, "a message with contents that has none");
        return true;
    }
    switch (action) {
    case STEP:
        if (--e->closes == 0) done_step(e);
        return false;
    case PARSED:
        if (e->statement) s->prepared[e->statement] = RP_PREPARED_BLIND;
        done_step(e);
        return false;
    case BOUND:
        e->flags |= RP_ENTRY_BOUND;
        if (e->generation >= 1 && e->generation <= RP_GENERATIONS)
            e->columns = s->config->catalog[e->statement].generation[e->generation - 1];
        done_step(e);
        return false;
    case COLUMNS:
    case NO_COLUMNS: return describe(s, e, f, ev);
    case ROW: return rp_session_data_row(s, f, ev);
    case COMPLETE:
        if (command_complete(s, e, f, ev)) return true;
        done_step(e);
        return false;
    case RESULT:
        if (command_complete(s, e, f, ev)) return true;
        e->steps &= (uint8_t)~BIT(RP_STEP_ROWS);
        e->result++;
        s->copying = 0;
        return false;
    case ERROR: return error_response(s, f, ev);
    case READY: return ready_for_query(s, f, ev);
    case COPY: return rp_session_copy_begin(s, f, ev);
    case UNASKED: return rp_session_copy_unasked(s, ev);
    case DATA: return rp_session_copy_data(s, f->body, f->size, ev);
    case DONE: s->copying = RP_STEP_COPY_DONE; return false;
    case IDLE_ERROR:
        rp_error_parse(&s->error, f->body, f->size);
        s->error.code = PG_E_SERVER;
        *ev = rp_session_break(s, PG_E_SERVER, NULL);
        return true;
    case ILLEGAL: break;
    }
    *ev = illegal(s, f->type, rp_session_due_step(s));
    return true;
}

/* ---- outcomes ---- */

/* Did it fail since its statement was not there, not as it was, or there already? Behind BindComplete the same words
 * are about another statement, some function's. */
enum lost { NOT_LOST, LOST_GONE, LOST_CHANGED, LOST_TAKEN };
static enum lost lost_statement(const struct rp_session *s, const struct rp_entry *e, uint32_t sequence)
{
    if (!s->failed || sequence != s->culprit || !e->statement || e->flags & RP_ENTRY_BOUND) return NOT_LOST;
    bool fresh = e->sent_steps & BIT(RP_STEP_PARSE) && e->generation == RP_PREPARED_NONE;
    if (!strcmp(s->error.sqlstate, "26000")) return LOST_GONE;
    if (!strcmp(s->error.sqlstate, "0A000") && !strcmp(pg_error_field(&s->error, 'R'), "RevalidateCachedQuery"))
        return LOST_CHANGED;
    return fresh && !strcmp(s->error.sqlstate, "42P05") ? LOST_TAKEN : NOT_LOST;
}

/* What is prepared by now. True: nobody who could be seen has brought it about. */
static bool forget_lost(struct rp_session *s, const struct rp_entry *e, enum lost lost)
{
    uint8_t *state = &s->prepared[e->statement];
    if (lost == NOT_LOST || *state != e->generation) return false;
    bool known = *state == RP_PREPARED_BLIND || (*state >= 1 && *state <= RP_GENERATIONS);
    *state = RP_PREPARED_UNSURE;
    return lost == LOST_TAKEN || (lost == LOST_GONE && known);
}

static bool can_heal(const struct rp_session *s, const struct rp_entry *e, enum lost lost)
{
    if (lost == NOT_LOST || !e->query || s->transaction != 'I') return false;
    if (e->flags & (RP_ENTRY_GROUP | RP_ENTRY_HEALED)) return false;
    if (e->sent_steps & BIT(RP_STEP_PARSE) && lost != LOST_TAKEN) return false;
    return !s->exclusive || s->head == s->tail;
}

static int decide(const struct rp_session *s, const struct rp_entry *e, uint32_t sequence)
{
    if (s->failed && rp_session_copy_given_up(s, e)) return e->complaint;
    if (s->failed) return sequence == s->culprit ? PG_E_SERVER : PG_E_BATCH;
    if (e->complaint) return e->complaint;
    return e->flags & RP_ENTRY_COMMIT && !strcmp(e->tag, "ROLLBACK") ? PG_E_ROLLED_BACK : PG_OK;
}

static void fill_results(const struct rp_session *s, const struct rp_entry *e, int status)
{
    struct pg_query *q = e->query;
    q->status = status;
    q->sent = e->flags & RP_ENTRY_SKIPPED ? PG_SENT_NO : PG_SENT_YES;
    q->rows = e->rows;
    memcpy(q->tag, e->tag, sizeof q->tag);
    memset(q->sqlstate, 0, sizeof q->sqlstate);
    if (s->failed) memcpy(q->sqlstate, s->error.sqlstate, sizeof q->sqlstate);
    if (!q->error || status == PG_OK) return;
    if (s->failed) *q->error = s->error;
    else if (q->error->code != status) rp_error_set(q->error, status, "%s", pg_error_text(status));
    q->error->code = status;
    q->error->sent = q->sent;
}

/* Hands out the decided group, one outcome a call. False: that was all of it. */
static bool next_outcome(struct rp_session *s, struct rp_event *ev)
{
    while (s->head != s->due) {
        uint32_t sequence = s->head;
        struct rp_entry *e = rp_session_take(s);
        if (e->flags & RP_ENTRY_DROPPED) continue;
        s->live--;
        *ev = (struct rp_event){ .kind = RP_EVENT_OUTCOME, .query = e->query, .columns = e->columns };
        enum lost lost = lost_statement(s, e, sequence);
        s->mislaid += forget_lost(s, e, lost);
        if (can_heal(s, e, lost)) {
            ev->kind = RP_EVENT_HEAL;
        } else if (e->query) {
            fill_results(s, e, decide(s, e, sequence));
        }
        return true;
    }
    s->finishing = s->failed = false;
    return false;
}

bool rp_session_take_decided(struct rp_session *s, struct pg_query **query)
{
    struct rp_event ev;
    if (!s->finishing || !next_outcome(s, &ev)) return false;
    if (ev.kind == RP_EVENT_HEAL)
        fill_results(s, rp_session_entry(s, s->head - 1), PG_E_SERVER); /* too late for that */
    *query = ev.query;
    return true;
}

/* ---- the loop over messages ---- */

static bool keep_notification(struct rp_session *s, struct rp_cursor *c)
{
    int32_t pid = (int32_t)rp_read_u32(c);
    const char *channel = rp_read_cstr(c), *payload = rp_read_cstr(c);
    if (c->bad || c->left || !s->listens) return false;
    s->notification = (struct rp_notification){ { channel, strlen(channel) }, { payload, strlen(payload) }, pid };
    return true;
}

static bool asynchronous(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev)
{
    struct rp_cursor c = { f->body, f->size, false };
    if (f->type == 'N') {
        rp_error_parse(&s->notice, f->body, f->size);
        *ev = (struct rp_event){ .kind = RP_EVENT_NOTICE };
        return true;
    }
    if (f->type == 'S') {
        const char *name = rp_read_cstr(&c), *value = rp_read_cstr(&c);
        if (!c.bad) rp_session_keep_parameter(s, name, value);
    } else if (keep_notification(s, &c)) {
        *ev = (struct rp_event){ .kind = RP_EVENT_NOTIFICATION };
        return true;
    }
    if (!c.bad && !c.left) return false;
    *ev = rp_session_break(s, PG_E_PROTOCOL,
                           f->type == 'S' ? "a malformed ParameterStatus" : "a malformed NotificationResponse");
    return true;
}

static bool dispatch(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev)
{
    bool async = f->type == 'N' || f->type == 'S' || f->type == 'A';
    if (async && s->phase != RP_PHASE_START) return asynchronous(s, f, ev);
    if (s->phase != RP_PHASE_READY) return rp_session_startup(s, f, ev);
    return act(s, (enum action)table[rp_session_due_step(s)][class_of[f->type]], f, ev);
}

void rp_session_find(struct rp_session *s, const uint8_t *at, size_t size, size_t *consumed, struct rp_event *ev)
{
    *ev = (struct rp_event){ .kind = RP_EVENT_MORE };
    *consumed = 0;
    RP_ASSERT(!s->wait_columns);
    for (;;) {
        if (s->phase == RP_PHASE_BROKEN) {
            ev->kind = RP_EVENT_BROKEN;
            return;
        }
        if (s->finishing && next_outcome(s, ev)) return;
        if (s->wait_key) return;
        if (s->phase == RP_PHASE_TLS && rp_session_tls_answer(s, at, size, consumed, ev)) return;
        size_t have = size - *consumed, need;
        if (s->rest) {
            if (rp_session_rest(s, at + *consumed, have, consumed, ev)) return;
            continue;
        }
        struct rp_frame f = { 0 };
        size_t limit = s->phase == RP_PHASE_READY ? s->config->message_limit : 65536;
        int there = rp_frame_read(at + *consumed, have, limit, &f, &need);
        if (there < 0) {
            *ev = rp_session_break(s, PG_E_PROTOCOL,
                                   s->phase == RP_PHASE_READY ? "a message with an impossible length"
                                                              : "the answer is not PostgreSQL's protocol");
            return;
        }
        bool head_is_here = have >= RP_FRAME_HEAD;
        if (head_is_here && (rp_session_copy_in_pieces(s, &f, need) || rp_session_row_in_pieces(s, &f, need))) {
            *consumed += RP_FRAME_HEAD;
            continue;
        }
        if (rp_session_oversized(s, &f, need)) continue;
        bool copied = f.type == 'd' && s->copying == RP_STEP_COPY_OUT; /* which has a bound of its own */
        if (need > s->config->row_limit + RP_FRAME_HEAD && !copied) { /* however much of it is here */
            *ev = rp_session_break(s, PG_E_PROTOCOL, "a message that is no row is larger than pool_max_row_bytes");
            return;
        }
        if (there == 0) {
            ev->need = need;
            return;
        }
        *consumed += RP_FRAME_HEAD + f.size;
        if (dispatch(s, &f, ev)) return;
    }
}
