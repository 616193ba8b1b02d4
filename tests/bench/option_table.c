/* The options of the benchmark's programs: each has a table of names and of where their values go. Those that all parts
 * have are a table here, with what they are when they are not given. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

enum { ROWS_MAX = 31, USAGE_BYTES = 4096, QUICK_REPETITIONS = 3 };

static unsigned number(const char *text, unsigned max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || !value || value > max)
        bench_die("'%s' is no number from 1 to %u", text, max);
    return (unsigned)value;
}

static double real(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value <= 0) bench_die("'%s' is no number above 0", text);
    return value;
}

static void store(void *options, const struct bench_option *row, const char *text)
{
    void *member = (char *)options + row->at;
    switch (row->kind) {
    case BENCH_FLAG: *(bool *)member = true; break;
    case BENCH_NUMBER: *(unsigned *)member = number(text, row->max); break;
    case BENCH_REAL: *(double *)member = real(text); break;
    case BENCH_TEXT: *(const char **)member = text; break;
    }
}

void bench_read_options(int argc, char **argv, const struct bench_option *rows, int count, const char *usage,
                        void *options)
{
    struct option names[ROWS_MAX + 2] = {{"help", no_argument, NULL, ROWS_MAX}};
    if (count > ROWS_MAX) bench_die("%d options are too many for the table", count);
    for (int i = 0; i < count; i++)
        names[i + 1] = (struct option){.name = rows[i].name, .has_arg = rows[i].kind != BENCH_FLAG, .val = i};
    for (int row; (row = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (row == ROWS_MAX) {
            printf("%s", usage);
            exit(0);
        }
        if (row == '?') bench_die("unknown or incomplete option\n%s", usage);
        store(options, &rows[row], optarg);
    }
    if (optind != argc) bench_die("'%s' is no option\n%s", argv[optind], usage);
}

/* ---- what all parts have ---- */

#define AT(member) offsetof(struct bench_common, member)

static const struct bench_option common_rows[] = {
    {"quick", BENCH_FLAG, AT(quick), 0},
    {"json", BENCH_TEXT, AT(json), 0},
    {"repetitions", BENCH_NUMBER, AT(repetitions), BENCH_REPETITIONS_MAX},
    {"host", BENCH_TEXT, AT(target.host), 0},
    {"port", BENCH_NUMBER, AT(target.port), 65535},
    {"user", BENCH_TEXT, AT(target.user), 0},
    {"database", BENCH_TEXT, AT(target.database), 0},
    {"server-pid", BENCH_NUMBER, AT(target.pid), 1u << 30},
    {"contender", BENCH_TEXT, AT(contender), 0},
    {"seconds", BENCH_REAL, AT(seconds), 0}, /* the last one, for parts without it */
};
enum { COMMON_ROWS = sizeof common_rows / sizeof *common_rows };

static const char common_usage[] =
    "  --quick                  fewer and shorter repetitions\n"
    "  --json FILE              write the figures as a list of rows\n"
    "  --host H --port P        the server: the folder of its Unix socket, or an IPv4 address\n"
    "  --user U --database D    who it lets in without a password\n"
    "  --server-pid N           of the server, for its CPU; its children are part of it\n"
    "  --contender NAME         only this one\n";

static void write_usage(char *out, const struct bench_part *part)
{
    int used = snprintf(out, USAGE_BYTES, "%s%s", part->usage, common_usage);
    if (part->seconds > 0)
        used += snprintf(out + used, USAGE_BYTES - (size_t)used,
                         "  --repetitions N --seconds S   default %u of %g s, quick %u of %g s\n", part->repetitions,
                         part->seconds, QUICK_REPETITIONS, part->quick_seconds);
    else
        used += snprintf(out + used, USAGE_BYTES - (size_t)used, "  --repetitions N          default %u, quick %u\n",
                         part->repetitions, QUICK_REPETITIONS);
    if (used >= USAGE_BYTES) bench_die("the usage is too long");
}

void bench_read_part(int argc, char **argv, const struct bench_part *part, struct bench_common *options)
{
    char usage[USAGE_BYTES];
    struct bench_option rows[ROWS_MAX];
    int common = part->seconds > 0 ? COMMON_ROWS : COMMON_ROWS - 1;
    if (common + part->count > ROWS_MAX) bench_die("%d options are too many for the table", common + part->count);
    memcpy(rows, common_rows, (size_t)common * sizeof *rows);
    if (part->count) memcpy(rows + common, part->rows, (size_t)part->count * sizeof *rows);
    write_usage(usage, part);
    options->target.port = BENCH_PORT;
    options->target.user = options->target.database = "postgres";
    bench_read_options(argc, argv, rows, common + part->count, usage, options);
    if (!options->target.host && !part->serverless) bench_die("a --host is needed\n%s", usage);
    if (!options->repetitions) options->repetitions = options->quick ? QUICK_REPETITIONS : part->repetitions;
    if (options->seconds == 0) options->seconds = options->quick ? part->quick_seconds : part->seconds;
    if (options->seconds > part->seconds_max) bench_die("--seconds: at most %g", part->seconds_max);
}
