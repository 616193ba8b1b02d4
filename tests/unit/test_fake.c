/* test_fake.c - ringpg/testing.h, what the scripted server says: values in both formats, descriptions, errors, delays,
 * drops, prepared statements, transactions. */
#include "unit/fake.h"
#include <stdio.h>

static struct pg_statement find = PG_STATEMENT("SELECT price FROM item WHERE id = $1", PG_TYPE_INT8);
static struct pg_statement touch = PG_STATEMENT("UPDATE item SET seen = now()");
static struct pg_statement commit_all = PG_STATEMENT("COMMIT");

/* ---- values ---- */

static struct pg_statement values = PG_STATEMENT("SELECT of every type");
static struct pg_statement values_text = { "SELECT of every type as text", { 0 }, NULL, PG_STATEMENT_TEXT, 0 };

static void every_type(struct fix *f, struct pg_fake_query *q)
{
    (void)f;
    struct pg_param row[] = { pg_bool(true), pg_int2(-2), pg_int4(-400000), pg_int8(INT64_MIN), pg_oid(4000000000u),
                              pg_float4(0.5f), pg_float8(1e300), pg_str("text"), pg_bytes("\0\xff", 2), pg_null() };
    pg_fake_row(q, row, 10);
    row[9] = pg_int4(9);
    row[7] = pg_null();
    pg_fake_row(q, row, 10);
}

static enum pg_flow check_values(struct pg_query *q, struct pg_row *row)
{
    struct told *t = q->data;
    char bytes[2];
    bool second = t->rows++;
    assert_int_equal(pg_row_columns(row), 10);
    assert_true(pg_row_bool(row, 0));
    assert_int_equal(pg_row_int4(row, 1), -2);
    assert_int_equal(pg_row_int4(row, 2), -400000);
    assert_true(pg_row_int8(row, 3) == INT64_MIN);
    assert_int_equal(pg_row_int8(row, 4), 4000000000);
    assert_true(pg_row_float8(row, 5) == 0.5);
    assert_true(pg_row_float8(row, 6) == 1e300);
    if (second) assert_true(pg_row_is_null(row, 7));
    else assert_memory_equal(pg_row_text(row, 7).data, "text", 4);
    assert_int_equal(pg_value_bytea(pg_row_value(row, 8), bytes, 2), 2);
    assert_memory_equal(bytes, "\0\xff", 2);
    if (second) assert_int_equal(pg_row_int4(row, 9), 9);
    else assert_true(pg_row_is_null(row, 9));
    struct pg_column c = pg_query_column(q, 9);
    assert_int_equal(c.type, PG_TYPE_INT4); /* known from the second row, and told before the first */
    assert_memory_equal(c.name.data, "column10", c.name.size);
    assert_int_equal(pg_query_column(q, 7).type, PG_TYPE_TEXT);
    return PG_CONTINUE;
}

static void both_formats_give_the_same_values(void **state)
{
    struct fix f;
    struct told binary, text;
    (void)state;
    fix_open(&f, "", every_type);
    tell(&binary, &f, &values, 0);
    tell(&text, &f, &values_text, 0);
    binary.query.on_row = text.query.on_row = check_values;
    pg_pool_query(f.pool, &binary.query);
    pg_pool_query(f.pool, &text.query);
    pg_fake_run(f.fake, 0);
    expect(&binary, PG_OK);
    expect(&text, PG_OK);
    assert_int_equal(binary.rows, 2);
    assert_int_equal(text.rows, 2);
    assert_int_equal(text.query.rows, 2); /* SELECT 2 by itself */
    fix_close(&f);
}

static struct pg_statement given = PG_STATEMENT("SELECT of parameters", PG_TYPE_INT4, PG_TYPE_TEXT, PG_TYPE_BOOL, 1700,
                                                PG_TYPE_INT8);
static void check_params(struct fix *f, struct pg_fake_query *q)
{
    (void)f;
    assert_string_equal(pg_fake_sql(q), given.sql);
    assert_int_equal(pg_fake_params(q), 5);
    assert_int_equal(pg_value_int4(pg_fake_param(q, 0)), 5);
    assert_int_equal(pg_fake_param(q, 0).type, PG_TYPE_INT4);
    assert_false(pg_fake_param(q, 0).text);
    assert_memory_equal(pg_value_text(pg_fake_param(q, 1)).data, "five", 4);
    assert_true(pg_value_bool(pg_fake_param(q, 2)));
    assert_true(pg_fake_param(q, 3).text);
    assert_int_equal(pg_fake_param(q, 3).size, 4);
    assert_true(pg_is_null(pg_fake_param(q, 4)));
    pg_fake_columns(q, (struct pg_fake_column[]){ { "five", PG_TYPE_INT8 }, { NULL, PG_TYPE_FLOAT4 } }, 2);
    pg_fake_row(q, (struct pg_param[]){ pg_int2(5), pg_float8(0.25) }, 2); /* converted to the columns' types */
}
static enum pg_flow check_described(struct pg_query *q, struct pg_row *row)
{
    assert_memory_equal(pg_query_column(q, 0).name.data, "five", 4);
    assert_int_equal(pg_query_column(q, 0).type, PG_TYPE_INT8);
    assert_int_equal(pg_row_value(row, 0).size, 8);
    assert_int_equal(pg_row_value(row, 1).size, 4);
    assert_true(pg_row_float8(row, 1) == 0.25);
    return told_row(q, row);
}
static void parameters_come_as_they_were_sent(void **state)
{
    struct fix f;
    struct told t;
    (void)state;
    fix_open(&f, "", check_params);
    struct pg_param params[] = { pg_int4(5), pg_str("five"), pg_bool(true), pg_str("5.00"), pg_null() };
    tell(&t, &f, &given, 0);
    t.query.params = params;
    t.query.nparams = 5;
    t.query.on_row = check_described;
    pg_pool_query(f.pool, &t.query);
    pg_fake_run(f.fake, 0);
    expect(&t, PG_OK);
    assert_int_equal(t.value, 5);
    fix_close(&f);
}

/* ---- outcomes ---- */

static void by_number(struct fix *f, struct pg_fake_query *q)
{
    int64_t n = pg_fake_params(q) ? pg_value_int8(pg_fake_param(q, 0)) : -1;
    struct pg_param row = pg_int8(n * 10);
    if (n == 1) pg_fake_error(q, "42P01", "there is no item");
    else if (n == 2) pg_fake_row(q, &row, 1), pg_fake_error(q, "22012", "division by zero");
    else if (n == 3) pg_fake_drop(q);
    else if (n == 4) pg_fake_row(q, &row, 1), pg_fake_drop(q);
    else if (n == 5) pg_fake_delay(q, 20 * MS), pg_fake_delay(q, 10 * MS), pg_fake_row(q, &row, 1);
    else if (n == 6) pg_fake_delay(q, PG_NEVER), pg_fake_row(q, &row, 1);
    else if (n == 7) f->number = pg_fake_connection(q), pg_fake_row(q, &row, 1), pg_fake_complete(q, "SELECT 700");
    else if (n >= 8) pg_fake_row(q, &row, 1);
    else pg_fake_complete(q, "UPDATE 3");
}

static void errors_drops_and_tags(void **state)
{
    struct fix f;
    struct told t;
    (void)state;
    fix_open(&f, "", by_number);
    ask(&t, &f, &touch, 0);
    pg_fake_run(f.fake, 0);
    expect(&t, PG_OK);
    assert_int_equal(t.query.rows, 3);
    assert_string_equal(t.query.tag, "UPDATE");
    static const struct { int64_t n; int status; const char *sqlstate; enum pg_sent sent; unsigned rows; } cases[] = {
        { 1, PG_E_SERVER, "42P01", PG_SENT_YES, 0 }, { 2, PG_E_SERVER, "22012", PG_SENT_YES, 1 },
        { 1, PG_E_SERVER, "42P01", PG_SENT_YES, 0 }, { 3, PG_E_LOST, "", PG_SENT_MAYBE, 0 },
        { 4, PG_E_LOST, "", PG_SENT_MAYBE, 1 },      { 8, PG_OK, "", PG_SENT_YES, 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ask(&t, &f, &find, cases[i].n);
        pg_fake_run(f.fake, SECOND);
        expect(&t, cases[i].status);
        assert_string_equal(t.query.sqlstate, cases[i].sqlstate);
        assert_int_equal(t.query.sent, cases[i].sent);
        assert_int_equal(t.rows, cases[i].rows);
    }
    assert_int_equal(f.asked, 7);
    assert_int_equal(f.events[PG_EVENT_LOST], 2);
    ask(&t, &f, &find, 7);
    pg_fake_run(f.fake, 0);
    assert_int_equal(t.query.rows, 700); /* whatever the tag says */
    assert_int_equal(f.number, 3);       /* two were dropped */
    fix_close(&f);
}

static void delays_are_virtual_and_can_be_cut(void **state)
{
    struct fix f;
    struct told t, behind;
    (void)state;
    fix_open(&f, "", by_number);
    uint64_t start = pg_reactor_now(f.reactor);
    ask(&t, &f, &find, 5);
    ask(&behind, &f, &find, 8);
    assert_false(pg_fake_run(f.fake, 30 * MS - 1));
    assert_int_equal(t.done, 0);
    assert_false(pg_fake_run(f.fake, 1)); /* what is due at its end has happened */
    expect(&t, PG_OK);
    expect(&behind, PG_OK);
    assert_int_equal(t.at_ns - start, 30 * MS);
    assert_int_equal(behind.at_ns - start, 30 * MS);

    tell(&t, &f, &find, 6);
    t.query.deadline_ns = pg_reactor_now(f.reactor) + 100 * MS;
    pg_pool_query(f.pool, &t.query);
    pg_fake_run(f.fake, SECOND);
    expect(&t, PG_E_TIMEOUT);
    assert_int_equal(t.query.sent, PG_SENT_MAYBE);
    ask(&behind, &f, &find, 7); /* the cancel request has ended the endless one, and the connection serves */
    pg_fake_run(f.fake, 0);
    expect(&behind, PG_OK);
    assert_int_equal(f.number, 1);
    fix_close(&f);
}

static void what_nobody_answers_fails_by_its_name(void **state)
{
    struct fix f;
    struct told t;
    (void)state;
    fix_open(&f, "", NULL);
    ask(&t, &f, &find, 1);
    pg_fake_run(f.fake, 0);
    expect(&t, PG_E_SERVER);
    assert_string_equal(t.query.sqlstate, "XX000");
    assert_non_null(strstr(pg_error_field(&t.error, 'M'), find.sql));
    fix_close(&f);
}

/* ---- prepared statements ---- */

static void maybe_found(struct fix *f, struct pg_fake_query *q)
{
    if (f->number) pg_fake_columns(q, &(struct pg_fake_column){ "price", PG_TYPE_INT8 }, 1);
    if (pg_fake_params(q) && pg_value_int8(pg_fake_param(q, 0)) == 1)
        pg_fake_row(q, (struct pg_param[]){ pg_int8(10) }, 1);
    else if (!strncmp(pg_fake_sql(q), "SELECT", 6)) pg_fake_complete(q, "SELECT 0");
}

static void answers_are_asked_for_once_per_execution(void **state)
{
    struct fix f;
    struct told t;
    (void)state;
    fix_open(&f, "", maybe_found);
    f.number = 1;
    for (int i = 0; i < 6; i++) { /* the first is parsed and described, those behind it are not */
        ask(&t, &f, &find, i % 2);
        pg_fake_run(f.fake, 0);
        expect(&t, PG_OK);
        assert_int_equal(t.rows, i % 2);
        assert_int_equal(f.asked, i + 1);
    }
    fix_close(&f);
}

static void new_columns_are_prepared_anew_outside_of_transactions(void **state)
{
    struct fix f;
    struct told t;
    (void)state;
    fix_open(&f, "", maybe_found);
    ask(&t, &f, &find, 0);
    pg_fake_run(f.fake, 0);
    expect(&t, PG_OK);
    ask(&t, &f, &find, 1); /* was described without columns */
    pg_fake_run(f.fake, 0);
    expect(&t, PG_OK);
    assert_int_equal(t.value, 10);
    assert_int_equal(f.asked, 3);
    ask(&t, &f, &find, 0); /* and no rows fit every description */
    pg_fake_run(f.fake, 0);
    expect(&t, PG_OK);
    assert_int_equal(f.asked, 4);
    fix_close(&f);
}

/* ---- transactions ---- */

struct steps { struct told told[8]; struct pg_lease lease; struct fix *fix; unsigned grants; };
static void on_grant(struct pg_lease *lease, int status)
{
    struct steps *s = lease->data;
    assert_int_equal(status, PG_OK);
    s->grants++;
}
static void hold(struct steps *s, struct fix *f)
{
    memset(s, 0, sizeof *s);
    s->fix = f;
    s->lease = (struct pg_lease){ .on_grant = on_grant, .data = s, .tag = PG_HERE };
    pg_pool_acquire(f->pool, &s->lease);
    pg_fake_run(f->fake, 0);
    assert_int_equal(s->grants, 1);
}
static int step(struct steps *s, struct pg_statement *statement, const char *sql)
{
    struct told *t = &s->told[0];
    static struct pg_statement none = PG_STATEMENT("");
    tell(t, s->fix, statement ? statement : &none, 1);
    if (sql) t->query.statement = NULL, t->query.sql = sql;
    pg_lease_query(&s->lease, &t->query);
    pg_fake_run(s->fix->fake, 0);
    assert_int_equal(t->done, 1);
    return t->query.status;
}

static char seen[500];
static void sees_transactions(struct fix *f, struct pg_fake_query *q)
{
    size_t n = strlen(seen);
    snprintf(seen + n, sizeof seen - n, "%c:%.12s ", pg_fake_transaction(q), pg_fake_sql(q));
    if (strstr(pg_fake_sql(q), "FAIL")) pg_fake_error(q, "23505", "duplicate key");
    else if (f->number) pg_fake_complete(q, pg_fake_sql(q)); /* a tag that means nothing */
}

static void transactions_are_followed(void **state)
{
    struct fix f;
    struct steps s;
    struct told t;
    (void)state;
    seen[0] = 0;
    fix_open(&f, "", sees_transactions);
    hold(&s, &f);
    for (f.number = 0; f.number < 2; f.number++) {
        assert_int_equal(step(&s, NULL, "SAVEPOINT a"), PG_E_SERVER);
        assert_string_equal(s.told[0].query.sqlstate, "25P01");
        assert_int_equal(step(&s, &pg_begin, NULL), PG_OK);
        assert_int_equal(pg_lease_transaction(&s.lease), 'T');
        assert_int_equal(step(&s, NULL, "SAVEPOINT a"), PG_OK);
        assert_int_equal(step(&s, NULL, "FAIL 1"), PG_E_SERVER);
        assert_int_equal(pg_lease_transaction(&s.lease), 'E');
        assert_int_equal(step(&s, NULL, "SET x TO 1"), PG_E_SERVER);
        assert_string_equal(s.told[0].query.sqlstate, "25P02");
        assert_int_equal(step(&s, NULL, "ROLLBACK TO a"), PG_OK);
        assert_int_equal(pg_lease_transaction(&s.lease), 'T');
        assert_int_equal(step(&s, NULL, "RELEASE b"), PG_E_SERVER);
        assert_string_equal(s.told[0].query.sqlstate, "3B001");
        assert_int_equal(step(&s, NULL, "ROLLBACK TO a"), PG_OK);
        assert_int_equal(step(&s, NULL, "FAIL 2"), PG_E_SERVER);
        assert_int_equal(step(&s, &commit_all, NULL), PG_E_ROLLED_BACK);
        assert_int_equal(pg_lease_transaction(&s.lease), 'I');
    }
    assert_int_equal(step(&s, &pg_begin, NULL), PG_OK);
    seen[0] = 0;
    pg_lease_release(&s.lease); /* in a transaction: the pool's own ROLLBACK is seen too */
    ask(&t, &f, &touch, 0);
    pg_fake_run(f.fake, 0);
    assert_string_equal(seen, "T:ROLLBACK I:UPDATE item  ");
    fix_close(&f);
}

static void several(struct fix *f, struct pg_fake_query *q)
{
    (void)f;
    const char *sql = pg_fake_sql(q);
    if (!strcmp(sql, "one")) pg_fake_row(q, (struct pg_param[]){ pg_int8(1) }, 1);
    else if (!strcmp(sql, "two")) pg_fake_row(q, (struct pg_param[]){ pg_int8(22), pg_str("2") }, 2);
    else if (!strcmp(sql, "bad")) pg_fake_row(q, (struct pg_param[]){ pg_int8(3) }, 1), pg_fake_error(q, "22012", "");
    else pg_fake_complete(q, "INSERT 0 1");
}
static void simple_queries_are_asked_for_one_by_one(void **state)
{
    struct fix f;
    struct steps s;
    (void)state;
    fix_open(&f, "", several);
    hold(&s, &f);
    struct told *t = &s.told[0];
    static struct pg_statement none = PG_STATEMENT("");
    tell(t, &f, &none, 0);
    t->query.statement = NULL;
    t->query.sql = "one; three; two; bad; one";
    t->query.flags = PG_QUERY_SIMPLE;
    pg_lease_query(&s.lease, &t->query);
    pg_fake_run(f.fake, 0);
    expect(t, PG_E_SERVER);
    assert_int_equal(t->rows, 3);
    assert_int_equal(f.asked, 4); /* the last one never ran */
    pg_lease_release(&s.lease);
    fix_close(&f);
}

/* ---- fibers ---- */

struct fiber_test { struct fix *fix; int rc; int64_t sum; uint64_t ns; };
static void in_a_fiber(void *arg)
{
    struct fiber_test *t = arg;
    struct pg_param p = pg_int8(5);
    struct pg_lease lease = { .tag = PG_HERE };
    struct pg_row *row;
    if ((t->rc = pg_await_acquire(t->fix->pool, &lease))) return;
    uint64_t start = pg_reactor_now(t->fix->reactor);
    struct pg_query q = { .statement = &find, .params = &p, .nparams = 1, .on_row = pg_row_pull };
    pg_lease_query(&lease, &q);
    while ((t->rc = pg_await_row(&q, &row)) > 0) t->sum += pg_row_int8(row, 0);
    t->ns = pg_reactor_now(t->fix->reactor) - start;
    pg_lease_release(&lease);
}
static void fibers_await_the_fake(void **state)
{
    struct fix f;
    (void)state;
    fix_open(&f, "", by_number);
    struct fiber_test t = { .fix = &f, .rc = 1 };
    assert_int_equal(pg_fiber_spawn(f.reactor, in_a_fiber, &t, NULL), 0);
    pg_fake_run(f.fake, SECOND);
    assert_int_equal(t.rc, 0);
    assert_int_equal(t.sum, 50);
    assert_int_equal(t.ns, 30 * MS);
    fix_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_formats_give_the_same_values),
        cmocka_unit_test(parameters_come_as_they_were_sent),
        cmocka_unit_test(errors_drops_and_tags),
        cmocka_unit_test(delays_are_virtual_and_can_be_cut),
        cmocka_unit_test(what_nobody_answers_fails_by_its_name),
        cmocka_unit_test(answers_are_asked_for_once_per_execution),
        cmocka_unit_test(new_columns_are_prepared_anew_outside_of_transactions),
        cmocka_unit_test(transactions_are_followed),
        cmocka_unit_test(simple_queries_are_asked_for_one_by_one),
        cmocka_unit_test(fibers_await_the_fake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
