/* ringpg under the part work: flights of statements on the shared lane, transactions on a lease. What takes long is
 * declared so, and has a connection of the shared lane alone. Only the public headers. */
#include <stdlib.h>
#include "ringpg_loop.h"
#include "work.h"

static struct pg_statement statements[WORK_KINDS] = {
#define STATEMENT(name, rows, ...) [name] = PG_STATEMENT(__VA_ARGS__),
    WORK_TABLE(STATEMENT)
#undef STATEMENT
};

/* How it differs from what the README says. */
struct variant {
    bool steps;      /* each statement after the outcome of the one before it */
    bool batch;      /* a flight is a batch: one Sync, as it always is on a lease */
    bool unmarked;   /* nobody knows which statements are slow */
    bool slow_lease; /* slow statements on a lease */
};

struct handler {
    struct work_request request;
    struct bench *bench;
    unsigned next, due; /* the first statement that was not started; outcomes to come */
    bool lent;
    struct pg_lease lease;
    struct pg_error error;
    struct pg_query queries[WORK_STATEMENTS];
    struct pg_param params[WORK_STATEMENTS][WORK_PARAMS];
};

struct bench {
    struct ringpg_loop loop;
    struct variant variant;
    struct work_load *load;
    unsigned busy;
    bool more;
    struct handler handlers[WORK_HANDLERS];
};

static unsigned index_of(const struct pg_query *query)
{
    const struct handler *handler = query->data;
    return (unsigned)(query - handler->queries);
}

static enum pg_flow on_pair(struct pg_query *query, struct pg_row *row)
{
    struct handler *handler = query->data;
    work_row(&handler->request, index_of(query), pg_row_int4(row, 0), pg_row_int4(row, 1));
    return PG_CONTINUE;
}

static enum pg_flow on_fortune(struct pg_query *query, struct pg_row *row)
{
    struct handler *handler = query->data;
    struct pg_text message = pg_row_text(row, 1);
    work_message(&handler->request, pg_row_int4(row, 0), message.data, message.size);
    return PG_CONTINUE;
}

static struct pg_statement *statement_of(enum work_statement statement)
{
    if (statement == WORK_BEGIN) return &pg_begin;
    return statement == WORK_COMMIT ? &pg_commit : &statements[statement];
}

static void fill(struct handler *handler, unsigned n)
{
    const struct work_request *request = &handler->request;
    enum work_statement statement = work_statement(request, n);
    struct pg_query *query = &handler->queries[n];
    struct pg_param *params = handler->params[n];
    unsigned slot = work_slot(request, n);
    query->statement = statement_of(statement);
    query->on_row = on_pair;
    switch (statement) {
    case WORK_SELECT:
    case WORK_READ:
    case WORK_SLEEP:
        params[0] = pg_int4(request->ids[slot]);
        query->nparams = 1;
        break;
    case WORK_UPDATE:
        params[0] = pg_int4_array(request->ids, WORK_SELECTS);
        params[1] = pg_int4_array(request->numbers, WORK_SELECTS);
        query->nparams = 2;
        break;
    case WORK_WRITE:
        params[0] = pg_int4(request->ids[slot]);
        params[1] = pg_int4(request->numbers[slot]);
        params[2] = pg_int4(request->found[slot]);
        query->nparams = 3;
        break;
    case WORK_FORTUNES:
        query->on_row = on_fortune;
        break;
    case WORK_BEGIN:
    case WORK_COMMIT:
    case WORK_KINDS:
        break;
    }
}

static void start_flight(struct handler *handler)
{
    struct bench *bench = handler->bench;
    struct pg_query *queries = handler->queries;
    unsigned from = handler->next;
    unsigned to = bench->variant.steps ? from + 1 : work_flight_end(handler->request.workload, from);
    bool batch = handler->lent || bench->variant.batch;
    handler->next = to;
    handler->due = to - from;
    for (unsigned n = from; n < to; n++) {
        fill(handler, n);
        queries[n].next = batch && n + 1 < to ? &queries[n + 1] : NULL;
        if (!batch) pg_pool_query(bench->loop.pool, &queries[n]);
    }
    if (handler->lent) pg_lease_query(&handler->lease, &queries[from]);
    else if (batch) pg_pool_query(bench->loop.pool, &queries[from]);
}

static void on_grant(struct pg_lease *lease, int status)
{
    if (status) bench_die("ringpg: acquire: %s", pg_error_text(status));
    start_flight(lease->data);
}

static void start_request(struct handler *handler)
{
    struct bench *bench = handler->bench;
    work_begin(bench->load, &handler->request);
    handler->next = 0;
    handler->lent = handler->request.workload->transaction || (bench->variant.slow_lease && handler->request.sleeps);
    if (handler->lent) pg_pool_acquire(bench->loop.pool, &handler->lease);
    else start_flight(handler);
}

static void on_done(struct pg_query *query)
{
    struct handler *handler = query->data;
    struct bench *bench = handler->bench;
    if (query->status) bench_die("ringpg: %s", pg_error_field(&handler->error, 'M'));
    work_outcome(&handler->request, index_of(query), query->rows);
    if (--handler->due) return;
    if (work_flight_end(handler->request.workload, handler->next) != handler->next) {
        start_flight(handler);
        return;
    }
    if (handler->lent) pg_lease_release(&handler->lease);
    work_over(bench->load, &handler->request);
    if (bench->more) start_request(handler);
    else bench->busy--;
}

static void init(struct handler *handler, struct bench *bench)
{
    *handler = (struct handler){.bench = bench};
    handler->lease = (struct pg_lease){.on_grant = on_grant, .tag = PG_HERE, .data = handler};
    for (unsigned n = 0; n < WORK_STATEMENTS; n++)
        handler->queries[n] = (struct pg_query){
            .params = handler->params[n], .on_done = on_done, .error = &handler->error, .data = handler};
}

static void run(const struct bench_target *target, struct work_load *load, struct variant variant)
{
    struct bench *bench = calloc(1, sizeof *bench);
    if (!bench) bench_die("ringpg: no memory");
    *bench = (struct bench){.variant = variant, .load = load, .busy = WORK_HANDLERS, .more = true};
    if (!variant.unmarked) statements[WORK_SLEEP].flags = PG_STATEMENT_SLOW;
    ringpg_loop_open(&bench->loop, target, WORK_CONNECTIONS);
    bench_meter_start(&load->meter);
    ringpg_loop_await(&bench->loop, WORK_CONNECTIONS, &load->meter);

    bench_meter_start(&load->meter);
    for (unsigned i = 0; i < WORK_HANDLERS; i++) {
        init(&bench->handlers[i], bench);
        start_request(&bench->handlers[i]);
    }
    while (bench->busy) { /* bounded: the meter ends the process when it stalls */
        ringpg_loop_turn(&bench->loop);
        bench->more = bench_tick(&load->meter);
    }
    struct pg_pool_stats stats = ringpg_loop_stats(&bench->loop);
    if (stats.total_conns != WORK_CONNECTIONS || stats.new_conns_count != WORK_CONNECTIONS)
        bench_die("ringpg: not the %d connections it began with", WORK_CONNECTIONS);
    ringpg_loop_close(&bench->loop, &load->meter);
    free(bench);
}

void work_ringpg(const struct bench_target *target, struct work_load *load)
{
    run(target, load, (struct variant){.steps = false});
}

void work_ringpg_steps(const struct bench_target *target, struct work_load *load)
{
    run(target, load, (struct variant){.steps = true});
}

void work_ringpg_batch(const struct bench_target *target, struct work_load *load)
{
    run(target, load, (struct variant){.batch = true});
}

void work_ringpg_unmarked(const struct bench_target *target, struct work_load *load)
{
    run(target, load, (struct variant){.unmarked = true});
}

void work_ringpg_lease(const struct bench_target *target, struct work_load *load)
{
    run(target, load, (struct variant){.slow_lease = true});
}
