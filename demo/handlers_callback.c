/* handlers_callback.c - handlers written with callbacks: each step names the next one.
 *
 * A handler's state lies in the connection's work memory, the parameters too: they live until the outcome. When the
 * client hangs up, `gone` takes the work back: after pg_query_abandon or pg_lease_abandon no callback comes, and the
 * memory is the connection's again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app.h"

/* ---- GET /: a prepared statement on the shared lane -------------------------------------------------------------- */
static struct pg_statement answer = { .sql = "SELECT 42", .name = "answer", .flags = PG_STATEMENT_REPEATABLE };
static struct pg_statement item = { .sql = "SELECT name FROM item WHERE id = $1", .types = { PG_TYPE_INT8 },
                                    .name = "item", .flags = PG_STATEMENT_REPEATABLE };
static struct pg_statement sum = { .sql = "SELECT sum(balance)::int8 FROM account", .name = "sum",
                                   .flags = PG_STATEMENT_REPEATABLE };

struct lookup {                                      /* one statement, one row, one answer */
    struct http *http;
    struct pg_query query;
    struct pg_param param;
    size_t size;
    char body[512];
};

static void lookup_gone(void *arg) { pg_query_abandon(&((struct lookup *)arg)->query); }

static void lookup_done(struct pg_query *query)
{
    struct lookup *lookup = query->data;
    if (query->status) app_reply_failed(lookup->http, query->status, query->sqlstate);
    else if (query->rows == 0) http_reply_text(lookup->http, 404, "no such item\n");
    else http_reply(lookup->http, 200, lookup->body, lookup->size);
}

static void look_up(struct app *app, struct http *http, struct pg_statement *statement, const int64_t *id,
                    enum pg_flow (*on_row)(struct pg_query *, struct pg_row *))
{
    struct lookup *lookup = http_work(http, sizeof *lookup);
    lookup->http = http;
    if (id) lookup->param = pg_int8(*id);
    lookup->query = (struct pg_query){ .statement = statement, .params = &lookup->param, .nparams = id != NULL,
                                       .deadline_ns = app_deadline(app, 0), .on_row = on_row, .on_done = lookup_done,
                                       .data = lookup };
    http_on_gone(http, lookup_gone, lookup);
    pg_pool_query(app->pool, &lookup->query);        /* no return value, no second error path */
}

static enum pg_flow take_answer(struct pg_query *query, struct pg_row *row)
{
    struct lookup *lookup = query->data;
    lookup->size = (size_t)snprintf(lookup->body, sizeof lookup->body, "db=%d", pg_row_int4(row, 0));
    return PG_CONTINUE;
}

void handle_root(struct app *app, struct http *http) { look_up(app, http, &answer, NULL, take_answer); }

/* ---- GET /sum: of all balances, which no transfer changes -------------------------------------------------------- */
static enum pg_flow take_sum(struct pg_query *query, struct pg_row *row)
{
    struct lookup *lookup = query->data;
    lookup->size = (size_t)snprintf(lookup->body, sizeof lookup->body, "%lld", (long long)pg_row_int8(row, 0));
    return PG_CONTINUE;
}

void handle_sum(struct app *app, struct http *http) { look_up(app, http, &sum, NULL, take_sum); }

/* ---- GET /item/ID ------------------------------------------------------------------------------------------------ */
static enum pg_flow take_item(struct pg_query *query, struct pg_row *row)
{
    struct lookup *lookup = query->data;
    struct pg_text name = pg_row_text(row, 0);       /* a view that dies with the row: copied */
    lookup->size = name.size < sizeof lookup->body ? name.size : sizeof lookup->body;
    if (lookup->size) memcpy(lookup->body, name.data, lookup->size);
    return PG_CONTINUE;
}

void handle_item(struct app *app, struct http *http)
{
    const char *digits = http_path(http) + strlen("/item/");
    int64_t id = 0;
    bool number = *digits != '\0';
    for (const char *at = digits; *at && number; at++)
        number = *at >= '0' && *at <= '9' && !__builtin_mul_overflow(id, (int64_t)10, &id) &&
                 !__builtin_add_overflow(id, (int64_t)(*at - '0'), &id);
    if (number) look_up(app, http, &item, &id, take_item);
    else http_reply_text(http, 400, "the id is no number\n");
}

/* ---- POST /transfer: a transaction on a lease -------------------------------------------------------------------- */
static struct pg_statement debit = PG_STATEMENT(
    "UPDATE account SET balance = balance - $1 WHERE id = $2 AND balance >= $1", PG_TYPE_INT8, PG_TYPE_INT8);
static struct pg_statement credit = PG_STATEMENT("UPDATE account SET balance = balance + $1 WHERE id = $2",
                                                 PG_TYPE_INT8, PG_TYPE_INT8);
static struct pg_statement account = PG_STATEMENT("SELECT balance FROM account WHERE id = $1", PG_TYPE_INT8);

struct transfer {
    struct app *app;
    struct http *http;
    struct pg_lease lease;
    struct pg_query begin, query;
    struct pg_param params[2];
    int64_t from, to, amount;
    int updated;                                     /* how many of the two updates are done */
};

static void finish(struct transfer *t, int status, const char *text)
{
    pg_lease_abandon(&t->lease);                     /* any state: what is open is rolled back */
    http_reply_text(t->http, status, text);
}

static void transfer_gone(void *arg) { pg_lease_abandon(&((struct transfer *)arg)->lease); }

static bool failed(struct transfer *t, struct pg_query *query)
{
    if (query->status == PG_OK) return false;
    pg_lease_abandon(&t->lease);
    if (strcmp(query->sqlstate, "22003") == 0)
        http_reply_text(t->http, 409, "funds are short\n"); /* more than a bigint holds: nobody has that much */
    else if (query->statement == &pg_commit && query->sent != PG_SENT_NO && query->status != PG_E_SERVER &&
             query->status != PG_E_ROLLED_BACK)
        http_reply_text(t->http, 503, "the outcome is unknown\n"); /* the COMMIT was sent, its answer never came */
    else
        app_reply_failed(t->http, query->status, query->sqlstate);
    return true;
}

static void committed(struct pg_query *query)
{
    struct transfer *t = query->data;
    if (!failed(t, query)) finish(t, 200, "ok\n");   /* a COMMIT that was answered by ROLLBACK is PG_E_ROLLED_BACK */
}

static void start_query(struct transfer *t, struct pg_statement *statement, uint16_t nparams,
                        void (*on_done)(struct pg_query *))
{
    t->query = (struct pg_query){ .statement = statement, .params = t->params, .nparams = nparams, .on_done = on_done,
                                  .deadline_ns = app_deadline(t->app, 0), .data = t };
}

static void account_seen(struct pg_query *query)
{
    struct transfer *t = query->data;
    if (failed(t, query)) return;
    if (query->rows) finish(t, 409, "funds are short\n");
    else finish(t, 404, "no such account\n");
}

static void updated(struct pg_query *query);

/* The update of the smaller id comes first, so that two opposite transfers cannot wait for each other. */
static void prepare_update(struct transfer *t)
{
    bool debits = (t->updated == 0) == (t->from <= t->to);
    t->params[0] = pg_int8(t->amount);
    t->params[1] = pg_int8(debits ? t->from : t->to);
    start_query(t, debits ? &debit : &credit, 2, updated);
}

static void updated(struct pg_query *query)
{
    struct transfer *t = query->data;
    if (failed(t, query)) return;
    if (query->rows != 1 && query->statement == &credit) {
        finish(t, 404, "no such account\n");
        return;
    }
    if (query->rows != 1) {                          /* no such account, or too little on it? */
        t->params[0] = pg_int8(t->from);
        start_query(t, &account, 1, account_seen);
    } else if (++t->updated == 1) {
        prepare_update(t);
    } else {
        start_query(t, &pg_commit, 0, committed);
    }
    pg_lease_query(&t->lease, &t->query);
}

static void granted(struct pg_lease *lease, int status)
{
    struct transfer *t = lease->data;
    if (status) {
        app_reply_failed(t->http, status, "");
        return;
    }
    prepare_update(t);
    t->begin = (struct pg_query){ .statement = &pg_begin, .next = &t->query, .deadline_ns = t->query.deadline_ns };
    pg_lease_query(lease, &t->begin);                /* one flight, one Sync */
}

void handle_transfer(struct app *app, struct http *http)
{
    struct transfer *t = http_work(http, sizeof *t);
    t->app = app;
    t->http = http;
    if (!http_arg_int8(http, "from", &t->from) || !http_arg_int8(http, "to", &t->to) ||
        !http_arg_int8(http, "amount", &t->amount) || t->amount <= 0) {
        http_reply_text(http, 400, "POST /transfer?from=A&to=B&amount=N, N > 0\n");
        return;
    }
    t->lease = (struct pg_lease){ .on_grant = granted, .deadline_ns = app_deadline(app, 0), .tag = PG_HERE, .data = t };
    http_on_gone(http, transfer_gone, t);
    pg_pool_acquire(app->pool, &t->lease);
}
