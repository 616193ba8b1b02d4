/* support/sim_run.c - the loop around reactors in virtual time. In a file of its own, so that tests of the host alone
 * need no reactor. */
#include "support/sim_private.h"

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static struct sim_host_record *record_of(struct sim *sim, const struct pg_reactor *reactor)
{
    for (unsigned i = 0; i < SIM_HOSTS; i++)
        if (sim->hosts[i].host.reactor == reactor) return &sim->hosts[i];
    sim_fail("a reactor of another world");
}

static bool is_due(const struct sim *sim, struct sim_host_record *h)
{
    return h->touched || h->wanted || h->until_ns <= sim->now_ns || atomic_load(&h->woken);
}

static void turn(struct sim *sim, struct sim_host_record *h)
{
    struct pg_reactor *reactor = h->host.reactor;
    (void)sim_host_woken(&h->host);
    int64_t wait_ns = pg_reactor_turn(reactor);
    sim->counters.turns++;
    h->touched = false;
    h->closed = wait_ns == PG_WAIT_CLOSED;
    h->until_ns = wait_ns < 0 ? UINT64_MAX : sum(sim->now_ns, (uint64_t)wait_ns);
    if (sim->after_turn) sim->after_turn(sim->watcher, reactor);
}

struct round {
    uint64_t until_ns; /* the shortest that a reactor permitted to wait */
    unsigned closed;
    bool hurry;        /* one must not wait at all */
};

/* Those that are closed too: somebody may still hold a lease and ask something of it. */
static struct round turn_all(struct sim *sim, struct pg_reactor *const *reactors, unsigned n)
{
    struct round round = { .until_ns = UINT64_MAX };
    unsigned first = (unsigned)sim_random(sim, n);
    for (unsigned i = 0; i < n; i++) {
        struct sim_host_record *h = record_of(sim, reactors[(first + i) % n]);
        if (is_due(sim, h) || sim_chance(sim, sim->config.idle_turn)) turn(sim, h);
    }
    for (unsigned i = 0; i < n; i++) {
        struct sim_host_record *h = record_of(sim, reactors[i]);
        round.closed += h->closed;
        round.hurry = round.hurry || is_due(sim, h);
        if (h->until_ns < round.until_ns) round.until_ns = h->until_ns;
    }
    return round;
}

enum sim_end sim_run_all(struct sim *sim, struct pg_reactor *const *reactors, unsigned n, bool (*done)(void *),
                         void *arg, uint64_t max_ns)
{
    uint64_t end_ns = sum(sim->now_ns, max_ns), turn_ns = sim->config.turn_ns ? sim->config.turn_ns : 1000, at;
    if (n > SIM_HOSTS) sim_fail("%u reactors", n);
    for (;;) {
        struct round round = turn_all(sim, reactors, n);
        if (done && done(arg)) return SIM_DONE;
        if (round.closed == n) return SIM_CLOSED;
        if (sim->now_ns >= end_ns) return SIM_TIME;
        sim_jump(sim);
        if (round.hurry) {
            /* A loop that may not block still takes time, or a reactor that never waits would stop the clock. */
            uint64_t before_ns = sim->now_ns;
            sim_step_until(sim, before_ns);
            uint64_t then_ns = sum(before_ns, turn_ns) < end_ns ? sum(before_ns, turn_ns) : end_ns;
            if (sim->now_ns < then_ns) sim->now_ns = then_ns; /* it may have jumped over the end already */
            continue;
        }
        if (round.until_ns == UINT64_MAX && !sim_next_event(sim, &at)) return SIM_IDLE;
        sim_step_until(sim, round.until_ns < end_ns ? round.until_ns : end_ns);
    }
}

enum sim_end sim_run_until(struct sim *sim, struct pg_reactor *reactor, bool (*done)(void *), void *arg,
                           uint64_t max_ns)
{
    return sim_run_all(sim, &reactor, 1, done, arg, max_ns);
}

enum sim_end sim_run(struct sim *sim, struct pg_reactor *reactor, uint64_t ns)
{
    return sim_run_all(sim, &reactor, 1, NULL, NULL, ns);
}
