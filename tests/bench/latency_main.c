/* The benchmark's part latency: its loads, their order, and the report. As in the other parts each run is a process of
 * its own, and all contenders take their turns before the next repetition begins. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "latency.h"

static const struct latency_client tokio_postgres = {.name = "tokio-postgres"};
static const struct latency_client pgx = {.name = "pgx"};

static const struct latency_client *const clients[] = {
    &latency_shared,
    &latency_lease,
    &latency_spin,
#ifdef BENCH_LIBPQ
    &latency_libpq,
    &latency_blocking,
    &latency_pipeline,
#endif
    &tokio_postgres,
    &pgx,
};
enum { CLIENTS = sizeof clients / sizeof *clients };
enum { LEASE = 1, SPIN, LIBPQ_EPOLL, LIBPQ_BLOCKING };

static const struct {
    const char *name;
    double share; /* of the contender's own peak; 0: one caller on one connection */
    bool quick, quick_peers; /* part of a quick run; of the peers, too */
} loads[] = {
    {"alone", 0, true, true}, {"50 %", 0.5, false, false}, {"80 %", 0.8, true, true}, {"95 %", 0.95, true, false}};
enum { LOADS = sizeof loads / sizeof *loads };

struct outcome {
    double peak, per_s; /* queries per second: at its best; under this load */
    double p50_us, p99_us, p999_us;
    char version[64]; /* what a peer says of itself */
};
static struct outcome outcomes[LOADS][CLIENTS][BENCH_REPETITIONS_MAX];
static unsigned counts[LOADS][CLIENTS];
static struct {
    char *program; /* NULL: not there, or not wanted */
    bool given_up; /* one that failed is not run again */
} peers[CLIENTS];

struct options {
    struct bench_common common;
    const char *peers, *load; /* load: only this one */
};

static bool is_peer(size_t client)
{
    return !clients[client]->open;
}

/* Those that are not named are all wanted, in a quick run one peer. */
static bool wanted(const struct options *options, size_t client)
{
    if (options->common.contender) return !strcmp(options->common.contender, clients[client]->name);
    return !options->common.quick || !is_peer(client) || clients[client] == &tokio_postgres;
}

static bool runs(const struct options *options, size_t load, size_t client)
{
    if (is_peer(client) && !peers[client].program) return false;
    if (clients[client]->alone_only && loads[load].share > 0) return false;
    bool quick = is_peer(client) ? loads[load].quick_peers : loads[load].quick;
    if (options->common.quick && !quick && !options->load) return false;
    return (!options->load || !strcmp(options->load, loads[load].name)) && wanted(options, client);
}

static void find_peers(const struct options *options)
{
    for (size_t c = 0; options->peers && c < CLIENTS; c++) {
        if (!is_peer(c) || !wanted(options, c)) continue;
        peers[c].program = peer_program(options->peers, clients[c]->name);
        if (!peers[c].program) peer_print_missing(options->peers, clients[c]->name);
    }
}

/* ---- running ---- */

struct job {
    const struct latency_client *client;
    const struct options *options;
    double share;
    const char *program;
};

static void measure(const struct job *job, struct outcome *outcome)
{
    double seconds = job->options->common.seconds;
    struct latency_shape shape = {.target = &job->options->common.target,
                                  .connections = job->share > 0 ? LATENCY_CONNECTIONS : 1};
    struct latency_load load = {.room = 8 << 20};
    void *client = job->client->open(&shape);
    if (job->share > 0) {
        latency_begin(&load, LATENCY_CALLERS, 0, seconds / 2);
        job->client->run(client, &load);
        outcome->peak = (double)load.answered / (seconds / 2);
        if (!load.answered) bench_die("%s: nothing was answered", job->client->name);
    }
    load.took_ns = calloc(load.room, sizeof *load.took_ns);
    if (!load.took_ns) bench_die("no memory");
    latency_begin(&load, job->share > 0 ? 0 : 1, outcome->peak * job->share, seconds);
    job->client->run(client, &load);
    job->client->close(client);
    size_t count = load.answered < load.room ? load.answered : load.room;
    if (!count) bench_die("%s: nothing was answered", job->client->name);
    bench_sort_times(load.took_ns, count);
    outcome->per_s = (double)load.answered / seconds;
    outcome->p50_us = bench_percentile_us(load.took_ns, count, 0.5);
    outcome->p99_us = bench_percentile_us(load.took_ns, count, 0.99);
    outcome->p999_us = bench_percentile_us(load.took_ns, count, 0.999);
    free(load.took_ns);
}

/* Queries per second. */
static double run_peer(const struct bench_shape *shape, struct bench_meter *meter, double seconds)
{
    meter->measure_ns = (uint64_t)(seconds * 1e9);
    meter->warm_ns = meter->measure_ns / 5;
    peer_run(shape, meter);
    double wall_ns = (double)(meter->ended.at_ns - meter->began.at_ns);
    return (double)(meter->ended.answered - meter->began.answered) * 1e9 / wall_ns;
}

static void measure_peer(const struct job *job, struct outcome *outcome)
{
    struct bench_meter meter = {.limit = 0};
    bool open = job->share > 0;
    struct bench_shape shape = {.target = &job->options->common.target,
                                .connections = open ? LATENCY_CONNECTIONS : 1,
                                .in_flight = open ? LATENCY_CALLERS / LATENCY_CONNECTIONS : 1,
                                .program = job->program};
    if (open) {
        outcome->peak = run_peer(&shape, &meter, job->options->common.seconds / 2);
        shape.per_s = outcome->peak * job->share;
    }
    shape.latencies = 1;
    outcome->per_s = run_peer(&shape, &meter, job->options->common.seconds);
    const struct bench_peer *peer = &meter.peer;
    if (peer->p50_us <= 0 || peer->p99_us < peer->p50_us || peer->p999_us < peer->p99_us)
        bench_die("%s: it does not say how long its queries took", job->client->name);
    outcome->p50_us = peer->p50_us;
    outcome->p99_us = peer->p99_us;
    outcome->p999_us = peer->p999_us;
    memcpy(outcome->version, peer->version, sizeof outcome->version);
}

static void job_run(void *arg, int out)
{
    const struct job *job = arg;
    struct outcome outcome = {.peak = 0};
    prctl(PR_SET_TIMERSLACK, 1000); /* ns: else each wait for what is due would be 50 us too long, for everybody */
    if (job->program)
        measure_peer(job, &outcome);
    else
        measure(job, &outcome);
    if (write(out, &outcome, sizeof outcome) != sizeof outcome) bench_die("write: %s", strerror(errno));
}

static bool repeat(const struct options *options, size_t load, size_t client)
{
    struct job job = {clients[client], options, loads[load].share, peers[client].program};
    char answer[sizeof(struct outcome) + 1]; /* one more than the answer, so that its end is seen */
    struct outcome *outcome = &outcomes[load][client][counts[load][client]];
    if (bench_in_child(job_run, &job, answer, sizeof answer, 60) != (long)sizeof *outcome) {
        peers[client].given_up = is_peer(client);
        return false;
    }
    memcpy(outcome, answer, sizeof *outcome);
    counts[load][client]++;
    return true;
}

/* ---- the report ---- */

static struct bench_spread spread(size_t load, size_t client, size_t member)
{
    double figures[BENCH_REPETITIONS_MAX];
    unsigned count = counts[load][client];
    for (unsigned i = 0; i < count; i++)
        memcpy(&figures[i], (const char *)&outcomes[load][client][i] + member, sizeof figures[i]);
    return bench_spread(figures, count);
}
#define SPREAD(load, client, member) spread(load, client, offsetof(struct outcome, member))

static void print_line(const struct options *options, size_t load, size_t client)
{
    if (!runs(options, load, client)) return;
    printf("%-8s %-15s ", loads[load].name, clients[client]->name);
    if (!counts[load][client]) {
        printf("not measured\n");
        return;
    }
    struct bench_spread p50 = SPREAD(load, client, p50_us), p99 = SPREAD(load, client, p99_us);
    char p50_range[32], p99_range[32];
    snprintf(p50_range, sizeof p50_range, "(%.0f-%.0f)", p50.min, p50.max);
    snprintf(p99_range, sizeof p99_range, "(%.0f-%.0f)", p99.min, p99.max);
    printf("%9.0f %8.1f %13s %8.1f %13s %9.1f\n", SPREAD(load, client, per_s).median, p50.median, p50_range, p99.median,
           p99_range, SPREAD(load, client, p999_us).median);
}

/* Of one caller alone. */
static void print_goal(size_t ours, size_t theirs)
{
    if (!counts[0][ours] || !counts[0][theirs]) return;
    double p50 = SPREAD(0, ours, p50_us).median / SPREAD(0, theirs, p50_us).median;
    double p99 = SPREAD(0, ours, p99_us).median / SPREAD(0, theirs, p99_us).median;
    printf("  alone, %s: p50 %.2f x %s's, p99 %.2f x, at most 1.05: %s\n", clients[ours]->name, p50,
           clients[theirs]->name, p99, p50 <= 1.05 && p99 <= 1.05 ? "met" : "NOT MET");
}

static void print_versions(void)
{
    const char *separator = "peers: ";
    for (size_t c = 0; c < CLIENTS; c++)
        for (size_t l = 0; is_peer(c) && l < LOADS; l++) {
            if (!counts[l][c]) continue;
            printf("%s%s", separator, outcomes[l][c][0].version);
            separator = ", ";
            break;
        }
    if (*separator == ',') printf("\n");
}

static void print_report(const struct options *options)
{
    printf("\n%-8s %-15s %9s %8s %13s %8s %13s %9s\n", "load", "contender", "q/s", "p50 us", "(min-max)", "p99 us",
           "(min-max)", "p99.9 us");
    for (size_t l = 0; l < LOADS; l++)
        for (size_t c = 0; c < CLIENTS; c++) print_line(options, l, c);
    printf("alone: one connection, one caller who waits for the answer. Else %d connections and an open load at random "
           "times, of\n  so much of what %d callers reached just before; counted from when a query was due, Sync each\n",
           LATENCY_CONNECTIONS, LATENCY_CALLERS);
    print_versions();
#ifdef BENCH_LIBPQ
    printf("\nGoals:\n");
    print_goal(LEASE, LIBPQ_EPOLL);
    print_goal(SPIN, LIBPQ_BLOCKING);
#endif
}

static void write_json(const struct options *options)
{
    FILE *file = bench_json_open(options->common.json);
    const char *separator = "[\n";
    for (size_t l = 0; l < LOADS; l++)
        for (size_t c = 0; c < CLIENTS; c++) {
            if (!counts[l][c]) continue;
            fprintf(file,
                    "%s  {\"workload\": \"latency\", \"load\": \"%s\", \"contender\": \"%s\", \"qps\": %.0f, "
                    "\"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, \"repetitions\": %u}",
                    separator, loads[l].name, clients[c]->name, SPREAD(l, c, per_s).median, SPREAD(l, c, p50_us).median,
                    SPREAD(l, c, p99_us).median, SPREAD(l, c, p999_us).median, counts[l][c]);
            separator = ",\n";
        }
    fprintf(file, "\n]\n");
    bench_json_close(file, options->common.json);
}

/* ---- options ---- */

static const char usage[] = "bench_latency [options]\n"
                            "  --peers DIR              other drivers too: programs in DIR, see peer.c\n"
                            "  --load NAME              only this one\n"
                            "  --no-table               the table bench_select is there already, and stays\n";

#define AT(member) offsetof(struct options, member)
static const struct bench_option option_rows[] = {
    {"peers", BENCH_TEXT, AT(peers), 0},
    {"load", BENCH_TEXT, AT(load), 0},
    {"no-table", BENCH_FLAG, AT(common.no_table), 0},
};
static const struct bench_part part = {.usage = usage,
                                       .rows = option_rows,
                                       .count = sizeof option_rows / sizeof *option_rows,
                                       .repetitions = 7,
                                       .seconds = 1,
                                       .quick_seconds = 0.1,
                                       .seconds_max = 20};

int main(int argc, char **argv)
{
    static struct options options;
    bool failed = false;
    bench_read_part(argc, argv, &part, &options.common);
    find_peers(&options);
    if (!bench_select_make(&options.common)) bench_die("the table could not be made");
    printf("workload latency: %s; %u repetitions of %.2g s each, contenders in turn; figures are medians\n", BENCH_SQL,
           options.common.repetitions, options.common.seconds);
    for (unsigned repetition = 0; repetition < options.common.repetitions; repetition++)
        for (size_t l = 0; l < LOADS; l++)
            for (size_t c = 0; c < CLIENTS; c++)
                if (runs(&options, l, c) && !peers[c].given_up && !repeat(&options, l, c)) failed = true;
    failed |= !bench_select_drop(&options.common);
    print_report(&options);
    if (options.common.json) write_json(&options);
    if (failed) fprintf(stderr, "bench: a run failed, see above\n");
    return failed;
}
