/* The options of the selects: those that no other part has, and the checks that a run rests on. */
#include <string.h>
#include "bench.h"

static const char usage[] =
    "ringpg_bench [options]\n"
    "  --grid                   1, 4, 16 and 64 connections, each with 1, 4, 16 and 64 in flight; no system calls\n"
    "  --plot FILE              write a picture of the figures, as SVG\n"
    "  --queries N              of each run, instead of a time; else there are at least 3 repetitions\n"
    "  --transport unix|tcp     of the null server; must fit --host\n"
    "  --tls                    only the real server, encrypted; without the floor, which speaks no TLS\n"
    "  --server real|null       only this one\n"
    "  --peers DIR              other drivers too: programs in DIR, see peer.c; by TCP, no TLS\n"
    "  --no-strace              do not count system calls\n"
    "  --no-table               the table bench_select is there already, and stays\n"
    "  --one NAME --connections C --in-flight D   a single run of --queries N, for profilers; makes no table\n"
    "  --serve H --port P       only the null server, until it is ended\n";

#define AT(member) offsetof(struct bench_options, member)

static const struct bench_option rows[] = {
    {"grid", BENCH_FLAG, AT(grid), 0},
    {"no-strace", BENCH_FLAG, AT(no_strace), 0},
    {"plot", BENCH_TEXT, AT(plot), 0},
    {"queries", BENCH_NUMBER, AT(queries), 100000000},
    {"transport", BENCH_TEXT, AT(transport), 0},
    {"tls", BENCH_FLAG, AT(common.target.tls), 0},
    {"server", BENCH_TEXT, AT(server), 0},
    {"one", BENCH_TEXT, AT(one), 0},
    {"connections", BENCH_NUMBER, AT(connections), 128},
    {"in-flight", BENCH_NUMBER, AT(in_flight), 64},
    {"serve", BENCH_TEXT, AT(serve), 0},
    {"peers", BENCH_TEXT, AT(peers), 0},
    {"no-table", BENCH_FLAG, AT(common.no_table), 0},
};

static const struct bench_part part = {.usage = usage,
                                       .rows = rows,
                                       .count = sizeof rows / sizeof *rows,
                                       .repetitions = 5,
                                       .seconds = 1.5,
                                       .quick_seconds = 0.2,
                                       .seconds_max = 600,
                                       .serverless = true};

static void check(struct bench_options *o)
{
    const struct bench_target *target = &o->common.target;
    if (strcmp(o->transport, "tcp") && strcmp(o->transport, "unix")) bench_die("--transport: unix or tcp");
    o->tcp = !strcmp(o->transport, "tcp");
    if (o->server && strcmp(o->server, "real") && strcmp(o->server, "null")) bench_die("--server: real or null");
    if (target->host && !o->one && o->tcp == bench_is_unix(target)) bench_die("--host and --transport differ");
    if (target->tls && !o->tcp) bench_die("--tls: needs --transport tcp");
    if (target->tls) o->server = "real", o->no_strace = true;
    if (o->grid) o->no_strace = true;
    if (o->common.seconds < 0.01) bench_die("--seconds: at least 0.01");
    if (o->common.repetitions < 3 && !o->queries) bench_die("--repetitions: at least 3");
}

struct bench_options bench_options(int argc, char **argv)
{
    struct bench_options options = {.transport = "tcp", .connections = 8, .in_flight = 8};
    bench_read_part(argc, argv, &part, &options.common);
    check(&options);
    return options;
}
