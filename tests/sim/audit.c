/* sim/audit.c - an auditor who looks into the pools: cheap questions after every event, all of the books at the end of
 * a turn (of every so many turns, where queues are long). It keeps figures of its own and believes none of theirs. */
#include "pool/state.h"
#include "reactor/state.h"
#include "sim/pg_sim.h"

enum { OFTEN = 64 }; /* as many waiters are looked at in every turn; of longer queues, one turn in OFTEN */
#if defined(__SANITIZE_ADDRESS__)
enum { STACK_BYTES = 256 * 1024 };
#else
enum { STACK_BYTES = 16 * 1024 };
#endif

/* ---- after every event ---- */

void audit_counts(struct run *r)
{
    const struct pg_pool *p = r->pool;
    uint32_t slots = 0, total;
    for (int s = 0; s < RP_SLOT_STATES; s++) slots += p->count[s];
    REQUIRE(slots == p->nslots, "%u slots are in some state of %u", slots, p->nslots);
    total = slots - p->count[RP_SLOT_FREE];
    if (r->bound < r->max_conns) r->bound = r->max_conns;
    REQUIRE(total <= r->bound, "%u connections open, connecting or closing, %u at the most", total, r->bound);
    r->bound = total > r->max_conns ? total : r->max_conns;
    REQUIRE(rp_pool_connecting(p) <= r->set.connecting_limit, "%u connects at a time, %u at the most",
            rp_pool_connecting(p), r->set.connecting_limit);
    REQUIRE(p->count[RP_SLOT_SOLO] <= r->solo || p->count[RP_SLOT_SOLO] < r->bound,
            "%u connections run slow statements, and all but one of %u may", p->count[RP_SLOT_SOLO], r->bound);
    r->solo = p->count[RP_SLOT_SOLO];
    REQUIRE((p->nwaiting == 0) == TAILQ_EMPTY(&p->waiting), "%u wait, and the queue is %s", p->nwaiting,
            TAILQ_EMPTY(&p->waiting) ? "empty" : "not empty");
    rules_event(r);
    REQUIRE(p->count[RP_SLOT_IDLE] ? !TAILQ_EMPTY(&p->slots[RP_SLOT_IDLE]) : TAILQ_EMPTY(&p->slots[RP_SLOT_IDLE]),
            "%u connections are idle, and their list says otherwise", p->count[RP_SLOT_IDLE]);
}

/* One beside the others, and only for those who listen. */
static void check_beside(const struct run *r)
{
    const struct rp_slot *slot = r->pool->listening.slot;
    if (!slot) return;
    REQUIRE(slot->listens && r->pool->listening.count <= r->ears.count, "%u listen, and there are %u",
            r->pool->listening.count, r->ears.count);
    /* A pool that closes has told its listeners, and parts from the connection in its next turn. */
    REQUIRE(slot->state != RP_SLOT_LISTENING || r->ears.count || r->closing, "a connection listens for nobody");
    REQUIRE(slot->state == RP_SLOT_FREE || slot->state <= RP_SLOT_PREPARING || slot->state >= RP_SLOT_LISTENING,
            "the listeners' connection is in state %d", slot->state);
}

void audit_event(void *arg)
{
    struct scene *w = arg;
    for (struct run *r = w->run; r < w->run + w->runs; r++)
        if (!r->closed) audit_counts(r), check_beside(r);
    shares_check(w);
}

/* ---- one slot ---- */

/* Nobody's bytes in either direction, but those that may come unasked. */
static void check_buffers(const struct run *r, const struct rp_conn *c)
{
    REQUIRE(!rp_session_has_output(&c->session), "a connection at rest has something to say");
    /* What is left of a COPY that was refused is sent to its end. */
    REQUIRE(c->out_at == c->out_end || c->sending || c->flush.queued, "a connection at rest has bytes to send");
    REQUIRE(c->coded.at == c->coded.end || c->sending || c->flush.queued,
            "a connection at rest has coded bytes to send");
    REQUIRE(!c->waiting.at && !c->session.copying, "a connection at rest copies");
    if (c->in_at < c->in_end && !r->set.garbage)
        REQUIRE(strchr("NSAE", c->in[c->in_at]), "a connection at rest has received '%c'", c->in[c->in_at]);
}

static void check_at_rest(const struct run *r, const struct rp_slot *slot)
{
    const struct rp_session *s = &slot->conn.session;
    REQUIRE(slot->conn.state == RP_CONN_OPEN && s->phase == RP_PHASE_READY, "a connection at rest is not open");
    REQUIRE(rp_session_in_flight(s) == 0, "a connection at rest has requests in flight");
    REQUIRE(s->transaction == 'I', "a connection at rest is in '%c'", s->transaction);
    REQUIRE(!rp_cancel_busy(&slot->cancel), "a connection at rest has a cancel request under way");
    REQUIRE(!slot->conn.paused && !slot->conn.held, "a connection at rest is paused or held");
    check_buffers(r, &slot->conn);
}

/* Neither of a former generation nor over its age, as far as the last turn could know. */
static void check_fresh(const struct run *r, const struct rp_slot *slot)
{
    REQUIRE(slot->generation == r->pool->generation, "a connection from before the reset is in use");
    REQUIRE(slot->expires_ns == PG_NEVER || r->turn_ns < slot->expires_ns + audit_slack(r),
            "a connection is in use that was too old %llu us ago",
            (unsigned long long)(sim_now(r->sim) - slot->expires_ns) / 1000);
}

/* Its work is that of its statements, and it stands in the list of about as much. */
static void check_shared(const struct run *r, struct rp_slot *slot)
{
    struct rp_session *s = &slot->conn.session;
    uint32_t n = rp_session_in_flight(s);
    uint64_t work_ns = 0;
    for (uint32_t at = s->head; at != s->tail; at++)
        if (rp_session_entry(s, at)->query) work_ns += rp_query(rp_session_entry(s, at)->query)->work_ns;
    REQUIRE(n && n <= r->set.pipeline, "a shared connection carries %u requests, %u at the most", n, r->set.pipeline);
    REQUIRE(slot->work_ns == work_ns, "a shared connection's work is %llu us, and that of its requests %llu us",
            (unsigned long long)slot->work_ns / 1000, (unsigned long long)work_ns / 1000);
    bool behind = slot->load >= RP_LOADS - 2;
    REQUIRE(behind || slot->work_ns - slot->load_from_ns <= slot->load_span_ns,
            "a shared connection has %llu us of work and stands in the wrong list",
            (unsigned long long)slot->work_ns / 1000);
}

static void check_slot(const struct run *r, struct rp_slot *slot)
{
    const struct rp_session *s = &slot->conn.session;
    REQUIRE(slot->pool == r->pool, "a slot is another pool's");
    bool hooks = slot->hook_phase == RP_HOOK_CALLED && slot->hook_kind != RP_HOOK_BEFORE_CONNECT;
    REQUIRE((slot->state == RP_SLOT_LEASED || hooks) == (slot->lease != NULL), "slot state %d %s a lease", slot->state,
            slot->lease ? "with" : "without");
    switch (slot->state) {
    case RP_SLOT_FREE:
        REQUIRE(slot->conn.state == RP_CONN_CLOSED && !slot->conn.bound, "a free slot has a connection");
        REQUIRE(!rp_cancel_busy(&slot->cancel), "a free slot has a cancel request under way");
        REQUIRE(!rp_timer_armed(&slot->age) && !rp_timer_armed(&slot->stall) && !rp_timer_armed(&slot->again),
                "a free slot has a deadline");
        break;
    case RP_SLOT_IDLE:
        REQUIRE(!s->exclusive, "an idle connection is somebody's");
        check_at_rest(r, slot);
        check_fresh(r, slot);
        break;
    case RP_SLOT_SHARED:
        check_shared(r, slot);
        check_fresh(r, slot);
        break;
    case RP_SLOT_LEASED:
        REQUIRE(rp_lease(slot->lease)->slot == slot && rp_lease(slot->lease)->waiter.place == RP_PLACE_ACTIVE,
                "a leased connection's lease does not know it");
        REQUIRE(((struct holder *)slot->lease->data)->held, "a connection is leased to somebody who has none");
        break;
    case RP_SLOT_LISTENING:
        REQUIRE(slot->listens && slot->conn.state == RP_CONN_OPEN && s->transaction == 'I' && !s->exclusive,
                "a connection that listens is not what it should be");
        check_fresh(r, slot);
        break;
    default: break;
    }
}

/* A pool that is closed and for which nobody waits any more makes no connections. */
static void check_closing(struct run *r)
{
    struct pg_pool *p = r->pool;
    if (!r->closing || rp_first_waiter(p) || p->dispatch.queued) { /* the next turn closes what is not needed */
        r->done_ns = 0;
        return;
    }
    if (!r->done_ns) r->done_ns = sim_now(r->sim);
    for (uint32_t i = 0; i < rp_pool_all(p); i++)
        REQUIRE(rp_pool_slot(p, i)->connecting_since_ns <= r->done_ns, "a closing pool for which nobody waits connects");
}

static void check_slots(const struct run *r)
{
    struct pg_pool *p = r->pool;
    uint32_t count[RP_SLOT_STATES] = { 0 };
    struct rp_slot *slot;
    for (uint32_t i = 0; i < p->nslots; i++) {
        check_slot(r, p->slot[i]);
        count[p->slot[i]->state]++;
    }
    if (p->listening.slot) check_slot(r, p->listening.slot);
    for (int s = 0; s < RP_SLOT_STATES; s++) {
        uint32_t listed = 0;
        REQUIRE(count[s] == p->count[s], "%u slots are in state %d, %u are counted", count[s], s, p->count[s]);
        if (s == RP_SLOT_SHARED) continue;
        TAILQ_FOREACH(slot, &p->slots[s], link) {
            REQUIRE((int)slot->state == s && ++listed <= count[s], "the list of state %d has one of state %d", s,
                    slot->state);
        }
        REQUIRE(listed == count[s], "%u slots are in the list of state %d, and %u have it", listed, s, count[s]);
    }
}

/* ---- the queue ---- */

static void check_queue(const struct run *r, const struct rp_waiters *queue, uint32_t counted)
{
    struct pg_pool *p = r->pool;
    struct rp_waiter *w;
    uint64_t before = 0;
    uint32_t n = 0;
    TAILQ_FOREACH(w, queue, link) {
        REQUIRE(++n <= counted && w->place == RP_PLACE_PARKED && w->pool == p, "one in the queue does not wait");
        REQUIRE(w->since_ns >= before, "who came later stands before who came earlier, at place %u of %u", n, counted);
        REQUIRE(!(w->flags & RP_QUERY_SLOW) == (queue != &p->slow), "one stands in the queue of the others");
        before = w->since_ns;
    }
    REQUIRE(n == counted, "%u stand in the queue, %u are counted", n, counted);
}

static void check_queues(const struct run *r)
{
    struct rp_waiter *w;
    check_queue(r, &r->pool->waiting, r->pool->nwaiting);
    check_queue(r, &r->pool->slow, r->pool->nslow);
    TAILQ_FOREACH(w, &r->pool->ended, link) REQUIRE(w->place == RP_PLACE_ENDED, "one to be told of has not ended");
}

/* Who could be served is served before the turn ends, if its budget lasts. */
static void check_served(const struct run *r)
{
    struct pg_pool *p = r->pool;
    struct rp_waiter *w = TAILQ_FIRST(&p->waiting);
    if (p->dispatch.queued) return;
    rules_turn(r);
    uint32_t slow = rp_slow_due(p), idle = p->count[RP_SLOT_IDLE];
    REQUIRE(!p->count[RP_SLOT_DRAINING] || (w && w->lane == RP_LANE_LEASE) || slow || p->nurgent,
            "a connection is drained, and neither a lease nor somebody slow is the next");
    if (p->suspended) return;
    REQUIRE(!slow || idle <= rules_kept(r) || w, "%u slow ones might have one of %u idle connections", slow, idle);
    if (!w && !rp_slow_most(p)) w = TAILQ_FIRST(&p->slow); /* it shares like others */
    if (!w) return;
    if (w->lane == RP_LANE_LEASE && p->count[RP_SLOT_CHECKING]) return;
    REQUIRE(p->count[RP_SLOT_IDLE] <= rules_kept(r), "%u wait although %u connections are idle", p->nwaiting,
            p->count[RP_SLOT_IDLE]);
    for (uint32_t i = 0; i < p->nslots && w->lane != RP_LANE_LEASE; i++)
        REQUIRE(p->slot[i]->state != RP_SLOT_SHARED || !rp_slot_room(p->slot[i], rp_batch_size(rp_query_of(w))),
                "a statement waits although there is room");
}

/* ---- deadlines ---- */

uint64_t audit_slack(const struct run *r)
{
    return RP_TICK_NS + sim_settings(r->sim)->turn_ns;
}

/* The turns of a loop that may not block are turn_ns apart, and each tells one waiter at least; with the smallest of
 * budgets only every other one does, for a turn may be used up by the queue's dispatch. */
void audit_told(const struct run *r, uint64_t deadline_ns, uint64_t started_ns, const char *who)
{
    if (deadline_ns == 0 || deadline_ns == PG_NEVER) return;
    if (deadline_ns < started_ns) deadline_ns = started_ns;
    uint64_t turns = 2 + (uint64_t)r->most_alive * (r->set.resumes < 16 ? 2 : 1);
    uint64_t bound_ns = deadline_ns + audit_slack(r);
    bound_ns += turns * sim_settings(r->sim)->turn_ns + sim_counters(r->sim)->jumped_ns;
    REQUIRE(sim_now(r->sim) < bound_ns, "%s is told %llu us after its deadline", who,
            (unsigned long long)(sim_now(r->sim) - deadline_ns) / 1000);
}

static void check_deadline(const struct run *r, uint64_t deadline_ns, uint64_t started_ns, const char *who)
{
    if (deadline_ns == PG_NEVER) return;
    if (deadline_ns < started_ns) deadline_ns = started_ns;
    REQUIRE(sim_now(r->sim) < deadline_ns + audit_slack(r), "%s is unresolved %llu us after its deadline", who,
            (unsigned long long)(sim_now(r->sim) - deadline_ns) / 1000);
}

static void check_ask(const struct run *r, struct ask *a)
{
    struct rp_query *rq = rp_query(&a->query);
    uint64_t deadline_ns = a->query.deadline_ns;
    bool parked = rq->waiter.place == RP_PLACE_PARKED;
    if (!parked && rq->waiter.place != RP_PLACE_ACTIVE) return;
    if (rq->waiter.place == RP_PLACE_ACTIVE && rp_session_decided(&rq->slot->conn.session, rq->sequence)) return;
    bool first_try = parked && rq->head == &a->query && !(rq->waiter.flags & RP_QUERY_REPEATED);
    if (!deadline_ns && first_try) deadline_ns = a->started_ns + r->set.acquire_timeout_ns;
    if (deadline_ns) check_deadline(r, deadline_ns, a->started_ns, "a query");
}

static void check_deadlines(const struct run *r)
{
    for (uint32_t i = 0; i < r->asks.count; i++) check_ask(r, table_find(&r->asks, r->asks.alive[i]));
    for (uint32_t i = 0; i < r->holders.count; i++) {
        struct holder *h = table_find(&r->holders, r->holders.alive[i]);
        uint64_t deadline_ns = h->lease.deadline_ns ? h->lease.deadline_ns : h->started_ns + r->set.acquire_timeout_ns;
        if (h->waiting && rp_lease(&h->lease)->waiter.place == RP_PLACE_PARKED)
            check_deadline(r, deadline_ns, h->started_ns, "a lease");
    }
}

/* ---- the end of a turn ---- */

/* What other threads read is what is there. */
static void check_published(const struct run *r)
{
    const struct pg_pool *p = r->pool;
    const struct pg_pool_stats *s = &p->seeing.published.at;
    if (p->seeing.publish.queued || p->dispatch.queued) return; /* the next turn says more */
    REQUIRE(s->idle_conns == p->count[RP_SLOT_IDLE] && s->acquired_conns == p->count[RP_SLOT_LEASED] &&
                s->constructing_conns == rp_pool_connecting(p) && s->pending == p->nwaiting + p->nurgent + p->nslow &&
                s->total_conns == p->nslots - p->count[RP_SLOT_FREE] && s->max_conns == r->max_conns,
            "published: idle %u, leased %u, connecting %u, waiting %u, all %u of %u; are %u, %u, %u, %u, %u of %u",
            s->idle_conns, s->acquired_conns, s->constructing_conns, s->pending, s->total_conns, s->max_conns,
            p->count[RP_SLOT_IDLE], p->count[RP_SLOT_LEASED], rp_pool_connecting(p), p->nwaiting,
            p->nslots - p->count[RP_SLOT_FREE], r->max_conns);
    REQUIRE(s->query_count == r->told && s->query.count == r->told, "%llu outcomes were told, and %llu are published",
            (unsigned long long)r->told, (unsigned long long)s->query_count);
}

static void check_work(struct run *r)
{
    uint64_t events = sim_counters(r->sim)->events, most = 2 * (uint64_t)r->set.resumes + 16 + events - r->turn_events;
    REQUIRE(r->callbacks <= most, "%u callbacks in a turn, and the budget is %u", r->callbacks, r->set.resumes);
    r->callbacks = 0;
    r->turn_events = events;
}

void audit_turn(void *arg, struct pg_reactor *reactor)
{
    struct scene *w = arg;
    struct run *r = w->run;
    while (r->reactor != reactor) r++;
    check_work(r);
    shares_turn(w);
    if (r->closed) return;
    check_served(r);
    check_closing(r);
    r->turns++;
    r->turn_ns = sim_now(r->sim);
    if (r->turns % OFTEN) {
        if (r->pool->nwaiting + r->asks.count + r->holders.count > OFTEN) return;
        if (r->pool->seeing.published.sequence.sequence == r->audited) return; /* nothing has happened */
    }
    r->audited = r->pool->seeing.published.sequence.sequence;
    check_slots(r);
    hosts_check_turn(r);
    check_queues(r);
    check_deadlines(r);
    check_published(r);
}

/* ---- at single moments ---- */

void audit_callback(struct run *r)
{
    char here, *base = r->scene->stack;
    ptrdiff_t depth = base - &here;
    REQUIRE(depth < STACK_BYTES, "a callback runs %td bytes deep in the stack", depth);
    r->callbacks++;
}

void audit_grant(struct holder *h)
{
    const struct run *r = h->run;
    struct rp_slot *slot = rp_lease(&h->lease)->slot;
    REQUIRE(slot && slot->pool == r->pool && slot->state == RP_SLOT_LEASED && slot->lease == &h->lease,
            "a granted connection is not the lease's");
    check_at_rest(r, slot);
    check_fresh(r, slot);
    REQUIRE(!r->suspended, "a suspended pool grants");
}

struct audit_before audit_before(const struct run *r)
{
    const struct pg_pool *p = r->pool;
    return (struct audit_before){
        .waiting = p->nwaiting,
        .slow = p->nslow,
        .full = p->nwaiting + p->nslow >= r->set.waiters + (r->suspended ? 0 : rp_pool_idle(p)),
    };
}

static void check_entry(const struct run *r, uint8_t place, struct audit_before before)
{
    REQUIRE(place != RP_PLACE_ACTIVE || !before.waiting, "one that came later is served while %u wait", before.waiting);
    REQUIRE(place != RP_PLACE_ACTIVE || !r->suspended, "a suspended pool serves");
    REQUIRE(place != RP_PLACE_PARKED || !before.full, "the queue is full, and one more is parked");
}

void audit_acquired(struct holder *h, struct audit_before before)
{
    if (h->lease.priority) before.full = false; /* theirs is another queue */
    check_entry(h->run, rp_lease(&h->lease)->waiter.place, before);
}

void audit_asked(struct ask *a, struct audit_before before)
{
    const struct rp_waiter *w = &rp_query(&a->query)->waiter;
    check_entry(a->run, w->place, before);
    REQUIRE(w->place != RP_PLACE_ACTIVE || !(w->flags & RP_QUERY_SLOW) || !before.slow,
            "a slow one that came later is served while %u wait", before.slow);
}

/* The reactor is closed, and every lease returned. */
void audit_end(const struct run *r)
{
    REQUIRE(rp_wheel_next(&r->reactor->wheel) == PG_NEVER, "a deadline is left in the timing wheel");
    REQUIRE(TAILQ_EMPTY(&r->reactor->ready) && TAILQ_EMPTY(&r->reactor->flush), "something is left in a queue");
}
