/* sim/tune.c - the operator: resizes, resets, suspends, resumes and warms the pool while handlers are at work, out of
 * the blue and inside of callbacks; and what may be seen of its sizes then. */
#include <errno.h>
#include "sim/pg_sim.h"

/* ---- one thing ---- */

static void resize(struct run *r)
{
    uint32_t most = r->set.one_at_a_time ? 1 : SIZE_MOST;
    uint32_t max = 1 + (uint32_t)pick(r, most), min = pick(r, 2) ? 0 : (uint32_t)pick(r, max + 1);
    int rc;
    if (pick(r, 20) == 0) { /* refused, and nothing changes */
        CALL(r, rc = pg_pool_resize(r->pool, max + 1, max));
        REQUIRE(rc == (r->closing ? PG_E_CLOSED : PG_E_CONFIG), "a wrong size was answered by %s", pg_error_name(rc));
        return;
    }
    if (!r->closing) audit_counts(r); /* of the size that it had */
    CALL(r, rc = pg_pool_resize(r->pool, min, max));
    trace("resize to %u..%u: %s", min, max, pg_error_name(rc));
    if (rc == PG_E_CONFIG && r->scene->budget && !r->closing) return; /* it cannot be made sure of so many */
    REQUIRE(rc == (r->closing ? PG_E_CLOSED : 0) || (rc == -ENOMEM && r->heap.fail), "resize: %s", pg_error_name(rc));
    if (rc) return;
    r->min_conns = min;
    r->max_conns = max;
    if (max > r->peak_conns) r->peak_conns = max;
}

static void resume(void *arg)
{
    struct run *r = arg;
    if (r->closed || r->scene->over) return;
    trace("resume");
    r->suspended = false;
    CALL(r, pg_pool_resume(r->pool));
}

static void on_warm(void *arg, int status)
{
    struct run *r = arg;
    REQUIRE(!r->calling, "on_warm inside of a call");
    REQUIRE(r->warming, "warmed twice");
    REQUIRE(status == 0 || status == PG_E_TIMEOUT || status == PG_E_UNAVAILABLE || status == PG_E_CLOSED,
            "a warm-up ended with %s", pg_error_name(status));
    REQUIRE(status != PG_E_CLOSED || r->closing, "a warm-up was closed by nobody");
    trace("warm: %s", pg_error_name(status));
    noted(r, (uint64_t)(int64_t)status);
    r->warming--;
    act_in_callback(r);
}

static void warm(struct run *r)
{
    int rc;
    uint64_t deadline_ns = pick(r, 3) ? sim_now(r->sim) + pick(r, 1000) * MS : 0;
    r->warming++;
    CALL(r, rc = pg_pool_warm(r->pool, deadline_ns, on_warm, r));
    if (rc) r->warming--;
    REQUIRE(rc == (r->closing ? PG_E_CLOSED : 0) || (rc == -ENOMEM && r->heap.fail), "pg_pool_warm: %s",
            pg_error_name(rc));
}

void tune(struct run *r)
{
    if (r->closed || r->scene->over) return;
    switch (pick(r, 7)) {
    case 0:
    case 1: resize(r); break;
    case 2:
        trace("reset");
        CALL(r, pg_pool_reset(r->pool));
        break;
    case 3:
        trace("suspend");
        r->suspended = !r->closing;
        CALL(r, pg_pool_suspend(r->pool));
        sim_after(r->sim, pick(r, 200) * MS, resume, r);
        break;
    case 4: resume(r); break;
    case 5: shares_resize(r); break;
    default: warm(r); break;
    }
    tune_check(r);
}

static void out_of_the_blue(void *arg)
{
    struct run *r = arg;
    if (r->scene->over || r->scene->healed) return;
    tune(r);
    sim_after(r->sim, pick(r, 2 * r->set.tune_every_ns), out_of_the_blue, r);
}

void tune_begin(struct run *r)
{
    r->min_conns = r->set.min_conns;
    r->max_conns = r->peak_conns = r->bound = r->set.max_conns;
    if (r->set.tunes) sim_after(r->sim, pick(r, r->set.tune_every_ns), out_of_the_blue, r);
}

/* Connections are never above max_conns; after it shrank there may be as many as there were, and never one more. */
void tune_check(struct run *r)
{
    struct pg_pool_stats s = { .size = sizeof s };
    if (r->closed) return;
    pg_pool_stats(r->pool, &s);
    if (r->bound < r->max_conns) r->bound = r->max_conns;
    REQUIRE(s.max_conns == r->max_conns, "max_conns is %u and not %u", s.max_conns, r->max_conns);
    REQUIRE(s.effective_max_conns >= 1 && s.effective_max_conns <= s.max_conns, "effective_max_conns is %u of %u",
            s.effective_max_conns, s.max_conns);
    REQUIRE(s.total_conns <= r->bound, "%u connections, %u at the most", s.total_conns, r->bound);
    r->bound = s.total_conns > r->max_conns ? s.total_conns : r->max_conns;
}
