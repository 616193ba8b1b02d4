/* The demo's --pool: options joined to a connection string of either form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "options.h"

static void joins(void **state)
{
    (void)state;
    static const struct { const char *base, *more, *wanted;
    } cases[] = {
        { NULL, "", "" },
        { NULL, "pool_max_conns=2", " pool_max_conns=2" },
        { "host=/tmp dbname=x", "", "host=/tmp dbname=x" },
        { "host=/tmp", "pool_max_conns=2 options='-c a=b'", "host=/tmp pool_max_conns=2 options='-c a=b'" },
        { "postgresql://u@h/d", "", "postgresql://u@h/d" },
        { "postgresql://u@h/d", "pool_max_conns=2", "postgresql://u@h/d?pool_max_conns=2" },
        {"postgres://u@h/d?a=b", " pool_max_conns = 2  pool_max_waiters=5 ",
         "postgres://u@h/d?a=b&pool_max_conns=2&pool_max_waiters=5"},
        {"postgres:///d", "options='-c x=y\\'z&' application_name=a\\ b",
         "postgres:///d?options=-c%20x%3Dy%27z%26&application_name=a%20b"},
        { "postgres:///d", "password=''", "postgres:///d?password=" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[256];
        assert_int_equal(conninfo_join(out, sizeof out, cases[i].base, cases[i].more), 0);
        assert_string_equal(out, cases[i].wanted);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const char *const wrong[] = { "pool_max_conns", "=2", "a=b c", "a='b", "a 2" };
    char out[64];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(conninfo_join(out, sizeof out, "postgres://h/d", wrong[i]), -1);
    assert_int_equal(conninfo_join(out, 20, "host=/tmp", "pool_max_conns=2"), -2);
    assert_int_equal(conninfo_join(out, 20, "postgres:///d", "a=&"), 0);
    assert_int_equal(conninfo_join(out, 18, "postgres:///d", "a=&"), -2);
    assert_true(strlen(out) < 18);
}

static void parses(void **state)
{
    (void)state;
    struct options options;
    char *good[] = { (char[]){ "x" }, (char[]){ "--reactors" }, (char[]){ "3" }, (char[]){ "--port=80" },
                     (char[]){ "--pool" }, (char[]){ "a=b" }, (char[]){ "--host" }, (char[]){ "epoll" },
                     (char[]){ "--budget=12" }, NULL };
    assert_int_equal(options_parse(&options, 9, good), 0);
    assert_int_equal(options.reactors, 3);
    assert_int_equal(options.port, 80);
    assert_string_equal(options.pool, "a=b");
    assert_int_equal(options.host, HOST_EPOLL);
    assert_int_equal(options.budget, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(joins), cmocka_unit_test(refuses), cmocka_unit_test(parses) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
