/* session/outcome.c - what became of the requests of a group: decided together, when its ReadyForQuery has come, and
 * handed out one by one. A statement that was lost to the server is no outcome yet: it is healed where that is safe. */
#include "session/internal.h"
#include "wire/error.h"

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
    bool known = *state == RP_PREPARED_BLIND || rp_session_knows(*state);
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
bool rp_session_next_outcome(struct rp_session *s, struct rp_event *ev)
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
        if (s->head == s->due) s->finishing = s->failed = false;
        return true;
    }
    s->finishing = s->failed = false;
    return false;
}

bool rp_session_take_decided(struct rp_session *s, struct pg_query **query)
{
    struct rp_event ev;
    if (!s->finishing || !rp_session_next_outcome(s, &ev)) return false;
    if (ev.kind == RP_EVENT_HEAL)
        fill_results(s, rp_session_entry(s, s->head - 1), PG_E_SERVER); /* too late for that */
    *query = ev.query;
    return true;
}
