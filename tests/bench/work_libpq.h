/* libpq's two halves in the part work: statements and values; who sends what when. */
#ifndef BENCH_WORK_LIBPQ_H
#define BENCH_WORK_LIBPQ_H
#include "libpq_common.h"
#include "work.h"

void work_libpq_prepare(PGconn *connection); /* all statements */
void work_libpq_send(PGconn *connection, const struct work_request *request, unsigned n);
/* One result of statement n: its rows and its outcome. Ends the process when it is not what it has to be. */
void work_libpq_check(const PGconn *connection, PGresult *result, struct work_request *request, unsigned n);
#endif
