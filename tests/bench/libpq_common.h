/* What libpq's contenders share: connections, with the selects' statement prepared or bare, and checks of results. */
#ifndef BENCH_LIBPQ_COMMON_H
#define BENCH_LIBPQ_COMMON_H
#include <libpq-fe.h>
#include "bench.h"

PGconn *libpq_open(const struct bench_target *target);       /* blocking, nothing prepared */
void libpq_must(bool good, PGconn *connection);              /* or the end, with the connection's words */
void libpq_sql(PGconn *connection, const char *sql, ExecStatusType due);
void libpq_prepare(PGconn *connection, const char *name, const char *sql); /* or the end */
int libpq_watch(PGconn *const *connections, unsigned count); /* an epoll descriptor; event.data.u32 is the index */
/* In pipeline mode, what closes a statement or several. Sent at the next PQflush where libpq has PQsendPipelineSync (17);
 * older ones send it at once. */
void libpq_sync(PGconn *connection);

/* One non-blocking connection with the selects' statement, for one query at a time or, in pipeline mode, for several with
 * a Sync after each. Answers are checked: one row with the number that is due, or the end. */
struct libpq_line {
    PGconn *connection;
    bool pipelined;
    unsigned in_flight;      /* queries that are not over */
    unsigned asked, checked; /* how many ids */
    bool answered;           /* the row of the current query was seen */
};
struct libpq_line libpq_line_open(const struct bench_target *target, bool pipelined);
/* One query, in pipeline mode with its Sync, see libpq_sync. */
void libpq_line_send(struct libpq_line *line);
/* Of what PQconsumeInput has brought. True, once for each: a query is over, which it is at its own ReadyForQuery. */
bool libpq_line_next(struct libpq_line *line);
void libpq_line_exec(struct libpq_line *line); /* one query by libpq's blocking call */
#endif
