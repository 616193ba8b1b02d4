/* The benchmark's part rows: its contenders, their order, and the report. As in the other parts each run is a process
 * of its own, and all contenders take their turns before the next repetition begins. Beside every run stands one of a
 * thousand rows: what that takes of memory is the client's own, what the other one takes beyond it are the rows. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "rows.h"

static const struct contender {
    const char *name;
    rows_run *run;
    bool text, whole;
} contenders[] = {
    {"ringpg, binary", rows_ringpg_run, false, false},
    {"ringpg, text", rows_ringpg_run, true, false},
#ifdef BENCH_LIBPQ
    {"libpq single-row, binary", rows_libpq_run, false, false},
    {"libpq single-row, text", rows_libpq_run, true, false},
    {"libpq result, binary", rows_libpq_run, false, true},
    {"libpq result, text", rows_libpq_run, true, true},
#endif
};
enum { CONTENDERS = sizeof contenders / sizeof *contenders, RINGPG = 0, SINGLE_BINARY = 2, SINGLE_TEXT = 3 };

enum { FEW = 1000, ROWS = 1000000, ROWS_QUICK = 100000, RUN_S = 60, PREPARE_S = 300 };
/* The goals. Some pages of memory here and there are no growth, a byte for every third row is. */
static const double TIMES_MIN = 1.5, GROWTH_MAX_KIB = 256;

static struct figures {
    unsigned count;
    double rows_per_s[BENCH_REPETITIONS_MAX], ns_per_row[BENCH_REPETITIONS_MAX];
    double peak_kib[BENCH_REPETITIONS_MAX], growth_kib[BENCH_REPETITIONS_MAX];
} figures[CONTENDERS];

struct options {
    struct bench_common common;
    unsigned rows;
};

/* ---- the rows ---- */

#define COLUMNS "id, big, name, at, amount"

/* Nothing of the server's own goes on beside a run: no vacuum, and no first reader who finds out what is committed. */
static const char fill[] =
    "INSERT INTO bench_rows SELECT n * (1 - n %% 2 * 2), n * 9000000001 - 4500000000000000,"
    " left(md5(n::text) || md5((-n)::text), 5 + n %% 36),"
    " timestamptz '1960-01-01 00:00:00+00' + n * interval '1 hour 7 minutes 13.000321 seconds',"
    " (n * int8 '7919' %% 2000000 - 1000000) * (n %% 1000) / 100.0 FROM generate_series(1, %u) n";
#define DROP "DROP TABLE IF EXISTS bench_rows, bench_rows_few"
#define TABLE(name)                                                                                                    \
    "CREATE UNLOGGED TABLE " name " (id int4, big int8, name text, at timestamptz, amount numeric(12, 2))"             \
    " WITH (autovacuum_enabled = off)"

static bool prepare(const struct options *options)
{
    char fill_all[sizeof fill + 16];
    snprintf(fill_all, sizeof fill_all, fill, options->rows);
    const char *const sql[] = {DROP,
                               TABLE("bench_rows"),
                               fill_all,
                               TABLE("bench_rows_few"),
                               "INSERT INTO bench_rows_few SELECT * FROM bench_rows WHERE abs(id) <= 1000",
                               "VACUUM (FREEZE, ANALYZE) bench_rows, bench_rows_few",
                               NULL};
    return bench_prepare(&options->common.target, sql, PREPARE_S);
}

/* ---- running ---- */

struct answer {
    struct bench_meter meter;
    struct rows_sum sum;
    long peak_kib;
};
struct job {
    struct rows_shape shape;
    rows_run *run;
    struct answer answer;
};

static void job_run(void *arg, int out)
{
    struct job *job = arg;
    struct answer *answer = &job->answer;
    struct rusage usage;
    job->run(&job->shape, &answer->meter, &answer->sum);
    if (answer->meter.phase != BENCH_OVER || answer->sum.rows != answer->meter.limit)
        bench_die("%ju rows came, and not %ju", (uintmax_t)answer->sum.rows, (uintmax_t)answer->meter.limit);
    if (getrusage(RUSAGE_SELF, &usage)) bench_die("getrusage failed");
    answer->peak_kib = usage.ru_maxrss;
    if (write(out, answer, sizeof *answer) != sizeof *answer) bench_die("write: %s", strerror(errno));
}

/* False: it failed, or its rows have other values than those that somebody read before. */
static bool run_one(const struct contender *contender, const struct bench_target *target, const char *sql,
                    unsigned rows, struct rows_sum *known, struct answer *answer)
{
    char bytes[sizeof *answer + 1]; /* one more than the answer, so that its end is seen */
    struct job job = {.run = contender->run, .answer.meter.limit = rows};
    job.shape = (struct rows_shape){target, sql, contender->text, contender->whole};
    if (bench_in_child(job_run, &job, bytes, sizeof bytes, RUN_S) != (long)sizeof *answer) return false;
    memcpy(answer, bytes, sizeof *answer);
    if (!known->rows) *known = answer->sum;
    if (answer->sum.sum == known->sum) return true;
    fprintf(stderr, "bench: %s: the sum over all values of %u rows is %016jx, and was %016jx before\n", contender->name,
            rows, (uintmax_t)answer->sum.sum, (uintmax_t)known->sum);
    return false;
}

static bool repeat(size_t i, const struct options *options, struct rows_sum *known_few, struct rows_sum *known)
{
    struct figures *f = &figures[i];
    const struct bench_target *target = &options->common.target;
    struct answer few, all;
    if (!run_one(&contenders[i], target, "SELECT " COLUMNS " FROM bench_rows_few", FEW, known_few, &few) ||
        !run_one(&contenders[i], target, "SELECT " COLUMNS " FROM bench_rows", options->rows, known, &all))
        return false;
    f->rows_per_s[f->count] = options->rows * 1e9 / (double)(all.meter.ended.at_ns - all.meter.began.at_ns);
    f->ns_per_row[f->count] = (double)(all.meter.ended.cpu_ns - all.meter.began.cpu_ns) / options->rows;
    f->peak_kib[f->count] = (double)all.peak_kib;
    f->growth_kib[f->count] = (double)(all.peak_kib - few.peak_kib);
    f->count++;
    return true;
}

/* ---- the report ---- */

/* 0: not measured, or not there. */
static double ns_of(size_t i)
{
    return i < CONTENDERS ? bench_spread(figures[i].ns_per_row, figures[i].count).median : 0;
}

static void print_line(size_t i)
{
    const struct figures *f = &figures[i];
    char fast_range[32], ns_range[32], growth_range[32], times[16] = "-";
    if (!f->count) {
        printf("%-25s not measured\n", contenders[i].name);
        return;
    }
    struct bench_spread fast = bench_spread(f->rows_per_s, f->count), ns = bench_spread(f->ns_per_row, f->count);
    struct bench_spread growth = bench_spread(f->growth_kib, f->count);
    snprintf(fast_range, sizeof fast_range, "(%.0f-%.0f)", fast.min, fast.max);
    snprintf(ns_range, sizeof ns_range, "(%.0f-%.0f)", ns.min, ns.max);
    snprintf(growth_range, sizeof growth_range, "(%.0f-%.0f)", growth.min, growth.max);
    if (ns_of(RINGPG) > 0) snprintf(times, sizeof times, "%.2f", ns.median / ns_of(RINGPG));
    printf("%-25s %9.0f %17s %9.0f %11s %8s %9.0f %10.0f %15s\n", contenders[i].name, fast.median, fast_range,
           ns.median, ns_range, times, bench_spread(f->peak_kib, f->count).median, growth.median, growth_range);
}

static void print_goals(const struct options *options)
{
    const struct figures *ours = &figures[RINGPG];
    double growth = bench_spread(ours->growth_kib, ours->count).median;
    double text = ns_of(SINGLE_TEXT), binary = ns_of(SINGLE_BINARY), our_ns = ns_of(RINGPG);
    bool text_is_better = text > 0 && (binary <= 0 || text < binary);
    double their_ns = text_is_better ? text : binary, times = our_ns > 0 ? their_ns / our_ns : 0;
    printf("\nGoals:\n");
    if (times > 0)
        printf("  libpq's client CPU in single-row mode, %s, against ringpg's: %.2f x (%.0f / %.0f ns), "
               "at least %.2f: %s\n",
               text_is_better ? "text" : "binary", times, their_ns, our_ns, TIMES_MIN,
               times >= TIMES_MIN ? "met" : "NOT MET");
    else printf("  libpq's client CPU in single-row mode against ringpg's: not measured\n");
    if (!ours->count) return;
    printf("  ringpg's memory for %u rows against %d: %.0f KiB more, at most %.0f: %s\n", options->rows, FEW, growth,
           GROWTH_MAX_KIB, growth <= GROWTH_MAX_KIB ? "met" : "NOT MET");
}

static void print_report(const struct options *options, const struct rows_sum *known)
{
    printf("\n%-25s %9s %17s %9s %11s %8s %9s %10s %15s\n", "client", "rows/s", "(min-max)", "ns/row", "(min-max)",
           "x ringpg", "peak KiB", "growth KiB", "(min-max)");
    for (size_t i = 0; i < CONTENDERS; i++) print_line(i);
    printf("ns/row: CPU of the client process; x ringpg: that against ringpg's, binary; peak: its resident memory at\n"
           "the most; growth: how much more that is than with %d rows. Sum over all values: %016jx\n",
           FEW, (uintmax_t)known->sum);
    print_goals(options);
}

static void write_json(const struct options *options)
{
    FILE *file = bench_json_open(options->common.json);
    const char *separator = "[\n";
    for (size_t i = 0; i < CONTENDERS; i++) {
        const struct figures *f = &figures[i];
        struct bench_spread ns = bench_spread(f->ns_per_row, f->count), growth = bench_spread(f->growth_kib, f->count);
        fprintf(file,
                "%s  {\"workload\": \"rows\", \"contender\": \"%s\", \"rows\": %u, \"rows_per_s\": %.0f, "
                "\"client_ns_per_row\": %.2f, \"client_ns_min\": %.2f, \"client_ns_max\": %.2f, \"peak_kib\": %.0f, "
                "\"growth_kib\": %.0f, \"repetitions\": %u}",
                separator, contenders[i].name, options->rows, bench_spread(f->rows_per_s, f->count).median, ns.median,
                ns.min, ns.max, bench_spread(f->peak_kib, f->count).median, growth.median, f->count);
        separator = ",\n";
    }
    fprintf(file, "\n]\n");
    bench_json_close(file, options->common.json);
}

/* ---- options ---- */

static const char usage[] = "bench_rows [options]; the user may create tables\n"
                            "  --rows N                 default 1,000,000, quick 100,000\n";

#define AT(member) offsetof(struct options, member)
static const struct bench_option option_rows[] = {
    {"rows", BENCH_NUMBER, AT(rows), 10000000},
};
static const struct bench_part part = {.usage = usage,
                                       .rows = option_rows,
                                       .count = sizeof option_rows / sizeof *option_rows,
                                       .repetitions = 5};

static struct options read_options(int argc, char **argv)
{
    struct options o = {.rows = 0};
    bench_read_part(argc, argv, &part, &o.common);
    if (!o.rows) o.rows = o.common.quick ? ROWS_QUICK : ROWS;
    if (o.rows < FEW) bench_die("--rows: at least %d", FEW);
    return o;
}

int main(int argc, char **argv)
{
    struct options options = read_options(argc, argv);
    struct rows_sum known_few = {0}, known = {0};
    printf("workload rows: one connection; %u repetitions of %u rows each, contenders in turn; figures are medians\n",
           options.common.repetitions, options.rows);
    if (!prepare(&options)) bench_die("the tables could not be made");
    bool failed = false;
    for (unsigned repetition = 0; repetition < options.common.repetitions; repetition++)
        for (size_t i = 0; i < CONTENDERS; i++)
            if (!options.common.contender || !strcmp(options.common.contender, contenders[i].name))
                failed |= !repeat(i, &options, &known_few, &known);
    failed |= !bench_prepare(&options.common.target, (const char *const[]){DROP, NULL}, PREPARE_S);
    print_report(&options, &known);
    if (options.common.json) write_json(&options);
    if (failed) fprintf(stderr, "bench: a run failed, see above\n");
    return failed;
}
