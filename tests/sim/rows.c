/* sim/rows.c - how a handler takes its rows: one after the other, in pieces, or kept until the outcome. However it
 * does, all must be there, in order, and its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conn/query.h"
#include "sim/ask.h"
#include "sim/pg_sim.h"

/* A text that is its token's alone, over and over again. */
enum { LETTERS = 26 };

static char letter(const struct ask *a, size_t i)
{
    return (char)('a' + ((uint64_t)a->token + i * 7) % LETTERS);
}

void rows_write_text(struct ask *a)
{
    for (size_t i = 0; i < a->payload; i++) a->text[i] = i < LETTERS ? letter(a, i) : a->text[i - LETTERS];
}

static void check_text(const struct ask *a, struct pg_text text)
{
    REQUIRE(text.size == a->payload, "%s %lld: %zu bytes came back of %zu", ask_name(a->kind), (long long)a->token,
            text.size, a->payload);
    for (size_t i = 0; i < text.size && i < LETTERS; i++)
        REQUIRE(text.data[i] == letter(a, i), "%s %lld: byte %zu is another's", ask_name(a->kind),
                (long long)a->token, i);
    REQUIRE(text.size <= LETTERS || !memcmp(text.data, text.data + LETTERS, text.size - LETTERS),
            "%s %lld: a later byte is another's", ask_name(a->kind), (long long)a->token);
}

static void check_row(const struct ask *a, struct pg_row *row)
{
    unsigned habits = ask_habits(a->kind);
    int64_t value = 0;
    if (a->kind == ASK_GETTER) {
        REQUIRE(pg_row_int8(row, 0) == 0 && pg_row_mark(row) == PG_E_VALUE,
                "text was read as a number without a complaint");
        return;
    }
    if (habits & PAYLOAD) {
        check_text(a, pg_row_text(row, 0));
    } else if (a->kind == ASK_ECHO_SQL) {
        char digits[24] = "";
        struct pg_text text = pg_row_text(row, 0);
        memcpy(digits, text.data, text.size < sizeof digits - 1 ? text.size : sizeof digits - 1);
        value = strtoll(digits, NULL, 10);
        REQUIRE(value == a->token, "echo sql %lld was answered by %lld", (long long)a->token, (long long)value);
    } else if (habits & (TOKEN | ROWS)) {
        value = pg_row_int8(row, 0);
        int64_t due = a->token + (int64_t)(habits & ROWS ? a->rows : 0);
        REQUIRE(value == due, "%s %lld: %lld came where %lld was due", ask_name(a->kind), (long long)a->token,
                (long long)value, (long long)due);
        if (habits & ROWS) REQUIRE(pg_row_is_null(row, 1) && pg_row_columns(row) == 2, "rows: the second column");
    }
    REQUIRE(pg_row_mark(row) == 0, "%s: a getter complained", ask_name(a->kind));
}

static void resume(void *arg)
{
    struct run *r;
    uint32_t id = actor_id(arg, &r);
    struct ask *a = table_find(&r->asks, id);
    if (r->scene->over || !a || !a->paused) return;
    a->over = pg_row_columns(a->paused) == 0;
    a->rows--; /* it is looked at once more: nothing may have moved below it */
    if (!a->over) check_row(a, a->paused);
    a->rows++;
    a->paused = NULL;
    CALL(r, pg_query_resume(&a->query));
}

/* In the midst of its rows; and the answer, of PG_PAUSE not more than the wish for it. */
static enum pg_flow do_something(struct run *r, struct ask *a, uint32_t id)
{
    act_in_callback(r);
    if (table_find(&r->asks, id) != a) return pick(r, 2) ? PG_CONTINUE : PG_PAUSE; /* it has abandoned itself */
    if (chance(r, r->set.stops)) {
        a->stopped = true;
        return PG_STOP;
    }
    return chance(r, r->set.pauses) ? PG_PAUSE : PG_CONTINUE;
}

static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    struct ask *a = q->data;
    struct run *r = a->run;
    uint32_t id = a->live.id;
    REQUIRE(!r->calling, "on_row inside of a call");
    REQUIRE(!a->stopped && !a->paused && !a->over, "%s: a row came although it was %s", ask_name(a->kind),
            a->stopped  ? "stopped"
            : a->paused ? "paused"
                        : "over");
    noted(r, (uint64_t)a->token);
    check_row(a, row);
    a->rows++;
    enum pg_flow flow = do_something(r, a, id);
    if (flow != PG_PAUSE || table_find(&r->asks, id) != a || !a->holder) return flow; /* no pause on the shared lane */
    a->paused = row;
    if (pick(r, 8) == 0) { /* resumed before it was told: no pause at all */
        a->paused = NULL;
        CALL(r, pg_query_resume(q));
        return PG_PAUSE;
    }
    sim_after(r->sim, pick(r, 30) * pick(r, 30) * 100000, resume, actor_ref(r, id));
    return PG_PAUSE;
}

/* ---- in pieces ---- */

static void check_piece(const struct ask *a, const struct pg_chunk *c)
{
    unsigned habits = ask_habits(a->kind);
    const char *name = ask_name(a->kind);
    REQUIRE(c->value.column == a->column && c->offset == a->piece_at, "%s: a piece of another place", name);
    REQUIRE(c->size > PG_CHUNK_WHOLE || c->value.size == c->size, "%s: a small value comes in pieces", name);
    if (a->column == 1) {
        REQUIRE(habits & ROWS && pg_is_null(c->value) && c->last, "%s: the second column", name);
    } else if (habits & (PAYLOAD | PIECES)) {
        REQUIRE(c->size == a->payload && c->offset + c->value.size <= c->size &&
                    c->last == (c->offset + c->value.size == c->size),
                "%s: %u bytes at %u of %u, and %zu are due", name, c->value.size, c->offset, c->size, a->payload);
        for (uint32_t i = 0; habits & PAYLOAD && i < c->value.size; i++)
            REQUIRE((char)c->value.data[i] == letter(a, (c->offset + i) % LETTERS), "%s: a byte is another's", name);
    } else {
        int64_t due = a->token + (int64_t)(habits & ROWS ? a->rows : 0), value = pg_value_int8(c->value);
        REQUIRE(value == due, "%s: %lld in pieces where %lld was due", name, (long long)value, (long long)due);
    }
}

static void resume_pieces(void *arg)
{
    struct run *r;
    uint32_t id = actor_id(arg, &r);
    struct ask *a = table_find(&r->asks, id);
    if (r->scene->over || !a || !a->paused_piece) return;
    bool there = rp_query(&a->query)->waiter.place == RP_PLACE_ACTIVE;
    if (there && ask_habits(a->kind) & PAYLOAD) /* nothing may have moved below it */
        for (uint32_t i = 0; i < a->piece.size; i++)
            REQUIRE(a->piece.data[i] == letter(a, (a->piece_seen + i) % LETTERS), "a paused piece has changed");
    a->over = !there;
    a->paused_piece = false;
    CALL(r, pg_query_resume(&a->query));
}

static enum pg_flow on_chunk(struct pg_query *q, const struct pg_chunk *c)
{
    struct ask *a = q->data;
    struct run *r = a->run;
    uint32_t id = a->live.id;
    REQUIRE(!r->calling, "on_chunk inside of a call");
    REQUIRE(!a->stopped && !a->paused_piece && !a->over, "%s: a piece came and was not to", ask_name(a->kind));
    noted(r, (uint64_t)a->token);
    check_piece(a, c);
    a->piece = (struct pg_text){ (const char *)c->value.data, c->value.size };
    a->piece_seen = c->offset;
    a->piece_at = c->offset + c->value.size;
    if (a->piece_at == c->size) a->piece_at = 0, a->column++;
    if (c->last) a->column = 0, a->rows++;
    enum pg_flow flow = do_something(r, a, id);
    if (flow != PG_PAUSE || table_find(&r->asks, id) != a || !a->holder) return flow; /* no pause on the shared lane */
    if (pick(r, 8) == 0) {
        CALL(r, pg_query_resume(q));
        return PG_PAUSE;
    }
    a->paused_piece = true;
    sim_after(r->sim, pick(r, 30) * pick(r, 30) * 100000, resume_pieces, actor_ref(r, id));
    return PG_PAUSE;
}

/* ---- kept ---- */

enum { KEPT_MOST = 20000 };

void rows_check_kept(struct ask *a)
{
    uint32_t count = a->kept ? a->kept->count : 0;
    REQUIRE(!a->kept || a->query.status != PG_OK || count == a->due_rows, "%u rows are kept of %llu", count,
            (unsigned long long)a->due_rows);
    for (a->rows = a->kept ? 0 : a->rows; a->kept && a->rows < count;) {
        check_row(a, pg_rows_at(a->kept, (uint32_t)a->rows));
        a->rows++;
    }
}

static void keep(struct ask *a)
{
    size_t capacity = pick(a->run, pick(a->run, 4) ? KEPT_MOST : 300);
    a->kept = heap_actor(sizeof *a->kept + capacity);
    a->kept->buffer = a->kept + 1;
    a->kept->capacity = capacity;
    a->query.collect = a->kept;
}

void rows_choose(struct ask *a)
{
    struct run *r = a->run;
    unsigned habits = ask_habits(a->kind);
    bool either = habits & (TOKEN | PAYLOAD | ROWS) && !(habits & FAILS) && a->kind != ASK_ECHO_SQL;
    uint64_t way = either ? pick(r, 8) : 2;
    if (way == 0 || habits & PIECES) a->query.on_chunk = on_chunk;
    else if (way == 1) keep(a);
    else a->query.on_row = on_row;
}
