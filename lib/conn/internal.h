/* conn/internal.h - what conn.c, feed.c, rows.c and cancel.c share and nobody else needs. */
#ifndef RP_CONN_INTERNAL_H
#define RP_CONN_INTERNAL_H
#include <errno.h>
#include "conn/conn.h"

/* Nothing was moved and nothing is wrong: the operation is asked for again. */
static inline bool rp_conn_retryable(int32_t res)
{
    return res == -EINTR || res == -EAGAIN || res == -ENOBUFS || res == -ECANCELED;
}

/* conn.c */
void rp_conn_move(struct rp_conn *c, enum rp_conn_state state);
void rp_conn_close_now(struct rp_conn *c);
/* `ended`: the descriptor is known to be at its end. Tells the owner, or tries the next address. */
void rp_conn_fail(struct rp_conn *c, const struct pg_error *why, bool ended);

/* peer.c: requirepeer, of a socket that was opened and not used yet. 0; PG_E_CONFIG, and `why` names both users. */
int rp_conn_check_peer(const struct rp_conn_config *config, const struct pg_socket *socket, struct pg_error *why);

/* feed.c */
void rp_conn_flush(struct rp_node *node);
void rp_conn_on_sent(struct pg_completion *completion, int32_t res);
void rp_conn_on_received(struct pg_completion *completion, int32_t res);
void rp_conn_feed(struct rp_conn *c);
void rp_conn_derive(struct rp_conn *c); /* one slice of PBKDF2 */
void rp_conn_small_buffers(struct rp_conn *c);
static inline void rp_conn_set_due(struct rp_conn *c, bool due)
{
    if (c->due != due) rp_due(c->reactor, due ? 1 : -1);
    c->due = due;
}

/* rows.c */
void rp_conn_describe(struct rp_conn *c, const struct rp_event *ev);
void rp_conn_deliver_row(struct rp_conn *c, const struct rp_event *ev);
void rp_conn_deliver_piece(struct rp_conn *c, const struct rp_event *ev);
void rp_conn_forget_row(struct rp_conn *c); /* whoever holds it finds no columns, not bytes that are another's by now */
void rp_conn_look_at_mark(struct rp_conn *c, struct pg_query *q); /* a getter's complaint becomes the query's */

#endif
