/* support/model_copy.c - the model server's COPY: out as one more kind of answer, in as a phase of the connection. As
 * in PostgreSQL a cancel request is noticed at the next message, Flush and Sync are ignored meanwhile, and what comes
 * of a COPY that has failed is dropped (model_messages.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/model_private.h"

/* ---- what an answer may say ---- */

void model_copy_format(struct model_query *q, bool binary, unsigned columns)
{
    q->copy.binary = binary;
    q->copy.columns = columns;
}

static void put_response(struct sim_bytes *b, char type, const struct model_copy *copy)
{
    size_t begun = model_put_begin(b, type);
    sim_bytes_put(b, copy->binary ? "\1" : "", 1);
    model_put_u16(b, copy->columns);
    for (unsigned i = 0; i < copy->columns; i++) model_put_u16(b, copy->binary);
    model_put_end(b, begun);
}

void model_copy_out(struct model_query *q)
{
    q->touched = true;
    put_response(&q->rows, 'H', &q->copy);
}

void model_copy_data(struct model_query *q, const void *at, size_t n)
{
    size_t begun = model_put_begin(&q->rows, 'd');
    sim_bytes_put(&q->rows, at, n);
    model_put_end(&q->rows, begun);
}

void model_copy_done(struct model_query *q, const char *tag)
{
    model_put_end(&q->rows, model_put_begin(&q->rows, 'c'));
    model_complete(q, tag);
}

void model_copy_keys(struct model_query *q) { q->copy.keys = true; }

void model_copy_refuse(struct model_query *q, size_t after, const char *sqlstate, const char *message)
{
    q->copy.refuse_after = after;
    snprintf(q->copy.sqlstate, sizeof q->copy.sqlstate, "%s", sqlstate);
    snprintf(q->copy.text, sizeof q->copy.text, "%s", message);
}

void model_copy_slow(struct model_query *q, size_t every, uint64_t ns)
{
    q->copy.pause_every = q->copy.next_pause = every;
    q->copy.pause_ns = ns;
}

/* ---- copying in ---- */

void model_copy_begin(struct model_conn *conn, struct model_query *q)
{
    put_response(&conn->output, 'G', &q->copy);
    conn->copying = q;
    conn->phase = PHASE_COPY_IN;
    model_flush(conn);
}

void model_copy_free(struct model_conn *conn)
{
    model_query_free(conn->copying);
    conn->copying = NULL;
}

bool model_copy_cancel(struct model_conn *conn)
{
    if (conn->phase != PHASE_COPY_IN) return false;
    conn->copying->copy.cancelled = true;
    return true;
}

static void fail(struct model_conn *conn, const char *sqlstate, const char *text)
{
    conn->phase = PHASE_READY;
    model_query_error(conn, sqlstate, text);
    model_copy_free(conn);
}

static void nothing(struct model_conn *conn) { (void)conn; }

static void on_data(struct model_conn *conn, const uint8_t *at, size_t n)
{
    struct model_copy *copy = &conn->copying->copy;
    sim_bytes_put(&copy->data, at, n);
    if (copy->data.size > copy->refuse_after) {
        fail(conn, copy->sqlstate, copy->text);
    } else if (copy->pause_every && copy->data.size >= copy->next_pause) {
        copy->next_pause = copy->data.size + copy->pause_every;
        model_pause_for(conn, copy->pause_ns, nothing);
    }
}

static uint64_t lines(struct model_conn *conn, const struct model_copy *copy)
{
    const char *at = (const char *)copy->data.at + copy->data.head, *end = at + copy->data.size;
    uint64_t n = 0;
    for (const char *line = at, *next; line < end; line = next + 1, n++) {
        next = memchr(line, '\n', (size_t)(end - line));
        if (!next) next = end;
        int64_t key = 0;
        if (copy->keys) key = strtoll(line, NULL, 10);
        if (key) sim_bytes_put(&conn->pending, &key, sizeof key);
    }
    return n;
}

static void on_done(struct model_conn *conn)
{
    struct model_copy *copy = &conn->copying->copy;
    const struct model_config *config = &conn->server->config;
    char tag[64];
    if (copy->sqlstate[0]) {
        fail(conn, copy->sqlstate, copy->text);
        return;
    }
    if (config->copied) config->copied(config->arg, conn->copying, copy->data.at + copy->data.head, copy->data.size);
    snprintf(tag, sizeof tag, "COPY %llu", (unsigned long long)lines(conn, copy));
    conn->phase = PHASE_READY;
    model_put_tag(conn, tag);
    model_copy_free(conn);
}

void model_copy_message(struct model_conn *conn, char type, const uint8_t *at, size_t n)
{
    char text[160];
    bool data = type == 'd' || type == 'c' || type == 'f';
    if (data && conn->copying->copy.cancelled) {
        fail(conn, "57014", "canceling statement due to user request");
        return;
    }
    switch (type) {
    case 'd': on_data(conn, at, n); break;
    case 'H': case 'S': break; /* the server ignores them while it copies */
    case 'c':
        if (n) model_malformed(conn, "CopyDone", "bytes behind its end");
        else on_done(conn);
        break;
    case 'f':
        snprintf(text, sizeof text, "COPY from stdin failed: %.*s", n ? (int)(n - 1) : 0, (const char *)at);
        fail(conn, "57014", text);
        break;
    case 'X':
        conn->server->whole->stats.terminates++;
        model_exit(conn);
        break;
    default:
        conn->phase = PHASE_READY;
        model_put_failure(conn, "08P01", "unexpected message type during COPY from stdin");
        model_fatal(conn, "08P01", "terminating connection because protocol synchronization was lost");
        break;
    }
}
