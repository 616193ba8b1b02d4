/* session/rows.c - DataRows: whole ones are views; those above the limit are passed over, and their query fails; and to
 * whom wants it so they come in pieces, whatever their size, of which nothing is kept. Whether a row is legal where it
 * comes says the table in receive.c. */
#include "session/internal.h"
#include "wire/check.h"
#include "wire/error.h"

static bool is_due(struct rp_session *s)
{
    enum rp_step step = rp_session_due_step(s);
    return step == RP_STEP_EXECUTE || step == RP_STEP_ROWS;
}

/* Nobody is to see it. There may have been no memory for its description, and the query has its complaint. */
static bool unwanted(const struct rp_entry *e) { return !e->query || e->complaint || !e->columns; }

/* What has a name may be described once and executed in either format: the request says which one. */
static void note_result(struct rp_session *s, const struct rp_entry *e)
{
    bool text = e->flags & RP_ENTRY_TEXT;
    s->row.result = e->result;
    s->row.format = !e->statement ? RP_FORMAT_DESCRIBED : text ? RP_FORMAT_TEXT : RP_FORMAT_BINARY;
}

bool rp_session_data_row(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev)
{
    const struct rp_entry *e = rp_session_entry(s, s->due);
    const char *why = NULL;
    bool wanted = !unwanted(e);
    struct pg_row dropped,
        *row = wanted ? &s->row : &dropped; /* who still holds a row sees none that was never delivered */
    if (!e->columns) return false;
    if (rp_row_parse(row, f->body, f->size, e->columns, &why)) {
        *ev = rp_session_break(s, PG_E_PROTOCOL, why);
        return true;
    }
    if (!wanted) return false;
    note_result(s, e);
    *ev = (struct rp_event){ .kind = RP_EVENT_ROW, .query = e->query, .columns = e->columns };
    return true;
}

bool rp_session_oversized(struct rp_session *s, const struct rp_frame *f, size_t need)
{
    if (f->type != 'D' || s->phase != RP_PHASE_READY || need <= s->config->row_limit + RP_FRAME_HEAD) return false;
    if (!is_due(s)) return false;
    struct rp_entry *e = rp_session_entry(s, s->due);
    if (!e->complaint) {
        e->complaint = PG_E_FULL;
        if (e->query && e->query->error)
            rp_error_set(e->query->error, PG_E_FULL, "a row of %zu bytes is above pool_max_row_bytes", need);
    }
    s->rest = RP_REST_SKIPPED;
    s->rest_left = need;
    return true;
}

bool rp_session_row_in_pieces(struct rp_session *s, const struct rp_frame *f, size_t need)
{
    if (!s->pieced || f->type != 'D' || s->phase != RP_PHASE_READY || !is_due(s)) return false;
    const struct rp_entry *e = rp_session_entry(s, s->due);
    if (!(e->flags & RP_ENTRY_PIECES)) return false;
    s->rest = unwanted(e) ? RP_REST_SKIPPED : RP_REST_ROW;
    s->rest_left = need - RP_FRAME_HEAD;
    if (s->rest == RP_REST_ROW) rp_pieces_begin(&s->pieces, s->rest_left, e->columns->count);
    return true;
}

static bool next_piece(struct rp_session *s, const uint8_t *at, size_t have, size_t *consumed, struct rp_event *ev)
{
    const struct rp_entry *e = rp_session_entry(s, s->due);
    const char *why;
    size_t used;
    enum rp_pieces_step step =
        rp_pieces_next(&s->pieces, at, have, s->config->chunk, &s->piece, &used, &ev->need, &why);
    *consumed += used;
    if (step == RP_PIECES_MORE) return true;
    if (step == RP_PIECES_BAD) {
        *ev = rp_session_break(s, PG_E_PROTOCOL, why);
        return true;
    }
    if (s->piece.last) s->rest = RP_REST_NONE;
    note_result(s, e);
    *ev = (struct rp_event){ .kind = RP_EVENT_PIECE, .query = e->query, .columns = e->columns };
    return true;
}

bool rp_session_rest(struct rp_session *s, const uint8_t *at, size_t have, size_t *consumed, struct rp_event *ev)
{
    if (s->rest == RP_REST_ROW) {
        const struct rp_entry *e = rp_session_entry(s, s->due);
        if (!unwanted(e) || (RP_PLANT(piece_after_stop) && e->query)) return next_piece(s, at, have, consumed, ev);
        s->rest = RP_REST_SKIPPED; /* given up in the middle of it */
        s->rest_left = s->pieces.left;
    }
    size_t n = s->rest_left < have ? s->rest_left : have;
    bool copied = s->rest == RP_REST_COPIED;
    *consumed += n;
    s->rest_left -= n;
    ev->need = s->rest_left > 0;
    if (!s->rest_left) s->rest = RP_REST_NONE;
    return (copied && rp_session_copy_data(s, at, n, ev)) || s->rest;
}
