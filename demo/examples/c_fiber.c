/* (c) The same transfer as a fiber. */
#include <string.h>
#include "ringpg.h"
#include "transfer.h"

static struct pg_statement debit = PG_STATEMENT(
    "UPDATE account SET balance = balance - $1 WHERE id = $2 AND balance >= $1", PG_TYPE_INT8, PG_TYPE_INT8);
static struct pg_statement credit = PG_STATEMENT("UPDATE account SET balance = balance + $1 WHERE id = $2",
                                                 PG_TYPE_INT8, PG_TYPE_INT8);
extern struct pg_pool *pool;
struct job { struct http *http; struct pg_fiber fiber; uint64_t deadline_ns; };

static int update(struct pg_lease *lease, struct pg_statement *s, int64_t amount, int64_t id)
{
    struct pg_param p[] = { pg_int8(amount), pg_int8(id) };
    struct pg_query q = { .statement = s, .params = p, .nparams = 2 };
    pg_lease_query(lease, &q);
    int rc = pg_await(&q); /* cancelled: q has been abandoned before it returns; the stack is safe */
    return rc ? rc : (int)q.rows;
}
static int transfer(struct pg_lease *lease, void *arg)
{
    struct job *job = arg;
    int64_t amount = http_arg(job->http, "amount");
    int rc = update(lease, &debit, amount, http_arg(job->http, "from"));
    if (rc <= 0) return rc ? rc : 409;
    rc = update(lease, &credit, amount, http_arg(job->http, "to"));
    return rc < 0 ? rc : rc == 0 ? 404 : 0;
}
static void answer(struct http *http, int rc)
{
    const char *text = rc == 0 ? "ok\n" : rc == 409 ? "funds are short\n" : rc == 404 ? "no such account\n" : "busy\n";
    http_on_gone(http, NULL, NULL);
    http_reply(http, rc == 0 ? 200 : rc > 0 ? rc : 503, text, strlen(text));
}
static void run(void *arg)
{
    struct job *job = arg;
    int rc = pg_await_transaction(pool, NULL, 3, job->deadline_ns, transfer, job,
                                  NULL);             /* positive: body's own, rolled back */
    if (rc != PG_E_CANCELLED) answer(job->http, rc); /* cancelled: the client is gone, nobody to answer */
    slab_put(job); /* legal: nothing of the library lives in it, the handle is by value */
}
static void gone(void *arg) { pg_fiber_cancel(((struct job *)arg)->fiber); }

void app_handle(struct pg_reactor *reactor, struct http *http, uint64_t deadline_ns)
{
    struct job *job = slab_get(sizeof *job);
    *job = (struct job){ .http = http, .deadline_ns = deadline_ns };
    if (pg_fiber_spawn(reactor, run, job, &job->fiber)) { http_reply(http, 503, "busy\n", 5); slab_put(job); return; }
    http_on_gone(http, gone, job); /* safe order only because spawn never runs the fiber inside the call */
}
