/* session/internal.h - what the files of the session share and nobody else needs. */
#ifndef RP_SESSION_INTERNAL_H
#define RP_SESSION_INTERNAL_H
#include "session/session.h"

/* For good. The first error stays; `text` NULL: s->error is set already. */
struct rp_event rp_session_break(struct rp_session *s, int code, const char *text);
#define BIT(step) (1u << (step))

/* What a query asks for. */
static inline const char *rp_session_sql(const struct pg_query *q)
{
    return q->statement ? q->statement->sql : q->sql;
}
static inline bool rp_session_in_text(const struct pg_query *q)
{
    return q->flags & PG_QUERY_TEXT || (q->statement && q->statement->flags & PG_STATEMENT_TEXT);
}
static inline uint32_t rp_session_types(const struct pg_statement *statement)
{
    uint32_t n = 0;
    while (n < RP_COUNT(statement->types) && statement->types[n]) n++;
    return n;
}
static inline struct rp_bind rp_session_bind(const struct pg_query *q, uint64_t statement)
{
    struct rp_bind b = { .statement = statement, .params = q->params, .nparams = q->nparams };
    b.text_results = rp_session_in_text(q);
    if (q->statement) b.types = q->statement->types, b.ntypes = rp_session_types(q->statement);
    return b;
}

/* receive.c. One message, there as a whole: what the table says. True: `*ev` is an event. */
bool rp_session_message(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev);
/* CommandComplete and EmptyQueryResponse of this entry. True: it is malformed, and `*ev` says so. */
bool rp_session_command_complete(struct rp_session *s, struct rp_entry *e, const struct rp_frame *f,
                                 struct rp_event *ev);
static inline void rp_session_done_step(struct rp_entry *e) { e->steps &= (uint8_t)(e->steps - 1); }
/* A text's id follows the declared ones, in the order of the places. */
static inline bool rp_session_is_text(const struct rp_session *s, uint32_t id) { return id > s->config->statements; }
static inline uint32_t rp_session_place(const struct rp_session *s, uint32_t id)
{
    return id - s->config->statements - 1;
}
static inline struct rp_columns *rp_session_place_columns(const struct rp_texts_view *texts, uint32_t place)
{
    return (struct rp_columns *)(void *)(texts->description + place * texts->share);
}
/* A prepared byte that says that the columns are known, too. */
static inline bool rp_session_knows(uint8_t prepared) { return prepared - 1u < RP_GENERATIONS; }
/* Its BindComplete. */
static inline void rp_session_bound(const struct rp_session *s, struct rp_entry *e)
{
    e->flags |= RP_ENTRY_BOUND;
    if (rp_session_knows(e->generation))
        e->columns = rp_session_is_text(s, e->statement)
                         ? rp_session_place_columns(s->config->texts, rp_session_place(s, e->statement))
                         : s->config->catalog[e->statement].generation[e->generation - 1];
    rp_session_done_step(e);
}
/* Its ReadyForQuery: the group is decided. False: that is no transaction status. */
static inline bool rp_session_ready(struct rp_session *s, struct rp_entry *e, uint8_t status)
{
    if (status != 'I' && status != 'T' && status != 'E') return false;
    s->transaction = (char)status;
    if (e->flags & RP_ENTRY_COPY) s->barrier = false;
    e->steps = 0;
    s->due++;
    s->finishing = true;
    return true;
}
/* outcome.c. Of what is decided (s->finishing) the next one; false: that was all of it, and nothing is any more. */
bool rp_session_next_outcome(struct rp_session *s, struct rp_event *ev);
/* One message before the first ReadyForQuery. True: `*ev` is an event. */
bool rp_session_startup(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev);
/* The answer to SSLRequest, of which nothing was consumed yet. True: `*ev` is an event, else the session goes on
 * without TLS. */
bool rp_session_tls_answer(struct rp_session *s, const uint8_t *at, size_t size, size_t *consumed, struct rp_event *ev);
/* The oldest entry leaves the FIFO; its memory stays what it is until another one takes the place. */
static inline struct rp_entry *rp_session_take(struct rp_session *s)
{
    struct rp_entry *e = rp_session_entry(s, s->head++);
    if (rp_session_is_text(s, e->statement)) s->config->texts->pins[rp_session_place(s, e->statement)]--;
    return e;
}
/* What was secret in the authentication. */
void rp_session_wipe(struct rp_session *s);
/* The next entry is the first of its group. */
bool rp_session_begins_group(const struct rp_session *s);
/* copy.c. The next entry must not be begun yet. */
bool rp_session_must_wait(const struct rp_session *s);
static inline bool rp_session_held_back(const struct rp_session *s)
{
    bool alone = s->barrier || s->config->unnamed || s->entry[s->unsent & s->mask].flags & RP_ENTRY_COPY;
    return alone && rp_session_must_wait(s); /* mostly not */
}
/* CopyInResponse, CopyOutResponse; one that nobody asked for. True: `*ev` is an event. */
bool rp_session_copy_begin(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev);
bool rp_session_copy_unasked(struct rp_session *s, struct rp_event *ev);
bool rp_session_copy_data(struct rp_session *s, const uint8_t *at, size_t size, struct rp_event *ev);
/* The frame, of `need` bytes, is a CopyData that is not collected: its head is done with. */
bool rp_session_copy_in_pieces(struct rp_session *s, const struct rp_frame *f, size_t need);
/* The group's error is the server's answer to our CopyFail: the entry's complaint says why that was. */
bool rp_session_copy_given_up(const struct rp_session *s, const struct rp_entry *e);
/* The lowest of the steps whose answer is due. */
enum rp_step rp_session_due_step(struct rp_session *s);
/* rows.c. A DataRow that is here as a whole. True: `*ev` is an event. */
bool rp_session_data_row(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev);
/* The frame, of `need` bytes, is a row above the limit, which is passed over without being kept; one that is read in
 * pieces: its head is done with. */
bool rp_session_oversized(struct rp_session *s, const struct rp_frame *f, size_t need);
bool rp_session_row_in_pieces(struct rp_session *s, const struct rp_frame *f, size_t need);
/* Of a message that is not collected: passed over, or handed on as it comes. True: `*ev` says what, or that the bytes
 * are used up. */
bool rp_session_rest(struct rp_session *s, const uint8_t *at, size_t have, size_t *consumed, struct rp_event *ev);
void rp_session_keep_parameter(struct rp_session *s, const char *name, const char *value);

#endif
