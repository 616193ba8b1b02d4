/* The benchmark's part growth: which runs there are, their order, and the options. As in the other parts each run is a
 * process of its own, and all sizes of all series take their turns before the next repetition begins. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "growth.h"

enum { SERIES_MAX = 16, RUN_S = 60 };

struct options {
    struct bench_common common; /* target: the real server; host NULL: none */
    const char *series;         /* only this one */
    unsigned size, queries;
    bool one;
};

static bool runs(const struct options *options, const struct growth_series *series, unsigned size)
{
    if (!size || (options->common.quick && series->quick_max && size > series->quick_max)) return false;
    if (series->real && !options->common.target.host) return false;
    return (!options->series || !strcmp(options->series, series->name)) && (!options->size || options->size == size);
}

/* ---- running ---- */

struct job {
    const struct growth_series *series;
    const struct bench_target *target;
    unsigned size;
    struct bench_meter meter;
};

static void job_run(void *arg, int out)
{
    struct job *job = arg;
    job->series->run(job->target, job->size, &job->meter);
    if (job->meter.phase != BENCH_OVER || job->meter.ended.answered <= job->meter.began.answered)
        bench_die("%s, %u: nothing was measured", job->series->name, job->size);
    if (write(out, &job->meter, sizeof job->meter) != sizeof job->meter) bench_die("write: %s", strerror(errno));
}

static bool repeat(const struct growth_series *series, unsigned size, const struct bench_target *target,
                   const struct options *options, struct growth_figures *figures)
{
    struct job job = {.series = series, .target = target, .size = size};
    struct bench_meter meter;
    char answer[sizeof meter + 1]; /* one more than the answer, so that its end is seen */
    job.meter.measure_ns = (uint64_t)(options->common.seconds * 1e9);
    job.meter.warm_ns = job.meter.measure_ns / 4;
    if (bench_in_child(job_run, &job, answer, sizeof answer, RUN_S) != (long)sizeof meter) return false;
    memcpy(&meter, answer, sizeof meter);
    double queries = (double)(meter.ended.answered - meter.began.answered) / (series->rows ? size : 1);
    unsigned i = figures->count++;
    figures->qps[i] = queries * 1e9 / (double)(meter.ended.at_ns - meter.began.at_ns);
    figures->us[i] = (double)(meter.ended.cpu_ns - meter.began.cpu_ns) / 1e3 / queries;
    figures->cpu_ns += (double)(meter.ended.cpu_ns - meter.began.cpu_ns);
    figures->user_ns += (double)(meter.ended.user_ns - meter.began.user_ns);
    return true;
}

static bool measure(const struct options *options, const struct bench_target *null_target, growth_table table)
{
    bool failed = false;
    for (unsigned repetition = 0; repetition < options->common.repetitions; repetition++)
        for (size_t s = 0; s < growth_count; s++)
            for (size_t i = 0; i < GROWTH_SIZES_MAX; i++) {
                const struct growth_series *series = &growth_series[s];
                const struct bench_target *target = series->real ? &options->common.target : null_target;
                if (runs(options, series, series->sizes[i]))
                    failed |= !repeat(series, series->sizes[i], target, options, &table[s][i]);
            }
    return !failed;
}

/* Hundreds of connections, at both of their ends. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static bool run_all(const struct options *options)
{
    static struct growth_figures table[SERIES_MAX][GROWTH_SIZES_MAX];
    struct bench_target null_target = {.host = "127.0.0.1", .user = "bench", .database = "bench"};
    if (growth_count > SERIES_MAX) bench_die("more series than there is room for");
    pid_t null_server = null_server_start(&null_target);
    printf("workload growth: ringpg, " BENCH_SQL " with a Sync after each on a null server by TCP on loopback, rows on "
           "a real one;\n"
           "%u repetitions of %.2g s each, all in turn; figures are medians\n",
           options->common.repetitions, options->common.seconds);
    if (!options->common.target.host) printf("skipped: rows of an answer, which need a server (--host)\n");
    fflush(stdout);
    bool succeeded = measure(options, &null_target, table);
    kill(null_server, SIGKILL);
    waitpid(null_server, NULL, 0);
    growth_print(table);
    if (options->common.json) growth_write_json(table, options->common.json);
    return succeeded;
}

/* A single run in this process, for a profiler or a debugger. */
static void run_one(const struct options *options)
{
    if (!options->common.target.host || !options->queries || !options->size || !options->series)
        bench_die("--one needs --host, --series, --size and --queries");
    for (size_t s = 0; s < growth_count; s++) {
        struct bench_meter meter = {.limit = options->queries};
        if (!runs(options, &growth_series[s], options->size)) continue;
        growth_series[s].run(&options->common.target, options->size, &meter);
        printf("answered %ju\n", (uintmax_t)meter.answered);
        return;
    }
    bench_die("no series is called %s", options->series);
}

/* ---- options ---- */

static const char usage[] = "bench_growth [options]; without a --host the series on a real server are skipped\n"
                            "  --series NAME, --size N  only these\n"
                            "  --one                    a single run in this process, of --queries N (or rows) there\n";

#define AT(member) offsetof(struct options, member)
static const struct bench_option option_rows[] = {
    {"series", BENCH_TEXT, AT(series), 0},
    {"size", BENCH_NUMBER, AT(size), 1000000},
    {"one", BENCH_FLAG, AT(one), 0},
    {"queries", BENCH_NUMBER, AT(queries), 100000000},
};
static const struct bench_part part = {.usage = usage,
                                       .rows = option_rows,
                                       .count = sizeof option_rows / sizeof *option_rows,
                                       .repetitions = 7,
                                       .seconds = 0.4,
                                       .quick_seconds = 0.04,
                                       .seconds_max = 20,
                                       .serverless = true};

int main(int argc, char **argv)
{
    static struct options options;
    bench_read_part(argc, argv, &part, &options.common);
    if (options.common.contender) bench_die("--contender: this part has ringpg alone, see --series");
    raise_descriptors();
    if (options.one) {
        run_one(&options);
        return 0;
    }
    bool succeeded = run_all(&options);
    if (!succeeded) fprintf(stderr, "bench: a run failed, see above\n");
    return !succeeded;
}
