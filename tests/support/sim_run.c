/* support/sim_run.c - the loop around reactors in virtual time. In a file of its own, so that tests of the host alone
 * need no reactor. */
#include "support/sim_private.h"

struct round {
    int64_t wait_ns; /* the shortest that a reactor permitted; -1: none said one */
    unsigned closed;
};

static void turn(struct sim *sim, struct pg_reactor *reactor, struct round *round)
{
    int64_t wait_ns = pg_reactor_turn(reactor);
    sim->counters.turns++;
    if (sim->after_turn) sim->after_turn(sim->watcher, reactor);
    if (wait_ns == PG_WAIT_CLOSED) round->closed++;
    else if (wait_ns != PG_WAIT_FOREVER && (round->wait_ns < 0 || wait_ns < round->wait_ns)) round->wait_ns = wait_ns;
}

/* Those that are closed too: somebody may still hold a lease and ask something of it. */
static struct round turn_all(struct sim *sim, struct pg_reactor *const *reactors, unsigned n)
{
    struct round round = { .wait_ns = -1 };
    unsigned first = (unsigned)sim_random(sim, n);
    for (unsigned i = 0; i < SIM_HOSTS; i++) sim_host_woken(&sim->hosts[i].host);
    for (unsigned i = 0; i < n; i++) turn(sim, reactors[(first + i) % n], &round);
    return round;
}

static bool anyone_woken(struct sim *sim)
{
    bool woken = false;
    for (unsigned i = 0; i < SIM_HOSTS; i++) woken |= sim_host_woken(&sim->hosts[i].host);
    return woken;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
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
        uint64_t turned_ns = sim->now_ns;
        sim_jump(sim);
        bool hurry = anyone_woken(sim) || round.wait_ns == 0;
        if (hurry) {
            /* A loop that may not block still takes time, or a reactor that never waits would stop the clock. */
            uint64_t before_ns = sim->now_ns;
            sim_step_until(sim, before_ns);
            uint64_t then_ns = sum(before_ns, turn_ns) < end_ns ? sum(before_ns, turn_ns) : end_ns;
            if (sim->now_ns < then_ns) sim->now_ns = then_ns; /* it may have jumped over the end already */
            continue;
        }
        if (round.wait_ns < 0 && !sim_next_event(sim, &at)) return SIM_IDLE;
        uint64_t limit_ns = round.wait_ns < 0 ? end_ns : sum(turned_ns, (uint64_t)round.wait_ns);
        sim_step_until(sim, limit_ns < end_ns ? limit_ns : end_ns);
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
