/* (k) libuv, the direct way: the seam implemented on uv_poll. Where k_libuv.c watches one descriptor and lets pg_epoll
 * do the rest, here each of the database's sockets is a handle of the program's own loop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <uv.h>
#include "ringpg.h"
#include "ringpg/host.h"

struct uv_host {
    struct pg_host host;                             /* first */
    uv_loop_t *loop;
    uv_async_t async;
    uv_prepare_t prepare;
    uv_timer_t timer;
};
struct uv_socket {                                   /* host_data: no table from descriptor to record is needed */
    uv_poll_t poll;
    int fd, events;
    struct pg_completion *out, *in;
    const void *out_at;
    void *in_at;
    size_t out_size, in_size;
};

/* ---- moving bytes ------------------------------------------------------------------------------------------------ */
static void ready(uv_poll_t *poll, int status, int events);
static void watch(struct uv_socket *s)
{
    int events = (s->out ? UV_WRITABLE : 0) | (s->in ? UV_READABLE : 0);
    if (events == s->events) return;
    s->events = events;
    if (events) uv_poll_start(&s->poll, events, ready);
    else uv_poll_stop(&s->poll);
}
/* The result, or -EAGAIN: it goes on waiting. */
static ssize_t try_send(struct uv_socket *s)
{
    ssize_t n = send(s->fd, s->out_at, s->out_size, MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}
static ssize_t try_recv(struct uv_socket *s)
{
    ssize_t n = recv(s->fd, s->in_at, s->in_size, 0);
    return n < 0 ? -errno : n;
}
static void ready(uv_poll_t *poll, int status, int events)
{
    struct uv_socket *s = poll->data;
    struct pg_completion *out = s->out, *in = s->in;
    (void)status;                                    /* an error of the socket is what send and recv say too */
    ssize_t wrote = out && (status || events & UV_WRITABLE) ? try_send(s) : -EAGAIN;
    ssize_t got = in && (status || events & UV_READABLE) ? try_recv(s) : -EAGAIN;
    if (wrote == -EAGAIN) out = NULL;
    else s->out = NULL;
    if (got == -EAGAIN) in = NULL;
    else s->in = NULL;
    watch(s);
    /* complete(out) may unbind s: but only with nothing in flight, and `in` is in flight until complete(in). So out
     * comes first, in second, and s is not touched after either. */
    if (out) out->complete(out, (int32_t)wrote);
    if (in) in->complete(in, (int32_t)got);
}

/* ---- the seam ---------------------------------------------------------------------------------------------------- */
static int host_bind(struct pg_host *h, struct pg_socket *socket)
{
    struct uv_socket *s = calloc(1, sizeof *s);
    if (!s) return -ENOMEM;
    s->fd = socket->fd;
    s->poll.data = s;
    socket->host_data = s;
    int rc = uv_poll_init(((struct uv_host *)h)->loop, &s->poll, socket->fd);
    if (rc) free(s);
    return rc;
}
static void freed(uv_handle_t *handle) { free(handle->data); }
static void host_unbind(struct pg_host *h, struct pg_socket *socket)
{
    struct uv_socket *s = socket->host_data;
    (void)h;
    uv_close((uv_handle_t *)&s->poll, freed);
}
static int host_send(struct pg_host *h, struct pg_socket *socket, const void *at, size_t size, struct pg_completion *c)
{
    struct uv_socket *s = socket->host_data;
    s->out_at = at;
    s->out_size = size;
    ssize_t n = try_send(s);                         /* eager: the usual case needs no poll */
    if (n == -EAGAIN || n == -ENOTCONN) {            /* full, or still connecting */
        s->out = c;
        watch(s);
    } else pg_host_finish(h, c, (int32_t)n);
    return 0;
}
static int host_recv(struct pg_host *h, struct pg_socket *socket, void *at, size_t size, struct pg_completion *c)
{
    struct uv_socket *s = socket->host_data;
    (void)h;
    s->in = c;
    s->in_at = at;
    s->in_size = size;
    watch(s);
    return 0;
}
static void host_cancel(struct pg_host *h, struct pg_socket *socket, struct pg_completion *c)
{
    struct uv_socket *s = socket->host_data;         /* why cancel takes the socket too */
    if (s->out == c) s->out = NULL;
    else if (s->in == c) s->in = NULL;
    else return;                                     /* already finished: its result stands */
    watch(s);
    pg_host_finish(h, c, -ECANCELED);
}
static void host_wake(struct pg_host *h) { uv_async_send(&((struct uv_host *)h)->async); }
static const struct pg_host_ops ops = {              /* open, shutdown, close, now, entropy: the library's own */
    .size = sizeof ops, .bind = host_bind, .unbind = host_unbind, .submit_send = host_send, .submit_recv = host_recv,
    .submit_cancel = host_cancel, .wake = host_wake};

/* ---- the loop ---------------------------------------------------------------------------------------------------- */
static void woken(uv_async_t *async) { (void)async; }
static void tick(uv_timer_t *timer) { (void)timer; }
static void before_it_blocks(uv_prepare_t *prepare)
{
    struct uv_host *h = prepare->data;
    int64_t wait = pg_reactor_turn(h->host.reactor);
    if (wait == PG_WAIT_CLOSED) {
        uv_close((uv_handle_t *)&h->async, NULL);
        uv_close((uv_handle_t *)&h->prepare, NULL);
        uv_close((uv_handle_t *)&h->timer, NULL);
    } else if (wait < 0) uv_timer_stop(&h->timer);
    else uv_timer_start(&h->timer, tick, (uint64_t)(wait + 999999) / 1000000, 0); /* rounded UP, else it spins */
}
static int host_open(struct uv_host *h, uv_loop_t *loop, struct pg_reactor **reactor, struct pg_error *error)
{
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&h->host);
    h->host.ops = &ops;
    h->loop = loop;
    h->prepare.data = h;
    int rc = pg_reactor_open(reactor, &config, error);
    if (rc) return rc;
    uv_async_init(loop, &h->async, woken);
    uv_timer_init(loop, &h->timer);
    uv_prepare_init(loop, &h->prepare);
    return uv_prepare_start(&h->prepare, before_it_blocks);
}

/* ---- a program on it --------------------------------------------------------------------------------------------- */
enum { ASKS = 50, LARGE = 3000000 };
static struct pg_statement length = PG_STATEMENT("SELECT length($1), $1", PG_TYPE_TEXT);
static struct pg_reactor *reactor;
static struct ask { struct pg_query query; struct pg_param text; } asks[ASKS];
static char text[LARGE];
static int ended, right;

static enum pg_flow take(struct pg_query *q, struct pg_row *row)
{
    struct ask *ask = q->data;
    right += pg_row_int4(row, 0) == (int)ask->text.size && pg_row_text(row, 1).size == ask->text.size;
    return PG_CONTINUE;
}
static void done(struct pg_query *q)
{
    if (q->status) fprintf(stderr, "%s\n", pg_error_text(q->status));
    if (++ended == ASKS) pg_reactor_close(reactor, 0);
}
int main(void)
{
    static struct uv_host host;
    struct pg_pool *pool;
    struct pg_error error;
    struct pg_pool_config config = PG_POOL_CONFIG(getenv("DATABASE_URL"));
    uv_loop_t *loop = uv_default_loop();
    if (host_open(&host, loop, &reactor, &error) || pg_pool_open(&pool, reactor, &config, &error)) {
        fprintf(stderr, "%s\n", pg_error_field(&error, 'M'));
        return 1;
    }
    for (int i = 0; i < LARGE; i++) text[i] = (char)('a' + i % 26);
    for (int i = 0; i < ASKS; i++) {                 /* the last ones fill every buffer on the way */
        asks[i].text = pg_strn(text, i < ASKS - 2 ? (size_t)i * 100 : LARGE);
        asks[i].query = (struct pg_query){
            .statement = &length, .params = &asks[i].text, .nparams = 1, .on_row = take, .on_done = done,
            .data = &asks[i]};
        pg_pool_query(pool, &asks[i].query);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    pg_reactor_free(reactor);
    uv_loop_close(loop);
    printf("%d asked, %d answered, %d right\n", ASKS, ended, right);
    return right == ASKS ? 0 : 1;
}
