/* conn/copy.h - one COPY on a connection: what the caller writes waits in a buffer that is lent by the slab until it is
 * sent; what comes out goes to the caller in place. */
#ifndef RP_CONN_COPY_H
#define RP_CONN_COPY_H
#include "conn/conn.h"

enum { RP_COPY_BUFFER = 64 * 1024 };

/* The caller's calls, while its query is in the connection's FIFO. */
size_t rp_conn_copy_write(struct rp_conn *c, struct pg_copy *copy, const void *at, size_t n);
void rp_conn_copy_finish(struct rp_conn *c, struct pg_copy *copy);
/* The server has taken to its COPY, and does not know yet of its end. */
static inline bool rp_conn_copies_in(const struct rp_conn *c, struct pg_query *q)
{
    return c->session.copying == RP_STEP_COPY_IN && rp_query(q)->sequence == c->session.due;
}
/* Whoever copied in is gone, or wants no more: what was not sent is dropped, and a CopyFail follows. */
void rp_conn_copy_fail(struct rp_conn *c, const char *failure);

/* feed.c's */
void rp_conn_copy_begin(struct rp_conn *c, const struct rp_event *ev);
void rp_conn_copy_data(struct rp_conn *c, const struct rp_event *ev);
bool rp_conn_copy_swap(struct rp_conn *c); /* the output buffer is empty: what was written takes its place */
void rp_conn_copy_tell(struct rp_conn *c); /* that there is room, if that is waited for */
void rp_conn_copy_put(struct rp_conn *c);
static inline void rp_conn_copy_over(struct rp_conn *c) /* the buffer goes back; nothing of it is in flight */
{
    if (c->waiting.at || c->room_wanted) rp_conn_copy_put(c);
}

#endif
