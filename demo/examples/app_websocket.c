/* app_websocket.c - the stand-in for a server with websockets: three of them, an author who notifies, and an
 * administrator who ends the listening backend in between. Every socket must have the same, in order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app.h"
#include "ringpg.h"
#include "ringpg/loop.h"

enum { SOCKETS = 3, NEWS = 5 };
struct websocket {
    char seen[256];
    unsigned texts;
};
static struct websocket sockets[SOCKETS];
static struct pg_pool *pool;
static struct pg_reactor *reactor;
static struct pg_fiber driver;

struct websocket *websocket_next(struct websocket *w)
{
    w = w ? w + 1 : sockets;
    return w < sockets + SOCKETS ? w : NULL;
}
void websocket_text(struct websocket *w, const char *at, size_t size)
{
    size_t n = strlen(w->seen);
    snprintf(w->seen + n, sizeof w->seen - n, "%.*s;", (int)size, at);
    w->texts++;
    if (w == &sockets[SOCKETS - 1]) pg_fiber_unpark(driver);
}

static int until_texts(unsigned texts)
{
    uint64_t until = pg_reactor_now(reactor) + 20000000000;
    while (sockets[SOCKETS - 1].texts < texts)
        if (pg_fiber_park(until)) return 1;
    return 0;
}
static int ask(const char *sql)
{
    struct pg_query query = { .sql = sql };
    pg_pool_query(pool, &query);
    return pg_await(&query);
}

static void drive(void *arg)
{
    int *status = arg;
    char sql[64];
    driver = pg_fiber_self();
    if (websockets_open(pool) || until_texts(1)) return;
    for (int i = 1; i <= NEWS; i++) {
        snprintf(sql, sizeof sql, "SELECT pg_notify('News Items', '%d')", i);
        if (ask(sql) || until_texts(1 + (unsigned)i)) return;
    }
    if (ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN \"News Items\"'")) return;
    if (until_texts(2 + NEWS) || ask("NOTIFY \"News Items\", 'last'") || until_texts(3 + NEWS)) return;
    websockets_close();
    if (ask("NOTIFY \"News Items\", 'nobody is there'")) return;
    *status = 0;
}

int main(void)
{
    static const char due[] = "{\"resync\":1};1;2;3;4;5;{\"resync\":1};last;";
    struct pg_loop *loop;
    struct pg_error error;
    int status = 1;
    struct pg_pool_config config = PG_POOL_CONFIG(getenv("DATABASE_URL"));
    if (pg_loop_open(&loop, &error) || pg_pool_open(&pool, reactor = pg_loop_reactor(loop), &config, &error)) {
        fprintf(stderr, "%s\n", pg_error_field(&error, 'M'));
        return 1;
    }
    int rc = pg_loop_run(loop, drive, &status);
    pg_loop_close(loop);
    for (int i = 0; i < SOCKETS; i++) {
        printf("websocket %d: %s\n", i, sockets[i].seen);
        if (strcmp(sockets[i].seen, due) != 0) status = 1;
    }
    return rc || status;
}
