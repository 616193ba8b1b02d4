/* (b) Transfer, callback style: acquire, BEGIN, two updates, COMMIT; the client may hang up at any moment. */
#include <string.h>
#include "ringpg.h"
#include "transfer.h"

static struct pg_statement debit = PG_STATEMENT(
    "UPDATE account SET balance = balance - $1 WHERE id = $2 AND balance >= $1", PG_TYPE_INT8, PG_TYPE_INT8);
static struct pg_statement credit = PG_STATEMENT("UPDATE account SET balance = balance + $1 WHERE id = $2",
                                                 PG_TYPE_INT8, PG_TYPE_INT8);
struct transfer {
    struct http *http;
    struct pg_lease lease;
    struct pg_query begin, query;
    struct pg_param params[2];                       /* here, not on the stack: they live until the outcome */
};
extern struct pg_pool *pool;

static void finish(struct transfer *t, int status, const char *text)
{
    pg_lease_abandon(&t->lease);                     /* any state: rolls back what is open */
    http_on_gone(t->http, NULL, NULL);
    http_reply(t->http, status, text, strlen(text));
    slab_put(t);
}
static void gone(void *arg)                          /* parked, or a query runs: the same three lines */
{
    struct transfer *t = arg;
    pg_lease_abandon(&t->lease);                     /* after this no callback comes, the slab is mine */
    slab_put(t);
}
static bool failed(struct transfer *t, struct pg_query *q)
{
    if (q->status == PG_OK) return false;
    if (q->status == PG_E_SERVER && (!strcmp(q->sqlstate, "40001") || !strcmp(q->sqlstate, "40P01")))
        finish(t, 409, "try again\n");
    else if (q->status == PG_E_SERVER) finish(t, 500, "database error\n");
    else if (q->sent == PG_SENT_NO) finish(t, 503, "busy\n");
    else finish(t, 502, q == &t->query && q->statement == &pg_commit ? "outcome unknown\n" : "database lost\n");
    return true;
}
static void committed(struct pg_query *q)
{
    struct transfer *t = q->data;
    if (failed(t, q)) return;                        /* COMMIT answered by ROLLBACK is PG_E_ROLLED_BACK */
    finish(t, 200, "ok\n");
}
static void credited(struct pg_query *q)
{
    struct transfer *t = q->data;
    if (failed(t, q)) return;
    if (q->rows != 1) { finish(t, 404, "no such account\n"); return; }
    *q = (struct pg_query){ .statement = &pg_commit, .on_done = committed, .data = t };
    pg_lease_query(&t->lease, q);
}
static void debited(struct pg_query *q)
{
    struct transfer *t = q->data;
    if (failed(t, q)) return;
    if (q->rows != 1) { finish(t, 409, "funds are short\n"); return; }
    t->params[1] = pg_int8(http_arg(t->http, "to"));
    *q = (struct pg_query){ .statement = &credit, .params = t->params, .nparams = 2, .on_done = credited, .data = t };
    pg_lease_query(&t->lease, q);
}
static void granted(struct pg_lease *lease, int status)
{
    struct transfer *t = lease->data;
    if (status) { finish(t, 503, "busy\n"); return; }
    t->params[0] = pg_int8(http_arg(t->http, "amount"));
    t->params[1] = pg_int8(http_arg(t->http, "from"));
    t->query = (struct pg_query){.statement = &debit, .params = t->params, .nparams = 2, .on_done = debited, .data = t};
    t->begin = (struct pg_query){ .statement = &pg_begin, .next = &t->query };   /* one flight, one Sync */
    pg_lease_query(lease, &t->begin);
}
void app_handle(struct pg_reactor *reactor, struct http *http, uint64_t deadline_ns)
{
    (void)reactor;
    struct transfer *t = slab_get(sizeof *t);
    *t = (struct transfer){ .http = http,
                           .lease = { .on_grant = granted, .deadline_ns = deadline_ns, .tag = PG_HERE, .data = t } };
    http_on_gone(http, gone, t);
    pg_pool_acquire(pool, &t->lease);                /* no return value, no second error path */
}
