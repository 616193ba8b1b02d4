/* The benchmark's part work: who runs which workload, their order, and the report. As in the other parts each run is a
 * process of its own, and all contenders take their turns before the next repetition begins. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "work.h"
#ifdef BENCH_LIBPQ
#include "libpq_common.h"
#endif

/* Those of a workload stand together, the first is the one that the others are compared with. */
static const struct contender {
    const struct work_workload *workload;
    const char *name;
    work_run *run;
    const char *against; /* whose client CPU must not be more than this one's; NULL: there is no such goal */
} contenders[] = {
#ifdef BENCH_LIBPQ
#define LIBPQ(workload)                                                                                                \
    {workload, "libpq-epoll", work_libpq_epoll, "ringpg"}, {workload, "libpq-pipeline", work_libpq_pipeline, "ringpg"},
#else
#define LIBPQ(workload)
#endif
    {&work_selects, "ringpg", work_ringpg, NULL},
    LIBPQ(&work_selects)
    {&work_selects, "ringpg-batch", work_ringpg_batch, NULL},
#ifdef BENCH_LIBPQ
    {&work_selects, "libpq-batch", work_libpq_batch, "ringpg-batch"},
#endif
    {&work_updates, "ringpg", work_ringpg, NULL},
    LIBPQ(&work_updates)
    {&work_fortunes, "ringpg", work_ringpg, NULL},
    LIBPQ(&work_fortunes)
    {&work_transaction, "ringpg", work_ringpg, NULL},
    {&work_transaction, "ringpg-steps", work_ringpg_steps, NULL},
    LIBPQ(&work_transaction)
    {&work_slow, "ringpg", work_ringpg, NULL},
    {&work_slow, "ringpg-unmarked", work_ringpg_unmarked, NULL},
    {&work_slow, "ringpg-lease", work_ringpg_lease, NULL},
    LIBPQ(&work_slow)
};
enum { CONTENDERS = sizeof contenders / sizeof *contenders };

struct outcome {
    double per_s, client_us, server_us, p50_us, p99_us;
};
static struct outcome outcomes[CONTENDERS][BENCH_REPETITIONS_MAX];
static unsigned counts[CONTENDERS];

struct options {
    struct bench_common common;
    const char *workload; /* only this one */
};

static bool runs(const struct options *options, size_t i)
{
    return (!options->workload || !strcmp(options->workload, contenders[i].workload->name)) &&
           (!options->common.contender || !strcmp(options->common.contender, contenders[i].name));
}

/* ---- running ---- */

struct job {
    const struct contender *contender;
    const struct options *options;
};

static void job_run(void *arg, int out)
{
    const struct job *job = arg;
    const struct contender *contender = job->contender;
    struct work_load load = {.workload = contender->workload, .random = 88172645463325252u, .room = 8 << 20};
    struct bench_meter *meter = &load.meter;
    meter->measure_ns = (uint64_t)(job->options->common.seconds * 1e9);
    meter->warm_ns = meter->measure_ns / 5;
    meter->server_pid = (int)job->options->common.target.pid;
    load.took_ns = calloc(load.room, sizeof *load.took_ns);
    if (!load.took_ns) bench_die("no memory");
    contender->run(&job->options->common.target, &load);
    double requests = (double)(meter->ended.answered - meter->began.answered);
    if (meter->phase != BENCH_OVER || requests <= 0 || !load.took)
        bench_die("%s: nothing was measured", contender->name);
    bench_sort_times(load.took_ns, load.took);
    struct outcome outcome = {
        .per_s = requests * 1e9 / (double)(meter->ended.at_ns - meter->began.at_ns),
        .client_us = (double)(meter->ended.cpu_ns - meter->began.cpu_ns) / 1e3 / requests,
        .server_us = (meter->ended.server_ns - meter->began.server_ns) / 1e3 / requests,
        .p50_us = bench_percentile_us(load.took_ns, load.took, 0.5),
        .p99_us = bench_percentile_us(load.took_ns, load.took, 0.99),
    };
    free(load.took_ns);
    if (write(out, &outcome, sizeof outcome) != sizeof outcome) bench_die("write: %s", strerror(errno));
}

static bool repeat(const struct options *options, size_t i)
{
    struct job job = {&contenders[i], options};
    char answer[sizeof(struct outcome) + 1]; /* one more than the answer, so that its end is seen */
    struct outcome *outcome = &outcomes[i][counts[i]];
    if (bench_in_child(job_run, &job, answer, sizeof answer, 60) != (long)sizeof *outcome) return false;
    memcpy(outcome, answer, sizeof *outcome);
    counts[i]++;
    return true;
}

/* ---- the report ---- */

static void print_head(const struct options *options)
{
    printf("workload work: %d handlers on %d connections; %u repetitions of %.2g s each, contenders in turn; figures "
           "are medians\n",
           WORK_HANDLERS, WORK_CONNECTIONS, options->common.repetitions, options->common.seconds);
    printf("statements are prepared, binary both ways; a Sync behind each, also where several are sent at once; of "
           "-batch\n  and in transactions one behind those that are sent at once\n");
#if defined BENCH_LIBPQ && !defined LIBPQ_HAS_SEND_PIPELINE_SYNC
    printf("this libpq is older than 17: in pipeline mode each Sync is a send of its own\n");
#endif
}

static struct bench_spread spread(size_t i, size_t member)
{
    double figures[BENCH_REPETITIONS_MAX];
    for (unsigned k = 0; k < counts[i]; k++)
        memcpy(&figures[k], (const char *)&outcomes[i][k] + member, sizeof figures[k]);
    return bench_spread(figures, counts[i]);
}
#define SPREAD(i, member) spread(i, offsetof(struct outcome, member))

/* The one of that name in the workload of another one. */
static size_t find(size_t i, const char *name)
{
    while (i && contenders[i - 1].workload == contenders[i].workload) i--;
    while (strcmp(contenders[i].name, name)) i++;
    return i;
}

static const char *range(char *out, size_t size, struct bench_spread spread, int decimals)
{
    snprintf(out, size, "(%.*f-%.*f)", decimals, spread.min, decimals, spread.max);
    return out;
}

static void print_line(size_t i)
{
    printf("%-20s %-15s ", contenders[i].workload->name, contenders[i].name);
    if (!counts[i]) {
        printf("not measured\n");
        return;
    }
    struct bench_spread per_s = SPREAD(i, per_s), us = SPREAD(i, client_us), p99 = SPREAD(i, p99_us);
    double ours = SPREAD(find(i, "ringpg"), client_us).median, server_us = SPREAD(i, server_us).median;
    char per_s_range[32], us_range[32], p99_range[32], times[16] = "-", server[16] = "-";
    if (ours > 0) snprintf(times, sizeof times, "%.2f", us.median / ours);
    if (!isnan(server_us)) snprintf(server, sizeof server, "%.1f", server_us);
    printf("%8.0f %15s %7.1f %13s %8s %9s %7.0f %7.0f %13s\n", per_s.median,
           range(per_s_range, sizeof per_s_range, per_s, 0), us.median, range(us_range, sizeof us_range, us, 1), times,
           server, SPREAD(i, p50_us).median, p99.median, range(p99_range, sizeof p99_range, p99, 0));
}

static void print_goal(size_t i, const char *what, size_t member)
{
    const struct contender *contender = &contenders[i];
    size_t ringpg = find(i, contender->against);
    printf("  %-20s %-10s  %s / %s: ", contender->workload->name, what, contender->name, contender->against);
    if (!counts[i] || !counts[ringpg]) {
        printf("not measured\n");
        return;
    }
    double ours = spread(ringpg, member).median, theirs = spread(i, member).median, ratio = theirs / ours;
    printf("%.2f x (%.1f / %.1f us), at least 1.00: %s\n", ratio, theirs, ours, ratio >= 1 ? "met" : "NOT MET");
}

static void print_report(const struct options *options)
{
    printf("\n%-20s %-15s %8s %15s %7s %13s %8s %9s %7s %7s %13s\n", "workload", "contender", "req/s", "(min-max)",
           "cpu us", "(min-max)", "x ringpg", "server us", "p50 us", "p99 us", "(min-max)");
    for (size_t i = 0; i < CONTENDERS; i++)
        if (runs(options, i)) print_line(i);
    printf("cpu us: CPU of the client process per request; x ringpg: that against ringpg's; server us: CPU of the "
           "server's\n  processes per request; p50, p99: from a request's beginning, the wait for a connection "
           "included, to its last answer\n");
    printf("-steps: each statement after the outcome of the one before it, as libpq-epoll has it; -unmarked: nobody "
           "says which\n  statements are slow; -lease: those on a lease\n");
    for (size_t i = 0; i < CONTENDERS; i++)
        if (runs(options, i) && (!i || contenders[i - 1].workload != contenders[i].workload))
            printf("%s: %s\n", contenders[i].workload->name, contenders[i].workload->about);
    printf("\nGoals: not more client CPU than libpq; nobody waits longer behind what is slow\n");
    for (size_t i = 0; i < CONTENDERS; i++) {
        if (!runs(options, i) || !contenders[i].against) continue;
        print_goal(i, "client CPU", offsetof(struct outcome, client_us));
        if (contenders[i].workload->sleeps_percent) print_goal(i, "p99", offsetof(struct outcome, p99_us));
    }
}

static void write_json(const struct options *options)
{
    FILE *file = bench_json_open(options->common.json);
    const char *separator = "[\n";
    for (size_t i = 0; i < CONTENDERS; i++) {
        if (!counts[i]) continue;
        struct bench_spread us = SPREAD(i, client_us), server = SPREAD(i, server_us);
        char server_us[32] = "null";
        if (!isnan(server.median)) snprintf(server_us, sizeof server_us, "%.2f", server.median);
        fprintf(file,
                "%s  {\"workload\": \"%s\", \"contender\": \"%s\", \"requests_per_s\": %.1f, "
                "\"client_us_per_request\": %.3f, \"client_us_min\": %.3f, \"client_us_max\": %.3f, "
                "\"backend_us_per_request\": %s, \"p50_us\": %.2f, \"p99_us\": %.2f, \"repetitions\": %u}",
                separator, contenders[i].workload->name, contenders[i].name, SPREAD(i, per_s).median, us.median, us.min,
                us.max, server_us, SPREAD(i, p50_us).median, SPREAD(i, p99_us).median, counts[i]);
        separator = ",\n";
    }
    fprintf(file, "\n]\n");
    bench_json_close(file, options->common.json);
}

/* ---- options ---- */

static const char usage[] = "bench_work [options]\n"
                            "  --workload NAME          only this one\n";

#define AT(member) offsetof(struct options, member)
static const struct bench_option option_rows[] = {
    {"workload", BENCH_TEXT, AT(workload), 0},
};
static const struct bench_part part = {.usage = usage,
                                       .rows = option_rows,
                                       .count = sizeof option_rows / sizeof *option_rows,
                                       .repetitions = 5,
                                       .seconds = 1,
                                       .quick_seconds = 0.1,
                                       .seconds_max = 20};

int main(int argc, char **argv)
{
    static struct options options;
    bool failed = false;
    size_t wanted = 0;
    bench_read_part(argc, argv, &part, &options.common);
    for (size_t i = 0; i < CONTENDERS; i++) wanted += runs(&options, i);
    if (!wanted) bench_die("there is no such workload and contender");
    print_head(&options);
    if (!work_make_tables(&options.common.target)) bench_die("the tables could not be made");
    for (unsigned repetition = 0; repetition < options.common.repetitions; repetition++)
        for (size_t i = 0; i < CONTENDERS; i++)
            if (runs(&options, i) && !repeat(&options, i)) failed = true;
    failed |= !work_drop_tables(&options.common.target);
    print_report(&options);
    if (options.common.json) write_json(&options);
    if (failed) fprintf(stderr, "bench: a run failed, see above\n");
    return failed;
}
