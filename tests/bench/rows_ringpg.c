/* Rows with ringpg, on a lease, with a callback that reads each row where it stands in the receive buffer. */
#include "rows.h"
#include "ringpg_loop.h"

struct bench {
    struct rows_sum *sum;
    struct ringpg_loop loop;
    struct pg_lease lease;
    struct pg_query query;
    struct pg_error error;
    bool over;
};

/* No check of each value: one that was NULL or unreadable ends the query with PG_E_VALUE. */
static enum pg_flow on_row(struct pg_query *query, struct pg_row *row)
{
    struct bench *bench = query->data;
    struct pg_text name = pg_row_text(row, 2);
    struct rows_values values = {.id = pg_row_int4(row, 0),
                                 .big = pg_row_int8(row, 1),
                                 .name = name.data,
                                 .name_size = name.size,
                                 .at = pg_row_timestamptz(row, 3),
                                 .cents = pg_row_decimal(row, 4, 2)};
    rows_add(bench->sum, &values);
    return PG_CONTINUE;
}

static void on_done(struct pg_query *query)
{
    struct bench *bench = query->data;
    if (query->status) bench_die("ringpg: %s", pg_error_field(&bench->error, 'M'));
    bench->over = true;
}

void rows_ringpg_run(const struct rows_shape *shape, struct bench_meter *meter, struct rows_sum *sum)
{
    struct bench bench = {.sum = sum};
    ringpg_loop_open(&bench.loop, shape->target, 1);
    ringpg_loop_lend(&bench.loop, &bench.lease);
    bench.query = (struct pg_query){.sql = shape->sql,
                                    .flags = shape->text ? PG_QUERY_TEXT : 0,
                                    .on_row = on_row,
                                    .on_done = on_done,
                                    .error = &bench.error,
                                    .data = &bench};
    bench_meter_start(meter);
    pg_lease_query(&bench.lease, &bench.query);
    while (!bench.over) ringpg_loop_turn(&bench.loop); /* the child's own time bounds it */
    meter->answered = sum->rows;
    bench_tick(meter);
    pg_lease_release(&bench.lease);
    ringpg_loop_close(&bench.loop, meter);
}
