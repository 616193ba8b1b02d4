/* session/session.c - the session's outgoing half: requests become entries of the FIFO, entries become bytes.
 *
 * What is prepared is decided when the first byte of an entry is written, not when it is queued: so the prepared bytes
 * follow the order of the wire, and an entry that is dropped before has changed nothing. */
#include "session/session.h"
#include <openssl/crypto.h>
#include <stdatomic.h>
#include "session/internal.h"
#include "wire/check.h"
#include "wire/error.h"

uint32_t rp_statement_id(struct pg_statement *statement)
{
    static _Atomic uint32_t last_id;
    uint32_t id = __atomic_load_n(&statement->id_private, __ATOMIC_ACQUIRE);
    if (id) return id;
    uint32_t fresh = atomic_fetch_add(&last_id, 1) + 1, none = 0;
    /* Two threads may race for the first use: the loser's number stays unused. */
    return __atomic_compare_exchange_n(&statement->id_private, &none, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
               ? fresh
               : none;
}

void rp_session_init(struct rp_session *s, const struct rp_session_config *config, struct rp_entry *entries,
                     uint8_t *prepared, const uint8_t entropy[18])
{
    RP_ASSERT(config->entries && !(config->entries & (config->entries - 1)));
    memset(s, 0, sizeof *s);
    s->config = config;
    s->entry = entries;
    s->mask = config->entries - 1;
    s->plain = config->chunk < config->row_limit ? config->chunk : config->row_limit;
    s->plain = s->plain > RP_FRAME_HEAD ? s->plain - RP_FRAME_HEAD : 0;
    s->prepared = prepared;
    memset(prepared, 0, config->statements + 1);
    s->say = RP_SAY_STARTUP;
    s->protocol = config->protocol_max;
    s->say_size = rp_write_startup(NULL, s->protocol, config->startup);
    rp_scram_first(&s->scram, entropy, s->say_text);
}

void rp_session_keep_texts(struct rp_session *s, uint64_t *held)
{
    s->held = held;
    memset(s->prepared + s->config->statements + 1, RP_PREPARED_NONE, s->config->texts->places);
}

void rp_session_ask_tls(struct rp_session *s, bool required)
{
    RP_ASSERT(s->phase == RP_PHASE_START && s->say == RP_SAY_STARTUP && !s->said);
    s->phase = RP_PHASE_TLS;
    s->tls_required = required;
    s->say = RP_SAY_TLS;
    s->say_size = RP_TLS_REQUEST_SIZE;
}

void rp_session_in_tls(struct rp_session *s, const uint8_t *binding, size_t size)
{
    s->tls = true;
    rp_scram_bind(&s->scram, binding, size);
}


/* Dropped entries leave the FIFO as soon as nothing older is due. */
static void settle(struct rp_session *s)
{
    while (s->unsent != s->tail && rp_session_entry(s, s->unsent)->flags & RP_ENTRY_DROPPED) s->unsent++;
    while (s->due != s->unsent && rp_session_entry(s, s->due)->steps == 0) s->due++;
    while (s->head != s->due && rp_session_entry(s, s->head)->flags & RP_ENTRY_DROPPED) (void)rp_session_take(s);
}

struct rp_entry *rp_session_take(struct rp_session *s)
{
    struct rp_entry *e = rp_session_entry(s, s->head++);
    if (e->statement > s->config->statements) s->config->texts->pins[e->statement - s->config->statements - 1]--;
    return e;
}

bool rp_session_room(struct rp_session *s, uint32_t n)
{
    if (s->config->entries - (s->tail - s->head) >= n) return true;
    settle(s);
    return s->config->entries - (s->tail - s->head) >= n;
}

/* ---- checking and queueing ---- */

static bool text_results(const struct pg_query *q)
{
    return q->flags & PG_QUERY_TEXT || (q->statement && q->statement->flags & PG_STATEMENT_TEXT);
}
static uint32_t count_types(const struct pg_statement *statement)
{
    uint32_t n = 0;
    while (n < RP_COUNT(statement->types) && statement->types[n]) n++;
    return n;
}
static struct rp_bind bind_of(const struct pg_query *q, uint64_t statement)
{
    struct rp_bind b = { .statement = statement, .params = q->params, .nparams = q->nparams };
    b.text_results = text_results(q);
    if (q->statement) b.types = q->statement->types, b.ntypes = count_types(q->statement);
    return b;
}
static const char *sql_of(const struct pg_query *q) { return q->statement ? q->statement->sql : q->sql; }
static bool is_named(const struct rp_session_config *config, const struct pg_query *q)
{
    return q->statement && !(q->flags & (PG_QUERY_UNNAMED | PG_QUERY_SIMPLE)) && !config->unnamed;
}
static int too_long(struct pg_error *error)
{
    return rp_error_set(error, PG_E_PARAMETER, "the SQL text is larger than the protocol allows");
}

void rp_session_look(struct rp_catalog_entry *entry, const struct pg_statement *statement)
{
    const struct rp_bind b = { .statement = statement->id_private, .ntypes = count_types(statement) };
    size_t size = rp_parse_size(&b, statement->sql);
    entry->parse_size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    entry->sql_class = (uint8_t)rp_sql_classify(statement->sql);
}

int rp_session_check(const struct rp_session_config *config, struct pg_query *q, size_t *bind_size,
                     struct pg_error *error)
{
    *bind_size = 0;
    if (!sql_of(q)) return rp_error_set(error, PG_E_PARAMETER, "the query has neither a statement nor SQL");
    if (q->flags & PG_QUERY_SIMPLE) {
        if (q->nparams) return rp_error_set(error, PG_E_PARAMETER, "a simple query takes no parameters");
        return rp_query_size(sql_of(q)) > config->message_limit ? too_long(error) : 0;
    }
    uint32_t id = is_named(config, q) ? rp_statement_id(q->statement) : 0;
    if (id > config->statements)
        return rp_error_set(error, PG_E_FULL, "more than %u statements are declared", config->statements);
    struct rp_bind b = bind_of(q, id);
    size_t parse_size = id ? config->catalog[id].parse_size : 0;
    if (!parse_size) parse_size = rp_parse_size(&b, sql_of(q));
    if (parse_size > config->message_limit) return too_long(error);
    if (q->statement && b.ntypes != b.nparams)
        return rp_error_set(error, PG_E_PARAMETER, "the statement has %u parameters and %u were given", b.ntypes,
                            b.nparams);
    uint32_t which = 0;
    const char *why = NULL;
    if (rp_bind_measure(&b, config->message_limit, bind_size, &which, &why))
        return rp_error_set(error, PG_E_PARAMETER, "parameter $%u %s", which + 1, why);
    return 0;
}

int rp_session_check_prepare(const struct rp_session_config *config, struct pg_statement *statement,
                             struct pg_error *error)
{
    const struct pg_query q = { .statement = statement };
    if (!statement->sql) return rp_error_set(error, PG_E_PARAMETER, "the statement has no SQL");
    struct rp_bind b = bind_of(&q, rp_statement_id(statement));
    if (b.statement > config->statements)
        return rp_error_set(error, PG_E_FULL, "more than %u statements are declared", config->statements);
    return rp_parse_size(&b, statement->sql) > config->message_limit ? too_long(error) : 0;
}

uint32_t rp_session_enqueue(struct rp_session *s, struct pg_query *q, size_t bind_size, uint16_t flags)
{
    RP_ASSERT(rp_session_room(s, 1));
    struct rp_entry *e = rp_session_entry(s, s->tail);
    *e = (struct rp_entry){ .query = q, .bind_size = (uint32_t)bind_size, .flags = flags };
    if (is_named(s->config, q)) e->statement = q->statement->id_private;
    else e->flags |= RP_ENTRY_UNNAMED;
    if (text_results(q)) e->flags |= RP_ENTRY_TEXT;
    if (q->on_chunk) e->flags |= RP_ENTRY_PIECES, s->pieced = true, s->plain = 0;
    s->live++;
    return s->tail++;
}

bool rp_session_use_text(struct rp_session *s, uint32_t sequence, uint32_t place)
{
    struct rp_entry *e = rp_session_entry(s, sequence);
    struct rp_texts_view *texts = s->config->texts;
    struct rp_bind b = bind_of(e->query, RP_NAME_TEXT | texts->serial[place]);
    size_t bind_size = e->bind_size + rp_name_size(b.statement) - rp_name_size(0);
    RP_ASSERT(place < texts->places && e->flags & RP_ENTRY_UNNAMED && !(e->query->flags & PG_QUERY_SIMPLE));
    if (bind_size > s->config->message_limit || rp_parse_size(&b, e->query->sql) > s->config->message_limit)
        return false;
    e->bind_size = (uint32_t)bind_size;
    e->statement = s->config->statements + 1 + place;
    e->flags &= (uint16_t)~RP_ENTRY_UNNAMED;
    texts->pins[place]++;
    return true;
}

bool rp_session_begins_group(const struct rp_session *s)
{
    return s->unsent == s->head || s->entry[(s->unsent - 1) & (s->config->entries - 1)].flags & RP_ENTRY_SYNC;
}

/* ---- texts that are kept ---- */

static void close_name(struct rp_session *s, uint64_t name) { s->closing[s->nclosing++] = name; }

/* The text in this place is another one by now: its name goes, if the server may have it. */
static void close_former(struct rp_session *s, uint32_t place)
{
    uint8_t *state = &s->prepared[s->config->statements + 1 + place];
    if (s->held[place] == s->config->texts->serial[place]) return;
    if (*state != RP_PREPARED_NONE && !RP_PLANT(evicted_unclosed)) close_name(s, RP_NAME_TEXT | s->held[place]);
    *state = RP_PREPARED_NONE;
}

/* As many as one request may; the rest is left to the next one. */
static void close_evicted(struct rp_session *s)
{
    const struct rp_texts_view *texts = s->config->texts;
    uint32_t place = 0;
    if (texts->evicted - s->evicted <= texts->ring) {
        while (s->evicted != texts->evicted && s->nclosing < RP_CLOSES)
            close_former(s, texts->eviction[s->evicted++ & (texts->ring - 1)]);
        return;
    }
    while (place < texts->places && s->nclosing < RP_CLOSES) close_former(s, place++);
    if (place == texts->places) s->evicted = texts->evicted;
}

/* From now on the place is this text's, here too. A Close in the midst of a group might be passed over, and the name be
 * left to nobody: then the text goes without one, this time. */
static void take_place(struct rp_session *s, struct rp_entry *e)
{
    struct rp_texts_view *texts = s->config->texts;
    uint32_t place = e->statement - s->config->statements - 1;
    bool former = s->held[place] != texts->serial[place] && s->prepared[e->statement] != RP_PREPARED_NONE;
    if (former && !rp_session_begins_group(s)) {
        e->bind_size -= (uint32_t)(rp_name_size(RP_NAME_TEXT | texts->serial[place]) - rp_name_size(0));
        e->statement = 0;
        e->flags |= RP_ENTRY_UNNAMED;
        texts->pins[place]--;
        return;
    }
    if (!s->keeps) s->evicted = texts->evicted; /* what was there before was not here */
    s->keeps = true;
    close_former(s, place);
    s->held[place] = texts->serial[place];
}

static uint64_t name_of(const struct rp_session *s, uint32_t id)
{
    return id <= s->config->statements ? id : RP_NAME_TEXT | s->held[id - s->config->statements - 1];
}

/* ---- entries become bytes ---- */

/* Whether to rely on a Parse that is still on its way. It may fail, or be skipped when something before it in its group
 * fails. Who can be healed then relies on it; a member of a batch, a lease's request and a second attempt bring their
 * own Parse, unless their group has it. */
static bool may_rely_on_parse(struct rp_session *s, const struct rp_entry *e)
{
    if (!(e->flags & (RP_ENTRY_GROUP | RP_ENTRY_HEALED)) && !s->exclusive) return true;
    for (uint32_t at = s->unsent; at != s->head; at--) {
        const struct rp_entry *before = rp_session_entry(s, at - 1);
        if (before->flags & (RP_ENTRY_SYNC | RP_ENTRY_DROPPED)) return false;
        if (before->statement == e->statement && before->sent_steps & BIT(RP_STEP_PARSE)) return true;
    }
    return false;
}

/* The steps of an entry, from what is prepared now. */
static uint8_t steps_of(struct rp_session *s, struct rp_entry *e)
{
    unsigned sync = e->flags & RP_ENTRY_SYNC ? BIT(RP_STEP_SYNC) : 0;
    if (e->flags & RP_ENTRY_SKIPPED) return (uint8_t)sync;
    if (e->query->flags & PG_QUERY_SIMPLE) return (uint8_t)(BIT(RP_STEP_SIMPLE) | sync);
    unsigned steps = BIT(RP_STEP_BIND) | BIT(RP_STEP_EXECUTE) | sync;
    const unsigned first = BIT(RP_STEP_PARSE) | BIT(RP_STEP_DESCRIBE);
    if (s->keeps && s->evicted != s->config->texts->evicted && rp_session_begins_group(s)) close_evicted(s);
    if (e->statement > s->config->statements) take_place(s, e);
    if (e->flags & RP_ENTRY_UNNAMED) return (uint8_t)(steps | first);
    e->generation = s->prepared[e->statement];
    switch (e->generation) {
    case RP_PREPARED_NONE: steps |= first; break;
    case RP_PREPARED_UNSURE: steps |= BIT(RP_STEP_CLOSE) | first; break;
    case RP_PREPARED_BLIND: steps |= BIT(RP_STEP_DESCRIBE); break;
    case RP_PREPARED_PARSING:
        steps |= may_rely_on_parse(s, e) ? BIT(RP_STEP_DESCRIBE) : BIT(RP_STEP_CLOSE) | first;
        break;
    default: break;
    }
    if (e->flags & RP_ENTRY_PREPARE) steps &= sync | BIT(RP_STEP_CLOSE) | BIT(RP_STEP_PARSE);
    if (steps & BIT(RP_STEP_CLOSE)) close_name(s, name_of(s, e->statement));
    if (steps & BIT(RP_STEP_PARSE)) s->prepared[e->statement] = RP_PREPARED_PARSING;
    return (uint8_t)steps;
}

static void begin_entry(struct rp_session *s, struct rp_entry *e)
{
    s->nclosing = 0;
    uint8_t steps = steps_of(s, e);
    if (s->nclosing) steps |= BIT(RP_STEP_CLOSE);
    e->closes = (uint8_t)s->nclosing;
    e->steps = e->sent_steps = steps;
    size_t size = steps & BIT(RP_STEP_SYNC) && !(steps & BIT(RP_STEP_SIMPLE)) ? RP_SYNC_SIZE : 0;
    if (steps & BIT(RP_STEP_SIMPLE)) size += rp_query_size(sql_of(e->query));
    for (uint32_t i = 0; i < s->nclosing; i++) size += rp_close_size(s->closing[i]);
    if (steps & BIT(RP_STEP_PARSE)) {
        struct rp_bind b = bind_of(e->query, name_of(s, e->statement));
        size += rp_parse_size(&b, sql_of(e->query));
    }
    if (steps & BIT(RP_STEP_BIND)) size += e->bind_size;
    if (steps & BIT(RP_STEP_DESCRIBE)) size += RP_DESCRIBE_SIZE;
    if (steps & BIT(RP_STEP_EXECUTE)) size += RP_EXECUTE_SIZE;
    RP_ASSERT(size <= UINT32_MAX); /* Parse and Bind were each checked against the protocol's limit */
    e->size = (uint32_t)size;
    s->resume.of = NULL;
}

/* An unnamed statement of a declared one still takes the declared types: only the name is left out. */
static void write_entry(const struct rp_session *s, struct rp_writer *w, const struct rp_entry *e)
{
    uint8_t steps = e->sent_steps;
    if (steps & BIT(RP_STEP_SIMPLE)) {
        rp_write_query(w, sql_of(e->query)); /* its own Sync: ReadyForQuery follows without one */
        return;
    }
    for (uint32_t i = 0; steps & BIT(RP_STEP_CLOSE) && i < s->nclosing; i++) rp_write_close(w, s->closing[i]);
    if (steps & (BIT(RP_STEP_PARSE) | BIT(RP_STEP_BIND))) {
        struct rp_bind b = bind_of(e->query, name_of(s, e->statement));
        if (steps & BIT(RP_STEP_PARSE)) rp_write_parse(w, &b, sql_of(e->query));
        if (steps & BIT(RP_STEP_BIND)) rp_write_bind(w, &b, e->bind_size);
        if (steps & BIT(RP_STEP_DESCRIBE)) rp_write_describe_portal(w);
        if (steps & BIT(RP_STEP_EXECUTE)) rp_write_execute(w);
    }
    if (steps & BIT(RP_STEP_SYNC)) rp_write_sync(w);
}

/* Everything that is said before the first request, and the end of a COPY. */
static void write_saying(struct rp_session *s, struct rp_writer *w)
{
    switch (s->say) {
    case RP_SAY_TLS: rp_write_tls_request(w); break;
    case RP_SAY_STARTUP: rp_write_startup(w, s->protocol, s->config->startup); break;
    case RP_SAY_CLEARTEXT: rp_write_password(w, s->config->password); break;
    case RP_SAY_PASSWORD: rp_write_password(w, s->say_text); break;
    case RP_SAY_SASL_FIRST: rp_write_sasl(w, rp_scram_mechanism(&s->scram), s->say_text, strlen(s->say_text)); break;
    case RP_SAY_SASL_FINAL: rp_write_sasl(w, NULL, s->say_text, strlen(s->say_text)); break;
    case RP_SAY_COPY_DONE: rp_write_copy_done(w); break;
    case RP_SAY_COPY_FAIL: rp_write_copy_fail(w, s->say_text); break;
    case RP_SAY_NOTHING: break;
    }
}

static void output_saying(struct rp_session *s, struct rp_writer *w)
{
    size_t before = w->used;
    w->skip = s->said;
    write_saying(s, w);
    w->skip = 0;
    s->said += w->used - before;
    if (s->said < s->say_size) return;
    if (s->say == RP_SAY_STARTUP) s->phase = RP_PHASE_AUTH;
    if (s->say == RP_SAY_PASSWORD) OPENSSL_cleanse(s->say_text, sizeof s->say_text);
    if (s->copying == RP_STEP_COPY_IN) s->copying = RP_STEP_COPY_DONE;
    s->say = RP_SAY_NOTHING;
    s->said = s->say_size = 0;
}

size_t rp_session_output(struct rp_session *s, uint8_t *to, size_t capacity)
{
    struct rp_writer w = { .to = to, .capacity = capacity };
    if (s->phase == RP_PHASE_BROKEN) return 0;
    if (s->say) {
        output_saying(s, &w);
        return w.used;
    }
    if (s->phase != RP_PHASE_READY && s->terminate == RP_TERMINATE_NO) return 0;
    for (;; s->unsent++) {
        if (s->tail - s->head != s->live) settle(s);
        if (s->unsent == s->tail || s->phase != RP_PHASE_READY) break;
        struct rp_entry *e = rp_session_entry(s, s->unsent);
        if (w.used == w.capacity || rp_session_held_back(s)) return w.used;
        if (s->written == 0) begin_entry(s, e);
        size_t before = w.used;
        w.skip = s->written;
        w.origin = w.skip - w.used;
        w.resume = &s->resume;
        if (e->size) write_entry(s, &w, e);
        s->written += w.used - before;
        if (s->written < e->size) return w.used;
        RP_ASSERT(s->written == e->size && w.skip == 0);
        s->written = 0;
        s->barrier = e->flags & RP_ENTRY_COPY;
    }
    if (s->terminate == RP_TERMINATE_WANTED && w.capacity - w.used >= RP_TERMINATE_SIZE) {
        rp_write_terminate(&w);
        s->terminate = RP_TERMINATE_SAID;
    }
    return w.used;
}

bool rp_session_has_output(const struct rp_session *s)
{
    if (s->phase == RP_PHASE_BROKEN) return false;
    return s->say || (s->phase == RP_PHASE_READY && s->unsent != s->tail && !rp_session_held_back(s)) ||
           s->terminate == RP_TERMINATE_WANTED;
}

/* An estimate before the entry is begun: its Bind is what can be large. */
size_t rp_session_pending_bytes(const struct rp_session *s)
{
    if (s->say) return s->say_size - s->said;
    if (s->unsent == s->tail) return 0;
    const struct rp_entry *e = &s->entry[s->unsent & (s->config->entries - 1)];
    return s->written ? e->size - s->written : e->bind_size;
}

void rp_session_terminate(struct rp_session *s)
{
    if (s->terminate == RP_TERMINATE_NO) s->terminate = RP_TERMINATE_WANTED;
}

/* ---- callers that go away ---- */

bool rp_session_written(const struct rp_session *s, uint32_t sequence)
{
    int32_t behind = (int32_t)(sequence - s->unsent);
    return behind < 0 || (behind == 0 && s->written > 0);
}

uint32_t rp_session_group(const struct rp_session *s, uint32_t sequence)
{
    while (sequence != s->head && !(s->entry[(sequence - 1) & (s->config->entries - 1)].flags & RP_ENTRY_SYNC))
        sequence--;
    return sequence;
}

bool rp_session_decided(const struct rp_session *s, uint32_t sequence)
{
    return (int32_t)(sequence - (s->finishing ? s->due : s->head)) < 0;
}

enum rp_detach rp_session_detach(struct rp_session *s, uint32_t sequence)
{
    struct rp_entry *e = rp_session_entry(s, sequence);
    uint32_t first = rp_session_group(s, sequence), last = sequence;
    RP_ASSERT(!(e->flags & RP_ENTRY_DROPPED));
    while (!(rp_session_entry(s, last)->flags & RP_ENTRY_SYNC)) last++;
    if (!rp_session_written(s, first)) {
        for (uint32_t at = first; at != last + 1; at++, s->live--) {
            struct rp_entry *gone = rp_session_entry(s, at);
            gone->flags |= RP_ENTRY_DROPPED;
            gone->query = NULL;
        }
        settle(s);
        return RP_DETACH_GONE;
    }
    bool complete = rp_session_written(s, sequence) && !(sequence == s->unsent && s->written < e->size);
    if (!RP_PLANT(told_twice)) e->query = NULL;
    if (sequence == s->due) rp_session_copy_end(s, "the caller has gone away");
    return complete || e->flags & RP_ENTRY_SKIPPED ? RP_DETACH_KEPT : RP_DETACH_BROKEN;
}

void rp_session_complain(struct rp_session *s, uint32_t sequence, int complaint)
{
    struct rp_entry *e = rp_session_entry(s, sequence);
    if (!e->complaint) e->complaint = (int16_t)complaint;
}

void rp_session_forget_columns(struct rp_session *s, const struct rp_columns *columns)
{
    for (uint32_t sequence = s->head; sequence != s->due; sequence++)
        if (rp_session_entry(s, sequence)->columns == columns) rp_session_entry(s, sequence)->columns = NULL;
}

bool rp_session_orphan(struct rp_session *s, struct pg_query **query, bool *written)
{
    while (s->head != s->tail) {
        *written = rp_session_written(s, s->head);
        struct rp_entry *e = rp_session_take(s);
        *query = e->query;
        if (e->flags & RP_ENTRY_DROPPED) continue;
        s->live--;
        return true;
    }
    s->due = s->unsent = s->head;
    return false;
}
