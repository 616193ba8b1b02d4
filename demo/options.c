/* options.c - the command line, and joining options to a connection string of either form. */
#include "options.h"
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "ringpg_demo [--reactors N] [--port P] [--pool 'OPTIONS'] [--budget N] [--host uring|epoll]\n"
    "  An HTTP server that answers from the PostgreSQL of DATABASE_URL.\n"
    "  --reactors N   threads, each with its own ring and its own pool; default: one per core\n"
    "  --port P       on 127.0.0.1; default: a free one, which is printed\n"
    "  --pool O       added to the connection string, as in 'pool_max_conns=2 pool_max_waiters=500'\n"
    "  --budget N     connections of all reactors together; default: each for itself\n"
    "  --host H       uring or epoll; default: uring where the kernel allows it\n";

static bool parse_number(const char *text, unsigned long limit, unsigned *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > limit) return false;
    *out = (unsigned)value;
    return true;
}

int options_parse(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        { "reactors", required_argument, NULL, 'r' }, { "port", required_argument, NULL, 'p' },
        { "pool", required_argument, NULL, 'o' },     { "host", required_argument, NULL, 'h' },
        { "budget", required_argument, NULL, 'b' },   { "help", no_argument, NULL, '?' },
        { NULL, 0, NULL, 0 },
    };
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *options = (struct options){ .reactors = cores > 0 ? (unsigned)cores : 1, .pool = "" };
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        bool good = true;
        switch (c) {
        case 'r': good = parse_number(optarg, 1024, &options->reactors) && options->reactors > 0; break;
        case 'p': good = parse_number(optarg, 65535, &options->port); break;
        case 'o': options->pool = optarg; break;
        case 'b': good = parse_number(optarg, 1000000, &options->budget) && options->budget > 0; break;
        case 'h':
            good = !strcmp(optarg, "uring") || !strcmp(optarg, "epoll");
            options->host = !strcmp(optarg, "uring") ? HOST_URING : HOST_EPOLL;
            break;
        default:
            if (optopt) return -1;                   /* getopt has said what is wrong */
            fputs(help, stdout);
            return 1;
        }
        if (good) continue;
        fprintf(stderr, "ringpg_demo: wrong value \"%s\"; --help lists the options\n", optarg);
        return -1;
    }
    if (optind == argc) return 0;
    fprintf(stderr, "ringpg_demo: unexpected argument \"%s\"\n", argv[optind]);
    return -1;
}

/* ---- connection strings ------------------------------------------------------------------------------------------ */
struct text { char *at; size_t used, capacity; bool full; };

static void put(struct text *out, char c)
{
    if (out->used + 1 >= out->capacity) out->full = true;
    else out->at[out->used++] = c;
}

static void put_all(struct text *out, const char *s)
{
    while (*s) put(out, *s++);
}

/* Percent-encoding. Source: RFC 3986, 2.1 to 2.3. */
static void put_encoded(struct text *out, char c)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    static const char hex[] = "0123456789ABCDEF";
    if (strchr(plain, c)) {
        put(out, c);
        return;
    }
    put(out, '%');
    put(out, hex[(unsigned char)c >> 4]);
    put(out, hex[(unsigned char)c & 15]);
}

static const char *skip_space(const char *at) { return at + strspn(at, " \t\r\n"); }

/* One value of a keyword/value string: plain or in single quotes, a backslash protects. Returns what follows, NULL:
 * the quote does not end. Source: PostgreSQL, "Keyword/Value Connection Strings". */
static const char *encode_value(struct text *out, const char *at)
{
    bool quoted = *at == '\'';
    at += quoted;
    for (; *at && (quoted ? *at != '\'' : !strchr(" \t\r\n", *at)); at++) {
        if (*at == '\\' && at[1]) at++;
        put_encoded(out, *at);
    }
    if (quoted && *at != '\'') return NULL;
    return at + quoted;
}

static int append_as_query(struct text *out, const char *base, const char *more)
{
    char separator = strchr(base, '?') ? '&' : '?';
    for (more = skip_space(more); *more; more = skip_space(more)) {
        size_t name = strcspn(more, "= \t\r\n");
        const char *equals = skip_space(more + name);
        if (name == 0 || *equals != '=') return -1;
        put(out, separator);
        separator = '&';
        for (size_t i = 0; i < name; i++) put_encoded(out, more[i]);
        put(out, '=');
        more = encode_value(out, skip_space(equals + 1));
        if (!more) return -1;
    }
    return 0;
}

int conninfo_join(char *out, size_t capacity, const char *base, const char *more)
{
    struct text text = { .at = out, .capacity = capacity };
    int rc = 0;
    if (!base) base = "";
    put_all(&text, base);
    if (!strncmp(base, "postgres://", 11) || !strncmp(base, "postgresql://", 13)) {
        rc = append_as_query(&text, base, more);
    } else if (*skip_space(more)) {
        put(&text, ' ');
        put_all(&text, more);
    }
    out[text.used] = '\0';
    return rc ? rc : text.full ? -2 : 0;
}
