/* (a) An existing liburing loop that serves HTTP; the database joins the ring. Lines marked + are all that is added. */
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include "ringpg.h"                                                                             /* + */
#include "ringpg/uring.h"                                                                       /* + */
#include "app.h"

static struct pg_statement answer = { .sql = "SELECT 42", .name = "answer" };                   /* + */
static struct pg_pool *pool;                                                                    /* + */
struct request { struct http *http; struct pg_query query; int32_t value; };

static enum pg_flow take(struct pg_query *q, struct pg_row *row)
{
    ((struct request *)q->data)->value = pg_row_int4(row, 0);
    return PG_CONTINUE;
}
static void done(struct pg_query *q)
{
    struct request *request = q->data;
    char body[32];
    int size = snprintf(body, sizeof body, "db=%d", request->value);
    if (q->status) fprintf(stderr, "%s\n", pg_error_text(q->status));
    http_reply(request->http, q->status ? 503 : 200, body, (size_t)size);
    free(request);
}
static void handle(struct http *http)
{
    struct request *request = calloc(1, sizeof *request);
    if (!request) { http_reply(http, 503, "", 0); return; }
    request->http = http;
    request->query = (struct pg_query){ .statement = &answer, .on_row = take, .on_done = done, .data = request };
    pg_pool_query(pool, &request->query);
}

int main(void)
{
    struct io_uring ring;
    struct pg_error error;
    int rc = io_uring_queue_init(256, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (rc == -EINVAL) rc = io_uring_queue_init(256, &ring, 0);
    if (rc < 0) { fprintf(stderr, "skipped: no io_uring here\n"); return 77; }
    http_listen(&ring, 1000, handle);

    struct pg_uring *host = NULL;                                                               /* + */
    struct pg_reactor *reactor = NULL;                                                          /* + */
    struct pg_uring_config uring_config = { .size = sizeof uring_config, .ring = &ring };       /* + */
    if (pg_uring_open(&host, &uring_config, &error)) goto failed;                               /* + */
    struct pg_reactor_config reactor_config = PG_REACTOR_CONFIG(pg_uring_host(host));           /* + */
    struct pg_pool_config pool_config = PG_POOL_CONFIG(getenv("DATABASE_URL"));                 /* + */
    if (pg_reactor_open(&reactor, &reactor_config, &error)) goto failed;                        /* + */
    if (pg_pool_open(&pool, reactor, &pool_config, &error)) goto failed;                        /* + */

    for (;;) {
        int64_t wait = pg_reactor_turn(reactor);                                                /* + */
        if (wait == PG_WAIT_CLOSED) break;                                                      /* + */
        http_flush(&ring);                           /* after the turn: it resumes handlers, and they answer */

        struct io_uring_cqe *cqe;
        struct __kernel_timespec ts = { .tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000 };
        rc = wait == 0 ? io_uring_submit(&ring)      /* with DEFER_TASKRUN submit() alone reaps nothing ... */
                       : io_uring_submit_and_wait_timeout(&ring, &cqe, 1, wait < 0 ? NULL : &ts, NULL);
        if (rc < 0 && rc != -ETIME && rc != -EINTR) break;
        if (wait == 0) io_uring_get_events(&ring);   /* ... so this */

        unsigned head, n = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            n++;
            if (pg_uring_complete(host, cqe)) continue;                                         /* + */
            struct op *op = io_uring_cqe_get_data(cqe);
            op->complete(op, cqe->res, cqe->flags);
        }
        io_uring_cq_advance(&ring, n);
        if (http_done()) pg_reactor_close(reactor, 0);                                          /* + */
    }
    pg_reactor_free(reactor);                                                                   /* + */
    pg_uring_close(host);                                                                       /* + */
    io_uring_queue_exit(&ring);
    return http_report();
failed:
    fprintf(stderr, "%s\n", pg_error_field(&error, 'M'));
    pg_reactor_free(reactor);
    pg_uring_close(host);
    io_uring_queue_exit(&ring);
    return 1;
}
