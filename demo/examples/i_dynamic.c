/* (i) SQL that nobody knew when this was compiled. What a user typed is printed as text, whatever its columns are; a
 * search form's SQL is built from the fields that are filled in: there are few such texts, and each comes again. */
#include <stdio.h>
#include <stdlib.h>
#include "ringpg.h"
#include "ringpg/loop.h"

static struct pg_pool *pool;

static void print_header(const struct pg_query *q)
{
    for (uint32_t c = 0; c < pg_query_columns(q); c++) {
        struct pg_text name = pg_query_column(q, c).name;
        printf("%s%.*s", c ? "\t" : "", (int)name.size, name.data);
    }
    if (pg_query_columns(q)) putchar('\n');
}
static void print_row(struct pg_row *row)
{
    for (uint32_t c = 0; c < pg_row_columns(row); c++) {
        struct pg_text t = pg_row_is_null(row, c) ? (struct pg_text){ "NULL", 4 } : pg_row_text(row, c);
        printf("%s%.*s", c ? "\t" : "", (int)t.size, t.data);
    }
    putchar('\n');
}

/* Once and never again: UNNAMED. Text: every type has that form. */
static int print_sql(struct pg_lease *lease, const char *sql)
{
    struct pg_error error;
    struct pg_query q = { .sql = sql, .on_row = pg_row_pull, .error = &error };
    struct pg_row *row;
    bool header = false;
    int rc;
    q.flags = PG_QUERY_TEXT | PG_QUERY_UNNAMED;
    pg_lease_query(lease, &q);
    do {
        rc = pg_await_row(&q, &row);
        if (rc >= 0 && !header) print_header(&q); /* columns are there also for an empty result */
        header = true;
        if (rc > 0) print_row(row);
    } while (rc > 0);
    if (rc == 0) printf("%s %llu\n", q.tag, (unsigned long long)q.rows);
    else if (rc == PG_E_SERVER)
        printf("ERROR %s at %u: %s\n", error.sqlstate, error.position, pg_error_field(&error, 'M'));
    else printf("%s (sent: %d)\n", pg_error_name(rc), q.sent);
    return rc;
}

/* A field that is not filled in has no place in the SQL, and values never have: they are parameters. From the second
 * time on that the pool sees a text it is prepared under a name, as if it had been declared (statement_cache_capacity).
 * `sql` must stay until the outcome, which is when pg_await returns. */
struct form { const char *name; int64_t least, most; }; /* NULL, 0: not filled in */

static enum pg_flow take(struct pg_query *q, struct pg_row *row)
{
    *(int64_t *)q->data = pg_row_int8(row, 0);
    return PG_CONTINUE;
}
static int count_tables(const struct form *f, int64_t *found)
{
    char sql[400];
    struct pg_param params[3];
    uint16_t count = 0;
    int n = snprintf(sql, sizeof sql, "SELECT count(*) FROM pg_catalog.pg_class WHERE relkind = 'r'");
    if (f->name) {
        params[count++] = pg_str(f->name);
        n += snprintf(sql + n, sizeof sql - (size_t)n, " AND relname LIKE $%u", count);
    }
    if (f->least) {
        params[count++] = pg_int8(f->least);
        n += snprintf(sql + n, sizeof sql - (size_t)n, " AND relnatts >= $%u", count);
    }
    if (f->most) {
        params[count++] = pg_int8(f->most);
        n += snprintf(sql + n, sizeof sql - (size_t)n, " AND relnatts <= $%u", count);
    }
    struct pg_query q = { .sql = sql, .params = params, .nparams = count, .on_row = take, .data = found };
    pg_pool_query(pool, &q);
    return pg_await(&q);
}

static void program(void *arg)
{
    struct pg_lease lease = { .tag = PG_HERE };
    int64_t all = 0, some = 0, one = 0;
    int *wrong = arg;
    if (pg_await_acquire(pool, &lease)) return;
    *wrong = 0;
    *wrong += print_sql(&lease, "SELECT 1 AS one, NULL AS nothing, '{a,b}'::text[] AS list, now() AS today") != PG_OK;
    *wrong += print_sql(&lease, "SELECT relname FROM pg_catalog.pg_class WHERE false") != PG_OK;
    *wrong += print_sql(&lease, "CREATE TEMP TABLE dynamic AS SELECT generate_series(1, 3) AS n") != PG_OK;
    *wrong += print_sql(&lease, "SELECT missing FROM dynamic") != PG_E_SERVER;
    *wrong += print_sql(&lease, "DROP TABLE dynamic") != PG_OK;
    pg_lease_release(&lease);
    for (int i = 0; i < 4; i++) {
        *wrong += count_tables(&(struct form){ .least = 0 }, &all) != PG_OK;
        *wrong += count_tables(&(struct form){ .name = "pg_a%", .most = 10 + i }, &some) != PG_OK;
        *wrong += count_tables(&(struct form){ .name = "pg_class", .least = 2, .most = 1000 }, &one) != PG_OK;
        *wrong += !(one == 1 && some > one && all > some);
    }
    printf("%lld tables, %lld of them are short and begin with pg_a\n", (long long)all, (long long)some);
}

int main(void)
{
    struct pg_loop *loop;
    struct pg_error error;
    int wrong = 1;
    struct pg_pool_config config = PG_POOL_CONFIG(getenv("DATABASE_URL"));
    if (pg_loop_open(&loop, &error) || pg_pool_open(&pool, pg_loop_reactor(loop), &config, &error)) {
        fprintf(stderr, "%s\n", pg_error_field(&error, 'M'));
        return 1;
    }
    int rc = pg_loop_run(loop, program, &wrong);
    pg_loop_close(loop);
    return rc != 0 || wrong;
}
