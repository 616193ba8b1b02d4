/* support/transcript.c - runs a session on words: see the header. What the layer above does is done here as it does it:
 * descriptions are interned, an unnamed one lives until the next, a healed query is queued again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "support/transcript.h"
#include "wire/check.h"

struct pg_statement transcript_statement[STATEMENTS] = {
    [STATEMENT_A] = PG_STATEMENT("SELECT 'a'"),
    [STATEMENT_B] = PG_STATEMENT("SELECT 'b'"),
    [STATEMENT_C] = PG_STATEMENT("SELECT 'c'"),
    [STATEMENT_T] = { .sql = "SELECT 't'", .flags = PG_STATEMENT_TEXT },
    [STATEMENT_P] = PG_STATEMENT("SELECT $1, $2", PG_TYPE_INT4, PG_TYPE_TEXT),
    [STATEMENT_COMMIT] = PG_STATEMENT("COMMIT"),
};

struct transcript *transcript_new(void)
{
    static const struct rp_pair startup[] = {
        { "user", "app" }, { "database", NULL }, { "client_encoding", "UTF8" }, { NULL, NULL }
    };
    struct transcript *t = calloc(1, sizeof *t);
    assert_non_null(t);
    for (uint32_t i = 0; i < STATEMENTS; i++) assert_int_equal(rp_statement_id(&transcript_statement[i]), i + 1);
    t->config = (struct rp_session_config){
        .startup = startup, .user = "app", .password = "secret", .scram_iterations_max = 100000,
        .message_limit = TRANSCRIPT_MESSAGE_LIMIT, .row_limit = TRANSCRIPT_ROW_LIMIT, .chunk = TRANSCRIPT_CHUNK,
        .entries = TRANSCRIPT_ENTRIES, .statements = TRANSCRIPT_STATEMENTS, .catalog = t->catalog,
    };
    t->texts = (struct rp_texts_view){ .places = TRANSCRIPT_PLACES, .ring = TRANSCRIPT_PLACES,
                                       .eviction = t->eviction, .serial = t->serial, .pins = t->pins,
                                       .generation = t->generation, .description = (uint8_t *)t->description,
                                       .share = TRANSCRIPT_SHARE };
    t->config.texts = &t->texts;
    t->params[0] = pg_int4(42);
    t->params[1] = pg_str("parameter");
    t->window = 4096;
    for (int i = 0; i < RP_SCRAM_KEY; i++) t->salted[i] = (uint8_t)(i + 1);
    return t;
}

void transcript_free(struct transcript *t)
{
    for (size_t i = 0; i < TRANSCRIPT_PLACES && t->s.head == t->s.tail; i++) assert_int_equal(t->pins[i], 0);
    for (size_t id = 0; id <= TRANSCRIPT_STATEMENTS; id++)
        for (size_t g = 0; g < RP_GENERATIONS; g++) free((void *)(uintptr_t)t->catalog[id].generation[g]);
    free(t->unnamed);
    free(t->block);
    blob_free(&t->unread);
    blob_free(&t->sent);
    blob_free(&t->log);
    free(t);
}

static void forget(struct blob *b) { b->size = 0; }

void transcript_begin(struct transcript *t, bool warm)
{
    static const uint8_t entropy[18];
    rp_session_init(&t->s, &t->config, t->entries, t->prepared, entropy);
    if (t->config.texts) rp_session_keep_texts(&t->s, t->held);
    if (!warm) return;
    transcript_pull(t);
    transcript_server(t, "R(0) S(server_version,15.4) K(7,42) Z(I)");
    transcript_expect(t, "ready");
    forget(&t->sent);
}

/* ---- queries ---- */

static int query_of(const struct transcript *t, const struct pg_query *q)
{
    assert_true(!q || (q >= t->query && q < t->query + t->queries));
    return q ? (int)(q - t->query) : -1;
}

static const char *const texts[] = { "SELECT 'kept'", "SELECT 'long'", "SELECT 'more'" };

/* It is the event that is looked at here. */
static enum pg_flow in_pieces(struct pg_query *q, const struct pg_chunk *chunk)
{
    (void)q, (void)chunk;
    return PG_CONTINUE;
}

static void fill_query(struct transcript *t, struct pg_query *q, char kind)
{
    static const char declared[] = "abctpC";
    const char *at = strchr(declared, kind);
    if (at) q->statement = &transcript_statement[at - declared];
    else if (strchr("nSxAw", kind)) q->statement = &transcript_statement[STATEMENT_A];
    else if (kind == 'P') q->statement = &transcript_statement[STATEMENT_P];
    else q->sql = "SELECT 'run time'";
    if (kind == 'n') q->flags = PG_QUERY_UNNAMED;
    if (kind == 'x') q->flags = PG_QUERY_TEXT;
    if (strchr("wW", kind)) q->on_chunk = in_pieces;
    if (strchr("sSy", kind)) q->flags = PG_QUERY_SIMPLE;
    if (kind == 'p' || kind == 'v') q->params = t->params, q->nparams = 2;
    if (kind >= 'k' && kind <= 'm') q->sql = texts[kind - 'k'];
    assert_non_null(strchr("abctpCuvnsSxAPyklmwW", kind));
}

/* Its text's place, which another one may have had. */
static uint32_t place_for(struct transcript *t, char kind)
{
    uint32_t place = kind == 'l';
    if (t->in_place[place] == kind) return place;
    assert_int_equal(t->pins[place], 0);
    if (t->in_place[place]) t->eviction[t->texts.evicted++ % TRANSCRIPT_PLACES] = place;
    t->in_place[place] = kind;
    t->serial[place] = ++t->last_serial;
    t->generation[place] = 0;
    return place;
}

static void enqueue(struct transcript *t, uint32_t i, size_t bind_size, unsigned flags)
{
    struct pg_query *q = &t->query[i];
    t->sequence[i] = rp_session_enqueue(&t->s, q, bind_size, (uint16_t)flags);
    for (char kind = 'k'; kind <= 'm'; kind++)
        if (q->sql == texts[kind - 'k'] && t->config.texts)
            (void)rp_session_use_text(&t->s, t->sequence[i], place_for(t, kind));
}

static void add_query(struct transcript *t, char kind, bool grouped, bool last)
{
    uint32_t i = t->queries++;
    assert_true(i < TRANSCRIPT_QUERIES);
    struct pg_query *q = &t->query[i];
    /* What an earlier use left there. */
    q->status = 77, q->rows = 77, q->sent = PG_SENT_MAYBE;
    memset(q->tag, 'x', sizeof q->tag);
    memset(q->sqlstate, 'x', sizeof q->sqlstate);
    q->error = &t->error[i];
    fill_query(t, q, kind);
    size_t bind_size = 0;
    bool prepares = t->prepares[i] = kind == 'A' || kind == 'P';
    assert_int_equal(prepares ? rp_session_check_prepare(&t->config, q->statement, NULL)
                              : rp_session_check(&t->config, q, &bind_size, NULL),
                     0);
    assert_true(rp_session_room(&t->s, 1));
    unsigned flags = (grouped ? RP_ENTRY_GROUP : 0) | (last ? RP_ENTRY_SYNC : 0) | (kind == 'C' ? RP_ENTRY_COMMIT : 0) |
                     (prepares ? RP_ENTRY_PREPARE : 0) | (kind == 'y' ? RP_ENTRY_COPY : 0);
    enqueue(t, i, bind_size, flags);
}

static void detach(struct transcript *t, uint32_t i)
{
    static const char *const name[] = { "gone", "kept", "broken" };
    enum rp_detach how = rp_session_detach(&t->s, t->sequence[i]);
    blob_print(&t->log, " %s(%u)", name[how], i);
    t->outcomes[i]++;
}

static void pull_at_most(struct transcript *t, size_t most)
{
    uint8_t window[4096];
    while (most && rp_session_has_output(&t->s)) {
        size_t size = t->window < most ? t->window : most;
        size_t n = rp_session_output(&t->s, window, size);
        assert_true(n > 0 && n <= size);
        blob_put(&t->sent, window, n);
        most -= n;
    }
}
void transcript_pull(struct transcript *t) { pull_at_most(t, SIZE_MAX); }

/* As the layer above does it: framed by itself, and sent before the session's own output. */
static const char *write_copy(struct transcript *t, const char *at)
{
    uint8_t message[200];
    struct rp_copy_buffer b = { .at = message, .capacity = sizeof message };
    size_t n = strcspn(at, ">");
    if (rp_session_copies_in(&t->s, t->s.due)) assert_int_equal(rp_copy_put(&b, at, n), n);
    blob_put(&t->sent, message, b.size);
    return at + n;
}

void transcript_queue(struct transcript *t, const char *words)
{
    bool grouped = false;
    t->hold = false;
    for (const char *at = words; *at; at++) {
        char word = *at;
        if (word == ' ') continue;
        if (word == '-' || word == '=' || word == '|') {
            char *end;
            unsigned long n = strtoul(at + 1, &end, 10);
            at = end - 1;
            if (word == '-') detach(t, (uint32_t)n);
            else if (word == '=') rp_session_complain(&t->s, t->sequence[n], PG_E_CANCELLED);
            else pull_at_most(t, n);
        } else if (word == '<') {
            at = write_copy(t, at + 1);
        } else if (word == '.' || word == '%') {
            rp_session_copy_end(&t->s, word == '%' ? "by the caller" : NULL);
        } else if (word == '^') {
            t->hold = true;
        } else if (word == '@') {
            (void)place_for(t, word);
        } else if (word == '!') {
            t->s.exclusive = true;
        } else {
            bool more = at[1] == '+';
            add_query(t, word, grouped || more, !more);
            grouped = more;
            at += more;
        }
    }
    assert_false(grouped);
    if (!t->hold) transcript_pull(t);
}

/* ---- events ---- */

static void intern(struct transcript *t, const struct rp_event *ev)
{
    const char *why = NULL;
    size_t bytes = rp_columns_measure(ev->body, ev->size, &why);
    assert_true(bytes > 0);
    struct rp_columns *fresh = malloc(bytes);
    assert_non_null(fresh);
    rp_columns_build(fresh, bytes, ev->body, ev->size);
    for (uint8_t g = 0; ev->statement && g < RP_GENERATIONS; g++) {
        const struct rp_columns **known = &t->catalog[ev->statement].generation[g];
        if (*known && !rp_columns_equal(*known, fresh)) continue;
        if (*known) free(fresh);
        else *known = fresh;
        rp_session_described(&t->s, *known, (uint8_t)(g + 1));
        return;
    }
    if (t->unnamed) rp_session_forget_columns(&t->s, t->unnamed);
    free(t->unnamed);
    t->unnamed = fresh;
    rp_session_described(&t->s, fresh, RP_PREPARED_BLIND);
}

static void log_columns(struct transcript *t, const struct rp_event *ev)
{
    blob_print(&t->log, " T(%d", query_of(t, ev->query));
    if (ev->statement) blob_print(&t->log, "#%u", ev->statement);
    blob_print(&t->log, ")");
    if (t->no_memory) rp_session_described(&t->s, NULL, 0);
    else intern(t, ev);
}

static void print_row(struct transcript *t, const struct pg_query *q, char *to, size_t room)
{
    uint32_t count = pg_row_columns(&t->s.row);
    bool text = count && pg_row_value(&t->s.row, 0).text;
    size_t n = (size_t)snprintf(to, room, "%c(%d:", text ? 'd' : 'D', query_of(t, q));
    if (pg_row_result(&t->s.row)) n += (size_t)snprintf(to + n, room - n, "%u:", pg_row_result(&t->s.row));
    for (uint32_t i = 0; i < count; i++) {
        struct pg_value v = pg_row_value(&t->s.row, i);
        const char *comma = i ? "," : "";
        if (pg_is_null(v)) n += (size_t)snprintf(to + n, room - n, "%s~", comma);
        else n += (size_t)snprintf(to + n, room - n, "%s%.*s", comma, (int)v.size, (const char *)v.data);
    }
    n += (size_t)snprintf(to + n, room - n, ")");
    assert_true(n < room);
}

static void log_copy(struct transcript *t, const struct rp_event *ev)
{
    struct rp_copy_shape shape;
    const char *why;
    assert_true(rp_copy_shape_parse(&shape, ev->body, ev->size, &why));
    blob_print(&t->log, " copy(%d:%s %c%u)", query_of(t, ev->query), t->s.copying == RP_STEP_COPY_IN ? "in" : "out",
               shape.binary ? 'b' : 't', shape.columns);
}

/* The pieces of one message are one word, wherever it was cut. */
static void log_data(struct transcript *t, const struct rp_event *ev)
{
    if (!t->in_piece) blob_print(&t->log, " data(%d:", query_of(t, ev->query));
    blob_put(&t->log, ev->body, ev->size);
    t->in_piece = t->s.rest == RP_REST_COPIED;
    if (!t->in_piece) blob_print(&t->log, ")");
}

/* The pieces of one row are one word, wherever it was cut; what is to come whole does. */
static void log_piece(struct transcript *t, const struct rp_event *ev)
{
    const struct rp_piece *p = &t->s.piece;
    if (p->size <= (int64_t)t->config.chunk) assert_int_equal(p->bytes, p->size < 0 ? 0 : p->size);
    else assert_true(p->bytes > 0 && p->offset + p->bytes <= (uint64_t)p->size);
    assert_int_equal(!p->at, p->size < 0);
    if (p->column == 0 && p->offset == 0) blob_print(&t->log, " r(%d:", query_of(t, ev->query));
    else if (p->offset == 0) blob_print(&t->log, ",");
    if (p->size < 0) blob_print(&t->log, ev->columns->count ? "~" : "-");
    blob_put(&t->log, p->at, p->bytes);
    if (p->last) blob_print(&t->log, ")");
}

static void log_outcome(struct transcript *t, const struct rp_event *ev)
{
    int i = query_of(t, ev->query);
    if (i < 0) {
        blob_print(&t->log, " done(-)");
        return;
    }
    const struct pg_query *q = ev->query;
    assert_int_equal(t->outcomes[i]++, 0); /* exactly one */
    t->columns[i] = ev->columns ? (int)ev->columns->count : -1;
    if (q->status == PG_OK) {
        assert_string_equal(q->sqlstate, "");
        assert_int_equal(q->sent, PG_SENT_YES);
        blob_print(&t->log, " done(%d:%s %llu)", i, q->tag, (unsigned long long)q->rows);
        return;
    }
    assert_int_equal(q->error->code, q->status);
    assert_int_equal(q->error->sent, q->sent);
    assert_string_equal(q->error->sqlstate, q->sqlstate);
    assert_true(pg_error_field(q->error, 'M')[0] != 0);
    blob_print(&t->log, " done(%d:%s", i, pg_error_name(q->status) + 3);
    if (q->sqlstate[0]) blob_print(&t->log, " %s %s", q->sqlstate, pg_error_field(q->error, 'M'));
    blob_print(&t->log, "%s)", q->sent == PG_SENT_YES ? "" : q->sent == PG_SENT_NO ? " unsent" : " maybe");
}

static void heal(struct transcript *t, struct pg_query *q)
{
    size_t bind_size;
    int i = query_of(t, q);
    blob_print(&t->log, " heal(%d)", i);
    assert_true(i >= 0);
    assert_int_equal(rp_session_check(&t->config, q, &bind_size, NULL), 0);
    enqueue(t, (uint32_t)i, bind_size, RP_ENTRY_SYNC | RP_ENTRY_HEALED | (t->prepares[i] ? RP_ENTRY_PREPARE : 0));
}

/* False: these bytes have no more to say. */
static bool deliver(struct transcript *t, const struct rp_event *ev)
{
    switch (ev->kind) {
    case RP_EVENT_MORE: return false;
    case RP_EVENT_KEY:
        blob_print(&t->log, " key(%u)", t->s.scram.iterations);
        if (!t->keep_key) rp_session_key(&t->s, t->salted);
        break;
    case RP_EVENT_TLS: blob_print(&t->log, " tls"); break;
    case RP_EVENT_READY: blob_print(&t->log, " ready"); break;
    case RP_EVENT_COLUMNS: log_columns(t, ev); break;
    case RP_EVENT_ROW:
        assert_ptr_equal(rp_session_entry(&t->s, rp_session_current(&t->s))->query, ev->query);
        assert_ptr_equal(ev->columns, t->s.row.columns);
        print_row(t, ev->query, t->row, sizeof t->row);
        blob_print(&t->log, " %s", t->row);
        break;
    case RP_EVENT_PIECE: log_piece(t, ev); break;
    case RP_EVENT_COPY: log_copy(t, ev); break;
    case RP_EVENT_DATA: log_data(t, ev); break;
    case RP_EVENT_OUTCOME: log_outcome(t, ev); break;
    case RP_EVENT_HEAL: heal(t, ev->query); break;
    case RP_EVENT_NOTICE:
        blob_print(&t->log, " notice(%s %s)", t->s.notice.sqlstate, pg_error_field(&t->s.notice, 'M'));
        break;
    case RP_EVENT_NOTIFICATION:
        blob_print(&t->log, " heard(%d %.*s %.*s)", t->s.notification.pid, (int)t->s.notification.channel.size,
                   t->s.notification.channel.data, (int)t->s.notification.payload.size, t->s.notification.payload.data);
        break;
    case RP_EVENT_BROKEN:
        blob_print(&t->log, " broken(%s", pg_error_name(t->s.error.code) + 3);
        if (t->s.error.sqlstate[0]) blob_print(&t->log, " %s", t->s.error.sqlstate);
        if (t->s.error.code == PG_E_SERVER) blob_print(&t->log, " %s", pg_error_field(&t->s.error, 'M'));
        blob_print(&t->log, ")");
        assert_true(pg_error_field(&t->s.error, 'M')[0] != 0);
        return false;
    }
    return true;
}

static void show(struct transcript *t, const struct pg_query *row_of)
{
    char again[sizeof t->row];
    if (t->row[0]) { /* still the same, after all that was done since */
        print_row(t, row_of, again, sizeof again);
        assert_string_equal(again, t->row);
    }
    t->row[0] = 0;
    free(t->block);
    t->block = malloc(t->unread.size ? t->unread.size : 1);
    assert_non_null(t->block);
    if (t->unread.size) memcpy(t->block, t->unread.at, t->unread.size);
}

void transcript_feed(struct transcript *t, const void *at, size_t size)
{
    const struct pg_query *row_of = NULL;
    bool more = true, broken = t->s.phase == RP_PHASE_BROKEN;
    blob_put(&t->unread, at, size);
    while (more) {
        size_t consumed = 0;
        show(t, row_of);
        struct rp_event ev = rp_session_next(&t->s, t->block, t->unread.size, &consumed);
        assert_true(consumed <= t->unread.size);
        if (broken) { /* for good, and it was said before */
            assert_int_equal(ev.kind, RP_EVENT_BROKEN);
            return;
        }
        t->unread.size -= consumed;
        if (consumed && t->unread.size) memmove(t->unread.at, t->unread.at + consumed, t->unread.size);
        more = deliver(t, &ev);
        row_of = ev.query;
        /* What is left is the beginning of one message, and we were told how long it is. */
        if (ev.kind == RP_EVENT_MORE && !t->s.wait_key && t->s.rest != RP_REST_SKIPPED) assert_true(ev.need > t->unread.size);
        if (!t->hold) transcript_pull(t);
    }
}

void transcript_server(struct transcript *t, const char *words)
{
    struct blob b = { 0 };
    blob_server(&b, words);
    transcript_feed(t, b.at, b.size);
    blob_free(&b);
}

static void expect(struct blob *said, const char *words, const char *file, int line)
{
    const char *text = blob_text(said);
    if (*text == ' ') text++;
    if (strcmp(text, words) != 0) {
        print_error("expected: %s\n     got: %s\n", words, text);
        _fail(file, line);
    }
    forget(said);
}

void transcript_expect_(struct transcript *t, const char *events, const char *file, int line)
{
    expect(&t->log, events, file, line);
}

void transcript_expect_sent_(struct transcript *t, const char *words, const char *file, int line)
{
    struct blob said = { 0 };
    blob_client(&said, &t->sent);
    expect(&said, words, file, line);
    forget(&t->sent);
    blob_free(&said);
}

/* ---- whole conversations ---- */

/* `first` bytes of all, then pieces of `piece`; a turn ends where its bytes end. */
struct slicing { size_t first, piece, window; int flags; };

static struct transcript *run(const struct transcript_case *c, struct slicing how, size_t *total)
{
    struct transcript *t = transcript_new();
    t->window = how.window;
    t->no_memory = how.flags & CASE_NO_MEMORY;
    t->config.unnamed = how.flags & CASE_UNNAMED;
    if (t->config.unnamed) t->config.texts = NULL;
    transcript_begin(t, !(how.flags & CASE_COLD));
    *total = 0;
    for (size_t i = 0; i < RP_COUNT(c->turn) && c->turn[i].server; i++) {
        struct blob bytes = { 0 };
        transcript_queue(t, c->turn[i].queue ? c->turn[i].queue : "");
        blob_server(&bytes, c->turn[i].server);
        for (size_t at = 0; at < bytes.size;) {
            size_t n = *total + at < how.first ? how.first - *total - at : how.piece;
            if (n > bytes.size - at) n = bytes.size - at;
            transcript_feed(t, bytes.at + at, n);
            at += n;
        }
        *total += bytes.size;
        blob_free(&bytes);
    }
    return t;
}

static void check_run(const struct transcript_case *c, struct slicing how, const struct transcript *whole)
{
    size_t total;
    struct transcript *t = run(c, how, &total);
    if (t->log.size != whole->log.size || memcmp(t->log.at, whole->log.at, t->log.size) != 0)
        fail_msg("%s, cut at %zu, pieces of %zu:\n%s\ninstead of\n%s", c->name, how.first, how.piece,
                 blob_text(&t->log), c->events);
    if (t->sent.size != whole->sent.size || memcmp(t->sent.at, whole->sent.at, t->sent.size) != 0)
        fail_msg("%s, cut at %zu, pieces of %zu, windows of %zu: other bytes were sent", c->name, how.first, how.piece,
                 how.window);
    transcript_free(t);
}

void transcript_check(const struct transcript_case *c, int flags)
{
    size_t total;
    struct transcript *whole = run(c, (struct slicing){ SIZE_MAX, SIZE_MAX, 4096, flags }, &total);
    struct blob sent = { 0 };
    const char *events = whole->log.size ? blob_text(&whole->log) + 1 : "";
    if (strcmp(events, c->events) != 0) fail_msg("%s\nexpected: %s\n     got: %s", c->name, c->events, events);
    blob_client(&sent, &whole->sent);
    if (c->sent && strcmp(blob_text(&sent), c->sent) != 0)
        fail_msg("%s\nexpected: %s\n    sent: %s", c->name, c->sent, blob_text(&sent));
    blob_free(&sent);
    for (size_t cut = 1; cut < total; cut++) check_run(c, (struct slicing){ cut, SIZE_MAX, 4096, flags }, whole);
    static const size_t pieces[] = { 1, 2, 3, 7 };
    for (size_t i = 0; i < RP_COUNT(pieces); i++) check_run(c, (struct slicing){ 0, pieces[i], 4096, flags }, whole);
    for (size_t window = 1; window <= 64; window++)
        check_run(c, (struct slicing){ SIZE_MAX, SIZE_MAX, window, flags }, whole);
    transcript_free(whole);
}
