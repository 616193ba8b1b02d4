/* sim/settings.c - what a seed draws before its world begins. Each fault is off in most worlds, so that each is also
 * seen alone and that the rest of a world still gets somewhere. */
#include <stdio.h>
#include <string.h>
#include "sim/pg_sim.h"

static uint64_t between(struct run *r, uint64_t least, uint64_t most)
{
    return least + pick(r, most - least + 1);
}

/* Zero in most worlds. */
static uint32_t seldom(struct run *r, uint32_t most)
{
    return pick(r, 100) < 70 ? 0 : (uint32_t)between(r, 1, most);
}

/* From a slow neighbour to a laptop that was shut. */
static void draw_jumps(struct run *r, struct sim_config *c)
{
    static const uint64_t most_ns[] = { 10 * MS, SECOND, 60 * SECOND, 7200 * SECOND };
    if (pick(r, 10)) return;
    c->jump = (uint32_t)between(r, 1, 20);
    c->jump_ns = most_ns[pick(r, 4)];
}

static void draw_host(struct run *r)
{
    struct sim_config *c = sim_settings(r->sim);
    c->latency_min_ns = between(r, 1, 100) * 1000;
    c->latency_max_ns = c->latency_min_ns + pick(r, 2000) * 1000;
    c->completion_ns = pick(r, 20000);
    c->turn_ns = between(r, 1, 20) * 500;
    c->idle_turn = seldom(r, 150);
    if (r->set.calm) return;
    c->short_send = seldom(r, 500);
    c->short_recv = seldom(r, 500);
    c->submit_again = seldom(r, 300);
    c->retryable = seldom(r, 100);
    c->reset = seldom(r, 10);
    c->fatal = pick(r, 8) ? 0 : (uint32_t)between(r, 1, 10);
    c->hole = pick(r, 8) ? 0 : (uint32_t)between(r, 1, 10);
    c->hole_ns = between(r, 10, 10000) * MS;
    c->refuse = pick(r, 10) ? 0 : (uint32_t)between(r, 1, 300);
    c->hang = pick(r, 10) ? 0 : (uint32_t)between(r, 1, 300);
    c->backlog_full = pick(r, 10) ? 0 : (uint32_t)between(r, 1, 300);
    draw_jumps(r, c);
    c->cancel_late = seldom(r, 1000);
    c->burst = seldom(r, 500);
    c->burst_ns = between(r, 1, pick(r, 4) ? 20 : 500) * 100000;
    if (pick(r, 20) == 0) c->fail_call = between(r, 1, 400);
    if (pick(r, 4) == 0) c->send_buffer_bytes = (size_t)between(r, 64, 8192);
}

static void draw_sizes(struct run *r)
{
    static const uint32_t resumes[] = { 2, 3, 16, 100, 1024 };
    struct settings *s = &r->set;
    s->max_conns = (uint32_t)between(r, 1, 8);
    if (s->one_at_a_time) s->max_conns = 1;
    s->pipeline = pick(r, 3) ? (uint32_t)between(r, 1, 64) : (uint32_t)between(r, 1, 4);
    s->waiters = pick(r, 5) || s->calm ? 10000 : (uint32_t)between(r, 1, 60);
    s->resumes = resumes[pick(r, 5)];
    s->row_limit = pick(r, 4) ? 2048 : 65536;
    if (pick(r, 40) == 0) s->row_limit = 1 << 20;
    s->statements = pick(r, 20) || s->calm ? 64 : (uint32_t)between(r, 1, 12);
    s->slab_bytes = pick(r, 10) || s->calm ? 64 << 20 : (size_t)between(r, 16, 300) << 10;
    s->actors = pick(r, 10) ? (uint32_t)between(r, 1, 340) : (uint32_t)between(r, 300, 1200);
    if (pick(r, 60) == 0) s->actors = (uint32_t)between(r, 1000, 4000);
    if (pick(r, 400) == 0) s->actors = (uint32_t)between(r, 4000, 10000);
    s->burst_size = (uint32_t)between(r, 1, pick(r, 4) ? 10 : s->actors);
    s->span_ns = between(r, 1, 2000) * MS;
    s->heal_ns = 2 * SECOND + pick(r, 3000) * MS;
    s->acquire_timeout_ns = s->calm ? 600 * SECOND : between(r, 50, 4000) * MS;
    s->linger_ns = between(r, 50, 1000) * MS;
    s->connect_timeout_ns = between(r, 2, 3) * SECOND;
    s->connecting_limit = (uint32_t)between(r, 1, 8);
}

/* How long connections live, and what the operator does to the pool. Mostly much shorter than anybody would set it. */
static void draw_life(struct run *r)
{
    struct settings *s = &r->set;
    s->min_conns = pick(r, 3) ? 0 : (uint32_t)pick(r, s->max_conns + 1);
    s->min_idle = pick(r, 5) ? 0 : (uint32_t)pick(r, s->max_conns + 1);
    s->lifetime_ns = pick(r, 3) ? 3600 * SECOND : between(r, 20, 2000) * MS;
    s->jitter_ns = pick(r, 2) ? 0 : pick(r, 1000) * MS;
    s->idle_ns = pick(r, 3) ? 1800 * SECOND : between(r, 5, 1000) * MS;
    s->period_ns = between(r, 1, 500) * MS;
    s->tunes = seldom(r, 100);
    s->tune_every_ns = between(r, 1, 300) * MS;
}

/* What handlers do. */
static void draw_habits(struct run *r)
{
    struct settings *s = &r->set;
    s->reenter = seldom(r, 400);
    s->leases = pick(r, 3) ? (uint32_t)between(r, 0, 500) : 0;
    s->batches = seldom(r, 400);
    s->errors = seldom(r, 200);
    s->pauses = seldom(r, 300);
    s->delay = seldom(r, 200);
    s->delay_ns = between(r, 1, 60) * MS;
    s->copies = pick(r, 2) ? 0 : (uint32_t)between(r, 1, 500);
    s->slow = seldom(r, 100);
    s->slow_ns = pick(r, 3) ? between(r, 1, 40) * MS : 0;
    s->notice = seldom(r, 200);
    if (s->calm) return;
    s->abandons = seldom(r, 300);
    s->cancels = seldom(r, 300);
    s->deadlines = seldom(r, 600);
    s->stops = seldom(r, 200);
    s->hangs = seldom(r, 60);
    s->large = s->actors > 300 ? 0 : seldom(r, 300);
    s->strays = seldom(r, 100);
    s->alloc_failures = pick(r, 10) ? 0 : (uint32_t)between(r, 1, 200);
    s->closing_callback = pick(r, 20) == 0 ? 3 : 0;
    if (pick(r, 10) == 0) s->delay_ns = between(r, 100, 3000) * MS;
}

/* In most worlds nobody asks for it, in some the server has none. */
static void draw_security(struct run *r, struct model_config *m)
{
    static const enum rp_way asked[] = { RP_WAY_OFFERED, RP_WAY_DEMANDED };
    struct rp_security *s = &r->scene->security;
    s->transform = (struct rp_transform_maker){ toy_make, r->sim };
    uint64_t kind = pick(r, 8);
    m->toy = kind == 0 ? MODEL_TOY : kind == 1 ? MODEL_TOY_ASKED : MODEL_PLAIN;
    if (m->toy == MODEL_TOY) s->way[0] = RP_WAY_DIRECT;
    if (m->toy == MODEL_TOY_ASKED) s->way[0] = asked[pick(r, 2)];
    if (kind == 2) s->way[0] = RP_WAY_OFFERED;
    if (s->way[0] == RP_WAY_OFFERED && pick(r, 2)) s->way[1] = RP_WAY_PLAIN;
}

/* Old and new on either side; who asks for no less than 3.2 has a server that speaks it. */
static void draw_protocol(struct run *r, struct model_config *m)
{
    static const char *const asked[] = { "", "max_protocol_version=latest",
                                         "min_protocol_version=3.2 max_protocol_version=3.2" };
    m->speaks_3_2 = pick(r, 2);
    m->key_size = (size_t)between(r, 4, 256);
    r->set.protocol = asked[pick(r, m->speaks_3_2 ? 3 : 2)];
}

static void draw_server(struct run *r)
{
    struct settings *s = &r->set;
    struct model_config *m = model_settings(r->server);
    m->exit_delay_ns = pick(r, 2) ? pick(r, 5000) * 1000 : 0;
    m->startup_delay_ns = pick(r, 2) ? pick(r, 20) * MS : 0;
    m->auth = (enum model_auth)pick(r, 4);
    m->scram_iterations = pick(r, 8) ? 1 : 3000;
    m->password = "confidential";
    if (pick(r, 3) == 0) m->unread_limit = (size_t)between(r, 100, 20000);
    draw_security(r, m);
    draw_protocol(r, m);
    m->toy_endless = seldom(r, 1000);
    if (s->calm) return;
    s->wrong_password = m->auth != MODEL_TRUST && pick(r, 40) == 0;
    if (pick(r, 8) == 0) m->max_connections = (uint32_t)between(r, 1, s->max_conns);
    if (pick(r, 40) == 0) m->fault = MODEL_NO_AUTH_ANSWER;
    if (pick(r, 10) == 0) m->exit_delay_ns = pick(r, 2000) * MS;
    if (pick(r, 3) == 0) m->cancel_delay_ns = pick(r, pick(r, 3) ? 20 : 1500) * MS;
    m->cancel_lost = seldom(r, 500);
    m->cancel_mute = seldom(r, 300);
    m->toy_damage = m->toy ? seldom(r, 5) : 0;
    s->drop = seldom(r, 30);
    s->garbage = seldom(r, 20);
    s->forget = seldom(r, 50);
    s->server_error = seldom(r, 100);
    s->kill = seldom(r, 30);
    s->restarts = seldom(r, 3);
    s->refusals = seldom(r, 3);
    s->crowds = seldom(r, 6);
    s->outages = seldom(r, 3);
}

/* Whether a backend may outlive its slot: it is counted there until it has ended, if nothing breaks the connection or
 * gives it up. */
static bool is_strict(const struct run *r)
{
    const struct settings *s = &r->set;
    const struct model_config *m = model_settings(r->server);
    const struct sim_config *c = sim_settings(r->sim);
    if (c->reset || c->fatal || c->hole || c->hang || c->jump || c->fail_call) return false;
    if (s->drop || s->garbage || s->kill || s->restarts || s->outages || s->strays || s->alloc_failures) return false;
    if (s->host_outages) return false;
    if (m->fault || m->toy_damage || s->wrong_password || m->unread_limit || s->closes_early) return false;
    return m->exit_delay_ns < s->linger_ns / 4 && s->delay_ns < s->linger_ns / 4 && !s->abandons && !s->cancels &&
           !s->deadlines && !s->hangs && !s->hook_never && !(s->hook_late && !s->calm);
}

static void write_options(struct run *r)
{
    struct settings *s = &r->set;
    size_t hosts = hosts_option(r, s->options, sizeof s->options);
    int n = snprintf(
        s->options + hosts, sizeof s->options - hosts,
        "user=app dbname=app sslmode=disable password=%s connect_timeout=%llu pool_max_conns=%u pool_min_conns=%u "
        "pool_max_pipeline=%u pool_max_waiters=%u pool_acquire_timeout=%llums pool_close_linger=%llums "
        "pool_connecting_limit=%u pool_max_row_bytes=%zuB pool_min_idle_conns=%u "
        "pool_max_conn_lifetime=%llums pool_max_conn_lifetime_jitter=%llums pool_max_conn_idle_time=%llums "
        "pool_health_check_period=%llums pool_slow_statement=%llums %s",
        s->password, (unsigned long long)(s->connect_timeout_ns / SECOND),
        s->max_conns, s->min_conns, s->pipeline, s->waiters,
        (unsigned long long)(s->acquire_timeout_ns / MS), (unsigned long long)(s->linger_ns / MS),
        s->connecting_limit, s->row_limit, s->min_idle, (unsigned long long)(s->lifetime_ns / MS),
        (unsigned long long)(s->jitter_ns / MS), (unsigned long long)(s->idle_ns / MS),
        (unsigned long long)(s->period_ns / MS), (unsigned long long)(s->slow_ns / MS), s->protocol);
    if (n < 0 || (size_t)n >= sizeof s->options - hosts) sim_fail("the options do not fit");
    rules_options(r);
    statements_options(r);
}

/* What a reactor's pool and handlers have for themselves. */
static void draw_run(struct run *r)
{
    struct settings *s = &r->set;
    s->one_at_a_time = pick(r, 8) == 0;
    draw_sizes(r);
    draw_life(r);
    draw_habits(r);
    chores_draw(r);
    ears_draw(r);
    statements_draw(r);
    rules_draw(r);
    s->one_at_a_time = s->max_conns == 1; /* and stays so */
    r->actors_left = s->actors;
}

void settings_draw(struct scene *w)
{
    struct run *first = &w->run[0];
    struct settings *common = &first->set;
    common->calm = pick(first, 8) == 0;
    common->closes_early = !common->calm && pick(first, 3) == 0;
    w->runs = pick(first, 4) ? 1 : (unsigned)between(first, 2, RUNS);
    draw_run(first);
    draw_server(first);
    draw_host(first);
    hosts_draw(first);
    common->password = common->wrong_password ? "misremembered" : "confidential";
    bool strict = is_strict(first);
    for (unsigned i = 1; i < w->runs; i++) {
        w->run[i].set = *common;
        draw_run(&w->run[i]);
        strict = strict && is_strict(&w->run[i]);
    }
    for (unsigned i = 0; i < w->runs; i++) {
        struct settings *s = &w->run[i].set;
        s->strict = strict;
        hosts_draw_target(&w->run[i]);
        s->ordered = s->max_conns == 1 && !s->forget && !s->discards && !s->batches &&
                     !s->errors; /* a statement that is gone is healed at the end */
        write_options(&w->run[i]);
    }
}
