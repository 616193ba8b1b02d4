/* conn/copy.c - COPY between its caller and the connection's buffers.
 *
 *      rp_conn_copy_write -> waiting (one CopyData) -> swapped with `out` when that is empty -> SEND
 *
 * Both are of the same size, so that one fills while the other is sent. Each holds whole messages, and `out` is always
 * sent to its end: so a COPY can be given up at any time, with what waits dropped and a CopyFail in its place. Callers
 * are told of room from completions and the ready queue, never inside of their calls. */
#include "conn/copy.h"
#include "conn/internal.h"

/* ---- in ---- */

size_t rp_conn_copy_write(struct rp_conn *c, struct pg_copy *copy, const void *at, size_t n)
{
    if (rp_copy(copy)->direction == PG_COPY_NONE) return 0; /* on_writable will say */
    if (!rp_session_copies_in(&c->session, rp_query(&copy->query)->sequence)) return n;
    size_t taken = rp_copy_put(&c->waiting, at, n);
    if (taken < n) c->room_wanted = true;
    rp_flush(c->reactor, &c->flush);
    return taken;
}

void rp_conn_copy_fail(struct rp_conn *c, const char *failure)
{
    rp_session_copy_end(&c->session, failure);
    if (c->session.copying != RP_STEP_COPY_IN) return; /* what is left of it is known to be of no use */
    c->waiting.size = 0;
    rp_flush(c->reactor, &c->flush);
}

void rp_conn_copy_finish(struct rp_conn *c, struct pg_copy *copy)
{
    struct rp_copy *rc = rp_copy(copy);
    if (!rp_session_copies_in(&c->session, rp_query(&copy->query)->sequence)) return;
    if (rc->end == RP_COPY_FAILS) {
        rp_conn_copy_fail(c, rc->failure);
    } else {
        rp_session_copy_end(&c->session, NULL);
        rp_flush(c->reactor, &c->flush);
    }
}

bool rp_conn_copy_swap(struct rp_conn *c)
{
    if (c->waiting.size == 0) return false;
    if (c->session.copying != RP_STEP_COPY_IN) { /* the server has refused what came before */
        c->waiting.size = 0;
        return false;
    }
    uint8_t *empty = c->out;
    size_t capacity = c->out_capacity;
    if (empty == c->out_small) { /* at first; if the slab has no second one the small one will do */
        size_t bytes = RP_COPY_BUFFER;
        uint8_t *large = rp_slab_get(c->reactor, &bytes);
        if (large) empty = large, capacity = bytes;
    }
    c->out = c->waiting.at;
    c->out_capacity = c->waiting.capacity;
    c->out_end = c->waiting.size;
    c->waiting = (struct rp_copy_buffer){ .at = empty, .capacity = capacity };
    if (c->trace.sink) rp_trace_client(&c->trace, c->out, c->out_end);
    return true;
}

void rp_conn_copy_tell(struct rp_conn *c)
{
    if (!c->room_wanted || c->state != RP_CONN_OPEN || !rp_session_copies_in(&c->session, c->session.due)) return;
    if (c->waiting.capacity - c->waiting.size <= RP_FRAME_HEAD) return;
    struct pg_query *q = rp_session_entry(&c->session, c->session.due)->query;
    if (!q) return;
    if (!rp_budget_take(c->reactor)) {
        rp_ready(c->reactor, &c->ready);
        return;
    }
    struct pg_copy *copy = rp_copy_of(q);
    struct rp_waker *waker = rp_query(q)->waker;
    c->room_wanted = false;
    if (copy->on_writable) copy->on_writable(copy);
    else if (waker) waker->wake(waker, RP_WAKE_ROOM);
}

void rp_conn_copy_put(struct rp_conn *c)
{
    bool lent = c->waiting.at && c->waiting.at != c->out_small;
    if (lent && !RP_PLANT(copy_buffer_lost)) rp_slab_put(c->reactor, c->waiting.at, c->waiting.capacity);
    c->waiting = (struct rp_copy_buffer){ .at = NULL };
    c->room_wanted = false;
}

/* ---- the beginning ---- */

static void keep_shape(struct rp_copy *rc, const struct rp_event *ev)
{
    struct rp_copy_shape shape;
    const char *why;
    bool good = rp_copy_shape_parse(&shape, ev->body, ev->size, &why);
    RP_ASSERT(good); /* the session has looked at it */
    rc->binary = shape.binary;
    rc->columns = shape.columns;
    for (size_t i = 0; i < shape.columns && i < RP_COPY_COLUMNS; i++)
        if (shape.codes[2 * i + 1]) rc->binaries[i / 8] |= (uint8_t)(1u << i % 8);
}

static void begin_in(struct rp_conn *c, struct pg_copy *copy)
{
    size_t bytes = RP_COPY_BUFFER;
    if (rp_query(&copy->query)->waiter.flags & RP_QUERY_CANCEL) {
        rp_conn_copy_fail(c, "cancelled by the caller");
        return;
    }
    RP_ASSERT(!c->waiting.at);
    c->waiting = (struct rp_copy_buffer){ .at = rp_slab_get(c->reactor, &bytes), .capacity = bytes };
    if (!c->waiting.at) {
        rp_session_complain(&c->session, c->session.due, PG_E_FULL);
        rp_conn_copy_fail(c, "no memory for its buffer (pg_reactor_config.slab_bytes)");
        return;
    }
    if (rp_copy(copy)->end != RP_COPY_GOES_ON) {
        rp_conn_copy_finish(c, copy);
        return;
    }
    c->room_wanted = true;
    rp_ready(c->reactor, &c->ready);
}

void rp_conn_copy_begin(struct rp_conn *c, const struct rp_event *ev)
{
    struct pg_copy *copy = rp_copy_of(ev->query);
    bool in = c->session.copying == RP_STEP_COPY_IN;
    keep_shape(rp_copy(copy), ev);
    rp_copy(copy)->direction = in ? PG_COPY_IN : PG_COPY_OUT;
    if (in) begin_in(c, copy);
}

/* ---- out ---- */

void rp_conn_copy_data(struct rp_conn *c, const struct rp_event *ev)
{
    struct pg_query *q = ev->query;
    struct pg_copy *copy = rp_copy_of(q);
    uint32_t sequence = rp_session_current(&c->session);
    if (!copy->on_data) return;
    c->session.row.mark = 0; /* a row that was given up may have left one, which the resume would take for this one's */
    c->paused = q; /* so that a resume from inside finds it */
    enum pg_flow flow = copy->on_data(copy, (struct pg_text){ (const char *)ev->body, ev->size });
    /* The callback may have given the query up, or ended the connection. */
    if (c->state != RP_CONN_OPEN || rp_session_entry(&c->session, sequence)->query != q) return;
    if (flow == PG_PAUSE) return; /* or it was resumed meanwhile */
    c->paused = NULL;
    if (flow != PG_STOP) return;
    rp_session_complain(&c->session, sequence, PG_E_CANCELLED);
    c->config->ops->stopped(c, q);
}
