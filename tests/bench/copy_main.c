/* The benchmark's part copy: its shapes, their order, and the report. As in the other parts each run is a process of
 * its own, and all contenders take their turns before the next repetition begins. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "copy.h"

static const struct {
    const char *name;
    copy_run *run;
} contenders[] = {
    {"ringpg", copy_ringpg_run},
#ifdef BENCH_LIBPQ
    {"libpq", copy_libpq_run},
#endif
};
enum { CONTENDERS = sizeof contenders / sizeof *contenders };

/* A row as it is written: as long as most rows are, and a power of two, so that calls of any size begin with one. */
#define ROW "1234567\tcustomer number 1234567\t18641975.25\t2024-02-29 12:34:00\n"
enum { ROW_BYTES = sizeof ROW - 1, BLOCK = 64 * 1024, TOTAL = 32 << 20, TOTAL_QUICK = 8 << 20 };
_Static_assert(ROW_BYTES == 64, "a row fits every piece");

#define TABLE "CREATE TEMP TABLE bench_copy (id int8, name text, amount float8, at timestamp);"
#define FILLED(rows)                                                                                                   \
    TABLE "INSERT INTO bench_copy SELECT n, 'customer number ' || n, n * 1.25, timestamp '2024-01-01' + n * interval " \
          "'1 minute' FROM generate_series(1, " rows ") n"
/* The rows are read by the server and thrown away: storing them would be most of what is measured. */
#define IN "COPY bench_copy FROM STDIN WHERE false"
static const struct {
    const char *name, *setup, *setup_quick, *sql;
    size_t piece; /* 0: out */
} shapes[] = {
    {"out, text", FILLED("100000"), FILLED("20000"), "COPY bench_copy TO STDOUT", 0},
    {"out, binary", FILLED("100000"), FILLED("20000"), "COPY bench_copy TO STDOUT (FORMAT binary)", 0},
    {"in, a row a call", TABLE, TABLE, IN, ROW_BYTES},
    {"in, 8 KiB a call", TABLE, TABLE, IN, 8192},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct figures {
    unsigned count;
    double mb_per_s[BENCH_REPETITIONS_MAX], us_per_mb[BENCH_REPETITIONS_MAX];
};
static struct figures figures[SHAPES][CONTENDERS];

struct options {
    struct bench_common common;
    const char *shape; /* only this one */
};

/* ---- running ---- */

struct job {
    struct copy_shape shape;
    copy_run *run;
    struct bench_meter meter;
};

static void job_run(void *arg, int out)
{
    struct job *job = arg;
    job->run(&job->shape, &job->meter);
    if (job->meter.phase != BENCH_OVER) bench_die("nothing was measured");
    if (write(out, &job->meter, sizeof job->meter) != sizeof job->meter) bench_die("write: %s", strerror(errno));
}

static bool repeat(size_t shape, size_t contender, const struct options *options, const char *rows)
{
    struct figures *f = &figures[shape][contender];
    bool quick = options->common.quick;
    struct bench_meter meter;
    char answer[sizeof meter + 1]; /* one more than the answer, so that its end is seen */
    struct job job = {.run = contenders[contender].run};
    job.shape = (struct copy_shape){.target = &options->common.target,
                                    .setup = quick ? shapes[shape].setup_quick : shapes[shape].setup,
                                    .sql = shapes[shape].sql,
                                    .in = shapes[shape].piece > 0,
                                    .rows = rows,
                                    .size = BLOCK,
                                    .piece = shapes[shape].piece,
                                    .total = quick ? TOTAL_QUICK : TOTAL};
    job.meter.measure_ns = (uint64_t)(options->common.seconds * 1e9);
    job.meter.warm_ns = job.meter.measure_ns / 5;
    if (bench_in_child(job_run, &job, answer, sizeof answer, 60) != (long)sizeof meter) return false;
    memcpy(&meter, answer, sizeof meter);
    double mb = (double)(meter.ended.answered - meter.began.answered) / 1e6;
    f->mb_per_s[f->count] = mb * 1e9 / (double)(meter.ended.at_ns - meter.began.at_ns);
    f->us_per_mb[f->count] = (double)(meter.ended.cpu_ns - meter.began.cpu_ns) / 1e3 / mb;
    f->count++;
    return true;
}

/* ---- the report ---- */

static void print_line(const char *shape, const char *contender, const struct figures *f)
{
    char mb_range[32], us_range[32];
    if (!f->count) {
        printf("%-18s %-8s not measured\n", shape, contender);
        return;
    }
    struct bench_spread mb = bench_spread(f->mb_per_s, f->count), us = bench_spread(f->us_per_mb, f->count);
    snprintf(mb_range, sizeof mb_range, "(%.0f-%.0f)", mb.min, mb.max);
    snprintf(us_range, sizeof us_range, "(%.0f-%.0f)", us.min, us.max);
    printf("%-18s %-8s %8.0f %13s %12.0f %15s\n", shape, contender, mb.median, mb_range, us.median, us_range);
}

static void print_goal(const char *shape, const struct figures *ours, const struct figures *theirs)
{
    if (!ours->count || !theirs->count) {
        printf("  %-18s not measured\n", shape);
        return;
    }
    struct bench_spread fast = bench_spread(ours->mb_per_s, ours->count);
    struct bench_spread cpu = bench_spread(ours->us_per_mb, ours->count);
    double speed = fast.median / bench_spread(theirs->mb_per_s, theirs->count).median;
    double price = cpu.median / bench_spread(theirs->us_per_mb, theirs->count).median;
    printf("  %-18s %.2f x libpq's MB/s, bound 1.00: %s; %.2f x its client CPU\n", shape, speed,
           speed >= 1 ? "met" : "NOT MET", price);
}

static bool wanted(const struct options *options, size_t shape, size_t contender)
{
    return (!options->shape || !strcmp(options->shape, shapes[shape].name)) &&
           (!options->common.contender || !strcmp(options->common.contender, contenders[contender].name));
}

static void print_report(void)
{
    printf("\n%-18s %-8s %8s %13s %12s %15s\n", "copy", "client", "MB/s", "(min-max)", "client us/MB", "(min-max)");
    for (size_t s = 0; s < SHAPES; s++)
        for (size_t c = 0; c < CONTENDERS; c++) print_line(shapes[s].name, contenders[c].name, &figures[s][c]);
    printf("MB: 1,000,000 bytes of rows; client us/MB: CPU of the client process\n");
    if (CONTENDERS < 2) return;
    printf("\nGoals: not slower than libpq\n");
    for (size_t s = 0; s < SHAPES; s++) print_goal(shapes[s].name, &figures[s][0], &figures[s][CONTENDERS - 1]);
}

static void write_json(const char *path)
{
    FILE *file = bench_json_open(path);
    const char *separator = "[\n";
    for (size_t s = 0; s < SHAPES; s++)
        for (size_t c = 0; c < CONTENDERS; c++) {
            const struct figures *f = &figures[s][c];
            struct bench_spread mb = bench_spread(f->mb_per_s, f->count), us = bench_spread(f->us_per_mb, f->count);
            fprintf(file,
                    "%s  {\"workload\": \"copy\", \"shape\": \"%s\", \"contender\": \"%s\", \"mb_per_s\": %.1f, "
                    "\"client_us_per_mb\": %.1f, \"repetitions\": %u}",
                    separator, shapes[s].name, contenders[c].name, mb.median, us.median, f->count);
            separator = ",\n";
        }
    fprintf(file, "\n]\n");
    bench_json_close(file, path);
}

/* ---- options ---- */

static const char usage[] = "bench_copy [options]\n"
                            "  --shape NAME             only this one\n";

#define AT(member) offsetof(struct options, member)
static const struct bench_option option_rows[] = {
    {"shape", BENCH_TEXT, AT(shape), 0},
};
static const struct bench_part part = {.usage = usage,
                                       .rows = option_rows,
                                       .count = sizeof option_rows / sizeof *option_rows,
                                       .repetitions = 5,
                                       .seconds = 2,
                                       .quick_seconds = 0.2,
                                       .seconds_max = 30};

int main(int argc, char **argv)
{
    static char rows[BLOCK];
    static struct options options;
    bool failed = false;
    bench_read_part(argc, argv, &part, &options.common);
    for (size_t at = 0; at < sizeof rows; at += ROW_BYTES) memcpy(rows + at, ROW, ROW_BYTES);
    printf("workload copy: one connection; %u repetitions of %.2g s each, contenders in turn; figures are medians\n",
           options.common.repetitions, options.common.seconds);
    for (unsigned repetition = 0; repetition < options.common.repetitions; repetition++)
        for (size_t s = 0; s < SHAPES; s++)
            for (size_t c = 0; c < CONTENDERS; c++)
                if (wanted(&options, s, c) && !repeat(s, c, &options, rows)) failed = true;
    print_report();
    if (options.common.json) write_json(options.common.json);
    if (failed) fprintf(stderr, "bench: a run failed, see above\n");
    return failed;
}
