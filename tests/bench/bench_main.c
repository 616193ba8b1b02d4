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

enum { HANDLERS = 64 };

static const struct bench_contender contenders[] = {
    {"ringpg-shared", ringpg_shared_run},   {"ringpg-lease", ringpg_lease_run}, {"floor", floor_run},
#ifdef BENCH_LIBPQ
    {"libpq-pipeline", libpq_pipeline_run}, {"libpq-epoll", libpq_epoll_run},
#endif
};
enum { CONTENDERS = sizeof contenders / sizeof *contenders };

/* Which contender runs in which shape. */
static const struct {
    const char *contender;
    unsigned connections, in_flight;
    bool real, quick;
} shapes[] = {
    {"ringpg-shared", 8, 8, true, true},    {"floor", 8, 8, true, true},    {"libpq-pipeline", 8, 8, true, true},
    {"ringpg-lease", 8, 1, true, true},     {"floor", 8, 1, true, true},    {"libpq-epoll", 8, 1, true, true},
    {"ringpg-shared", 4, 64, false, false}, {"floor", 4, 64, false, false},
};
enum { SHAPES = sizeof shapes / sizeof *shapes, CASES_MAX = 2 * SHAPES };

static const struct bench_contender *find_contender(const char *name)
{
    for (size_t i = 0; i < CONTENDERS; i++)
        if (!strcmp(contenders[i].name, name)) return &contenders[i];
    return NULL;
}

static size_t make_cases(struct bench_case *cases, const struct bench_options *options)
{
    size_t count = 0;
    for (unsigned null = 0; null < 2; null++) {
        const char *server = null ? "null" : "real";
        if (options->server && strcmp(options->server, server)) continue;
        if (!null && !options->target.host) continue;
        for (size_t i = 0; i < SHAPES; i++) {
            const struct bench_contender *contender = find_contender(shapes[i].contender);
            bool wanted = !options->contender || !strcmp(options->contender, shapes[i].contender);
            if (options->target.tls && contender && contender->run == floor_run) continue; /* it speaks none */
            if (!contender || !wanted || (!null && !shapes[i].real) || (options->quick && !shapes[i].quick)) continue;
            cases[count++] = (struct bench_case){.contender = contender,
                                                 .server = server,
                                                 .syscalls = -1,
                                                 .connections = shapes[i].connections,
                                                 .in_flight = shapes[i].in_flight};
        }
    }
    return count;
}

/* One run, in its child. */
struct job {
    const struct bench_case *one;
    const struct bench_target *target;
    struct bench_meter meter;
};

static void run_contender(struct job *job)
{
    struct bench_shape shape = {.target = job->target,
                                .connections = job->one->connections,
                                .in_flight = job->one->in_flight,
                                .handlers = HANDLERS};
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

static void keep_figures(struct bench_case *one, const struct bench_sample *began, const struct bench_sample *ended)
{
    double queries = (double)(ended->answered - began->answered);
    unsigned i = one->figures++;
    one->qps[i] = queries * 1e9 / (double)(ended->at_ns - began->at_ns);
    one->client_us[i] = (double)(ended->cpu_ns - began->cpu_ns) / 1e3 / queries;
    one->server_us[i] = (ended->server_ns - began->server_ns) / 1e3 / queries;
    one->switches[i] = (double)(ended->switches - began->switches) / queries;
    one->allocations[i] = (ended->allocations - began->allocations) / queries;
    one->peak_kib[i] = (double)ended->peak_kib;
}

static bool repeat(struct bench_case *one, const struct bench_target *target, const struct bench_options *options)
{
    struct job job = {.one = one, .target = target};
    struct bench_meter meter;
    char answer[sizeof meter + 1]; /* one more than the answer, so that its end is seen */
    job.meter.limit = options->queries;
    job.meter.server_pid = (int)target->pid;
    job.meter.measure_ns = (uint64_t)(options->seconds * 1e9);
    job.meter.warm_ns = job.meter.measure_ns / 5;
    long size = bench_in_child(job_run, &job, answer, sizeof answer, 60 + (unsigned)options->seconds * 2);
    if (size != (long)sizeof meter) return false;
    memcpy(&meter, answer, sizeof meter);
    keep_figures(one, &meter.began, &meter.ended);
    return true;
}

static bool have_strace(void)
{
    return system("strace -V >/dev/null 2>&1") == 0;
}

/* The null server in a child that dies with this process. */
static pid_t start_null_server(struct bench_target *target)
{
    int listener = null_server_listen(target);
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) bench_die("fork: %s", strerror(errno));
    if (!child) null_server_run(listener);
    close(listener);
    target->pid = (unsigned)child;
    return child;
}

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
    struct utsname system_name = {.release = "?"};
    uname(&system_name);
    printf("workload select: prepared `" BENCH_SQL "`, binary result, Sync after each; transport: %s; Linux %s\n",
           options->tcp ? "TCP on loopback" : "Unix socket", system_name.release);
    if (options->queries)
        printf("%u repetitions of %u queries each", options->repetitions, options->queries);
    else
        printf("%u repetitions of %.2g s each, a fifth of it before as warm-up", options->repetitions,
               options->seconds);
    printf(", contenders in turn; figures are medians\n");
    if (!options->target.host) printf("no real server given: only the null server\n");
#ifndef BENCH_LIBPQ
    printf("built without libpq: libpq-epoll and libpq-pipeline are skipped\n");
#endif
    if (strace)
        printf("system calls: counted by strace -c -f in runs of their own; it slows the client, so that a wait may "
               "collect\n"
               "more completions than untraced\n");
    else
        printf("system calls: not counted (strace is not there, or not wanted): null\n");
    fflush(stdout);
}

static int run_all(const struct bench_options *options)
{
    static struct bench_case cases[CASES_MAX];
    char null_dir[] = "/tmp/ringpg-bench-XXXXXX";
    struct bench_target null_target = {.host = null_dir, .port = BENCH_PORT, .user = "bench", .database = "bench"};
    if (options->tcp)
        null_target.host = "127.0.0.1", null_target.port = 0;
    else if (!mkdtemp(null_dir))
        bench_die("mkdtemp: %s", strerror(errno));
    size_t count = make_cases(cases, options);
    if (!count) bench_die("no case is left to run");
    bool strace = !options->no_strace && have_strace(), failed = false;
    pid_t null_server = start_null_server(&null_target);
    print_head(options, strace);

    for (unsigned repetition = 0; repetition < options->repetitions; repetition++)
        for (size_t i = 0; i < count; i++) {
            const struct bench_target *target = *cases[i].server == 'n' ? &null_target : &options->target;
            if (!repeat(&cases[i], target, options)) failed = true;
        }
    for (size_t i = 0; strace && i < count; i++)
        cases[i].syscalls = bench_count_syscalls(&cases[i], *cases[i].server == 'n' ? &null_target : &options->target);
    stop_null_server(null_server, &null_target);

    bench_print_table(cases, count);
    bench_print_costs(cases, count);
    bench_print_goals(cases, count);
    if (options->json) {
        int rc = bench_write_json(cases, count, options->tcp ? "tcp" : "unix", options->json);
        if (rc) bench_die("%s: %s", options->json, strerror(-rc));
    }
    if (failed) fprintf(stderr, "bench: a run failed, see above\n");
    return failed;
}

/* A single run in this process, for strace, a profiler or a debugger. */
static int run_one(const struct bench_options *options)
{
    struct bench_case one = {.contender = find_contender(options->one),
                             .server = "given",
                             .connections = options->connections,
                             .in_flight = options->in_flight};
    struct job job = {.one = &one, .target = &options->target, .meter = {.limit = options->queries}};
    if (!one.contender) bench_die("no contender is called %s", options->one);
    if (!options->target.host || !options->queries) bench_die("--one needs --host and --queries");
    run_contender(&job);
    printf("answered %llu\n", (unsigned long long)job.meter.answered);
    return 0;
}

static int serve(const struct bench_options *options)
{
    struct bench_target target = {.host = options->serve, .port = options->target.port};
    null_server_run(null_server_listen(&target));
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_options(argc, argv);
    if (options.serve) return serve(&options);
    return options.one ? run_one(&options) : run_all(&options);
}
