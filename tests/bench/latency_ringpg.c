/* ringpg under the load of the part latency, in both lanes: what is due becomes a query of the shared lane, or acquires
 * a lease for it. Only the public headers. */
#include <stdlib.h>
#include "latency.h"
#include "ringpg_loop.h"

enum { HANDLERS = 4096 }; /* who all have one in flight: then what is due waits */
enum { SPIN_NS = 50000 };

static struct pg_statement select_number = PG_STATEMENT(BENCH_SQL, PG_TYPE_INT4);

struct handler {
    struct pg_query query;
    struct pg_lease lease;
    struct pg_param id;
    struct client *client;
    struct handler *next_free;
    uint64_t due_ns;
    int32_t number; /* that is due */
    bool answered;
};
struct client {
    struct ringpg_loop loop;
    struct latency_load *load;
    struct handler handlers[HANDLERS], *free;
    unsigned asked;
    bool lends;
};

static enum pg_flow on_row(struct pg_query *query, struct pg_row *row)
{
    struct handler *handler = query->data;
    handler->answered = pg_row_int4(row, 0) == handler->number;
    return PG_CONTINUE;
}

static void over(struct handler *handler)
{
    struct client *client = handler->client;
    if (handler->query.status || !handler->answered)
        bench_die("ringpg: %s", handler->query.status ? pg_error_text(handler->query.status) : "not the answer");
    latency_answered(client->load, handler->due_ns);
    handler->answered = false;
    handler->next_free = client->free;
    client->free = handler;
}

static void start_due(struct client *client)
{
    struct handler *handler;
    while ((handler = client->free) && latency_due(client->load, &handler->due_ns)) {
        client->free = handler->next_free;
        int32_t id = bench_id(client->asked++);
        handler->number = bench_number(id);
        handler->id = pg_int4(id);
        if (client->lends)
            pg_pool_acquire(client->loop.pool, &handler->lease);
        else
            pg_pool_query(client->loop.pool, &handler->query);
    }
}

static void on_done(struct pg_query *query)
{
    struct handler *handler = query->data;
    struct client *client = handler->client;
    if (client->lends) pg_lease_release(&handler->lease);
    over(handler);
    start_due(client); /* whoever waits for an answer goes on at once, as a program's handler does */
}

static void on_grant(struct pg_lease *lease, int status)
{
    struct handler *handler = lease->data;
    if (status) bench_die("ringpg: acquire: %s", pg_error_text(status));
    pg_lease_query(lease, &handler->query);
}

static void *open_client(const struct latency_shape *shape, bool lends, unsigned spin_ns)
{
    struct bench_meter meter = {.measure_ns = 1};
    struct client *client = calloc(1, sizeof *client);
    if (!client) bench_die("ringpg: no memory");
    client->lends = lends;
    ringpg_loop_open_with(&client->loop, shape->target, shape->connections,
                          &(struct ringpg_loop_more){.spin_ns = spin_ns});
    bench_meter_start(&meter);
    ringpg_loop_await(&client->loop, shape->connections, &meter);
    for (size_t i = 0; i < HANDLERS; i++) {
        struct handler *handler = &client->handlers[i];
        *handler = (struct handler){.client = client, .next_free = client->free};
        handler->query = (struct pg_query){.statement = &select_number, .params = &handler->id, .nparams = 1,
                                           .on_row = on_row, .on_done = on_done, .data = handler};
        handler->lease = (struct pg_lease){.on_grant = on_grant, .tag = PG_HERE, .data = handler};
        client->free = handler;
    }
    return client;
}

static void *open_shared(const struct latency_shape *shape)
{
    return open_client(shape, false, 0);
}

static void *open_lending(const struct latency_shape *shape)
{
    return open_client(shape, true, 0);
}

static void *open_spinning(const struct latency_shape *shape)
{
    return open_client(shape, true, SPIN_NS);
}

static void run(void *arg, struct latency_load *load)
{
    struct client *client = arg;
    client->load = load;
    while (!latency_over(load)) {
        start_due(client);
        ringpg_loop_turn_for(&client->loop, latency_wait(load));
    }
}

static void close_client(void *arg)
{
    struct client *client = arg;
    struct bench_meter meter = {.measure_ns = 1};
    bench_meter_start(&meter);
    ringpg_loop_close(&client->loop, &meter);
    free(client);
}

const struct latency_client latency_shared = {"ringpg-shared", open_shared, run, close_client, false};
const struct latency_client latency_spin = {"ringpg-spin", open_spinning, run, close_client, true};
const struct latency_client latency_lease = {"ringpg-lease", open_lending, run, close_client, false};
