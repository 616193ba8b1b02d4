/* support/world.c - see the header. */
#include "support/world.h"
#include <stdio.h>
#include <string.h>

struct pg_statement world_echo = PG_STATEMENT("ECHO $1", PG_TYPE_INT8);
struct pg_statement world_insert = PG_STATEMENT("INSERT $1", PG_TYPE_INT8);
unsigned world_outcomes;

static void on_event(void *arg, const struct pg_event *event)
{
    struct world *w = arg;
    w->last_event = *event;
    w->events[event->kind]++;
    if (event->error) w->event_error = *event->error;
}

void world_open_reactor(struct world *w, const struct sim_config *sim, struct model_config *server,
                        struct pg_reactor_config *reactor, struct pg_pool_config *pool, const char *options)
{
    struct pg_error error = { 0 };
    char conninfo[512];
    memset(w, 0, sizeof *w);
    w->sim = sim_open(sim);
    server->sim = w->sim;
    w->server = w->servers[w->nservers++] = model_server_open(server);
    reactor->host = sim_host(w->sim);
    assert_int_equal(pg_reactor_open(&w->reactor, reactor, &error), 0);
    snprintf(conninfo, sizeof conninfo, "host=127.0.0.1 port=5432 user=app dbname=app sslmode=disable %s", options);
    pool->conninfo = conninfo;
    pool->on_event = on_event;
    pool->arg = w;
    int rc_open = pg_pool_open(&w->pool, w->reactor, pool, &error);
    pool->conninfo = NULL;
    if (rc_open) fail_msg("pg_pool_open: %s", pg_error_field(&error, 'M'));
}

void world_open_pool(struct world *w, const struct sim_config *sim, struct model_config *server,
                     struct pg_pool_config *pool, const char *options)
{
    struct pg_reactor_config reactor = PG_REACTOR_CONFIG(NULL);
    world_open_reactor(w, sim, server, &reactor, pool, options);
}

void world_open_with(struct world *w, const struct sim_config *sim, struct model_config *server, const char *options)
{
    struct pg_pool_config pool = PG_POOL_CONFIG(NULL);
    world_open_pool(w, sim, server, &pool, options);
}

void world_open(struct world *w, const char *options)
{
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    struct model_config server = { .exit_delay_ns = 200000 };
    world_open_with(w, &sim, &server, options);
}

struct model_server *world_add_server(struct world *w, struct model_config server)
{
    assert_true(w->nservers < WORLD_SERVERS);
    server.sim = w->sim;
    server.port = (uint16_t)(WORLD_PORT + w->nservers);
    model_settings(w->server)->port = WORLD_PORT;
    return w->servers[w->nservers++] = model_server_open(&server);
}

void world_run(struct world *w, uint64_t ns) { (void)sim_run(w->sim, w->reactor, ns); }

static void on_closed(void *arg) { ((struct world *)arg)->closed = true; }

void world_close(struct world *w)
{
    if (w->pool) pg_pool_close(w->pool, 0, on_closed, w);
    pg_reactor_close(w->reactor, 0);
    assert_int_equal(sim_run(w->sim, w->reactor, 100 * WORLD_SECOND), SIM_CLOSED);
    if (w->pool) assert_true(w->closed);
    pg_reactor_free(w->reactor);
    for (unsigned i = w->nservers; i-- > 0;) {
        assert_int_equal(model_stats(w->servers[i])->sockets_now, 0);
        model_server_close(w->servers[i]);
    }
    sim_close(w->sim);
}

struct pg_pool_stats world_stats(struct world *w)
{
    struct pg_pool_stats stats = { .size = sizeof stats };
    pg_pool_stats(w->pool, &stats);
    return stats;
}

static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    struct seen *s = q->data;
    s->rows++;
    s->value = pg_row_int8(row, 0);
    return PG_CONTINUE;
}
static void on_done(struct pg_query *q)
{
    struct seen *s = q->data;
    s->done++;
    s->order = ++world_outcomes;
    s->status = q->status;
    s->sent = q->sent;
}

void seen_init(struct seen *s, struct pg_statement *statement, int64_t param)
{
    memset(s, 0, sizeof *s);
    s->param = pg_int8(param);
    s->query = (struct pg_query){
        .statement = statement, .on_row = on_row, .on_done = on_done, .data = s, .error = &s->error
    };
    if (statement && statement->types[0]) {
        s->query.params = &s->param;
        s->query.nparams = 1;
    }
}
void seen_sql(struct seen *s, const char *sql)
{
    seen_init(s, NULL, 0);
    s->query.sql = sql;
}

static void on_grant(struct pg_lease *lease, int status)
{
    struct held *h = lease->data;
    h->grants++;
    h->order = ++world_outcomes;
    h->status = status;
}
void held_init(struct held *h)
{
    memset(h, 0, sizeof *h);
    h->lease = (struct pg_lease){ .on_grant = on_grant, .tag = PG_HERE, .error = &h->error, .data = h };
}
