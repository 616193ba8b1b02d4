/* The pool's benchmark: its sections, one after the other, and their report: a table, and a list of rows as JSON. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pool.h"

static const struct pool_section sections[] = {
    {"park", "Parking and resuming a waiter", 300, pool_park_run},
    {"acquire", "Acquire and release without contention", 120, pool_acquire_run},
    {"memory", "Memory", 120, pool_memory_run},
    {"overload", "Twice as much work as can be done", 120, pool_overload_run},
    {"crowd", "Twice as much work as can be done, on a real server", 120, pool_crowd_run},
    {"budget", "Four reactors: one budget beside fixed pools", 180, pool_budget_run},
};
enum { SECTIONS = sizeof sections / sizeof *sections };

static const struct pool_cost *const costs[] = {&pool_park_cost, &pool_park_many_cost, &pool_try_cost,
                                               &pool_acquire_cost};

static const char usage[] = "bench_pool [options]\n"
                            "  --quick                  fewer repetitions\n"
                            "  --smoke                  as few as show that it runs: no figure means anything\n"
                            "  --json FILE              write the figures as a list of rows\n"
                            "  --section NAME           only this one\n"
                            "  --no-valgrind            do not count instructions\n"
                            "  --cost NAME --at N --cycles N   one cost, for callgrind and other profilers\n";

/* ---- figures ---- */

void pool_figure(struct pool_figures *figures, const char *name, const char *at, const char *unit, double value)
{
    if (figures->count == POOL_FIGURES_MAX) bench_die("more figures than %d", POOL_FIGURES_MAX);
    struct pool_figure *figure = &figures->figure[figures->count++];
    snprintf(figure->name, sizeof figure->name, "%s", name);
    snprintf(figure->at, sizeof figure->at, "%s", at);
    snprintf(figure->unit, sizeof figure->unit, "%s", unit);
    figure->value = value;
}

void pool_ratio(struct pool_figures *figures, const char *name, double value, double other)
{
    pool_figure(figures, name, "", "x", value >= 0 && other > 0 ? value / other : -1);
}

void pool_note(struct pool_figures *figures, const char *note)
{
    snprintf(figures->note, sizeof figures->note, "%s", note);
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double pool_median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ---- the report ---- */

static void print(const struct pool_section *section, const struct pool_figures *figures)
{
    printf("\n%s\n", section->title);
    for (unsigned i = 0; i < figures->count; i++) {
        const struct pool_figure *f = &figures->figure[i];
        if (f->value < 0)
            printf("  %-40s %-20s %14s %s\n", f->name, f->at, "-", f->unit);
        else
            printf("  %-40s %-20s %14.2f %s\n", f->name, f->at, f->value, f->unit);
    }
    if (*figures->note) printf("  %s\n", figures->note);
    fflush(stdout);
}

static void write_rows(FILE *file, const struct pool_section *section, const struct pool_figures *figures,
                       const char **separator)
{
    for (unsigned i = 0; i < figures->count; i++) {
        const struct pool_figure *f = &figures->figure[i];
        fprintf(file, "%s  {\"section\": \"%s\", \"figure\": \"%s\", \"at\": \"%s\", \"unit\": \"%s\", \"value\": ",
                *separator, section->name, f->name, f->at, f->unit);
        if (f->value < 0)
            fprintf(file, "null}");
        else
            fprintf(file, "%.4f}", f->value);
        *separator = ",\n";
    }
}

/* ---- running ---- */

struct job {
    const struct pool_section *section;
    const struct pool_options *options;
};

static void run_section(void *arg, int out)
{
    static struct pool_figures figures;
    const struct job *job = arg;
    job->section->run(job->options, &figures);
    for (size_t at = 0; at < sizeof figures;) { /* a pipe takes some at a time */
        ssize_t n = write(out, (const char *)&figures + at, sizeof figures - at);
        if (n <= 0) bench_die("write: %s", strerror(errno));
        at += (size_t)n;
    }
}

static int run_all(const struct pool_options *options)
{
    static char answer[sizeof(struct pool_figures) + 1]; /* one more than the answer, so that its end is seen */
    static struct pool_figures figures;
    FILE *json = options->json ? fopen(options->json, "w") : NULL;
    if (options->json && !json) bench_die("%s: %s", options->json, strerror(errno));
    const char *separator = "[\n";
    bool failed = false, found = false;
    for (size_t i = 0; i < SECTIONS; i++) {
        const struct pool_section *section = &sections[i];
        if (options->section && strcmp(options->section, section->name)) continue;
        found = true;
        struct job job = {section, options};
        if (bench_in_child(run_section, &job, answer, sizeof answer, section->seconds) != (long)sizeof figures) {
            fprintf(stderr, "bench: section %s failed\n", section->name);
            failed = true;
            continue;
        }
        memcpy(&figures, answer, sizeof figures);
        print(section, &figures);
        if (json) write_rows(json, section, &figures, &separator);
    }
    if (!found) bench_die("no section is called %s", options->section);
    if (json) {
        fprintf(json, "%s\n]\n", *separator == '[' ? "[" : "");
        bool unwritten = ferror(json);
        if (fclose(json) || unwritten) bench_die("%s: %s", options->json, strerror(EIO));
    }
    return failed;
}

static int run_cost(const struct pool_options *options)
{
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++)
        if (!strcmp(costs[i]->name, options->cost)) {
            fprintf(stderr, "%.1f ns\n", costs[i]->run(options->at, options->cycles));
            return 0;
        }
    bench_die("no cost is called %s", options->cost);
}

static unsigned number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > 100000000) bench_die("'%s' is no number", text);
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    enum { QUICK, SMOKE, NO_VALGRIND, JSON, SECTION, COST, AT, CYCLES, HELP };
    static const struct option names[] = {{"quick", no_argument, NULL, QUICK},
                                          {"smoke", no_argument, NULL, SMOKE},
                                          {"no-valgrind", no_argument, NULL, NO_VALGRIND},
                                          {"json", required_argument, NULL, JSON},
                                          {"section", required_argument, NULL, SECTION},
                                          {"cost", required_argument, NULL, COST},
                                          {"at", required_argument, NULL, AT},
                                          {"cycles", required_argument, NULL, CYCLES},
                                          {"help", no_argument, NULL, HELP},
                                          {0}};
    struct pool_options options = {.at = 1, .cycles = 1000};
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (option) {
        case QUICK: options.quick = true; break;
        case SMOKE: options.smoke = true; break;
        case NO_VALGRIND: options.no_valgrind = true; break;
        case JSON: options.json = optarg; break;
        case SECTION: options.section = optarg; break;
        case COST: options.cost = optarg; break;
        case AT: options.at = number(optarg); break;
        case CYCLES: options.cycles = number(optarg); break;
        case HELP: printf("%s", usage); return 0;
        default: bench_die("unknown or incomplete option\n%s", usage);
        }
    }
    if (optind != argc) bench_die("'%s' is no option\n%s", argv[optind], usage);
    return options.cost ? run_cost(&options) : run_all(&options);
}
