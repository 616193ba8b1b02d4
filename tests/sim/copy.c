/* sim/copy.c - COPY on a lease, from both ends: what a handler writes and reads, at its own pace and with all that it
 * may do meanwhile, and what the server makes of it. Lines of fixed width follow from the token alone, so that every
 * byte has one place: what comes is compared at its offset, and what went in must be whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sim/pg_sim.h"

enum { WIDTH = 32, DIGITS = 20 };

/* "00000000000000000042\tmnopqrstuv\n": the first line has the first key, the last one the second, others 0. */
struct lines { int64_t token, key[2]; uint64_t count; };

static void write_bytes(const struct lines *l, uint64_t offset, char *to, size_t n)
{
    char line[WIDTH + 1];
    while (n) {
        uint64_t which = offset / WIDTH, at = offset % WIDTH;
        int64_t key = which == 0 ? l->key[0] : which == l->count - 1 ? l->key[1] : 0;
        memset(line, '0', DIGITS);
        line[DIGITS] = '\t';
        if (key) snprintf(line, sizeof line, "%0*lld\t", DIGITS, (long long)key);
        for (int i = 0; i < WIDTH - DIGITS - 2; i++)
            line[DIGITS + 1 + i] = (char)('a' + ((uint64_t)l->token + which + (uint64_t)i * 7) % 26);
        line[WIDTH - 1] = '\n';
        size_t part = WIDTH - at < n ? WIDTH - at : n;
        memcpy(to, line + at, part);
        to += part;
        offset += part;
        n -= part;
    }
}

static void check_bytes(const struct lines *l, uint64_t offset, const char *at, size_t n)
{
    char due[256];
    REQUIRE(offset + n <= l->count * WIDTH, "COPY %lld: more came than there is", (long long)l->token);
    for (size_t part; n; at += part, offset += part, n -= part) {
        part = n < sizeof due ? n : sizeof due;
        write_bytes(l, offset, due, part);
        REQUIRE(!memcmp(at, due, part), "COPY %lld: what stands at %llu belongs elsewhere", (long long)l->token,
                (unsigned long long)offset);
    }
}

static struct lines lines_of_sql(const char *sql)
{
    struct lines l = { 0 };
    char *end;
    l.token = strtoll(sql + strcspn(sql, " "), &end, 10);
    l.count = strtoull(end, &end, 10);
    for (int i = 0; i < 2; i++) l.key[i] = strtoll(end, &end, 10);
    return l;
}

/* ---- the server ---- */

static void answer_out(struct run *r, struct model_query *q)
{
    struct lines l = lines_of_sql(model_sql(q));
    uint64_t largest = pick(r, 4) ? 3 : 2000, size = l.count * WIDTH, stop = size;
    char *at = malloc(size), tag[40];
    bool fails = !r->scene->healed && chance(r, r->set.server_error);
    if (!at) sim_fail("out of memory");
    write_bytes(&l, 0, at, size);
    model_copy_format(q, false, 2);
    model_copy_out(q);
    if (fails) stop = pick(r, size + 1);
    for (uint64_t offset = 0, n; offset < stop; offset += n) {
        n = (1 + pick(r, largest)) * WIDTH;
        if (n > stop - offset) n = stop - offset;
        model_copy_data(q, at + offset, n);
        if (chance(r, r->set.notice)) model_notice(q, "01000", "be warned");
        if (chance(r, r->set.delay / 20)) model_pause(q, pick(r, r->set.delay_ns + 1));
    }
    free(at);
    snprintf(tag, sizeof tag, "COPY %llu", (unsigned long long)l.count);
    if (fails) model_error(q, "22P02", "invalid input");
    else model_copy_done(q, tag);
}

static void answer_in(struct run *r, struct model_query *q)
{
    struct lines l = lines_of_sql(model_sql(q));
    model_copy_format(q, false, 2);
    model_copy_keys(q);
    if (!r->scene->healed && chance(r, r->set.server_error))
        model_copy_refuse(q, pick(r, 3) ? pick(r, l.count * WIDTH) : SIZE_MAX, "23505", "duplicate key");
    if (chance(r, r->set.delay)) model_copy_slow(q, 1 + pick(r, 5000), pick(r, r->set.delay_ns / 4 + 1));
    model_copy_in(q);
}

bool copy_answer(struct run *r, struct model_query *q)
{
    bool out = !strncmp(model_sql(q), "COPYTO ", 7), in = !strncmp(model_sql(q), "COPYFROM ", 9);
    if (out) answer_out(r, q);
    if (in) answer_in(r, q);
    return out || in;
}

void copy_arrived(void *arg, struct model_query *q, const uint8_t *at, size_t n)
{
    (void)arg;
    if (strncmp(model_sql(q), "COPYFROM ", 9) != 0) return;
    struct lines l = lines_of_sql(model_sql(q));
    check_bytes(&l, 0, (const char *)at, n);
    REQUIRE(n == l.count * WIDTH, "COPY %lld: ended as if it was whole, with %zu bytes of %llu", (long long)l.token, n,
            (unsigned long long)l.count * WIDTH);
}

/* ---- the handler ---- */

static struct lines lines_of(const struct ask *a) { return lines_of_sql(a->copy.query.sql); }

static void write_later(void *arg);

/* As much as is taken, in pieces; then the end, or a pause of its own, or a change of mind. */
static void write_more(struct ask *a)
{
    struct run *r = a->run;
    struct lines l = lines_of(a);
    char piece[3000];
    while (a->moved < l.count * WIDTH) {
        uint64_t left = l.count * WIDTH - a->moved;
        size_t n = 1 + pick(r, pick(r, 4) ? sizeof piece : 50), taken;
        if (n > left) n = (size_t)left;
        if (chance(r, r->set.stops / 20)) break;
        write_bytes(&l, a->moved, piece, n);
        CALL(r, taken = pg_copy_write(&a->copy, piece, n));
        REQUIRE(taken <= n, "pg_copy_write took %zu bytes of %zu", taken, n);
        a->moved += taken;
        if (taken < n) return; /* on_writable */
        if (!chance(r, r->set.pauses / 4)) continue;
        sim_after(r->sim, pick(r, 30) * pick(r, 30) * 10000, write_later, actor_ref(r, a->live.id));
        return;
    }
    bool whole = a->moved == l.count * WIDTH && !chance(r, r->set.stops / 4);
    if (!whole) a->called_off = true;
    a->over = true;
    CALL(r, pg_copy_finish(&a->copy, whole ? NULL : "changed its mind"));
    if (pick(r, 8) == 0) CALL(r, pg_copy_finish(&a->copy, "again"));
}

static void write_later(void *arg)
{
    struct run *r;
    uint32_t id = actor_id(arg, &r);
    struct ask *a = table_find(&r->asks, id);
    if (!r->scene->over && a && !a->over) write_more(a);
}

static void on_writable(struct pg_copy *copy)
{
    struct ask *a = copy->query.data;
    struct run *r = a->run;
    uint32_t id = a->live.id;
    REQUIRE(!r->calling, "on_writable inside of a call");
    REQUIRE(!a->over, "there is room for what was ended");
    REQUIRE(pg_copy_direction(copy) == PG_COPY_IN && pg_copy_columns(copy) == 2, "on_writable, and it copies not in");
    noted(r, (uint64_t)a->token);
    act_in_callback(r);
    if (table_find(&r->asks, id) == a) write_more(a);
}

static void resume(void *arg)
{
    struct run *r;
    uint32_t id = actor_id(arg, &r);
    struct ask *a = table_find(&r->asks, id);
    if (r->scene->over || !a || !a->data_paused) return;
    a->data_paused = false;
    CALL(r, pg_query_resume(&a->query));
}

static enum pg_flow on_data(struct pg_copy *copy, struct pg_text chunk)
{
    struct ask *a = copy->query.data;
    struct run *r = a->run;
    struct lines l = lines_of(a);
    uint32_t id = a->live.id;
    REQUIRE(!r->calling, "on_data inside of a call");
    REQUIRE(!a->stopped && !a->data_paused && chunk.size, "data came although it was %s",
            a->stopped ? "stopped" : a->data_paused ? "paused" : "none");
    REQUIRE(pg_copy_direction(copy) == PG_COPY_OUT && pg_copy_columns(copy) == 2, "on_data, and it copies not out");
    noted(r, (uint64_t)a->token);
    check_bytes(&l, a->moved, chunk.data, chunk.size);
    a->moved += chunk.size;
    act_in_callback(r);
    if (table_find(&r->asks, id) != a) return pick(r, 2) ? PG_CONTINUE : PG_PAUSE;
    if (chance(r, r->set.stops / 20)) {
        a->stopped = a->called_off = true; /* the server is asked to stop */
        return PG_STOP;
    }
    if (!chance(r, r->set.pauses / 4)) return PG_CONTINUE;
    if (pick(r, 8) == 0) { /* resumed before it was told: no pause at all */
        CALL(r, pg_query_resume(&a->query));
        return PG_PAUSE;
    }
    a->data_paused = true;
    sim_after(r->sim, pick(r, 30) * pick(r, 30) * 10000, resume, actor_ref(r, id));
    return PG_PAUSE;
}

/* `a->text` has room for 120 bytes. */
void copy_make(struct ask *a)
{
    struct run *r = a->run;
    uint64_t count = 2 + pick(r, pick(r, 4) ? 30 : 800);
    if (chance(r, r->set.large)) count += pick(r, 8000);
    if (a->kind == ASK_COPY_IN)
        snprintf(a->text, 120, "COPYFROM %lld %llu %lld %lld", (long long)a->token, (unsigned long long)count,
                 (long long)a->key[0], (long long)a->key[1]);
    else
        snprintf(a->text, 120, "COPYTO %lld %llu 0 0", (long long)a->token, (unsigned long long)count);
    a->query.sql = a->text;
    a->copy.on_data = on_data;
    a->copy.on_writable = on_writable;
}

void copy_check(const struct ask *a)
{
    struct lines l = lines_of(a);
    if (a->query.status != PG_OK) return;
    REQUIRE(a->query.rows == l.count, "COPY %lld: %llu rows of %llu", (long long)a->token,
            (unsigned long long)a->query.rows, (unsigned long long)l.count);
    REQUIRE(a->moved == l.count * WIDTH, "COPY %lld succeeded with %llu bytes of %llu", (long long)a->token,
            (unsigned long long)a->moved, (unsigned long long)l.count * WIDTH);
}
