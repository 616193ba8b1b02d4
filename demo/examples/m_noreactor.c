/* (m) No reactor at all: a batch program. */
#include <stdio.h>
#include <stdlib.h>
#include "ringpg.h"
#include "ringpg/loop.h"
static struct pg_statement one = PG_STATEMENT("SELECT $1::int8 + 41", PG_TYPE_INT8);
static struct pg_pool *pool;
static void program(void *arg)
{
    int64_t *answer = arg;
    struct pg_param p = pg_int8(1);
    struct pg_row *row;
    struct pg_lease lease = { .tag = PG_HERE };
    if (pg_await_acquire(pool, &lease)) return;
    struct pg_query q = { .statement = &one, .params = &p, .nparams = 1, .on_row = pg_row_pull };
    pg_lease_query(&lease, &q);
    while (pg_await_row(&q, &row) > 0) *answer = pg_row_int8(row, 0);
    pg_lease_release(&lease);
}
int main(void)
{
    struct pg_loop *loop; struct pg_error error; int64_t answer = 0;
    struct pg_pool_config config = PG_POOL_CONFIG(getenv("DATABASE_URL"));
    if (pg_loop_open(&loop, &error) || pg_pool_open(&pool, pg_loop_reactor(loop), &config, &error)) {
        fprintf(stderr, "%s\n", pg_error_field(&error, 'M'));
        return 1;
    }
    int rc = pg_loop_run(loop, program, &answer);
    pg_loop_close(loop);
    printf("%lld\n", (long long)answer);
    return rc != 0 || answer != 42;
}
