/* support/fake.c - ringpg/testing.h: the world of a user's test, its time and its troubles. A thin room in front of the
 * simulated host (sim.h) and the model server (model_server.h); answers are in fake_answer.c, leaks in fake_leaks.c. */
#include <stdlib.h>
#include "support/fake_private.h"

enum { TURNS_AT_ONCE = 100 * 1000, FAULTS_MOST = 900 };
_Static_assert((int)PG_FAKE_HOSTS == (int)SIM_HOSTS, "the header tells how many hosts there are");

int pg_fake_open(struct pg_fake **out, uint64_t seed)
{
    struct pg_fake *f = *out = calloc(1, sizeof *f);
    if (!f) return -ENOMEM;
    f->sim = sim_open(&(struct sim_config){ .seed = seed });
    f->server = model_server_open(
        &(struct model_config){ .sim = f->sim, .answer = fake_answer, .arg = f, .answers_once = true });
    return 0;
}

void pg_fake_close(struct pg_fake *f)
{
    if (!f) return;
    if (f->running) sim_fail("pg_fake_close: called from a callback");
    for (unsigned i = 0; i < PG_FAKE_HOSTS; i++)
        if (sim_host_at(f->sim, i)->reactor)
            sim_fail("pg_fake_close: the reactor on host %u is not freed: pg_reactor_close, pg_fake_run, "
                     "pg_reactor_free come before", i);
    model_server_close(f->server);
    sim_close(f->sim);
    free(f);
}

struct pg_host *pg_fake_host(struct pg_fake *f)
{
    return sim_host(f->sim);
}

struct pg_host *pg_fake_host_at(struct pg_fake *f, unsigned index)
{
    return sim_host_at(f->sim, index);
}

/* ---- time ---- */

/* A turn of each reactor. The longest wait that all of them permit; -1: as long as you like. */
static int64_t turn_all(struct pg_fake *f)
{
    int64_t wait_ns = -1;
    bool woken = false;
    for (unsigned i = 0; i < PG_FAKE_HOSTS; i++) {
        struct pg_host *host = sim_host_at(f->sim, i);
        if (!host->reactor) continue;
        (void)sim_host_woken(host);
        int64_t ns = pg_reactor_turn(host->reactor);
        if (ns >= 0 && (wait_ns < 0 || ns < wait_ns)) wait_ns = ns;
    }
    for (unsigned i = 0; i < PG_FAKE_HOSTS; i++) woken |= sim_host_woken(sim_host_at(f->sim, i));
    return woken ? 0 : wait_ns;
}

/* When something happens next; PG_NEVER: nothing ever will. */
static uint64_t next_ns(struct pg_fake *f, int64_t wait_ns)
{
    uint64_t now = sim_now(f->sim), event, at = PG_NEVER;
    if (wait_ns >= 0 && (uint64_t)wait_ns < PG_NEVER - now) at = now + (uint64_t)wait_ns;
    return sim_next_event(f->sim, &event) && event < at ? event : at;
}

bool pg_fake_run(struct pg_fake *f, uint64_t ns)
{
    uint64_t last = sim_now(f->sim), end = ns < PG_NEVER - last ? last + ns : PG_NEVER - 1, at;
    unsigned turns = 0;
    if (f->running) sim_fail("pg_fake_run: called from a callback");
    f->running = true;
    for (; (at = next_ns(f, turn_all(f))) <= end; last = at) {
        turns = at == last ? turns + 1 : 0;
        if (turns > TURNS_AT_ONCE)
            sim_fail("pg_fake_run: %u turns at one instant: something tries again for ever", turns);
        sim_step_until(f->sim, at);
    }
    if (at != PG_NEVER) sim_step_until(f->sim, end); /* nothing is due by then: the clock moves */
    f->running = false;
    return at == PG_NEVER;
}

/* ---- troubles ---- */

void pg_fake_connects(struct pg_fake *f, enum pg_fake_connect how)
{
    static const enum sim_connect outcome[] = { SIM_ACCEPT, SIM_REFUSE, SIM_HANG };
    if ((unsigned)how > PG_FAKE_HANG) sim_fail("pg_fake_connects: %u is none of the three", (unsigned)how);
    model_server_connects(f->server, outcome[how]);
}

void pg_fake_refuse(struct pg_fake *f, const char *sqlstate)
{
    model_server_refuse(f->server, sqlstate);
}

void pg_fake_max_connections(struct pg_fake *f, uint32_t n)
{
    if (!n) sim_fail("pg_fake_max_connections: 0; pg_fake_refuse refuses all");
    model_settings(f->server)->max_connections = n;
}

void pg_fake_disconnect(struct pg_fake *f, const char *sqlstate)
{
    for (size_t i = 0; i < model_conn_count(f->server); i++)
        model_conn_end(model_conn_at(f->server, i), sqlstate ? MODEL_END_FATAL : MODEL_END_RESET, sqlstate);
}

void pg_fake_notify(struct pg_fake *f, const char *channel, const char *payload)
{
    for (size_t i = 0; i < model_conn_count(f->server); i++) {
        struct model_conn *conn = model_conn_at(f->server, i);
        if (model_conn_status(conn)) model_conn_notify(conn, channel, payload);
    }
}

uint32_t pg_fake_connections(const struct pg_fake *f)
{
    return model_stats(f->server)->connections_now;
}

void pg_fake_faults(struct pg_fake *f, const struct pg_fake_faults *faults)
{
    const uint32_t all[] = { faults->partial, faults->reset, faults->refuse, faults->hang, faults->lost_cancel };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] > FAULTS_MOST) sim_fail("pg_fake_faults: %u in 1000 is above %u", all[i], (unsigned)FAULTS_MOST);
    struct sim_config *c = sim_settings(f->sim);
    c->short_send = c->short_recv = faults->partial;
    c->submit_again = c->retryable = faults->partial / 2;
    c->reset = faults->reset;
    c->refuse = faults->refuse;
    c->hang = faults->hang;
    c->latency_min_ns = faults->latency_min_ns;
    c->latency_max_ns = faults->latency_max_ns;
    model_settings(f->server)->cancel_lost = faults->lost_cancel;
}
