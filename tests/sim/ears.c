/* sim/ears.c - listeners that come and go, and somebody at the server who notifies them. Each notification of a channel
 * carries the next number of that channel, so that one that is lost, doubled or out of order cannot go unheard between
 * on_state(true) and on_state(false); and what a listener has not heard when it was told true it need not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pool/state.h"
#include "sim/pg_sim.h"

static const char *const names[CHANNELS] = { "a", "News \"Items\"", "third" };

struct ear {
    struct live live; /* first */
    struct run *run;
    struct pg_listener listener;
    unsigned channel;
    bool listening;
    int64_t since, last; /* what had been notified when it was told true; the last that it has heard */
};

static void bury(struct ear *e)
{
    struct run *r = e->run;
    table_remove(&r->ears, &e->live);
    heap_bury(&r->heap, e);
}

/* ---- notifications ---- */

enum { DIGITS = 20, LONGEST = 1500 };

static void write_payload(char *to, size_t size, int64_t n)
{
    uint64_t left = (uint64_t)n;
    for (size_t i = DIGITS; i--; left /= 10) to[i] = (char)('0' + left % 10);
    unsigned letter = (unsigned)((uint64_t)n % 26);
    for (size_t i = DIGITS; i < size; i++, letter = letter == 25 ? 0 : letter + 1) to[i] = (char)('a' + letter);
    to[size] = 0;
}

void ears_notify(struct scene *w, unsigned channel)
{
    struct run *first = &w->run[0];
    char payload[LONGEST + 1];
    size_t size = DIGITS + (pick(first, 10) ? 0 : pick(first, LONGEST - DIGITS));
    write_payload(payload, size, ++w->notified[channel]);
    (void)model_server_notify(w->server, names[channel], payload);
}

static void on_notify(struct pg_listener *listener, struct pg_text payload, int32_t pid)
{
    struct ear *e = listener->data;
    struct run *r = e->run;
    char due[LONGEST + 1], digits[DIGITS + 1] = "";
    REQUIRE(!r->calling, "on_notify inside of a call");
    REQUIRE(e->listening, "notified without being told that it listens");
    REQUIRE(pid == 1 && payload.size >= DIGITS && payload.size <= LONGEST, "a notification of %zu bytes from %d",
            payload.size, pid);
    memcpy(digits, payload.data, DIGITS);
    int64_t n = strtoll(digits, NULL, 10);
    write_payload(due, payload.size, n);
    REQUIRE(!memcmp(due, payload.data, payload.size), "notification %lld: its text is another's", (long long)n);
    REQUIRE(n <= r->scene->notified[e->channel], "heard what nobody has said");
    if (e->last) REQUIRE(n == e->last + 1, "%lld came behind %lld", (long long)n, (long long)e->last);
    else REQUIRE(n <= e->since + 1, "%lld is the first, and %lld was due", (long long)n, (long long)e->since + 1);
    e->last = n;
    noted(r, (uint64_t)n);
    act_in_callback(r);
}

static void on_state(struct pg_listener *listener, bool listening)
{
    struct ear *e = listener->data;
    struct run *r = e->run;
    REQUIRE(!r->calling, "on_state inside of a call");
    REQUIRE(e->listening != listening, "told %s twice", listening ? "true" : "false");
    REQUIRE(!listening || !r->closing, "told true, and the pool is closing");
    trace("ear %u on %s: %s", e->live.id, names[e->channel], listening ? "listens" : "is cut off");
    e->listening = listening;
    e->since = r->scene->notified[e->channel];
    e->last = 0;
    noted(r, listening);
    act_in_callback(r);
}

/* ---- who listens ---- */

static void come(struct run *r)
{
    if (r->closed || r->ears.count >= r->set.listeners) return;
    struct ear *e = heap_actor(sizeof *e);
    struct pg_error error;
    int rc;
    e->run = r;
    e->channel = (unsigned)pick(r, CHANNELS);
    e->listener.channel = names[e->channel];
    e->listener.on_notify = on_notify;
    e->listener.on_state = on_state;
    e->listener.data = e;
    table_add(&r->ears, &e->live);
    CALL(r, rc = pg_pool_listen(r->pool, &e->listener, &error));
    trace("ear %u listens to %s: %s", e->live.id, names[e->channel], pg_error_name(rc));
    REQUIRE(rc == (r->closing ? PG_E_CLOSED : 0) || (rc == -ENOMEM && r->heap.fail), "pg_pool_listen: %s",
            pg_error_name(rc));
    r->listened |= rc == 0;
    if (rc) bury(e);
}

static void go(struct ear *e)
{
    struct run *r = e->run;
    trace("ear %u listens no more", e->live.id);
    CALL(r, pg_pool_unlisten(&e->listener));
    if (pick(r, 4) == 0) CALL(r, pg_pool_unlisten(&e->listener));
    bury(e);
}

void ears_act(struct run *r)
{
    if (!r->set.listeners || r->closed) return;
    uint64_t go_on = pick(r, 3);
    if (go_on || !r->ears.count) come(r);
    else go(table_any(&r->ears, pick(r, r->ears.count)));
    if (r->ears.count && pick(r, 20) == 0) /* all at once */
        while (r->ears.count) go(table_any(&r->ears, 0));
}

void ears_closed(struct run *r)
{
    while (r->ears.count) {
        struct ear *e = table_any(&r->ears, 0);
        REQUIRE(!e->listening, "the pool is closed, and one was not told that it listens no more");
        if (pick(r, 2)) CALL(r, pg_pool_unlisten(&e->listener)); /* nothing happens */
        bury(e);
    }
}

static void tick(void *arg)
{
    struct run *r = arg;
    if (r->scene->healed || r->scene->over) return;
    uint64_t burst = pick(r, 20) ? 1 + pick(r, 4) : pick(r, 300);
    for (unsigned channel = (unsigned)pick(r, CHANNELS); burst; burst--) ears_notify(r->scene, channel);
    if (pick(r, 2)) ears_act(r);
    sim_after(r->sim, pick(r, 2 * r->set.notify_every_ns), tick, r);
}

void ears_draw(struct run *r)
{
    r->set.listeners = pick(r, 3) ? 0 : 1 + (uint32_t)pick(r, 5);
    r->set.notify_every_ns = (1 + pick(r, 100)) * MS;
}

void ears_begin(struct run *r)
{
    if (!r->set.listeners) return;
    if (pick(r, 2)) come(r);
    sim_after(r->sim, pick(r, r->set.notify_every_ns), tick, r);
}

/* ---- at rest ---- */

/* There may be no primary among the hosts that are looked for: then one connection follows the other. */
bool ears_restless(const struct run *r)
{
    if (r->scene->run[0].set.hosts == 1 || !r->ears.count) return false;
    return strcmp(r->set.target, "primary") && strcmp(r->set.target, "read-write");
}

/* The budget is used up. */
static bool excused(const struct run *r)
{
    const struct scene *w = r->scene;
    uint32_t in_hand = 0;
    if (ears_restless(r)) return true;
    for (const struct run *other = w->run; other < w->run + w->runs; other++)
        if (!other->closed) in_hand += other->pool->purse.slots;
    const struct rp_purse *p = &r->pool->purse;
    return w->budget && p->waiting && p->slots <= p->sure && in_hand >= w->connections;
}

/* Its connection stands, or there is none: since nobody listens, or none is to be had. */
bool ears_at_rest(const struct run *r, uint32_t *conns)
{
    const struct rp_slot *slot = r->pool->listening.slot;
    if (!slot || slot->state == RP_SLOT_FREE) return !r->ears.count || excused(r);
    *conns += 1;
    return ears_restless(r) || (slot->state == RP_SLOT_LISTENING && r->ears.count);
}

void ears_check_listening(struct scene *w)
{
    for (struct run *r = w->run; r < w->run + w->runs; r++)
        for (uint32_t i = 0; i < r->ears.count && !r->closing; i++) {
            const struct ear *e = table_find(&r->ears, r->ears.alive[i]);
            REQUIRE(e->listening || excused(r), "at rest, and ear %u does not listen", e->live.id);
        }
}

void ears_check_heard(struct scene *w)
{
    for (struct run *r = w->run; r < w->run + w->runs; r++)
        for (uint32_t i = 0; i < r->ears.count && !r->closing; i++) {
            const struct ear *e = table_find(&r->ears, r->ears.alive[i]);
            bool late = !e->last && e->since == w->notified[e->channel]; /* it was told true in between */
            REQUIRE(!e->listening || late || e->last == w->notified[e->channel], "at rest, and ear %u has not heard %lld",
                    e->live.id, (long long)w->notified[e->channel]);
        }
}
