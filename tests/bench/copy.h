/* The benchmark's part copy: COPY out and in, ringpg beside libpq, in one run on one server.
 *
 * A contender has one connection, runs the setup there and then the same COPY over and over until the meter says that
 * it is enough; `answered` counts the bytes of the rows, in whichever direction. */
#ifndef BENCH_COPY_H
#define BENCH_COPY_H
#include "bench.h"

struct copy_shape {
    const struct bench_target *target;
    const char *setup, *sql;
    bool in;
    const char *rows; /* in: what is written, ... */
    size_t size;      /* ... so many bytes of it, from the beginning again until there are `total` */
    size_t piece;     /* bytes of a call                                                           */
    size_t total;
};
typedef void copy_run(const struct copy_shape *shape, struct bench_meter *meter);
copy_run copy_ringpg_run, copy_libpq_run;

enum { COPY_TICK_BYTES = 64 * 1024 }; /* the meter is asked no more often than that */
#endif
