/* pool/queue.c - where waiters stand: parked in the one FIFO (leases of high priority in another one before it, slow
 * statements in one beside it), or ended and still to be told. Every waiter leaves by exactly one of these: dispatched
 * (dispatch.c), ended here, or forgotten by its caller.
 *
 * A deadline is looked at before grants are made in a turn (reactor.h), and what the server answered before the turn
 * counts: so of a timeout and a grant in one turn it is the timeout, of a timeout and an answer in one batch it is the
 * answer. */
#include "pool/state.h"

static const uint64_t MS = 1000000;

/* ---- the FIFOs ---- */

static bool is_high(const struct rp_waiter *w) { return w->flags & RP_LEASE_HIGH; }

static bool is_slow(const struct rp_waiter *w) { return w->flags & RP_QUERY_SLOW; }

static struct rp_waiters *queue_of(struct rp_waiter *w)
{
    return is_high(w) ? &w->pool->urgent : is_slow(w) ? &w->pool->slow : &w->pool->waiting;
}
static uint32_t *count_of(struct rp_waiter *w)
{
    return is_high(w) ? &w->pool->nurgent : is_slow(w) ? &w->pool->nslow : &w->pool->nwaiting;
}

static uint32_t served_next(const struct pg_pool *pool, bool high)
{
    if (pool->suspended) return 0;
    return high ? rp_pool_idle(pool) : rp_idle_for_normal(pool);
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Those whom the idle connections will serve in the next turn do not wait, and are not counted as if they had. */
static void count_parked(struct pg_pool *pool, struct rp_waiter *w)
{
    uint32_t mine = ++*count_of(w), high = served_next(pool, true), normal = served_next(pool, false);
    if (is_slow(w) || mine > (is_high(w) ? high : normal)) w->flags |= RP_QUERY_WAITED;
    uint32_t parked = pool->nwaiting + pool->nurgent + pool->nslow;
    if (parked <= pool->stats.max_pending) return;
    parked -= least(pool->nwaiting, normal) + least(pool->nurgent, high);
    if (parked > pool->stats.max_pending) pool->stats.max_pending = parked;
}

/* When its waiting ends at the latest; the same for a second wait, after its connection was lost. */
uint64_t rp_wait_until(const struct rp_waiter *w)
{
    struct rp_waiter *own = (struct rp_waiter *)(uintptr_t)w;
    uint64_t at_ns = w->lane == RP_LANE_LEASE ? rp_lease_of(own)->deadline_ns : rp_query_of(own)->deadline_ns;
    uint64_t timeout_ns = w->pool->info.pool_acquire_timeout_ns;
    if (at_ns) return at_ns;
    return timeout_ns ? w->since_ns + timeout_ns : PG_NEVER;
}

bool rp_waited_enough(const struct rp_waiter *w) { return rp_wait_until(w) <= rp_now(w->pool->reactor); }

static void fire_lease(struct rp_timer *timer)
{
    struct rp_waiter *w = RP_CONTAINER(timer, struct rp_waiter, timer);
    w->pool->stats.timeout_count++;
    rp_end_waiter(w, PG_E_TIMEOUT);
}

static void arm_deadline(struct rp_waiter *w)
{
    w->timer.fire = w->lane == RP_LANE_LEASE ? fire_lease : rp_fire_query;
    uint64_t until_ns = rp_wait_until(w);
    if (RP_PLANT(deadline_late) && until_ns != PG_NEVER) until_ns += 5 * MS;
    rp_timer_start(w->pool->reactor, &w->timer, until_ns);
}

void rp_park(struct pg_pool *pool, struct rp_waiter *w)
{
    w->place = RP_PLACE_PARKED;
    if (RP_PLANT(lifo)) TAILQ_INSERT_HEAD(queue_of(w), w, link);
    else TAILQ_INSERT_TAIL(queue_of(w), w, link);
    count_parked(pool, w);
    rp_shed_parked(w);
    arm_deadline(w);
    RP_PROBE2(park, pool, w);
    rp_pool_kick(pool);
}

bool rp_queue_full(const struct pg_pool *pool, bool high)
{
    uint32_t parked = high ? pool->nurgent : pool->nwaiting + pool->nslow;
    if (parked < pool->info.pool_max_waiters || RP_PLANT(queue_unbounded)) return false;
    return parked >= (uint64_t)pool->info.pool_max_waiters + served_next(pool, high);
}

/* Those of one connection, which are all slow or none is. Before all that were never served; and among themselves by
 * age, for several connections may be lost at a time. */
void rp_park_first(struct pg_pool *pool, struct rp_waiters *again)
{
    struct rp_waiter *w, *behind = NULL;
    uint64_t last_ns = PG_NEVER;
    while ((w = TAILQ_FIRST(again))) {
        TAILQ_REMOVE(again, w, link);
        w->place = RP_PLACE_PARKED;
        w->flags |= RP_QUERY_WAITED | RP_QUERY_AGAIN;
        if (w->since_ns < last_ns) behind = TAILQ_FIRST(queue_of(w)); /* what was healed stood behind younger ones */
        last_ns = w->since_ns;
        while (behind && behind->since_ns < w->since_ns) behind = TAILQ_NEXT(behind, link);
        if (behind) TAILQ_INSERT_BEFORE(behind, w, link);
        else TAILQ_INSERT_TAIL(queue_of(w), w, link);
        count_parked(pool, w);
        rp_shed_parked(w);
        arm_deadline(w);
    }
}

void rp_park_as_fast(struct rp_waiter *w)
{
    TAILQ_REMOVE(queue_of(w), w, link);
    --*count_of(w);
    w->flags &= (uint8_t)~RP_QUERY_SLOW;
    TAILQ_INSERT_HEAD(queue_of(w), w, link);
    ++*count_of(w);
    rp_shed_parked(w);
}

void rp_unpark(struct rp_waiter *w)
{
    RP_ASSERT(w->place == RP_PLACE_PARKED);
    TAILQ_REMOVE(queue_of(w), w, link);
    --*count_of(w);
    rp_shed_left(w->pool);
    w->place = RP_PLACE_NONE;
    bool whole = w->lane == RP_LANE_SHARED && rp_query_of(w)->deadline_ns; /* its deadline covers the answer too */
    if (!whole && !RP_PLANT(deadline_kept)) rp_timer_stop(w->pool->reactor, &w->timer);
}

/* ---- decided, and told later ---- */

static void end(struct rp_waiter *w, int status)
{
    RP_ASSERT(w->place != RP_PLACE_ENDED && w->place != RP_PLACE_PARKED);
    w->status = status;
    w->place = RP_PLACE_ENDED;
    rp_timer_stop(w->pool->reactor, &w->timer);
    TAILQ_INSERT_TAIL(&w->pool->ended, w, link);
    rp_ready(w->pool->reactor, &w->pool->tell);
}

void rp_end_lease(struct pg_lease *lease, int status)
{
    rp_error_set(lease->error, status, "%s", pg_error_text(status));
    end(&rp_lease(lease)->waiter, status);
}

void rp_end_decided(struct pg_query *q)
{
    struct rp_query *rq = rp_query(q);
    rq->slot = NULL;
    rq->columns = NULL;
    if (rq->lease) rp_lease(rq->lease)->ended++;
    end(&rq->waiter, q->status);
}

void rp_end_query(struct pg_query *q, int status, enum pg_sent sent, const struct pg_error *why)
{
    struct rp_query *rq = rp_query(q);
    if (sent == PG_SENT_NO && rq->waiter.flags & RP_QUERY_REPEATED)
        sent = PG_SENT_MAYBE; /* its first attempt was sent */
    q->status = status;
    q->sent = sent;
    q->rows = 0;
    memset(q->tag, 0, sizeof q->tag);
    memset(q->sqlstate, 0, sizeof q->sqlstate);
    if (why) memcpy(q->sqlstate, why->sqlstate, sizeof q->sqlstate);
    if (q->error && why) *q->error = *why;
    else if (q->error && q->error->code != status) rp_error_set(q->error, status, "%s", pg_error_text(status));
    if (q->error) q->error->code = status, q->error->sent = sent;
    rp_end_decided(q);
}

void rp_end_batch(struct pg_query *culprit, int status, enum pg_sent sent, const struct pg_error *why)
{
    for (struct pg_query *q = rp_query(culprit)->head; q; q = q->next) {
        rp_query(q)->waiter.place = RP_PLACE_NONE;
        rp_end_query(q, q == culprit ? status : PG_E_BATCH, sent, why);
    }
}

/* Why nobody could be served: those that are there were busy, no connection could be made, or none was made yet. */
static int late(struct pg_pool *pool, struct pg_error *error)
{
    if (pool->suspended) return rp_error_set(error, PG_E_TIMEOUT, "the pool is suspended");
    if (rp_pool_usable(pool) > 0 || pool->purse.waiting)
        return rp_error_set(error, PG_E_TIMEOUT, "no connection was free before the deadline%s",
                            pool->purse.waiting ? ", and none was left of the budget" : "");
    if (pool->connect_error.code == 0)
        return rp_error_set(error, PG_E_UNAVAILABLE, "the connection to %s was not established before the deadline",
                            rp_hosts_asked(pool)->where);
    *error = pool->connect_error;
    error->code = PG_E_UNAVAILABLE;
    return PG_E_UNAVAILABLE;
}

/* No longer parked, and this is why. */
static void end_parked(struct rp_waiter *w, struct pg_query *culprit, const struct pg_error *why)
{
    rp_unpark(w);
    rp_pool_kick(w->pool); /* those behind it may be served now */
    if (w->lane == RP_LANE_LEASE) {
        struct pg_lease *lease = rp_lease_of(w);
        rp_end_lease(lease, why->code);
        if (lease->error) *lease->error = *why;
    } else {
        rp_end_batch(culprit, why->code, PG_SENT_NO, why);
    }
}

void rp_end_refused(struct rp_waiter *w, const struct pg_error *why)
{
    end_parked(w, w->lane == RP_LANE_LEASE ? NULL : rp_query_of(w), why);
}

void rp_end_parked(struct rp_waiter *w, struct pg_query *culprit, int status)
{
    struct pg_error why;
    rp_error_set(&why, status, "%s", pg_error_text(status));
    if (status == PG_E_TIMEOUT) status = late(w->pool, &why);
    if (status == PG_E_UNAVAILABLE && w->pool->connect_error.code) {
        why = w->pool->connect_error;
        why.code = status;
    }
    if (status == PG_E_TIMEOUT && (culprit ? culprit->error : rp_lease_of(w)->error)) rp_name_holders(w->pool, &why);
    end_parked(w, culprit, &why);
}

void rp_end_waiter(struct rp_waiter *w, int status)
{
    rp_end_parked(w, w->lane == RP_LANE_LEASE ? NULL : rp_query_of(w), status);
}

/* ---- telling ---- */

/* serialization_failure, deadlock_detected: the whole transaction may be tried again. */
static bool is_conflict(const struct pg_query *q)
{
    return q->status != PG_OK && (!strcmp(q->sqlstate, "40001") || !strcmp(q->sqlstate, "40P01"));
}

/* The caller's own wish has come true: that is no complaint of the server's. */
static void look_at_cancel(struct pg_query *q)
{
    if (q->status != PG_E_SERVER || strcmp(q->sqlstate, "57014") != 0) return;
    q->status = PG_E_CANCELLED;
    if (q->error) q->error->code = PG_E_CANCELLED;
}

/* Its caller knows of its end, or wants to know nothing: other rows may come. */
static void let_go_of_row(struct pg_query *q)
{
    struct pg_lease *lease = rp_query(q)->lease;
    struct rp_slot *slot = lease ? rp_lease(lease)->slot : NULL;
    if (slot) rp_conn_let_go(&slot->conn, q);
}

void rp_tell_query(struct pg_query *q)
{
    struct rp_query *rq = rp_query(q);
    struct pg_pool *pool = rq->waiter.pool;
    if (rq->waiter.flags & RP_QUERY_CANCEL) look_at_cancel(q);
    if (rq->lease && is_conflict(q)) rp_lease(rq->lease)->conflict = true;
    rp_timer_stop(pool->reactor, &rq->waiter.timer);
    rq->waiter.place = RP_PLACE_DONE;
    rp_saw_outcome(pool, rq->waiter.since_ns);
    RP_PROBE3(query__done, pool, q, q->status);
    let_go_of_row(q);
    struct rp_waker *waker = rq->waker;
    if (q->on_done) q->on_done(q);
    else if (waker) waker->wake(waker, q->status);
}

static void tell_lease(struct pg_lease *lease)
{
    struct rp_lease *rl = rp_lease(lease);
    int status = rl->waiter.status;
    struct rp_waker *waker = rl->waker;
    rl->waiter.place = RP_PLACE_NONE;
    if (lease->on_grant) lease->on_grant(lease, status);
    else if (waker) waker->wake(waker, status);
}

void rp_pool_tell(struct rp_node *node)
{
    struct pg_pool *pool = RP_CONTAINER(node, struct pg_pool, tell);
    struct rp_waiter *w;
    rp_stats_changed(pool);
    pool->nleases_out++; /* of a closed pool a callback may return the last lease */
    while ((w = TAILQ_FIRST(&pool->ended))) {
        if (!rp_budget_take(pool->reactor)) {
            rp_ready(pool->reactor, node);
            break;
        }
        TAILQ_REMOVE(&pool->ended, w, link);
        if (w->lane == RP_LANE_LEASE) {
            tell_lease(rp_lease_of(w));
            continue;
        }
        struct rp_query *rq = rp_query(rp_query_of(w));
        if (rq->lease) rp_lease(rq->lease)->ended--;
        rp_tell_query(rp_query_of(w));
    }
    rp_pool_close_if_done(pool);
    rp_pool_return_lease(pool);
}

void rp_forget_query(struct pg_query *q)
{
    struct rp_query *rq = rp_query(q);
    if (rq->waiter.place == RP_PLACE_ENDED && !RP_PLANT(callback_after_abandon)) {
        TAILQ_REMOVE(&rq->waiter.pool->ended, &rq->waiter, link);
        if (rq->lease) rp_lease(rq->lease)->ended--;
        rp_pool_kick(rq->waiter.pool);
    }
    rp_timer_stop(rq->waiter.pool->reactor, &rq->waiter.timer);
    rq->waiter.place = RP_PLACE_NONE;
    let_go_of_row(q);
}

/* ---- deadlines ---- */

/* On a connection: not written yet, it is taken out; else its answer is still due, and the shared connection takes no
 * new work until it came, at most for the linger time. */
void rp_fire_query(struct rp_timer *timer)
{
    struct rp_waiter *w = RP_CONTAINER(timer, struct rp_waiter, timer);
    struct pg_query *q = rp_query_of(w);
    struct rp_slot *slot = rp_query(q)->slot;
    struct pg_error why;
    if (w->place == RP_PLACE_ACTIVE && rp_session_decided(&slot->conn.session, rp_query(q)->sequence)) return;
    w->pool->stats.timeout_count++;
    if (w->place == RP_PLACE_PARKED) {
        rp_end_parked(&rp_query(rp_query(q)->head)->waiter, q, PG_E_TIMEOUT);
        return;
    }
    RP_ASSERT(w->place == RP_PLACE_ACTIVE);
    rp_error_set(&why, PG_E_TIMEOUT, "the deadline passed %llu ms after the query was started",
                 (unsigned long long)((rp_now(w->pool->reactor) - w->since_ns) / MS));
    enum rp_detach detached = rp_slot_detach(slot, q);
    if (detached == RP_DETACH_GONE) {
        rp_end_batch(q, PG_E_TIMEOUT, PG_SENT_NO, &why);
        rp_slot_settle(slot);
        return;
    }
    w->place = RP_PLACE_NONE;
    rp_end_query(q, PG_E_TIMEOUT, PG_SENT_MAYBE, &why);
    if (detached == RP_DETACH_BROKEN) rp_slot_kill(slot, PG_E_LOST, PG_SENT_MAYBE, NULL);
    else rp_slot_stall(slot), rp_slot_settle(slot);
}
