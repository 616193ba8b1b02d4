/* COPY with ringpg, on a lease, with callbacks. */
#include "copy.h"
#include "ringpg_loop.h"

struct bench {
    const struct copy_shape *shape;
    struct bench_meter *meter;
    struct ringpg_loop loop;
    struct pg_lease lease;
    struct pg_copy copy;
    struct pg_error error;
    size_t moved; /* bytes of this COPY */
    bool more, over;
};

static enum pg_flow on_data(struct pg_copy *copy, struct pg_text chunk)
{
    struct bench *bench = copy->query.data;
    bench->moved += chunk.size;
    bench->meter->answered += chunk.size;
    return PG_CONTINUE;
}

static void on_writable(struct pg_copy *copy)
{
    struct bench *bench = copy->query.data;
    const struct copy_shape *shape = bench->shape;
    while (bench->moved < shape->total) {
        size_t at = bench->moved % shape->size, n = shape->piece - at % shape->piece;
        size_t taken = pg_copy_write(copy, shape->rows + at, n);
        bench->moved += taken;
        bench->meter->answered += taken;
        if (taken < n) return;
    }
    pg_copy_finish(copy, NULL);
}

static void copy_done(struct pg_query *query)
{
    struct bench *bench = query->data;
    if (query->status) bench_die("ringpg: %s", pg_error_field(&bench->error, 'M'));
    if (!bench->moved) bench_die("ringpg: nothing was copied");
    bench->moved = 0;
    if (bench->more)
        pg_lease_copy(&bench->lease, &bench->copy);
    else
        bench->over = true;
}

void copy_ringpg_run(const struct copy_shape *shape, struct bench_meter *meter)
{
    struct bench bench = {.shape = shape, .meter = meter, .more = true};
    ringpg_loop_open(&bench.loop, shape->target, 1);
    bench.copy = (struct pg_copy){
        .query = {.sql = shape->sql, .on_done = copy_done, .error = &bench.error, .data = &bench},
        .on_data = on_data,
        .on_writable = on_writable,
    };
    ringpg_loop_lend(&bench.loop, &bench.lease);
    ringpg_loop_sql(&bench.loop, &bench.lease, shape->setup);

    bench_meter_start(meter);
    pg_lease_copy(&bench.lease, &bench.copy);
    uint64_t asked = 0;
    while (!bench.over) {
        ringpg_loop_turn(&bench.loop);
        if (meter->answered - asked < COPY_TICK_BYTES) continue;
        asked = meter->answered;
        bench.more = bench_tick(meter);
    }
    pg_lease_release(&bench.lease);
    ringpg_loop_close(&bench.loop, meter);
}
