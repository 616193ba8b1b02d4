/* COPY with ringpg, on a lease, with callbacks. */
#include "copy.h"
#include "ringpg_loop.h"

struct bench {
    const struct copy_shape *shape;
    struct bench_meter *meter;
    struct ringpg_loop loop;
    struct pg_lease lease;
    struct pg_query setup;
    struct pg_copy copy;
    struct pg_error error;
    size_t moved; /* bytes of this COPY */
    bool set_up, more, over;
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

static void setup_done(struct pg_query *query)
{
    struct bench *bench = query->data;
    if (query->status) bench_die("ringpg: %s", pg_error_field(&bench->error, 'M'));
    bench->set_up = true;
}

static void granted(struct pg_lease *lease, int status)
{
    struct bench *bench = lease->data;
    if (status) bench_die("ringpg: acquire: %s", pg_error_text(status));
    pg_lease_query(lease, &bench->setup);
}

void copy_ringpg_run(const struct copy_shape *shape, struct bench_meter *meter)
{
    struct bench bench = {.shape = shape, .meter = meter, .more = true};
    ringpg_loop_open(&bench.loop, shape->target, 1);
    bench.lease = (struct pg_lease){.on_grant = granted, .tag = PG_HERE, .data = &bench};
    bench.setup = (struct pg_query){.sql = shape->setup,
                                    .flags = PG_QUERY_SIMPLE,
                                    .on_done = setup_done,
                                    .error = &bench.error,
                                    .data = &bench};
    bench.copy = (struct pg_copy){
        .query = {.sql = shape->sql, .on_done = copy_done, .error = &bench.error, .data = &bench},
        .on_data = on_data,
        .on_writable = on_writable,
    };
    pg_pool_acquire(bench.loop.pool, &bench.lease);
    while (!bench.set_up) ringpg_loop_turn(&bench.loop); /* the child's own time bounds it */

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
