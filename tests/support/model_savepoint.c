/* support/model_savepoint.c - the model server's savepoints: what a transaction had done when each was set, so that it
 * can be undone back to there. Of those of one name RELEASE and ROLLBACK TO mean the newest; here all have one. Source:
 * SQL commands SAVEPOINT, RELEASE SAVEPOINT, ROLLBACK TO SAVEPOINT. */
#include "support/model_private.h"

struct mark {
    size_t pending, wishes;
    bool deferred; /* a failure at COMMIT stood already */
};

static struct mark *newest(struct model_conn *conn)
{
    struct sim_bytes *b = &conn->marks;
    return b->size ? (struct mark *)(void *)(b->at + b->head + b->size) - 1 : NULL;
}

static void set(struct model_conn *conn)
{
    struct mark mark = { conn->pending.size, conn->wishes.size, conn->deferred_sqlstate[0] != 0 };
    sim_bytes_put(&conn->marks, &mark, sizeof mark);
}

void model_savepoint_undo(struct model_conn *conn)
{
    const struct mark *m = newest(conn);
    if (!m) {
        model_rollback(conn);
        return;
    }
    conn->server->whole->stats.inserts_rolled_back += (conn->pending.size - m->pending) / sizeof(int64_t);
    conn->pending.size = m->pending;
    conn->wishes.size = m->wishes;
    if (!m->deferred) conn->deferred_sqlstate[0] = 0;
}

bool model_savepoint(struct model_conn *conn, enum model_effect effect)
{
    if (conn->tx != TX_BLOCK && conn->tx != TX_FAILED) {
        model_query_error(conn, "25P01", "savepoints can only be used in transaction blocks");
        return false;
    }
    if (effect == EFFECT_SAVEPOINT) {
        set(conn);
        return true;
    }
    if (!newest(conn)) {
        model_query_error(conn, "3B001", "savepoint does not exist");
        return false;
    }
    if (effect == EFFECT_RELEASE) {
        conn->marks.size -= sizeof(struct mark);
        return true;
    }
    model_savepoint_undo(conn); /* what failed is undone already, and nothing has been done since */
    conn->tx = TX_BLOCK;
    return true;
}
