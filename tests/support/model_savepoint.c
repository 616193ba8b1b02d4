/* support/model_savepoint.c - the model server's savepoints: what a transaction had done when each was set, so that it
 * can be undone back to there. Of those of one name RELEASE and ROLLBACK TO mean the newest; what was set behind it goes
 * with it. Source: SQL commands SAVEPOINT, RELEASE SAVEPOINT, ROLLBACK TO SAVEPOINT. */
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include "support/model_private.h"

enum { NAME_MOST = 63 };
struct mark {
    size_t pending, wishes;
    bool deferred; /* a failure at COMMIT stood already */
    char name[NAME_MOST + 1];
};

/* The statement's last word. */
static void name_of(const char *sql, char name[NAME_MOST + 1])
{
    size_t end = strlen(sql), begin;
    while (end && isspace((unsigned char)sql[end - 1])) end--;
    for (begin = end; begin && !isspace((unsigned char)sql[begin - 1]);) begin--;
    size_t n = end - begin < NAME_MOST ? end - begin : NAME_MOST;
    memcpy(name, sql + begin, n);
    name[n] = 0;
}

static struct mark *marks_of(struct model_conn *conn, size_t *n)
{
    *n = conn->marks.size / sizeof(struct mark);
    return *n ? (struct mark *)(void *)(conn->marks.at + conn->marks.head) : NULL;
}

void model_savepoint_undo(struct model_conn *conn)
{
    size_t n;
    const struct mark *marks = marks_of(conn, &n);
    if (!n) {
        model_rollback(conn);
        return;
    }
    const struct mark *m = &marks[n - 1];
    conn->server->whole->stats.inserts_rolled_back += (conn->pending.size - m->pending) / sizeof(int64_t);
    conn->pending.size = m->pending;
    conn->wishes.size = m->wishes;
    if (!m->deferred) conn->deferred_sqlstate[0] = 0;
}

static void set(struct model_conn *conn, const char *name)
{
    struct mark mark = { conn->pending.size, conn->wishes.size, conn->deferred_sqlstate[0] != 0, "" };
    memcpy(mark.name, name, sizeof mark.name);
    sim_bytes_put(&conn->marks, &mark, sizeof mark);
}

bool model_savepoint(struct model_conn *conn, const struct model_query *q)
{
    char name[NAME_MOST + 1];
    size_t n;
    const struct mark *marks = marks_of(conn, &n);
    name_of(q->sql, name);
    if (conn->tx != TX_BLOCK && conn->tx != TX_FAILED) {
        model_query_error(conn, "25P01", "savepoints can only be used in transaction blocks");
        return false;
    }
    if (q->effect == EFFECT_SAVEPOINT) {
        set(conn, name);
        return true;
    }
    while (n && strcasecmp(marks[n - 1].name, name) != 0) n--;
    if (!n) {
        model_query_error(conn, "3B001", "savepoint does not exist");
        return false;
    }
    if (q->effect == EFFECT_RELEASE) {
        conn->marks.size = (n - 1) * sizeof(struct mark);
        return true;
    }
    conn->marks.size = n * sizeof(struct mark);
    model_savepoint_undo(conn);
    conn->tx = TX_BLOCK;
    return true;
}
