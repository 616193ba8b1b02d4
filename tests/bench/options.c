/* The options of the selects: a table of names, and the checks that a run rests on. */
#include <string.h>
#include "bench.h"

static const char usage[] =
    "ringpg_bench [options]\n"
    "  --quick                  fewer and shorter repetitions, fewer shapes\n"
    "  --grid                   1, 4, 16 and 64 connections, each with 1, 4, 16 and 64 in flight; no system calls\n"
    "  --json FILE              write the figures as a list of rows\n"
    "  --plot FILE              write a picture of them, as SVG\n"
    "  --repetitions N          at least 3 unless --queries is given; default 5, quick 3\n"
    "  --seconds S              of each run; default 1.5, quick 0.5\n"
    "  --queries N              of each run, instead of a time\n"
    "  --host H --port P        the real server: the folder of its Unix socket, or an IPv4 address\n"
    "  --server-pid N           of the real server, for its CPU; its children are part of it\n"
    "  --user U --database D    who it lets in without a password\n"
    "  --transport unix|tcp     of the null server; must fit --host\n"
    "  --tls                    only the real server, encrypted; without the floor, which speaks no TLS\n"
    "  --server real|null, --contender NAME   only these\n"
    "  --peers DIR              other drivers too: programs in DIR, see peer.c; by TCP, no TLS, not in --grid\n"
    "  --no-strace              do not count system calls\n"
    "  --one NAME --connections C --in-flight D   a single run of --queries N, for profilers\n"
    "  --serve H --port P       only the null server, until it is ended\n";

#define AT(member) offsetof(struct bench_options, member)

static const struct bench_option rows[] = {
    {"quick", BENCH_FLAG, AT(quick), 0},
    {"grid", BENCH_FLAG, AT(grid), 0},
    {"no-strace", BENCH_FLAG, AT(no_strace), 0},
    {"json", BENCH_TEXT, AT(json), 0},
    {"plot", BENCH_TEXT, AT(plot), 0},
    {"repetitions", BENCH_NUMBER, AT(repetitions), BENCH_REPETITIONS_MAX},
    {"seconds", BENCH_REAL, AT(seconds), 0},
    {"queries", BENCH_NUMBER, AT(queries), 100000000},
    {"host", BENCH_TEXT, AT(target.host), 0},
    {"port", BENCH_NUMBER, AT(target.port), 65535},
    {"server-pid", BENCH_NUMBER, AT(target.pid), 1u << 30},
    {"user", BENCH_TEXT, AT(target.user), 0},
    {"database", BENCH_TEXT, AT(target.database), 0},
    {"transport", BENCH_TEXT, AT(transport), 0},
    {"tls", BENCH_FLAG, AT(target.tls), 0},
    {"server", BENCH_TEXT, AT(server), 0},
    {"contender", BENCH_TEXT, AT(contender), 0},
    {"one", BENCH_TEXT, AT(one), 0},
    {"connections", BENCH_NUMBER, AT(connections), 128},
    {"in-flight", BENCH_NUMBER, AT(in_flight), 64},
    {"serve", BENCH_TEXT, AT(serve), 0},
    {"peers", BENCH_TEXT, AT(peers), 0},
};
enum { ROWS = sizeof rows / sizeof *rows };

static void check(struct bench_options *o)
{
    if (strcmp(o->transport, "tcp") && strcmp(o->transport, "unix")) bench_die("--transport: unix or tcp");
    o->tcp = !strcmp(o->transport, "tcp");
    if (o->server && strcmp(o->server, "real") && strcmp(o->server, "null")) bench_die("--server: real or null");
    if (o->target.host && !o->one && o->tcp == bench_is_unix(&o->target)) bench_die("--host and --transport differ");
    if (o->target.tls && !o->tcp) bench_die("--tls: needs --transport tcp");
    if (o->target.tls) o->server = "real", o->no_strace = true;
    if (o->grid) o->no_strace = true;
    if (!o->repetitions) o->repetitions = o->quick ? 3 : 5;
    if (o->seconds == 0) o->seconds = o->quick ? 0.5 : 1.5;
    if (!(o->seconds >= 0.01 && o->seconds <= 600)) bench_die("--seconds: 0.01 to 600");
    if (o->repetitions < 3 && !o->queries) bench_die("--repetitions: at least 3");
}

struct bench_options bench_options(int argc, char **argv)
{
    struct bench_options options = {.target = {.port = BENCH_PORT, .user = "postgres", .database = "postgres"},
                                    .transport = "tcp",
                                    .connections = 8,
                                    .in_flight = 8};
    bench_read_options(argc, argv, rows, ROWS, usage, &options);
    check(&options);
    return options;
}
