/* fake.h - what the tests of ringpg/testing.h begin with: a fake, a reactor, a pool, and a script that answers by the
 * statement. They use what is public and nothing else, as a user would. Included by test_fake*.c. */
#ifndef UNIT_FAKE_H
#define UNIT_FAKE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "ringpg.h"
#include "ringpg/testing.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

struct fix {
    struct pg_fake *fake;
    struct pg_reactor *reactor;
    struct pg_pool *pool;
    void (*script)(struct fix *, struct pg_fake_query *);
    unsigned asked;                                  /* how often the script was */
    size_t blocks;                                   /* of the library's memory  */
    unsigned events[PG_EVENT_LEAK + 1];
    int64_t number;                                  /* the test's own           */
};

static inline void fix_answer(void *arg, struct pg_fake_query *q)
{
    struct fix *f = arg;
    f->asked++;
    f->script(f, q);
}
static inline void *fix_allocate(void *arg, size_t bytes)
{
    ((struct fix *)arg)->blocks++;
    return test_malloc(bytes);
}
static inline void fix_deallocate(void *arg, void *at, size_t bytes)
{
    (void)bytes;
    ((struct fix *)arg)->blocks--;
    test_free(at);
}
static inline void fix_event(void *arg, const struct pg_event *event)
{
    if ((size_t)event->kind <= PG_EVENT_LEAK) ((struct fix *)arg)->events[event->kind]++;
}

static inline void fix_open_seeded(struct fix *f, uint64_t seed, const char *options,
                                   void (*script)(struct fix *, struct pg_fake_query *))
{
    struct pg_error error = { .text = "" };
    char conninfo[200] = "host=127.0.0.1 user=app pool_max_conns=1 ";
    memset(f, 0, sizeof *f);
    f->script = script;
    assert_int_equal(pg_fake_open(&f->fake, seed), 0);
    if (script) pg_fake_answer(f->fake, fix_answer, f);
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(pg_fake_host(f->fake));
    rc.allocate = fix_allocate;
    rc.deallocate = fix_deallocate;
    rc.arg = f;
    assert_int_equal(pg_reactor_open(&f->reactor, &rc, &error), 0);
    strncat(conninfo, options, sizeof conninfo - strlen(conninfo) - 1);
    struct pg_pool_config pc = PG_POOL_CONFIG(conninfo);
    pc.on_event = fix_event;
    pc.arg = f;
    assert_int_equal(pg_pool_open(&f->pool, f->reactor, &pc, &error), 0);
}
static inline void fix_open(struct fix *f, const char *options, void (*script)(struct fix *, struct pg_fake_query *))
{
    fix_open_seeded(f, 1, options, script);
}
static inline void fix_close(struct fix *f)
{
    assert_int_equal(pg_fake_leaks(f->fake), 0);
    pg_reactor_close(f->reactor, 0);
    assert_true(pg_fake_run(f->fake, 60 * SECOND));  /* nothing is left to do */
    assert_int_equal(pg_fake_connections(f->fake), 0);
    pg_reactor_free(f->reactor);
    pg_fake_close(f->fake);
    assert_int_equal(f->blocks, 0);
}

/* A query that remembers. */
struct told {
    struct pg_query query;
    struct pg_param param;
    struct pg_error error;
    unsigned done, rows;
    uint64_t at_ns;
    int64_t value;
    struct fix *fix;
};
static inline enum pg_flow told_row(struct pg_query *q, struct pg_row *row)
{
    struct told *t = q->data;
    t->rows++;
    t->value = pg_row_int8(row, 0);
    return PG_CONTINUE;
}
static inline void told_done(struct pg_query *q)
{
    struct told *t = q->data;
    t->done++;
    t->at_ns = pg_reactor_now(t->fix->reactor);
}
static inline void tell(struct told *t, struct fix *f, struct pg_statement *statement, int64_t param)
{
    memset(t, 0, sizeof *t);
    t->fix = f;
    t->param = pg_int8(param);
    t->query = (struct pg_query){
        .statement = statement, .on_row = told_row, .on_done = told_done, .data = t, .error = &t->error
    };
    if (statement->types[0]) t->query.params = &t->param, t->query.nparams = 1;
}
static inline void ask(struct told *t, struct fix *f, struct pg_statement *statement, int64_t param)
{
    tell(t, f, statement, param);
    pg_pool_query(f->pool, &t->query);
}
static inline void expect(const struct told *t, int status)
{
    assert_int_equal(t->done, 1);
    assert_string_equal(pg_error_name(t->query.status), pg_error_name(status));
}
#endif
