/* unit/test_pool_collect.c - rows that are kept (pg_query.collect): what is read later is what was sent, in buffers of
 * any size and alignment; and what a result that does not fit leaves behind. */
#include "support/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDE = 40, CAPACITY = 1 << 16 };

/* ROWS n: n rows of i int8, t text of i bytes, nothing NULL; LOST n: and then the connection is lost. WIDE: one of 40
 * columns. */
static void answer(void *arg, struct model_query *q)
{
    static const struct model_column three[] = {
        { "i", PG_TYPE_INT8 }, { "t", PG_TYPE_TEXT }, { "nothing", PG_TYPE_INT4 }
    };
    static const char text[] = "the text, as much of it as there is room for";
    (void)arg;
    unsigned n;
    bool lost = sscanf(model_sql(q), "LOST %u", &n) == 1;
    if (lost || sscanf(model_sql(q), "ROWS %u", &n) == 1) {
        model_columns(q, 3, three);
        if (model_describing(q)) return;
        for (unsigned i = 0; i < n; i++) {
            const uint8_t value[8] = { [7] = (uint8_t)i };
            const struct model_cell cells[] = { { value, 8 }, { text, (int32_t)(i % sizeof text) }, { NULL, -1 } };
            model_row(q, 3, cells);
        }
        if (lost) model_drop(q);
        else model_complete(q, "SELECT 9");
    } else if (!strcmp(model_sql(q), "WIDE")) {
        struct model_column columns[WIDE];
        struct model_cell cells[WIDE];
        for (unsigned i = 0; i < WIDE; i++) {
            columns[i] = (struct model_column){ "c", PG_TYPE_TEXT };
            cells[i] = (struct model_cell){ text, (int32_t)i };
        }
        model_columns(q, WIDE, columns);
        if (model_describing(q)) return;
        model_row(q, WIDE, cells);
        model_complete(q, "SELECT 1");
    } else {
        model_default_answer(q);
    }
}

static struct pg_statement nine = PG_STATEMENT("ROWS 9"), none = PG_STATEMENT("ROWS 0"), wide = PG_STATEMENT("WIDE");

static void begin(struct world *w)
{
    struct sim_config sim = { .seed = 3, .latency_max_ns = 20000, .short_recv = 300 };
    struct model_config server = { .answer = answer };
    world_open_with(w, &sim, &server, "pool_max_conns=1");
}
static int collect(struct world *w, struct pg_statement *statement, struct pg_rows *rows, struct pg_error *error)
{
    struct pg_query q = { .statement = statement, .collect = rows, .error = error };
    pg_pool_query(w->pool, &q);
    world_run(w, WORLD_SECOND);
    return q.status;
}
static void expect_row(struct pg_rows *rows, uint32_t i)
{
    struct pg_row *row = pg_rows_at(rows, i);
    assert_non_null(row);
    assert_int_equal(pg_row_columns(row), 3);
    assert_int_equal(pg_row_int8(row, 0), i);
    struct pg_text text = pg_row_text(row, 1);
    assert_int_equal(text.size, i);
    assert_memory_equal(text.data, "the text, as much of it", text.size);
    assert_true(pg_row_is_null(row, 2));
    assert_int_equal(pg_row_mark(row), 0);
    struct pg_column column = pg_row_column(row, 1);
    assert_int_equal(column.name.size, 1);
    assert_memory_equal(column.name.data, "t", 1);
    assert_int_equal(column.type, PG_TYPE_TEXT);
    assert_int_equal(pg_row_column(row, 3).type, 0);
}

static void rows_outlive_their_pool(void **state)
{
    (void)state;
    static char buffer[CAPACITY];
    struct world w;
    struct pg_rows rows = { .buffer = buffer, .capacity = sizeof buffer };
    begin(&w);
    assert_int_equal(collect(&w, &nine, &rows, NULL), 0);
    assert_int_equal(rows.count, 9);
    struct pg_text first = pg_row_text(pg_rows_at(&rows, 8), 1);
    for (uint32_t i = 9; i-- > 0;) expect_row(&rows, i);
    assert_memory_equal(first.data, "the text", 8); /* a view into the buffer, not into the row */
    assert_null(pg_rows_at(&rows, 9));
    world_close(&w);
    for (uint32_t i = 0; i < 9; i++) expect_row(&rows, i);
    struct pg_row *row = pg_rows_at(&rows, 1);
    assert_int_equal(pg_row_int8(row, 1), 0); /* which is a text */
    assert_int_equal(pg_row_mark(row), PG_E_VALUE);
}

/* From nothing up to more than is needed, at every alignment: as many rows as fit, and no byte outside. */
static void a_buffer_of_any_size(void **state)
{
    (void)state;
    enum { GUARD = 16, MOST = 1024 };
    static _Alignas(16) unsigned char memory[GUARD + MOST + 8 + GUARD];
    struct world w;
    uint32_t most = 0;
    begin(&w);
    for (size_t shift = 0; shift < 8; shift++) {
        uint32_t last = 0;
        for (size_t capacity = 0; capacity <= MOST; capacity += capacity < 16 ? 1 : 5) {
            struct pg_error error;
            memset(memory, 0xee, sizeof memory);
            struct pg_rows rows = { .buffer = memory + GUARD + shift, .capacity = capacity, .count = 77 };
            int rc = collect(&w, &nine, &rows, &error);
            assert_int_equal(rc, rows.count == 9 ? 0 : PG_E_FULL);
            if (rc) assert_non_null(strstr(pg_error_field(&error, 'M'), "does not fit"));
            assert_true(rows.count >= last);
            last = rows.count;
            for (uint32_t i = 0; i < rows.count; i++) expect_row(&rows, i);
            for (size_t i = 0; i < sizeof memory; i++)
                if (i < GUARD + shift || i >= GUARD + shift + capacity) assert_int_equal(memory[i], 0xee);
        }
        most = last > most ? last : most;
    }
    assert_int_equal(most, 9);
    assert_int_equal(model_stats(w.server)->connections_total, 1);
    world_close(&w);
}

static void each_query_begins_anew(void **state)
{
    (void)state;
    static char buffer[CAPACITY];
    struct world w;
    struct pg_rows rows = { .buffer = buffer, .capacity = sizeof buffer };
    begin(&w);
    assert_int_equal(collect(&w, &nine, &rows, NULL), 0);
    assert_int_equal(collect(&w, &none, &rows, NULL), 0);
    assert_int_equal(rows.count, 0);
    assert_null(pg_rows_at(&rows, 0));
    assert_int_equal(collect(&w, &wide, &rows, NULL), 0);
    assert_int_equal(rows.count, 1);
    struct pg_row *row = pg_rows_at(&rows, 0);
    assert_int_equal(pg_row_columns(row), WIDE);
    for (uint32_t i = 0; i < WIDE; i++) assert_int_equal(pg_row_text(row, i).size, i);
    assert_int_equal(collect(&w, &nine, &rows, NULL), 0);
    for (uint32_t i = 0; i < 9; i++) expect_row(&rows, i);
    world_close(&w);
}

/* A connection that is lost under the rows leaves those that had come. */
static void what_came_before_a_loss(void **state)
{
    (void)state;
    static char buffer[CAPACITY];
    static struct pg_statement lost = PG_STATEMENT("LOST 20");
    struct world w;
    struct pg_error error;
    struct pg_rows rows = { .buffer = buffer, .capacity = sizeof buffer };
    begin(&w);
    assert_int_equal(collect(&w, &lost, &rows, &error), PG_E_LOST);
    assert_int_equal(rows.count, 20);
    for (uint32_t i = 0; i < 20; i++) expect_row(&rows, i);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_outlive_their_pool),
        cmocka_unit_test(a_buffer_of_any_size),
        cmocka_unit_test(each_query_begins_anew),
        cmocka_unit_test(what_came_before_a_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
