/* copies.h - a COPY of a test: writes or takes numbered lines, and remembers what it was told; and a server that does
 * with them as the SQL says. Included by test_pool_copy*.c and test_await_copy.c. */
#ifndef UNIT_COPIES_H
#define UNIT_COPIES_H
#include "support/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "reactor/state.h"

#define UNUSED __attribute__((unused))

struct copies {
    struct world w;
    struct held h;
    struct { uint64_t lines; unsigned times; bool wrong; } received; /* by the server */
};

/* ---- line n, from 1: its number, and as many letters as follow from it ---- */

static inline size_t line_of(char out[128], uint64_t n)
{
    return (size_t)snprintf(out, 128, "%llu\t%.*s\n", (unsigned long long)n, (int)(n * 7 % 60),
                            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnop");
}

/* ---- the server: OUT n [words], IN [words] ---- */

static inline bool says(const char *sql, const char *word) { return strstr(sql, word) != NULL; }

static inline void answer_out(struct model_query *q, const char *sql)
{
    char line[128], tag[32];
    uint64_t n = strtoull(sql + strlen("OUT "), NULL, 10);
    if (says(sql, "binary")) model_copy_format(q, true, 3);
    model_copy_out(q);
    for (uint64_t i = 1; i <= n; i++) {
        if (i == n / 2 + 1 && says(sql, "slow")) model_pause(q, 300 * (uint64_t)WORLD_MS);
        model_copy_data(q, line, line_of(line, i));
    }
    snprintf(tag, sizeof tag, "COPY %llu", (unsigned long long)n);
    if (says(sql, "refuse")) model_error(q, "22012", "division by zero");
    else model_copy_done(q, tag);
}
static inline void answer_in(struct model_query *q, const char *sql)
{
    if (says(sql, "binary")) model_copy_format(q, true, 2);
    if (says(sql, "refuse")) model_copy_refuse(q, 100000, "23505", "duplicate key");
    if (says(sql, "late")) model_copy_refuse(q, SIZE_MAX, "23514", "check violated");
    if (says(sql, "slow")) model_copy_slow(q, 10000, 2 * WORLD_MS);
    if (says(sql, "drowsy")) model_copy_slow(q, 1, 30 * WORLD_MS);
    model_copy_in(q);
}
static inline void copies_answer(void *arg, struct model_query *q)
{
    const char *sql = model_sql(q);
    (void)arg;
    if (says(sql, "delay") && !model_describing(q)) model_delay(q, 50 * WORLD_MS);
    if (!strncmp(sql, "OUT ", 4)) answer_out(q, sql);
    else if (!strncmp(sql, "IN", 2) && strncmp(sql, "INSERT", 6)) answer_in(q, sql);
}
static inline void copied(void *arg, struct model_query *q, const uint8_t *at, size_t n)
{
    struct copies *c = arg;
    char line[128];
    (void)q;
    c->received.lines = 0;
    c->received.times++;
    for (size_t used = 0; used < n; c->received.lines++) {
        size_t size = line_of(line, c->received.lines + 1);
        if (n - used < size || memcmp(at + used, line, size) != 0) c->received.wrong = true;
        used += size;
    }
}

static inline void copies_open_with(struct copies *c, const struct sim_config *sim, struct model_config server,
                                    const char *options)
{
    memset(c, 0, sizeof *c);
    server.answer = copies_answer;
    server.copied = copied;
    server.arg = c;
    world_open_with(&c->w, sim, &server, options);
    held_init(&c->h);
    pg_pool_acquire(c->w.pool, &c->h.lease);
    world_run(&c->w, 10 * WORLD_MS);
    assert_int_equal(c->h.grants, 1);
}
static inline void copies_open(struct copies *c)
{
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    copies_open_with(c, &sim, (struct model_config){ .exit_delay_ns = 200000 }, "pool_max_conns=1");
}

/* All that was borrowed is back. */
static inline void expect_nothing_lent(struct pg_reactor *r)
{
    size_t kept = 0;
    for (unsigned i = 0; i < RP_SLAB_CLASSES; i++) kept += r->slab[i].count * ((size_t)RP_SLAB_MIN << i);
    assert_int_equal(r->slab_used, kept);
}

/* The connection is nobody's and as good as before. */
static inline void copies_close(struct copies *c)
{
    pg_lease_abandon(&c->h.lease);
    world_run(&c->w, 10 * WORLD_SECOND);
    expect_nothing_lent(c->w.reactor);
    assert_int_equal(world_stats(&c->w).idle_conns, world_stats(&c->w).total_conns);
    world_close(&c->w);
}

/* ---- one COPY ---- */

struct job {
    struct pg_copy copy;
    struct pg_error error;
    struct copies *c;
    uint64_t lines, most; /* written or taken so far; as many are to be written, then the end is said */
    size_t offset;        /* of the line that is half written or taken */
    unsigned writable, chunks, done;
    int status;
    bool wrong, keeps_open;
    uint64_t pause_every, stop_at;
    const char *failure;  /* said at the end */
    char sqlstate[6];
};

static inline void take(struct job *j, const char *at, size_t n)
{
    char line[128];
    while (n) {
        size_t size = line_of(line, j->lines + 1), part = size - j->offset < n ? size - j->offset : n;
        if (memcmp(line + j->offset, at, part) != 0) j->wrong = true;
        j->offset += part;
        at += part;
        n -= part;
        if (j->offset < size) break;
        j->offset = 0;
        j->lines++;
    }
}
static inline enum pg_flow job_data(struct pg_copy *copy, struct pg_text chunk)
{
    struct job *j = copy->query.data;
    assert_int_equal(j->done, 0);
    j->chunks++;
    take(j, chunk.data, chunk.size);
    if (j->stop_at && j->lines == j->stop_at) return PG_STOP;
    return j->pause_every && j->lines % j->pause_every == 0 ? PG_PAUSE : PG_CONTINUE;
}
static inline void job_write(struct pg_copy *copy)
{
    struct job *j = copy->query.data;
    char line[128];
    assert_int_equal(j->done, 0);
    j->writable++;
    while (j->lines < j->most) {
        size_t size = line_of(line, j->lines + 1);
        size_t taken = pg_copy_write(copy, line + j->offset, size - j->offset);
        j->offset += taken;
        if (j->offset < size) return;
        j->offset = 0;
        j->lines++;
    }
    if (!j->keeps_open) pg_copy_finish(copy, j->failure);
}
static inline void job_done(struct pg_query *q)
{
    struct job *j = q->data;
    j->done++;
    j->status = q->status;
    memcpy(j->sqlstate, q->sqlstate, sizeof j->sqlstate);
}
static inline void job_init(struct job *j, struct copies *c, const char *sql, uint64_t most)
{
    *j = (struct job){ .c = c, .most = most };
    j->copy.query = (struct pg_query){ .sql = sql, .on_done = job_done, .error = &j->error, .data = j };
    j->copy.on_data = job_data;
    j->copy.on_writable = job_write;
}
static inline void job_start(struct job *j, struct copies *c, const char *sql, uint64_t most)
{
    job_init(j, c, sql, most);
    pg_lease_copy(&c->h.lease, &j->copy);
    assert_int_equal(j->done + j->writable + j->chunks, 0);
}
static inline void expect_ended(const struct job *j, int status, const char *sqlstate)
{
    assert_int_equal(j->done, 1);
    assert_string_equal(pg_error_name(j->status), pg_error_name(status));
    assert_string_equal(j->sqlstate, sqlstate);
    assert_false(j->wrong);
    if (status) assert_int_equal(j->error.code, status);
}
/* The same connection still serves. */
static inline void expect_serves(struct copies *c)
{
    struct seen s;
    seen_init(&s, &world_echo, 42);
    pg_lease_query(&c->h.lease, &s.query);
    world_run(&c->w, 5 * WORLD_SECOND);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.status, 0);
    assert_int_equal(s.value, 42);
    assert_int_equal(model_stats(c->w.server)->connections_total, 1);
}

#endif
