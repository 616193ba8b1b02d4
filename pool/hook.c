/* pool/hook.c - the caller's own code at five places of a connection's life: called in a turn, ended by pg_hook_done
 * now or later. Owns the handles.
 *
 *      REST -> DUE (in the ready queue) -> CALLED (the caller's) -> OVER (in the ready queue) -> REST
 *
 * A handle is the slot's, one at a time. A slot whose connection goes while the hook is the caller's leaves the handle
 * behind as a stray and takes a new one when it needs one: so a late pg_hook_done meets its own handle, and never the
 * next hook's. Strays end with their pg_hook_done, or with the pool. Must never know what a hook is for. */
#include <errno.h>
#include <stdio.h>
#include "pool/state.h"

static const char *const names[RP_HOOKS] = {
    [RP_HOOK_BEFORE_CONNECT] = "before_connect", [RP_HOOK_AFTER_CONNECT] = "after_connect",
    [RP_HOOK_PREPARE_CONN] = "prepare_conn",     [RP_HOOK_AFTER_RELEASE] = "after_release",
    [RP_HOOK_BEFORE_CLOSE] = "before_close",
};

/* ---- the lease that it is given ---- */

static void lend(struct rp_slot *slot)
{
    struct pg_lease *lease = &slot->hook->lease;
    struct rp_lease *rl = rp_lease(lease);
    *lease = (struct pg_lease){ .tag = names[slot->hook_kind] };
    rl->waiter.pool = slot->pool;
    rl->waiter.lane = RP_LANE_HOOK;
    rl->waiter.place = RP_PLACE_ACTIVE;
    rl->slot = slot;
    slot->lease = lease;
    slot->conn.session.exclusive = true;
}

static void take_back(struct pg_hook *hook)
{
    struct rp_lease *rl = rp_lease(&hook->lease);
    struct rp_slot *slot = rl->slot;
    RP_CALLER(rl->ended == 0 && !(slot && rp_slot_has_queries(slot)), "a hook that ends has no query in flight");
    rl->waiter.place = RP_PLACE_NONE;
    rl->slot = NULL;
    if (!slot) return;
    slot->lease = NULL;
    slot->conn.session.exclusive = false;
}

/* ---- calling and hearing ---- */

bool rp_hook_begin(struct rp_slot *slot, enum rp_hook_kind kind)
{
    RP_ASSERT(slot->hook_phase == RP_HOOK_REST);
    if (!slot->pool->hook[kind] && !(kind == RP_HOOK_BEFORE_CONNECT && slot->pool->before_connect)) return false;
    slot->hook_kind = kind;
    slot->hook_phase = RP_HOOK_DUE;
    rp_ready(slot->pool->reactor, &slot->hooking);
    return true;
}

static void call(struct rp_slot *slot)
{
    struct pg_pool *pool = slot->pool;
    if (!slot->hook) slot->hook = rp_hook_new(pool);
    if (!slot->hook) {
        struct pg_error why;
        slot->hook_phase = RP_HOOK_REST;
        rp_error_set(&why, -ENOMEM, "%s", pg_error_text(-ENOMEM));
        rp_chore_fail(slot, &why);
        return;
    }
    slot->hook->slot = slot;
    slot->hook_phase = RP_HOOK_CALLED;
    if (slot->hook_kind == RP_HOOK_BEFORE_CONNECT) {
        rp_login_begin(&slot->hook->login, pool, slot->host);
        pool->before_connect(pool->arg, slot->hook);
        return;
    }
    lend(slot);
    pool->hook[slot->hook_kind](pool->arg, slot->hook, &slot->hook->lease);
}

static void hear(struct rp_slot *slot)
{
    static const enum rp_reason reasons[RP_HOOKS] = { [RP_HOOK_PREPARE_CONN] = RP_REASON_PREPARE_CONN,
                                                      [RP_HOOK_AFTER_RELEASE] = RP_REASON_AFTER_RELEASE };
    struct pg_error why;
    int status = slot->hook_status;
    slot->hook_phase = RP_HOOK_REST;
    if (status == 0 || slot->hook_kind == RP_HOOK_BEFORE_CLOSE) {
        rp_slot_settle(slot);
    } else if (reasons[slot->hook_kind]) {
        if (slot->fresh) rp_host_blame(slot); /* or it would be made, refused, made ... as fast as the server can */
        rp_life_end(slot, reasons[slot->hook_kind]);
    } else {
        rp_error_set(&why, status, "refused with %s (%d)", pg_error_name(status), status);
        rp_chore_fail(slot, &why);
    }
}

void rp_hook_run(struct rp_node *node)
{
    struct rp_slot *slot = RP_CONTAINER(node, struct rp_slot, hooking);
    if (slot->hook_phase == RP_HOOK_DUE) call(slot);
    else hear(slot);
}

void pg_hook_done(struct pg_hook *hook, int status)
{
    struct rp_slot *slot = hook->slot;
    if (!slot) { /* too late */
        take_back(hook);
        TAILQ_REMOVE(&hook->pool->strays, hook, link);
        rp_hook_free(hook);
        return;
    }
    RP_CALLER(slot->hook_phase == RP_HOOK_CALLED, "a hook is done once");
    take_back(hook);
    slot->hook_phase = RP_HOOK_OVER;
    slot->hook_status = status;
    rp_ready(slot->pool->reactor, &slot->hooking);
}

/* ---- handles ---- */

struct pg_hook *rp_hook_new(struct pg_pool *pool)
{
    struct pg_hook *hook = rp_alloc(pool->reactor, sizeof *hook);
    if (hook) hook->pool = pool;
    return hook;
}

void rp_hook_free(struct pg_hook *hook)
{
    rp_login_wipe(&hook->login);
    rp_free(hook->pool->reactor, hook, sizeof *hook);
}

/* The connection goes: nobody waits for the hook any more. */
void rp_hook_drop(struct rp_slot *slot)
{
    struct pg_hook *hook = slot->hook;
    rp_unqueue(slot->pool->reactor, &slot->hooking);
    if (hook) rp_login_wipe(&hook->login);
    if (slot->hook_phase == RP_HOOK_CALLED && !RP_PLANT(stray_forgotten)) {
        hook->slot = NULL;
        TAILQ_INSERT_TAIL(&hook->pool->strays, hook, link);
        slot->hook = NULL;
    }
    slot->hook_phase = RP_HOOK_REST;
}

void rp_hook_free_strays(struct pg_pool *pool)
{
    struct pg_hook *hook;
    while ((hook = TAILQ_FIRST(&pool->strays))) {
        TAILQ_REMOVE(&pool->strays, hook, link);
        rp_hook_free(hook);
    }
}
