/* ringpg's two lanes: handlers that each send the next query from the outcome of the last. Shared: each calls
 * pg_pool_query. Lease: acquire (parked mostly), query, release. See ringpg_load.h. Only the public headers. */
#include <stdlib.h>
#include "ringpg_load.h"
#include "ringpg_loop.h"

enum { OTHER_STATEMENTS = 64 }; /* the library's own are declared as well */

struct handler {
    struct pg_query query;
    struct pg_lease lease;
    struct pg_param id;
    struct bench *bench;
    unsigned due, seen; /* of this answer: the first row's number; rows */
};

struct bench {
    struct ringpg_loop loop;
    struct handler *handlers;
    struct pg_statement *statements;
    char *texts;
    unsigned busy, next; /* the statement of the next query */
    unsigned asked;      /* of the workload's own ids */
    unsigned first, rows, count;
    bool more, lease, run_time, own_sql;
    struct bench_meter *meter;
};

/* ---- the handlers ---- */

static enum pg_flow on_row(struct pg_query *query, struct pg_row *row)
{
    struct handler *handler = query->data;
    unsigned due = handler->due + handler->seen;
    if (pg_row_columns(row) != 1 || (unsigned)pg_row_int4(row, 0) != due)
        bench_die("ringpg: the answer is not %u", due);
    handler->seen++;
    handler->bench->meter->answered++;
    return PG_CONTINUE;
}

static void check(struct handler *handler)
{
    unsigned rows = handler->bench->rows;
    if (handler->query.status) bench_die("ringpg: %s", pg_error_text(handler->query.status));
    if (handler->seen != rows || handler->query.rows != rows) bench_die("ringpg: not %u rows", rows);
    handler->seen = 0;
}

static void take_statement(struct handler *handler)
{
    struct bench *bench = handler->bench;
    if (bench->own_sql) {
        handler->due = bench->first;
    } else {
        int32_t id = bench_id(bench->asked++);
        handler->due = (unsigned)bench_number(id);
        handler->id = pg_int4(id);
    }
    struct pg_statement *statement = &bench->statements[bench->next];
    if (++bench->next == bench->count) bench->next = 0;
    if (bench->run_time)
        handler->query.sql = statement->sql;
    else
        handler->query.statement = statement;
}

static void shared_done(struct pg_query *query)
{
    struct handler *handler = query->data;
    check(handler);
    if (!handler->bench->more) {
        handler->bench->busy--;
        return;
    }
    take_statement(handler);
    pg_pool_query(handler->bench->loop.pool, query);
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
    take_statement(handler);
    pg_lease_query(lease, &handler->query);
}

static void start(struct bench *bench, struct handler *handler)
{
    handler->bench = bench;
    handler->query =
        (struct pg_query){.on_row = on_row, .data = handler, .on_done = bench->lease ? lease_done : shared_done};
    if (!bench->own_sql) handler->query.params = &handler->id, handler->query.nparams = 1;
    handler->lease = (struct pg_lease){.on_grant = granted, .tag = PG_HERE, .data = handler};
    if (bench->lease) {
        pg_pool_acquire(bench->loop.pool, &handler->lease);
    } else {
        take_statement(handler);
        pg_pool_query(bench->loop.pool, &handler->query);
    }
}

/* ---- a run ---- */

/* Texts that differ in a comment alone, so that they are different statements of the same cost. */
static void make_statements(struct bench *bench, const struct ringpg_load *load)
{
    enum { TEXT_BYTES = 80 };
    const char *sql = load->sql ? load->sql : BENCH_SQL;
    bench->count = load->statements ? load->statements : 1;
    bench->statements = calloc(bench->count, sizeof *bench->statements);
    bench->texts = calloc(bench->count, TEXT_BYTES);
    if (!bench->statements || !bench->texts) bench_die("ringpg: no memory");
    for (unsigned i = 0; i < bench->count; i++) {
        char *text = bench->texts + (size_t)i * TEXT_BYTES;
        int length = load->statements ? snprintf(text, TEXT_BYTES, "%s -- %u", sql, i)
                                      : snprintf(text, TEXT_BYTES, "%s", sql);
        if (length >= TEXT_BYTES) bench_die("ringpg: the statement is too long");
        bench->statements[i] = (struct pg_statement){.sql = text};
        if (!load->sql) bench->statements[i].types[0] = PG_TYPE_INT4;
    }
}

static void await_answers(struct bench *bench, unsigned answers)
{
    struct bench_meter *meter = bench->meter;
    while (meter->answered < answers) { /* bounded: the meter ends what stalls */
        ringpg_loop_turn(&bench->loop);
        bench_tick(meter);
    }
}

void ringpg_load_run(const struct ringpg_load *load, struct bench_meter *meter)
{
    struct bench bench = {.busy = load->handlers, .more = true, .meter = meter, .lease = load->lease};
    bench.run_time = load->run_time;
    bench.own_sql = load->sql != NULL;
    bench.first = load->first;
    bench.rows = load->sql ? load->rows : 1;
    bench.handlers = calloc(load->handlers, sizeof *bench.handlers);
    if (!bench.handlers) bench_die("ringpg: no memory");
    make_statements(&bench, load);
    struct ringpg_loop_more more = {.options = load->options};
    if (load->statements && !load->run_time) more.statements = load->statements + OTHER_STATEMENTS;
    ringpg_loop_open_with(&bench.loop, load->target, load->connections, &more);
    bench_meter_start(meter);
    ringpg_loop_await(&bench.loop, load->connections, meter);

    for (unsigned i = 0; i < load->handlers; i++) start(&bench, &bench.handlers[i]);
    await_answers(&bench, load->warm_up);
    bench_meter_start(meter);
    while (bench.busy) {
        ringpg_loop_turn(&bench.loop);
        bench.more = bench_tick(meter);
    }
    struct pg_pool_stats stats = ringpg_loop_stats(&bench.loop);
    if (load->connections && (stats.total_conns != load->connections || stats.new_conns_count != load->connections))
        bench_die("ringpg: not the %u connections it began with", load->connections);
    ringpg_loop_close(&bench.loop, meter);
    free(bench.handlers);
    free(bench.statements);
    free(bench.texts);
}

void ringpg_shared_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    struct ringpg_load load = {.target = shape->target,
                               .connections = shape->connections,
                               .handlers = shape->connections * shape->in_flight};
    ringpg_load_run(&load, meter);
}

void ringpg_lease_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    struct ringpg_load load = {.target = shape->target,
                               .connections = shape->connections,
                               .handlers = shape->handlers,
                               .lease = true};
    ringpg_load_run(&load, meter);
}
