/* unit/test_pool_pieces.c - rows in pieces (pg_query.on_chunk) from a model server on the simulated host: what arrives
 * is what was sent, however it was cut, and nobody needs memory for the whole of it. */
#define _GNU_SOURCE
#include "support/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 12, LARGEST = 3000000 };
/* Bytes of the text in each row. */
static const uint32_t sizes[ROWS] = { 0,     1, 10,     PG_CHUNK_WHOLE, PG_CHUNK_WHOLE + 1, 100,
                                      70000, 0, 300000, 5,              LARGEST,            1 };
static char text_byte(unsigned row, uint32_t at) { return (char)('a' + (row * 7 + at / 3 + at % 3) % 26); }

/* ROWS: n int8, t text, nothing NULL. */
static void answer(void *arg, struct model_query *q)
{
    static const struct model_column columns[] = {
        { "n", PG_TYPE_INT8 }, { "t", PG_TYPE_TEXT }, { "nothing", PG_TYPE_INT4 }
    };
    (void)arg;
    if (strcmp(model_sql(q), "ROWS") != 0) {
        model_default_answer(q);
        return;
    }
    model_columns(q, 3, columns);
    if (model_describing(q)) return;
    char *text = malloc(LARGEST);
    assert_non_null(text);
    for (unsigned i = 0; i < ROWS; i++) {
        const uint8_t n[8] = { [7] = (uint8_t)i };
        for (uint32_t k = 0; k < sizes[i]; k++) text[k] = text_byte(i, k);
        const struct model_cell cells[] = { { n, 8 }, { text, (int32_t)sizes[i] }, { NULL, -1 } };
        model_row(q, 3, cells);
    }
    free(text);
    model_complete(q, "SELECT 12");
}

static struct pg_statement rows = PG_STATEMENT("ROWS");

struct reader {
    struct pg_query query;
    struct pg_error error;
    struct world *world;
    const struct pg_text *view;      /* of the last piece */
    struct pg_text kept;
    unsigned row, column, pieces, done;
    uint32_t at;                     /* in the value */
    int status;
    enum pg_flow flow;
    unsigned act_at;                 /* the how-manieth piece; 0: none */
    enum { STOP, MISREAD, RESUME_INSIDE } act;
};

static void check_text(const struct reader *r, const struct pg_chunk *c)
{
    assert_int_equal(c->size, sizes[r->row]);
    assert_int_equal(c->offset, r->at);
    if (c->size <= PG_CHUNK_WHOLE) assert_int_equal(c->value.size, c->size);
    else assert_true(c->value.size > 0);
    for (uint32_t i = 0; i < c->value.size; i++)
        if ((char)c->value.data[i] != text_byte(r->row, c->offset + i))
            fail_msg("byte %u of row %u", c->offset + i, r->row);
}
static enum pg_flow take(struct pg_query *q, const struct pg_chunk *c)
{
    struct reader *r = q->data;
    assert_int_equal(c->value.column, r->column);
    if (r->column == 0) assert_int_equal(pg_value_int8(c->value), r->row);
    if (r->column == 1) check_text(r, c);
    if (r->column == 2) assert_true(pg_is_null(c->value) && c->size == 0);
    assert_int_equal(c->last, r->column == 2);
    assert_int_equal(pg_query_columns(q), 3);
    r->kept = (struct pg_text){ (const char *)c->value.data, c->value.size };
    r->at = c->offset + c->value.size;
    if (r->at == c->size) r->at = 0, r->column++;
    if (r->column == 3) r->column = 0, r->row++;
    if (++r->pieces != r->act_at) return r->flow;
    if (r->act == STOP) return PG_STOP;
    if (r->act == MISREAD) (void)pg_value_int8(c->value);
    if (r->act == RESUME_INSIDE) pg_query_resume(q);
    return r->flow;
}
static void done(struct pg_query *q)
{
    struct reader *r = q->data;
    r->done++;
    r->status = q->status;
}
static void reader_init(struct reader *r, struct world *w)
{
    *r = (struct reader){ .world = w, .flow = PG_CONTINUE };
    r->query = (struct pg_query){
        .statement = &rows, .on_chunk = take, .on_done = done, .data = r, .error = &r->error
    };
}
/* Who reads along has a line for each row, which was cut anywhere. */
static unsigned told_rows;
static void read_along(void *arg, uint64_t connection, const char *text, size_t size)
{
    (void)arg, (void)connection;
    told_rows += size > 2 && memmem(text, size, "\tDataRow\t", 9) != NULL;
}
static void begin(struct world *w, const char *options)
{
    struct sim_config sim = { .seed = 9, .latency_max_ns = 20000, .short_recv = 400 };
    struct model_config server = { .answer = answer };
    struct pg_pool_config pool = PG_POOL_CONFIG(NULL);
    pool.trace = read_along;
    told_rows = 0;
    world_open_pool(w, &sim, &server, &pool, options);
}
static void expect_all(const struct reader *r)
{
    if (r->status) fail_msg("%s: %s", pg_error_name(r->status), pg_error_field(&r->error, 'M'));
    assert_int_equal(r->done, 1);
    assert_int_equal(r->row, ROWS);
    assert_int_equal(r->query.rows, ROWS);
    assert_true(r->pieces > 3 * ROWS + 10);
}

static void every_byte_comes_in_order(void **state)
{
    (void)state;
    struct world w;
    struct reader r[3];
    struct seen behind;
    begin(&w, "pool_max_conns=1 pool_max_row_bytes=1kB"); /* whose bound is for whole rows alone */
    for (int i = 0; i < 3; i++) {
        reader_init(&r[i], &w);
        if (i == 2) r[i].flow = PG_PAUSE; /* on the shared lane the same as PG_CONTINUE */
        pg_pool_query(w.pool, &r[i].query);
    }
    seen_init(&behind, &world_echo, 5);
    pg_pool_query(w.pool, &behind.query);
    world_run(&w, 60 * WORLD_SECOND);
    for (int i = 0; i < 3; i++) expect_all(&r[i]);
    assert_int_equal(behind.value, 5);
    assert_int_equal(told_rows, 3 * ROWS + 1);
    assert_int_equal(model_stats(w.server)->connections_total, 1);
    world_close(&w);
}

/* The reactor has memory for a few large buffers, and for none of these rows. */
static void little_memory_is_enough(void **state)
{
    (void)state;
    struct world w;
    struct reader r;
    struct seen whole;
    struct sim_config sim = { .seed = 9, .latency_max_ns = 20000 };
    struct model_config server = { .answer = answer };
    for (size_t slab = 0; slab < 2; slab++) { /* with one for the stream, and without */
        struct pg_reactor_config reactor = PG_REACTOR_CONFIG(NULL);
        struct pg_pool_config pool = PG_POOL_CONFIG(NULL);
        reactor.slab_bytes = (32 + 96 * slab) * 1024;
        world_open_reactor(&w, &sim, &server, &reactor, &pool, "pool_max_conns=1 pool_max_row_bytes=1GB");
        reader_init(&r, &w);
        pg_pool_query(w.pool, &r.query);
        world_run(&w, 60 * WORLD_SECOND);
        expect_all(&r);
        seen_sql(&whole, "ROWS");
        pg_pool_query(w.pool, &whole.query);
        world_run(&w, 60 * WORLD_SECOND);
        assert_int_equal(whole.status, PG_E_LOST);
        assert_non_null(strstr(pg_error_field(&whole.error, 'M'), "slab_bytes"));
        world_close(&w);
    }
}

static void a_paused_piece_stays_while_more_comes(void **state)
{
    (void)state;
    static char copy[1 << 17];
    struct world w;
    struct held h;
    struct reader r;
    begin(&w, "pool_max_conns=1");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    reader_init(&r, &w);
    r.flow = PG_PAUSE;
    r.act_at = 3;
    r.act = RESUME_INSIDE;
    world_run(&w, 10 * WORLD_MS);
    pg_lease_query(&h.lease, &r.query);
    for (unsigned seen = 0; !r.done;) {
        world_run(&w, WORLD_MS);
        if (r.done) break;
        assert_true(r.pieces > seen && r.pieces <= seen + 2);
        seen = r.pieces;
        assert_true(r.kept.size <= sizeof copy);
        if (r.kept.size) memcpy(copy, r.kept.data, r.kept.size);
        world_run(&w, WORLD_MS); /* more bytes come than fit */
        assert_int_equal(r.pieces, seen);
        if (r.kept.size) assert_memory_equal(copy, r.kept.data, r.kept.size);
        pg_query_resume(&r.query);
        assert_int_equal(r.pieces, seen); /* never inside the call */
    }
    expect_all(&r);
    pg_lease_release(&h.lease);
    world_close(&w);
}

static void stop_and_complaint_drop_the_rest(void **state)
{
    (void)state;
    for (unsigned at = 1; at < 60; at++) {
        for (int misread = 0; misread < 2; misread++) {
            struct world w;
            struct reader r;
            struct seen next;
            begin(&w, "pool_max_conns=1");
            reader_init(&r, &w);
            r.act_at = at;
            r.act = misread ? MISREAD : STOP;
            pg_pool_query(w.pool, &r.query);
            world_run(&w, 20 * WORLD_SECOND);
            assert_int_equal(r.done, 1);
            bool good = misread && r.status == 0; /* it was the first column, which is an int8 */
            assert_int_equal(r.status, good ? 0 : misread ? PG_E_VALUE : PG_E_CANCELLED);
            if (!good) assert_int_equal(r.pieces, at);
            seen_init(&next, &world_echo, 8);
            pg_pool_query(w.pool, &next.query);
            world_run(&w, WORLD_SECOND);
            assert_int_equal(next.value, 8);
            assert_int_equal(model_stats(w.server)->connections_total, 1);
            world_close(&w);
        }
    }
}

static void the_complaint_names_its_column(void **state)
{
    (void)state;
    struct world w;
    struct reader r;
    begin(&w, "pool_max_conns=1");
    reader_init(&r, &w);
    r.act_at = 5; /* the text of the second row */
    r.act = MISREAD;
    pg_pool_query(w.pool, &r.query);
    world_run(&w, 20 * WORLD_SECOND);
    assert_int_equal(r.status, PG_E_VALUE);
    assert_string_equal(pg_error_field(&r.error, 'M'), "column 1 (t) is text, not an integer");
    world_close(&w);
}

static void given_up_in_the_middle_of_a_value(void **state)
{
    (void)state;
    for (unsigned pieces = 1; pieces < 80; pieces += 3) {
        struct world w;
        struct held h;
        struct reader r;
        begin(&w, "pool_max_conns=1");
        held_init(&h);
        pg_pool_acquire(w.pool, &h.lease);
        reader_init(&r, &w);
        r.flow = PG_PAUSE;
        world_run(&w, 10 * WORLD_MS);
        pg_lease_query(&h.lease, &r.query);
        while (r.pieces < pieces && !r.done) {
            world_run(&w, WORLD_MS);
            if (r.pieces < pieces) pg_query_resume(&r.query);
        }
        pg_lease_abandon(&h.lease);
        memset(&r, 0xaa, sizeof r);
        world_run(&w, 20 * WORLD_SECOND);
        assert_int_equal(world_stats(&w).idle_conns, 1);
        world_close(&w);
    }
}

static enum pg_flow never(struct pg_query *q, struct pg_row *row)
{
    (void)q, (void)row;
    fail_msg("a row is delivered");
    return PG_CONTINUE;
}
static void one_way_to_take_rows(void **state)
{
    (void)state;
    static char buffer[100];
    struct pg_rows kept = { .buffer = buffer, .capacity = sizeof buffer };
    for (int way = 1; way < 8; way++) {
        struct world w;
        struct reader r;
        bool several = way != 1 && way != 2 && way != 4;
        begin(&w, "pool_max_conns=1");
        reader_init(&r, &w);
        r.query.statement = &world_insert;
        struct pg_param p = pg_int8(1);
        r.query.params = &p, r.query.nparams = 1;
        r.query.on_row = way & 1 ? never : NULL;
        if (!(way & 2)) r.query.on_chunk = NULL;
        if (way & 4) r.query.collect = &kept;
        pg_pool_query(w.pool, &r.query);
        world_run(&w, WORLD_SECOND);
        assert_int_equal(r.status, several ? PG_E_PARAMETER : 0);
        if (several)
            assert_string_equal(pg_error_field(&r.error, 'M'), "a query has one of on_row, on_chunk and collect");
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_comes_in_order),
        cmocka_unit_test(little_memory_is_enough),
        cmocka_unit_test(a_paused_piece_stays_while_more_comes),
        cmocka_unit_test(stop_and_complaint_drop_the_rest),
        cmocka_unit_test(the_complaint_names_its_column),
        cmocka_unit_test(given_up_in_the_middle_of_a_value),
        cmocka_unit_test(one_way_to_take_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
