/* pool/chore.c - what the pool itself does on a connection before it serves and between two leases: for each such state
 * of a slot a table of chores, one after the other, each when nothing is in flight any more.
 *
 *      ASKING      before there is a connection: before_connect says who it is to be
 *      PREPARING   the session is up, and the connection is made ready; under the connect's deadline
 *      CHECKING    a lease is to have it
 *      RESETTING   a lease is over: answers that nobody waits for pass, then its traces are removed
 *      PARTING     it is healthy, and to be closed
 *
 * Nobody else uses the connection meanwhile. After the last chore the server must be outside of a transaction. A chore
 * that fails or does not end in time costs the connection, and the error names it. Must never know who waits. */
#include <errno.h>
#include <stdio.h>
#include "pool/state.h"

/* ---- the chores ---- */

static bool connect_sql(struct rp_slot *slot)
{
    const char *sql = slot->pool->info.pool_connect_sql;
    if (sql) rp_chore_query(slot, sql, NULL);
    return sql != NULL;
}

static void warm_more(struct rp_slot *slot)
{
    while (slot->warmed < slot->pool->nwarm && rp_session_room(&slot->conn.session, 1))
        rp_conn_enqueue(&slot->conn, &slot->pool->warm[slot->warmed++], RP_ENTRY_SYNC | RP_ENTRY_PREPARE);
}

static bool warm(struct rp_slot *slot)
{
    slot->warmed = 0;
    if (slot->listens) return false; /* nobody runs them there */
    if (slot->pool->info.prepared_statements_off) return false;
    warm_more(slot);
    return slot->pool->nwarm > 0;
}

static bool roll_back(struct rp_slot *slot)
{
    if (slot->conn.session.transaction == 'I') return false;
    rp_chore_query(slot, "ROLLBACK", NULL);
    return true;
}

/* A lease that ran nothing has left nothing. */
static bool reset_sql(struct rp_slot *slot)
{
    const char *sql = slot->pool->info.pool_reset_sql;
    if (!sql || !slot->used || RP_PLANT(reset_skipped)) return false;
    rp_chore_query(slot, sql, NULL);
    return true;
}

static bool before_connect(struct rp_slot *slot) { return rp_hook_begin(slot, RP_HOOK_BEFORE_CONNECT); }
static bool after_connect(struct rp_slot *slot) { return rp_hook_begin(slot, RP_HOOK_AFTER_CONNECT); }
static bool prepare_conn(struct rp_slot *slot) { return rp_hook_begin(slot, RP_HOOK_PREPARE_CONN); }
static bool after_release(struct rp_slot *slot) { return rp_hook_begin(slot, RP_HOOK_AFTER_RELEASE); }
static bool before_close(struct rp_slot *slot) { return rp_hook_begin(slot, RP_HOOK_BEFORE_CLOSE); }

/* Another chore is one more line. */
static const struct rp_chore asking[] = { { "before_connect", before_connect }, { NULL, NULL } };
static const struct rp_chore preparing[] = {
    { "target_session_attrs", rp_role_ask }, { "target_session_attrs", rp_role_judge },
    { "budget", rp_purse_ask_server }, { "budget", rp_purse_server_told },
    { "connect_sql", connect_sql }, { "warm", warm }, { "after_connect", after_connect }, { NULL, NULL },
};
static const struct rp_chore checking[] = { { "prepare_conn", prepare_conn }, { NULL, NULL } };
static const struct rp_chore resetting[] = {
    { "ROLLBACK", roll_back },   { "after_release", after_release }, { "ROLLBACK", roll_back },
    { "target_session_attrs", rp_role_ask_again }, { "target_session_attrs", rp_role_judge_again },
    { "reset_sql", reset_sql },  { NULL, NULL },
};
static const struct rp_chore parting[] = {
    { "ROLLBACK", roll_back }, { "before_close", before_close }, { NULL, NULL },
};

static const struct stage {
    const struct rp_chore *chore;
    void (*over)(struct rp_slot *slot);
    bool serves; /* afterwards somebody may have it: it must be worth it, and outside of a transaction */
} stages[RP_SLOT_STATES] = {
    [RP_SLOT_ASKING] = { asking, rp_slot_connect, false },
    [RP_SLOT_PREPARING] = { preparing, rp_slot_made, true },
    [RP_SLOT_CHECKING] = { checking, rp_slot_checked, true },
    [RP_SLOT_RESETTING] = { resetting, rp_slot_rest, true },
    [RP_SLOT_PARTING] = { parting, rp_slot_parted, false },
};

/* ---- the pool's own queries ---- */

void rp_chore_query(struct rp_slot *slot, const char *sql, enum pg_flow (*on_row)(struct pg_query *, struct pg_row *))
{
    struct pg_query *q = &slot->own;
    *q = (struct pg_query){ .sql = sql, .flags = PG_QUERY_SIMPLE, .on_row = on_row, .data = slot };
    q->error = &slot->pool->own_error;
    rp_query(q)->waiter.lane = RP_LANE_OWN;
    slot->pool->own_error.code = 0;
    RP_ASSERT(rp_session_room(&slot->conn.session, 1)); /* nothing is in flight */
    rp_conn_enqueue(&slot->conn, q, RP_ENTRY_SYNC);
}

/* What the server said stays what it said, under the chore's name. */
static void fail_as(struct rp_slot *slot, const char *name, const struct pg_error *why)
{
    struct pg_error named;
    rp_error_set(&named, why->code, "%s: %s", name, pg_error_field(why, 'M'));
    memcpy(named.sqlstate, why->sqlstate, sizeof named.sqlstate);
    named.sent = why->sent;
    rp_slot_unfit(slot, &named);
}

void rp_chore_fail(struct rp_slot *slot, const struct pg_error *why) { fail_as(slot, slot->doing, why); }

void rp_chore_outcome(struct rp_slot *slot, struct pg_query *q)
{
    const struct pg_pool *pool = slot->pool;
    if (q->status == PG_OK) {
        if (q != &slot->own) warm_more(slot);
        rp_slot_settle(slot);
        return;
    }
    char name[96];
    if (q == &slot->own) {
        rp_chore_fail(slot, q->error);
        return;
    }
    snprintf(name, sizeof name, "warm statement %zu%s%.60s", (size_t)(q - pool->warm) + 1,
             q->statement->name ? " " : "", q->statement->name ? q->statement->name : "");
    fail_as(slot, name, q->error);
}

/* ---- one after the other ---- */

static uint64_t deadline_of(const struct rp_slot *slot)
{
    struct pg_pool *pool = slot->pool;
    switch (slot->state) {
    case RP_SLOT_ASKING: return rp_now(pool->reactor) + pool->config.connect_timeout_ns;
    case RP_SLOT_PREPARING: return slot->conn.deadline_ns;
    default: return rp_now(pool->reactor) + pool->info.pool_close_linger_ns;
    }
}

void rp_chore_late(struct rp_slot *slot)
{
    struct pg_error why;
    bool making = slot->state == RP_SLOT_ASKING || slot->state == RP_SLOT_PREPARING;
    rp_error_set(&why, making ? -ETIMEDOUT : PG_E_LOST, "did not end within %s",
                 making ? "connect_timeout" : "pool_close_linger");
    rp_chore_fail(slot, &why);
}

static void finish(struct rp_slot *slot)
{
    const struct stage *stage = &stages[slot->state];
    if (!stage->serves || slot->conn.session.transaction == 'I') {
        stage->over(slot);
        return;
    }
    struct pg_error why;
    rp_error_set(&why, slot->state == RP_SLOT_PREPARING ? PG_E_CONFIG : PG_E_LOST, "left a transaction open");
    rp_chore_fail(slot, &why);
}

void rp_chore_run(struct rp_slot *slot)
{
    enum rp_slot_state state = slot->state;
    const struct stage *stage = &stages[state];
    while (rp_slot_quiet(slot) && (slot->hook_phase == RP_HOOK_REST || RP_PLANT(hook_unawaited))) {
        if (stage->serves && rp_life_over(slot) != RP_REASON_NONE) { /* it goes anyway */
            stage->over(slot);
            return;
        }
        const struct rp_chore *chore = &stage->chore[slot->chore];
        if (!chore->begin) {
            finish(slot);
            return;
        }
        slot->chore++;
        const char *before = slot->doing;
        slot->doing = chore->name;
        if (chore->begin(slot)) break;
        slot->doing = before;
    }
    if (slot->state == state && !rp_timer_armed(&slot->stall))
        rp_timer_start(slot->pool->reactor, &slot->stall, deadline_of(slot));
}
