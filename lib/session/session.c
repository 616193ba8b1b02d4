/* session/session.c - the session's FIFO: requests are checked and become entries, and leave it again when they are
 * over, when their callers go away, or when the connection is lost. */
#include "session/session.h"
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

void rp_session_settle(struct rp_session *s)
{
    while (s->unsent != s->tail && rp_session_entry(s, s->unsent)->flags & RP_ENTRY_DROPPED) s->unsent++;
    while (s->due != s->unsent && rp_session_entry(s, s->due)->steps == 0) s->due++;
    while (s->head != s->due && rp_session_entry(s, s->head)->flags & RP_ENTRY_DROPPED) (void)rp_session_take(s);
}

/* ---- checking and queueing ---- */

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
    const struct rp_bind b = { .statement = statement->id_private, .ntypes = rp_session_types(statement) };
    size_t size = rp_parse_size(&b, statement->sql);
    entry->parse_size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    entry->sql_class = (uint8_t)rp_sql_classify(statement->sql);
    entry->ntypes = (uint8_t)b.ntypes;
}

static int check_bind(const struct rp_session_config *config, const struct pg_query *q, const struct rp_bind *b,
                      size_t *bind_size, struct pg_error *error)
{
    uint32_t which = 0;
    const char *why = NULL;
    if (q->statement && b->ntypes != b->nparams)
        return rp_error_set(error, PG_E_PARAMETER, "the statement has %u parameters and %u were given", b->ntypes,
                            b->nparams);
    if (rp_bind_measure(b, config->message_limit, bind_size, &which, &why))
        return rp_error_set(error, PG_E_PARAMETER, "parameter $%u %s", which + 1, why);
    return 0;
}

/* Nobody has looked at the text yet, or it has no place in the catalog. */
static int check_text(const struct rp_session_config *config, struct pg_query *q, size_t *bind_size,
                      struct pg_error *error)
{
    if (!rp_session_sql(q))
        return rp_error_set(error, PG_E_PARAMETER, "the query has neither a statement nor SQL");
    if (q->flags & PG_QUERY_SIMPLE) {
        if (q->nparams) return rp_error_set(error, PG_E_PARAMETER, "a simple query takes no parameters");
        return rp_query_size(rp_session_sql(q)) > config->message_limit ? too_long(error) : 0;
    }
    uint32_t id = is_named(config, q) ? rp_statement_id(q->statement) : 0;
    if (id > config->statements)
        return rp_error_set(error, PG_E_FULL, "more than %u statements are declared", config->statements);
    struct rp_bind b = rp_session_bind(q, id);
    if (rp_parse_size(&b, rp_session_sql(q)) > config->message_limit) return too_long(error);
    return check_bind(config, q, &b, bind_size, error);
}

int rp_session_check(const struct rp_session_config *config, struct pg_query *q, size_t *bind_size,
                     struct pg_error *error)
{
    uint32_t id = is_named(config, q) ? rp_statement_known(q->statement) : 0;
    *bind_size = 0;
    if (!id || id > config->statements || !config->catalog[id].parse_size)
        return check_text(config, q, bind_size, error);
    const struct rp_catalog_entry *known = &config->catalog[id];
    if (known->parse_size > config->message_limit) return too_long(error);
    struct rp_bind b = { .statement = id, .types = q->statement->types, .ntypes = known->ntypes, .params = q->params,
                         .nparams = q->nparams, .text_results = rp_session_in_text(q) };
    return check_bind(config, q, &b, bind_size, error);
}

int rp_session_check_prepare(const struct rp_session_config *config, struct pg_statement *statement,
                             struct pg_error *error)
{
    const struct pg_query q = { .statement = statement };
    if (!statement->sql) return rp_error_set(error, PG_E_PARAMETER, "the statement has no SQL");
    struct rp_bind b = rp_session_bind(&q, rp_statement_id(statement));
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
    if (rp_session_in_text(q)) e->flags |= RP_ENTRY_TEXT;
    if (q->on_chunk) e->flags |= RP_ENTRY_PIECES, s->pieced = true, s->plain = 0;
    s->live++;
    return s->tail++;
}

bool rp_session_use_text(struct rp_session *s, uint32_t sequence, uint32_t place)
{
    struct rp_entry *e = rp_session_entry(s, sequence);
    struct rp_texts_view *texts = s->config->texts;
    struct rp_bind b = rp_session_bind(e->query, RP_NAME_TEXT | texts->serial[place]);
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
        rp_session_settle(s);
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
