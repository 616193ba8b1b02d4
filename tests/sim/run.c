/* sim/run.c - one seed from open to close, and what must hold at its end. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pool/state.h"
#include "sim/pg_sim.h"

struct scene *the_scene;

void violation(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fflush(stdout);
    fprintf(stderr, "seed %llu at %llu us: ", (unsigned long long)the_scene->seed,
            the_scene->sim ? (unsigned long long)(sim_now(the_scene->sim) / 1000) : 0);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    fflush(stderr);
    _exit(1);
}

void trace(const char *format, ...)
{
    if (!the_scene->verbose) return;
    va_list list;
    va_start(list, format);
    printf("%10llu us  ", (unsigned long long)(sim_now(the_scene->sim) / 1000));
    vprintf(format, list);
    putchar('\n');
    fflush(stdout);
    va_end(list);
}

void noted(struct run *r, uint64_t what)
{
    audit_callback(r);
    r->note = (r->note ^ what ^ sim_now(r->sim)) * UINT64_C(0x100000001b3);
    r->events++;
}

/* ---- tables ---- */

uint32_t table_add(struct table *t, struct live *l)
{
    if (t->ids + 1 >= t->capacity) {
        t->capacity = t->capacity ? t->capacity * 2 : 64;
        t->of = realloc(t->of, t->capacity * sizeof(struct live *));
        t->alive = realloc(t->alive, t->capacity * sizeof(uint32_t));
        if (!t->of || !t->alive) sim_fail("out of memory");
    }
    l->id = ++t->ids;
    l->at = t->count;
    t->of[l->id] = l;
    t->alive[t->count++] = l->id;
    return l->id;
}

void table_remove(struct table *t, struct live *l)
{
    uint32_t last = t->alive[--t->count];
    t->alive[l->at] = last;
    t->of[last]->at = l->at;
    t->of[l->id] = NULL;
}

void *table_find(const struct table *t, uint32_t id)
{
    return id && id <= t->ids ? t->of[id] : NULL;
}
void *table_any(const struct table *t, uint64_t random)
{
    return t->count ? t->of[t->alive[random % t->count]] : NULL;
}

void table_free(struct table *t)
{
    free(t->of);
    free(t->alive);
    *t = (struct table){ 0 };
}

/* ---- the phases of a world ---- */

static void on_event(void *arg, const struct pg_event *event)
{
    struct run *r = arg;
    REQUIRE(!r->calling, "on_event inside of a call");
    REQUIRE((event->kind == PG_EVENT_CONNECTED) == (event->error == NULL), "event %d and its error", event->kind);
    REQUIRE(event->kind != PG_EVENT_RETIRED || event->error->code == PG_E_CLOSED, "retired without a reason");
    /* That of the listeners, when the last of them goes, is no age of a connection. */
    r->retired += event->kind == PG_EVENT_RETIRED && !strstr(event->error->text, "nobody listens");
    trace("event %d %s", event->kind, event->error ? pg_error_field(event->error, 'M') : "");
    if (r->set.password && event->error)
        REQUIRE(!strstr(event->error->text, r->set.password), "a password stands in an error");
    noted(r, event->kind);
    act_in_callback(r);
}

static void open_run(struct scene *w, struct run *r)
{
    struct pg_error error = { 0 };
    trace("%s, %u handlers, %s%s", r->set.options, r->set.actors, r->set.calm ? "calm" : "",
          r->set.strict ? " strict" : "");
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host_at(w->sim, r->index));
    rc.allocate = heap_allocate;
    rc.deallocate = heap_deallocate;
    rc.arg = &r->heap;
    rc.resumes_per_turn = r->set.resumes;
    rc.statements = r->set.statements;
    rc.slab_bytes = r->set.slab_bytes;
    int status = pg_reactor_open(&r->reactor, &rc, &error);
    REQUIRE(status == 0, "pg_reactor_open: %s", error.text);
    struct pg_pool_config pc = PG_POOL_CONFIG(r->set.options);
    pc.flags = PG_POOL_STRING_ONLY; /* a seed is the same world on every machine */
    pc.on_event = on_event;
    pc.arg = r;
    chores_config(r, &pc);
    pc.budget = w->budget;
    status = pg_pool_open(&r->pool, r->reactor, &pc, &error);
    REQUIRE(status == 0, "pg_pool_open: %s", pg_error_field(&error, 'M'));
    for (uint32_t i = 0; i < r->pool->hosts.count && w->security.way[0]; i++)
        r->pool->hosts.at[i].security = &w->security;
    r->heap.sim = w->sim;
    r->heap.fail = r->set.alloc_failures;
    tune_begin(r);
    ears_begin(r);
}

static void open_world(struct scene *w)
{
    w->sim = sim_open(&(struct sim_config){ .seed = w->seed });
    w->server =
        model_server_open(&(struct model_config){ .sim = w->sim, .answer = server_answer, .copied = copy_arrived,
                                                  .arg = &w->run[0] });
    for (unsigned i = 0; i < RUNS; i++) {
        struct run *r = &w->run[i];
        r->scene = w;
        r->index = i;
        r->sim = w->sim;
        r->server = w->server;
    }
    settings_draw(w);
    hosts_open(w);
    shares_open(w);
    for (unsigned i = 0; i < w->runs; i++) open_run(w, &w->run[i]);
    sim_watch(w->sim, audit_event, audit_turn, w);
}

static enum sim_end go(struct scene *w, bool (*done)(void *), uint64_t max_ns)
{
    struct pg_reactor *reactors[RUNS];
    for (unsigned i = 0; i < w->runs; i++) reactors[i] = w->run[i].reactor;
    return sim_run_all(w->sim, reactors, w->runs, done, w, max_ns);
}

static bool quiet(void *arg)
{
    const struct scene *w = arg;
    for (const struct run *r = w->run; r < w->run + w->runs; r++)
        if (r->asks.count || r->holders.count || r->arrivals_left) return false;
    return true;
}

static void heal(void *arg)
{
    if (!((struct scene *)arg)->over) server_heal(arg);
}

static void still_waiting(struct scene *w, const char *what)
{
    for (struct run *r = w->run; r < w->run + w->runs; r++)
        if (r->asks.count || r->holders.count)
            violation("%s: %u queries and %u leases of reactor %u wait%s", what, r->asks.count, r->holders.count,
                      r->index, w->healed ? ", and nothing is wrong any more" : "");
    violation("%s", what);
}

/* All work is done, or the time for it is cut short. */
static void work(struct scene *w)
{
    struct run *first = &w->run[0];
    server_trouble(first);
    for (unsigned i = 0; i < w->runs; i++) act_arrivals(&w->run[i]);
    sim_after(w->sim, first->set.heal_ns, heal, w);
    if (first->set.closes_early) {
        (void)go(w, NULL, pick(first, first->set.span_ns + first->set.span_ns / 4 + 1));
        return;
    }
    enum sim_end end = go(w, quiet, 20000 * SECOND);
    if (end != SIM_DONE) still_waiting(w, end == SIM_IDLE ? "nothing would ever happen" : "the time is up");
}

static bool healed(void *arg)
{
    return ((struct scene *)arg)->healed;
}

static void figures(struct run *r, struct pg_pool_stats *s)
{
    *s = (struct pg_pool_stats){ .size = sizeof *s };
    if (!r->closed) pg_pool_stats(r->pool, s);
}

static bool pool_at_rest(struct run *r, uint32_t *conns)
{
    struct pg_pool_stats s;
    if (r->closing) return true;
    tune_check(r);
    figures(r, &s);
    uint32_t min_idle = r->set.min_idle < r->max_conns ? r->set.min_idle : r->max_conns;
    *conns += s.total_conns;
    if (!ears_at_rest(r, conns)) return false;
    return !s.pending && s.total_conns == s.idle_conns && s.idle_conns >= r->min_conns &&
           (s.idle_conns >= min_idle || r->scene->budget) &&
           s.total_conns <= r->max_conns;
}

static bool any_hangs(const struct scene *w)
{
    bool any = false;
    for (unsigned i = 0; i < w->runs; i++) any = any || w->run[i].set.hangs || w->run[i].closing || ears_restless(&w->run[i]);
    return any;
}

/* Connections are made, closed and replaced at rest, too, when they have short lives; but not all the time. */
static bool at_rest(void *arg)
{
    struct scene *w = arg;
    uint32_t conns = 0;
    for (unsigned i = 0; i < w->runs; i++)
        if (!pool_at_rest(&w->run[i], &conns)) return false;
    return any_hangs(w) || conns == model_stats(w->server)->connections_now;
}

static void check_rest(struct run *r)
{
    struct pg_pool_stats s;
    uint32_t conns = 0;
    if (r->closing) return; /* by a callback of an event */
    figures(r, &s);
    REQUIRE(s.pending == 0 && s.acquired_conns == 0 && s.shared_conns == 0,
            "at rest, and pending %u, acquired %u, shared %u", s.pending, s.acquired_conns, s.shared_conns);
    REQUIRE(s.query_count == r->told, "%llu outcomes were told and %llu counted", (unsigned long long)r->told,
            (unsigned long long)s.query_count);
    uint64_t retired = s.max_lifetime_destroy_count + s.max_idle_destroy_count;
    bool others = r->set.tunes || r->set.hook_errors || r->scene->budget || r->set.hosts > 1; /* have reasons, too */
    REQUIRE(others ? r->retired >= retired : r->retired == retired, "%llu were retired, and %llu counted",
            (unsigned long long)r->retired, (unsigned long long)retired);
    if (r->set.lifetime_ns < 60 * SECOND) return; /* there may be none that lives long enough to be seen */
    REQUIRE(s.total_conns == s.idle_conns, "at rest, and %u of %u connections are idle", s.idle_conns, s.total_conns);
    REQUIRE(pool_at_rest(r, &conns), "at rest, and %u connections stand of %u..%u, %u idle at least", s.idle_conns,
            r->min_conns, r->max_conns, r->set.min_idle);
}

/* Nobody wants anything any more: the pools must come to rest, with all that they count. */
static void rest(struct scene *w)
{
    bool lasting = true;
    if (!quiet(w) || pick(&w->run[0], 2)) return;
    w->resting = true;
    (void)go(w, healed, 100 * SECOND);
    (void)go(w, NULL, 30 * SECOND);
    if (!at_rest(w)) (void)go(w, at_rest, 30 * SECOND);
    for (unsigned i = 0; i < w->runs; i++) {
        lasting = lasting && w->run[i].set.lifetime_ns >= 60 * SECOND;
        check_rest(&w->run[i]);
    }
    hosts_check_rest(w);
    ears_check_listening(w);
    for (unsigned i = 0; i < CHANNELS; i++) ears_notify(w, i);
    (void)go(w, NULL, 2 * SECOND);
    ears_check_heard(w);
    /* One may be between two by now, for its age, or since whoever listens in vain takes it from the others' budget. */
    if (!at_rest(w)) (void)go(w, at_rest, 30 * SECOND);
    REQUIRE(!lasting || at_rest(w), "at rest, and the pools count other connections than the server, which has %u",
            model_stats(w->server)->connections_now);
    w->resting = false;
}

static void end_leases(struct run *r)
{
    REQUIRE(r->closed, "the reactor is closed and on_closed was not called");
    REQUIRE(!r->asks.count, "%u queries of reactor %u never ended, the first is %u", r->asks.count, r->index,
            r->asks.alive[0]);
    REQUIRE(!r->warming, "%u warm-ups never ended", r->warming);
    for (uint32_t i = r->holders.count; i-- > 0;) {
        struct holder *h = table_find(&r->holders, r->holders.alive[i]);
        REQUIRE(h->held, "a lease was neither granted nor refused");
        if (pick(r, 2))
            holder_abandon(h);
        else
            holder_release(h);
    }
}

static void close_world(struct scene *w)
{
    uint64_t now = sim_now(w->sim), bound_ns = 0;
    for (struct run *r = w->run; r < w->run + w->runs; r++) {
        if (!r->closing || pick(r, 3) == 0) act_close(r);
        pg_reactor_close(r->reactor, pick(r, 2) ? 0 : now + 3 * SECOND);
        if (r->close_bound_ns > now + bound_ns) bound_ns = r->close_bound_ns - now;
    }
    enum sim_end end = go(w, NULL, bound_ns + 2 * SECOND);
    if (end != SIM_CLOSED) still_waiting(w, end == SIM_IDLE ? "the close hangs" : "the close takes too long");
    for (unsigned i = 0; i < w->runs; i++) end_leases(&w->run[i]);
    for (unsigned i = 0; i < w->runs; i++) chores_end(&w->run[i]);
    w->over = true;
    sim_watch(w->sim, NULL, NULL, NULL);
    for (unsigned i = 0; i < w->runs; i++) audit_end(&w->run[i]);
    for (unsigned i = 0; i < w->runs; i++) pg_reactor_free(w->run[i].reactor);
    shares_close(w);
    for (int i = 0; i < 1000000 && sim_step(w->sim); i++) {
    }
}

static void check_end(struct scene *w)
{
    const struct model_stats *m = model_stats(w->server);
    const struct sim_counters *c = sim_counters(w->sim);
    uint32_t conns = 0;
    for (struct run *r = w->run; r < w->run + w->runs; r++) {
        const char *touched = heap_check(&r->heap);
        REQUIRE(!touched, "%s", touched);
        REQUIRE(r->heap.blocks == 0, "%zu blocks of %zu bytes were not given back", r->heap.blocks, r->heap.bytes);
        conns += r->peak_conns + r->listened;
    }
    REQUIRE(c->descriptors_now == 0 && c->in_flight == 0, "%u descriptors are left open", c->descriptors_now);
    REQUIRE(c->descriptors_max <= 2 * conns, "%u descriptors for %u connections", c->descriptors_max, conns);
    REQUIRE(m->sockets_now == 0, "%u connections are left at the server", m->sockets_now);
    if (w->most_connections && w->most_connections < conns) conns = w->most_connections;
    REQUIRE(!w->run[0].set.strict || m->connections_max <= conns, "%u backends for %u connections",
            m->connections_max, conns);
    ledger_check(&w->ledger, w->server);
}

static void free_world(struct scene *w)
{
    hosts_close(w);
    sim_close(w->sim);
    ledger_free(&w->ledger);
    for (unsigned i = 0; i < w->runs; i++) {
        table_free(&w->run[i].asks);
        table_free(&w->run[i].holders);
        table_free(&w->run[i].chores);
        table_free(&w->run[i].ears);
    }
}

struct run_result run_seed(uint64_t seed, bool verbose)
{
    char here;
    static struct scene scene;
    struct scene *w = the_scene = &scene;
    memset(w, 0, sizeof *w);
    w->stack = &here;
    w->seed = seed;
    w->verbose = verbose;
    open_world(w);
    work(w);
    rest(w);
    close_world(w);
    check_end(w);
    struct run_result result = { .hash = sim_hash(w->sim), .events = sim_counters(w->sim)->events };
    for (struct run *r = w->run; r < w->run + w->runs; r++) {
        result.hash = (result.hash ^ r->note) * UINT64_C(0x100000001b3);
        for (int i = 0; i < STATUSES; i++) result.outcomes[i] += r->outcomes[i];
        trace("reactor %u: %llu outcomes, %llu of them PG_OK, %llu grants", r->index, (unsigned long long)r->told,
              (unsigned long long)r->outcomes[0], (unsigned long long)r->grants);
    }
    free_world(w);
    return result;
}
