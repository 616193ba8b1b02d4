/* pool/metrics.c - the pool's figures as text for Prometheus (exposition format 0.0.4), under OpenTelemetry's names
 * with Prometheus' spelling: dots are underlines, units and _total at the end, durations in seconds.
 *
 * One table per kind of metric says name, help and where the figure is. The text goes into the caller's buffer as far
 * as there is room, and is counted beyond that. Source: Prometheus, "Exposition formats"; OpenTelemetry, "Semantic
 * conventions for database client metrics". */
#include <stdarg.h>
#include <stdio.h>
#include "pool/published.h"
#include "ringpg/budget.h"
#include "wire/check.h"

struct text {
    char *out;
    size_t capacity, size; /* size: of the whole */
};

__attribute__((format(printf, 2, 3))) static void print(struct text *t, const char *format, ...)
{
    size_t room = t->size < t->capacity ? t->capacity - t->size : 0;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(room ? t->out + t->size : NULL, room, format, arguments);
    va_end(arguments);
    if (n > 0) t->size += (size_t)n;
}

struct list {
    const struct pg_metrics_source *sources;
    size_t count;
};

static void header(struct text *t, const char *name, const char *kind, const char *help)
{
    print(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

/* {...} of the source's labels and one more, each of which may be absent. */
static void labels(struct text *t, const struct pg_metrics_source *source, const char *own)
{
    bool given = source->labels && *source->labels;
    if (!given && !*own) return;
    print(t, "{%s%s%s}", given ? source->labels : "", given && *own ? "," : "", own);
}

static void seconds(struct text *t, uint64_t ns)
{
    print(t, " %llu.%09llu\n", (unsigned long long)(ns / 1000000000), (unsigned long long)(ns % 1000000000));
}

/* ---- single figures ---- */

enum unit { COUNT32, COUNT64, SECONDS };
struct figure {
    const char *name, *help;
    bool counter;
    enum unit unit;
    size_t at;
};
#define AT(member) offsetof(struct pg_pool_stats, member)

static const struct figure figures[] = {
    { "db_client_connection_max", "Connections at the most.", false, COUNT32, AT(max_conns) },
    { "ringpg_pool_connections_effective_max", "Connections at the most, as far as the server lets them in.", false,
      COUNT32, AT(effective_max_conns) },
    { "ringpg_pool_connections_solo", "Shared connections that run one slow statement each.", false, COUNT32,
      AT(solo_conns) },
    { "db_client_connection_pending_requests", "Requests that wait for a connection.", false, COUNT32, AT(pending) },
    { "db_client_connection_timeouts_total", "Requests whose deadline passed.", true, COUNT64, AT(timeout_count) },
    { "ringpg_pool_pending_requests_max", "The most requests that ever waited at once.", false, COUNT32,
      AT(max_pending) },
    { "ringpg_pool_acquires_total", "Leases granted.", true, COUNT64, AT(acquire_count) },
    { "ringpg_pool_acquire_wait_seconds_total", "Sum of the waits of leases that were granted.", true, SECONDS,
      AT(acquire_duration_ns) },
    { "ringpg_pool_canceled_total", "Requests abandoned while they waited.", true, COUNT64,
      AT(canceled_acquire_count) },
    { "ringpg_pool_refused_total", "Requests refused since the queue was full.", true, COUNT64, AT(refused_count) },
    { "ringpg_pool_overload_refused_total", "Requests refused in a standing queue (pool_codel_target).", true, COUNT64,
      AT(overload_count) },
    { "ringpg_pool_not_admitted_total", "Requests refused at once, their wait was too long (pool_admission).", true,
      COUNT64, AT(not_admitted_count) },
    { "ringpg_pool_connections_lost_total", "Connections that ended by themselves.", true, COUNT64,
      AT(lost_conns_count) },
    { "ringpg_pool_connect_failures_total", "Connects that failed.", true, COUNT64, AT(connect_failed_count) },
    { "ringpg_pool_connections_abandoned_total", "Connections closed before the server let go of them.", true, COUNT64,
      AT(abandoned_count) },
    { "ringpg_pool_connections_retired_total", "Healthy connections that the pool closed, whatever for.", true, COUNT64,
      AT(retired_count) },
    { "ringpg_pool_max_lifetime_destroys_total", "Connections closed for their age.", true, COUNT64,
      AT(max_lifetime_destroy_count) },
    { "ringpg_pool_max_idle_destroys_total", "Connections closed since they were idle.", true, COUNT64,
      AT(max_idle_destroy_count) },
    { "ringpg_pool_nested_acquires_total", "Acquires that timed out while their own fiber held a lease.", true, COUNT64,
      AT(nested_acquire_count) },
    { "ringpg_pool_leaks_total", "Leases held beyond pool_leak_detection_threshold.", true, COUNT64, AT(leak_count) },
};

#define IN_BUDGET(member) offsetof(struct pg_budget_stats, member)
static const struct figure budget_figures[] = {
    { "ringpg_budget_connections_max", "Connections of all pools at the most.", false, COUNT32,
      IN_BUDGET(connections) },
    { "ringpg_budget_connections_sure", "Connections that are set aside for pools.", false, COUNT32, IN_BUDGET(sure) },
    { "ringpg_budget_connections", "Connections that count.", false, COUNT32, IN_BUDGET(used) },
    { "ringpg_budget_pools", "Pools that share the budget.", false, COUNT32, IN_BUDGET(pools) },
    { "ringpg_budget_pools_waiting", "Pools that wait for a connection of it.", false, COUNT32, IN_BUDGET(waiting) },
    { "ringpg_budget_given_total", "Connections that a pool closed for another one.", true, COUNT64,
      IN_BUDGET(given_count) },
    { "ringpg_budget_abandoned_total", "Connections given up before the server let go of them.", true, COUNT64,
      IN_BUDGET(abandoned_count) },
};

static void put_sample(struct text *t, const struct figure *f, const struct pg_metrics_source *source, const void *stats)
{
    const void *at = (const char *)stats + f->at;
    uint64_t value = f->unit == COUNT32 ? *(const uint32_t *)at : *(const uint64_t *)at;
    print(t, "%s", f->name);
    labels(t, source, "");
    if (f->unit == SECONDS) seconds(t, value);
    else print(t, " %llu\n", (unsigned long long)value);
}

static void put_header(struct text *t, const struct figure *f)
{
    header(t, f->name, f->counter ? "counter" : "gauge", f->help);
}

static void put_figure(struct text *t, const struct figure *f, const struct list *list)
{
    put_header(t, f);
    for (size_t i = 0; i < list->count; i++) put_sample(t, f, &list->sources[i], list->sources[i].stats);
}

/* ---- connections by state: they add up to all ---- */

static void put_connections(struct text *t, const struct list *list)
{
    static const char name[] = "db_client_connection_count";
    header(t, name, "gauge", "Connections by state.");
    for (size_t i = 0; i < list->count; i++) {
        const struct pg_pool_stats *s = list->sources[i].stats;
        uint32_t known = s->idle_conns + s->acquired_conns + s->shared_conns + s->constructing_conns;
        const struct { const char *labels; uint32_t value; } states[] = {
            { "state=\"idle\"", s->idle_conns },
            { "state=\"used\",lane=\"lease\"", s->acquired_conns },
            { "state=\"used\",lane=\"shared\"", s->shared_conns },
            { "state=\"connecting\"", s->constructing_conns },
            { "state=\"closing\"", s->total_conns - known },
        };
        for (size_t k = 0; k < RP_COUNT(states); k++) {
            print(t, "%s", name);
            labels(t, &list->sources[i], states[k].labels);
            print(t, " %u\n", states[k].value);
        }
    }
}

/* ---- durations: one bucket per power of two, the quarters between them are for pg_histogram_percentile ---- */

static const struct {
    const char *name, *help;
    size_t at;
} durations[] = {
    { "db_client_operation_duration_seconds", "Requests from start to outcome, waiting included.", AT(query) },
    { "db_client_connection_wait_time_seconds", "Waits of those that had to wait and were served.", AT(wait) },
    { "db_client_connection_use_time_seconds", "Leases from grant to return.", AT(hold) },
    { "db_client_connection_create_time_seconds", "Connects that succeeded.", AT(connect) },
};

static void put_duration(struct text *t, const char *name, const struct pg_metrics_source *source,
                         const struct pg_histogram *h)
{
    uint64_t seen = 0;
    char le[48];
    for (size_t i = 0; i < PG_HISTOGRAM_BUCKETS; i++) {
        bool last = i == PG_HISTOGRAM_BUCKETS - 1;
        uint64_t bound = pg_histogram_bound(i);
        seen += h->buckets[i];
        if (!last && i % 4) continue;
        if (last) snprintf(le, sizeof le, "le=\"+Inf\"");
        else
            snprintf(le, sizeof le, "le=\"%llu.%09llu\"", (unsigned long long)(bound / 1000000000),
                     (unsigned long long)(bound % 1000000000));
        print(t, "%s_bucket", name);
        labels(t, source, le);
        print(t, " %llu\n", (unsigned long long)seen);
    }
    print(t, "%s_sum", name);
    labels(t, source, "");
    seconds(t, h->sum_ns);
    print(t, "%s_count", name);
    labels(t, source, "");
    print(t, " %llu\n", (unsigned long long)h->count);
}

size_t pg_stats_metrics(const struct pg_metrics_source *sources, size_t count, char *out, size_t capacity)
{
    struct text t = { .out = out, .capacity = capacity };
    struct list list = { sources, count };
    if (capacity) *out = '\0';
    put_connections(&t, &list);
    for (size_t i = 0; i < RP_COUNT(figures); i++) put_figure(&t, &figures[i], &list);
    for (size_t i = 0; i < RP_COUNT(durations); i++) {
        header(&t, durations[i].name, "histogram", durations[i].help);
        for (size_t k = 0; k < count; k++) {
            const char *at = (const char *)sources[k].stats + durations[i].at;
            put_duration(&t, durations[i].name, &sources[k], (const struct pg_histogram *)(const void *)at);
        }
    }
    return t.size;
}

size_t pg_pool_metrics(const struct pg_pool *pool, char *out, size_t capacity)
{
    struct pg_pool_stats stats = { .size = sizeof stats };
    struct pg_metrics_source source = { &stats, NULL };
    pg_pool_stats(pool, &stats);
    return pg_stats_metrics(&source, 1, out, capacity);
}

size_t pg_budget_metrics(const struct pg_budget *budget, const char *own, char *out, size_t capacity)
{
    struct text t = { .out = out, .capacity = capacity };
    struct pg_budget_stats stats = { .size = sizeof stats };
    struct pg_metrics_source source = { NULL, own };
    if (capacity) *out = '\0';
    pg_budget_stats(budget, &stats);
    for (size_t i = 0; i < RP_COUNT(budget_figures); i++) {
        put_header(&t, &budget_figures[i]);
        put_sample(&t, &budget_figures[i], &source, &stats);
    }
    return t.size;
}
