/* What the benchmark says: a table with ratios, the goals, and JSON. Every figure is the median of its repetitions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

struct bench_spread bench_spread(const double *figures, unsigned count)
{
    double sorted[BENCH_REPETITIONS_MAX];
    unsigned known = 0;
    if (!count) return (struct bench_spread){ 0, 0, 0 };
    for (unsigned i = 0; i < count; i++)
        if (!isnan(figures[i])) sorted[known++] = figures[i];
    if (!known) return (struct bench_spread){ BENCH_UNKNOWN, BENCH_UNKNOWN, BENCH_UNKNOWN };
    qsort(sorted, known, sizeof *sorted, compare);
    double median = known % 2 ? sorted[known / 2] : (sorted[known / 2 - 1] + sorted[known / 2]) / 2;
    return (struct bench_spread){ sorted[0], median, sorted[known - 1] };
}

static int compare_times(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

void bench_sort_times(uint32_t *took_ns, size_t count) { qsort(took_ns, count, sizeof *took_ns, compare_times); }

double bench_percentile_us(const uint32_t *sorted_ns, size_t count, double share)
{
    return (double)sorted_ns[(size_t)((double)(count - 1) * share)] / 1e3;
}

/* The figure of another contender on the same server in the same shape; 0: there is none. */
static double client_us(const struct bench_case *cases, size_t count, const char *contender, const char *server,
                        unsigned connections, unsigned in_flight)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(cases[i].contender->name, contender) && !strcmp(cases[i].server, server) &&
            cases[i].connections == connections && cases[i].in_flight == in_flight)
            return bench_spread(cases[i].client_us, cases[i].figures).median;
    return 0;
}

static const char *ratio(char *out, size_t size, double figure, double other)
{
    if (figure > 0 && other > 0)
        snprintf(out, size, "%.2f", figure / other);
    else
        snprintf(out, size, "-");
    return out;
}

static const char *sync_of(const struct bench_case *c) { return c->peer.batched ? "batch" : "each"; }

/* What the peers say of themselves, each once. */
static void print_peers(const struct bench_case *cases, size_t count)
{
    const char *separator = "peers: ";
    for (size_t i = 0; i < count; i++) {
        bool again = false;
        for (size_t k = 0; k < i; k++) again |= cases[k].figures && cases[k].contender == cases[i].contender;
        if (again || !cases[i].contender->peer || !cases[i].figures) continue;
        printf("%s%s", separator, cases[i].peer.version);
        separator = ", ";
    }
    if (*separator == ',')
        printf(".\nThey are other drivers, each a program of its own: postgres.js, pg and pgbench take text, the "
               "others\nbinary; pgx, asyncpg, psycopg and pg have a pool of connections on which more callers wait; "
               "sync batch: one\nSync behind all that a connection has in flight. They warm up for 0.4 s at least, "
               "0.25 s with --quick.\n");
}

void bench_print_table(const struct bench_case *cases, size_t count)
{
    printf("\n%-15s %-6s %5s %5s %5s %10s %21s %9s %15s %8s %7s %8s\n", "contender", "server", "conns", "each", "sync",
           "q/s", "(min-max)", "client us", "(min-max)", "syscalls", "x floor", "x ringpg");
    for (size_t i = 0; i < count; i++) {
        const struct bench_case *c = &cases[i];
        if (!c->figures) {
            printf("%-15s %-6s %5u %5u %5s failed\n", c->contender->name, c->server, c->connections, c->in_flight,
                   sync_of(c));
            continue;
        }
        struct bench_spread qps = bench_spread(c->qps, c->figures), us = bench_spread(c->client_us, c->figures);
        const char *lane = c->in_flight == 1 ? "ringpg-lease" : "ringpg-shared";
        double ground = client_us(cases, count, "floor", c->server, c->connections, c->in_flight);
        double ringpg = client_us(cases, count, lane, c->server, c->connections, c->in_flight);
        char qps_range[32], us_range[32], calls[16] = "-", to_floor[16], to_ringpg[16];
        snprintf(qps_range, sizeof qps_range, "(%.0f-%.0f)", qps.min, qps.max);
        snprintf(us_range, sizeof us_range, "(%.2f-%.2f)", us.min, us.max);
        if (c->syscalls >= 0) snprintf(calls, sizeof calls, "%.3f", c->syscalls);
        printf("%-15s %-6s %5u %5u %5s %10.0f %21s %9.2f %15s %8s %7s %8s\n", c->contender->name, c->server,
               c->connections, c->in_flight, sync_of(c), qps.median, qps_range, us.median, us_range, calls,
               ratio(to_floor, sizeof to_floor, us.median, ground),
               ratio(to_ringpg, sizeof to_ringpg, us.median, ringpg));
    }
    printf("client us: CPU of the client process per query; x floor, x ringpg: that figure against the floor's and "
           "ringpg's\n"
           "in the same shape; each: queries in flight per connection; sync each: a Sync after every query.\n");
    print_peers(cases, count);
}

static const char *figure(char *out, size_t size, const char *format, const double *figures, unsigned count)
{
    double median = bench_spread(figures, count).median;
    if (isnan(median))
        snprintf(out, size, "-");
    else
        snprintf(out, size, format, median);
    return out;
}

void bench_print_costs(const struct bench_case *cases, size_t count)
{
    printf("\n%-15s %-6s %5s %5s %10s %12s %12s %10s %8s %8s\n", "contender", "server", "conns", "each", "server us",
           "allocations", "switches", "peak KiB", "p50 us", "p99 us");
    for (size_t i = 0; i < count; i++) {
        const struct bench_case *c = &cases[i];
        char server[16], allocations[16], switches[16], peak[16], p50[16], p99[16];
        if (!c->figures) continue;
        printf("%-15s %-6s %5u %5u %10s %12s %12s %10s %8s %8s\n", c->contender->name, c->server, c->connections,
               c->in_flight,
               figure(server, sizeof server, "%.2f", c->server_us, c->figures),
               figure(allocations, sizeof allocations, "%.4f", c->allocations, c->figures),
               figure(switches, sizeof switches, "%.4f", c->switches, c->figures),
               figure(peak, sizeof peak, "%.0f", c->peak_kib, c->figures),
               figure(p50, sizeof p50, "%.0f", c->p50_us, c->figures),
               figure(p99, sizeof p99, "%.0f", c->p99_us, c->figures));
    }
    printf("per query, after the warm-up: CPU of the server's processes; allocations and voluntary context switches\n"
           "of the client. peak KiB: the client's resident memory. p50, p99: how long a peer's query took for one in\n"
           "eight of its callers; for the others there is the part latency.\n");
}

/* A goal: the figure of one contender against that of another, as a ratio that must stay at or below a bound, or not
 * fall below it. */
struct goal {
    const char *text, *figure, *other;
    unsigned connections, in_flight;
    double bound;
    bool at_least;
    const char *server; /* NULL: each */
};
static const struct goal goals[] = {
    { "shared lane's client CPU at most 1.25 x the floor's", "ringpg-shared", "floor", 8, 8, 1.25, false, NULL },
    { "shared lane's client CPU at least 3 x below libpq-pipeline's", "ringpg-shared", "libpq-pipeline", 8, 8, 1.0 / 3,
      false, NULL },
    { "leases' client CPU below libpq-epoll's", "ringpg-lease", "libpq-epoll", 8, 1, 1.0, false, NULL },
    { "32 handlers, 32 connections: leases' at most 1.10 x the floor's", "ringpg-lease", "floor", 32, 1, 1.10, false,
      "real" },
    { "32 handlers, 32 connections: libpq-epoll's at least 1.4 x leases'", "libpq-epoll", "ringpg-lease", 32, 1, 1.4,
      true, "real" },
    { "tokio-postgres' client CPU at least 2.8 x the shared lane's", "tokio-postgres", "ringpg-shared", 8, 8, 2.8, true,
      "null" },
    { "libpq-pipeline's client CPU at least 7 x the shared lane's", "libpq-pipeline", "ringpg-shared", 8, 8, 7, true,
      "null" },
    { "shared lane's client CPU at most 1.10 x the floor's", "ringpg-shared", "floor", 8, 8, 1.10, false, "null" },
    { "4 x 64 in flight: shared lane's at most 1.40 x the floor's", "ringpg-shared", "floor", 4, 64, 1.40, false,
      "null" },
    { "4 x 64 in flight: tokio-postgres' at least 6 x the shared lane's", "tokio-postgres", "ringpg-shared", 4, 64, 6,
      true, "null" },
};

static void print_goal(const struct bench_case *cases, size_t count, const char *server, const struct goal *goal)
{
    double figure = client_us(cases, count, goal->figure, server, goal->connections, goal->in_flight);
    double other = client_us(cases, count, goal->other, server, goal->connections, goal->in_flight);
    if (figure <= 0 || other <= 0) {
        printf("  %s  %-66s  not measured\n", server, goal->text);
        return;
    }
    bool met = goal->at_least ? figure / other >= goal->bound : figure / other <= goal->bound;
    printf("  %s  %-66s  %.2f x (%.2f / %.2f us), bound %.2f: %s\n", server, goal->text, figure / other, figure, other,
           goal->bound, met ? "met" : "NOT MET");
}

static double qps_of(const struct bench_case *c) { return bench_spread(c->qps, c->figures).median; }

/* The one goal about throughput: on the real server with a Sync behind each query, either well ahead of the best peer
 * or about as fast as the floor, which is where the server itself is the end of it. */
static void print_throughput_goal(const struct bench_case *cases, size_t count)
{
    const double over_peer = 1.3, over_floor = 0.95;
    const struct bench_case *best = NULL;
    double ours = 0, ground = 0;
    for (size_t i = 0; i < count; i++) {
        const struct bench_case *c = &cases[i];
        if (!c->figures || *c->server != 'r' || c->connections != 8 || c->in_flight != 8) continue;
        if (!strcmp(c->contender->name, "ringpg-shared")) ours = qps_of(c);
        if (!strcmp(c->contender->name, "floor")) ground = qps_of(c);
        if (c->contender->peer && !c->peer.batched && (!best || qps_of(c) > qps_of(best))) best = c;
    }
    printf("  real  %-66s  ", "shared lane's q/s at least 1.3 x the best peer's or 0.95 x the floor's");
    if (ours <= 0 || (!best && ground <= 0)) {
        printf("not measured\n");
        return;
    }
    bool met = (best && ours >= over_peer * qps_of(best)) || (ground > 0 && ours >= over_floor * ground);
    if (best) printf("%.2f x %s (%.0f / %.0f q/s), ", ours / qps_of(best), best->contender->name, ours, qps_of(best));
    if (ground > 0) printf("%.2f x floor (%.0f / %.0f q/s)", ours / ground, ours, ground);
    printf(": %s\n", met ? "met" : !best ? "not met by the floor, no peer measured" : "NOT MET");
}

void bench_print_goals(const struct bench_case *cases, size_t count)
{
    printf("\nGoals, of 8 connections and 64 handlers where nothing else is said:\n");
    for (size_t s = 0; s < 2; s++) {
        const char *server = s ? "null" : "real";
        for (size_t i = 0; i < sizeof goals / sizeof *goals; i++)
            if (!goals[i].server || !strcmp(goals[i].server, server)) print_goal(cases, count, server, &goals[i]);
        if (!s) print_throughput_goal(cases, count);
    }
}

static void write_figure(FILE *file, const char *key, double figure)
{
    if (isnan(figure))
        fprintf(file, "\"%s\": null, ", key);
    else
        fprintf(file, "\"%s\": %.4f, ", key, figure);
}

static void write_row(FILE *file, const struct bench_case *c, const char *transport)
{
    struct bench_spread qps = bench_spread(c->qps, c->figures), us = bench_spread(c->client_us, c->figures);
    fprintf(file,
            "  {\"contender\": \"%s\", \"server\": \"%s\", \"workload\": \"select\", \"connections\": %u, "
            "\"in_flight\": %u, "
            "\"sync\": \"%s\", \"qps\": %.1f, \"client_us_per_query\": %.4f, ",
            c->contender->name, c->server, c->connections, c->in_flight, sync_of(c), qps.median, us.median);
    write_figure(file, "syscalls_per_query", c->syscalls >= 0 ? c->syscalls : BENCH_UNKNOWN);
    write_figure(file, "backend_us_per_query", bench_spread(c->server_us, c->figures).median);
    write_figure(file, "allocations_per_query", bench_spread(c->allocations, c->figures).median);
    write_figure(file, "voluntary_switches_per_query", bench_spread(c->switches, c->figures).median);
    write_figure(file, "peak_rss_kib", bench_spread(c->peak_kib, c->figures).median);
    write_figure(file, "p50_us", bench_spread(c->p50_us, c->figures).median);
    write_figure(file, "p99_us", bench_spread(c->p99_us, c->figures).median);
    if (c->contender->peer) fprintf(file, "\"driver\": \"%s\", ", c->peer.version);
    fprintf(
        file,
        "\"qps_min\": %.1f, \"qps_max\": %.1f, \"client_us_min\": %.4f, \"client_us_max\": %.4f, \"repetitions\": %u, "
        "\"statement\": \"" BENCH_SQL "\", \"transport\": \"%s\"}",
        qps.min, qps.max, us.min, us.max, c->figures, transport);
}

int bench_write_json(const struct bench_case *cases, size_t count, const char *transport, const char *path)
{
    FILE *file = fopen(path, "w");
    const char *separator = "";
    if (!file) return -errno;
    fprintf(file, "[\n");
    for (size_t i = 0; i < count; i++) {
        if (!cases[i].figures) continue;
        fprintf(file, "%s", separator);
        write_row(file, &cases[i], transport);
        separator = ",\n";
    }
    fprintf(file, "\n]\n");
    bool failed = ferror(file);
    return fclose(file) || failed ? -EIO : 0;
}

FILE *bench_json_open(const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file) bench_die("%s: %s", path, strerror(errno));
    return file;
}

void bench_json_close(FILE *file, const char *path)
{
    bool unwritten = ferror(file);
    if (fclose(file) || unwritten) bench_die("%s: %s", path, strerror(EIO));
}
