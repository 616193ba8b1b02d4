/* SQL before a part and behind it, such as its tables: see bench_prepare in bench.h. Only the public headers. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "ringpg_loop.h"

struct job {
    const struct bench_target *target;
    const char *const *sql;
};

static void run(void *arg, int out)
{
    const struct job *job = arg;
    struct ringpg_loop loop;
    struct pg_lease lease;
    struct bench_meter meter = {.limit = 1};
    ringpg_loop_open(&loop, job->target, 1);
    ringpg_loop_lend(&loop, &lease);
    for (const char *const *sql = job->sql; *sql; sql++) ringpg_loop_sql(&loop, &lease, *sql);
    bench_meter_start(&meter);
    pg_lease_release(&lease);
    ringpg_loop_close(&loop, &meter);
    if (write(out, "", 1) != 1) bench_die("write: %s", strerror(errno));
}

bool bench_prepare(const struct bench_target *target, const char *const *sql, unsigned seconds)
{
    struct job job = {target, sql};
    char answer[2]; /* one more than the answer, so that its end is seen */
    return bench_in_child(run, &job, answer, sizeof answer, seconds) == 1;
}
