/* (l) A thread outside of every reactor asks a reactor for an answer and waits for it. */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include "ringpg.h"
#include "ringpg/loop.h"

struct ask {
    struct pg_task task;
    struct pg_query query;
    struct pg_param number;
    struct pg_pool *pool;
    sem_t done;
    int64_t answer;
};
static struct pg_statement square = PG_STATEMENT("SELECT $1::int8 * $1", PG_TYPE_INT8);

static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    ((struct ask *)q->data)->answer = pg_row_int8(row, 0);
    return PG_CONTINUE;
}
/* Legal only since the library does not touch the query afterwards: it is the waiting thread's at once. */
static void on_done(struct pg_query *q) { sem_post(&((struct ask *)q->data)->done); }
static void start(struct pg_task *task)              /* on the reactor's thread */
{
    struct ask *a = (struct ask *)task;
    pg_pool_query(a->pool, &a->query);
}
/* Any thread but the reactor's. It cannot abandon the query, which only the reactor's thread may: the deadline ends the
 * wait. */
static int ask_square(struct pg_reactor *reactor, struct pg_pool *pool, int64_t number, int64_t *out)
{
    struct ask a = { .task.run = start, .pool = pool, .number = pg_int8(number) };
    a.query = (struct pg_query){
        .statement = &square, .params = &a.number, .nparams = 1, .on_row = on_row, .on_done = on_done, .data = &a};
    sem_init(&a.done, 0, 0);
    pg_reactor_post(reactor, &a.task);
    while (sem_wait(&a.done)) { }
    sem_destroy(&a.done);
    *out = a.answer;
    return a.query.status;
}

/* ---- a program on it: threads ask while the reactor's own thread does nothing but loop --------------------------- */
enum { THREADS = 4, ASKS = 100 };
struct asker {
    pthread_t thread;
    struct pg_reactor *reactor;
    struct pg_pool *pool;
    struct pg_task task;
    int first, right;
};
static struct pg_fiber waiting;
static int working = THREADS;

static void one_less(struct pg_task *task)           /* on the reactor's thread */
{
    (void)task;
    if (--working == 0) pg_fiber_unpark(waiting);
}
static void *ask(void *arg)
{
    struct asker *asker = arg;
    for (int i = 0; i < ASKS; i++) {
        int64_t answer, number = asker->first + i;
        int rc = ask_square(asker->reactor, asker->pool, number, &answer);
        if (rc) fprintf(stderr, "%s\n", pg_error_text(rc));
        asker->right += rc == 0 && answer == number * number;
    }
    asker->task.run = one_less;
    pg_reactor_post(asker->reactor, &asker->task);   /* its memory is ours again when `run` is called */
    return NULL;
}
static void until_all_have_asked(void *arg)
{
    (void)arg;
    waiting = pg_fiber_self();
    if (working && pg_fiber_park(PG_NEVER)) fputs("nobody would come\n", stderr);
}

int main(void)
{
    struct pg_loop *loop;
    struct pg_pool *pool;
    struct pg_error error;
    struct asker asker[THREADS] = { 0 };
    int right = 0;
    struct pg_pool_config config = PG_POOL_CONFIG(getenv("DATABASE_URL"));
    if (pg_loop_open(&loop, &error) || pg_pool_open(&pool, pg_loop_reactor(loop), &config, &error)) {
        fprintf(stderr, "%s\n", pg_error_field(&error, 'M'));
        return 1;
    }
    for (int i = 0; i < THREADS; i++) {
        asker[i].reactor = pg_loop_reactor(loop);
        asker[i].pool = pool;
        asker[i].first = i * ASKS;
        if (pthread_create(&asker[i].thread, NULL, ask, &asker[i])) abort();
    }
    int rc = pg_loop_run(loop, until_all_have_asked, NULL);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(asker[i].thread, NULL);
        right += asker[i].right;
    }
    pg_loop_close(loop);
    printf("%d threads asked %d times each, %d answers were right\n", THREADS, ASKS, right);
    return rc || right != THREADS * ASKS;
}
