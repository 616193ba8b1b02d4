/* pool/copy.c - COPY on a lease, as its caller sees it: a query of a kind of its own, with data beside it. */
#include "conn/copy.h"
#include "pool/state.h"

void pg_lease_copy(struct pg_lease *lease, struct pg_copy *copy)
{
    RP_CALLER(!rp_query_running(&copy->query), "a COPY that is started is not in flight already");
    memset(rp_copy(copy), 0, sizeof(struct rp_copy));
    copy->query.flags |= PG_QUERY_SIMPLE;
    rp_lease_start(lease, &copy->query, RP_QUERY_COPY);
}

/* The connection that it is on; NULL: it has ended. */
static struct rp_conn *conn_of(struct pg_copy *copy)
{
    struct rp_query *rq = rp_query(&copy->query);
    return rq->waiter.place == RP_PLACE_ACTIVE ? &rq->slot->conn : NULL;
}

size_t pg_copy_write(struct pg_copy *copy, const void *at, size_t size)
{
    struct rp_conn *conn = conn_of(copy);
    RP_CALLER(rp_copy(copy)->end == RP_COPY_GOES_ON, "nothing is written behind pg_copy_finish");
    return conn ? rp_conn_copy_write(conn, copy, at, size) : size;
}

void pg_copy_finish(struct pg_copy *copy, const char *failure)
{
    struct rp_copy *rc = rp_copy(copy);
    struct rp_conn *conn = conn_of(copy);
    if (!conn || rc->end != RP_COPY_GOES_ON) return;
    rc->end = failure ? RP_COPY_FAILS : RP_COPY_ENDS;
    if (failure) rp_copy_keep_failure(rc->failure, failure);
    rp_conn_copy_finish(conn, copy);
}

static const struct rp_copy *said_of(const struct pg_copy *copy)
{
    return (const struct rp_copy *)(const void *)copy->private_;
}

enum pg_copy_direction pg_copy_direction(const struct pg_copy *copy)
{
    return (enum pg_copy_direction)said_of(copy)->direction;
}

uint32_t pg_copy_columns(const struct pg_copy *copy) { return said_of(copy)->columns; }

bool pg_copy_binary(const struct pg_copy *copy, uint32_t column)
{
    const struct rp_copy *rc = said_of(copy);
    if (column >= rc->columns) return false;
    return column < RP_COPY_COLUMNS ? rc->binaries[column / 8] >> column % 8 & 1 : rc->binary;
}
