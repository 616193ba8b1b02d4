/* unit/test_pool_texts.c - texts that are kept, and what connections know of their results: described once on each,
 * whatever the place held before, however the columns change, and whoever still reads by the former ones. Simulated
 * host, virtual time. */
#include <stdio.h>
#include <string.h>
#include "support/world.h"

/* ---- WIDE n: n int8, and as many more as were added ---- */

static unsigned added; /* by ALTER TABLE; the columns are named anew then */
static uint64_t delay_ns;

static const char *name_of(unsigned column)
{
    static char name[16];
    snprintf(name, sizeof name, "%c%u", 'a' + (char)added, column);
    return name;
}

static void answer(void *arg, struct model_query *q)
{
    (void)arg;
    unsigned n;
    if (sscanf(model_sql(q), "WIDE %u", &n) != 1) {
        model_default_answer(q);
        return;
    }
    char names[64][16], digits[64][16];
    uint8_t wire[64][8] = { 0 };
    struct model_column columns[64];
    struct model_cell cells[64];
    n += added;
    for (unsigned i = 0; i < n; i++) {
        strcpy(names[i], name_of(i));
        columns[i] = (struct model_column){ names[i], PG_TYPE_INT8 };
        wire[i][7] = (uint8_t)(n + i);
        cells[i] = (struct model_cell){ wire[i], 8 };
        if (model_result_text(q, i))
            cells[i] = (struct model_cell){ digits[i], snprintf(digits[i], sizeof digits[i], "%u", n + i) };
    }
    model_columns(q, n, columns);
    if (delay_ns) model_delay(q, delay_ns);
    model_row(q, n, cells);
    model_complete(q, "SELECT 1");
}

struct wide {
    struct pg_query query;
    char sql[20];
    unsigned columns, rows, done; /* `columns`: as many as there were when it was asked */
    bool pause;
    struct pg_row *row;
};

static void check_row(struct wide *x, struct pg_row *row)
{
    bool text = x->query.flags & PG_QUERY_TEXT;
    assert_int_equal(pg_query_columns(&x->query), x->columns);
    assert_int_equal(pg_row_columns(row), x->columns);
    for (unsigned i = 0; i < x->columns; i++) {
        struct pg_text name = pg_row_column(row, i).name;
        assert_int_equal(name.size, strlen(name_of(i)));
        assert_memory_equal(name.data, name_of(i), name.size);
        assert_int_equal(pg_query_column(&x->query, i).text, text);
        assert_int_equal(pg_row_value(row, i).text, text);
        assert_int_equal(pg_row_int8(row, i), x->columns + i);
    }
}
static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    struct wide *x = q->data;
    x->rows++;
    x->row = row;
    check_row(x, row);
    return x->pause ? PG_PAUSE : PG_CONTINUE;
}
static void on_done(struct pg_query *q)
{
    struct wide *x = q->data;
    x->done++;
    assert_int_equal(q->status, PG_OK);
    assert_int_equal(pg_query_columns(q), x->columns);
}

static void start(struct world *w, struct held *on, struct wide *x, unsigned n, unsigned flags)
{
    x->columns = n + added;
    x->rows = x->done = 0;
    snprintf(x->sql, sizeof x->sql, "WIDE %u", n);
    x->query = (struct pg_query){ .sql = x->sql, .on_row = on_row, .on_done = on_done, .data = x };
    x->query.flags = (uint16_t)flags;
    if (on) pg_lease_query(&on->lease, &x->query);
    else pg_pool_query(w->pool, &x->query);
}
static void ends(struct world *w, struct wide *x)
{
    world_run(w, 30 * WORLD_MS);
    assert_int_equal(x->done, 1);
    assert_int_equal(x->rows, 1);
}
static void ask(struct world *w, struct held *on, unsigned n, unsigned flags)
{
    struct wide x = { 0 };
    start(w, on, &x, n, flags);
    ends(w, &x);
}

static void open_world(struct world *w, const char *options)
{
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    struct model_config model = { .exit_delay_ns = 200000, .answer = answer, .answers_once = true };
    added = 0;
    delay_ns = 0;
    world_open_with(w, &sim, &model, options);
}
static void acquire(struct world *w, struct held *h, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        held_init(&h[i]);
        pg_pool_acquire(w->pool, &h[i].lease);
    }
    world_run(w, 50 * WORLD_MS);
    for (unsigned i = 0; i < n; i++) assert_int_equal(h[i].grants, 1);
}
static void release(struct world *w, struct held *h, unsigned n)
{
    for (unsigned i = 0; i < n; i++) pg_lease_release(&h[i].lease);
    world_run(w, 20 * WORLD_MS);
}

static const struct model_stats *server(struct world *w) { return model_stats(w->server); }
static void expect(struct world *w, uint64_t parses, uint64_t describes)
{
    assert_int_equal(server(w)->parses, parses);
    assert_int_equal(server(w)->describes, describes);
}

/* ---- described once ---- */

static void described_once(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "pool_max_conns=1");
    for (unsigned i = 0; i < 5; i++) ask(&w, NULL, 2, 0);
    expect(&w, 2, 2); /* once unnamed, once named */
    world_close(&w);
}

static void in_either_format(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 2; first++) {
        struct world w;
        open_world(&w, "pool_max_conns=1");
        for (unsigned i = 0; i < 6; i++) ask(&w, NULL, 2, (first + i) % 2 ? PG_QUERY_TEXT : 0);
        expect(&w, 2, 2);
        world_close(&w);
    }
}

/* A place has a share of 1032 bytes of these 4 kB: 30 columns go in, 50 do not. */
static void too_many_columns(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "pool_max_conns=1 statement_cache_capacity=4 statement_cache_bytes=4kB");
    for (unsigned i = 0; i < 5; i++) ask(&w, NULL, 30, 0);
    expect(&w, 2, 2);
    for (unsigned i = 0; i < 5; i++) ask(&w, NULL, 50, 0);
    expect(&w, 4, 7);
    ask(&w, NULL, 30, 0);
    expect(&w, 4, 7);
    world_close(&w);
}

static void on_a_new_connection(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "pool_max_conns=1");
    for (unsigned i = 0; i < 3; i++) ask(&w, NULL, 2, 0);
    expect(&w, 2, 2);
    model_conn_end(model_conn_at(w.server, 0), MODEL_END_RESET, NULL);
    world_run(&w, 20 * WORLD_MS);
    for (unsigned i = 0; i < 3; i++) ask(&w, NULL, 2, 0);
    assert_int_equal(server(&w)->connections_total, 2);
    expect(&w, 3, 3);
    world_close(&w);
}

/* Lost with requests in flight, and altered before the next one. */
static void lost_in_flight(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_world(&w, "pool_max_conns=1");
    for (unsigned i = 0; i < 3; i++) ask(&w, NULL, 2, 0);
    seen_sql(&s, "WIDE 2");
    s.query.on_row = NULL;
    delay_ns = 5 * WORLD_MS;
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 2 * WORLD_MS);
    model_conn_end(model_conn_at(w.server, 0), MODEL_END_RESET, NULL);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.status, PG_E_LOST);
    delay_ns = 0;
    added = 1;
    for (unsigned i = 0; i < 3; i++) ask(&w, NULL, 2, 0);
    expect(&w, 3, 3);
    world_close(&w);
}

/* ---- the place is another text's ---- */

static void the_place_is_given_away(void **state)
{
    (void)state;
    struct world w;
    struct held h[2];
    open_world(&w, "pool_max_conns=2 statement_cache_capacity=1");
    acquire(&w, h, 2);
    static const struct { unsigned on, columns; } order[] = {
        { 0, 1 }, { 0, 1 }, { 1, 1 }, { 0, 1 }, /* kept: both know it          */
        { 0, 3 }, { 0, 3 }, { 0, 3 },           /* another one, on one of them */
        { 1, 3 }, { 1, 3 }, { 0, 3 },           /* and on the other            */
        { 1, 1 }, { 1, 2 }, { 1, 2 }, { 0, 2 }, /* twice, and one was away     */
        { 0, 1 }, { 1, 1 }, { 0, 1 }, { 1, 1 },
    };
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) ask(&w, &h[order[i].on], order[i].columns, 0);
    assert_int_equal(server(&w)->errors, 0);
    release(&w, h, 2);
    world_close(&w);
}

static void not_while_it_is_in_flight(void **state)
{
    (void)state;
    struct world w;
    struct held h[2];
    struct wide x = { 0 };
    open_world(&w, "pool_max_conns=2 statement_cache_capacity=1");
    acquire(&w, h, 2);
    for (unsigned i = 0; i < 3; i++) ask(&w, &h[0], 2, 0);
    expect(&w, 2, 2);
    delay_ns = 100 * WORLD_MS;
    start(&w, &h[0], &x, 2, 0);
    world_run(&w, WORLD_MS);
    delay_ns = 0;
    for (unsigned i = 0; i < 3; i++) ask(&w, &h[1], 3, 0);
    expect(&w, 5, 5); /* unnamed, each time */
    assert_int_equal(x.done, 0);
    world_run(&w, 100 * WORLD_MS);
    ends(&w, &x);
    for (unsigned i = 0; i < 2; i++) ask(&w, &h[1], 3, 0);
    expect(&w, 6, 6);
    ask(&w, &h[0], 2, 0);
    expect(&w, 7, 7);
    release(&w, h, 2);
    world_close(&w);
}

/* ---- the columns are others (failures 29) ---- */

static void altered(void **state)
{
    (void)state;
    struct world w;
    struct held h[2];
    open_world(&w, "pool_max_conns=2");
    acquire(&w, h, 2);
    for (unsigned i = 0; i < 6; i++) ask(&w, &h[i % 2], 2, 0);
    expect(&w, 3, 3);
    added = 1;
    for (unsigned i = 0; i < 6; i++) ask(&w, &h[i % 2], 2, 0);
    assert_int_equal(server(&w)->errors, 2); /* healed, each */
    expect(&w, 5, 5);
    release(&w, h, 2);
    world_close(&w);
}

/* Many in flight on both, and somebody who reads while another connection learns of it. */
static void altered_under_load(void **state)
{
    (void)state;
    enum { N = 40 };
    struct world w;
    static struct wide x[N];
    open_world(&w, "pool_max_conns=2");
    for (unsigned round = 0; round < 4; round++) {
        added = round / 2;
        for (unsigned i = 0; i < N; i++) start(&w, NULL, &x[i], 2, i % 3 ? 0 : PG_QUERY_TEXT);
        world_run(&w, 50 * WORLD_MS);
        for (unsigned i = 0; i < N; i++) assert_int_equal(x[i].done + x[i].rows, 2);
    }
    uint64_t described = server(&w)->describes;
    for (unsigned i = 0; i < 4; i++) ask(&w, NULL, 2, 0); /* with nobody else it is kept */
    assert_true(server(&w)->describes <= described + 1);
    world_close(&w);
}

static void altered_while_somebody_reads(void **state)
{
    (void)state;
    struct world w;
    struct held h[2];
    struct wide x = { .pause = true };
    open_world(&w, "pool_max_conns=2");
    acquire(&w, h, 2);
    for (unsigned i = 0; i < 4; i++) ask(&w, &h[i % 2], 2, 0);
    start(&w, &h[0], &x, 2, 0);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(x.rows, 1);
    added = 1;
    for (unsigned i = 0; i < 2; i++) ask(&w, &h[1], 2, 0); /* healed; described with each use */
    uint64_t described = server(&w)->describes;
    added = 0;
    check_row(&x, x.row); /* as it was */
    pg_query_resume(&x.query);
    ends(&w, &x);
    added = 1;
    for (unsigned i = 0; i < 3; i++) ask(&w, &h[1], 2, 0);
    assert_int_equal(server(&w)->describes, described + 1);
    for (unsigned i = 0; i < 3; i++) ask(&w, &h[0], 2, 0);
    assert_int_equal(server(&w)->describes, described + 2);
    release(&w, h, 2);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(described_once),
        cmocka_unit_test(in_either_format),
        cmocka_unit_test(too_many_columns),
        cmocka_unit_test(on_a_new_connection),
        cmocka_unit_test(lost_in_flight),
        cmocka_unit_test(the_place_is_given_away),
        cmocka_unit_test(not_while_it_is_in_flight),
        cmocka_unit_test(altered),
        cmocka_unit_test(altered_under_load),
        cmocka_unit_test(altered_while_somebody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
