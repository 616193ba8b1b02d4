/* (j) arrays, numeric, timestamptz, interval; in and out. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "ringpg.h"
#include "ringpg/loop.h"

static struct pg_statement find = PG_STATEMENT(
    "SELECT id, price, tags, seen, pause FROM stock WHERE id = any($1) AND price < $2 AND seen > $3 AND "
    "note IS DISTINCT FROM $4 ORDER BY id", PG_TYPE_INT8_ARRAY, PG_TYPE_NUMERIC, PG_TYPE_TIMESTAMPTZ, PG_TYPE_TEXT);
static struct pg_statement exact = PG_STATEMENT("SELECT $1::numeric, $2::interval", PG_TYPE_NUMERIC, PG_TYPE_INTERVAL);
static struct pg_pool *pool;

static void print_row(struct pg_row *row, int64_t *cents)
{
    char price[64], pause[64];
    struct timespec seen = pg_time_to_timespec(pg_row_timestamptz(row, 3)); /* 'infinity' is the end of time_t */
    struct pg_array tags = pg_value_array(pg_row_value(row, 2));
    *cents += pg_row_decimal(row, 1, 2);             /* 12.345 or NaN: PG_E_VALUE, not a rounded price */
    pg_value_format(pg_row_value(row, 1), price, sizeof price); /* every numeric, as the server would print it */
    pg_value_format(pg_row_value(row, 4), pause, sizeof pause);
    printf("%" PRId64 " %s %lld %s\n", pg_row_int8(row, 0), price, (long long)seen.tv_sec, pause);
    for (struct pg_value tag; pg_array_next(&tags, &tag);) {
        struct pg_text text = pg_is_null(tag) ? (struct pg_text){ "(none)", 6 } : pg_value_text(tag);
        printf("  %.*s\n", (int)text.size, text.data);
    }
}

static int find_items(struct pg_lease *lease, int64_t *cents)
{
    int64_t ids[] = { 1, 2, 3 };
    struct timespec yesterday = { .tv_sec = time(NULL) - 86400 };
    struct pg_param p[] = { pg_int8_array(ids, 3), pg_decimal(1999, 2), /* 19.99 */
                            pg_timestamptz(pg_time_from_timespec(yesterday)), pg_null() };
    struct pg_query q = { .statement = &find, .params = p, .nparams = 4, .on_row = pg_row_pull };
    struct pg_row *row;
    int rc;
    pg_lease_query(lease, &q);
    while ((rc = pg_await_row(&q, &row)) > 0) print_row(row, cents); /* a getter's complaint ends it with PG_E_VALUE */
    return rc;
}

static int send_exactly(struct pg_lease *lease, char *text, size_t capacity)
{
    struct pg_param p[] = { pg_str("123456789012345678901234567890.123"), pg_str("1 year 2 days") }; /* text: for all */
    struct pg_query q = { .statement = &exact, .params = p, .nparams = 2, .on_row = pg_row_pull };
    struct pg_row *row;
    int rc;
    pg_lease_query(lease, &q);
    while ((rc = pg_await_row(&q, &row)) > 0) {
        size_t n = pg_value_format(pg_row_value(row, 0), text, capacity);
        struct pg_interval v = pg_value_interval(pg_row_value(row, 1));
        snprintf(text + n, capacity - n, " %" PRId32 " %" PRId32, v.months, v.days);
    }
    return rc;
}

static int run(struct pg_lease *lease, const char *sql)
{
    struct pg_query q = { .sql = sql, .flags = PG_QUERY_SIMPLE };
    pg_lease_query(lease, &q);
    return pg_await(&q);
}

static void program(void *arg)
{
    int *failed = arg;
    int64_t cents = 0;
    char text[80] = "";
    struct pg_lease lease = { .tag = PG_HERE };
    if (pg_await_acquire(pool, &lease)) return;
    *failed = run(&lease,
                  "CREATE TEMP TABLE stock (id int8, price numeric, tags text[], seen timestamptz, pause interval,"
                  " note text);"
                  "INSERT INTO stock VALUES (1, 12.50, '{red,\"two words\",NULL}', now(), '1 mon -2 days', 'a'),"
                  "(2, 7.49, '{}', 'infinity', '90 min', 'b'), (3, 20, '{x}', now(), '0', 'dear'),"
                  "(4, 1, '{}', now(), '0', '')") ||
              find_items(&lease, &cents) || cents != 1999 || send_exactly(&lease, text, sizeof text) ||
              strcmp(text, "123456789012345678901234567890.123 12 2") != 0;
    pg_lease_release(&lease);
}

int main(void)
{
    struct pg_loop *loop;
    struct pg_error error;
    int failed = 1;
    struct pg_pool_config config = PG_POOL_CONFIG(getenv("DATABASE_URL"));
    if (pg_loop_open(&loop, &error) || pg_pool_open(&pool, pg_loop_reactor(loop), &config, &error)) {
        fprintf(stderr, "%s\n", pg_error_field(&error, 'M'));
        return 1;
    }
    int rc = pg_loop_run(loop, program, &failed);
    pg_loop_close(loop);
    return rc != 0 || failed;
}
