/* pool/query.c - starting a query in either lane, and what its caller may do to it afterwards. A batch is checked whole
 * before its first member goes anywhere. */
#include "conn/copy.h"
#include "pool/state.h"
#include "wire/rows.h"

static void begin(struct pg_pool *pool, struct pg_query *head, struct pg_lease *lease, uint8_t flags)
{
    for (struct pg_query *q = head; q; q = q->next) {
        struct rp_query *rq = rp_query(q);
        RP_CALLER(!rp_query_running(q), "a query that is started is not in flight already");
        struct rp_waker *waker = rq->waker;
        *rq = (struct rp_query){ .head = head, .lease = lease, .waker = waker };
        rq->waiter.pool = pool;
        rq->waiter.lane = lease ? RP_LANE_LEASED_QUERY : RP_LANE_SHARED;
        rq->waiter.flags = flags;
        rq->waiter.since_ns = rp_now(pool->reactor);
        rq->waiter.sql_class = (uint8_t)rp_catalog_class(&pool->catalog, q);
        q->status = PG_OK;
        if (q->error) q->error->code = PG_OK;
        if (q->collect && !(RP_PLANT(kept_rows_stay) && q->collect->count)) rp_rows_begin(q->collect);
        RP_PROBE4(query__start, pool, q, q->statement, q->sql);
    }
}

static int check(struct pg_pool *pool, struct pg_query *q, bool shared, struct pg_error *why)
{
    enum rp_sql_class class = (enum rp_sql_class)rp_query(q)->waiter.sql_class;
    bool grouped = rp_query(q)->head->next != NULL;
    if (q->statement && q->flags & PG_QUERY_SIMPLE)
        return rp_error_set(why, PG_E_PARAMETER, "a declared statement cannot use the simple protocol");
    if (shared && q->flags & PG_QUERY_SIMPLE)
        return rp_error_set(why, PG_E_NEEDS_LEASE, "the simple protocol needs a lease");
    if (shared && class != RP_SQL_PLAIN)
        return rp_error_set(why, PG_E_NEEDS_LEASE,
                            "the statement (BEGIN, SET, LISTEN and the like) would change the session that others use");
    if (grouped && q->flags & PG_QUERY_SIMPLE)
        return rp_error_set(why, PG_E_PARAMETER, "a simple query cannot be a member of a batch");
    if (q->next && (class == RP_SQL_COMMIT || class == RP_SQL_ROLLBACK))
        return rp_error_set(why, PG_E_PARAMETER, "COMMIT and ROLLBACK must stand last in a batch");
    if ((q->on_row != NULL) + (q->on_chunk != NULL) + (q->collect != NULL) > 1)
        return rp_error_set(why, PG_E_PARAMETER, "a query has one of on_row, on_chunk and collect");
    return rp_session_check(&pool->config.session, q, &rp_query(q)->bind_size, why);
}

/* False: the batch has ended already. */
static bool checked(struct pg_pool *pool, struct pg_query *head, struct pg_lease *lease, uint8_t flags)
{
    struct pg_error why;
    uint32_t n = 0;
    begin(pool, head, lease, flags);
    for (struct pg_query *q = head; q; q = q->next, n++) {
        int rc = check(pool, q, !lease, &why);
        if (!rc) continue;
        rp_end_batch(q, rc, PG_SENT_NO, &why);
        return false;
    }
    if (n <= pool->info.pool_max_pipeline) return true;
    rp_error_set(&why, PG_E_FULL, "a batch of %u queries is above pool_max_pipeline", n);
    rp_end_batch(head, PG_E_FULL, PG_SENT_NO, &why);
    return false;
}

/* Deadlines of their own, from the start to the outcome. */
static void arm_deadlines(struct pg_pool *pool, struct pg_query *head)
{
    for (struct pg_query *q = head; q; q = q->next) {
        rp_query(q)->waiter.timer.fire = rp_fire_query;
        if (q->deadline_ns) rp_timer_start(pool->reactor, &rp_query(q)->waiter.timer, q->deadline_ns);
    }
}

/* Where it may start at once; NULL: it parks. An idle connection that somebody slow may have, with this one in flight,
 * is left to that one. */
static struct rp_slot *at_once(struct pg_pool *pool, struct pg_query *q)
{
    struct rp_waiter *w = &rp_query(q)->waiter;
    bool slow = rp_slow(pool, q) && (pool->nslow || rp_slow_most(pool));
    if (slow) w->flags |= RP_QUERY_SLOW;
    if (pool->suspended || !(TAILQ_EMPTY(&pool->waiting) || RP_PLANT(barging))) return NULL;
    if (slow) return pool->nslow ? NULL : rp_slow_slot(pool);
    struct rp_slot *slot = rp_slow_due_beside(pool, 1) ? NULL : rp_idle_slot(pool, false);
    return slot ? slot : rp_slot_to_share(pool, rp_batch_size(q), w->since_ns);
}

void pg_pool_query(struct pg_pool *pool, struct pg_query *q)
{
    struct pg_error why;
    if (pool->closing) {
        begin(pool, q, NULL, 0);
        rp_end_batch(q, PG_E_CLOSED, PG_SENT_NO, NULL);
        return;
    }
    if (!checked(pool, q, NULL, 0)) return;
    struct rp_slot *slot = at_once(pool, q);
    if (slot) {
        arm_deadlines(pool, q);
        rp_slot_start(slot, q);
        bool queued = rp_session_in_flight(&slot->conn.session) > 1;
        if (!queued && rp_life_idle_wanted(pool)) rp_pool_kick(pool);
        if (queued && !pool->more_wanted && rp_pool_has_place(pool) && rp_worth_making(pool, 1)) {
            pool->more_wanted = true;
            rp_pool_kick(pool);
        }
    } else if (rp_shed_at_the_door(pool, &rp_query(q)->waiter, &why)) {
        rp_end_batch(q, why.code, PG_SENT_NO, &why);
    } else {
        for (struct pg_query *member = q; member; member = member->next)
            rp_query(member)->waiter.place = RP_PLACE_PARKED;
        arm_deadlines(pool, q->next);
        rp_park(pool, &rp_query(q)->waiter);
    }
}

void rp_lease_start(struct pg_lease *lease, struct pg_query *q, uint8_t flags)
{
    struct rp_lease *rl = rp_lease(lease);
    RP_CALLER(rl->waiter.place == RP_PLACE_ACTIVE, "the lease of a query is held");
    struct pg_pool *pool = rl->waiter.pool;
    if (!rl->slot) { /* of a closed pool nothing is left to check with */
        begin(pool, q, lease, flags);
        rp_end_batch(q, pool->finished ? PG_E_CLOSED : PG_E_LOST, PG_SENT_NO, NULL);
        return;
    }
    if (!checked(pool, q, lease, flags)) return;
    if (RP_PLANT(foreign_connection) && rp_slot_least_loaded(pool)) rl->slot = rp_slot_least_loaded(pool);
    if (!rp_slot_room(rl->slot, rp_batch_size(q))) {
        rp_end_batch(q, PG_E_FULL, PG_SENT_NO, NULL);
    } else {
        arm_deadlines(pool, q);
        rl->slot->used = true;
        rp_slot_start(rl->slot, q);
    }
}

void pg_lease_query(struct pg_lease *lease, struct pg_query *q) { rp_lease_start(lease, q, 0); }

/* ---- what the caller may do afterwards ---- */

void pg_query_resume(struct pg_query *q)
{
    struct rp_query *rq = rp_query(q);
    if (rq->waiter.place == RP_PLACE_ACTIVE) rp_conn_resume(&rq->slot->conn, q);
}

/* The others of a batch that was not sent cannot go on without this one. */
static void end_others(struct pg_query *gone, struct pg_query *head)
{
    struct pg_error why;
    rp_error_set(&why, PG_E_BATCH, "another query of the batch was abandoned");
    for (struct pg_query *q = head; q; q = q->next) {
        if (q == gone) continue;
        rp_query(q)->waiter.place = RP_PLACE_NONE;
        rp_end_query(q, PG_E_BATCH, PG_SENT_NO, &why);
    }
}

void pg_query_abandon(struct pg_query *q)
{
    struct rp_query *rq = rp_query(q);
    struct pg_query *head = rq->head;
    struct rp_slot *slot = rq->slot;
    switch (rq->waiter.place) {
    case RP_PLACE_PARKED:
        rq->waiter.pool->stats.canceled_acquire_count++;
        rp_unpark(&rp_query(head)->waiter);
        end_others(q, head);
        rp_pool_kick(rq->waiter.pool);
        break;
    case RP_PLACE_ACTIVE:
        switch (rp_slot_detach(slot, q)) {
        case RP_DETACH_GONE: end_others(q, head); break;
        case RP_DETACH_KEPT: rp_slot_stall(slot); break;
        case RP_DETACH_BROKEN: rp_slot_kill(slot, PG_E_LOST, PG_SENT_MAYBE, NULL); break;
        }
        rp_slot_settle(slot);
        break;
    case RP_PLACE_ENDED: break;
    default: return;
    }
    rp_forget_query(q);
}

void pg_query_cancel(struct pg_query *q)
{
    struct rp_query *rq = rp_query(q);
    struct rp_slot *slot = rq->slot;
    if (rq->waiter.place == RP_PLACE_PARKED) {
        rq->waiter.pool->stats.canceled_acquire_count++;
        rp_end_parked(&rp_query(rq->head)->waiter, q, PG_E_CANCELLED);
        return;
    }
    if (rq->waiter.place != RP_PLACE_ACTIVE) return;
    struct rp_session *s = &slot->conn.session;
    if (rp_session_decided(s, rq->sequence)) return;
    if (!rp_session_written(s, rp_session_group(s, rq->sequence))) {
        (void)rp_slot_detach(slot, q); /* takes out the whole batch */
        rp_end_batch(q, PG_E_CANCELLED, PG_SENT_NO, NULL);
    } else {
        if (rp_conn_copies_in(&slot->conn, q)) rp_conn_copy_fail(&slot->conn, "cancelled by the caller");
        rp_slot_wish(slot, rq->sequence);
    }
    rp_slot_settle(slot);
}

uint32_t pg_query_columns(const struct pg_query *q)
{
    const struct rp_query *rq = (const struct rp_query *)(const void *)q->private_;
    return rq->columns ? rq->columns->count : 0;
}

struct pg_column pg_query_column(const struct pg_query *q, uint32_t column)
{
    const struct rp_query *rq = (const struct rp_query *)(const void *)q->private_;
    if (column >= pg_query_columns(q)) return (struct pg_column){ .name = { "", 0 } };
    /* What is prepared is described once for both formats; a simple query may fetch from a binary cursor. */
    bool text = q->flags & PG_QUERY_TEXT || (q->statement && q->statement->flags & PG_STATEMENT_TEXT);
    if (q->flags & PG_QUERY_SIMPLE) text = rq->columns->column[column].text;
    return rp_column_of(rq->columns, column, text);
}
