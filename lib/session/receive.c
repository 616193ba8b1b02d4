/* session/receive.c - the session's incoming half: one table says which message is legal while which answer is due, and
 * what it does. Authentication has a table of its own in startup.c. Trusts nothing: what is illegal breaks the
 * connection. */
#include "session/session.h"
#include "session/internal.h"
#include "wire/check.h"
#include "wire/cursor.h"
#include "wire/error.h"

/* ---- messages by class ---- */

enum class {
    M_OTHER, M_PARSED, M_BOUND, M_CLOSED, M_COLUMNS, M_NO_DATA, M_ROW, M_COMPLETE, M_EMPTY, M_ERROR, M_READY, M_COPY_IN,
    M_COPY_OUT, M_COPY_BOTH, M_DATA, M_DONE, M_ASYNC, M_CLASSES
};
static const uint8_t class_of[256] = {
    ['1'] = M_PARSED, ['2'] = M_BOUND,    ['3'] = M_CLOSED, ['T'] = M_COLUMNS, ['n'] = M_NO_DATA,
    ['D'] = M_ROW,    ['C'] = M_COMPLETE, ['I'] = M_EMPTY,  ['E'] = M_ERROR,   ['Z'] = M_READY,
    ['G'] = M_COPY_IN, ['H'] = M_COPY_OUT, ['W'] = M_COPY_BOTH, ['d'] = M_DATA,  ['c'] = M_DONE,
    ['N'] = M_ASYNC,  ['S'] = M_ASYNC,    ['A'] = M_ASYNC,
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
static inline enum rp_step due_step(struct rp_session *s)
{
    const struct rp_entry *e = rp_session_entry(s, s->due);
    if (s->due != s->unsent && e->steps && !s->copying) return lowest(e); /* mostly */
    if (!anything_due(s)) return RP_STEP_NONE;
    return s->copying ? s->copying : lowest(rp_session_entry(s, s->due));
}
enum rp_step rp_session_due_step(struct rp_session *s) { return due_step(s); }

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

bool rp_session_command_complete(struct rp_session *s, struct rp_entry *e, const struct rp_frame *f, struct rp_event *ev)
{
    const char *tag = f->type == 'C' ? (const char *)f->body : "";
    if (f->type == 'C' ? !rp_tag_parse(f->body, f->size, e->tag, &e->rows) : f->size > 0) {
        *ev = rp_session_break(s, PG_E_PROTOCOL,
                               f->type == 'C' ? "a CommandComplete without its end"
                                              : "an EmptyQueryResponse with a body");
        return true;
    }
    if (f->type == 'I') memset(e->tag, 0, sizeof e->tag), e->rows = 0;
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
        .statement = rp_session_is_text(s, e->statement) ? 0 : e->statement
    };
    return true;
}

/* Of a text: in its place, if it can be kept there; see rp_texts_view. */
static const struct rp_columns *keep_columns(struct rp_session *s, const struct rp_entry *e,
                                             const struct rp_columns *columns, uint8_t *generation)
{
    struct rp_texts_view *texts = s->config->texts;
    uint32_t place = rp_session_place(s, e->statement);
    uint8_t *number = &texts->generation[place];
    if (columns->bytes > texts->share) return columns;
    struct rp_columns *kept = rp_session_place_columns(texts, place);
    if (!*number || !rp_columns_equal(kept, columns)) {
        if (*number == RP_GENERATIONS || (*number && texts->pins[place] > 1)) return columns;
        rp_columns_copy(kept, columns);
        ++*number;
    }
    *generation = *number;
    return kept;
}

void rp_session_described(struct rp_session *s, const struct rp_columns *columns, uint8_t generation)
{
    RP_ASSERT(s->wait_columns);
    s->wait_columns = false;
    struct rp_entry *e = rp_session_entry(s, s->due);
    if (columns && rp_session_is_text(s, e->statement)) columns = keep_columns(s, e, columns, &generation);
    e->columns = columns;
    if (!columns && !e->complaint) e->complaint = PG_E_FULL;
    if (lowest(e) == RP_STEP_SIMPLE) {
        e->steps |= BIT(RP_STEP_ROWS);
        return;
    }
    if (e->statement) s->prepared[e->statement] = columns ? generation : RP_PREPARED_BLIND;
    rp_session_done_step(e);
}

static bool ready_for_query(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev)
{
    struct rp_entry *e = rp_session_entry(s, s->due);
    /* The answer to a Sync that is not wholly sent, or to a simple query that had no result. */
    if (s->due == s->unsent || (lowest(e) == RP_STEP_SIMPLE && e->result == 0)) {
        *ev = illegal(s, f->type, lowest(e));
        return true;
    }
    if (f->size == 1 && rp_session_ready(s, e, f->body[0])) return false;
    *ev = rp_session_break(s, PG_E_PROTOCOL, "a ReadyForQuery without a transaction status");
    return true;
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
        if (--e->closes == 0) rp_session_done_step(e);
        return false;
    case PARSED:
        if (e->statement) s->prepared[e->statement] = RP_PREPARED_BLIND;
        rp_session_done_step(e);
        return false;
    case BOUND:
        rp_session_bound(s, e);
        return false;
    case COLUMNS:
    case NO_COLUMNS: return describe(s, e, f, ev);
    case ROW: return rp_session_data_row(s, f, ev);
    case COMPLETE:
        if (rp_session_command_complete(s, e, f, ev)) return true;
        rp_session_done_step(e);
        return false;
    case RESULT:
        if (rp_session_command_complete(s, e, f, ev)) return true;
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

/* ---- what may come at any time ---- */

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

bool rp_session_message(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev)
{
    enum class class = (enum class)class_of[f->type];
    if (class == M_ASYNC && s->phase != RP_PHASE_START) return asynchronous(s, f, ev);
    if (s->phase != RP_PHASE_READY) return rp_session_startup(s, f, ev);
    return act(s, (enum action)table[due_step(s)][class], f, ev);
}
