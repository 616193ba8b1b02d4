/* handlers_fiber.c - a handler written as straight code: every pg_await parks the fiber, the completion resumes it.
 *
 * The query and the lease lie on the fiber's own stack. When the client hangs up the fiber is cancelled: the await it
 * stands in returns PG_E_CANCELLED in a later turn, with the query already abandoned. Until the fiber ends it holds the
 * connection's memory with a pin. */
#include "app.h"

enum { SLOW_MAX_MS = 10000 };

static struct pg_statement nap = PG_STATEMENT("SELECT pg_sleep($1)", PG_TYPE_FLOAT8);

struct slow {
    struct app *app;
    struct http *http;
    struct pg_fiber fiber;
    int64_t ms;
};

static void run_slow(void *arg)
{
    struct slow *slow = arg;
    struct pg_lease lease = { .deadline_ns = app_deadline(slow->app, 0), .tag = PG_HERE };
    int rc = pg_await_acquire(slow->app->pool, &lease);
    struct pg_param seconds = pg_float8((double)slow->ms / 1000);
    struct pg_query query = { .statement = &nap, .params = &seconds, .nparams = 1 };
    if (rc == 0) {
        query.deadline_ns = app_deadline(slow->app, (uint64_t)slow->ms * 1000000);
        pg_lease_query(&lease, &query);
        rc = pg_await(&query);
    }
    pg_lease_abandon(&lease);                        /* held or not, idle or not: the right word for every way out */
    if (rc == 0) http_reply_text(slow->http, 200, "ok\n");
    else if (rc != PG_E_CANCELLED) app_reply_failed(slow->http, rc, query.sqlstate);
    http_unpin(slow->http);
}

static void slow_gone(void *arg) { pg_fiber_cancel(((struct slow *)arg)->fiber); }

void handle_slow(struct app *app, struct http *http)
{
    struct slow *slow = http_work(http, sizeof *slow);
    slow->app = app;
    slow->http = http;
    if (!http_arg_int8(http, "ms", &slow->ms) || slow->ms < 0 || slow->ms > SLOW_MAX_MS) {
        http_reply_text(http, 400, "GET /slow?ms=N, N from 0 to 10000\n");
        return;
    }
    if (pg_fiber_spawn(app->reactor, run_slow, slow, &slow->fiber)) {
        http_reply_text(http, 503, "too many handlers\n");
        return;
    }
    http_pin(http); /* in this order, since a spawn never runs the fiber inside the call */
    http_on_gone(http, slow_gone, slow);
}
