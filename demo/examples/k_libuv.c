/* (k) libuv, the easy way: pg_epoll has one descriptor, and any loop that can watch one can carry the database. */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>
#include "ringpg.h"
#include "ringpg/epoll.h"

struct easy {
    struct pg_epoll *epoll;
    struct pg_reactor *reactor;
    uv_poll_t poll;
    uv_prepare_t prepare;
    uv_timer_t timer;
};

static void easy_close(struct easy *e)
{
    uv_close((uv_handle_t *)&e->poll, NULL);
    uv_close((uv_handle_t *)&e->prepare, NULL);
    uv_close((uv_handle_t *)&e->timer, NULL);
}
static void tick(uv_timer_t *t) { (void)t; }
static void easy_readable(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    (void)!pg_epoll_dispatch(((struct easy *)p->data)->epoll, 0);
}
static void easy_prepare(uv_prepare_t *p)            /* libuv's "before it blocks" */
{
    struct easy *e = p->data;
    int64_t wait = pg_reactor_turn(e->reactor);
    if (wait == PG_WAIT_CLOSED) easy_close(e);
    else if (wait < 0) uv_timer_stop(&e->timer);
    else uv_timer_start(&e->timer, tick, (uint64_t)(wait + 999999) / 1000000, 0); /* rounded UP, else it spins */
}
static int easy_open(struct easy *e, uv_loop_t *loop, struct pg_error *error)
{
    int rc = pg_epoll_open(&e->epoll, error);
    if (rc) return rc;
    struct pg_reactor_config c = PG_REACTOR_CONFIG(pg_epoll_host(e->epoll));
    if ((rc = pg_reactor_open(&e->reactor, &c, error))) { pg_epoll_close(e->epoll); return rc; }
    e->poll.data = e->prepare.data = e;
    uv_timer_init(loop, &e->timer);
    uv_prepare_init(loop, &e->prepare);
    uv_prepare_start(&e->prepare, easy_prepare);
    uv_poll_init(loop, &e->poll, pg_epoll_fd(e->epoll));
    return uv_poll_start(&e->poll, UV_READABLE, easy_readable);
}

/* ---- a program on it: a uv timer asks ten times, each answer is counted ------------------------------------------ */
enum { ASKS = 10 };
static struct pg_statement echo = PG_STATEMENT("SELECT $1::int8 + 41", PG_TYPE_INT8);
static struct easy easy;
static struct pg_pool *pool;
static struct ask { struct pg_query query; struct pg_param param; } asks[ASKS];
static int asked, ended, right;

static enum pg_flow take(struct pg_query *q, struct pg_row *row)
{
    struct ask *ask = q->data;
    right += pg_row_int8(row, 0) == ask->param.u.i + 41;
    return PG_CONTINUE;
}
static void done(struct pg_query *q)
{
    if (q->status) fprintf(stderr, "%s\n", pg_error_text(q->status));
    if (++ended == ASKS) pg_reactor_close(easy.reactor, 0);
}
static void ask(uv_timer_t *timer)                   /* the program's own event, as its sockets would be */
{
    struct ask *a = &asks[asked++];
    a->param = pg_int8(asked);
    a->query = (struct pg_query){
        .statement = &echo, .params = &a->param, .nparams = 1, .on_row = take, .on_done = done, .data = a};
    pg_pool_query(pool, &a->query);
    if (asked == ASKS) uv_close((uv_handle_t *)timer, NULL);
}
int main(void)
{
    struct pg_error error;
    struct pg_pool_config config = PG_POOL_CONFIG(getenv("DATABASE_URL"));
    uv_loop_t *loop = uv_default_loop();
    uv_timer_t timer;
    if (easy_open(&easy, loop, &error) || pg_pool_open(&pool, easy.reactor, &config, &error)) {
        fprintf(stderr, "%s\n", pg_error_field(&error, 'M'));
        return 1;
    }
    uv_timer_init(loop, &timer);
    uv_timer_start(&timer, ask, 0, 1);
    uv_run(loop, UV_RUN_DEFAULT);
    pg_reactor_free(easy.reactor);
    pg_epoll_close(easy.epoll);
    uv_loop_close(loop);
    printf("%d asked, %d answered, %d right\n", asked, ended, right);
    return right == ASKS ? 0 : 1;
}
