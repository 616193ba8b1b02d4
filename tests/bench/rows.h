/* The benchmark's part rows: a million rows of five columns from a real server, every value taken out as C's own,
 * ringpg beside libpq.
 *
 * A contender has one connection, runs `sql` there once and adds each row to its sum; the meter, which it starts when
 * the connection stands and tells the rows when their memory is given back, says what that cost. */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H
#include <string.h>
#include "bench.h"

struct rows_shape {
    const struct bench_target *target;
    const char *sql; /* int4, int8, text, timestamptz, numeric(12, 2) */
    bool text;       /* the format of the results */
    bool whole;      /* libpq: one PGresult of all rows, else one for each */
};

/* One row as its user wants it. */
struct rows_values {
    int32_t id;
    int64_t big;
    const char *name;
    size_t name_size;
    int64_t at;    /* us since 2000 */
    int64_t cents; /* amount * 100  */
};
/* The same for the same rows in any order: a server may begin to read a table in its middle. */
struct rows_sum {
    uint64_t rows, sum;
};

static inline uint64_t rows_mix(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 32;
}

/* Every bit of every value, and not much work: it is the same for all contenders, and none of what is compared. */
static inline void rows_add(struct rows_sum *sum, const struct rows_values *v)
{
    uint64_t row = rows_mix((uint64_t)v->id, (uint64_t)v->big), word;
    row = rows_mix(rows_mix(row, (uint64_t)v->at), (uint64_t)v->cents);
    row = rows_mix(row, v->name_size);
    for (size_t at = 0; at + sizeof word <= v->name_size; at += sizeof word) {
        memcpy(&word, v->name + at, sizeof word);
        row = rows_mix(row, word);
    }
    word = 0;
    for (size_t at = v->name_size & ~(sizeof word - 1); at < v->name_size; at++)
        word = word << 8 | (unsigned char)v->name[at];
    sum->sum += rows_mix(row, word);
    sum->rows++;
}

typedef void rows_run(const struct rows_shape *shape, struct bench_meter *meter, struct rows_sum *sum);
rows_run rows_ringpg_run, rows_libpq_run;
#endif
