/* (e) A hundred thousand rows into an HTTP response; the client is slow. With callbacks and as a fiber. */
#include <inttypes.h>
#include <stdio.h>
#include "ringpg.h"
#include "stream.h"

static struct pg_statement some = PG_STATEMENT("SELECT id, name FROM stream_item WHERE id <= $1 ORDER BY id",
                                               PG_TYPE_INT8);
extern struct pg_pool *pool;
enum { HIGH = 256 * 1024, LINE = 512 };
const size_t app_backlog_high = HIGH;                /* the stand-in looks whether it is kept */
struct stream {
    struct http *http;
    struct pg_lease lease;
    struct pg_query query;
    struct pg_param lines;
    struct pg_fiber fiber;
    uint64_t deadline_ns;
    bool begun;
};

static size_t print(struct stream *s, struct pg_row *row)
{
    char line[LINE];
    struct pg_text name = pg_row_text(row, 1);       /* a view, not terminated: %s would be a bug */
    int n = snprintf(line, sizeof line, "%" PRId64 "\t%.*s\n", pg_row_int8(row, 0), (int)name.size, name.data);
    if (!s->begun) http_begin(s->http, 200, "text/tab-separated-values");
    s->begun = true;
    return http_write(s->http, line, n < LINE ? (size_t)n : LINE - 1);
}
static void finish(struct stream *s, int status)
{
    http_on_gone(s->http, NULL, NULL);
    http_on_writable(s->http, NULL, NULL);
    if (status && !s->begun) { http_reply(s->http, 503, "", 0); return; }
    if (!s->begun) http_begin(s->http, 200, "text/tab-separated-values");        /* there was no row */
    if (status == 0) http_end(s->http); else http_abort(s->http); /* too late for a 503: break the chunked body */
}

/* ---- callbacks ---- */
static void gone(void *arg) { struct stream *s = arg; pg_lease_abandon(&s->lease); slab_put(s); }
static void writable(void *arg) { pg_query_resume(&((struct stream *)arg)->query); } /* also while none is paused */
static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    return print(q->data, row) >= HIGH ? PG_PAUSE : PG_CONTINUE;
}
static void done(struct pg_query *q)
{
    struct stream *s = q->data;
    finish(s, q->status);
    pg_lease_release(&s->lease);
    slab_put(s);
}
static void granted(struct pg_lease *lease, int status)
{
    struct stream *s = lease->data;
    if (status) { finish(s, status); slab_put(s); return; }
    s->query = (struct pg_query){ .statement = &some, .params = &s->lines, .nparams = 1, .on_row = on_row,
                                  .on_done = done, .data = s, .deadline_ns = PG_NEVER };
    pg_lease_query(lease, &s->query);
}
static void with_callbacks(struct stream *s)
{
    s->lease = (struct pg_lease){ .on_grant = granted, .deadline_ns = s->deadline_ns, .tag = PG_HERE, .data = s };
    http_on_gone(s->http, gone, s);
    http_on_writable(s->http, writable, s);
    pg_pool_acquire(pool, &s->lease);
}

/* ---- the same as a fiber: pull; whoever does not ask for the next row has paused ---- */
static void cancel(void *arg) { pg_fiber_cancel(((struct stream *)arg)->fiber); }
static void unpark(void *arg) { pg_fiber_unpark(((struct stream *)arg)->fiber); }
static int all_rows(struct stream *s, struct pg_lease *lease)
{
    struct pg_query q = { .statement = &some, .params = &s->lines, .nparams = 1, .on_row = pg_row_pull,
                          .deadline_ns = PG_NEVER };
    struct pg_row *row;
    int rc;
    pg_lease_query(lease, &q);
    while ((rc = pg_await_row(&q, &row)) > 0) {
        size_t backlog = print(s, row);
        while (backlog >= HIGH) {                     /* TRAP: an unpark before the park is remembered: look again */
            if ((rc = pg_fiber_park(PG_NEVER))) { pg_query_abandon(&q); return rc; }
            backlog = http_write(s->http, "", 0);
        }
    }
    return rc;
}
static void stream(void *arg)
{
    struct stream *s = arg;
    struct pg_lease lease = { .deadline_ns = s->deadline_ns, .tag = PG_HERE };
    int rc = pg_await_acquire(pool, &lease);
    if (rc == 0) rc = all_rows(s, &lease);
    pg_lease_abandon(&lease);
    if (rc != PG_E_CANCELLED) finish(s, rc);         /* cancelled: the client is gone, nobody to answer */
    slab_put(s);
}

void app_handle(struct pg_reactor *reactor, struct http *http, uint64_t deadline_ns)
{
    struct stream *s = slab_get(sizeof *s);
    *s = (struct stream){ .http = http, .lines = pg_int8(http_arg(http, "lines")), .deadline_ns = deadline_ns };
    if (!http_arg(http, "fiber")) { with_callbacks(s); return; }
    if (pg_fiber_spawn(reactor, stream, s, &s->fiber)) { finish(s, PG_E_FULL); slab_put(s); return; }
    http_on_gone(http, cancel, s);
    http_on_writable(http, unpark, s);
}
