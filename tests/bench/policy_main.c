/* The benchmark's part policy: does the pool need to be tuned by hand? 64 handlers on the shared lane of a pool whose
 * options nobody set, beside pools whose connections and depth are fixed by their options, on a real server.
 *
 * A short pass over all fixed pools (two of them, unless it has to be quick) finds the best three; then these and the
 * default take turns. Who was lucky in the pass is so no longer, but the best of three is still a little better than
 * what it stands for: the comparison leans against the default. Knows the pool by its options alone. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"
#include "ringpg_load.h"

enum { HANDLERS = 64, RUN_S = 30, PASSES = 2 };
static const unsigned connections[] = {1, 2, 4, 8, 16, 32}, depths[] = {1, 4, 16, 64};
enum {
    CONNECTIONS = sizeof connections / sizeof *connections,
    DEPTHS = sizeof depths / sizeof *depths,
    FIXED = CONNECTIONS * DEPTHS,
    DEFAULT = FIXED, /* behind all the fixed ones */
    POLICIES,
    BEST = 3
};
/* The goal: the default's queries per second against the best fixed pool's. */
static const double SHARE_MIN = 0.95;

struct figures {
    unsigned count;
    double qps[BENCH_REPETITIONS_MAX], us[BENCH_REPETITIONS_MAX];
};
static struct figures passes[POLICIES], finals[POLICIES];

static const char *name_of(size_t policy, char *out, size_t size)
{
    if (policy == DEFAULT)
        snprintf(out, size, "default");
    else
        snprintf(out, size, "%u x %u", connections[policy / DEPTHS], depths[policy % DEPTHS]);
    return out;
}

/* ---- running ---- */

struct job {
    size_t policy;
    const struct bench_target *target;
    struct bench_meter meter;
};

static void job_run(void *arg, int out)
{
    struct job *job = arg;
    char depth[64], name[32];
    struct ringpg_load load = {.target = job->target, .handlers = HANDLERS};
    if (job->policy != DEFAULT) {
        snprintf(depth, sizeof depth, "pool_max_pipeline=%u", depths[job->policy % DEPTHS]);
        load.connections = connections[job->policy / DEPTHS];
        load.options = depth;
    }
    ringpg_load_run(&load, &job->meter);
    if (job->meter.phase != BENCH_OVER || job->meter.ended.answered <= job->meter.began.answered)
        bench_die("%s: nothing was measured", name_of(job->policy, name, sizeof name));
    if (write(out, &job->meter, sizeof job->meter) != sizeof job->meter) bench_die("write: %s", strerror(errno));
}

static bool repeat(size_t policy, const struct bench_common *options, double seconds, struct figures *figures)
{
    struct job job = {.policy = policy, .target = &options->target};
    struct bench_meter meter;
    char answer[sizeof meter + 1]; /* one more than the answer, so that its end is seen */
    job.meter.measure_ns = (uint64_t)(seconds * 1e9);
    job.meter.warm_ns = job.meter.measure_ns / 4;
    if (bench_in_child(job_run, &job, answer, sizeof answer, RUN_S) != (long)sizeof meter) return false;
    memcpy(&meter, answer, sizeof meter);
    double queries = (double)(meter.ended.answered - meter.began.answered);
    unsigned i = figures->count++;
    figures->qps[i] = queries * 1e9 / (double)(meter.ended.at_ns - meter.began.at_ns);
    figures->us[i] = (double)(meter.ended.cpu_ns - meter.began.cpu_ns) / 1e3 / queries;
    return true;
}

static double qps_of(const struct figures *figures) { return bench_spread(figures->qps, figures->count).median; }

/* The best fixed ones of the passes, the best first. */
static void find_best(size_t best[BEST])
{
    for (size_t rank = 0; rank < BEST; rank++) {
        best[rank] = POLICIES;
        for (size_t p = 0; p < FIXED; p++) {
            bool taken = false;
            for (size_t i = 0; i < rank; i++) taken |= best[i] == p;
            if (!taken && (best[rank] == POLICIES || qps_of(&passes[p]) > qps_of(&passes[best[rank]]))) best[rank] = p;
        }
    }
}

/* ---- the report ---- */

static void print_pass(void)
{
    printf("\nthe pass: q/s (client us), connections down, statements in flight on each across\n%11s", "");
    for (size_t d = 0; d < DEPTHS; d++) printf(" %18u", depths[d]);
    for (size_t p = 0; p < POLICIES; p++) {
        char figure[32];
        if (p == DEFAULT) printf("\n%11s", "default");
        else if (p % DEPTHS == 0) printf("\n%11u", connections[p / DEPTHS]);
        snprintf(figure, sizeof figure, "%.0f (%.2f)", qps_of(&passes[p]),
                 bench_spread(passes[p].us, passes[p].count).median);
        printf(" %18s", figure);
    }
    printf("\n");
    fflush(stdout);
}

/* The default's q/s against a fixed pool's, in pairs of one repetition: what else the machine does falls on both. */
static struct bench_spread share_of(size_t policy)
{
    double shares[BENCH_REPETITIONS_MAX];
    const struct figures *ours = &finals[DEFAULT], *theirs = &finals[policy];
    unsigned count = ours->count < theirs->count ? ours->count : theirs->count;
    for (unsigned i = 0; i < count; i++) shares[i] = ours->qps[i] / theirs->qps[i];
    return bench_spread(shares, count);
}

static void print_line(size_t policy)
{
    const struct figures *f = &finals[policy];
    struct bench_spread qps = bench_spread(f->qps, f->count), us = bench_spread(f->us, f->count);
    struct bench_spread share = share_of(policy);
    char name[32], qps_range[40], us_range[40], share_range[40];
    snprintf(qps_range, sizeof qps_range, "(%.0f-%.0f)", qps.min, qps.max);
    snprintf(us_range, sizeof us_range, "(%.2f-%.2f)", us.min, us.max);
    snprintf(share_range, sizeof share_range, "%.2f (%.2f-%.2f)", share.median, share.min, share.max);
    printf("%-11s %9.0f %17s %10.2f %15s %18s\n", name_of(policy, name, sizeof name), qps.median, qps_range, us.median,
           us_range, policy == DEFAULT ? "-" : share_range);
}

static void print_report(const size_t best[BEST])
{
    size_t winner = best[0];
    char name[32];
    printf("\n%-11s %9s %17s %10s %15s %18s\n", "pool", "q/s", "(min-max)", "client us", "(min-max)", "default / this");
    print_line(DEFAULT);
    for (size_t i = 0; i < BEST; i++) {
        print_line(best[i]);
        if (share_of(best[i]).median < share_of(winner).median) winner = best[i];
    }
    double share = share_of(winner).median;
    printf("client us: CPU of the client process per query; default / this: of their q/s in the same repetition.\n"
           "  (4 x 64 are the default's own numbers: what it differs from that is noise)\n"
           "\nGoal: the default's q/s against the best fixed pool's, %s: %.2f, at least %.2f: %s\n",
           name_of(winner, name, sizeof name), share, SHARE_MIN, share >= SHARE_MIN ? "met" : "NOT MET");
}

static void write_rows(FILE *file, const char *phase, const struct figures *figures, const char **separator)
{
    for (size_t p = 0; p < POLICIES; p++) {
        char name[32];
        const struct figures *f = &figures[p];
        struct bench_spread qps = bench_spread(f->qps, f->count);
        if (!f->count) continue;
        fprintf(file,
                "%s  {\"workload\": \"policy\", \"phase\": \"%s\", \"pool\": \"%s\", \"handlers\": %d, "
                "\"qps\": %.1f, \"qps_min\": %.1f, \"qps_max\": %.1f, \"client_us\": %.4f, \"repetitions\": %u}",
                *separator, phase, name_of(p, name, sizeof name), HANDLERS, qps.median, qps.min, qps.max,
                bench_spread(f->us, f->count).median, f->count);
        *separator = ",\n";
    }
}

static void write_json(const char *path)
{
    FILE *file = bench_json_open(path);
    const char *separator = "[\n";
    write_rows(file, "pass", passes, &separator);
    write_rows(file, "final", finals, &separator);
    fprintf(file, "\n]\n");
    bench_json_close(file, path);
}

/* ---- options ---- */

static const char usage[] = "bench_policy [options]; the pass takes a quarter of the seconds\n"
                            "  --no-table               the table bench_select is there already, and stays\n";

static const struct bench_option option_rows[] = {
    {"no-table", BENCH_FLAG, offsetof(struct bench_common, no_table), 0},
};
static const struct bench_part part = {.usage = usage,
                                       .rows = option_rows,
                                       .count = sizeof option_rows / sizeof *option_rows,
                                       .repetitions = 9,
                                       .seconds = 1,
                                       .quick_seconds = 0.2,
                                       .seconds_max = 20};

int main(int argc, char **argv)
{
    static struct bench_common options;
    bool failed = false;
    size_t best[BEST];
    bench_read_part(argc, argv, &part, &options);
    if (options.contender) bench_die("--contender: this part has ringpg alone");
    if (!bench_select_make(&options)) bench_die("the table could not be made");
    printf("workload policy: " BENCH_SQL ", Sync each, %d handlers on the shared lane; a pool with its default options "
           "beside\nfixed ones; %u repetitions of %.2g s each, in turn; figures are medians\n",
           HANDLERS, options.repetitions, options.seconds);
    fflush(stdout);
    for (unsigned pass = 0; pass < (options.quick ? 1 : PASSES); pass++)
        for (size_t p = 0; p < POLICIES; p++) failed |= !repeat(p, &options, options.seconds / 4, &passes[p]);
    print_pass();
    find_best(best);
    for (unsigned repetition = 0; repetition < options.repetitions; repetition++) {
        failed |= !repeat(DEFAULT, &options, options.seconds, &finals[DEFAULT]);
        for (size_t i = 0; i < BEST; i++) failed |= !repeat(best[i], &options, options.seconds, &finals[best[i]]);
    }
    failed |= !bench_select_drop(&options);
    print_report(best);
    if (options.json) write_json(options.json);
    if (failed) fprintf(stderr, "bench: a run failed, see above\n");
    return failed;
}
