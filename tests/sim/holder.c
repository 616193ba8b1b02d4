/* sim/holder.c - one lease of a handler: parked, granted, a short script of queries and transactions, its return. */
#include "sim/pg_sim.h"

static void bury(struct run *r, struct holder *h)
{
    table_remove(&r->holders, &h->live);
    heap_bury(&r->heap, h);
}

/* OPEN: the COMMIT is in doubt; then it is all or nothing. */
void holder_settle(struct holder *h, enum fate fate)
{
    struct run *r = h->run;
    uint64_t group = fate == FATE_OPEN && h->npending ? ledger_group(&r->scene->ledger) : 0;
    for (uint32_t i = 0; i < h->npending; i++) {
        if (fate == FATE_OPEN)
            ledger_join(&r->scene->ledger, h->pending[i], group);
        else
            ledger_fate(&r->scene->ledger, h->pending[i], fate);
    }
    h->npending = h->nmarks = 0;
    h->doubtful = h->in_flight && (h->doubtful || fate == FATE_OPEN);
}

/* The outcome of what sets a savepoint or goes back to one. In doubt: so is everything that is pending, each by
 * itself. */
void holder_savepoint(struct holder *h, const struct ask *a)
{
    struct ledger *ledger = &h->run->scene->ledger;
    uint32_t newest = h->nmarks ? h->mark[h->nmarks - 1] : 0;
    if (a->query.status != PG_OK) {
        h->npending = h->nmarks = 0;
        return;
    }
    if (a->kind == ASK_RELEASE && h->nmarks) h->nmarks--;
    if (a->kind == ASK_ROLLBACK_TO)
        while (h->npending > newest) ledger_fate(ledger, h->pending[--h->npending], FATE_NEVER);
    if (a->kind != ASK_SAVEPOINT || h->doubtful) return;
    REQUIRE(h->nmarks < HOLDER_STEPS, "a script is too long");
    h->mark[h->nmarks++] = h->npending;
}

/* What somebody else has left behind on the connection would show in its status. */
void holder_check(const struct holder *h)
{
    char status = pg_lease_transaction(&h->lease);
    REQUIRE(h->began || status == 'I' || status == 0, "a lease is in '%c' and has not begun a transaction", status);
}

/* ---- the script ---- */

static void rested(void *arg)
{
    struct run *r;
    uint32_t id = actor_id(arg, &r);
    struct holder *h = table_find(&r->holders, id);
    if (r->scene->over || !h) return;
    h->resting = false;
    holder_idle(h);
}

static void one_step(struct run *r, struct holder *h)
{
    char status = pg_lease_transaction(&h->lease);
    h->steps--;
    if (chance(r, r->set.hangs)) { /* the last thing that it does: what stands behind it would wait as long */
        h->steps = 0;
        ask_step(h, ASK_HANG);
        return;
    }
    if (status == 'I' && pick(r, 3) == 0)
        ask_step(h, ASK_BEGIN);
    else if (status == 'T' && pick(r, 4) == 0)
        ask_step(h, pick(r, 3) ? ASK_COMMIT : ASK_ROLLBACK);
    else if (status == 'E' && pick(r, 2))
        ask_step(h, pick(r, 3) ? ASK_ROLLBACK_TO : pick(r, 2) ? ASK_ROLLBACK : ASK_COMMIT);
    else if (status == 'T' && pick(r, 3) == 0)
        ask_step(h, pick(r, 2) ? ASK_SAVEPOINT : pick(r, 2) ? ASK_RELEASE : ASK_ROLLBACK_TO);
    else if (status && chance(r, r->set.strays))
        ask_step(h, ASK_STRAY);
    else
        ask_leased(h);
}

static void start(struct run *r, struct holder *h)
{
    struct audit_before before = audit_before(r);
    CALL(r, pg_pool_acquire(r->pool, &h->lease));
    audit_acquired(h, before);
}

/* The struct is the caller's again, and good for another acquire as it stands. */
static void acquire_again(struct holder *h)
{
    struct run *r = h->run;
    r->actors_left--;
    h->held = h->resting = h->doubtful = h->began = false;
    h->waiting = true;
    h->serial = ++r->serial;
    h->started_ns = pg_reactor_now(r->reactor);
    trace("holder %u acquires again", h->live.id);
    start(r, h);
}

void holder_release(struct holder *h)
{
    struct run *r = h->run;
    trace("holder %u releases", h->live.id);
    holder_settle(h, FATE_NEVER);
    CALL(r, pg_lease_release(&h->lease));
    REQUIRE(pg_lease_transaction(&h->lease) == 0, "a released lease has a transaction status");
    if (!r->closed && r->actors_left && pick(r, 8) == 0)
        acquire_again(h);
    else
        bury(r, h);
}

void holder_idle(struct holder *h)
{
    struct run *r = h->run;
    if (!h->held || h->resting || (h->in_flight && !h->pipelined)) return;
    if (h->steps) {
        do one_step(r, h);
        while (h->pipelined && h->steps);
        return;
    }
    if (h->in_flight) return;
    if (chance(r, 100)) { /* works on something else meanwhile */
        h->resting = true;
        sim_after(r->sim, pick(r, 40) * MS, rested, actor_ref(r, h->live.id));
    } else if (pick(r, 8) == 0) {
        holder_abandon(h);
    } else {
        holder_release(h);
    }
}

static void begin_script(struct run *r, struct holder *h)
{
    h->held = true;
    holder_check(h);
    chores_granted(h);
    statements_granted(h);
    h->steps = (uint32_t)pick(r, pick(r, 8) ? 6 : HOLDER_STEPS);
    h->pipelined = pick(r, 3) == 0;
    uint32_t id = h->live.id;
    act_in_callback(r);
    if (table_find(&r->holders, id) == h) holder_idle(h);
}

/* ---- grants ---- */

static void check_grant(struct run *r, struct holder *h, int status)
{
    uint64_t timeout_ns = h->started_ns + r->set.acquire_timeout_ns;
    audit_told(r, h->lease.deadline_ns ? h->lease.deadline_ns : timeout_ns, h->started_ns, "a lease");
    REQUIRE(status == 0 || h->error.code == status, "a lease's error says %s, its status %s",
            pg_error_name(h->error.code), pg_error_name(status));
    REQUIRE(status == 0 || !r->set.calm || r->closing, "an acquire failed in a calm world: %s", pg_error_name(status));
    switch (status) {
    case 0:
        audit_grant(h);
        rules_granted(h);
        if (!r->set.ordered || h->lease.priority) break;
        REQUIRE(h->serial >= r->last_served, "granted before a query that came earlier");
        r->last_served = h->serial;
        break;
    case PG_E_TIMEOUT:
    case PG_E_UNAVAILABLE:
    case PG_E_REFUSED:
    case PG_E_CLOSED:
        break;
    default:
        violation("a lease ended with %s", pg_error_name(status));
    }
}

static void on_grant(struct pg_lease *lease, int status)
{
    struct holder *h = lease->data;
    struct run *r = h->run;
    REQUIRE(!r->calling, "on_grant inside of a call");
    REQUIRE(h->waiting, "a lease was granted twice");
    trace("holder %u: %s", h->live.id, pg_error_name(status));
    noted(r, (uint64_t)(int64_t)status + h->serial);
    h->waiting = false;
    check_grant(r, h, status);
    if (status == 0) {
        r->grants++;
        begin_script(r, h);
        return;
    }
    r->refused_grants++;
    if (pick(r, 2)) CALL(r, pg_lease_abandon(lease)); /* total: nothing happens */
    bury(r, h);
    act_in_callback(r);
}

static struct holder *new_holder(struct run *r)
{
    struct holder *h = heap_actor(sizeof *h);
    table_add(&r->holders, &h->live);
    h->run = r;
    h->lease = (struct pg_lease){ .on_grant = on_grant, .tag = PG_HERE, .error = &h->error, .data = h };
    rules_priority(h);
    h->serial = ++r->serial;
    h->started_ns = pg_reactor_now(r->reactor);
    return h;
}

void holder_acquire(struct run *r)
{
    struct holder *h = new_holder(r);
    if (chance(r, r->set.deadlines))
        h->lease.deadline_ns = sim_now(r->sim) + pick(r, 1000) * MS;
    else if (pick(r, 4) == 0)
        h->lease.deadline_ns = PG_NEVER;
    h->waiting = true;
    trace("holder %u acquires", h->live.id);
    start(r, h);
}

void holder_try(struct run *r)
{
    struct holder *h = new_holder(r);
    int rc;
    CALL(r, rc = pg_pool_try_acquire(r->pool, &h->lease));
    trace("holder %u tries: %s", h->live.id, pg_error_name(rc));
    REQUIRE(rc == 0 || rc == PG_E_REFUSED || rc == PG_E_CLOSED, "try_acquire gave %s", pg_error_name(rc));
    REQUIRE((rc == PG_E_CLOSED) == r->closing, "try_acquire gave %s and the pool is %s", pg_error_name(rc),
            r->closing ? "closing" : "open");
    if (rc) {
        bury(r, h);
        return;
    }
    audit_grant(h);
    h->held = true;
    holder_check(h);
    chores_granted(h);
    h->resting = true;
    h->steps = (uint32_t)pick(r, 3);
    sim_after(r->sim, pick(r, 10) * MS, rested, actor_ref(r, h->live.id));
}

void holder_abandon(struct holder *h)
{
    struct run *r = h->run;
    trace("holder %u is abandoned", h->live.id);
    CALL(r, pg_lease_abandon(&h->lease));
    if (pick(r, 4) == 0) CALL(r, pg_lease_abandon(&h->lease)); /* idempotent */
    for (uint32_t i = r->asks.count; h->in_flight && i-- > 0;) {
        struct ask *a = table_find(&r->asks, r->asks.alive[i]);
        if (a->holder != h) continue;
        ask_forget(a);
        h->in_flight--;
    }
    holder_settle(h, FATE_NEVER);
    bury(r, h);
}
