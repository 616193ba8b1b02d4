/* pool/listen.c - the listeners of a pool: which channels are wanted, what the server was told of them, and who is to
 * be told what. Owns the channels' records, and the slot of the one connection, which moves like every other one and is
 * in no list or count of the pool's (slot.c), so that no lease and no statement ever meets it.
 *
 *      ABSENT -> ASKED -> STANDS -> LEAVING -> ABSENT          of a channel; all become ABSENT with the connection
 *
 * ASKED and LEAVING have a LISTEN or UNLISTEN in flight, one per channel, many in the pipeline. When its answer comes
 * the channel is looked at anew: so whoever comes and goes meanwhile needs no marks. A channel without listeners is
 * freed when the server does not have it.
 *
 * A listener is told by `told` and what its channel is: true when it STANDS, false when it has ceased to, in the queue
 * `due`, and a loss that was followed by another LISTEN is told as both. Notifications are only for those who were told
 * true. Must never know message bytes, nor how a connection is made. */
#include "pool/listen.h"
#include <errno.h>
#include <stdio.h>
#include "pool/state.h"

enum { NAME_MOST = 63 };
/* A connection that stood for so long has not been lost for anything that was wrong before. */
static const uint64_t STEADY_NS = 5000ull * 1000000;

enum channel_state { ABSENT, ASKED, STANDS, LEAVING };
struct rp_channel {
    TAILQ_ENTRY(rp_channel) link, todo;
    struct rp_listeners listeners;
    enum channel_state state;
    bool queued;                     /* in todo                             */
    bool failed;                     /* its LISTEN was refused, and waits   */
    size_t size;
    char name[NAME_MOST + 1];
    char sql[sizeof "UNLISTEN \"\"" + 2 * NAME_MOST];
    struct pg_query query;
};

static struct rp_listener *listener_of(struct pg_listener *l) { return (struct rp_listener *)(void *)l->private_; }
static struct pg_listener *caller_of(struct rp_listener *l) { return RP_CONTAINER(l, struct pg_listener, private_); }

/* ---- channels ---- */

static struct rp_channels *bucket_of(struct pg_pool *pool, const char *name, size_t size)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return &pool->listening.bucket[(hash ^ hash >> 16) % RP_CHANNEL_BUCKETS];
}

static struct rp_channel *find(struct pg_pool *pool, const char *name, size_t size)
{
    struct rp_channel *ch;
    TAILQ_FOREACH(ch, bucket_of(pool, name, size), link)
        if (ch->size == size && !memcmp(ch->name, name, size)) return ch;
    return NULL;
}

static struct rp_channel *new_channel(struct pg_pool *pool, const char *name, size_t size)
{
    struct rp_channel *ch = rp_alloc(pool->reactor, sizeof *ch);
    if (!ch) return NULL;
    TAILQ_INIT(&ch->listeners);
    memcpy(ch->name, name, size);
    ch->size = size;
    TAILQ_INSERT_TAIL(bucket_of(pool, name, size), ch, link);
    return ch;
}

static void set_queued(struct pg_pool *pool, struct rp_channel *ch, bool queued)
{
    if (ch->queued == queued) return;
    if (queued) TAILQ_INSERT_TAIL(&pool->listening.todo, ch, todo);
    else TAILQ_REMOVE(&pool->listening.todo, ch, todo);
    ch->queued = queued;
}

static void free_channel(struct pg_pool *pool, struct rp_channel *ch)
{
    set_queued(pool, ch, false);
    TAILQ_REMOVE(bucket_of(pool, ch->name, ch->size), ch, link);
    rp_free(pool->reactor, ch, sizeof *ch);
}

/* `visit` may free the channel. */
static void for_each(struct pg_pool *pool, void (*visit)(struct pg_pool *, struct rp_channel *))
{
    for (int i = 0; i < RP_CHANNEL_BUCKETS; i++) {
        struct rp_channel *next;
        for (struct rp_channel *ch = TAILQ_FIRST(&pool->listening.bucket[i]); ch; ch = next) {
            next = TAILQ_NEXT(ch, link);
            visit(pool, ch);
        }
    }
}

/* ---- what the server is told ---- */

static struct rp_slot *standing(const struct pg_pool *pool)
{
    struct rp_slot *slot = pool->listening.slot;
    return slot && slot->state == RP_SLOT_LISTENING ? slot : NULL;
}

static void write_sql(struct rp_channel *ch, const char *verb)
{
    char *at = ch->sql + snprintf(ch->sql, sizeof ch->sql, "%s \"", verb);
    for (size_t i = 0; i < ch->size; i++) {
        if (ch->name[i] == '"') *at++ = '"';
        *at++ = ch->name[i];
    }
    *at++ = '"';
    *at = 0;
}

static void say(struct rp_slot *slot, struct rp_channel *ch)
{
    struct pg_pool *pool = slot->pool;
    write_sql(ch, ch->state == ABSENT ? "LISTEN" : "UNLISTEN");
    ch->state = ch->state == ABSENT ? ASKED : LEAVING;
    ch->query = (struct pg_query){ .sql = ch->sql, .flags = PG_QUERY_SIMPLE, .error = &pool->own_error };
    rp_query(&ch->query)->waiter.lane = RP_LANE_OWN;
    rp_conn_enqueue(&slot->conn, &ch->query, RP_ENTRY_SYNC);
    slot->doing = "LISTEN";
    if (rp_timer_armed(&slot->stall)) return; /* of the oldest in flight */
    rp_timer_start(pool->reactor, &slot->stall, rp_now(pool->reactor) + pool->info.pool_close_linger_ns);
}

static void say_more(struct pg_pool *pool)
{
    struct rp_slot *slot = standing(pool);
    struct rp_channel *ch;
    while (slot && (ch = TAILQ_FIRST(&pool->listening.todo)) && rp_session_room(&slot->conn.session, 1)) {
        set_queued(pool, ch, false);
        say(slot, ch);
    }
}

/* Does it differ from what is wanted? May free it. */
static void look_at(struct pg_pool *pool, struct rp_channel *ch)
{
    bool wanted = !TAILQ_EMPTY(&ch->listeners);
    if (ch->state == ASKED || ch->state == LEAVING) return; /* its answer will look again */
    if (ch->state == ABSENT && !wanted) free_channel(pool, ch);
    else set_queued(pool, ch, standing(pool) && wanted == (ch->state == ABSENT) && !ch->failed);
}

static void try_again(struct pg_pool *pool, struct rp_channel *ch)
{
    ch->failed = false;
    look_at(pool, ch);
}

static void on_later(struct rp_timer *timer)
{
    struct pg_pool *pool = RP_CONTAINER(timer, struct pg_pool, listening.later);
    for_each(pool, try_again);
    say_more(pool);
    rp_pool_kick(pool);
}

void rp_listen_later(struct pg_pool *pool)
{
    struct rp_listening *g = &pool->listening;
    rp_timer_start(pool->reactor, &g->later,
                   rp_now(pool->reactor) + rp_backoff(&g->backoff_ns, rp_random(pool->reactor)));
}

/* ---- what the listeners are told ---- */

static void make_due(struct pg_pool *pool, struct rp_listener *l)
{
    rp_ready(pool->reactor, &pool->listening.tell);
    if (l->is_due) return;
    TAILQ_INSERT_TAIL(&pool->listening.due, l, due);
    l->is_due = true;
}

static void not_due(struct pg_pool *pool, struct rp_listener *l)
{
    if (l->is_due) TAILQ_REMOVE(&pool->listening.due, l, due);
    l->is_due = false;
}

/* It is nobody's any more. The channel stays, for whoever looks at it. */
static void detach(struct pg_pool *pool, struct rp_listener *l)
{
    not_due(pool, l);
    if (pool->listening.next == l) pool->listening.next = TAILQ_NEXT(l, link);
    TAILQ_REMOVE(&l->channel->listeners, l, link);
    pool->listening.count--;
    memset(l, 0, sizeof *l);
}

static void tell(struct pg_pool *pool, struct rp_listener *l)
{
    struct pg_listener *caller = caller_of(l);
    bool stands = l->channel->state == STANDS && !pool->closing;
    not_due(pool, l);
    if (l->told == stands && !l->lost) return; /* it has come and gone before anybody was told */
    l->told = !l->told;
    l->lost = false;
    bool now = l->told;
    if (pool->closing) detach(pool, l);
    else if (now != stands) make_due(pool, l); /* and the other one after that */
    if (caller->on_state) caller->on_state(caller, now);
}

static void tell_due(struct pg_pool *pool)
{
    struct rp_listener *l;
    while ((l = TAILQ_FIRST(&pool->listening.due))) {
        if (!rp_budget_take(pool->reactor)) {
            rp_ready(pool->reactor, &pool->listening.tell);
            return;
        }
        tell(pool, l);
    }
    if (pool->closing) rp_pool_kick(pool);
}

static void run_tell(struct rp_node *node) { tell_due(RP_CONTAINER(node, struct pg_pool, listening.tell)); }

void rp_listen_notification(struct rp_conn *conn, const struct rp_notification *n)
{
    struct pg_pool *pool = RP_CONTAINER(conn, struct rp_slot, conn)->pool;
    struct rp_listening *g = &pool->listening;
    struct rp_channel *ch = find(pool, n->channel.data, n->channel.size);
    bool first = true; /* whose place in the budget is that of the event */
    if (!ch) return;
    for (g->next = TAILQ_FIRST(&ch->listeners); g->next;) {
        struct rp_listener *l = g->next;
        g->next = TAILQ_NEXT(l, link);
        if ((!l->told || l->lost) && !RP_PLANT(heard_too_early)) continue;
        if (!first) (void)rp_budget_take(pool->reactor);
        first = false;
        struct pg_listener *caller = caller_of(l);
        if (caller->on_notify) caller->on_notify(caller, n->payload, n->pid);
    }
}

/* ---- what becomes of the connection ---- */

bool rp_listen_wants(const struct pg_pool *pool)
{
    const struct rp_listening *g = &pool->listening;
    return g->count && g->slot->state == RP_SLOT_FREE && !rp_timer_armed(&g->later) && !pool->closing;
}

uint32_t rp_listen_tries(const struct pg_pool *pool, const struct rp_host *host)
{
    const struct rp_slot *slot = pool->listening.slot;
    return slot && slot->trying && slot->host == host;
}

static void lose(struct pg_pool *pool, struct rp_channel *ch)
{
    struct rp_listener *l;
    ch->state = ABSENT;
    ch->failed = false;
    TAILQ_FOREACH(l, &ch->listeners, link) {
        if (!l->told || RP_PLANT(loss_untold)) continue;
        l->lost = true;
        make_due(pool, l);
    }
    look_at(pool, ch);
}

/* A slot whose connection the pool closes has its reason already, and is made anew at once. */
static void gone(struct rp_slot *slot)
{
    struct pg_pool *pool = slot->pool;
    struct rp_listening *g = &pool->listening;
    slot->conn.session.listens = false;
    for_each(pool, lose);
    if (rp_now(pool->reactor) - g->since_ns >= STEADY_NS) g->backoff_ns = 0;
    if (slot->reason == RP_REASON_NONE) rp_listen_later(pool);
    else rp_timer_stop(pool->reactor, &g->later);
}

void rp_listen_moved(struct rp_slot *slot, bool was_listening)
{
    struct pg_pool *pool = slot->pool;
    if (was_listening) gone(slot);
    if (slot->state != RP_SLOT_LISTENING) return;
    pool->listening.since_ns = rp_now(pool->reactor);
    slot->conn.session.listens = true;
    for_each(pool, look_at);
    say_more(pool);
}

static void tell_refused(struct rp_slot *slot, const char *name, const struct pg_error *why)
{
    struct pg_error named;
    rp_error_set(&named, why->code, "LISTEN \"%s\": %.380s", name, pg_error_field(why, 'M'));
    memcpy(named.sqlstate, why->sqlstate, sizeof named.sqlstate);
    named.sent = why->sent;
    rp_slot_event(slot, PG_EVENT_LISTEN_FAILED, &named);
}

void rp_listen_outcome(struct rp_slot *slot, struct pg_query *q)
{
    struct pg_pool *pool = slot->pool;
    struct rp_channel *ch = RP_CONTAINER(q, struct rp_channel, query);
    bool asked = ch->state == ASKED, ok = q->status == PG_OK;
    struct rp_listener *l;
    rp_timer_stop(pool->reactor, &slot->stall);
    /* An UNLISTEN: nothing is known of it any more. A standby: the hosts are looked at anew. */
    if (!ok && (!asked || !strcmp(q->sqlstate, "25006"))) {
        rp_chore_fail(slot, q->error);
        return;
    }
    ch->state = asked && ok ? STANDS : ABSENT;
    ch->failed = !ok;
    if (ok && asked) {
        TAILQ_FOREACH(l, &ch->listeners, link) make_due(pool, l);
    } else if (!ok && !rp_timer_armed(&pool->listening.later)) {
        rp_listen_later(pool);
    }
    char name[sizeof ch->name];
    memcpy(name, ch->name, sizeof name);
    look_at(pool, ch);
    say_more(pool);
    if (rp_session_in_flight(&slot->conn.session) && !rp_timer_armed(&slot->stall))
        rp_timer_start(pool->reactor, &slot->stall, rp_now(pool->reactor) + pool->info.pool_close_linger_ns);
    if (ok) tell_due(pool);
    else tell_refused(slot, name, &pool->own_error); /* the channel may be gone by now */
}

/* ---- from the first to the last ---- */

void rp_listen_open(struct pg_pool *pool)
{
    struct rp_listening *g = &pool->listening;
    for (int i = 0; i < RP_CHANNEL_BUCKETS; i++) TAILQ_INIT(&g->bucket[i]);
    TAILQ_INIT(&g->todo);
    TAILQ_INIT(&g->due);
    g->tell.run = run_tell;
    g->later.fire = on_later;
}

static int check_name(const struct pg_listener *listener, size_t *size, struct pg_error *error)
{
    const char *name = listener->channel;
    size_t n = listener->channel_size;
    if (!n && name) n = strlen(name);
    *size = n;
    if (!name || !n) return rp_error_set(error, PG_E_PARAMETER, "channel: the name is empty");
    if (memchr(name, 0, n)) return rp_error_set(error, PG_E_PARAMETER, "channel: there is a NUL in the name");
    if (n > NAME_MOST)
        return rp_error_set(error, PG_E_PARAMETER, "channel: the name has %zu bytes, %d at the most", n, NAME_MOST);
    return 0;
}

int pg_pool_listen(struct pg_pool *pool, struct pg_listener *listener, struct pg_error *error)
{
    struct rp_listener *l = listener_of(listener);
    size_t size;
    RP_CALLER(!l->pool, "a listener listens to one channel at a time");
    int rc = check_name(listener, &size, error);
    if (rc) return rc;
    if (pool->closing) return rp_error_set(error, PG_E_CLOSED, "%s", pg_error_text(PG_E_CLOSED));
    if (rp_pool_make_listening(pool)) return rp_error_set(error, -ENOMEM, "%s", pg_error_text(-ENOMEM));
    struct rp_channel *ch = find(pool, listener->channel, size);
    if (!ch) ch = new_channel(pool, listener->channel, size);
    if (!ch) return rp_error_set(error, -ENOMEM, "%s", pg_error_text(-ENOMEM));
    *l = (struct rp_listener){ .pool = pool, .channel = ch };
    TAILQ_INSERT_TAIL(&ch->listeners, l, link);
    pool->listening.count++;
    if (ch->state == STANDS) make_due(pool, l);
    look_at(pool, ch);
    say_more(pool);
    rp_pool_kick(pool);
    return 0;
}

void pg_pool_unlisten(struct pg_listener *listener)
{
    struct rp_listener *l = listener_of(listener);
    struct pg_pool *pool = l->pool;
    struct rp_channel *ch = l->channel;
    if (!pool) return;
    detach(pool, l);
    if (!pool->listening.count && standing(pool)) { /* the channels go with it */
        rp_life_retire(pool->listening.slot, RP_REASON_UNHEARD);
    } else {
        look_at(pool, ch);
        say_more(pool);
    }
    rp_pool_kick(pool);
}

static void end_channel(struct pg_pool *pool, struct rp_channel *ch)
{
    struct rp_listener *next;
    for (struct rp_listener *l = TAILQ_FIRST(&ch->listeners); l; l = next) {
        next = TAILQ_NEXT(l, link);
        l->lost = l->told;
        if (l->told) make_due(pool, l);
        else detach(pool, l);
    }
    look_at(pool, ch);
}

void rp_listen_close(struct pg_pool *pool)
{
    rp_timer_stop(pool->reactor, &pool->listening.later);
    for_each(pool, end_channel);
}

bool rp_listen_ends(struct pg_pool *pool)
{
    struct rp_slot *slot = pool->listening.slot;
    if (!slot) return false;
    if (slot->state == RP_SLOT_LISTENING) rp_slot_part(slot);
    else if (slot->state == RP_SLOT_ASKING || slot->state == RP_SLOT_CONNECTING || slot->state == RP_SLOT_PREPARING)
        rp_slot_kill(slot, PG_E_CLOSED, PG_SENT_NO, NULL);
    return slot->state != RP_SLOT_FREE || pool->listening.count;
}

static void forget(struct pg_pool *pool, struct rp_channel *ch)
{
    while (!TAILQ_EMPTY(&ch->listeners)) detach(pool, TAILQ_FIRST(&ch->listeners));
}

void rp_listen_abort(struct pg_pool *pool) { for_each(pool, forget); }

void rp_listen_free(struct pg_pool *pool)
{
    rp_timer_stop(pool->reactor, &pool->listening.later);
    rp_unqueue(pool->reactor, &pool->listening.tell);
    for_each(pool, free_channel);
}
