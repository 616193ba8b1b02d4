/* The options of the benchmark's programs: each has a table of names and of where their values go. */
#include <getopt.h>
#include <stdlib.h>
#include "bench.h"

enum { ROWS_MAX = 31 };

static unsigned number(const char *text, unsigned max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || !value || value > max)
        bench_die("'%s' is no number from 1 to %u", text, max);
    return (unsigned)value;
}

static void store(void *options, const struct bench_option *row, const char *text)
{
    void *member = (char *)options + row->at;
    switch (row->kind) {
    case BENCH_FLAG: *(bool *)member = true; break;
    case BENCH_NUMBER: *(unsigned *)member = number(text, row->max); break;
    case BENCH_REAL: *(double *)member = strtod(text, NULL); break;
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
