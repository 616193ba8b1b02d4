/* ringpg's handlers in a closed loop: each sends its next query from the outcome of its last, in one lane or the other,
 * until the meter says that it is enough (ringpg.c). What is counted, and measured, are the rows of the answers: for
 * the usual statement one each. */
#ifndef BENCH_RINGPG_LOAD_H
#define BENCH_RINGPG_LOAD_H
#include "bench.h"

struct ringpg_load {
    const struct bench_target *target;
    unsigned connections; /* all of them stand before the first query. 0: as the pool makes them by itself */
    unsigned handlers;
    bool lease;           /* acquire (parked mostly), query, release; else the shared lane */
    const char *options;  /* further ones of the connection string; NULL: none */
    const char *sql;      /* another statement than the usual, without parameters, with one column of int4 */
    unsigned first, rows; /* its answer: so many rows, counting from there */
    unsigned statements;  /* so many texts for it, which all queries take in turn; 0: one */
    bool run_time;        /* the texts are given with each query, and not declared */
    unsigned warm_up;     /* answers before the meter begins, beside its own warm-up */
};
void ringpg_load_run(const struct ringpg_load *load, struct bench_meter *meter);
#endif
