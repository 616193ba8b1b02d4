/* ringpg's two lanes: handlers that each send the next query from the
 * outcome of the last. Shared: connections x in_flight handlers call pg_pool_query. Lease: more handlers than
 * connections take turns: acquire (parked mostly), query, release. Only the public headers. */
#include <stdlib.h>
#include "ringpg_loop.h"

static struct pg_statement select_42 = PG_STATEMENT(BENCH_SQL);

struct handler {
    struct pg_query query;
    struct pg_lease lease;
    struct bench *bench;
    bool answered;
};

struct bench {
    struct ringpg_loop loop;
    struct handler *handlers;
    unsigned count, busy;
    bool more;
    struct bench_meter *meter;
};

static enum pg_flow on_row(struct pg_query *query, struct pg_row *row)
{
    struct handler *handler = query->data;
    if (pg_row_columns(row) != 1 || pg_row_int4(row, 0) != BENCH_ANSWER)
        bench_die("ringpg: the answer is not %d", BENCH_ANSWER);
    handler->answered = true;
    return PG_CONTINUE;
}

static void check(struct handler *handler)
{
    if (handler->query.status) bench_die("ringpg: %s", pg_error_text(handler->query.status));
    if (!handler->answered || handler->query.rows != 1) bench_die("ringpg: not one row");
    handler->answered = false;
    handler->bench->meter->answered++;
}

static void shared_done(struct pg_query *query)
{
    struct handler *handler = query->data;
    check(handler);
    if (handler->bench->more)
        pg_pool_query(handler->bench->loop.pool, query);
    else
        handler->bench->busy--;
}

static void lease_done(struct pg_query *query)
{
    struct handler *handler = query->data;
    check(handler);
    pg_lease_release(&handler->lease);
    if (handler->bench->more)
        pg_pool_acquire(handler->bench->loop.pool, &handler->lease);
    else
        handler->bench->busy--;
}

static void granted(struct pg_lease *lease, int status)
{
    struct handler *handler = lease->data;
    if (status) bench_die("ringpg: acquire: %s", pg_error_text(status));
    pg_lease_query(lease, &handler->query);
}

static void run(const struct bench_shape *shape, struct bench_meter *meter, unsigned handlers, bool lease)
{
    struct bench bench = {.count = handlers, .busy = handlers, .more = true, .meter = meter};
    bench.handlers = calloc(handlers, sizeof *bench.handlers);
    if (!bench.handlers) bench_die("ringpg: no memory");
    ringpg_loop_open(&bench.loop, shape->target, shape->connections);
    bench_meter_start(meter);
    ringpg_loop_await(&bench.loop, shape->connections, meter);

    bench_meter_start(meter);
    for (unsigned i = 0; i < handlers; i++) {
        struct handler *handler = &bench.handlers[i];
        handler->bench = &bench;
        handler->query = (struct pg_query){
            .statement = &select_42, .on_row = on_row, .data = handler, .on_done = lease ? lease_done : shared_done};
        handler->lease = (struct pg_lease){.on_grant = granted, .tag = PG_HERE, .data = handler};
        if (lease)
            pg_pool_acquire(bench.loop.pool, &handler->lease);
        else
            pg_pool_query(bench.loop.pool, &handler->query);
    }
    while (bench.busy) {
        ringpg_loop_turn(&bench.loop);
        bench.more = bench_tick(meter);
    }
    struct pg_pool_stats stats = ringpg_loop_stats(&bench.loop);
    if (stats.total_conns != shape->connections || stats.new_conns_count != shape->connections)
        bench_die("ringpg: not the %u connections it began with", shape->connections);
    ringpg_loop_close(&bench.loop, meter);
    free(bench.handlers);
}

void ringpg_shared_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    run(shape, meter, shape->connections * shape->in_flight, false);
}

void ringpg_lease_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    run(shape, meter, shape->handlers, true);
}
