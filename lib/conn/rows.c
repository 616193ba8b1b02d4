/* conn/rows.c - rows to their callers: as a view, in pieces, or kept in the caller's buffer; the descriptions that they
 * are read by; and what becomes of a getter's complaint. The bytes are the input buffer's, which does not move while
 * somebody looks at them (c->paused). */
#include "conn/internal.h"
#include "wire/error.h"
#include "wire/rows.h"

void rp_conn_forget_row(struct rp_conn *c) { c->session.row.count = 0; }

void rp_conn_look_at_mark(struct rp_conn *c, struct pg_query *q)
{
    struct pg_row *row = &c->session.row;
    if (!row->mark) return;
    rp_session_complain(&c->session, rp_session_current(&c->session), PG_E_VALUE);
    struct rp_column none = { 0 };
    const struct rp_column *column =
        row->marked_column < row->columns->count ? &row->columns->column[row->marked_column] : &none;
    rp_error_set(q->error, PG_E_VALUE, "column %u (%.*s) %s", row->marked_column, (int)column->name_size,
                 row->columns->names + column->name_at, row->why);
    row->mark = 0;
}

/* A callback is about to see something, or has. On a lease the connection counts as paused meanwhile, so that a resume
 * from inside finds it. */
static void before(struct rp_conn *c, const struct rp_event *ev)
{
    struct rp_query *rq = rp_query(ev->query);
    rq->columns = ev->columns;
    rq->waiter.flags |= RP_QUERY_ROWS;
    if (c->session.exclusive) c->paused = ev->query;
}
static void after(struct rp_conn *c, struct pg_query *q, uint32_t sequence, enum pg_flow flow)
{
    /* The callback may have given the query up, or ended the connection. */
    if ((c->state != RP_CONN_OPEN) || rp_session_entry(&c->session, sequence)->query != q) return;
    bool resumed = c->session.exclusive && c->paused != q;
    if (flow == PG_PAUSE && c->session.exclusive && !resumed) return;
    c->paused = NULL;
    rp_conn_look_at_mark(c, q);
    if (flow == PG_STOP) rp_session_complain(&c->session, sequence, PG_E_CANCELLED);
}

static void keep(struct rp_conn *c, struct pg_query *q)
{
    struct pg_rows *rows = q->collect;
    if (rp_rows_keep(rows, &c->session.row)) return;
    rp_error_set(q->error, PG_E_FULL, "row %u does not fit into the %zu bytes of pg_rows any more", rows->count,
                 rows->capacity);
    rp_session_complain(&c->session, rp_session_current(&c->session), PG_E_FULL);
}

void rp_conn_deliver_row(struct rp_conn *c, const struct rp_event *ev)
{
    struct pg_query *q = ev->query;
    uint32_t sequence = rp_session_current(&c->session);
    if (q->on_row) {
        before(c, ev);
        after(c, q, sequence, q->on_row(q, &c->session.row));
        return;
    }
    rp_query(q)->columns = ev->columns;
    rp_query(q)->waiter.flags |= RP_QUERY_ROWS;
    if (q->collect) keep(c, q);
}

void rp_conn_deliver_piece(struct rp_conn *c, const struct rp_event *ev)
{
    struct pg_query *q = ev->query;
    const struct rp_piece *piece = &c->session.piece;
    uint32_t sequence = rp_session_current(&c->session);
    rp_row_none(&c->session.row, ev->columns);
    struct pg_chunk chunk = { .value = rp_piece_value(&c->session.row, piece), .last = piece->last };
    chunk.size = piece->size < 0 ? 0 : (uint32_t)piece->size;
    chunk.offset = (uint32_t)piece->offset;
    before(c, ev);
    after(c, q, sequence, q->on_chunk(q, &chunk));
}

void rp_conn_describe(struct rp_conn *c, const struct rp_event *ev)
{
    uint8_t generation = RP_PREPARED_BLIND;
    const struct rp_columns *columns = NULL;
    if (ev->statement) columns = rp_catalog_intern(c->config->catalog, ev->statement, ev->body, ev->size, &generation);
    if (!columns) {
        /* Unnamed, or more shapes than are kept: good until the next one. */
        const char *why;
        size_t bytes = rp_columns_measure(ev->body, ev->size, &why);
        if (c->columns) rp_session_forget_columns(&c->session, c->columns);
        if (bytes > c->columns_size) {
            if (c->columns) rp_free(c->reactor, c->columns, c->columns_size);
            c->columns = rp_alloc(c->reactor, bytes);
            c->columns_size = c->columns ? bytes : 0;
        }
        if (c->columns) rp_columns_build(c->columns, bytes, ev->body, ev->size);
        columns = c->columns;
        generation = RP_PREPARED_BLIND;
    }
    rp_session_described(&c->session, columns, generation);
}
