/* unit/ears.h - listeners that remember what they were told, and check what always holds: no callback inside of a call,
 * on_state alternates, notifications only in between. Payloads are numbers. Included by test_pool_listen*.c. */
#ifndef UNIT_EARS_H
#define UNIT_EARS_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/world.h"

static const char news[] = "News \"Items\"";

struct ear {
    struct pg_listener listener;
    struct world *w;
    unsigned notified, up, down;
    int64_t last;              /* payloads are numbers, which rise by one within an up */
    bool listening, gap;
    unsigned calling_order;
    char payload[32];
    int32_t pid;
    void (*then)(struct ear *); /* inside of a notification */
    void (*when)(struct ear *); /* inside of on_state       */
};
static unsigned calls;
static bool inside;                 /* a call of the library: no callback may come */
#define CALL(what) (inside = true, (what), inside = false)

static inline void on_notify(struct pg_listener *l, struct pg_text payload, int32_t pid)
{
    struct ear *e = l->data;
    assert_false(inside);
    assert_true(e->listening);
    snprintf(e->payload, sizeof e->payload, "%.*s", (int)payload.size, payload.data);
    int64_t n = strtoll(e->payload, NULL, 10);
    if (e->last && n != e->last + 1) e->gap = true;
    e->last = n;
    e->pid = pid;
    e->notified++;
    e->calling_order = ++calls;
    if (e->then) e->then(e);
}
static inline void on_state(struct pg_listener *l, bool listening)
{
    struct ear *e = l->data;
    assert_false(inside);
    assert_int_equal(e->listening, !listening);
    e->listening = listening;
    e->last = 0;
    *(listening ? &e->up : &e->down) += 1;
    e->calling_order = ++calls;
    if (e->when) e->when(e);
}
static inline void ear_init(struct world *w, struct ear *e, const char *channel)
{
    *e = (struct ear){ .w = w, .listener = { .channel = channel, .on_notify = on_notify, .on_state = on_state } };
    e->listener.data = e;
}
static inline void ear_open(struct world *w, struct ear *e, const char *channel)
{
    int rc;
    ear_init(w, e, channel);
    CALL(rc = pg_pool_listen(w->pool, &e->listener, NULL));
    assert_int_equal(rc, 0);
}
static inline void ear_close(struct ear *e)
{
    CALL(pg_pool_unlisten(&e->listener));
    e->listening = false;
}
static inline void say(struct world *w, const char *channel, int64_t n)
{
    char payload[24];
    snprintf(payload, sizeof payload, "%lld", (long long)n);
    (void)model_server_notify(w->server, channel, payload);
}
static inline uint32_t conns(struct world *w) { return model_stats(w->server)->connections_now; }
static inline uint64_t made(struct world *w) { return model_stats(w->server)->connections_total; }
static inline struct model_conn *newest(struct world *w) { return model_conn_at(w->server, model_conn_count(w->server) - 1); }
static inline unsigned times_said(const struct model_conn *conn, const char *sql)
{
    unsigned n = 0;
    for (size_t i = 0; i < model_conn_sql_count(conn); i++) n += !strcmp(model_conn_sql(conn, i), sql);
    return n;
}

#endif
