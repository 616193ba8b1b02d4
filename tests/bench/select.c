/* The table of the workload `select`, see bench.h. */
#include "bench.h"

#define DROP "DROP TABLE IF EXISTS bench_select"
enum { PREPARE_S = 60 };

/* Unlogged, and no vacuum: nothing of the server's own goes on beside a run. */
bool bench_select_make(const struct bench_common *options)
{
    char rows[128];
    snprintf(rows, sizeof rows, "INSERT INTO bench_select SELECT i, i + %d FROM generate_series(%d, %d) i",
             BENCH_NUMBER_OVER, bench_id(0), bench_id(BENCH_IDS - 1));
    const char *const sql[] = {
        DROP,
        "CREATE UNLOGGED TABLE bench_select (id int4 PRIMARY KEY, number int4 NOT NULL) WITH (autovacuum_enabled = off)",
        rows,
        "VACUUM (FREEZE, ANALYZE) bench_select",
        NULL,
    };
    return options->no_table || bench_prepare(&options->target, sql, PREPARE_S);
}

bool bench_select_drop(const struct bench_common *options)
{
    return options->no_table || bench_prepare(&options->target, (const char *const[]){DROP, NULL}, PREPARE_S);
}
