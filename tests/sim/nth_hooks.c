/* sim/nth_hooks.c - hooks for the scenarios of nth_failure.h: each runs a query on its connection and ends with its
 * outcome, except for the first prepare_conn, which never ends: so a handle has to be made anew. */
#include <string.h>
#include "sim/nth_failure.h"

enum { CALLS = 400 };
static struct call {
    struct pg_hook *hook;
    struct pg_query query;
} calls[CALLS];
static unsigned ncalls;
static bool never;

static void query_done(struct pg_query *q)
{
    struct call *c = q->data;
    pg_hook_done(c->hook, q->status ? PG_E_LOST : 0);
}

static void run(void *arg, struct pg_hook *hook, struct pg_lease *lease)
{
    (void)arg;
    assert_true(ncalls < CALLS);
    struct call *c = &calls[ncalls++];
    c->hook = hook;
    c->query = (struct pg_query){ .sql = "ECHO hook", .on_done = query_done, .data = c };
    pg_lease_query(lease, &c->query);
}

static void before_connect(void *arg, struct pg_hook *hook)
{
    (void)arg;
    pg_hook_done(hook, pg_hook_set(hook, "password", "secret"));
}

static void prepare_conn(void *arg, struct pg_hook *hook, struct pg_lease *lease)
{
    if (!never) run(arg, hook, lease);
    never = false;
}

void set_hooks(struct pg_pool_config *config)
{
    ncalls = 0;
    never = true;
    config->before_connect = before_connect;
    config->after_connect = config->after_release = config->before_close = run;
    config->prepare_conn = prepare_conn;
}
