/* session/output.c - the session's outgoing half: entries become bytes.
 *
 * What is prepared is decided when the first byte of an entry is written, not when it is queued: so the prepared bytes
 * follow the order of the wire, and an entry that is dropped before has changed nothing. What nearly every request
 * consists of goes straight. */
#include <openssl/crypto.h>
#include "session/internal.h"
#include "wire/check.h"

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
 * left to nobody: then the text goes without one, this time. What it was described as may have changed elsewhere. */
static void take_place(struct rp_session *s, struct rp_entry *e)
{
    struct rp_texts_view *texts = s->config->texts;
    uint32_t place = rp_session_place(s, e->statement);
    uint8_t *state = &s->prepared[e->statement];
    bool former = s->held[place] != texts->serial[place] && *state != RP_PREPARED_NONE;
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
    if (rp_session_knows(*state) && *state != texts->generation[place]) *state = RP_PREPARED_BLIND;
}

static uint64_t name_of(const struct rp_session *s, uint32_t id)
{
    return rp_session_is_text(s, id) ? RP_NAME_TEXT | s->held[rp_session_place(s, id)] : id;
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
    if (rp_session_is_text(s, e->statement)) take_place(s, e);
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
    if (steps & BIT(RP_STEP_SIMPLE)) size += rp_query_size(rp_session_sql(e->query));
    for (uint32_t i = 0; i < s->nclosing; i++) size += rp_close_size(s->closing[i]);
    if (steps & BIT(RP_STEP_PARSE)) {
        struct rp_bind b = rp_session_bind(e->query, name_of(s, e->statement));
        size += rp_parse_size(&b, rp_session_sql(e->query));
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
        rp_write_query(w, rp_session_sql(e->query)); /* its own Sync: ReadyForQuery follows without one */
        return;
    }
    for (uint32_t i = 0; steps & BIT(RP_STEP_CLOSE) && i < s->nclosing; i++) rp_write_close(w, s->closing[i]);
    if (steps & (BIT(RP_STEP_PARSE) | BIT(RP_STEP_BIND))) {
        struct rp_bind b = rp_session_bind(e->query, name_of(s, e->statement));
        if (steps & BIT(RP_STEP_PARSE)) rp_write_parse(w, &b, rp_session_sql(e->query));
        if (steps & BIT(RP_STEP_BIND)) rp_write_bind(w, &b, e->bind_size);
        if (steps & BIT(RP_STEP_DESCRIBE)) rp_write_describe_portal(w);
        if (steps & BIT(RP_STEP_EXECUTE)) rp_write_execute(w);
    }
    if (steps & BIT(RP_STEP_SYNC)) rp_write_sync(w);
}

/* All evictions were looked at. Is a text's description still the one that was seen here? */
static bool is_current(const struct rp_session *s, uint32_t id)
{
    const struct rp_texts_view *texts = s->config->texts;
    uint32_t place = rp_session_place(s, id);
    RP_ASSERT(s->held[place] == texts->serial[place]);
    return s->prepared[id] == texts->generation[place];
}

/* A request alone of a statement that is prepared and described, where there is room for all of it: Bind, Execute,
 * Sync. False: it is something else, and nothing was done. */
static bool straight(struct rp_session *s, struct rp_writer *w, struct rp_entry *e)
{
    const unsigned either_way = RP_ENTRY_TEXT | RP_ENTRY_COMMIT | RP_ENTRY_HEALED | RP_ENTRY_PIECES;
    uint8_t prepared = s->prepared[e->statement];
    size_t size = (size_t)e->bind_size + RP_EXECUTE_SIZE + RP_SYNC_SIZE;
    if ((e->flags & ~either_way) != RP_ENTRY_SYNC || !rp_session_knows(prepared)) return false;
    if (size > w->capacity - w->used || (s->keeps && s->evicted != s->config->texts->evicted)) return false;
    if (rp_session_is_text(s, e->statement) && !is_current(s, e->statement)) return false;
    const struct pg_query *q = e->query;
    struct rp_bind b = { .statement = name_of(s, e->statement), .params = q->params, .nparams = q->nparams,
                         .text_results = e->flags & RP_ENTRY_TEXT };
    if (q->statement) b.types = q->statement->types, b.ntypes = q->nparams;
    w->resume = NULL; /* there is no later window */
    rp_write_bind(w, &b, e->bind_size);
    rp_write_execute(w);
    rp_write_sync(w);
    e->generation = prepared;
    e->steps = e->sent_steps = BIT(RP_STEP_BIND) | BIT(RP_STEP_EXECUTE) | BIT(RP_STEP_SYNC);
    e->size = (uint32_t)size;
    s->barrier = false;
    return true;
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
        if (s->tail - s->head != s->live) rp_session_settle(s);
        if (s->unsent == s->tail || s->phase != RP_PHASE_READY) break;
        struct rp_entry *e = rp_session_entry(s, s->unsent);
        if (w.used == w.capacity || rp_session_held_back(s)) return w.used;
        if (s->written == 0 && straight(s, &w, e)) continue;
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
