/* ringpg's two lanes on a ring of its own, waiting with pg_uring_wait: handlers that each send the next query from the
 * outcome of the last. Shared: connections x in_flight handlers call pg_pool_query. Lease: more handlers than
 * connections take turns: acquire (parked mostly), query, release. Only the public headers. */
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"
#include "ringpg.h"
#include "ringpg/uring.h"

enum { RING_ENTRIES = 512 };

static struct pg_statement select_42 = PG_STATEMENT(BENCH_SQL);

struct handler {
    struct pg_query query;
    struct pg_lease lease;
    struct bench *bench;
    bool answered;
};

struct bench {
    struct io_uring ring;
    struct pg_uring *uring;
    struct pg_reactor *reactor;
    struct pg_pool *pool;
    struct handler *handlers;
    unsigned count, busy;
    bool more, closed;
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
        pg_pool_query(handler->bench->pool, query);
    else
        handler->bench->busy--;
}

static void lease_done(struct pg_query *query)
{
    struct handler *handler = query->data;
    check(handler);
    pg_lease_release(&handler->lease);
    if (handler->bench->more)
        pg_pool_acquire(handler->bench->pool, &handler->lease);
    else
        handler->bench->busy--;
}

static void granted(struct pg_lease *lease, int status)
{
    struct handler *handler = lease->data;
    if (status) bench_die("ringpg: acquire: %s", pg_error_text(status));
    pg_lease_query(lease, &handler->query);
}

/* One round of the loop: turn, wait, completions. False: the reactor was closed and is empty. */
static bool turn(struct bench *bench)
{
    int64_t wait_ns = pg_reactor_turn(bench->reactor);
    if (wait_ns == PG_WAIT_CLOSED) return false;
    if (wait_ns < 0 || wait_ns > 1000000000) wait_ns = 1000000000;
    int rc = pg_uring_wait(bench->uring, wait_ns);
    if (rc) bench_die("ringpg: wait: %s", strerror(-rc));

    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(&bench->ring, head, cqe)
    {
        if (!pg_uring_complete(bench->uring, cqe)) bench_die("ringpg: a completion that is nobody's");
        seen++;
    }
    io_uring_cq_advance(&bench->ring, seen);
    return true;
}

static void open_pool(struct bench *bench, const struct bench_shape *shape)
{
    struct pg_error error;
    struct io_uring_params params = {
        .flags =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = RING_ENTRIES * 4,
    };
    int rc = io_uring_queue_init_params(RING_ENTRIES, &bench->ring, &params);
    if (rc < 0) bench_die("ringpg: io_uring_setup: %s", strerror(-rc));

    char conninfo[1024];
    snprintf(conninfo, sizeof conninfo, "host='%s' port=%u user='%s' dbname='%s' sslmode=disable", shape->target->host,
             shape->target->port, shape->target->user, shape->target->database);
    struct pg_uring_config uring = {.size = sizeof uring, .ring = &bench->ring};
    if (pg_uring_open(&bench->uring, &uring, &error)) bench_die("ringpg: %s", pg_error_field(&error, 'M'));
    struct pg_reactor_config reactor = PG_REACTOR_CONFIG(pg_uring_host(bench->uring));
    if (pg_reactor_open(&bench->reactor, &reactor, &error)) bench_die("ringpg: %s", pg_error_field(&error, 'M'));
    struct pg_pool_config pool = PG_POOL_CONFIG(conninfo);
    pool.max_conns = pool.min_conns = shape->connections;
    if (pg_pool_open(&bench->pool, bench->reactor, &pool, &error)) bench_die("ringpg: %s", pg_error_field(&error, 'M'));
}

static struct pg_pool_stats stats(const struct bench *bench)
{
    struct pg_pool_stats now = {.size = sizeof now};
    pg_pool_stats(bench->pool, &now);
    return now;
}

static void close_pool(struct bench *bench)
{
    pg_reactor_close(bench->reactor, 0);
    while (turn(bench)) bench_tick(bench->meter); /* bounded: the meter ends the process when it stalls */
    pg_reactor_free(bench->reactor);
    pg_uring_close(bench->uring);
    io_uring_queue_exit(&bench->ring);
    free(bench->handlers);
}

/* Every connection stands before the first query, so that all contenders have the same number of them. */
static void await_connections(struct bench *bench, unsigned connections)
{
    bench_meter_start(bench->meter);
    while (stats(bench).idle_conns < connections) { /* bounded in the same way */
        turn(bench);
        bench_tick(bench->meter);
    }
}

static void run(const struct bench_shape *shape, struct bench_meter *meter, unsigned handlers, bool lease)
{
    struct bench bench = {.count = handlers, .busy = handlers, .more = true, .meter = meter};
    bench.handlers = calloc(handlers, sizeof *bench.handlers);
    if (!bench.handlers) bench_die("ringpg: no memory");
    open_pool(&bench, shape);
    await_connections(&bench, shape->connections);

    bench_meter_start(meter);
    for (unsigned i = 0; i < handlers; i++) {
        struct handler *handler = &bench.handlers[i];
        handler->bench = &bench;
        handler->query = (struct pg_query){
            .statement = &select_42, .on_row = on_row, .data = handler, .on_done = lease ? lease_done : shared_done};
        handler->lease = (struct pg_lease){.on_grant = granted, .tag = PG_HERE, .data = handler};
        if (lease)
            pg_pool_acquire(bench.pool, &handler->lease);
        else
            pg_pool_query(bench.pool, &handler->query);
    }
    while (bench.busy) {
        turn(&bench);
        bench.more = bench_tick(meter);
    }
    if (stats(&bench).total_conns != shape->connections || stats(&bench).new_conns_count != shape->connections)
        bench_die("ringpg: not the %u connections it began with", shape->connections);
    close_pool(&bench);
}

void ringpg_shared_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    run(shape, meter, shape->connections * shape->in_flight, false);
}

void ringpg_lease_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    run(shape, meter, shape->handlers, true);
}
