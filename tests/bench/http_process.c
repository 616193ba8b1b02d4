/* The benchmark's part http: processes. Starts a server and ends it, runs wrk against it, reads what both cost. Knows
 * neither contenders nor reports; ends only what it started, and waits for nothing without a bound. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"
#include "http_part.h"

enum { START_MS = 15000, END_MS = 15000, BEYOND_MS = 20000, OUTPUT_BYTES = 8192 };

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Its standard output is a pipe; it does not outlive this process. */
static struct http_process launch(const char *const *argv)
{
    struct http_process child;
    int ends[2];
    if (pipe(ends)) bench_die("pipe: %s", strerror(errno));
    fflush(NULL);
    child = (struct http_process){.pid = fork(), .out = ends[0]};
    if (child.pid < 0) bench_die("fork: %s", strerror(errno));
    if (!child.pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (dup2(ends[1], STDOUT_FILENO) < 0) _exit(127);
        close(ends[0]);
        close(ends[1]);
        execvp(argv[0], (char *const *)(void *)argv);
        fprintf(stderr, "bench: %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    close(ends[1]);
    return child;
}

/* Reads until `enough` is in it, until the other end closes or the time is over. False: the time is over. */
static bool read_output(const struct http_process *child, char *text, size_t size, const char *enough, int ms)
{
    int64_t until = now_ms() + ms;
    size_t got = 0;
    text[0] = '\0';
    while (got + 1 < size && !(enough && strstr(text, enough))) {
        int64_t left = until - now_ms();
        struct pollfd readable = {.fd = child->out, .events = POLLIN};
        if (left <= 0) return false;
        if (poll(&readable, 1, (int)left) <= 0) continue;
        ssize_t n = read(child->out, text + got, size - 1 - got);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        text[got += (size_t)n] = '\0';
    }
    return true;
}

/* The status of a child that ends by itself within the time, else of one that was killed. */
static int reap(struct http_process *child, int ms, struct rusage *usage)
{
    int status = 0;
    int64_t until = now_ms() + ms;
    pid_t ended;
    while ((ended = wait4(child->pid, &status, WNOHANG, usage)) <= 0) {
        if (ended < 0 && errno != EINTR) bench_die("wait4: %s", strerror(errno));
        if (now_ms() >= until) kill(child->pid, SIGKILL);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    close(child->out);
    child->pid = 0;
    return status;
}

bool http_start(struct http_process *process, const char *const *argv)
{
    char text[OUTPUT_BYTES];
    struct rusage usage;
    *process = launch(argv);
    bool in_time = read_output(process, text, sizeof text, "\n", START_MS);
    if (in_time && sscanf(text, "ready http://127.0.0.1:%u/", &process->port) == 1) return true;
    fprintf(stderr, "bench: %s did not get ready%s\n", argv[0], in_time ? "" : " in time");
    kill(process->pid, SIGKILL);
    reap(process, END_MS, &usage);
    return false;
}

bool http_end(struct http_process *process)
{
    struct rusage usage;
    kill(process->pid, SIGTERM);
    int status = reap(process, END_MS, &usage);
    bool good = WIFSIGNALED(status) ? WTERMSIG(status) == SIGTERM : WEXITSTATUS(status) == 0;
    if (!good) fprintf(stderr, "bench: a server ended with wait status %d\n", status);
    return good;
}

/* ---- wrk ---- */

/* CPU of all threads of a process, those that have ended and the kernel's for it included. */
static double cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &time)) return BENCH_UNKNOWN;
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double usage_ns(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e9 +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * 1e3;
}

/* "     99%    1.23ms" of wrk's table; 0: no such line. */
static double latency_us(const char *text, const char *percent)
{
    static const struct {
        const char *unit;
        double us;
    } units[] = {{"us", 1}, {"ms", 1e3}, {"s", 1e6}, {"m", 6e7}};
    char unit[4];
    double value;
    const char *at = strstr(text, percent);
    if (!at || sscanf(at + strlen(percent), "%lf%3[a-z]", &value, unit) != 2) return 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(unit, units[i].unit)) return value * units[i].us;
    return 0;
}

/* wrk takes whole seconds, and ends in order when it is interrupted earlier. */
static bool run_wrk(unsigned port, const char *path, unsigned clients, double seconds, char text[OUTPUT_BYTES],
                    struct rusage *usage)
{
    char url[512], count[32], duration[32];
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    snprintf(count, sizeof count, "-c%u", clients);
    snprintf(duration, sizeof duration, "-d%us", (unsigned)seconds + 1);
    const char *argv[] = {"wrk", "-t1", count, duration, "--latency", url, NULL};
    struct http_process wrk = launch(argv);
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (unsigned)seconds) * 1e9)};
    nanosleep(&time, NULL);
    kill(wrk.pid, SIGINT);
    bool in_time = read_output(&wrk, text, OUTPUT_BYTES, NULL, BEYOND_MS);
    int status = reap(&wrk, in_time ? END_MS : 0, usage);
    const char *socket_errors = strstr(text, "Socket errors"), *refused = strstr(text, "Non-2xx");
    if (in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0 && !socket_errors && !refused) return true;
    fprintf(stderr, "bench: wrk failed or had errors (wait status %d%s):\n%s", status, in_time ? "" : ", out of time",
            text);
    return false;
}

bool http_load(const struct http_process *server, const char *path, unsigned clients, double seconds,
               int postgres_pid, struct http_load *out)
{
    char text[OUTPUT_BYTES];
    struct rusage usage;
    double requests = 0, postgres = bench_server_ns(postgres_pid), spent = cpu_ns(server->pid);
    if (!run_wrk(server->port, path, clients, seconds, text, &usage)) return false;
    spent = cpu_ns(server->pid) - spent;
    postgres = bench_server_ns(postgres_pid) - postgres;
    const char *total = strstr(text, " requests in "), *rate = strstr(text, "Requests/sec:");
    while (total && total > text && total[-1] != ' ') total--;
    bool understood = total && rate && sscanf(total, "%lf", &requests) == 1 && requests > 0 &&
                      sscanf(rate, "Requests/sec: %lf", &out->per_s) == 1;
    out->p50_us = latency_us(text, " 50%");
    out->p99_us = latency_us(text, " 99%");
    out->server_us = spent / 1e3 / requests;
    out->postgres_us = postgres / 1e3 / requests;
    out->wrk_us = usage_ns(&usage) / 1e3 / requests;
    understood = understood && out->p50_us > 0 && out->p99_us > 0;
    if (!understood) fprintf(stderr, "bench: wrk says nothing known:\n%s", text);
    return understood;
}
