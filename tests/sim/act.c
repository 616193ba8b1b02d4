/* sim/act.c - what handlers do next: arrivals out of the blue, as from the program's own sockets, and whatever a
 * handler may do inside of a callback of the library. */
#include "sim/pg_sim.h"

static void arrive(struct run *r)
{
    if (r->closed) return;
    if (!chance(r, r->set.leases))
        ask_shared(r);
    else if (pick(r, 8) == 0)
        holder_try(r);
    else
        holder_acquire(r);
}

/* Work that one reactor hands to another, as any thread may. */
struct posted {
    struct pg_task task; /* first */
    struct run *to;
};

static void on_posted(struct pg_task *task)
{
    struct run *r = ((struct posted *)task)->to;
    REQUIRE(!r->calling, "a posted task runs inside of a call");
    heap_bury(&r->heap, task);
    trace("reactor %u takes what was posted", r->index);
    noted(r, r->index);
    r->callbacks--; /* no part of the budget: a turn runs all that was posted before it */
    if (!r->actors_left) return;
    r->actors_left--;
    arrive(r);
}

static void post(struct run *from)
{
    struct scene *w = from->scene;
    struct run *r = &w->run[pick(from, w->runs)];
    if (r->closed) return;
    struct posted *p = heap_actor(sizeof *p);
    p->task.run = on_posted;
    p->to = r;
    trace("reactor %u posts to %u", from->index, r->index);
    CALL(r, pg_reactor_post(r->reactor, &p->task));
}

static void on_closed(void *arg)
{
    struct run *r = arg;
    REQUIRE(!r->calling, "on_closed inside of a call");
    REQUIRE(!r->closed, "on_closed twice");
    trace("pool closed");
    r->closed = true;
    r->pool = NULL;
    ears_closed(r);
    if (chance(r, r->set.reenter)) act_in_callback(r);
}

/* Once more is allowed, and shortens the time. */
void act_close(struct run *r)
{
    if (r->closed) return;
    uint64_t now = sim_now(r->sim), drain_ns = pick(r, 2) ? 0 : now + pick(r, 1500) * MS;
    uint64_t bound_ns = (drain_ns ? drain_ns : now) + 2 * r->set.linger_ns + SECOND;
    bound_ns += 10 * sim_settings(r->sim)->jump_ns;
    if (!r->closing || bound_ns < r->close_bound_ns) r->close_bound_ns = bound_ns;
    trace("close, drain until %llu", (unsigned long long)drain_ns);
    r->closing = true;
    r->suspended = false;
    CALL(r, pg_pool_close(r->pool, drain_ns, on_closed, r));
}

/* Any callback may start, abandon, release and close anything. */
void act_in_callback(struct run *r)
{
    if (r->scene->over || r->scene->resting) return;
    if (chance(r, r->set.closing_callback)) act_close(r);
    if (chance(r, r->set.tunes)) tune(r);
    if (!chance(r, r->set.reenter)) return;
    switch (pick(r, 9)) {
    case 0:
    case 1:
    case 2:
        if (!r->actors_left) break;
        r->actors_left--;
        arrive(r);
        break;
    case 3:
        if (r->set.abandons && r->asks.count) ask_abandon(table_any(&r->asks, pick(r, r->asks.count)));
        break;
    case 4:
        if (r->set.abandons && r->holders.count) holder_abandon(table_any(&r->holders, pick(r, r->holders.count)));
        break;
    case 5:
        if (r->set.cancels && r->asks.count) ask_cancel(table_any(&r->asks, pick(r, r->asks.count)));
        break;
    case 6:
        post(r);
        break;
    case 7:
        ears_act(r);
        break;
    default:
        if (!r->closed) holder_try(r);
        break;
    }
}

/* A client hangs up, somewhere. */
static void hang_up(void *arg)
{
    struct run *r = arg;
    if (r->scene->over) return;
    if (pick(r, 2) && r->asks.count)
        ask_abandon(table_any(&r->asks, pick(r, r->asks.count)));
    else if (r->holders.count)
        holder_abandon(table_any(&r->holders, pick(r, r->holders.count)));
}

/* Somebody has waited long enough. */
static void call_off(void *arg)
{
    struct run *r = arg;
    if (r->scene->over || !r->asks.count) return;
    struct ask *a = table_any(&r->asks, pick(r, r->asks.count));
    ask_cancel(a);
    if (pick(r, 4) == 0) ask_cancel(a);
}

/* What the pool counts and what the handlers know. */
static void check_gauges(struct run *r)
{
    struct pg_pool_stats s = { .size = sizeof s };
    uint32_t held = 0, lost = 0;
    if (r->closed) return;
    pg_pool_stats(r->pool, &s);
    for (uint32_t i = 0; i < r->holders.count; i++) {
        struct holder *h = table_find(&r->holders, r->holders.alive[i]);
        if (h->held) pg_lease_transaction(&h->lease) ? held++ : lost++;
    }
    tune_check(r);
    REQUIRE(s.acquired_conns == held, "%u leases are held, %u are counted (and %u are lost)", held, s.acquired_conns,
            lost);
    REQUIRE(s.idle_conns + s.acquired_conns + s.shared_conns + s.constructing_conns <= s.total_conns,
            "the gauges do not add up");
    /* Those that an idle connection will serve in the next turn were not counted in max_pending. */
    REQUIRE(s.pending <= r->asks.count + r->holders.count && s.pending <= s.max_pending + r->peak_conns,
            "%u wait, %u are there, %u were the most", s.pending, r->asks.count + r->holders.count, s.max_pending);
    REQUIRE(s.query_count == r->told, "%llu outcomes were told and %llu counted", (unsigned long long)r->told,
            (unsigned long long)s.query_count);
}

static void burst(void *arg)
{
    struct run *r = arg;
    if (r->scene->over) return;
    check_gauges(r);
    r->arrivals_left--;
    for (uint64_t n = 1 + pick(r, r->set.burst_size); n && r->actors_left; n--) {
        r->actors_left--;
        arrive(r);
        if (chance(r, r->set.abandons)) sim_after(r->sim, pick(r, 50) * pick(r, 20) * 100000, hang_up, r);
        if (chance(r, r->set.cancels)) sim_after(r->sim, pick(r, 50) * pick(r, 20) * 100000, call_off, r);
    }
    if (!r->actors_left) return;
    r->arrivals_left++;
    uint64_t bursts = r->set.actors / r->set.burst_size + 1;
    sim_after(r->sim, pick(r, 2 * r->set.span_ns / bursts + 1), burst, r);
}

void act_arrivals(struct run *r)
{
    r->arrivals_left = 1;
    sim_after(r->sim, pick(r, 20) * MS, burst, r);
}
