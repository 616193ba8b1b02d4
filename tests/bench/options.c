/* The benchmark's options: one table of names, and the checks that a run rests on. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

static const char usage[] =
    "ringpg_bench [options]\n"
    "  --quick                  fewer and shorter repetitions, fewer shapes\n"
    "  --json FILE              write the figures as a list of rows\n"
    "  --repetitions N          at least 3 unless --queries is given; default 5, quick 3\n"
    "  --seconds S              of each run; default 1.5, quick 0.5\n"
    "  --queries N              of each run, instead of a time\n"
    "  --host H --port P        the real server: the folder of its Unix socket, or an IPv4 address\n"
    "  --user U --database D    who it lets in without a password\n"
    "  --transport unix|tcp     of the null server; must fit --host\n"
    "  --tls                    only the real server, encrypted; without the floor, which speaks no TLS\n"
    "  --server real|null, --contender NAME   only these\n"
    "  --no-strace              do not count system calls\n"
    "  --one NAME --connections C --in-flight D   a single run of --queries N, for profilers\n"
    "  --serve H --port P       only the null server, until it is ended\n";

enum kind { FLAG, NUMBER, REAL, TEXT };
struct row {
    const char *name;
    enum kind kind;
    size_t at;    /* of the member in struct bench_options */
    unsigned max; /* of a number */
};
#define AT(member) offsetof(struct bench_options, member)

static const struct row rows[] = {
    {"quick", FLAG, AT(quick), 0},
    {"no-strace", FLAG, AT(no_strace), 0},
    {"json", TEXT, AT(json), 0},
    {"repetitions", NUMBER, AT(repetitions), BENCH_REPETITIONS_MAX},
    {"seconds", REAL, AT(seconds), 0},
    {"queries", NUMBER, AT(queries), 100000000},
    {"host", TEXT, AT(target.host), 0},
    {"port", NUMBER, AT(target.port), 65535},
    {"user", TEXT, AT(target.user), 0},
    {"database", TEXT, AT(target.database), 0},
    {"transport", TEXT, AT(transport), 0},
    {"tls", FLAG, AT(target.tls), 0},
    {"server", TEXT, AT(server), 0},
    {"contender", TEXT, AT(contender), 0},
    {"one", TEXT, AT(one), 0},
    {"connections", NUMBER, AT(connections), 128},
    {"in-flight", NUMBER, AT(in_flight), 64},
    {"serve", TEXT, AT(serve), 0},
};
enum { ROWS = sizeof rows / sizeof *rows };

static unsigned number(const char *text, unsigned max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || !value || value > max)
        bench_die("'%s' is no number from 1 to %u", text, max);
    return (unsigned)value;
}

static void store(struct bench_options *options, const struct row *row, const char *text)
{
    void *member = (char *)options + row->at;
    switch (row->kind) {
    case FLAG:
        *(bool *)member = true;
        break;
    case NUMBER:
        *(unsigned *)member = number(text, row->max);
        break;
    case REAL:
        *(double *)member = strtod(text, NULL);
        break;
    case TEXT:
        *(const char **)member = text;
        break;
    }
}

static void check(struct bench_options *o)
{
    if (strcmp(o->transport, "tcp") && strcmp(o->transport, "unix")) bench_die("--transport: unix or tcp");
    o->tcp = !strcmp(o->transport, "tcp");
    if (o->server && strcmp(o->server, "real") && strcmp(o->server, "null")) bench_die("--server: real or null");
    if (o->target.host && !o->one && o->tcp == bench_is_unix(&o->target)) bench_die("--host and --transport differ");
    if (o->target.tls && !o->tcp) bench_die("--tls: needs --transport tcp");
    if (o->target.tls) o->server = "real", o->no_strace = true;
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
    struct option names[ROWS + 2] = {{"help", no_argument, NULL, ROWS}};
    for (int i = 0; i < ROWS; i++)
        names[i + 1] = (struct option){rows[i].name, rows[i].kind == FLAG ? no_argument : required_argument, NULL, i};

    for (int row; (row = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (row == ROWS) {
            printf("%s", usage);
            exit(0);
        }
        if (row == '?') bench_die("unknown or incomplete option\n%s", usage);
        store(&options, &rows[row], optarg);
    }
    if (optind != argc) bench_die("'%s' is no option\n%s", argv[optind], usage);
    check(&options);
    return options;
}
