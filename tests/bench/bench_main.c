/* The benchmark's beginning: the cases, and their order. All cases of a repetition run one after the other before the
 * next repetition begins, so that a noisy minute falls on all of them; each run is a process of its own. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

/* Who take turns on the connections; from so many connections on each has its own. */
enum { HANDLERS = 64, MANY = 32 };
/* Some peers compile themselves while they run. */
static const uint64_t PEER_WARM_NS = 400 * 1000 * 1000, PEER_WARM_QUICK_NS = 250 * 1000 * 1000;
/* Traced, for the number of system calls; with --quick on the real server alone. Where many share a call it takes more
 * of them until their number means something. */
enum { TRACED_QUERIES = 60000, TRACED_QUICK = 10000, TRACED_QUICK_SHARED = 40000 };

static const struct bench_contender contenders[] = {
    { "ringpg-shared", ringpg_shared_run, false },
    { "ringpg-lease", ringpg_lease_run, false },
    { "floor", floor_run, false },
#ifdef BENCH_LIBPQ
    { "libpq-pipeline", libpq_pipeline_run, false },
    { "libpq-epoll", libpq_epoll_run, false },
#endif
    { "tokio-postgres", peer_run, true },
    { "postgres.js", peer_run, true },
    { "pgbench", peer_run, true },
    { "pgx", peer_run, true },
    { "asyncpg", peer_run, true },
    { "psycopg", peer_run, true },
    { "pg", peer_run, true },
};
enum { CONTENDERS = sizeof contenders / sizeof *contenders };

/* Which contender runs in which shape; with --quick on these servers, or on both when it is asked for by name. */
enum { NEITHER, REAL, BOTH };
static const struct {
    const char *contender;
    unsigned connections, in_flight, quick;
} shapes[] = {
    { "ringpg-shared", 8, 8, BOTH },      { "floor", 8, 8, BOTH },           { "libpq-pipeline", 8, 8, BOTH },
    { "ringpg-lease", 8, 1, BOTH },       { "floor", 8, 1, BOTH },           { "libpq-epoll", 8, 1, BOTH },
    { "ringpg-shared", 4, 64, NEITHER },  { "floor", 4, 64, NEITHER },
    { "ringpg-lease", 32, 1, NEITHER },   { "floor", 32, 1, NEITHER },       { "libpq-epoll", 32, 1, NEITHER },
    /* Peers that pipeline; peers with a pool, on which 64 tasks wait for 8 connections. */
    { "tokio-postgres", 8, 8, BOTH },     { "postgres.js", 8, 8, REAL },     { "pgbench", 8, 8, REAL },
    { "tokio-postgres", 4, 64, NEITHER }, { "postgres.js", 4, 64, NEITHER }, { "pgbench", 4, 64, NEITHER },
    { "pgx", 8, 8, REAL },                { "asyncpg", 8, 8, REAL },         { "psycopg", 8, 8, REAL },
    { "pg", 8, 8, REAL },                 { "pgx", 8, 1, NEITHER },          { "pgbench", 8, 1, NEITHER },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* --grid: of as many connections with as many in flight each. */
static const unsigned grid[] = { 1, 4, 16, 64 };
static const struct {
    const char *contender;
    bool one, more; /* in flight on a connection */
} grid_contenders[] = {
    { "ringpg-shared", true, true }, { "ringpg-lease", true, false },   { "floor", true, true },
    { "libpq-epoll", true, false },  { "libpq-pipeline", false, true }, { "tokio-postgres", true, true },
    { "pgx", true, true }, /* the fastest peer that pipelines, and the fastest that has a pool */
};
enum { GRID = sizeof grid / sizeof *grid, GRID_CONTENDERS = sizeof grid_contenders / sizeof *grid_contenders };
enum { CASES_MAX = 2 * (SHAPES + GRID * GRID * GRID_CONTENDERS) };

static const struct bench_contender *find_contender(const char *name)
{
    for (size_t i = 0; i < CONTENDERS; i++)
        if (!strcmp(contenders[i].name, name)) return &contenders[i];
    return NULL;
}

struct cases {
    struct bench_case at[CASES_MAX];
    size_t count;
};

static bool measures_peers(const struct bench_options *options)
{
    return options->peers && options->tcp && !options->common.target.tls;
}

static void print_missing_peers(const struct bench_options *options)
{
    if (options->peers && !measures_peers(options)) printf("peers: left out, they run by TCP, without TLS\n");
    for (size_t i = 0; measures_peers(options) && i < CONTENDERS; i++) {
        char *program;
        if (!contenders[i].peer) continue;
        if (options->common.contender && strcmp(options->common.contender, contenders[i].name)) continue;
        if (!(program = peer_program(options->peers, contenders[i].name)))
            peer_print_missing(options->peers, contenders[i].name);
        free(program);
    }
    fflush(stdout);
}

static void add_case(struct cases *cases, const struct bench_options *options, const char *server, const char *name,
                     unsigned connections, unsigned in_flight)
{
    const struct bench_contender *contender = find_contender(name);
    if (!contender || (options->common.contender && strcmp(options->common.contender, name))) return;
    if (options->common.target.tls && contender->run == floor_run) return; /* it speaks none */
    const char *program = NULL;
    if (contender->peer && (!measures_peers(options) || !(program = peer_program(options->peers, name)))) return;
    cases->at[cases->count++] = (struct bench_case){ .contender = contender,
                                                     .server = server,
                                                     .syscalls = -1,
                                                     .connections = connections,
                                                     .in_flight = in_flight,
                                                     .program = program };
}

static void add_grid(struct cases *cases, const struct bench_options *options, const char *server)
{
    for (size_t i = 0; i < GRID * GRID * GRID_CONTENDERS; i++) {
        unsigned connections = grid[i / GRID_CONTENDERS / GRID], in_flight = grid[i / GRID_CONTENDERS % GRID];
        size_t k = i % GRID_CONTENDERS;
        if (in_flight == 1 ? grid_contenders[k].one : grid_contenders[k].more)
            add_case(cases, options, server, grid_contenders[k].contender, connections, in_flight);
    }
}

static void make_cases(struct cases *cases, const struct bench_options *options)
{
    for (unsigned null = 0; null < 2; null++) {
        const char *server = null ? "null" : "real";
        if (options->server && strcmp(options->server, server)) continue;
        if (!null && !options->common.target.host) continue;
        if (options->grid) add_grid(cases, options, server);
        for (size_t i = 0; i < SHAPES && !options->grid; i++)
            if (!options->common.quick || shapes[i].quick > (options->common.contender ? 0 : null))
                add_case(cases, options, server, shapes[i].contender, shapes[i].connections, shapes[i].in_flight);
    }
}

enum { TIMED = 8 }; /* one in so many callers of a peer counts how long its queries take */

/* One run, in its child. */
struct job {
    const struct bench_case *one;
    const struct bench_target *target;
    struct bench_meter meter;
};

static void run_contender(struct job *job)
{
    struct bench_shape shape = { .target = job->target,
                                 .connections = job->one->connections,
                                 .in_flight = job->one->in_flight,
                                 .handlers = job->one->connections < MANY ? HANDLERS : job->one->connections,
                                 .program = job->one->program,
                                 .latencies = TIMED };
    job->one->contender->run(&shape, &job->meter);
    if (job->meter.phase != BENCH_OVER || job->meter.ended.answered <= job->meter.began.answered)
        bench_die("%s: nothing was measured", job->one->contender->name);
}

static void job_run(void *arg, int out)
{
    struct job *job = arg;
    run_contender(job);
    if (write(out, &job->meter, sizeof job->meter) != sizeof job->meter) bench_die("write: %s", strerror(errno));
}

static void keep_figures(struct bench_case *one, const struct bench_meter *meter)
{
    const struct bench_sample *began = &meter->began, *ended = &meter->ended;
    double queries = (double)(ended->answered - began->answered);
    unsigned i = one->figures++;
    one->qps[i] = queries * 1e9 / (double)(ended->at_ns - began->at_ns);
    one->client_us[i] = (double)(ended->cpu_ns - began->cpu_ns) / 1e3 / queries;
    one->server_us[i] = (ended->server_ns - began->server_ns) / 1e3 / queries;
    one->switches[i] = (ended->switches - began->switches) / queries;
    one->allocations[i] = (ended->allocations - began->allocations) / queries;
    one->peak_kib[i] = (double)ended->peak_kib;
    one->p50_us[i] = meter->peer.p50_us > 0 ? meter->peer.p50_us : BENCH_UNKNOWN;
    one->p99_us[i] = meter->peer.p99_us > 0 ? meter->peer.p99_us : BENCH_UNKNOWN;
}

static bool repeat(struct bench_case *one, const struct bench_target *target, const struct bench_options *options)
{
    struct job job = { .one = one, .target = target };
    struct bench_meter meter;
    char answer[sizeof meter + 1]; /* one more than the answer, so that its end is seen */
    job.meter.limit = options->queries;
    job.meter.server_pid = (int)target->pid;
    job.meter.measure_ns = (uint64_t)(options->common.seconds * 1e9);
    job.meter.warm_ns = job.meter.measure_ns / 5;
    uint64_t peer_warm_ns = options->common.quick ? PEER_WARM_QUICK_NS : PEER_WARM_NS;
    if (one->contender->peer && job.meter.warm_ns < peer_warm_ns) job.meter.warm_ns = peer_warm_ns;
    long size = bench_in_child(job_run, &job, answer, sizeof answer, 60 + (unsigned)options->common.seconds * 2);
    if (size != (long)sizeof meter) {
        one->given_up = one->contender->peer;
        return false;
    }
    memcpy(&meter, answer, sizeof meter);
    one->peer = meter.peer;
    keep_figures(one, &meter);
    return true;
}

static bool have_strace(void) { return system("strace -V >/dev/null 2>&1") == 0; }

static void stop_null_server(pid_t child, const struct bench_target *target)
{
    char path[4096];
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    if (!bench_is_unix(target)) return;
    snprintf(path, sizeof path, "%s/.s.PGSQL.%u", target->host, target->port);
    unlink(path);
    rmdir(target->host);
}

static void print_head(const struct bench_options *options, bool strace)
{
    struct utsname system_name = { .release = "?" };
    uname(&system_name);
    printf("workload select: prepared `" BENCH_SQL "`, binary result, Sync after each; transport: %s; Linux %s\n",
           options->tcp ? "TCP on loopback" : "Unix socket", system_name.release);
    if (options->queries)
        printf("%u repetitions of %u queries each", options->common.repetitions, options->queries);
    else
        printf("%u repetitions of %.2g s each, a fifth of it before as warm-up", options->common.repetitions,
               options->common.seconds);
    printf(", contenders in turn; figures are medians\n");
    if (!options->common.target.host) printf("no real server given: only the null server\n");
#ifndef BENCH_LIBPQ
    printf("built without libpq: libpq-epoll and libpq-pipeline are skipped\n");
#endif
    if (strace)
        printf("system calls: counted by strace -c -f in runs of their own%s; it slows the client, so that a wait may\n"
               "collect more completions than untraced\n",
               options->common.quick ? ", on the real server" : "");
    else
        printf("system calls: not counted (strace is not there, or not wanted): null\n");
    fflush(stdout);
}

static const struct bench_target *target_of(const struct bench_case *one, const struct bench_options *options,
                                            const struct bench_target *null_target)
{
    return *one->server == 'n' ? null_target : &options->common.target;
}

static bool measure(struct cases *cases, const struct bench_options *options, const struct bench_target *null_target,
                    bool strace)
{
    bool failed = false;
    for (unsigned repetition = 0; repetition < options->common.repetitions; repetition++)
        for (size_t i = 0; i < cases->count; i++)
            if (!cases->at[i].given_up &&
                !repeat(&cases->at[i], target_of(&cases->at[i], options, null_target), options))
                failed = true;
    for (size_t i = 0; strace && i < cases->count; i++) {
        struct bench_case *one = &cases->at[i];
        if (one->contender->peer || (options->common.quick && *one->server == 'n')) continue;
        unsigned quick = one->in_flight > 1 ? TRACED_QUICK_SHARED : TRACED_QUICK;
        one->syscalls = bench_count_syscalls(one, target_of(one, options, null_target),
                                             options->common.quick ? quick : TRACED_QUERIES);
    }
    return !failed;
}

static void report(const struct cases *cases, const struct bench_options *options)
{
    const char *transport = options->tcp ? "tcp" : "unix";
    int rc = 0;
    bench_print_table(cases->at, cases->count);
    bench_print_costs(cases->at, cases->count);
    if (!options->grid) bench_print_goals(cases->at, cases->count);
    if (options->common.json && (rc = bench_write_json(cases->at, cases->count, transport, options->common.json)))
        bench_die("%s: %s", options->common.json, strerror(-rc));
    if (options->plot && (rc = bench_write_plot(cases->at, cases->count, transport, options->plot)))
        bench_die("%s: %s", options->plot, strerror(-rc));
}

static int run_all(const struct bench_options *options)
{
    static struct cases cases;
    char null_dir[] = "/tmp/ringpg-bench-XXXXXX";
    struct bench_target null_target = { .host = null_dir, .port = BENCH_PORT, .user = "bench", .database = "bench" };
    if (options->tcp)
        null_target.host = "127.0.0.1", null_target.port = 0;
    else if (!mkdtemp(null_dir))
        bench_die("mkdtemp: %s", strerror(errno));
    print_missing_peers(options);
    make_cases(&cases, options);
    if (!cases.count) bench_die("no case is left to run");
    bool strace = !options->no_strace && have_strace(), real = options->common.target.host != NULL;
    if (real && !bench_select_make(&options->common)) bench_die("the table could not be made");
    pid_t null_server = null_server_start(&null_target);
    print_head(options, strace);
    bool succeeded = measure(&cases, options, &null_target, strace);
    if (real) succeeded &= bench_select_drop(&options->common);
    stop_null_server(null_server, &null_target);
    report(&cases, options);
    if (!succeeded) fprintf(stderr, "bench: a run failed, see above\n");
    return !succeeded;
}

/* A single run in this process, for strace, a profiler or a debugger. */
static int run_one(const struct bench_options *options)
{
    struct bench_case one = { .contender = find_contender(options->one),
                              .server = "given",
                              .connections = options->connections,
                              .in_flight = options->in_flight };
    struct job job = { .one = &one, .target = &options->common.target, .meter = { .limit = options->queries } };
    if (!one.contender) bench_die("no contender is called %s", options->one);
    if (one.contender->peer) bench_die("--one: %s is a program of its own", options->one);
    if (!options->common.target.host || !options->queries) bench_die("--one needs --host and --queries");
    run_contender(&job);
    printf("answered %llu\n", (unsigned long long)job.meter.answered);
    return 0;
}

static int serve(const struct bench_options *options)
{
    struct bench_target target = { .host = options->serve, .port = options->common.target.port };
    null_server_run(null_server_listen(&target));
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_options(argc, argv);
    if (options.serve) return serve(&options);
    return options.one ? run_one(&options) : run_all(&options);
}
