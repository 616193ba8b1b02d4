/* What libpq's contenders share: connections, with the selects' statement prepared or bare, and checks of results. */
#ifndef BENCH_LIBPQ_COMMON_H
#define BENCH_LIBPQ_COMMON_H
#include <libpq-fe.h>
#include "bench.h"

PGconn *libpq_open(const struct bench_target *target);       /* blocking, nothing prepared */
void libpq_must(bool good, PGconn *connection);              /* or the end, with the connection's words */
void libpq_sql(PGconn *connection, const char *sql, ExecStatusType due);
void libpq_prepare(PGconn *connection, const char *name, const char *sql); /* or the end */
PGconn *libpq_connect(const struct bench_target *target);    /* the statement prepared, non-blocking */
int libpq_watch(PGconn *const *connections, unsigned count); /* an epoll descriptor; event.data.u32 is the index */
void libpq_send(PGconn *connection);                         /* one execution, binary result */
/* In pipeline mode, what closes a statement or several. Sent at the next PQflush where libpq has PQsendPipelineSync (17);
 * older ones send it at once. */
void libpq_sync(PGconn *connection);
void libpq_check(const PGconn *connection, const PGresult *result); /* one row with the answer, or the end */

/* One connection in pipeline mode, with a Sync after each query. */
struct libpq_pipe {
    PGconn *connection;
    unsigned in_flight; /* Syncs that were sent and not answered yet */
    bool answered;      /* the row of the current query was seen */
};
struct libpq_pipe libpq_pipe_open(const struct bench_target *target);
/* One query and its Sync, see libpq_sync. */
void libpq_pipe_send(struct libpq_pipe *pipe);
/* Of what PQconsumeInput has brought. True, once for each: a query is over, which it is at its own Sync. */
bool libpq_pipe_next(struct libpq_pipe *pipe);
#endif
