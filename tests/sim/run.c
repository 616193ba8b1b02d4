/* sim/run.c - one seed from open to close, and what must hold at its end. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sim/pg_sim.h"

struct run *the_run;

void violation(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fflush(stdout);
    fprintf(stderr, "seed %llu at %llu us: ", (unsigned long long)the_run->seed,
            the_run->sim ? (unsigned long long)(sim_now(the_run->sim) / 1000) : 0);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    fflush(stderr);
    _exit(1);
}

void trace(const char *format, ...)
{
    if (!the_run->verbose) return;
    va_list list;
    va_start(list, format);
    printf("%10llu us  ", (unsigned long long)(sim_now(the_run->sim) / 1000));
    vprintf(format, list);
    putchar('\n');
    fflush(stdout);
    va_end(list);
}

void noted(struct run *r, uint64_t what)
{
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
    r->retired += event->kind == PG_EVENT_RETIRED;
    trace("event %d %s", event->kind, event->error ? pg_error_field(event->error, 'M') : "");
    if (r->set.password && event->error)
        REQUIRE(!strstr(event->error->text, r->set.password), "a password stands in an error");
    noted(r, event->kind);
    act_in_callback(r);
}

static void open_world(struct run *r)
{
    struct pg_error error = { 0 };
    r->sim = sim_open(&(struct sim_config){ .seed = r->seed });
    r->server = model_server_open(&(struct model_config){ .sim = r->sim, .answer = server_answer, .arg = r });
    settings_draw(r);
    trace("%s, %u handlers, %s%s", r->set.options, r->set.actors, r->set.calm ? "calm" : "",
          r->set.strict ? " strict" : "");
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host(r->sim));
    rc.allocate = heap_allocate;
    rc.deallocate = heap_deallocate;
    rc.arg = &r->heap;
    rc.resumes_per_turn = r->set.resumes;
    rc.statements = r->set.statements;
    rc.slab_bytes = r->set.slab_bytes;
    int status = pg_reactor_open(&r->reactor, &rc, &error);
    REQUIRE(status == 0, "pg_reactor_open: %s", error.text);
    struct pg_pool_config pc = PG_POOL_CONFIG(r->set.options);
    pc.on_event = on_event;
    pc.arg = r;
    status = pg_pool_open(&r->pool, r->reactor, &pc, &error);
    REQUIRE(status == 0, "pg_pool_open: %s", pg_error_field(&error, 'M'));
    tune_begin(r);
}

static bool quiet(void *arg)
{
    const struct run *r = arg;
    return !r->asks.count && !r->holders.count && !r->arrivals_left;
}

static void heal(void *arg)
{
    if (!((struct run *)arg)->over) server_heal(arg);
}

static void still_waiting(struct run *r, const char *what)
{
    violation("%s: %u queries and %u leases wait, %s", what, r->asks.count, r->holders.count,
              r->healed ? "and nothing is wrong any more" : "");
}

/* All work is done, or the time for it is cut short. */
static void work(struct run *r)
{
    server_trouble(r);
    act_arrivals(r);
    sim_after(r->sim, r->set.heal_ns, heal, r);
    if (r->set.closes_early) {
        (void)sim_run(r->sim, r->reactor, pick(r, r->set.span_ns + r->set.span_ns / 4 + 1));
        return;
    }
    enum sim_end end = sim_run_until(r->sim, r->reactor, quiet, r, 20000 * SECOND);
    if (end == SIM_CLOSED && r->closing) return;
    if (end != SIM_DONE) still_waiting(r, end == SIM_IDLE ? "nothing would ever happen" : "the time is up");
}

static bool healed(void *arg)
{
    return ((struct run *)arg)->healed;
}

/* Connections are made, closed and replaced at rest, too, when they have short lives; but not all the time. */
static bool at_rest(void *arg)
{
    struct run *r = arg;
    struct pg_pool_stats s = { .size = sizeof s };
    if (r->closing) return true;
    tune_check(r);
    pg_pool_stats(r->pool, &s);
    uint32_t min_idle = r->set.min_idle < r->max_conns ? r->set.min_idle : r->max_conns;
    return !s.pending && s.total_conns == s.idle_conns && s.idle_conns >= r->min_conns && s.idle_conns >= min_idle &&
           s.total_conns <= r->max_conns &&
           (r->set.hangs || s.total_conns == model_stats(r->server)->connections_now);
}

/* Nobody wants anything any more: the pool must come to rest, with all that it counts. */
static void rest(struct run *r)
{
    struct pg_pool_stats s = { .size = sizeof s };
    if (r->closing || !quiet(r)) return;
    if (pick(r, 2)) return;
    (void)sim_run_until(r->sim, r->reactor, healed, r, 100 * SECOND);
    (void)sim_run(r->sim, r->reactor, 30 * SECOND);
    if (!at_rest(r)) (void)sim_run_until(r->sim, r->reactor, at_rest, r, 30 * SECOND);
    if (r->closing) return; /* by a callback of an event */
    pg_pool_stats(r->pool, &s);
    REQUIRE(s.pending == 0 && s.acquired_conns == 0 && s.shared_conns == 0,
            "at rest, and pending %u, acquired %u, shared %u", s.pending, s.acquired_conns, s.shared_conns);
    REQUIRE(s.query_count == r->told, "%llu outcomes were told and %llu counted", (unsigned long long)r->told,
            (unsigned long long)s.query_count);
    uint64_t retired = s.max_lifetime_destroy_count + s.max_idle_destroy_count;
    REQUIRE(r->set.tunes ? r->retired >= retired : r->retired == retired, "%llu were retired, and %llu counted",
            (unsigned long long)r->retired, (unsigned long long)retired);
    if (r->set.lifetime_ns < 60 * SECOND) return; /* there may be none that lives long enough to be seen */
    REQUIRE(s.total_conns == s.idle_conns, "at rest, and %u of %u connections are idle", s.idle_conns, s.total_conns);
    REQUIRE(r->set.hangs || s.total_conns == model_stats(r->server)->connections_now,
            "at rest, and the pool counts %u connections, the server %u", s.total_conns,
            model_stats(r->server)->connections_now);
    REQUIRE(at_rest(r), "at rest, and %u connections stand of %u..%u, %u idle at least", s.idle_conns, r->min_conns,
            r->max_conns, r->set.min_idle);
}

static void close_world(struct run *r)
{
    if (!r->closing || pick(r, 3) == 0) act_close(r);
    pg_reactor_close(r->reactor, pick(r, 2) ? 0 : sim_now(r->sim) + 3 * SECOND);
    uint64_t now = sim_now(r->sim), bound_ns = r->close_bound_ns > now ? r->close_bound_ns - now : 0;
    enum sim_end end = sim_run(r->sim, r->reactor, bound_ns + 2 * SECOND);
    if (end != SIM_CLOSED) still_waiting(r, end == SIM_IDLE ? "the close hangs" : "the close takes too long");
    REQUIRE(r->closed, "the reactor is closed and on_closed was not called");
    REQUIRE(!r->asks.count, "%u queries never ended", r->asks.count);
    REQUIRE(!r->warming, "%u warm-ups never ended", r->warming);
    for (uint32_t i = r->holders.count; i-- > 0;) {
        struct holder *h = table_find(&r->holders, r->holders.alive[i]);
        REQUIRE(h->held, "a lease was neither granted nor refused");
        if (pick(r, 2))
            holder_abandon(h);
        else
            holder_release(h);
    }
    r->over = true;
    pg_reactor_free(r->reactor);
    for (int i = 0; i < 1000000 && sim_step(r->sim); i++) {
    }
}

static void check_end(struct run *r)
{
    const struct model_stats *m = model_stats(r->server);
    const struct sim_counters *c = sim_counters(r->sim);
    REQUIRE(r->heap.blocks == 0, "%zu blocks of %zu bytes were not given back", r->heap.blocks, r->heap.bytes);
    REQUIRE(c->descriptors_now == 0 && c->in_flight == 0, "%u descriptors are left open", c->descriptors_now);
    REQUIRE(c->descriptors_max <= 2 * r->peak_conns, "%u descriptors for %u connections", c->descriptors_max,
            r->peak_conns);
    REQUIRE(m->sockets_now == 0, "%u connections are left at the server", m->sockets_now);
    REQUIRE(!r->set.strict || m->connections_max <= r->peak_conns, "%u backends for %u connections",
            m->connections_max, r->peak_conns);
    ledger_check(&r->ledger, r->server);
    const char *touched = heap_check(&r->heap);
    REQUIRE(!touched, "%s", touched);
}

struct run_result run_seed(uint64_t seed, bool verbose)
{
    struct run run = { .seed = seed, .verbose = verbose }, *r = the_run = &run;
    open_world(r);
    work(r);
    rest(r);
    close_world(r);
    check_end(r);
    struct run_result result = { .hash = sim_hash(r->sim) ^ r->note, .events = sim_counters(r->sim)->events };
    memcpy(result.outcomes, r->outcomes, sizeof result.outcomes);
    trace("hash %016llx, %llu outcomes, %llu of them PG_OK, %llu grants", (unsigned long long)result.hash,
          (unsigned long long)r->told, (unsigned long long)r->outcomes[0], (unsigned long long)r->grants);
    model_server_close(r->server);
    sim_close(r->sim);
    ledger_free(&r->ledger);
    table_free(&r->asks);
    table_free(&r->holders);
    return result;
}
