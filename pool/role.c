/* pool/role.c - is the server what target_session_attrs asks for? Found out when a connection is made, and again when
 * something says that it has changed: a 25006, a ParameterStatus, a new connection that finds another server.
 *
 * PostgreSQL 14 and later report in_hot_standby and default_transaction_read_only by themselves; older ones are asked,
 * in libpq's words. A host that is not what is asked for is passed over, and looked at again after a delay; that is no
 * failure of its circuit.
 *
 * A server that has ceased to be what is asked for ends all of its connections, idle ones at once, shared ones when
 * they are drained, leased ones on their return; and all hosts are looked at anew. What a session has done to itself
 * (SET default_transaction_read_only) ends that one alone, and a transaction that is read-only by its own wish
 * (BEGIN READ ONLY) ends nothing: so a 25006 is never believed, but leads to a question outside of any transaction.
 *
 * With `any` there is nothing to look for, but a connection that was writable and is not any more is retired. With
 * prefer-standby any server is good enough for a connection that is there. */
#include "pool/state.h"

enum subject { NOTHING, READ_ONLY, STANDBY };
static const struct target {
    enum subject subject;
    enum rp_fact wanted;
    const char *misfit; /* libpq's words */
} targets[RP_TARGETS] = {
    [RP_TARGET_ANY] = { NOTHING, RP_FACT_UNKNOWN, "the session has become read-only" },
    [RP_TARGET_READ_WRITE] = { READ_ONLY, RP_FACT_NO, "session is read-only" },
    [RP_TARGET_READ_ONLY] = { READ_ONLY, RP_FACT_YES, "session is not read-only" },
    [RP_TARGET_PRIMARY] = { STANDBY, RP_FACT_NO, "server is in hot standby mode" },
    [RP_TARGET_STANDBY] = { STANDBY, RP_FACT_YES, "server is not in hot standby mode" },
    [RP_TARGET_PREFER_STANDBY] = { STANDBY, RP_FACT_YES, "server is not in hot standby mode" },
};

static const struct target *target_of(const struct rp_slot *slot) { return &targets[slot->pool->info.target]; }

/* ---- what the session says by itself ---- */

static enum rp_fact parameter(const struct rp_slot *slot, const char *name)
{
    const char *value = rp_session_parameter(&slot->conn.session, name);
    if (!value) return RP_FACT_UNKNOWN;
    return strcmp(value, "on") == 0 ? RP_FACT_YES : RP_FACT_NO;
}

static enum rp_fact reported(const struct rp_slot *slot, enum subject subject)
{
    enum rp_fact standby = parameter(slot, "in_hot_standby");
    enum rp_fact read_only = parameter(slot, "default_transaction_read_only");
    if (subject == STANDBY || standby == RP_FACT_YES) return standby;
    return standby == RP_FACT_UNKNOWN ? RP_FACT_UNKNOWN : read_only;
}

/* ---- what it says when it is asked ---- */

static enum pg_flow on_answer(struct pg_query *q, struct pg_row *row)
{
    struct pg_text text = pg_row_text(row, 0);
    bool yes = text.size > 0 && (text.data[0] == 't' || (text.size == 2 && memcmp(text.data, "on", 2) == 0));
    ((struct rp_slot *)q->data)->role.told = yes ? RP_FACT_YES : RP_FACT_NO;
    return PG_CONTINUE;
}

static void ask(struct rp_slot *slot)
{
    bool standby = target_of(slot)->subject == STANDBY;
    slot->role.told = RP_FACT_UNKNOWN;
    rp_chore_query(slot, standby ? "SELECT pg_catalog.pg_is_in_recovery()" : "SHOW transaction_read_only", on_answer);
}

/* ---- the end of what was good before ---- */

static bool is_former(const struct rp_slot *slot, const struct rp_host *host)
{
    return slot->host == host && slot->role.generation == host->generation && slot->state > RP_SLOT_PREPARING &&
           slot->state != RP_SLOT_CLOSING;
}

/* All connections to the host that were good when they were made are so no more, and hosts that were not may be now. */
static void retire_former(struct pg_pool *pool, struct rp_host *host)
{
    bool any = false;
    for (uint32_t i = 0; i < rp_pool_all(pool) && !any; i++) any = is_former(rp_pool_slot(pool, i), host);
    if (!any) return;
    for (uint32_t i = 0; i < pool->hosts.count; i++)
        if (&pool->hosts.at[i] != host) rp_circuit_move(&pool->hosts.at[i].role, RP_LOOK_ANEW, 0, 0);
    host->generation++;
    for (uint32_t i = 0; i < rp_pool_all(pool); i++) {
        struct rp_slot *slot = rp_pool_slot(pool, i);
        if (slot->host == host && slot->state > RP_SLOT_PREPARING) rp_life_retire(slot, RP_REASON_ROLE);
    }
}

static void mark(struct rp_slot *slot, enum rp_circuit_event event)
{
    struct pg_reactor *r = slot->pool->reactor;
    rp_circuit_move(&slot->host->role, event, rp_now(r), rp_random(r));
}

/* A connection that stands has learned that its server is another one now. */
static void lose(struct rp_slot *slot)
{
    if (slot->role.generation != slot->host->generation) return; /* that is known */
    rp_error_set(&slot->host->error, PG_E_UNAVAILABLE, "%s", target_of(slot)->misfit);
    slot->host->refuses = false;
    mark(slot, RP_TRY_FAILED);
    retire_former(slot->pool, slot->host);
}

/* ---- a new connection ---- */

void rp_role_up(struct rp_slot *slot)
{
    slot->role = (struct rp_role){ .generation = slot->host->generation,
                                   .standby = parameter(slot, "in_hot_standby"),
                                   .writable = reported(slot, READ_ONLY) == RP_FACT_NO };
}

bool rp_role_ask(struct rp_slot *slot)
{
    const struct target *target = target_of(slot);
    if (target->subject == NOTHING) return false;
    slot->role.told = reported(slot, target->subject);
    if (slot->role.told != RP_FACT_UNKNOWN) return false;
    ask(slot);
    return true;
}

static void pass_over(struct rp_slot *slot)
{
    struct pg_error why;
    rp_error_set(&why, PG_E_UNAVAILABLE, "%s", target_of(slot)->misfit);
    slot->pool->stats.connect_failed_count++;
    rp_slot_kill(slot, PG_E_LOST, PG_SENT_NO, &why);
    rp_try_unfit(slot, &why);
    retire_former(slot->pool, slot->host);
    rp_slot_event(slot, PG_EVENT_CONNECT_FAILED, &why);
}

bool rp_role_judge(struct rp_slot *slot)
{
    const struct target *target = target_of(slot);
    if (target->subject == NOTHING) return false;
    if (slot->role.told == target->wanted) {
        mark(slot, RP_TRY_SUCCEEDED);
        return false;
    }
    mark(slot, RP_TRY_FAILED);
    if (slot->pool->info.target == RP_TARGET_PREFER_STANDBY && (slot->any || !rp_hosts_other(slot))) return false;
    pass_over(slot);
    return true;
}

/* ---- one that stands ---- */

/* The session was asked outside of a transaction, and has not reported a default of its own: it is the server. (An old
 * server reports nothing; there a session's SET costs the other connections, too.) */
static void believe(struct rp_slot *slot)
{
    const struct target *target = target_of(slot);
    bool any = target->subject == NOTHING;
    if (slot->role.told == (any ? RP_FACT_NO : target->wanted) || slot->role.told == RP_FACT_UNKNOWN) return;
    if (any) {
        slot->role.misfit = true;
        rp_life_retire(slot, RP_REASON_ROLE);
    } else {
        lose(slot);
    }
}

static bool may_doubt(const struct rp_slot *slot)
{
    switch (slot->pool->info.target) {
    case RP_TARGET_ANY: return slot->role.writable;
    case RP_TARGET_READ_WRITE:
    case RP_TARGET_PRIMARY: return true;
    default: return false;
    }
}

void rp_role_saw(struct rp_slot *slot, const struct pg_query *q)
{
    if (q->status != PG_E_SERVER || strcmp(q->sqlstate, "25006") != 0 || !may_doubt(slot)) return;
    switch (slot->state) {
    case RP_SLOT_CHECKING:
    case RP_SLOT_LEASED:
    case RP_SLOT_RESETTING: slot->role.doubted = true; break;
    case RP_SLOT_SOLO:
    case RP_SLOT_SHARED:
    case RP_SLOT_DRAINING:
    case RP_SLOT_STALLED:
        if (slot->role.asking) break;
        slot->role.asking = true;
        ask(slot); /* there is room: one has just ended */
        break;
    default: break;
    }
}

void rp_role_answered(struct rp_slot *slot, const struct pg_query *q)
{
    slot->role.asking = false;
    if (q->status == PG_OK && slot->state != RP_SLOT_RETIRING) believe(slot);
    rp_slot_settle(slot);
}

bool rp_role_ask_again(struct rp_slot *slot)
{
    if (slot->role.doubted) ask(slot);
    return slot->role.doubted;
}

bool rp_role_judge_again(struct rp_slot *slot)
{
    if (slot->role.doubted) believe(slot);
    slot->role.doubted = false;
    return false;
}

/* in_hot_standby is the server's; default_transaction_read_only may be the session's own. */
void rp_role_parameter(struct rp_slot *slot)
{
    const struct target *target = target_of(slot);
    if (target->subject == NOTHING || slot->pool->info.target == RP_TARGET_PREFER_STANDBY) return;
    if (slot->state < RP_SLOT_PREPARING || slot->state == RP_SLOT_CLOSING || RP_PLANT(old_primary_kept)) return;
    enum rp_fact now = reported(slot, target->subject);
    slot->role.misfit = now != RP_FACT_UNKNOWN && now != target->wanted;
    if (!slot->role.misfit || slot->state == RP_SLOT_PREPARING) return; /* there it is seen when it is made */
    if (parameter(slot, "in_hot_standby") != slot->role.standby) lose(slot);
    else rp_life_retire(slot, RP_REASON_ROLE);
}
