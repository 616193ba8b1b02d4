/* test_classify.c - what the first words of an SQL text say: never wrong about what it names, silent about the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "wire/check.h"
#include "wire/message.h"

struct example { const char *sql; enum rp_sql_class class; };

static void check_all(const struct example *examples, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rp_sql_classify(examples[i].sql) != examples[i].class)
            fail_msg("\"%s\" is %d, not %d", examples[i].sql, rp_sql_classify(examples[i].sql), examples[i].class);
}
#define CHECK_ALL(examples) check_all((examples), RP_COUNT(examples))

static void test_transactions(void **state)
{
    (void)state;
    static const struct example examples[] = {
        { "BEGIN", RP_SQL_BEGIN }, { "begin work", RP_SQL_BEGIN }, { "Begin;", RP_SQL_BEGIN },
        { "BEGIN ISOLATION LEVEL SERIALIZABLE", RP_SQL_BEGIN }, { "START TRANSACTION READ ONLY", RP_SQL_BEGIN },
        { "COMMIT", RP_SQL_COMMIT }, { "commit work", RP_SQL_COMMIT }, { "END", RP_SQL_COMMIT },
        { "end transaction", RP_SQL_COMMIT },
        { "COMMIT AND CHAIN", RP_SQL_COMMIT }, { "COMMIT;", RP_SQL_COMMIT },
        { "ROLLBACK", RP_SQL_ROLLBACK }, { "rollback work", RP_SQL_ROLLBACK }, { "ABORT", RP_SQL_ROLLBACK },
        { "ROLLBACK TRANSACTION AND NO CHAIN", RP_SQL_ROLLBACK }, { "ROLLBACK;", RP_SQL_ROLLBACK },
        { "ROLLBACK TO s", RP_SQL_SESSION }, { "ROLLBACK TO SAVEPOINT s", RP_SQL_SESSION },
        { "ROLLBACK WORK TO s", RP_SQL_SESSION },
        { "rollback transaction to savepoint s", RP_SQL_SESSION }, { "ROLLBACK/**/TO/**/s", RP_SQL_SESSION },
        { "SAVEPOINT s", RP_SQL_SESSION }, { "RELEASE s", RP_SQL_SESSION },
        { "COMMIT PREPARED 'x'", RP_SQL_PLAIN }, { "rollback prepared 'x'", RP_SQL_PLAIN },
        { "PREPARE TRANSACTION 'x'", RP_SQL_SESSION },
    };
    CHECK_ALL(examples);
}

static void test_session_state(void **state)
{
    (void)state;
    static const struct example examples[] = {
        { "SET search_path = x", RP_SQL_SESSION }, { "set local timezone = 'UTC'", RP_SQL_SESSION },
        { "RESET ALL", RP_SQL_SESSION },
        { "LISTEN channel", RP_SQL_SESSION }, { "UNLISTEN *", RP_SQL_SESSION }, { "COPY t FROM STDIN", RP_SQL_SESSION },
        { "PREPARE p AS SELECT 1", RP_SQL_SESSION }, { "EXECUTE p", RP_SQL_SESSION },
        { "DEALLOCATE ALL", RP_SQL_SESSION },
        { "DECLARE c CURSOR FOR SELECT 1", RP_SQL_SESSION }, { "FETCH c", RP_SQL_SESSION },
        { "MOVE c", RP_SQL_SESSION },
        { "CLOSE c", RP_SQL_SESSION }, { "LOCK t", RP_SQL_SESSION }, { "DISCARD ALL", RP_SQL_SESSION },
        { "LOAD 'x'", RP_SQL_SESSION },
        { "CREATE TEMP TABLE t ()", RP_SQL_SESSION }, { "create temporary table t ()", RP_SQL_SESSION },
        { "CREATE LOCAL TEMP TABLE t ()", RP_SQL_SESSION }, { "CREATE GLOBAL TEMPORARY TABLE t ()", RP_SQL_SESSION },
        { "CREATE OR REPLACE TEMP VIEW v AS SELECT 1", RP_SQL_SESSION },
    };
    CHECK_ALL(examples);
}

static void test_plain(void **state)
{
    (void)state;
    static const struct example examples[] = {
        { "", RP_SQL_PLAIN }, { "  ", RP_SQL_PLAIN }, { ";", RP_SQL_PLAIN }, { "SELECT 1", RP_SQL_PLAIN },
        { "INSERT INTO t VALUES (1)", RP_SQL_PLAIN },
        { "WITH x AS (SELECT 1) SELECT * FROM x", RP_SQL_PLAIN }, { "(SELECT 1)", RP_SQL_PLAIN },
        { "NOTIFY c", RP_SQL_PLAIN },
        { "CREATE TABLE temp (x int)", RP_SQL_PLAIN },
        { "CREATE OR REPLACE FUNCTION f() RETURNS int AS $$BEGIN$$", RP_SQL_PLAIN },
        { "CREATE TEMPLATE", RP_SQL_PLAIN }, { "CREATE", RP_SQL_PLAIN },
        /* words that only begin like one */
        { "BEGINNING", RP_SQL_PLAIN }, { "setup", RP_SQL_PLAIN }, { "END_OF", RP_SQL_PLAIN },
        { "COMMIT1", RP_SQL_PLAIN }, { "set$", RP_SQL_PLAIN },
        { "SET\xc3\xa9", RP_SQL_PLAIN }, { "BEGI", RP_SQL_PLAIN }, { "B", RP_SQL_PLAIN },
        { "ROLLBACKTO", RP_SQL_PLAIN },
        { "\"SET\"", RP_SQL_PLAIN }, { "'BEGIN'", RP_SQL_PLAIN }, { "SELECT 'x'; COMMIT", RP_SQL_PLAIN },
    };
    CHECK_ALL(examples);
}

static void test_blanks_and_comments(void **state)
{
    (void)state;
    static const struct example examples[] = {
        { " \t\r\n\f BEGIN", RP_SQL_BEGIN }, { ";;BEGIN", RP_SQL_BEGIN }, { "-- one\nBEGIN", RP_SQL_BEGIN },
        { "-- one\rBEGIN", RP_SQL_BEGIN },
        { "-- a\rSELECT 1\nCOMMIT", RP_SQL_PLAIN }, { "-- BEGIN", RP_SQL_PLAIN }, { "--\n--\n  BEGIN", RP_SQL_BEGIN },
        { "- BEGIN", RP_SQL_PLAIN },
        { "/* one */BEGIN", RP_SQL_BEGIN }, { "/*/ BEGIN */ COMMIT", RP_SQL_COMMIT },
        { "/* a /* b */ BEGIN */ COMMIT", RP_SQL_COMMIT },
        { "/* /*/ */ COMMIT", RP_SQL_PLAIN }, { "/* /*/ */ */ COMMIT", RP_SQL_COMMIT },
        { "/* BEGIN", RP_SQL_PLAIN }, { "/* /* BEGIN */", RP_SQL_PLAIN }, { "/* -- */ COMMIT", RP_SQL_COMMIT },
        { "-- /*\nCOMMIT", RP_SQL_COMMIT },
        { "/**//**/ -- x\n /* y */COMMIT", RP_SQL_COMMIT }, { "/", RP_SQL_PLAIN }, { "/*", RP_SQL_PLAIN },
        { "/* *", RP_SQL_PLAIN },
        { "CREATE /* x */ TEMP -- y\n TABLE t ()", RP_SQL_SESSION }, { "BEGIN/*x*/", RP_SQL_BEGIN },
        { "BEGIN--x", RP_SQL_BEGIN },
    };
    CHECK_ALL(examples);
}

/* Every text read from a block of its own: nothing behind the NUL is looked at. */
static void test_ends(void **state)
{
    (void)state;
    static const char text[] = "/* a /* b */ */ -- c\n CREATE OR REPLACE LOCAL TEMPORARY VIEW";
    for (size_t n = 0; n < sizeof text; n++) {
        char *cut = strndup(text, n);
        assert_non_null(cut);
        bool complete = n >= strlen(text) - strlen(" VIEW");
        assert_int_equal(rp_sql_classify(cut),
                         complete || !strcmp(cut + n - (n > 4 ? 5 : n), " TEMP") ? RP_SQL_SESSION : RP_SQL_PLAIN);
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transactions), cmocka_unit_test(test_session_state), cmocka_unit_test(test_plain),
        cmocka_unit_test(test_blanks_and_comments), cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
