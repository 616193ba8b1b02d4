/* (d) Twenty selects from one handler over the shared lane, joined: as a fiber and with callbacks. */
#include <stdio.h>
#include <stdlib.h>
#include "ringpg.h"
#include "app.h"

static struct pg_statement world = { .sql = "SELECT id, randomnumber FROM world WHERE id = $1",
                                    .types = { PG_TYPE_INT4 },
                                    .name = "world",
                                    .flags = PG_STATEMENT_REPEATABLE};
extern struct pg_pool *pool;
const char *const app_setup =
    "CREATE TABLE IF NOT EXISTS world (id integer PRIMARY KEY, randomnumber integer NOT NULL);"
    "INSERT INTO world SELECT i, (i * 7919) % 10000 + 1 FROM generate_series(1, 10000) AS i "
    "WHERE NOT EXISTS (SELECT FROM world)";
const struct app_request app_requests[] = {
    { "fiber=1&n=1", 200, 0, false }, { "fiber=0&n=2", 200, 0, false }, { "fiber=0&n=3", 200, 0, true },
    { "fiber=1&n=4", 200, 0, false }, { "fiber=0&n=5", 200, 0, false }, { "fiber=0&n=6", 200, 0, true },
};
const size_t app_request_count = sizeof app_requests / sizeof *app_requests;
enum { N = 20 };

static enum pg_flow take(struct pg_query *q, struct pg_row *row)
{
    *(int32_t *)q->data = pg_row_int4(row, 1);
    return PG_CONTINUE;
}

static void reply(struct http *http, const int32_t *v)
{
    char body[1024]; size_t n = 0;
    for (int i = 0; i < N; i++) n += (size_t)snprintf(body + n, sizeof body - n, "%d ", v[i]);
    http_reply(http, 200, body, n);
}
static void fiber(void *arg)                         /* no join function is needed: start all, then await each */
{
    struct http *http = arg;
    struct pg_param p[N]; struct pg_query q[N]; int32_t v[N]; int bad = 0;
    for (int i = 0; i < N; i++) {
        p[i] = pg_int4(1 + rand() % 10000);
        q[i] = (struct pg_query){ .statement = &world, .params = &p[i], .nparams = 1, .on_row = take, .data = &v[i] };
        pg_pool_query(pool, &q[i]);
    }
    for (int i = 0; i < N; i++)
        bad += pg_await(&q[i]) != 0 || q[i].rows != 1; /* TRAP: every one, also after the first failure */
    if (bad) http_reply(http, 503, "", 0); else reply(http, v);
}
struct join { struct http *http; int left, bad; int32_t v[N]; struct pg_param p[N]; struct pg_query q[N]; };
static enum pg_flow take_join(struct pg_query *q, struct pg_row *row)
{
    struct join *j = q->data;
    j->v[q - j->q] = pg_row_int4(row, 1); /* data + pointer difference: container_of alone could not tell which */
    return PG_CONTINUE;
}
static void done(struct pg_query *q)
{
    struct join *j = q->data;
    j->bad += q->status != 0 || q->rows != 1;
    if (--j->left) return;
    http_on_gone(j->http, NULL, NULL);
    if (j->bad) http_reply(j->http, 503, "", 0); else reply(j->http, j->v);
    slab_put(j);
}
static void gone(void *arg)
{
    struct join *j = arg;
    for (int i = 0; i < N; i++) pg_query_abandon(&j->q[i]);
    slab_put(j);
}
static void handle_join(struct http *http)
{
    struct join *j = slab_get(sizeof *j);
    j->http = http; j->left = N; j->bad = 0;
    http_on_gone(http, gone, j);
    for (int i = 0; i < N; i++) {
        j->p[i] = pg_int4(1 + rand() % 10000);
        j->q[i] = (struct pg_query){
            .statement = &world, .params = &j->p[i], .nparams = 1, .on_row = take_join, .on_done = done, .data = j};
        pg_pool_query(pool, &j->q[i]);               /* on_done never inside: `left` cannot reach 0 in this loop */
    }
}
static void handle_fiber(struct pg_reactor *r, struct http *http)
{
    if (pg_fiber_spawn(r, fiber, http, NULL)) http_reply(http, 503, "", 0);
}
void app_handle(struct pg_reactor *reactor, struct http *http, uint64_t deadline_ns)
{
    (void)deadline_ns;
    if (http_arg(http, "fiber")) handle_fiber(reactor, http); else handle_join(http);
}
