/* pool/cancel.c - when the server is asked to stop what it does on a slot's connection.
 *
 * A CancelRequest names a backend and not a statement: it hits whatever the backend does when it arrives. So it is only
 * sent while all that was written to the connection and is not answered yet is wanted by nobody (abandoned, timed out,
 * or its caller asked for this); while it is under way nothing more is written, and the slot is not idle before the
 * server has closed the request's socket. If that is not seen within pool_close_linger, the connection is given up.
 *
 * A request may reach the backend before the statement that it is meant for, and then does nothing: so it is repeated
 * as long as the same statement runs on. */
#include "pool/state.h"

static const uint64_t AGAIN_NS = 250ull * 1000000;

/* Is there something to stop, and nobody who could be harmed? `*running`: the oldest of what is to be answered. */
static bool unwanted(struct rp_slot *slot, uint32_t *running)
{
    struct rp_session *s = &slot->conn.session;
    bool any = false;
    if (slot->conn.state != RP_CONN_OPEN || s->written) return false;
    for (uint32_t sequence = s->head; sequence != s->unsent; sequence++) {
        const struct rp_entry *e = rp_session_entry(s, sequence);
        if (e->flags & RP_ENTRY_DROPPED) continue;
        if (e->query && !(rp_query(e->query)->waiter.flags & RP_QUERY_CANCEL))
            return RP_PLANT(cancel_hits_others) && any;
        if (!any && e->steps) any = true, *running = sequence;
    }
    return any;
}

bool rp_slot_wanted(struct rp_slot *slot)
{
    struct rp_session *s = &slot->conn.session;
    for (uint32_t sequence = s->head; sequence != s->tail; sequence++) {
        const struct rp_entry *e = rp_session_entry(s, sequence);
        if (e->flags & RP_ENTRY_DROPPED) continue;
        if (!e->query || rp_query(e->query)->waiter.flags & RP_QUERY_CANCEL) return false;
    }
    return !rp_cancel_busy(&slot->cancel);
}

static void give_up(struct rp_slot *slot)
{
    struct pg_error why;
    rp_error_set(&why, PG_E_LOST, "the connection was given up: the server did not take a cancel request in time");
    rp_slot_kill(slot, PG_E_LOST, PG_SENT_MAYBE, &why);
}

static void over(struct rp_cancel *cancel, bool certain)
{
    struct rp_slot *slot = RP_CONTAINER(cancel, struct rp_slot, cancel);
    rp_conn_hold(&slot->conn, false);
    if (slot->state == RP_SLOT_CLOSING) rp_slot_free(slot);
    else if (certain) rp_slot_settle(slot);
    else give_up(slot);
}

static void start(struct rp_slot *slot)
{
    uint64_t now = rp_now(slot->pool->reactor);
    slot->cancel.over = over;
    rp_cancel_start(&slot->cancel, &slot->conn, now + slot->pool->info.pool_close_linger_ns);
    rp_conn_hold(&slot->conn, true);
}

static bool any_wish(struct rp_slot *slot)
{
    struct rp_session *s = &slot->conn.session;
    for (uint32_t sequence = s->head; sequence != s->tail; sequence++) {
        struct pg_query *q = rp_session_entry(s, sequence)->query;
        if (q && rp_query(q)->waiter.flags & RP_QUERY_CANCEL) return true;
    }
    return false;
}

static void look_again(struct rp_timer *timer);
static void look_later(struct rp_slot *slot)
{
    slot->again.fire = look_again;
    if (!rp_timer_armed(&slot->again))
        rp_timer_start(slot->pool->reactor, &slot->again, rp_now(slot->pool->reactor) + AGAIN_NS);
}
static void look_again(struct rp_timer *timer)
{
    struct rp_slot *slot = RP_CONTAINER(timer, struct rp_slot, again);
    rp_slot_settle(slot);
    if (slot->state != RP_SLOT_CLOSING && any_wish(slot)) look_later(slot);
}

/* By the entries and not by `next`: other members may have been given up, and their memory is their callers'. */
void rp_slot_wish(struct rp_slot *slot, uint32_t sequence)
{
    struct rp_session *s = &slot->conn.session;
    const struct rp_entry *e;
    sequence = rp_session_group(s, sequence);
    do {
        e = rp_session_entry(s, sequence++);
        if (e->query) rp_query(e->query)->waiter.flags |= RP_QUERY_CANCEL;
    } while (!(e->flags & RP_ENTRY_SYNC));
    look_later(slot);
}

void rp_slot_cancel_unwanted(struct rp_slot *slot)
{
    uint32_t running = 0;
    if (rp_cancel_busy(&slot->cancel) || !unwanted(slot, &running)) return;
    if (rp_timer_armed(&slot->again) && slot->asked && running == slot->asked_for) return;
    rp_slot_stall(slot);
    start(slot);
    slot->asked = true;
    slot->asked_for = running;
    rp_timer_stop(slot->pool->reactor, &slot->again);
    look_later(slot);
}

void rp_slot_cancel_last(struct rp_slot *slot)
{
    struct rp_session *s = &slot->conn.session;
    if (rp_cancel_busy(&slot->cancel) || slot->conn.state != RP_CONN_OPEN || s->due == s->unsent) return;
    start(slot);
}
