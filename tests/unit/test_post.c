/* test_post.c - threads outside of every reactor ask a reactor's pool and wait, as demo/examples/l_post.c does it; here
 * against the fake of ringpg/testing.h, so that it runs under ThreadSanitizer too. What passes between the threads: the
 * task and all that the query points at on the way in, its outcome on the way back, by the caller's own semaphore. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include "unit/fake.h"

enum { THREADS = 3, ASKS = 300 };

static struct pg_statement twice = PG_STATEMENT("SELECT 2 * $1", PG_TYPE_INT8);

static void doubles(struct fix *f, struct pg_fake_query *q)
{
    (void)f;
    pg_fake_row(q, (struct pg_param[]){ pg_int8(2 * pg_value_int8(pg_fake_param(q, 0))) }, 1);
}

struct question {
    struct pg_task task;
    struct pg_query query;
    struct pg_param number;
    struct pg_pool *pool;
    sem_t done;
    int64_t answer;
};
static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    ((struct question *)q->data)->answer = pg_row_int8(row, 0);
    return PG_CONTINUE;
}
static void on_done(struct pg_query *q)
{
    sem_post(&((struct question *)q->data)->done);
}
static void start(struct pg_task *task)
{
    struct question *a = (struct question *)task;
    pg_pool_query(a->pool, &a->query);
}

struct asker {
    pthread_t thread;
    struct fix *fix;
    int64_t first;
    unsigned right;
};
static atomic_uint at_work;

static void *ask_and_wait(void *arg)
{
    struct asker *asker = arg;
    for (int64_t n = asker->first; n < asker->first + ASKS; n++) {
        struct question a = { .task.run = start, .pool = asker->fix->pool, .number = pg_int8(n) };
        a.query = (struct pg_query){
            .statement = &twice, .params = &a.number, .nparams = 1, .on_row = on_row, .on_done = on_done, .data = &a
        };
        sem_init(&a.done, 0, 0);
        pg_reactor_post(asker->fix->reactor, &a.task);
        while (sem_wait(&a.done)) {}
        sem_destroy(&a.done);
        asker->right += a.query.status == PG_OK && a.answer == 2 * n; /* its memory is gone with this round */
    }
    atomic_fetch_sub(&at_work, 1);
    return NULL;
}

static void threads_ask_and_wait(void **state)
{
    struct fix f;
    struct asker asker[THREADS] = { 0 };
    (void)state;
    fix_open(&f, "pool_max_pipeline=2", doubles);
    atomic_store(&at_work, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        asker[i].fix = &f;
        asker[i].first = (int64_t)i * ASKS;
        assert_int_equal(pthread_create(&asker[i].thread, NULL, ask_and_wait, &asker[i]), 0);
    }
    while (atomic_load(&at_work)) {
        pg_fake_run(f.fake, 0);
        sched_yield();
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(asker[i].thread, NULL), 0);
        assert_int_equal(asker[i].right, ASKS);
    }
    assert_int_equal(f.asked, THREADS * ASKS);
    fix_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(threads_ask_and_wait) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
