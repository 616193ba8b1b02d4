/* tests/bench: how fast, and at what price. Contenders that all run the same prepared one-row select, side by side.
 *
 * A contender opens its connections, keeps the given number of queries in flight, reports each answer that it has
 * checked and asks the meter once per turn whether to go on. It runs in a process of its own, so that the client CPU is
 * that of the process, a hang is bounded and a failure is one exit. The meter alone knows the clock; contenders know
 * nothing of repetitions, servers or reports. */
#ifndef BENCH_H
#define BENCH_H
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The workload `select`: a row by primary key, of one id after the other (the floor's is always the same). Prepared once
 * per connection, executed with binary results and a Sync after every query. */
#define BENCH_SQL "SELECT number FROM bench_select WHERE id = $1"
enum { BENCH_ID_FIRST = 100000, BENCH_IDS = 10000, BENCH_NUMBER_OVER = 100000 }; /* ids and numbers have six digits */
static inline int32_t bench_id(uint32_t n) { return (int32_t)(BENCH_ID_FIRST + n % BENCH_IDS); }
static inline int32_t bench_number(int32_t id) { return id + BENCH_NUMBER_OVER; }

struct bench_target {                   /* where the server listens, with trust authentication */
    const char *host, *user, *database; /* host: the folder of a Unix socket, or 127.0.0.1 */
    unsigned port;
    bool tls;                           /* sslmode=require, and not disable */
    unsigned pid;                       /* of the server; its children are part of it. 0: not known */
};

struct bench_shape { /* one request for a run */
    const struct bench_target *target;
    unsigned connections, in_flight; /* in_flight: queries per connection */
    unsigned handlers;               /* for contenders whose handlers take turns on the connections */
    const char *program;             /* of a peer */
    unsigned latencies;              /* one in so many callers of a peer counts how long its queries take; 0: none */
    double per_s;                    /* of a peer: they come at random times; 0: whenever one is answered */
};

enum { BENCH_REPETITIONS_MAX = 100, BENCH_PORT = 5432 };

/* One option of a program: its value goes to byte `at` of the program's own struct. */
struct bench_option {
    const char *name;
    enum { BENCH_FLAG, BENCH_NUMBER, BENCH_REAL, BENCH_TEXT } kind; /* bool, unsigned, double, const char * */
    size_t at;
    unsigned max; /* of a number, which is at least 1 */
};
/* Ends the process when they are wrong, and after --help. */
void bench_read_options(int argc, char **argv, const struct bench_option *rows, int count, const char *usage,
                        void *options);

/* What every part is asked. A part's own struct of options begins with one of these. */
struct bench_common {
    struct bench_target target;
    const char *json, *contender; /* contender: only this one */
    unsigned repetitions;
    double seconds; /* of each */
    bool quick, no_table;
};
struct bench_part {
    const char *usage;               /* of its own options; the others' is added */
    const struct bench_option *rows; /* its own options */
    int count;
    unsigned repetitions;                       /* unless something else is asked for; quick: three */
    double seconds, quick_seconds, seconds_max; /* 0: its repetitions are not bounded by time */
    bool serverless;                            /* it can do without a --host */
};
/* Reads both kinds of options, fills in what was not given, checks the common ones. Ends the process as above. */
void bench_read_part(int argc, char **argv, const struct bench_part *part, struct bench_common *options);

/* Those of the selects. */
struct bench_options {
    struct bench_common common; /* target: the real server; host NULL: none */
    const char *plot, *server, *transport, *one, *serve, *peers;
    unsigned queries, connections, in_flight;
    bool grid, no_strace, tcp;
};
struct bench_options bench_options(int argc, char **argv);

/* The meter: warm-up, then measuring, then over. Bounded by time, or by a number of answers (then there is no warm-up).
 */
struct bench_meter {
    uint64_t answered; /* counted by the contender: every query whose answer was checked */
    uint64_t warm_ns, measure_ns, limit;
    enum { BENCH_WARMING, BENCH_MEASURING, BENCH_OVER } phase;
    int server_pid; /* whose CPU is read as well; 0: nobody's */
    struct bench_sample {
        uint64_t at_ns, cpu_ns, answered, peak_kib; /* peak of resident memory */
        uint64_t user_ns; /* of cpu_ns; where the kernel counts it by ticks, not to be read in short runs */
        double server_ns, allocations, switches;    /* BENCH_UNKNOWN where they cannot be told; voluntary switches */
    } began, ended;
    struct bench_sample progress; /* when `answered` last moved: a run that stalls fails */
    struct bench_peer {           /* what a peer says of itself */
        char version[64];
        bool batched;                   /* not a Sync behind each query, but behind several */
        double p50_us, p99_us, p999_us; /* how long its queries took; 0: it does not say */
    } peer;
};
#define BENCH_UNKNOWN ((double)NAN)
double bench_allocations(void);    /* of this process so far */
double bench_server_ns(int pid);   /* CPU of a process and its children so far */
uint64_t bench_now_ns(void);       /* CLOCK_MONOTONIC */
void bench_meter_start(struct bench_meter *meter);
/* Once per turn of the contender's loop. False: start no further query, collect what is in flight and return. */
bool bench_tick(struct bench_meter *meter);

/* The names of one row of results. */
struct bench_contender {
    const char *name;
    void (*run)(const struct bench_shape *shape, struct bench_meter *meter);
    bool peer; /* another driver: a program, see peer.c */
};
void floor_run(const struct bench_shape *shape, struct bench_meter *meter);
void libpq_epoll_run(const struct bench_shape *shape, struct bench_meter *meter);
void libpq_pipeline_run(const struct bench_shape *shape, struct bench_meter *meter);
void ringpg_shared_run(const struct bench_shape *shape, struct bench_meter *meter);
void ringpg_lease_run(const struct bench_shape *shape, struct bench_meter *meter);
/* Of shape->program. Bounded by time alone. */
void peer_run(const struct bench_shape *shape, struct bench_meter *meter);
char *peer_program(const char *folder, const char *name); /* allocated; NULL: it is not there */
void peer_print_missing(const char *folder, const char *name);

/* xorshift64*: chance that is the same each time. `state` begins with anything but 0. */
static inline uint64_t bench_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* One message on stderr and the end of the process: a run that cannot be trusted gives no figure. */
void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* One connection of the floor, made with blocking calls before the ring takes over: its descriptor, the statement
 * prepared, one answer checked and its length known. */
struct floor_session {
    int fd;
    size_t request_bytes, reply_bytes;
};
enum { FLOOR_REQUEST_MAX = 64 };
size_t floor_request(unsigned char *out); /* Bind + Execute + Sync; at most FLOOR_REQUEST_MAX bytes */
struct floor_session floor_connect(const struct bench_target *target);

/* The target's address: its bytes, or 0 when the host is neither a folder whose path fits nor an IPv4 address. */
struct sockaddr_storage;
size_t bench_address(const struct bench_target *target, struct sockaddr_storage *out);
bool bench_is_unix(const struct bench_target *target);

/* The tests' own server: answers startup and the messages of prepared selects with canned bytes, so that nearly all
 * that is measured is the client. Serves `listener` until its process is killed. */
int null_server_listen(struct bench_target *target); /* over TCP it sets the port */
void null_server_run(int listener) __attribute__((noreturn));
int null_server_start(struct bench_target *target); /* both in a child, which dies with this process; its pid */

/* Runs SQL on the target in a child, with ringpg, which is always there: statements one after the other, each in a
 * transaction of its own; NULL ends them. False: one failed, which stderr says, or it took longer than `seconds`. */
bool bench_prepare(const struct bench_target *target, const char *const *sql, unsigned seconds);

/* The table of the workload `select`, made and dropped in a child, unless options say that it is there already. False:
 * stderr says why. */
bool bench_select_make(const struct bench_common *options);
bool bench_select_drop(const struct bench_common *options);

/* A child process that writes its answer to descriptor `out`. Returns the bytes of the answer, or -1 when the child
 * failed or wrote too much, or BENCH_LATE when it took longer than `seconds` (then it is killed). */
enum { BENCH_LATE = -2 };
long bench_in_child(void (*run)(void *arg, int out), void *arg, void *answer, size_t size, unsigned seconds);
/* The same, with somebody who looks at the bytes that have come: whenever more of them do, and when the ms are over that
 * it returned; -1: no sooner than the next bytes. NULL: nobody. */
struct bench_watch {
    int (*look)(void *arg, const char *answer, size_t got);
    void *arg;
};
long bench_in_watched_child(void (*run)(void *arg, int out), void *arg, void *answer, size_t size, unsigned seconds,
                            const struct bench_watch *watch);

/* Cases, their figures and the reports. */
struct bench_case {
    const struct bench_contender *contender;
    const char *server; /* "real" or "null" */
    unsigned connections, in_flight;
    const char *program; /* of a peer */
    struct bench_peer peer;
    bool given_up;    /* a peer that failed is not run again */
    unsigned figures; /* repetitions that succeeded */
    double qps[BENCH_REPETITIONS_MAX], client_us[BENCH_REPETITIONS_MAX];
    /* Per query; peak memory of the client at once. BENCH_UNKNOWN: cannot be told */
    double server_us[BENCH_REPETITIONS_MAX], switches[BENCH_REPETITIONS_MAX], allocations[BENCH_REPETITIONS_MAX];
    double peak_kib[BENCH_REPETITIONS_MAX];
    double p50_us[BENCH_REPETITIONS_MAX], p99_us[BENCH_REPETITIONS_MAX]; /* of a peer alone, see part latency */
    double syscalls; /* per query; negative: unknown */
};
/* System calls per query of one case: a run of so many queries and one of few under strace, the difference divided.
 * Negative: no strace, or it failed. */
double bench_count_syscalls(const struct bench_case *one, const struct bench_target *target, unsigned queries);
struct bench_spread {
    double min, median, max;
};
/* Of at most BENCH_REPETITIONS_MAX. Unknown ones do not count; all are unknown: so is the spread; none: it is 0. */
struct bench_spread bench_spread(const double *figures, unsigned count);
void bench_print_table(const struct bench_case *cases, size_t count);
void bench_print_costs(const struct bench_case *cases, size_t count);
void bench_print_goals(const struct bench_case *cases, size_t count);
int bench_write_json(const struct bench_case *cases, size_t count, const char *transport, const char *path);
/* An SVG picture: queries per second and client CPU per query against queries in flight, a line for each contender. */
int bench_write_plot(const struct bench_case *cases, size_t count, const char *transport, const char *path);
/* How long something took, many times: sorted first, then `share` of them took no longer than the percentile. */
void bench_sort_times(uint32_t *took_ns, size_t count);
double bench_percentile_us(const uint32_t *sorted_ns, size_t count, double share);
/* For parts that write rows of their own: a file, and its end, without which no byte of it counts. */
FILE *bench_json_open(const char *path);
void bench_json_close(FILE *file, const char *path);
#endif
