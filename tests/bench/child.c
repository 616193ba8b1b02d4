/* Child processes of the benchmark: one run each, bounded in time, and the same run once more under strace for the
 * number of system calls. Ends only what it started. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Reads until the other end closes. BENCH_LATE: the time is over; -1: the answer is too long. */
static long collect(int in, char *answer, size_t size, uint64_t until_ms, const struct bench_watch *watch)
{
    size_t got = 0;
    for (;;) { /* bounded by until_ms and by size */
        struct pollfd poll_in = {.fd = in, .events = POLLIN};
        int look_ms = watch ? watch->look(watch->arg, answer, got) : -1;
        uint64_t now = now_ms();
        if (now >= until_ms) return BENCH_LATE;
        if (got == size) return -1;
        int left_ms = (int)(until_ms - now);
        if (poll(&poll_in, 1, look_ms < 0 || look_ms > left_ms ? left_ms : look_ms) <= 0) continue;
        ssize_t n = read(in, answer + got, size - got);
        if (n == 0) return (long)got;
        if (n < 0 && errno != EINTR) return -1;
        if (n > 0) got += (size_t)n;
    }
}

long bench_in_child(void (*run)(void *arg, int out), void *arg, void *answer, size_t size, unsigned seconds)
{
    return bench_in_watched_child(run, arg, answer, size, seconds, NULL);
}

long bench_in_watched_child(void (*run)(void *arg, int out), void *arg, void *answer, size_t size, unsigned seconds,
                            const struct bench_watch *watch)
{
    int ends[2], status;
    if (pipe(ends)) bench_die("pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) bench_die("fork: %s", strerror(errno));
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        run(arg, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    long got = collect(ends[0], answer, size, now_ms() + seconds * UINT64_C(1000), watch);
    if (got < 0) kill(child, SIGKILL);
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (got == BENCH_LATE) return got;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? got : -1;
}

/* One run under strace, which writes its table to `report`. */
struct traced {
    const struct bench_case *one;
    const struct bench_target *target;
    const char *report;
    unsigned queries;
};

static void exec_traced(void *arg, int out)
{
    const struct traced *traced = arg;
    char self[4096], port[16], connections[16], in_flight[16], queries[16];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) bench_die("readlink: %s", strerror(errno));
    self[length] = 0;
    snprintf(port, sizeof port, "%u", traced->target->port);
    snprintf(connections, sizeof connections, "%u", traced->one->connections);
    snprintf(in_flight, sizeof in_flight, "%u", traced->one->in_flight);
    snprintf(queries, sizeof queries, "%u", traced->queries);
    if (dup2(out, STDOUT_FILENO) < 0) bench_die("dup2: %s", strerror(errno));
    close(out);
    execlp("strace", "strace", "-c", "-f", "-o", traced->report, self, "--one", traced->one->contender->name, "--host",
           traced->target->host, "--port", port, "--user", traced->target->user, "--database", traced->target->database,
           "--connections", connections, "--in-flight", in_flight, "--queries", queries, (char *)NULL);
    _exit(1);
}

/* The sum of the column "calls": "% time, seconds, usecs/call, calls, errors, syscall". */
static double sum_of_calls(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[256], name[64];
    double sum = 0, calls;
    if (!file) return -1;
    while (fgets(line, sizeof line, file)) {
        bool row = sscanf(line, "%*f %*f %*f %lf %*f %63s", &calls, name) == 2 ||
                   sscanf(line, "%*f %*f %*f %lf %63s", &calls, name) == 2;
        if (row && strcmp(name, "total")) sum += calls;
    }
    fclose(file);
    return sum > 0 ? sum : -1;
}

/* The calls of a run of that many queries; `answered` is exact, the calls include beginning and end. */
static double calls_of(struct traced *traced, double *answered)
{
    char text[64];
    long size = bench_in_child(exec_traced, traced, text, sizeof text - 1, 30);
    if (size < 0) return -1;
    text[size] = 0;
    if (sscanf(text, "answered %lf", answered) != 1) return -1;
    return sum_of_calls(traced->report);
}

double bench_count_syscalls(const struct bench_case *one, const struct bench_target *target, unsigned queries)
{
    enum { FEW = 2000 }; /* far from `queries`: a run may find itself in or out of step with the server */
    char report[] = "/tmp/ringpg-bench-strace-XXXXXX";
    int fd = mkstemp(report);
    if (fd < 0) return -1;
    close(fd);
    double few, many;
    struct traced traced = {one, target, report, FEW};
    double calls_few = calls_of(&traced, &few);
    traced.queries = queries;
    double calls_many = calls_few < 0 ? -1 : calls_of(&traced, &many);
    unlink(report);
    return calls_many < 0 || many <= few ? -1 : (calls_many - calls_few) / (many - few);
}
