/* test_await_crowd.c - everything at once: sixty fibers on three connections, seed after seed. */
#include "jobs.h"

/* Each asks for its own tokens, pulls rows, and now and then cancels somebody. Who holds a lease and asks on the shared
 * lane may wait for others who do the same, until the acquire timeout parts them. */

enum { CROWD = 60 };
struct member {
    struct job job;
    struct sim *sim;
    uint64_t base;
    unsigned answers, strange, failures;
    struct member *all;
};

static void ask_own_token(struct member *m, struct pg_lease *lease, int64_t token)
{
    struct pg_param p = pg_int8(token);
    int64_t sum = 0;
    struct pg_query q = echo_of(&p, &sum);
    if (lease) pg_lease_query(lease, &q);
    else pg_pool_query(m->job.w->pool, &q);
    int rc = pg_await(&q);
    if (rc == 0 && sum != token) m->strange++;
    if (rc == 0) m->answers++;
    else m->failures++;
}

static void pull_some(struct member *m, struct pg_lease *lease)
{
    struct pg_param p = pg_int8((int64_t)sim_random(m->sim, 900));
    struct pg_query q = rows_of(&p);
    struct pg_row *row;
    int64_t n = 0, most = (int64_t)sim_random(m->sim, 1200);
    int rc;
    pg_lease_query(lease, &q);
    while ((rc = pg_await_row(&q, &row)) > 0 && n < most) {
        if (pg_row_int8(row, 0) != ++n) m->strange++;
        if (sim_chance(m->sim, 50)) ask_own_token(m, NULL, (int64_t)(m->base + sim_random(m->sim, 1000)));
        if (sim_chance(m->sim, 20)) (void)!pg_await_sleep(pg_reactor_now(m->job.w->reactor) + WORLD_MS);
    }
    if (rc == 0 && n == p.u.i) m->answers++;
    if (rc > 0) pg_query_abandon(&q);
    if (rc < 0) m->failures++;
}

static void live(void *arg)
{
    struct member *m = arg;
    while (sim_random(m->sim, 40)) {
        struct pg_lease lease = { .tag = PG_HERE };
        if (sim_chance(m->sim, 10)) pg_fiber_cancel(m->all[sim_random(m->sim, CROWD)].job.fiber);
        switch (sim_random(m->sim, 3)) {
        case 0: ask_own_token(m, NULL, (int64_t)(m->base + sim_random(m->sim, 1000))); break;
        case 1: (void)!pg_await_sleep(pg_reactor_now(m->job.w->reactor) + sim_random(m->sim, 3 * WORLD_MS)); break;
        default:
            if (pg_await_acquire(m->job.w->pool, &lease)) break;
            ask_own_token(m, &lease, (int64_t)(m->base + sim_random(m->sim, 1000)));
            pull_some(m, &lease);
            pg_lease_abandon(&lease);
        }
    }
    m->job.ended = true;
}

static unsigned crowd(uint64_t seed, struct sim_config sim)
{
    struct world w;
    unsigned answers = 0;
    struct member *m = calloc(CROWD, sizeof *m);
    assert_non_null(m);
    struct model_config server = { .answer = answer };
    sim.seed = seed;
    sim.latency_max_ns = 100000;
    world_open_with(&w, &sim, &server, "pool_max_conns=3 pool_acquire_timeout=1s");
    for (unsigned i = 0; i < CROWD; i++) {
        m[i] = (struct member){ .sim = w.sim, .base = i * 1000, .all = m, .job.w = &w };
        assert_int_equal(pg_fiber_spawn(w.reactor, live, &m[i], &m[i].job.fiber), 0);
    }
    enum sim_end end = sim_run(w.sim, w.reactor, 5000 * WORLD_SECOND);
    assert_int_equal(end, SIM_IDLE);
    for (unsigned i = 0; i < CROWD; i++) {
        if (!m[i].job.ended) fail_msg("seed %llu: fiber %u has not ended", (unsigned long long)seed, i);
        if (m[i].strange) fail_msg("seed %llu: fiber %u got another's answer", (unsigned long long)seed, i);
        answers += m[i].answers;
    }
    world_close(&w);
    free(m);
    return answers;
}

static void test_a_crowd(void **state)
{
    (void)state;
    static const struct sim_config rough = {
        .short_send = 100, .short_recv = 300, .submit_again = 50, .retryable = 50,
        .completion_ns = 100000, .burst = 300,
    };
    static const struct sim_config deadly = { .short_recv = 300, .reset = 2 };
    unsigned answers = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) answers += crowd(seed, (struct sim_config){ 0 });
    for (uint64_t seed = 21; seed <= 50; seed++) answers += crowd(seed, rough);
    for (uint64_t seed = 51; seed <= 70; seed++) answers += crowd(seed, deadly);
    assert_in_range(answers, 1000, 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
