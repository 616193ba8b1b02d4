/* The benchmark's part http: its contenders, their order, and the report. Each run is a server process of its own, and
 * all contenders take their turns before the next repetition begins. A contender is measured only when its answers are
 * those of all others. */
#include <stdlib.h>
#include <string.h>
#include "bench.h"
#include "http_part.h"

/* DEMO and LIBPQ are the programs' paths, by CMake. All have one thread and the same number of connections. */
#define DEMO_ON(host) {BENCH_HTTP_DEMO, "--reactors", "1", "--host", host, "--pool", NULL}
#define LIBPQ_IN(mode) {BENCH_HTTP_LIBPQ, "--mode", mode, "--connections", NULL}
static const struct {
    const char *name;
    const char *argv[8]; /* the last word is missing: the connections, after `prefix` */
    const char *prefix;
} contenders[] = {
    {"ringpg", DEMO_ON("uring"), "pool_max_conns="},
    {"ringpg on epoll", DEMO_ON("epoll"), "pool_max_conns="},
#ifdef BENCH_HTTP_LIBPQ
    {"libpq", LIBPQ_IN("one"), ""},
    {"libpq, pipeline", LIBPQ_IN("pipeline"), ""},
    {"libpq, batches", LIBPQ_IN("batch"), ""},
#endif
};
enum { CONTENDERS = sizeof contenders / sizeof *contenders, OURS = 0, THEIRS = 2 };
static const double GOAL = 1.5, WARM_SECONDS = 1, WARM_SECONDS_QUICK = 0.3;

static struct figures {
    unsigned count;
    double per_s[BENCH_REPETITIONS_MAX], server_us[BENCH_REPETITIONS_MAX], postgres_us[BENCH_REPETITIONS_MAX];
    double wrk_us[BENCH_REPETITIONS_MAX], p50_us[BENCH_REPETITIONS_MAX], p99_us[BENCH_REPETITIONS_MAX];
} figures[CONTENDERS];

struct options {
    struct bench_common common;
    const char *path;
    unsigned connections, clients;
    bool answers; /* nothing but the comparison of answers */
};

/* ---- running ---- */

static bool start(struct http_process *process, size_t contender, const struct options *options)
{
    char last[32];
    const char *argv[8];
    size_t words = 0;
    for (; contenders[contender].argv[words]; words++) argv[words] = contenders[contender].argv[words];
    snprintf(last, sizeof last, "%s%u", contenders[contender].prefix, options->connections);
    argv[words] = last;
    argv[words + 1] = NULL;
    return http_start(process, argv);
}

/* The first contender that is asked says what is right. */
static bool answers_agree(const struct http_process *process, size_t contender)
{
    static char right[HTTP_ANSWERS_BYTES], answers[HTTP_ANSWERS_BYTES];
    static const char *whose;
    if (!http_converse(process->port, answers)) {
        fprintf(stderr, "bench: %s does not answer everything\n", contenders[contender].name);
        return false;
    }
    if (!strstr(answers, "\r\n\r\nitem-7HTTP/") || !strstr(answers, "\r\n\r\ndb=42HTTP/")) {
        fprintf(stderr, "bench: %s answers wrongly:\n%.2000s\n", contenders[contender].name, answers);
        return false;
    }
    if (!whose) {
        memcpy(right, answers, sizeof right);
        whose = contenders[contender].name;
    }
    size_t same = 0;
    while (right[same] && right[same] == answers[same]) same++;
    if (right[same] == answers[same]) return true;
    size_t from = same > 200 ? same - 200 : 0;
    fprintf(stderr, "bench: at byte %zu the answers differ. %s:\n%.400s\n%s:\n%.400s\n", same, whose, right + from,
            contenders[contender].name, answers + from);
    return false;
}

static bool measure(const struct http_process *process, size_t contender, const struct options *o)
{
    struct http_load load;
    struct figures *f = &figures[contender];
    double warm = o->common.quick ? WARM_SECONDS_QUICK : WARM_SECONDS;
    if (!http_load(process, o->path, o->clients, warm, 0, &load) ||
        !http_load(process, o->path, o->clients, o->common.seconds, (int)o->common.target.pid, &load))
        return false;
    f->per_s[f->count] = load.per_s;
    f->server_us[f->count] = load.server_us;
    f->postgres_us[f->count] = load.postgres_us;
    f->wrk_us[f->count] = load.wrk_us;
    f->p50_us[f->count] = load.p50_us;
    f->p99_us[f->count] = load.p99_us;
    f->count++;
    return true;
}

static bool repeat(size_t contender, const struct options *options)
{
    struct http_process process;
    if (!start(&process, contender, options)) return false;
    bool good = answers_agree(&process, contender) && (options->answers || measure(&process, contender, options));
    return http_end(&process) && good;
}

/* ---- the report ---- */

static void print_line(const char *contender, const struct figures *f, const struct figures *ours)
{
    char range[32], postgres[16] = "-";
    if (!f->count) {
        printf("%-16s not measured\n", contender);
        return;
    }
    struct bench_spread per_s = bench_spread(f->per_s, f->count);
    double postgres_us = bench_spread(f->postgres_us, f->count).median;
    snprintf(range, sizeof range, "(%.0f-%.0f)", per_s.min, per_s.max);
    if (!isnan(postgres_us)) snprintf(postgres, sizeof postgres, "%.1f", postgres_us);
    printf("%-16s %10.0f %15s %10.1f %9s %7.1f %9.0f %9.0f", contender, per_s.median, range,
           bench_spread(f->server_us, f->count).median, postgres, bench_spread(f->wrk_us, f->count).median,
           bench_spread(f->p50_us, f->count).median, bench_spread(f->p99_us, f->count).median);
    if (ours->count) printf(" %7.2f", bench_spread(ours->per_s, ours->count).median / per_s.median);
    printf("\n");
}

static void print_report(void)
{
    printf("\n%-16s %10s %15s %10s %9s %7s %9s %9s %7s\n", "http", "requests/s", "(min-max)", "server us", "PG us",
           "wrk us", "p50 us", "p99 us", "ratio");
    for (size_t c = 0; c < CONTENDERS; c++) print_line(contenders[c].name, &figures[c], &figures[OURS]);
    printf("us: CPU per request of the HTTP server, of all of PostgreSQL, of wrk; p50, p99: latency as wrk sees it;\n"
           "ratio: ringpg's requests/s divided by those of the line\n");
    if (CONTENDERS <= THEIRS) return;
    const struct figures *ours = &figures[OURS], *theirs = &figures[THEIRS];
    printf("\nGoal: requests/s / the same server with libpq on epoll >= %.1f: ", GOAL);
    if (!ours->count || !theirs->count) {
        printf("not measured\n");
        return;
    }
    double ratio = bench_spread(ours->per_s, ours->count).median / bench_spread(theirs->per_s, theirs->count).median;
    printf("%.2f, %s\n", ratio, ratio >= GOAL ? "met" : "NOT MET");
}

static void write_spread(FILE *file, const char *name, const double *values, unsigned count)
{
    struct bench_spread spread = bench_spread(values, count);
    if (isnan(spread.median))
        fprintf(file, ", \"%s\": null", name);
    else
        fprintf(file, ", \"%s\": %.3f, \"%s_min\": %.3f, \"%s_max\": %.3f", name, spread.median, name, spread.min,
                name, spread.max);
}

static void write_json(const char *path, const struct options *o)
{
    FILE *file = bench_json_open(path);
    const char *separator = "[\n";
    for (size_t c = 0; c < CONTENDERS; c++) {
        const struct figures *f = &figures[c];
        if (!f->count) continue;
        fprintf(file,
                "%s  {\"workload\": \"http\", \"contender\": \"%s\", \"path\": \"%s\", \"clients\": %u, "
                "\"connections\": %u, \"repetitions\": %u",
                separator, contenders[c].name, o->path, o->clients, o->connections, f->count);
        write_spread(file, "requests_per_s", f->per_s, f->count);
        write_spread(file, "server_us_per_request", f->server_us, f->count);
        write_spread(file, "postgres_us_per_request", f->postgres_us, f->count);
        write_spread(file, "wrk_us_per_request", f->wrk_us, f->count);
        write_spread(file, "p50_us", f->p50_us, f->count);
        write_spread(file, "p99_us", f->p99_us, f->count);
        fprintf(file, "}");
        separator = ",\n";
    }
    fprintf(file, "%s]\n", *separator == '[' ? "[\n" : "\n");
    bench_json_close(file, path);
}

/* ---- options ---- */

static const char usage[] = "bench_http [options]: the server has the tables of demo/schema.sql\n"
                            "  --connections N          to PostgreSQL, default 4\n"
                            "  --clients N              wrk's connections, default 256\n"
                            "  --path P                 what is asked for, default /item/7\n"
                            "  --answers                compare the contenders' answers, and no more: needs no wrk\n";

#define AT(member) offsetof(struct options, member)
static const struct bench_option option_rows[] = {
    {"answers", BENCH_FLAG, AT(answers), 0},
    {"connections", BENCH_NUMBER, AT(connections), 1000},
    {"clients", BENCH_NUMBER, AT(clients), 4000},
    {"path", BENCH_TEXT, AT(path), 0},
};
static const struct bench_part part = {.usage = usage,
                                       .rows = option_rows,
                                       .count = sizeof option_rows / sizeof *option_rows,
                                       .repetitions = 5,
                                       .seconds = 5,
                                       .quick_seconds = 0.4,
                                       .seconds_max = 60};

static struct options read_options(int argc, char **argv)
{
    char conninfo[4096];
    struct options o = {.path = "/item/7", .connections = 4, .clients = 256};
    const struct bench_target *target = &o.common.target;
    bench_read_part(argc, argv, &part, &o.common);
    if (o.answers) o.common.repetitions = 1;
    if (o.common.seconds < 0.3) bench_die("--seconds: at least 0.3, wrk looks ten times a second whether it is over");
    int size = snprintf(conninfo, sizeof conninfo, "host='%s' port=%u user='%s' dbname='%s' sslmode=disable",
                        target->host, target->port, target->user, target->database);
    if (size < 0 || (size_t)size >= sizeof conninfo || setenv("DATABASE_URL", conninfo, 1))
        bench_die("the connection string is too long");
    return o;
}

int main(int argc, char **argv)
{
    struct options options = read_options(argc, argv);
    bool failed = false;
    if (options.answers)
        printf("workload http: answers compared, nothing measured\n");
    else
        printf("workload http: wrk -t1 -c%u %s, %u connections to PostgreSQL; %u repetitions of %g s each, contenders "
               "in turn; figures are medians\n",
               options.clients, options.path, options.connections, options.common.repetitions, options.common.seconds);
    for (unsigned repetition = 0; repetition < options.common.repetitions; repetition++)
        for (size_t i = 0; i < CONTENDERS; i++) {
            size_t c = (i + repetition) % CONTENDERS; /* nobody always comes after the same one */
            bool wanted = !options.common.contender || !strcmp(options.common.contender, contenders[c].name);
            if (wanted && !repeat(c, &options)) failed = true;
        }
    int compared = options.common.contender ? 1 : CONTENDERS;
    if (options.answers && !failed) printf("%d contenders give the same answers\n", compared);
    if (!options.answers) print_report();
    if (options.common.json) write_json(options.common.json, &options);
    if (failed) fprintf(stderr, "bench: a run failed, see above\n");
    return failed;
}
