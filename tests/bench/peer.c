/* The benchmark's peers: other drivers, each a program of its own in a folder (tests/bench/peers has their sources).
 *
 *   PEER --host H --port P --user U --database D --connections C --in-flight F --warm-ms W --measure-ms M
 *
 * opens C connections, keeps C x F of the prepared selects in flight (BENCH_SQL, ids one after the other or at random,
 * see bench.h), checks each answer, measures for M ms after W ms, and prints two lines, the first when it begins to
 * measure:
 *
 *   began
 *   {"answered": N, "wall_ns": N, "cpu_ns": N, "switches": N, "peak_kib": N, "version": "..."}
 *
 * cpu_ns is that of all its threads; switches, -1 where it can not tell, are the voluntary ones; "sync": "batch" says
 * that it sends one Sync behind several queries. What the server spends is read meanwhile: unknown without the first
 * line. Another exit status than 0, another line, or none within the bound fails the run. Where a program is not there,
 * the first line of NAME.why beside it says why.
 *
 * Two options more may come:
 *
 *   --latencies N   one in N of the C x F callers reads the clock, and the second line has "p50_us", "p99_us" and
 *                   "p999_us" besides: how long its queries took that ended while it measured. Without it, or with 0,
 *                   nobody reads the clock, and the line has none of these; nor has that of a peer that cannot tell.
 *   --rate R        instead of C x F in flight, R queries a second begin at random times (Poisson), whatever is in
 *                   flight. One that cannot be started yet has begun all the same when it was due. Those that began
 *                   while it measured are awaited: they are the answered ones, and all of them are timed. The peers of
 *                   the part latency know this one, the others fail at it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"

enum { LINE_MAX_BYTES = 1024, GRACE_S = 10, TEXT_BYTES = 16, ARGUMENTS_MAX = 24 };

struct command {
    const struct bench_shape *shape;
    const struct bench_meter *meter;
};

static void exec_peer(void *arg, int out)
{
    const struct command *command = arg;
    const struct bench_target *target = command->shape->target;
    const char *program = command->shape->program;
    char port[TEXT_BYTES], connections[TEXT_BYTES], in_flight[TEXT_BYTES], warm[32], measure[32], rate[32];
    char latencies[TEXT_BYTES];
    snprintf(port, sizeof port, "%u", target->port);
    snprintf(connections, sizeof connections, "%u", command->shape->connections);
    snprintf(in_flight, sizeof in_flight, "%u", command->shape->in_flight);
    snprintf(warm, sizeof warm, "%llu", (unsigned long long)command->meter->warm_ns / 1000000);
    snprintf(measure, sizeof measure, "%llu", (unsigned long long)command->meter->measure_ns / 1000000);
    snprintf(latencies, sizeof latencies, "%u", command->shape->latencies);
    snprintf(rate, sizeof rate, "%.0f", command->shape->per_s);
    const char *words[][2] = {{"--host", target->host}, {"--port", port}, {"--user", target->user},
                              {"--database", target->database}, {"--connections", connections},
                              {"--in-flight", in_flight}, {"--warm-ms", warm}, {"--measure-ms", measure},
                              {"--latencies", command->shape->latencies ? latencies : NULL},
                              {"--rate", command->shape->per_s > 0 ? rate : NULL}};
    const char *arguments[ARGUMENTS_MAX] = {program};
    size_t count = 1;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!words[i][1]) continue; /* not asked for */
        arguments[count++] = words[i][0];
        arguments[count++] = words[i][1];
    }
    if (dup2(out, STDOUT_FILENO) < 0) bench_die("dup2: %s", strerror(errno));
    close(out);
    execv(program, (char *const *)arguments);
    bench_die("%s: %s", program, strerror(errno));
}

/* The server's CPU, from when the peer begins to measure until shortly before its end: when that has come its backends
 * are soon gone, and what they have spent with them. */
struct server_watch {
    const struct bench_meter *meter;
    uint64_t began_ns, ended_ns; /* 0: not yet */
    double began_cpu_ns, ended_cpu_ns;
};

static const char began_line[] = "began\n";
enum { BEGAN_BYTES = sizeof began_line - 1 };

static int look(void *arg, const char *answer, size_t got)
{
    struct server_watch *server = arg;
    if (got != BEGAN_BYTES || memcmp(answer, began_line, BEGAN_BYTES) || server->ended_ns) return -1;
    uint64_t now = bench_now_ns();
    if (!server->began_ns) {
        server->began_cpu_ns = bench_server_ns(server->meter->server_pid);
        server->began_ns = now;
    }
    uint64_t until = server->began_ns + server->meter->measure_ns / 5 * 4;
    if (now < until) return (int)((until - now) / 1000000) + 1;
    server->ended_cpu_ns = bench_server_ns(server->meter->server_pid);
    server->ended_ns = now;
    return -1;
}

/* In all of the time that the peer has measured, were it as much as in the part of it that was looked at. */
static double server_ns(const struct server_watch *server, double wall_ns)
{
    if (!server->ended_ns) return BENCH_UNKNOWN;
    return (server->ended_cpu_ns - server->began_cpu_ns) * wall_ns / (double)(server->ended_ns - server->began_ns);
}

/* Behind `"key":` and blanks; NULL: the line has no such key. */
static const char *value_of(const char *line, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *at = strstr(line, quoted);
    if (!at) return NULL;
    at += strlen(quoted);
    at += strspn(at, " ");
    if (*at++ != ':') return NULL;
    return at + strspn(at, " ");
}

static bool number_of(const char *line, const char *key, double *out)
{
    const char *at = value_of(line, key);
    char *end;
    if (!at || !strchr("-0123456789", *at)) return false;
    *out = strtod(at, &end);
    return end != at && isfinite(*out) && fabs(*out) < 9e18;
}

/* A word that goes into tables and JSON as it is. */
static bool text_of(const char *line, const char *key, char *out, size_t size)
{
    const char *at = value_of(line, key);
    size_t length = at && *at == '"' ? strcspn(at + 1, "\"") : 0;
    if (!length || length >= size || at[1 + length] != '"') return false;
    for (size_t i = 0; i < length; i++)
        if (at[1 + i] < ' ' || at[1 + i] > '~' || at[1 + i] == '\\') return false;
    memcpy(out, at + 1, length);
    out[length] = 0;
    return true;
}

static bool take_figures(const char *line, const struct server_watch *server, struct bench_meter *meter)
{
    double answered, wall_ns, cpu_ns, switches, peak_kib;
    char sync[TEXT_BYTES];
    size_t size = strlen(line);
    if (size < 3 || *line != '{' || strchr(line, '\n') != line + size - 1 || line[size - 2] != '}') return false;
    if (!number_of(line, "answered", &answered) || !number_of(line, "wall_ns", &wall_ns) ||
        !number_of(line, "cpu_ns", &cpu_ns) || !number_of(line, "switches", &switches) ||
        !number_of(line, "peak_kib", &peak_kib) ||
        !text_of(line, "version", meter->peer.version, sizeof meter->peer.version))
        return false;
    if (answered < 1 || wall_ns < 1 || cpu_ns < 0 || peak_kib < 0) return false;
    meter->peer.batched = text_of(line, "sync", sync, sizeof sync) && !strcmp(sync, "batch");
    if (!number_of(line, "p50_us", &meter->peer.p50_us)) meter->peer.p50_us = 0;
    if (!number_of(line, "p99_us", &meter->peer.p99_us)) meter->peer.p99_us = 0;
    if (!number_of(line, "p999_us", &meter->peer.p999_us)) meter->peer.p999_us = 0;
    meter->began = (struct bench_sample){ .server_ns = 0 };
    meter->ended = (struct bench_sample){ .at_ns = (uint64_t)wall_ns,
                                          .cpu_ns = (uint64_t)cpu_ns,
                                          .answered = (uint64_t)answered,
                                          .peak_kib = (uint64_t)peak_kib,
                                          .switches = switches < 0 ? BENCH_UNKNOWN : switches,
                                          .server_ns = server_ns(server, wall_ns),
                                          .allocations = BENCH_UNKNOWN };
    meter->phase = BENCH_OVER;
    return true;
}

void peer_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    const char *name = strrchr(shape->program, '/') + 1;
    struct command command = { shape, meter };
    struct server_watch server = { .meter = meter };
    const struct bench_watch watch = { look, &server };
    char text[LINE_MAX_BYTES];
    /* Half as long again: pgbench warms up twice. */
    unsigned seconds = GRACE_S + (unsigned)((meter->warm_ns + meter->measure_ns) / 2 * 3 / 1000000000);
    long size = bench_in_watched_child(exec_peer, &command, text, sizeof text - 1, seconds, &watch);
    if (size == BENCH_LATE) bench_die("%s: no figures within %u s, ended", name, seconds);
    if (size < 0) bench_die("%s: its program failed", name);
    text[size] = 0;
    char *line = strncmp(text, began_line, BEGAN_BYTES) ? text : text + BEGAN_BYTES;
    if (!take_figures(line, &server, meter)) {
        line[strcspn(line, "\n")] = 0;
        bench_die("%s: this is no line of figures: '%.200s'", name, line);
    }
}

char *peer_program(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *program = malloc(size);
    if (!program) bench_die("no memory");
    snprintf(program, size, "%s/%s", folder, name);
    if (!access(program, X_OK)) return program;
    free(program);
    return NULL;
}

void peer_print_missing(const char *folder, const char *name)
{
    char path[4096], why[512] = "";
    snprintf(path, sizeof path, "%s/%s.why", folder, name);
    FILE *file = fopen(path, "r");
    if (file && !fgets(why, sizeof why, file)) *why = 0;
    if (file) fclose(file);
    why[strcspn(why, "\n")] = 0;
    if (*why)
        printf("not there: %s (%s)\n", name, why);
    else
        printf("not there: %s (no program %s/%s)\n", name, folder, name);
}
