/* What the two libpq contenders share: connections with the statement prepared, and the check of a result. */
#ifndef BENCH_LIBPQ_COMMON_H
#define BENCH_LIBPQ_COMMON_H
#include <libpq-fe.h>
#include "bench.h"

PGconn *libpq_connect(const struct bench_target *target);    /* non-blocking afterwards */
int libpq_watch(PGconn *const *connections, unsigned count); /* an epoll descriptor; event.data.u32 is the index */
void libpq_send(PGconn *connection);                         /* one execution, binary result */
void libpq_check(const PGconn *connection, const PGresult *result); /* one row with the answer, or the end */
#endif
