/* COPY with libpq, blocking, which is what costs it least: no loop, no poll that finds nothing. */
#include "copy.h"
#include "libpq_common.h"

static void must(bool good, PGconn *connection)
{
    if (!good) bench_die("libpq: %s", PQerrorMessage(connection));
}

static void run_sql(PGconn *connection, const char *sql, ExecStatusType due)
{
    PGresult *result = PQexec(connection, sql);
    must(PQresultStatus(result) == due, connection);
    PQclear(result);
}

static void tick(struct bench_meter *meter, uint64_t *asked, bool *more)
{
    if (meter->answered - *asked < COPY_TICK_BYTES) return;
    *asked = meter->answered;
    *more = bench_tick(meter);
}

void copy_libpq_run(const struct copy_shape *shape, struct bench_meter *meter)
{
    PGconn *connection = libpq_connect(shape->target);
    must(!PQsetnonblocking(connection, 0), connection);
    run_sql(connection, shape->setup, PGRES_COMMAND_OK);
    bench_meter_start(meter);
    bool more = true;
    uint64_t asked = 0;
    while (more) {
        run_sql(connection, shape->sql, shape->in ? PGRES_COPY_IN : PGRES_COPY_OUT);
        char *row;
        int n = 0;
        for (size_t moved = 0; shape->in && moved < shape->total; moved += shape->piece) {
            must(PQputCopyData(connection, shape->rows + moved % shape->size, (int)shape->piece) == 1, connection);
            meter->answered += shape->piece;
            tick(meter, &asked, &more);
        }
        if (shape->in) must(PQputCopyEnd(connection, NULL) == 1, connection);
        while (!shape->in && (n = PQgetCopyData(connection, &row, 0)) > 0) {
            PQfreemem(row);
            meter->answered += (uint64_t)n;
            tick(meter, &asked, &more);
        }
        must(shape->in || n == -1, connection);
        PGresult *result = PQgetResult(connection);
        must(PQresultStatus(result) == PGRES_COMMAND_OK, connection);
        PQclear(result);
        must(!PQgetResult(connection), connection);
    }
    PQfinish(connection);
}
