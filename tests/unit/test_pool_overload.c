/* unit/test_pool_overload.c - a pool at twice its capacity, in virtual time: arrivals that do not care how those before
 * them fare, callers who want their answer within 50 ms, and what of the work done is of use to anybody. With
 * pool_codel_target and pool_admission, without, and with both; in both lanes. */
#define _GNU_SOURCE
#include "pool/state.h"
#include "support/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNS = 4, WORK_US = 4000, PATIENCE_MS = 50, GUESTS = 60000 };

/* Capacity: CONNS pieces of work of WORK_US on average at a time, 1000/s. */
static const uint64_t US = 1000;

enum lane { LEASES, STATEMENTS };
struct guest {
    struct load *load;
    struct pg_lease lease;
    struct pg_query query;
    struct pg_error error;
    uint64_t came_ns, predicted_ns;
};
struct load {
    struct world w;
    enum lane lane;
    uint64_t end_ns, gap_us, work_us;
    uint64_t patience_ns;        /* 0: the pool is not told */
    struct guest *guest;
    uint32_t came, good, late, refused, timed_out, other;
    uint64_t good_since_ns;      /* `good` counts from then on */
    uint64_t error_ns, waited_ns, judged; /* of predictions   */
};

/* Exponential, with the mean given: arrivals and work as they come. Of a number's logarithm the whole part is exact and
 * the rest linear; two thirds instead of ln 2 make up for that. */
static uint64_t some(struct load *l, uint64_t mean_us)
{
    uint64_t one = 1u << 20, bits = sim_random(l->w.sim, one) + 1, logarithm = one;
    for (; bits < one; bits *= 2) logarithm += one;
    return mean_us * US * 2 / 3 * (logarithm - bits) / one;
}

static void told(struct guest *g, int status, uint64_t now)
{
    struct load *l = g->load;
    if (now < l->good_since_ns) return;
    switch (status) {
    case PG_OK: *(now - g->came_ns <= (uint64_t)PATIENCE_MS * WORLD_MS ? &l->good : &l->late) += 1; break;
    case PG_E_REFUSED: l->refused++; break;
    case PG_E_TIMEOUT: l->timed_out++; break;
    default: l->other++;
    }
}

static void finished(void *arg)
{
    struct guest *g = arg;
    pg_lease_release(&g->lease);
    told(g, PG_OK, sim_now(g->load->w.sim));
}

static void on_grant(struct pg_lease *lease, int status)
{
    struct guest *g = lease->data;
    struct load *l = g->load;
    uint64_t now = sim_now(l->w.sim), waited_ns = now - g->came_ns;
    if (status) {
        told(g, status, now);
        return;
    }
    if (g->predicted_ns && now > l->good_since_ns) {
        l->judged++;
        l->waited_ns += waited_ns;
        l->error_ns += waited_ns > g->predicted_ns ? waited_ns - g->predicted_ns : g->predicted_ns - waited_ns;
    }
    sim_after(l->w.sim, some(l, l->work_us), finished, g);
}

static void on_done(struct pg_query *q)
{
    struct guest *g = q->data;
    told(g, q->status, sim_now(g->load->w.sim));
}

static void arrive(void *arg)
{
    struct load *l = arg;
    uint64_t now = sim_now(l->w.sim);
    if (now >= l->end_ns) return;
    assert_true(l->came < GUESTS);
    struct guest *g = &l->guest[l->came++];
    uint64_t deadline_ns = l->patience_ns ? now + l->patience_ns : 0;
    *g = (struct guest){ .load = l, .came_ns = now };
    if (l->lane == LEASES) {
        g->lease = (struct pg_lease){ .on_grant = on_grant, .deadline_ns = deadline_ns, .error = &g->error, .data = g };
        uint32_t ahead = l->w.pool->nwaiting;
        if (ahead) g->predicted_ns = rp_admission_wait(&l->w.pool->admission, now, ahead);
        pg_pool_acquire(l->w.pool, &g->lease);
    } else {
        g->query = (struct pg_query){ .sql = "WORK", .on_done = on_done, .deadline_ns = deadline_ns, .data = g };
        pg_pool_query(l->w.pool, &g->query);
    }
    sim_after(l->w.sim, some(l, l->gap_us), arrive, l);
}

static void answer(void *arg, struct model_query *q)
{
    struct load *l = arg;
    model_default_answer(q);
    if (!model_describing(q)) model_delay(q, some(l, l->work_us));
}

static void begin(struct load *l, enum lane lane, const char *options)
{
    struct sim_config sim = { .seed = 7, .latency_min_ns = 20000, .latency_max_ns = 40000, .completion_ns = 2000 };
    struct model_config server = { .exit_delay_ns = 200000, .answer = answer, .arg = l };
    char all[256];
    memset(l, 0, sizeof *l);
    snprintf(all, sizeof all, "pool_max_conns=%d pool_min_conns=%d pool_max_pipeline=1 pool_max_waiters=100000 %s",
             CONNS, CONNS, options);
    world_open_with(&l->w, &sim, &server, all);
    l->lane = lane;
    l->guest = calloc(GUESTS, sizeof *l->guest);
    l->work_us = WORK_US;
    world_run(&l->w, 50 * WORLD_MS);
}

/* So many arrivals per second for so long; `good` and the others count behind the first second. */
static void offer(struct load *l, uint32_t per_second, uint64_t seconds)
{
    uint64_t now = sim_now(l->w.sim);
    l->gap_us = 1000000 / per_second;
    l->end_ns = now + seconds * WORLD_SECOND;
    l->good_since_ns = now + WORLD_SECOND;
    l->good = l->late = l->refused = l->timed_out = l->other = 0;
    l->error_ns = l->waited_ns = l->judged = 0;
    arrive(l);
    world_run(&l->w, seconds * WORLD_SECOND + 100 * WORLD_MS); /* the last one has seen that it is over */
}

static void end(struct load *l)
{
    world_run(&l->w, 60 * WORLD_SECOND);
    world_close(&l->w);
    free(l->guest);
}

/* Of the capacity, in percent, what was done in time. */
static uint32_t goodput(const struct load *l, uint64_t seconds)
{
    return l->good / (uint32_t)((seconds - 1) * 1000000 / WORK_US * CONNS / 100);
}

static void report(const char *what, const struct load *l, uint64_t seconds)
{
    print_message("%s: %u %% of the capacity in time; %u late, %u refused, %u timed out\n", what, goodput(l, seconds),
                  l->late, l->refused, l->timed_out);
}

/* ---- twice the capacity ---- */

static void first_in_first_out_alone_collapses(void **state)
{
    (void)state;
    for (enum lane lane = LEASES; lane <= STATEMENTS; lane++) {
        struct load l;
        begin(&l, lane, "");
        offer(&l, 2000, 10);
        report("fifo", &l, 10);
        assert_true(goodput(&l, 10) < 5);
        assert_int_equal(l.refused + l.other, 0);
        assert_int_equal(world_stats(&l.w).overload_count, 0);
        end(&l);
    }
}

static void a_standing_queue_is_cut_and_the_rest_is_in_time(void **state)
{
    (void)state;
    for (enum lane lane = LEASES; lane <= STATEMENTS; lane++) {
        struct load l;
        begin(&l, lane, "pool_codel_target=5ms");
        offer(&l, 2000, 10);
        report("codel", &l, 10);
        assert_true(goodput(&l, 10) >= 85);
        assert_true(l.refused > 7000);
        assert_true(l.late * 100 < l.good);
        struct pg_pool_stats s = world_stats(&l.w);
        assert_true(s.overload_count >= l.refused);
        assert_int_equal(s.refused_count + s.not_admitted_count, 0);
        end(&l);
    }
}

/* Callers say what their patience is; without a rule those who are just about to give up are served, in vain. */
static void admission_lets_in_who_can_be_served(void **state)
{
    (void)state;
    for (enum lane lane = LEASES; lane <= STATEMENTS; lane++) {
        struct load l;
        begin(&l, lane, "pool_admission=on");
        l.patience_ns = 40ull * WORLD_MS;
        offer(&l, 2000, 10);
        report("admission", &l, 10);
        assert_true(goodput(&l, 10) >= 85);
        if (lane == LEASES) assert_true(l.timed_out * 5 < l.good); /* right on average; and work is not waiting */
        assert_true(l.refused > 5000);
        struct pg_pool_stats s = world_stats(&l.w);
        assert_true(s.not_admitted_count >= l.refused);
        assert_int_equal(s.refused_count + s.overload_count, 0);
        end(&l);
    }
}

static void both_rules_at_once(void **state)
{
    (void)state;
    struct load l;
    begin(&l, LEASES, "pool_codel_target=5ms pool_admission=on");
    l.patience_ns = (uint64_t)PATIENCE_MS * WORLD_MS;
    offer(&l, 2000, 10);
    report("both", &l, 10);
    assert_true(goodput(&l, 10) >= 85);
    end(&l);
}

/* ---- what must not happen ---- */

/* Below the capacity nobody is refused but by a burst that lasts; service is what it was. */
static void a_pool_below_its_capacity_refuses_next_to_nobody(void **state)
{
    (void)state;
    static const char *const rules[] = { "pool_codel_target=5ms", "pool_admission=on" };
    for (int i = 0; i < 2; i++) {
        struct load l;
        begin(&l, LEASES, rules[i]);
        l.patience_ns = (uint64_t)PATIENCE_MS * WORLD_MS;
        offer(&l, 800, 20);
        report(rules[i], &l, 20);
        assert_true(l.refused * 100 < l.good);
        assert_true(l.good * 100 > (l.good + l.late + l.refused + l.timed_out) * 98);
        end(&l);
    }
}

/* After the overload: within a second or two everybody is served again. */
static void when_it_is_over_everybody_is_served(void **state)
{
    (void)state;
    static const char *const rules[] = { "pool_codel_target=5ms", "pool_admission=on" };
    for (int i = 0; i < 2; i++) {
        struct load l;
        begin(&l, LEASES, rules[i]);
        l.patience_ns = (uint64_t)PATIENCE_MS * WORLD_MS;
        offer(&l, 2000, 5);
        assert_true(l.refused > 1000);
        offer(&l, 500, 5);
        report(rules[i], &l, 5);
        assert_true(l.refused * 100 < l.good);
        end(&l);
    }
}

/* A server that was fifty times slower for a while: nearly everybody is refused meanwhile, and nobody afterwards.
 * (Statements have their deadline at work, too: those that are in vain end early there and let the next ones in.) */
static void a_recovered_server_is_believed(void **state)
{
    (void)state;
    for (enum lane lane = LEASES; lane <= STATEMENTS; lane++) {
        struct load l;
        begin(&l, lane, "pool_admission=on");
        l.patience_ns = (uint64_t)PATIENCE_MS * WORLD_MS;
        offer(&l, 700, 3);
        l.work_us = 50 * WORK_US;
        offer(&l, 700, 10);
        report("slow", &l, 10);
        assert_true(l.refused > (lane == LEASES ? 10 * (l.good + l.late + l.timed_out) : 1000));
        l.work_us = WORK_US;
        offer(&l, 700, 5);
        report("recovered", &l, 5);
        assert_true(l.refused * 50 < l.good);
        end(&l);
    }
}

/* What is predicted, against what came of it: on average within a quarter of the wait. */
static void predictions_are_right_within_a_quarter(void **state)
{
    (void)state;
    struct load l;
    begin(&l, LEASES, "pool_admission=on");
    offer(&l, 1100, 10); /* with time enough nobody is refused, so that every prediction has its wait */
    assert_int_equal(l.refused, 0);
    print_message("prediction: %llu judged, off by %llu %% of the wait\n", (unsigned long long)l.judged,
                  (unsigned long long)(l.error_ns * 100 / l.waited_ns));
    assert_true(l.judged > 5000);
    assert_true(l.error_ns * 4 < l.waited_ns);
    end(&l);
}

/* ---- single cases ---- */

static unsigned predicted_ms(const struct held *h)
{
    unsigned ms = 0;
    assert_int_equal(h->status, PG_E_REFUSED);
    assert_int_equal(sscanf(pg_error_field(&h->error, 'M'), "refused: it would wait for about %u ms", &ms), 1);
    return ms;
}

static void what_is_free_is_never_refused(void **state)
{
    (void)state;
    struct load l;
    struct held h[CONNS + 3];
    begin(&l, LEASES, "pool_admission=on");
    l.patience_ns = (uint64_t)PATIENCE_MS * WORLD_MS;
    l.work_us = 100 * WORK_US;
    offer(&l, 700, 5); /* the pool knows by now that it is slow */
    world_run(&l.w, 20 * WORLD_SECOND);
    for (int i = 0; i < CONNS + 3; i++) {
        held_init(&h[i]);
        h[i].lease.deadline_ns = pg_reactor_now(l.w.reactor) + 10 * WORLD_MS;
        pg_pool_acquire(l.w.pool, &h[i].lease);
    }
    world_run(&l.w, 5 * WORLD_MS);
    for (int i = 0; i < CONNS; i++) assert_int_equal(h[i].status + (int)h[i].grants, 1);
    assert_int_equal(h[CONNS].grants, 0); /* the first that waits: by it the pool learns */
    unsigned ms = predicted_ms(&h[CONNS + 1]); /* 100 for each of two: himself and the one before him */
    assert_true(ms > 100 && ms < 400);
    assert_int_equal(predicted_ms(&h[CONNS + 1]), predicted_ms(&h[CONNS + 2]));
    for (int i = 0; i < CONNS + 3; i++) pg_lease_abandon(&h[i].lease);
    end(&l);
}

/* The pace of an idle pool is that of its arrivals: nothing is learned from it. */
static void only_waiting_teaches(void **state)
{
    (void)state;
    struct load l;
    struct held h;
    begin(&l, LEASES, "pool_codel_target=5ms pool_admission=on");
    for (int i = 0; i < 50; i++) {
        held_init(&h);
        pg_pool_acquire(l.w.pool, &h.lease);
        world_run(&l.w, WORLD_MS);
        pg_lease_release(&h.lease);
    }
    assert_int_equal(l.w.pool->admission.served, 0);
    end(&l);
}

/* A statement that has had its turn and lost its connection is not refused for the time that it took. */
static void a_second_wait_is_not_judged(void **state)
{
    (void)state;
    static struct pg_statement again = { "ECHO $1", { PG_TYPE_INT8, 0 }, "again", PG_STATEMENT_REPEATABLE, 0 };
    struct load l;
    struct seen s;
    begin(&l, LEASES, "pool_codel_target=5ms");
    seen_init(&s, &again, 8);
    l.work_us = 100000000;
    pg_pool_query(l.w.pool, &s.query);
    world_run(&l.w, 5 * WORLD_MS);
    l.work_us = WORK_US;
    l.gap_us = 500;
    l.end_ns = PG_NEVER;
    arrive(&l);
    world_run(&l.w, WORLD_SECOND);
    assert_true(world_stats(&l.w).overload_count > 0);
    assert_int_equal(s.done, 0);
    for (size_t i = 0; i < model_conn_count(l.w.server); i++)
        if (model_conn_sql_count(model_conn_at(l.w.server, i)))
            model_conn_end(model_conn_at(l.w.server, i), MODEL_END_RESET, NULL);
    world_run(&l.w, WORLD_SECOND);
    l.end_ns = 0;
    assert_int_equal(s.status + (int)s.done, 1);
    assert_int_equal(s.value, 8);
    end(&l);
}

struct visit { struct load *load; struct held held; };
static void visit(void *arg)
{
    struct visit *v = arg;
    held_init(&v->held);
    v->held.lease.priority = PG_PRIORITY_HIGH;
    v->held.lease.deadline_ns = sim_now(v->load->w.sim) + 25 * WORLD_MS;
    pg_pool_acquire(v->load->w.pool, &v->held.lease);
}
static void leave(void *arg)
{
    struct visit *v = arg;
    assert_int_equal(v->held.status + (int)v->held.grants, 1);
    pg_lease_release(&v->held.lease);
}

/* High priority is not refused; and a refusal of the others says how long it took, or would have. */
static void administration_is_not_refused(void **state)
{
    (void)state;
    static const char *const rules[] = { "pool_codel_target=5ms pool_acquire_timeout=60ms",
                                         "pool_admission=on pool_acquire_timeout=60ms" };
    enum { VISITS = 50 };
    for (int i = 0; i < 2; i++) {
        struct load l;
        struct visit visits[VISITS];
        unsigned refused = 0;
        const char *text = i ? "refused: it would wait for about " : "refused after ";
        begin(&l, LEASES, rules[i]);
        for (int k = 0; k < VISITS; k++) {
            visits[k].load = &l;
            sim_after(l.w.sim, WORLD_SECOND + (uint64_t)k * 50 * WORLD_MS, visit, &visits[k]);
            sim_after(l.w.sim, WORLD_SECOND + (uint64_t)k * 50 * WORLD_MS + 30 * WORLD_MS, leave, &visits[k]);
        }
        offer(&l, 2000, 5);
        for (uint32_t k = 0; k < l.came; k++)
            if (l.guest[k].error.code == PG_E_REFUSED && ++refused)
                assert_memory_equal(pg_error_field(&l.guest[k].error, 'M'), text, strlen(text));
        assert_true(refused > 2000);
        end(&l);
    }
}

/* Nothing can be served any more, and still the doomed are told: not at their own deadline but when it is certain. */
static void a_standing_queue_is_cut_although_nothing_moves(void **state)
{
    (void)state;
    struct load l;
    struct held holders[CONNS], h[30];
    begin(&l, LEASES, "pool_codel_target=5ms");
    l.gap_us = 500;
    l.end_ns = PG_NEVER;
    arrive(&l);
    world_run(&l.w, WORLD_SECOND);
    assert_true(world_stats(&l.w).overload_count > 0);
    l.end_ns = 0;
    for (int i = 0; i < CONNS; i++) {
        held_init(&holders[i]);
        holders[i].lease.priority = PG_PRIORITY_HIGH;
        pg_pool_acquire(l.w.pool, &holders[i].lease);
    }
    for (int i = 0; i < 30; i++) {
        held_init(&h[i]);
        pg_pool_acquire(l.w.pool, &h[i].lease);
        world_run(&l.w, 2 * WORLD_MS);
    }
    for (int i = 0; i < CONNS; i++) assert_int_equal(holders[i].status + (int)holders[i].grants, 1);
    assert_int_equal(h[29].grants, 0);
    world_run(&l.w, 9 * WORLD_MS);
    assert_int_equal(h[29].status, PG_E_REFUSED);
    assert_memory_equal(pg_error_field(&h[29].error, 'M'), "refused after 10 ms: the pool is overloaded", 43);
    for (int i = 0; i < CONNS; i++) pg_lease_abandon(&holders[i].lease);
    end(&l);
}

/* Nobody is judged by a suspended queue, nor by the time for which it was. */
static void a_suspended_queue_is_not_judged(void **state)
{
    (void)state;
    struct load l;
    struct held h[50];
    begin(&l, LEASES, "pool_codel_target=5ms pool_admission=on");
    offer(&l, 900, 2);
    assert_true(l.w.pool->admission.served >= 8);
    uint64_t before = world_stats(&l.w).overload_count + world_stats(&l.w).not_admitted_count;
    pg_pool_suspend(l.w.pool);
    for (int i = 0; i < 50; i++) {
        held_init(&h[i]);
        h[i].lease.deadline_ns = pg_reactor_now(l.w.reactor) + 100 * WORLD_MS;
        pg_pool_acquire(l.w.pool, &h[i].lease);
        world_run(&l.w, 5 * WORLD_MS);
    }
    assert_int_equal(world_stats(&l.w).overload_count + world_stats(&l.w).not_admitted_count, before);
    for (int i = 0; i < 50; i++) pg_lease_abandon(&h[i].lease);
    pg_pool_resume(l.w.pool);
    assert_int_equal(l.w.pool->admission.served, 0);
    l.patience_ns = (uint64_t)PATIENCE_MS * WORLD_MS;
    offer(&l, 700, 3);
    assert_true(l.refused * 50 < l.good);
    end(&l);
}

/* All connections are held, and the queue stands, though the last who waited in it were refused. */
static void stand(struct load *l, struct held *holders)
{
    begin(l, LEASES, "pool_codel_target=5ms");
    l->gap_us = 500;
    l->end_ns = PG_NEVER;
    arrive(l);
    world_run(&l->w, WORLD_SECOND);
    assert_true(world_stats(&l->w).overload_count > 0);
    l->end_ns = 0;
    for (int i = 0; i < CONNS; i++) {
        held_init(&holders[i]);
        holders[i].lease.priority = PG_PRIORITY_HIGH;
        pg_pool_acquire(l->w.pool, &holders[i].lease);
    }
    for (int i = 0; i < CONNS; i++)
        for (int ms = 0; ms < 100 && !holders[i].grants; ms++) world_run(&l->w, WORLD_MS);
    world_run(&l->w, 20 * WORLD_MS); /* and nobody waits any more */
    assert_int_equal(l->w.pool->nwaiting, 0);
    for (int i = 0; i < CONNS; i++) assert_int_equal(holders[i].status + (int)holders[i].grants, 1);
}

static void all_return(void *arg)
{
    struct held *holders = arg;
    for (int i = 0; i < CONNS; i++) pg_lease_release(&holders[i].lease);
}

/* Connections have become free in the turn in which those who wait would be refused. */
static void whoever_can_be_served_is_not_refused(void **state)
{
    (void)state;
    struct load l;
    struct held holders[CONNS], h[CONNS + 1];
    stand(&l, holders);
    for (int i = 0; i < CONNS + 1; i++) held_init(&h[i]), pg_pool_acquire(l.w.pool, &h[i].lease);
    sim_after(l.w.sim, 10 * WORLD_MS, all_return, holders);
    world_run(&l.w, 12 * WORLD_MS);
    for (int i = 0; i < CONNS; i++) assert_int_equal(h[i].status + (int)h[i].grants, 1);
    assert_int_equal(h[CONNS].status, PG_E_REFUSED);
    for (int i = 0; i < CONNS + 1; i++) pg_lease_abandon(&h[i].lease);
    end(&l);
}

/* ... and is judged afterwards as if nobody had waited before. */
static void a_resumed_queue_does_not_stand(void **state)
{
    (void)state;
    struct load l;
    struct held holders[CONNS], h[2];
    stand(&l, holders);
    pg_pool_suspend(l.w.pool);
    for (int i = 0; i < 2; i++) held_init(&h[i]), pg_pool_acquire(l.w.pool, &h[i].lease);
    world_run(&l.w, WORLD_SECOND);
    pg_pool_resume(l.w.pool);
    world_run(&l.w, 2 * WORLD_MS);
    for (int i = 0; i < 2; i++) assert_int_equal(h[i].grants, 0);
    for (int i = 0; i < CONNS; i++) pg_lease_abandon(&holders[i].lease);
    world_run(&l.w, 2 * WORLD_MS);
    for (int i = 0; i < 2; i++) assert_int_equal(h[i].status + (int)h[i].grants, 1);
    for (int i = 0; i < 2; i++) pg_lease_abandon(&h[i].lease);
    end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out_alone_collapses),
        cmocka_unit_test(a_standing_queue_is_cut_and_the_rest_is_in_time),
        cmocka_unit_test(admission_lets_in_who_can_be_served),
        cmocka_unit_test(both_rules_at_once),
        cmocka_unit_test(a_pool_below_its_capacity_refuses_next_to_nobody),
        cmocka_unit_test(when_it_is_over_everybody_is_served),
        cmocka_unit_test(a_recovered_server_is_believed),
        cmocka_unit_test(predictions_are_right_within_a_quarter),
        cmocka_unit_test(what_is_free_is_never_refused),
        cmocka_unit_test(only_waiting_teaches),
        cmocka_unit_test(a_second_wait_is_not_judged),
        cmocka_unit_test(administration_is_not_refused),
        cmocka_unit_test(a_standing_queue_is_cut_although_nothing_moves),
        cmocka_unit_test(a_suspended_queue_is_not_judged),
        cmocka_unit_test(whoever_can_be_served_is_not_refused),
        cmocka_unit_test(a_resumed_queue_does_not_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
