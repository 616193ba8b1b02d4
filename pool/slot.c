/* pool/slot.c - the slots: which state may follow which, what a connection's events do to its slot, and starting
 * requests on it. */
#include "pool/state.h"

#define BIT(state) (1u << RP_SLOT_##state)

static const uint16_t legal[RP_SLOT_STATES] = {
    [RP_SLOT_FREE] = BIT(ASKING) | BIT(CONNECTING),
    [RP_SLOT_ASKING] = BIT(CONNECTING) | BIT(CLOSING),
    [RP_SLOT_CONNECTING] = BIT(PREPARING) | BIT(CLOSING),
    [RP_SLOT_PREPARING] = BIT(IDLE) | BIT(LISTENING) | BIT(PARTING) | BIT(CLOSING),
    [RP_SLOT_IDLE] = BIT(SOLO) | BIT(SHARED) | BIT(CHECKING) | BIT(LEASED) | BIT(PARTING) | BIT(CLOSING),
    [RP_SLOT_SOLO] = BIT(IDLE) | BIT(STALLED) | BIT(PARTING) | BIT(CLOSING),
    [RP_SLOT_SHARED] = BIT(IDLE) | BIT(DRAINING) | BIT(RETIRING) | BIT(STALLED) | BIT(PARTING) | BIT(CLOSING),
    [RP_SLOT_DRAINING] = BIT(IDLE) | BIT(SHARED) | BIT(RETIRING) | BIT(STALLED) | BIT(PARTING) | BIT(CLOSING),
    [RP_SLOT_RETIRING] = BIT(STALLED) | BIT(PARTING) | BIT(CLOSING),
    [RP_SLOT_STALLED] = BIT(IDLE) | BIT(SHARED) | BIT(PARTING) | BIT(CLOSING),
    [RP_SLOT_CHECKING] = BIT(LEASED) | BIT(RESETTING) | BIT(PARTING) | BIT(CLOSING),
    [RP_SLOT_LEASED] = BIT(RESETTING) | BIT(CLOSING),
    [RP_SLOT_RESETTING] = BIT(IDLE) | BIT(PARTING) | BIT(CLOSING),
    [RP_SLOT_LISTENING] = BIT(PARTING) | BIT(CLOSING),
    [RP_SLOT_PARTING] = BIT(CLOSING),
    [RP_SLOT_CLOSING] = BIT(FREE),
};

/* Statements of several callers are on it, or may be. */
static const unsigned SHARING = BIT(SOLO) | BIT(SHARED) | BIT(DRAINING) | BIT(RETIRING) | BIT(STALLED);

static struct rp_slot *slot_of(struct rp_conn *conn) { return RP_CONTAINER(conn, struct rp_slot, conn); }

/* ---- lists and counts ---- */

static void leave_list(struct rp_slot *slot)
{
    if (slot->listens) return; /* it is beside all others */
    slot->pool->count[slot->state]--;
    if (slot->state == RP_SLOT_SHARED) rp_work_unlist(slot);
    else TAILQ_REMOVE(&slot->pool->slots[slot->state], slot, link);
}
static void join_list(struct rp_slot *slot)
{
    if (slot->listens) return;
    slot->pool->count[slot->state]++;
    if (slot->state == RP_SLOT_SHARED) rp_work_list(slot);
    else
        TAILQ_INSERT_HEAD(&slot->pool->slots[slot->state], slot, link); /* idle: the last that was used is used next */
}

/* Nobody's queries are on it any more. */
static void forget_wishes(struct rp_slot *slot)
{
    rp_timer_stop(slot->pool->reactor, &slot->again);
    slot->asked = slot->used = false;
}

void rp_slot_move(struct rp_slot *slot, enum rp_slot_state state)
{
    RP_ASSERT(legal[slot->state] & 1u << state);
    RP_ASSERT((state != RP_SLOT_IDLE && state != RP_SLOT_FREE) || !rp_cancel_busy(&slot->cancel));
    enum rp_slot_state before = slot->state;
    leave_list(slot);
    rp_saw_move(slot, state);
    slot->state = state;
    join_list(slot);
    slot->chore = 0;
    slot->doing = NULL;
    rp_timer_stop(slot->pool->reactor, &slot->stall);
    switch (state) {
    case RP_SLOT_SHARED:
    case RP_SLOT_SOLO:
        rp_slot_set_normal(slot, true);
        slot->fresh = false;
        break;
    case RP_SLOT_LEASED: slot->fresh = false; break;
    case RP_SLOT_FREE: rp_slot_set_normal(slot, false); break;
    case RP_SLOT_IDLE:
        rp_slot_set_normal(slot, false);
        forget_wishes(slot);
        slot->work_ns = 0;
        rp_life_idle(slot);
        break;
    case RP_SLOT_CLOSING:
        forget_wishes(slot);
        if (!RP_PLANT(timer_leaked)) rp_timer_stop(slot->pool->reactor, &slot->age);
        break;
    default: break;
    }
    if (slot->listens) rp_listen_moved(slot, before == RP_SLOT_LISTENING);
}

void rp_slot_event(struct rp_slot *slot, enum pg_event_kind kind, const struct pg_error *error)
{
    struct pg_event event = { .kind = kind, .error = error, .host = slot->host->where };
    if (slot->pool->on_event) slot->pool->on_event(slot->pool->arg, &event);
}

/* ---- requests ---- */

void rp_slot_start(struct rp_slot *slot, struct pg_query *head)
{
    bool grouped = head->next != NULL;
    for (struct pg_query *q = head; q; q = q->next) {
        struct rp_query *rq = rp_query(q);
        unsigned flags = (grouped ? RP_ENTRY_GROUP : 0) | (q->next ? 0 : RP_ENTRY_SYNC) |
                         (rq->waiter.sql_class == RP_SQL_COMMIT ? RP_ENTRY_COMMIT : 0) |
                         (rq->waiter.flags & RP_QUERY_COPY ? RP_ENTRY_COPY : 0);
        rq->waiter.place = RP_PLACE_ACTIVE;
        rq->slot = slot;
        rp_conn_enqueue(&slot->conn, q, (uint16_t)flags);
        rq->work_ns = rp_work_expected(slot->pool, q);
        slot->work_ns += rq->work_ns;
    }
    if (slot->state == RP_SLOT_IDLE) {
        rp_work_head(slot);
        rp_slot_move(slot, rp_query(head)->waiter.flags & RP_QUERY_SLOW ? RP_SLOT_SOLO : RP_SLOT_SHARED);
    } else if (slot->state == RP_SLOT_SHARED) {
        rp_work_relist(slot);
    }
}

enum rp_detach rp_slot_detach(struct rp_slot *slot, struct pg_query *q)
{
    rp_work_given_up(slot, q);
    enum rp_detach detached = rp_conn_detach(&slot->conn, q);
    if (detached == RP_DETACH_GONE) rp_work_recount(slot);
    return detached;
}

bool rp_slot_has_queries(struct rp_slot *slot)
{
    struct rp_session *s = &slot->conn.session;
    for (uint32_t sequence = s->head; sequence != s->tail; sequence++) {
        const struct pg_query *q = rp_session_entry(s, sequence)->query;
        if (q && q != &slot->own) return true;
    }
    return false;
}

/* How long the server may take to answer what nobody waits for, before the connection is given up. */
static void start_stall(struct rp_slot *slot)
{
    if (!rp_timer_armed(&slot->stall))
        rp_timer_start(slot->pool->reactor, &slot->stall,
                       rp_now(slot->pool->reactor) + slot->pool->info.pool_close_linger_ns);
}

void rp_slot_stall(struct rp_slot *slot)
{
    if (legal[slot->state] & BIT(STALLED)) rp_slot_move(slot, RP_SLOT_STALLED);
}

bool rp_slot_quiet(const struct rp_slot *slot)
{
    return rp_session_in_flight(&slot->conn.session) == 0 && !rp_cancel_busy(&slot->cancel);
}

void rp_slot_rest(struct rp_slot *slot)
{
    enum rp_reason reason = slot->state == RP_SLOT_RETIRING ? slot->reason : rp_life_over(slot);
    if (reason != RP_REASON_NONE) rp_life_end(slot, reason);
    else rp_slot_move(slot, slot->listens ? RP_SLOT_LISTENING : RP_SLOT_IDLE);
}

/* What was given up has passed, and others wait for their answers. */
static void go_on_sharing(struct rp_slot *slot)
{
    enum rp_reason reason = rp_life_over(slot);
    rp_work_recount(slot);
    rp_work_head(slot);
    rp_slot_move(slot, RP_SLOT_SHARED);
    if (reason != RP_REASON_NONE) rp_life_retire(slot, reason);
}

void rp_slot_settle(struct rp_slot *slot)
{
    rp_slot_cancel_unwanted(slot);
    bool quiet = rp_slot_quiet(slot);
    if (RP_PLANT(idle_too_early)) quiet = !rp_cancel_busy(&slot->cancel);
    switch (slot->state) {
    case RP_SLOT_SHARED:
        if (quiet) rp_slot_rest(slot);
        else rp_work_relist(slot);
        break;
    case RP_SLOT_SOLO:
    case RP_SLOT_DRAINING:
    case RP_SLOT_RETIRING:
        if (quiet) rp_slot_rest(slot);
        break;
    case RP_SLOT_STALLED:
        if (quiet) rp_slot_rest(slot);
        else if (rp_slot_wanted(slot)) go_on_sharing(slot);
        else start_stall(slot);
        break;
    case RP_SLOT_RESETTING:
        if (quiet && slot->conn.session.transaction == 'I' && !slot->pool->cleans && !slot->role.doubted)
            rp_slot_rest(slot);
        else rp_chore_run(slot);
        break;
    case RP_SLOT_ASKING:
    case RP_SLOT_PREPARING:
    case RP_SLOT_CHECKING:
    case RP_SLOT_PARTING: rp_chore_run(slot); break;
    default: break;
    }
    if (!RP_PLANT(kick_lost)) rp_pool_kick(slot->pool);
}

/* ---- the end of a connection ---- */

static bool own(struct pg_query *q) { return rp_query(q)->waiter.lane == RP_LANE_OWN; }

static bool can_repeat(const struct pg_query *q, bool written)
{
    const struct rp_waiter *w = &rp_query((struct pg_query *)(uintptr_t)q)->waiter;
    if (w->lane != RP_LANE_SHARED || w->pool->closing || w->flags & RP_QUERY_CANCEL) return false;
    if (rp_waited_enough(w)) return false;
    if (!written || RP_PLANT(repeated_though_sent)) return true;
    return q->statement && q->statement->flags & PG_STATEMENT_REPEATABLE && !q->next &&
           !(w->flags & (RP_QUERY_REPEATED | RP_QUERY_ROWS));
}

void rp_slot_kill(struct rp_slot *slot, int status, enum pg_sent sent, const struct pg_error *why)
{
    struct pg_pool *pool = slot->pool;
    struct rp_session *s = &slot->conn.session;
    struct rp_waiters again = TAILQ_HEAD_INITIALIZER(again);
    struct pg_query *q;
    bool written, inside = false, repeat = false, group_written = false;
    /* What was decided keeps its outcome, unless an open transaction of a shared connection takes it back. */
    bool stands = slot->lease || s->transaction == 'I';
    if (slot->lease) rp_lease(slot->lease)->slot = NULL; /* held, and lost: it refuses until it is released */
    slot->lease = NULL;
    rp_hook_drop(slot);
    rp_slot_cancel_last(slot);
    while (stands && rp_session_take_decided(s, &q))
        if (q && !own(q)) rp_end_decided(q);
    while (rp_session_orphan(s, &q, &written)) {
        bool first = !inside; /* or the first that is left: then the whole was written, and decided */
        inside = !(rp_session_entry(s, s->head - 1)->flags & RP_ENTRY_SYNC);
        if (first) group_written = written, repeat = false;
        if (!q || own(q)) continue;
        struct rp_query *rq = rp_query(q);
        rq->slot = NULL;
        if (first && rq->head == q) {
            repeat = can_repeat(q, written);
            if (repeat) TAILQ_INSERT_TAIL(&again, &rq->waiter, link);
            if (repeat && written) rq->waiter.flags |= RP_QUERY_REPEATED;
        }
        if (repeat) rq->waiter.place = RP_PLACE_PARKED;
        else rp_end_query(q, status, group_written ? sent : PG_SENT_NO, why);
    }
    rp_slot_move(slot, RP_SLOT_CLOSING);
    rp_park_first(pool, &again);
    rp_conn_end(&slot->conn);
    rp_slot_free(slot); /* where there was no connection yet */
    rp_pool_kick(pool);
}

static void stalled(struct rp_timer *timer)
{
    struct rp_slot *slot = RP_CONTAINER(timer, struct rp_slot, stall);
    struct pg_error why;
    if (slot->doing) {
        rp_chore_late(slot);
        return;
    }
    if (rp_session_in_flight(&slot->conn.session) == 0 && rp_cancel_busy(&slot->cancel)) {
        rp_cancel_stop(&slot->cancel); /* if it was never sent, the connection is good */
        return;
    }
    rp_error_set(&why, PG_E_LOST, "the connection was given up: a query before did not end in time");
    rp_slot_kill(slot, PG_E_LOST, PG_SENT_MAYBE, &why);
}

/* ---- the stages of its life that are more than a move ---- */

void rp_slot_begin(struct rp_slot *slot, struct rp_host *host, bool any)
{
    struct pg_pool *pool = slot->pool;
    slot->generation = pool->generation;
    slot->stall.fire = stalled;
    rp_conn_log_in(&slot->conn, host->info->password ? &host->session : NULL, &host->keys);
    rp_try_begin(slot, host, any);
    if (!pool->before_connect) {
        rp_slot_connect(slot);
        return;
    }
    rp_slot_move(slot, RP_SLOT_ASKING);
    rp_chore_run(slot);
}

void rp_slot_connect(struct rp_slot *slot)
{
    if (slot->state == RP_SLOT_ASKING && slot->hook->login.changed)
        rp_conn_log_in(&slot->conn, &slot->hook->login.session, NULL);
    rp_slot_move(slot, RP_SLOT_CONNECTING);
    rp_conn_open(&slot->conn, slot->host->address, slot->host->naddresses, slot->host->security);
}

void rp_slot_check(struct rp_slot *slot)
{
    rp_slot_move(slot, RP_SLOT_CHECKING);
    rp_chore_run(slot);
}

/* Whoever is first in the queue by now has it. If that is no lease any more it is as if one had had it. */
void rp_slot_checked(struct rp_slot *slot)
{
    if (rp_life_over(slot) != RP_REASON_NONE) {
        rp_slot_rest(slot);
    } else if (!rp_pool_grant_first(slot->pool, slot)) {
        rp_slot_move(slot, RP_SLOT_RESETTING);
        rp_slot_settle(slot);
    }
}

void rp_slot_part(struct rp_slot *slot)
{
    if (slot->pool->hook[RP_HOOK_BEFORE_CLOSE] && rp_slot_quiet(slot)) {
        rp_slot_move(slot, RP_SLOT_PARTING);
        rp_chore_run(slot);
    } else {
        rp_slot_parted(slot);
    }
}

void rp_slot_parted(struct rp_slot *slot) { rp_slot_kill(slot, PG_E_CLOSED, PG_SENT_NO, NULL); }

/* ---- what the connection tells ---- */

static void on_up(struct rp_conn *conn)
{
    struct rp_slot *slot = slot_of(conn);
    if (slot->hook) rp_login_wipe(&slot->hook->login);
    rp_life_begin(slot);
    rp_role_up(slot);
    slot->mislaid = 0;
    rp_slot_move(slot, RP_SLOT_PREPARING);
    rp_chore_run(slot);
}

void rp_slot_made(struct rp_slot *slot)
{
    struct pg_pool *pool = slot->pool;
    rp_try_up(slot);
    slot->fresh = true;
    pool->stats.new_conns_count++;
    rp_saw_connected(slot);
    rp_slot_rest(slot);
    if (!slot->listens) rp_capacity_stands(pool);
    rp_pool_kick(pool);
    rp_slot_event(slot, PG_EVENT_CONNECTED, NULL);
}

/* There is no session yet. */
static void not_made(struct rp_slot *slot, const struct pg_error *why)
{
    rp_slot_move(slot, RP_SLOT_CLOSING);
    rp_hook_drop(slot);
    rp_pool_connect_failed(slot, why);
    rp_slot_free(slot); /* where there was no connection yet */
    rp_slot_event(slot, PG_EVENT_CONNECT_FAILED, why);
}

void rp_slot_unfit(struct rp_slot *slot, const struct pg_error *why)
{
    switch (slot->state) {
    case RP_SLOT_ASKING: not_made(slot, why); break;
    case RP_SLOT_PREPARING:
        rp_slot_kill(slot, PG_E_LOST, PG_SENT_MAYBE, why);
        rp_pool_connect_failed(slot, why);
        rp_slot_event(slot, PG_EVENT_CONNECT_FAILED, why);
        break;
    case RP_SLOT_PARTING: rp_slot_parted(slot); break;
    default:
        slot->pool->stats.lost_conns_count++;
        rp_slot_kill(slot, PG_E_LOST, PG_SENT_MAYBE, why);
        rp_slot_event(slot, PG_EVENT_LOST, why);
    }
}

static void on_down(struct rp_conn *conn, const struct pg_error *why)
{
    struct rp_slot *slot = slot_of(conn);
    struct pg_pool *pool = slot->pool;
    if (slot->state == RP_SLOT_CLOSING) return;
    if (slot->state == RP_SLOT_IDLE && RP_PLANT(dead_one_kept)) return;
    if (slot->state == RP_SLOT_CONNECTING) {
        not_made(slot, why);
        return;
    }
    if (slot->state == RP_SLOT_PREPARING || slot->state == RP_SLOT_PARTING) {
        rp_slot_unfit(slot, why);
        return;
    }
    pool->stats.lost_conns_count++;
    rp_slot_kill(slot, why->code == PG_E_PROTOCOL ? PG_E_PROTOCOL : PG_E_LOST, PG_SENT_MAYBE, why);
    rp_slot_event(slot, PG_EVENT_LOST, why);
}

static void on_closed(struct rp_conn *conn)
{
    struct rp_slot *slot = slot_of(conn);
    slot->pool->stats.abandoned_count += conn->abandoned;
    rp_cancel_stop(&slot->cancel); /* what it was to stop is gone */
    rp_slot_free(slot);
}

void rp_slot_free(struct rp_slot *slot)
{
    if (slot->conn.state != RP_CONN_CLOSED || rp_cancel_busy(&slot->cancel)) return;
    rp_try_given_up(slot);
    rp_slot_move(slot, RP_SLOT_FREE);
    rp_purse_put(slot);
    rp_pool_kick(slot->pool);
}

static void on_parameter(struct rp_conn *conn) { rp_role_parameter(slot_of(conn)); }

static void on_stopped(struct rp_conn *conn, struct pg_query *q)
{
    rp_slot_wish(slot_of(conn), rp_query(q)->sequence);
    rp_slot_settle(slot_of(conn));
}

static void on_notice(struct rp_conn *conn, const struct pg_error *notice)
{
    rp_slot_event(slot_of(conn), PG_EVENT_NOTICE, notice);
}

/* A statement opened a transaction on a connection that others use: what stands behind it ran inside of that
 * transaction, and is undone with it when the connection goes. */
static void poisoned(struct rp_slot *slot, struct pg_query *culprit)
{
    struct pg_error why;
    rp_error_set(&why, PG_E_ROLLED_BACK,
                 "rolled back: a statement before it left a transaction open on the shared connection");
    if (culprit && culprit->status == PG_OK) {
        culprit->status = PG_E_NEEDS_LEASE;
        culprit->sent = PG_SENT_NO;
        culprit->rows = 0;
        memset(culprit->tag, 0, sizeof culprit->tag);
        rp_error_set(culprit->error, PG_E_NEEDS_LEASE, "the statement left a transaction open; it was rolled back");
    }
    rp_slot_kill(slot, PG_E_ROLLED_BACK, PG_SENT_NO, &why);
}

static void on_outcome(struct rp_conn *conn, struct pg_query *q)
{
    struct rp_slot *slot = slot_of(conn);
    struct pg_pool *pool = slot->pool;
    bool shared = SHARING & 1u << slot->state;
    if (shared) rp_work_end(slot, q);
    if (q && own(q)) {
        if (shared) rp_role_answered(slot, q);
        else if (slot->state == RP_SLOT_LISTENING) rp_listen_outcome(slot, q);
        else rp_chore_outcome(slot, q);
        return;
    }
    bool suspect = q && q->status != PG_OK && rp_pooler_suspected(slot);
    if (q) rp_role_saw(slot, q);
    if (q) rp_query(q)->slot = NULL;
    if (RP_PLANT(open_block_shared)) shared = false;
    if (shared && conn->session.transaction != 'I') poisoned(slot, q);
    else rp_slot_settle(slot);
    pool->telling = slot;
    if (q) rp_tell_query(q);
    pool->telling = NULL;
    if (suspect) rp_pooler_tell(slot);
}

/* Its entry was the oldest, so there is room for one. */
static void on_heal(struct rp_conn *conn, struct pg_query *q)
{
    struct rp_slot *slot = slot_of(conn);
    bool suspect = rp_pooler_suspected(slot);
    if (rp_query(q)->waiter.flags & RP_QUERY_CANCEL) {
        rp_work_recount(slot);
        rp_end_query(q, PG_E_CANCELLED, PG_SENT_NO, NULL);
    } else {
        unsigned commit = rp_query(q)->waiter.sql_class == RP_SQL_COMMIT ? RP_ENTRY_COMMIT : 0;
        unsigned prepare = own(q) ? RP_ENTRY_PREPARE : 0; /* its own queries use no statement but to warm it */
        rp_conn_enqueue(conn, q, (uint16_t)(RP_ENTRY_SYNC | RP_ENTRY_HEALED | commit | prepare));
    }
    rp_slot_settle(slot);
    if (suspect) rp_pooler_tell(slot);
}

const struct rp_conn_ops rp_slot_ops = {
    .up = on_up, .down = on_down, .outcome = on_outcome, .heal = on_heal, .stopped = on_stopped, .notice = on_notice,
    .notification = rp_listen_notification, .parameter = on_parameter, .closed = on_closed,
};
