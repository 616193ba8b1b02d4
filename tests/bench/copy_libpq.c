/* COPY with libpq, blocking, which is what costs it least: no loop, no poll that finds nothing. */
#include "copy.h"
#include "libpq_common.h"

static void tick(struct bench_meter *meter, uint64_t *asked, bool *more)
{
    if (meter->answered - *asked < COPY_TICK_BYTES) return;
    *asked = meter->answered;
    *more = bench_tick(meter);
}

void copy_libpq_run(const struct copy_shape *shape, struct bench_meter *meter)
{
    PGconn *connection = libpq_open(shape->target);
    libpq_sql(connection, shape->setup, PGRES_COMMAND_OK);
    bench_meter_start(meter);
    bool more = true;
    uint64_t asked = 0;
    while (more) {
        libpq_sql(connection, shape->sql, shape->in ? PGRES_COPY_IN : PGRES_COPY_OUT);
        char *row;
        int n = 0;
        for (size_t moved = 0; shape->in && moved < shape->total; moved += shape->piece) {
            const char *piece = shape->rows + moved % shape->size;
            libpq_must(PQputCopyData(connection, piece, (int)shape->piece) == 1, connection);
            meter->answered += shape->piece;
            tick(meter, &asked, &more);
        }
        if (shape->in) libpq_must(PQputCopyEnd(connection, NULL) == 1, connection);
        while (!shape->in && (n = PQgetCopyData(connection, &row, 0)) > 0) {
            PQfreemem(row);
            meter->answered += (uint64_t)n;
            tick(meter, &asked, &more);
        }
        libpq_must(shape->in || n == -1, connection);
        PGresult *result = PQgetResult(connection);
        libpq_must(PQresultStatus(result) == PGRES_COMMAND_OK, connection);
        PQclear(result);
        libpq_must(!PQgetResult(connection), connection);
    }
    PQfinish(connection);
}
