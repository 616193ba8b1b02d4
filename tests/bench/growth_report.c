/* What the part growth makes of its figures: the table, the goals, the rows of JSON. */
#include <string.h>
#include "growth.h"

enum { MANY_ROWS = 1000 };

/* What is judged: a query, or of long answers a row. 0: not measured, or too few rows for a figure of theirs. */
static struct bench_spread cost(const struct growth_series *series, const struct growth_figures *sizes, size_t size)
{
    const struct growth_figures *figures = &sizes[size];
    if (!series->rows) return bench_spread(figures->us, figures->count);
    unsigned rows = series->sizes[size], count = figures->count < sizes[0].count ? figures->count : sizes[0].count;
    double ns[BENCH_REPETITIONS_MAX];
    if (rows < MANY_ROWS) return (struct bench_spread){0, 0, 0};
    for (unsigned i = 0; i < count; i++) ns[i] = (figures->us[i] - sizes[0].us[i]) * 1e3 / (rows - 1);
    return bench_spread(ns, count);
}

/* How often the cheapest smaller size; 0: there is none. */
static double growth(const struct growth_series *series, const struct growth_figures *sizes, size_t size)
{
    double cheapest = 0, own = cost(series, sizes, size).median;
    for (size_t i = 0; i < size; i++) {
        double smaller = cost(series, sizes, i).median;
        if (smaller > 0 && (cheapest <= 0 || smaller < cheapest)) cheapest = smaller;
    }
    return cheapest > 0 && own > 0 ? own / cheapest : 0;
}

/* Of the median: what is user's, by the samples of all repetitions. */
static double user_us(const struct growth_figures *figures)
{
    return bench_spread(figures->us, figures->count).median * figures->user_ns / figures->cpu_ns;
}

static void print_line(const struct growth_series *series, const struct growth_figures *sizes, size_t size)
{
    const struct growth_figures *figures = &sizes[size];
    char us_range[40], row[40] = "-", times[16] = "-";
    struct bench_spread us = bench_spread(figures->us, figures->count), ns = cost(series, sizes, size);
    double times_smaller = growth(series, sizes, size);
    if (!figures->count) return;
    snprintf(us_range, sizeof us_range, "(%.2f-%.2f)", us.min, us.max);
    if (series->rows && ns.median > 0) snprintf(row, sizeof row, "%.1f (%.1f-%.1f)", ns.median, ns.min, ns.max);
    if (times_smaller > 0) snprintf(times, sizeof times, "%.2f", times_smaller);
    printf("%-29s %-6s %8u %9.0f %10.2f %20s %10.2f %10.2f %19s %6s\n", series->name, series->real ? "real" : "null",
           series->sizes[size], bench_spread(figures->qps, figures->count).median, us.median, us_range,
           user_us(figures), us.median - user_us(figures), row, times);
}

static void print_goal(const struct growth_series *series, const struct growth_figures *sizes)
{
    double worst = 0;
    unsigned at = 0;
    for (size_t i = 0; i < GROWTH_SIZES_MAX && series->sizes[i]; i++) {
        double times = growth(series, sizes, i);
        if (times > worst) worst = times, at = series->sizes[i];
    }
    if (worst <= 0) return;
    printf("  %-29s %.2f x at %u %s, at most %.2f: %s\n", series->name, worst, at, series->of, GROWTH_MAX,
           worst <= GROWTH_MAX ? "met" : "NOT MET");
}

void growth_print(growth_table table)
{
    printf("\n%-29s %-6s %8s %9s %10s %20s %10s %10s %19s %6s\n", "series", "server", "size", "q/s", "client us",
           "(min-max)", "user us", "system us", "ns/row", "x");
    for (size_t s = 0; s < growth_count; s++)
        for (size_t i = 0; i < GROWTH_SIZES_MAX; i++) print_line(&growth_series[s], table[s], i);
    printf("client us: CPU of the client process per query, of which user and system (by the kernel's samples)\n"
           "ns/row: that of a row, without what a query of one row takes, from %d rows on\n"
           "x: the same (of rows ns/row) against the cheapest smaller size. A fall is no growth: a caller alone pays\n"
           "  whole system calls, many share them\n",
           MANY_ROWS);
    printf("\nGoals: no size costs more than %.2f times the cheapest smaller one\n", GROWTH_MAX);
    for (size_t s = 0; s < growth_count; s++)
        if (!growth_series[s].not_judged) print_goal(&growth_series[s], table[s]);
}

static const char *bare(const char *name) { return name + strspn(name, " "); }

void growth_write_json(growth_table table, const char *path)
{
    FILE *file = bench_json_open(path);
    const char *separator = "[\n";
    for (size_t s = 0; s < growth_count; s++)
        for (size_t i = 0; i < GROWTH_SIZES_MAX; i++) {
            const struct growth_series *series = &growth_series[s];
            const struct growth_figures *f = &table[s][i];
            if (!f->count) continue;
            struct bench_spread us = bench_spread(f->us, f->count);
            fprintf(file,
                    "%s  {\"workload\": \"growth\", \"series\": \"%s\", \"server\": \"%s\", \"of\": \"%s\", "
                    "\"size\": %u, \"qps\": %.1f, \"client_us\": %.4f, \"client_us_min\": %.4f, "
                    "\"client_us_max\": %.4f, \"user_us\": %.4f, \"system_us\": %.4f, ",
                    separator, bare(series->name), series->real ? "real" : "null", series->of, series->sizes[i],
                    bench_spread(f->qps, f->count).median, us.median, us.min, us.max,
                    user_us(f), us.median - user_us(f));
            if (series->rows) fprintf(file, "\"client_ns_per_row\": %.3f, ", cost(series, table[s], i).median);
            fprintf(file, "\"times_smaller\": %.3f, \"repetitions\": %u}", growth(series, table[s], i), f->count);
            separator = ",\n";
        }
    fprintf(file, "\n]\n");
    bench_json_close(file, path);
}
