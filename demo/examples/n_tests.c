/* (n) The user's own tests of the transfer (b): no server, no socket, no clock. The other half of app.h, which here is
 * one request in the test's hands. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app.h"
#include "ringpg.h"
#include "ringpg/testing.h"

#define CHECK(holds) ((holds) ? (void)0 : failed(__LINE__, #holds))
static const uint64_t MS = 1000000, SECOND = 1000000000;

struct pg_pool *pool;
static struct http { int64_t from, to, amount; int status; void (*gone)(void *); void *arg; } client;

static _Noreturn void failed(int line, const char *what)
{
    fprintf(stderr, "n_tests.c:%d: %s\n", line, what);
    exit(1);
}
void *slab_get(size_t size) { return calloc(1, size); }
void slab_put(void *at) { free(at); }
int64_t http_arg(const struct http *h, const char *name)
{
    return !strcmp(name, "from") ? h->from : !strcmp(name, "to") ? h->to : h->amount;
}
void http_on_gone(struct http *h, void (*gone)(void *), void *arg) { h->gone = gone; h->arg = arg; }
void http_reply(struct http *h, int status, const char *body, size_t size)
{
    (void)body, (void)size;
    CHECK(h->status == 0);                           /* one answer, and none after the client has gone */
    h->status = status;
}

/* ---- the scripted server: account 7 is empty, 9 does not exist; every update takes its time */
struct script { const char *drop, *conflict; unsigned committed, rolled_back; };
static void server(void *arg, struct pg_fake_query *q)
{
    struct script *script = arg;
    const char *sql = pg_fake_sql(q);
    if (script->drop && strstr(sql, script->drop)) { pg_fake_drop(q); return; }
    if (script->conflict && strstr(sql, script->conflict)) {
        pg_fake_error(q, "40001", "could not serialize access");
        return;
    }
    script->committed += !strcmp(sql, "COMMIT");
    script->rolled_back += !strcmp(sql, "ROLLBACK");
    if (!strstr(sql, "UPDATE")) return;              /* BEGIN, COMMIT, ROLLBACK: the server knows them by itself */
    int64_t id = pg_value_int8(pg_fake_param(q, 1));
    CHECK(pg_value_int8(pg_fake_param(q, 0)) == client.amount);
    CHECK(pg_fake_transaction(q) == 'T');            /* whatever happens, it happens in a transaction */
    pg_fake_delay(q, 1 * MS);
    pg_fake_complete(q, id == 7 || id == 9 ? "UPDATE 0" : "UPDATE 1");
}

enum { STAYS, HANGS_UP, NO_SERVER };
static int transfer(int64_t from, int64_t to, struct script *script, int how)
{
    struct pg_fake *fake;
    struct pg_reactor *reactor;
    struct pg_error error = { .text = "" };
    char left[1000];
    CHECK(!pg_fake_open(&fake, 1));
    pg_fake_answer(fake, server, script);
    if (how == NO_SERVER) pg_fake_connects(fake, PG_FAKE_REFUSE);
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(pg_fake_host(fake));
    struct pg_pool_config pc = PG_POOL_CONFIG("host=127.0.0.1 user=app pool_max_conns=1");
    pc.flags = PG_POOL_STRING_ONLY; /* the same test on every machine */
    CHECK(!pg_reactor_open(&reactor, &rc, &error) && !pg_pool_open(&pool, reactor, &pc, &error));

    client = (struct http){ .from = from, .to = to, .amount = 10 };
    app_handle(reactor, &client, pg_reactor_now(reactor) + 1 * SECOND);
    pg_fake_run(fake, MS / 2);                       /* the first update is at the server, and not answered */
    if (how == HANGS_UP) {
        client.gone(client.arg);
        client.status = -1;
    }
    pg_fake_run(fake, 2 * SECOND);
    CHECK(client.status);                            /* answered before its deadline, or gone */
    if (pg_fake_leak_report(fake, left, sizeof left)) fputs(left, stderr);
    CHECK(pg_fake_leaks(fake) == 0);

    pg_reactor_close(reactor, 0);
    pg_fake_run(fake, 0);
    CHECK(pg_fake_connections(fake) == 0);
    pg_reactor_free(reactor);
    pg_fake_close(fake);
    return client.status;
}

int main(void)
{
    struct script script = { 0 };
    CHECK(transfer(1, 2, &script, STAYS) == 200 && script.committed == 1 && script.rolled_back == 0);
    script = (struct script){ 0 };
    CHECK(transfer(7, 2, &script, STAYS) == 409 && script.committed == 0 && script.rolled_back == 1);
    script = (struct script){ 0 };
    CHECK(transfer(1, 9, &script, STAYS) == 404 && script.committed == 0 && script.rolled_back == 1);
    script = (struct script){ .conflict = "+ $1" };
    CHECK(transfer(1, 2, &script, STAYS) == 409 && script.rolled_back == 1);
    script = (struct script){ .drop = "COMMIT" };    /* unknown outcome: neither a 200 nor a reason to try again */
    CHECK(transfer(1, 2, &script, STAYS) == 502);
    script = (struct script){ 0 };
    transfer(1, 2, &script, HANGS_UP);               /* in the middle: no leak, no answer, nothing committed */
    CHECK(script.committed == 0);
    script = (struct script){ 0 };
    CHECK(transfer(1, 2, &script, NO_SERVER) == 503);
    puts("7 transfers, all as they should be");
    return 0;
}
