/* fuzz/fuzz_session.c - any bytes as a server, against requests that the fuzzer chose.
 *
 * The input: a byte of options; requests, a byte each, up to a byte of END; and then what the server says: whole
 * messages, whose framing is done here so that the fuzzer need not guess lengths, and raw bytes in pieces of any size.
 * Between them requests are queued and given up, and output is taken in windows.
 *
 * What must hold: nothing is consumed that is not there; each query ends exactly once, by its outcome, by being given
 * up or as an orphan; every row can be read to its end, and every second one of four queries has them in pieces. */
#include <stdlib.h>
#include <string.h>
#include "session/session.h"
#include "wire/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLACES = 2, SHARE = 72, RING = 2 };
enum { STATEMENTS = 4, ENTRIES = 16, QUERIES = 64, END = 0xff };
enum { COPY_WRITE = 125, COPY_FAIL = 126, COPY_DONE = 127 }; /* in the place of so many raw bytes */
enum { OPTION_COLD = 1, OPTION_EXCLUSIVE = 2, OPTION_PASSWORD = 4, OPTION_NO_MEMORY = 8, OPTION_SMALL = 16,
       OPTION_PIECES = 32, OPTION_3_2 = 64, OPTION_ONLY_3_2 = 128 };
/* A request's byte: what it is, and where it stands in a group. */
enum { KIND_UNNAMED = 4, KIND_SIMPLE = 5, KIND_TEXT = 6, KIND_PARAMETERS = 7, KIND_MASK = 7 };
/* COMMIT of a simple query makes it a COPY. */
enum { REQUEST_GROUPED = 8, REQUEST_COMMIT = 16, REQUEST_DETACH = 32, REQUEST_HOLD = 64, REQUEST_COMPLAIN = 128 };

struct world {
    struct rp_session s;
    struct rp_session_config config;
    struct rp_entry entries[ENTRIES];
    uint8_t prepared[STATEMENTS + 1 + PLACES];
    struct rp_texts_view texts;
    uint32_t eviction[RING], pins[PLACES];
    uint64_t serial[PLACES], held[PLACES], last_serial;
    uint64_t description[PLACES * SHARE / sizeof(uint64_t)];
    uint8_t generation[PLACES];
    struct rp_catalog_entry catalog[STATEMENTS + 1];
    struct rp_columns *unnamed;
    struct pg_query query[QUERIES];
    struct pg_error error[QUERIES];
    uint32_t sequence[QUERIES];
    int ends[QUERIES];
    uint32_t group[QUERIES]; /* the first query of its group */
    uint32_t queries;
    struct pg_param params[2];
    const uint8_t *at, *end; /* of the input */
    bool grouped, no_memory, hold, lost;
};

static struct pg_statement statement[STATEMENTS] = {
    PG_STATEMENT("SELECT 1"), PG_STATEMENT("SELECT 2"), { .sql = "SELECT 3", .flags = PG_STATEMENT_TEXT },
    PG_STATEMENT("SELECT $1, $2", PG_TYPE_INT4, PG_TYPE_TEXT),
};

static uint8_t take(struct world *w) { return w->at < w->end ? *w->at++ : END; }

static void ended(struct world *w, const struct pg_query *q)
{
    if (!q) return;
    RP_ASSERT(q >= w->query && q < w->query + w->queries);
    RP_ASSERT(w->ends[q - w->query]++ == 0);
}

/* ---- requests ---- */

/* One of three texts in two places, or none of them: the first place is given back and forth. */
static void keep_text(struct world *w, uint32_t i)
{
    uint32_t text = i % 4, place = text == 1;
    if (text == 3) return;
    if (text == 2 && !w->pins[0]) {
        w->serial[0] = ++w->last_serial;
        w->generation[0] = 0;
        w->eviction[w->texts.evicted++ % RING] = 0;
    }
    (void)rp_session_use_text(&w->s, w->sequence[i], place);
}

static bool enqueue(struct world *w, struct pg_query *q, unsigned flags)
{
    size_t bind_size = 0;
    if (rp_session_check(&w->config, q, &bind_size, q->error)) {
        RP_ASSERT(q->error->code == PG_E_PARAMETER && !(flags & RP_ENTRY_HEALED));
        return false;
    }
    RP_ASSERT(rp_session_room(&w->s, 1));
    w->sequence[q - w->query] = rp_session_enqueue(&w->s, q, bind_size, (uint16_t)flags);
    if (!q->statement && !(q->flags & PG_QUERY_SIMPLE) && w->config.texts) keep_text(w, (uint32_t)(q - w->query));
    return true;
}

/* It is the event that is looked at here. */
static enum pg_flow in_pieces(struct pg_query *q, const struct pg_chunk *chunk)
{
    (void)q, (void)chunk;
    return PG_CONTINUE;
}

static void add_query(struct world *w, uint8_t byte, bool more)
{
    uint32_t i = w->queries++;
    struct pg_query *q = &w->query[i];
    unsigned kind = byte & KIND_MASK;
    *q = (struct pg_query){ .error = &w->error[i], .params = w->params };
    if (kind < STATEMENTS) q->statement = &statement[kind];
    else q->sql = "SELECT 'run time'";
    q->nparams = (kind == 3 || kind == KIND_PARAMETERS) ? 2 : 0;
    if (kind == KIND_SIMPLE && !w->grouped && !more) q->flags = PG_QUERY_SIMPLE;
    if (kind == KIND_TEXT) q->flags = PG_QUERY_TEXT;
    if (kind < STATEMENTS && byte & REQUEST_COMPLAIN) q->flags = PG_QUERY_UNNAMED;
    if (i % 4 == 1) q->on_chunk = in_pieces;
    w->group[i] = w->grouped ? w->group[i - 1] : i;
    unsigned flags = (more || w->grouped ? RP_ENTRY_GROUP : 0) | (more ? 0 : RP_ENTRY_SYNC) |
                     (byte & REQUEST_COMMIT ? RP_ENTRY_COMMIT : 0);
    if (flags & RP_ENTRY_COMMIT && q->flags & PG_QUERY_SIMPLE) flags ^= RP_ENTRY_COMMIT | RP_ENTRY_COPY;
    if (!enqueue(w, q, flags)) { /* above the limit; something smaller takes its place */
        *q = (struct pg_query){ .error = &w->error[i], .statement = &statement[0] };
        RP_ASSERT(enqueue(w, q, flags & ~(unsigned)RP_ENTRY_COPY));
    }
    w->grouped = more;
}

static void pull(struct world *w, size_t window, size_t most)
{
    uint8_t out[256];
    while (most && rp_session_has_output(&w->s)) {
        size_t n = rp_session_output(&w->s, out, window < most ? window : most);
        RP_ASSERT(n > 0 && n <= window && n <= most);
        most -= n;
    }
}

static void detach(struct world *w, uint32_t i)
{
    if (i >= w->queries || w->ends[i]) return;
    enum rp_detach how = rp_session_detach(&w->s, w->sequence[i]);
    if (how == RP_DETACH_BROKEN) w->lost = true;
    for (uint32_t at = 0; at < w->queries; at++) /* the others of its group go with it */
        if (at == i || (how == RP_DETACH_GONE && w->group[at] == w->group[i])) ended(w, &w->query[at]);
}

/* A few requests, up to END. A group that is not closed by then is closed here. */
static void requests(struct world *w)
{
    for (uint8_t byte = take(w); byte != END && !w->lost; byte = take(w)) {
        w->hold = byte & REQUEST_HOLD;
        if (byte & REQUEST_DETACH && !w->grouped) detach(w, take(w) % QUERIES);
        else if (byte & REQUEST_COMPLAIN && (byte & KIND_MASK) >= STATEMENTS && rp_session_in_flight(&w->s))
            rp_session_complain(&w->s, w->s.head, PG_E_CANCELLED);
        else if (w->queries + 2 < QUERIES && rp_session_room(&w->s, 2)) add_query(w, byte, byte & REQUEST_GROUPED);
        if (!w->grouped && !w->lost && byte & REQUEST_HOLD) pull(w, 1 + byte % 7, byte);
    }
    if (w->grouped) add_query(w, 0, false);
}

/* ---- events ---- */

static void describe(struct world *w, const struct rp_event *ev)
{
    const char *why = NULL;
    size_t bytes = rp_columns_measure(ev->body, ev->size, &why);
    RP_ASSERT(bytes);
    if (w->no_memory) {
        rp_session_described(&w->s, NULL, 0);
        return;
    }
    struct rp_columns *fresh = malloc(bytes);
    RP_ASSERT(fresh);
    rp_columns_build(fresh, bytes, ev->body, ev->size);
    for (uint8_t g = 0; ev->statement && g < RP_GENERATIONS; g++) {
        const struct rp_columns **known = &w->catalog[ev->statement].generation[g];
        if (*known && !rp_columns_equal(*known, fresh)) continue;
        if (*known) free(fresh);
        else *known = fresh;
        rp_session_described(&w->s, *known, (uint8_t)(g + 1));
        return;
    }
    if (w->unnamed) rp_session_forget_columns(&w->s, w->unnamed);
    free(w->unnamed);
    w->unnamed = fresh;
    rp_session_described(&w->s, fresh, RP_PREPARED_BLIND);
}

static void read_row(struct world *w, const struct rp_event *ev, const uint8_t *block, size_t size)
{
    RP_ASSERT(ev->query && w->ends[ev->query - w->query] == 0);
    for (uint32_t i = 0; i <= pg_row_columns(&w->s.row); i++) {
        struct pg_value v = pg_row_value(&w->s.row, i);
        RP_ASSERT(pg_is_null(v) || (v.data >= block && v.data + v.size <= block + size));
        (void)pg_value_bool(v);
        (void)pg_value_int8(v);
        (void)pg_value_float8(v);
        (void)pg_value_text(v);
    }
    RP_ASSERT(pg_row_mark(&w->s.row)); /* by the column that does not exist */
}

static void read_piece(struct world *w, const struct rp_event *ev, const uint8_t *block, size_t size)
{
    static volatile uint8_t sum;
    const struct rp_piece *p = &w->s.piece;
    RP_ASSERT(ev->query && ev->query->on_chunk && w->ends[ev->query - w->query] == 0);
    RP_ASSERT(p->column < ev->columns->count || (p->last && !p->at && !ev->columns->count));
    RP_ASSERT(p->at ? p->at >= block && p->at + p->bytes <= block + size : p->bytes == 0 && p->size == RP_PIECE_NULL);
    RP_ASSERT(!p->at || p->offset + p->bytes <= (uint64_t)p->size);
    RP_ASSERT(!p->at || p->bytes == (uint64_t)p->size || (p->size > (int64_t)w->config.chunk && p->bytes));
    for (size_t i = 0; i < p->bytes; i++) sum = (uint8_t)(sum + p->at[i]);
    rp_row_none(&w->s.row, ev->columns);
    (void)pg_value_int8(rp_piece_value(&w->s.row, p));
}

static void begin_copy(struct world *w, const struct rp_event *ev)
{
    struct rp_copy_shape shape;
    const char *why;
    RP_ASSERT(ev->query && w->ends[ev->query - w->query] == 0);
    RP_ASSERT(rp_copy_shape_parse(&shape, ev->body, ev->size, &why));
    RP_ASSERT(w->s.copying == RP_STEP_COPY_IN || w->s.copying == RP_STEP_COPY_OUT);
}

static void read_data(struct world *w, const struct rp_event *ev, const uint8_t *block, size_t size)
{
    static volatile uint8_t sum;
    RP_ASSERT(ev->query && w->ends[ev->query - w->query] == 0 && w->s.copying == RP_STEP_COPY_OUT);
    RP_ASSERT(ev->size && ev->body >= block && ev->body + ev->size <= block + size);
    for (size_t i = 0; i < ev->size; i++) sum = (uint8_t)(sum + ev->body[i]);
}

static void write_copy(struct world *w)
{
    uint8_t room[32];
    struct rp_copy_buffer b = { .at = room, .capacity = take(w) % (sizeof room + 1) };
    if (!rp_session_copies_in(&w->s, w->s.due)) return;
    for (int i = 0; i < 3; i++) (void)rp_copy_put(&b, "some data", take(w) % 10);
    RP_ASSERT(b.size <= b.capacity);
}

/* True: there may be more in these bytes. */
static bool deliver(struct world *w, const struct rp_event *ev, const uint8_t *block, size_t size)
{
    switch (ev->kind) {
    case RP_EVENT_MORE: return false;
    case RP_EVENT_KEY: {
        static const uint8_t salted[RP_SCRAM_KEY] = { 9 };
        RP_ASSERT(w->s.scram.iterations && w->s.scram.iterations <= w->config.scram_iterations_max);
        rp_session_key(&w->s, salted);
        return true;
    }
    case RP_EVENT_COLUMNS: describe(w, ev); return true;
    case RP_EVENT_ROW: read_row(w, ev, block, size); return true;
    case RP_EVENT_PIECE: read_piece(w, ev, block, size); return true;
    case RP_EVENT_COPY: begin_copy(w, ev); return true;
    case RP_EVENT_DATA: read_data(w, ev, block, size); return true;
    case RP_EVENT_OUTCOME:
        if (ev->query) RP_ASSERT(ev->query->status <= 0 && ev->query->sent != PG_SENT_MAYBE);
        ended(w, ev->query);
        return true;
    case RP_EVENT_HEAL:
        RP_ASSERT(w->s.transaction == 'I');
        RP_ASSERT(ev->query && enqueue(w, ev->query, RP_ENTRY_SYNC | RP_ENTRY_HEALED));
        return true;
    case RP_EVENT_TLS: rp_session_in_tls(&w->s, (const uint8_t *)"hash", 4); return true;
    case RP_EVENT_READY:
    case RP_EVENT_NOTICE: return true;
    case RP_EVENT_NOTIFICATION: {
        const struct rp_notification *n = &w->s.notification;
        RP_ASSERT((const uint8_t *)n->channel.data >= block && n->channel.data + n->channel.size < n->payload.data);
        RP_ASSERT((const uint8_t *)n->payload.data + n->payload.size < block + size);
        return true;
    }
    case RP_EVENT_BROKEN:
        RP_ASSERT(w->s.error.code != PG_OK);
        return false;
    }
    return false;
}

/* Feeds what arrived; what is left of it moves to the front. */
static void feed(struct world *w, uint8_t *unread, size_t *size)
{
    bool more = true;
    while (more) {
        uint8_t *block = malloc(*size ? *size : 1);
        size_t consumed = SIZE_MAX;
        RP_ASSERT(block);
        if (*size) memcpy(block, unread, *size);
        struct rp_event ev = rp_session_next(&w->s, block, *size, &consumed);
        RP_ASSERT(consumed <= *size);
        more = deliver(w, &ev, block, *size);
        *size -= consumed;
        memmove(unread, unread + consumed, *size);
        if (ev.kind == RP_EVENT_MORE && !w->s.wait_key && w->s.rest != RP_REST_SKIPPED) RP_ASSERT(ev.need > *size);
        free(block);
        RP_ASSERT(w->s.phase != RP_PHASE_READY || w->s.live <= w->s.tail - w->s.head);
        if (!w->hold) pull(w, 200, SIZE_MAX);
    }
}

struct incoming { uint8_t at[1 << 15]; size_t size; };

/* A message of which the fuzzer says type and contents; common contents are at hand for what must be exact. */
static size_t make_message(struct world *w, uint8_t which, uint8_t out[300])
{
    static const struct { const char *bytes; size_t size; } ready[] = {
#define READY(literal) { literal, sizeof(literal) - 1 }
        READY("1\0\0\0\4"), READY("2\0\0\0\4"), READY("3\0\0\0\4"), READY("n\0\0\0\4"), READY("I\0\0\0\4"),
        READY("Z\0\0\0\5I"), READY("Z\0\0\0\5T"), READY("Z\0\0\0\5E"), READY("C\0\0\0\x0dSELECT 1\0"),
        READY("C\0\0\0\x0dROLLBACK\0"),
        READY("C\0\0\0\x10""DISCARD ALL\0"), READY("C\0\0\0\x0f""DEALLOCATE\0"),
        READY("T\0\0\0\x1a\0\1x\0\0\0\0\0\0\0\0\0\0\x19\0\0\0\0\0\0\0\0"),
        READY("T\0\0\0\x1a\0\1y\0\0\0\0\0\0\0\0\0\0\x17\0\0\0\0\0\0\0\1"), READY("T\0\0\0\6\0\0"),
        READY("D\0\0\0\x0e\0\1\0\0\0\4abcd"), READY("D\0\0\0\x0a\0\1\xff\xff\xff\xff"), READY("D\0\0\0\6\0\0"),
        READY("E\0\0\0\x0c""C26000\0\0"), READY("E\0\0\0\x23""C0A000\0RRevalidateCachedQuery\0\0"),
        READY("E\0\0\0\x0c""C23505\0\0"),
        READY("E\0\0\0\x0c""SFATAL\0\0"), READY("N\0\0\0\x0c""C00000\0\0"), READY("S\0\0\0\x11TimeZone\0UTC\0"),
        READY("R\0\0\0\x08\0\0\0\0"), READY("R\0\0\0\x08\0\0\0\3"), READY("R\0\0\0\x0c\0\0\0\5salt"),
        READY("R\0\0\0\x17\0\0\0\12SCRAM-SHA-256\0\0"),
        READY("R\0\0\0\x33\0\0\0\13r=AAAAAAAAAAAAAAAAAAAAAAAAserver,s=c2FsdA==,i=9"),
        READY("K\0\0\0\x0c\0\0\0\7\0\0\0\7"),
        READY("G\0\0\0\x09\0\0\1\0\0"), READY("H\0\0\0\x09\1\0\1\0\1"), READY("W\0\0\0\7\0\0\0"),
        READY("d\0\0\0\x0a""a row\n"), READY("d\0\0\0\x27""more than what is collected at once"), READY("c\0\0\0\4"),
        READY("C\0\0\0\x0b""COPY 2\0"), READY("E\0\0\0\x0c""C57014\0\0"),
#undef READY
    };
    static const char types[] = "TDCENSAZRGHd";
    if (which < RP_COUNT(ready)) {
        memcpy(out, ready[which].bytes, ready[which].size);
        return ready[which].size;
    }
    size_t n = take(w), left = (size_t)(w->end - w->at);
    if (n > left) n = left;
    out[0] = (uint8_t)types[which % (sizeof types - 1)];
    out[1] = out[2] = 0;
    out[3] = (uint8_t)((n + 4) >> 8);
    out[4] = (uint8_t)(n + 4);
    memcpy(out + 5, w->at, n);
    w->at += n;
    return 5 + n;
}

static bool arrive(struct world *w, struct incoming *in, const uint8_t *at, size_t n, size_t piece)
{
    for (; n && w->s.phase != RP_PHASE_BROKEN; at += piece, n -= piece) {
        if (piece > n) piece = n;
        if (piece > sizeof in->at - in->size) return false;
        memcpy(in->at + in->size, at, piece);
        in->size += piece;
        feed(w, in->at, &in->size);
    }
    return true;
}

/* A byte says what comes: END requests; from 128 on a message, in one or in small pieces; below raw bytes. */
static void server(struct world *w, bool in_pieces)
{
    static struct incoming in;
    in.size = 0;
    while (w->at < w->end && !w->lost && w->s.phase != RP_PHASE_BROKEN) {
        uint8_t byte = take(w), message[300];
        if (byte == END) {
            if (w->s.phase == RP_PHASE_READY) requests(w);
            if (!w->hold && !w->lost) pull(w, 200, SIZE_MAX);
        } else if (byte >= 128) {
            size_t n = make_message(w, byte & 127, message);
            if (!arrive(w, &in, message, n, in_pieces ? 1 + n / 5 : n)) return;
        } else if (byte >= COPY_WRITE) {
            if (byte == COPY_WRITE) write_copy(w);
            else rp_session_copy_end(&w->s, byte == COPY_FAIL ? "as the fuzzer wants it" : NULL);
            if (!w->hold && !w->lost) pull(w, 200, SIZE_MAX);
        } else {
            size_t left = (size_t)(w->end - w->at), n = byte < left ? byte : left;
            const uint8_t *at = w->at;
            w->at += n;
            if (!arrive(w, &in, at, n, n)) return;
        }
    }
}

/* ---- one run ---- */

static void start(struct world *w, uint8_t options)
{
    static const struct rp_pair startup[] = { { "user", "app" }, { NULL, NULL } };
    static const uint8_t entropy[18] = { 0 }, hello[] = "R\0\0\0\x08\0\0\0\0Z\0\0\0\5I";
    for (uint32_t i = 0; i < STATEMENTS; i++) RP_ASSERT(rp_statement_id(&statement[i]) == i + 1);
    bool bound = options & OPTION_COLD && options & OPTION_EXCLUSIVE;
    w->config = (struct rp_session_config){
        .protocol_max = options & OPTION_3_2 ? RP_PROTOCOL_3_2 : RP_PROTOCOL_3_0,
        .protocol_min = (options & OPTION_3_2) && (options & OPTION_ONLY_3_2) ? RP_PROTOCOL_3_2 : RP_PROTOCOL_3_0,
        .startup = startup, .user = "app", .password = options & OPTION_PASSWORD ? "secret" : NULL,
        .scram_iterations_max = 4096,
        .channel_binding = bound ? RP_CHANNEL_BINDING_REQUIRE : RP_CHANNEL_BINDING_PREFER,
        .message_limit = options & OPTION_SMALL ? 60 : 1 << 20, .row_limit = options & OPTION_SMALL ? 40 : 1 << 14,
        .chunk = 30,
        .entries = ENTRIES, .statements = STATEMENTS, .catalog = w->catalog,
    };
    w->params[0] = pg_int4(1);
    w->params[1] = pg_str("a text");
    w->no_memory = options & OPTION_NO_MEMORY;
    w->texts = (struct rp_texts_view){ .places = PLACES, .ring = RING, .eviction = w->eviction, .serial = w->serial,
                                       .pins = w->pins, .generation = w->generation,
                                       .description = (uint8_t *)w->description, .share = SHARE };
    for (uint32_t i = 0; i < PLACES; i++) w->serial[i] = ++w->last_serial;
    /* What would be no more than 3.2 without 3.2 has this meaning. */
    w->config.unnamed = (options & (OPTION_3_2 | OPTION_ONLY_3_2)) == OPTION_ONLY_3_2;
    if (!w->config.unnamed) w->config.texts = &w->texts;
    rp_session_init(&w->s, &w->config, w->entries, w->prepared, entropy);
    if (w->config.texts) rp_session_keep_texts(&w->s, w->held);
    if (options & OPTION_COLD && options & OPTION_NO_MEMORY) rp_session_ask_tls(&w->s, options & OPTION_EXCLUSIVE);
    pull(w, 256, SIZE_MAX);
    if (options & OPTION_COLD) return;
    size_t consumed;
    RP_ASSERT(rp_session_next(&w->s, hello, sizeof hello - 1, &consumed).kind == RP_EVENT_READY);
    w->s.exclusive = w->s.listens = options & OPTION_EXCLUSIVE;
    w->s.head = w->s.due = w->s.unsent = w->s.tail = UINT32_MAX - 3;
}

static void finish(struct world *w)
{
    struct pg_query *q;
    bool written, before = true;
    while (rp_session_orphan(&w->s, &q, &written)) {
        RP_ASSERT(before || !written);
        before = written;
        ended(w, q);
    }
    RP_ASSERT(rp_session_in_flight(&w->s) == 0);
    for (uint32_t i = 0; i < w->queries; i++) RP_ASSERT(w->ends[i] == 1);
    for (uint32_t i = 0; i < PLACES; i++) RP_ASSERT(w->pins[i] == 0);
    for (size_t id = 0; id <= STATEMENTS; id++)
        for (size_t g = 0; g < RP_GENERATIONS; g++) free((void *)(uintptr_t)w->catalog[id].generation[g]);
    free(w->unnamed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    memset(&w, 0, sizeof w);
    w.at = data;
    w.end = data + size;
    uint8_t options = take(&w);
    start(&w, options);
    if (w.s.phase == RP_PHASE_READY) {
        requests(&w);
        if (!w.hold && !w.lost) pull(&w, 200, SIZE_MAX);
    }
    server(&w, options & OPTION_PIECES);
    finish(&w);
    return 0;
}
