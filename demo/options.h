/* options.h - the demo's command line, and the connection string that it makes. */
#ifndef DEMO_OPTIONS_H
#define DEMO_OPTIONS_H
#include <stddef.h>

enum host_choice { HOST_BEST, HOST_URING, HOST_EPOLL }; /* BEST: a ring where the kernel allows one, else epoll */
struct options {
    unsigned reactors;
    unsigned port;                                   /* 0: any free one */
    enum host_choice host;
    unsigned budget;                                 /* 0: none */
    const char *pool;                                /* options in keyword/value form, for the connection string */
};

/* 0: go on; 1: --help was answered; -1: a mistake was reported on standard error. */
int options_parse(struct options *options, int argc, char **argv);

/* `base` (DATABASE_URL; NULL or "": libpq's defaults) with `more` ("key=value key='a value'") added: as they stand
 * behind a keyword/value string, translated to ?key=value&... behind a URI. 0; -1: `more` is no list of options; -2:
 * no room. */
int conninfo_join(char *out, size_t capacity, const char *base, const char *more);

#endif
