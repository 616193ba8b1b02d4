/* test_message.c - frames, error fields, command tags, and every message of the frontend, byte by byte. */
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

/* ---- frames (failures 17) ---- */

static void test_frames(void **state)
{
    (void)state;
    static const uint8_t bytes[] = { 'D', 0, 0, 0, 7, 'a', 'b', 'c', 'Z', 0, 0, 0, 5, 'I' };
    for (size_t have = 0; have <= sizeof bytes; have++) {
        struct rp_frame f = { 0 };
        size_t need = 0;
        uint8_t *copy = malloc(have ? have : 1); /* nothing behind it may be read */
        assert_non_null(copy);
        memcpy(copy, bytes, have);
        int there = rp_frame_read(copy, have, 1000, &f, &need);
        assert_int_equal(there, have >= 8);
        assert_int_equal(need, have >= 5 ? 8 : 5);
        assert_int_equal(f.type, have ? 'D' : 0);
        if (there) {
            assert_ptr_equal(f.body, copy + 5);
            assert_int_equal(f.size, 3);
        }
        free(copy);
    }
}

static void test_frame_lengths(void **state)
{
    (void)state;
    static const struct { uint32_t length; size_t limit; int there; } cases[] = {
        { 0, 1000, -1 }, { 3, 1000, -1 }, { 4, 1000, 1 }, { 5, 1000, 0 }, { 1000, 1000, 0 }, { 1001, 1000, -1 },
        { 0x7fffffff, 1000, -1 }, { 0x80000000, 1000, -1 }, { UINT32_MAX, 1000, -1 }, { 0x3fffffff, 0x3fffffff, 0 },
        { 0x40000000, 0x3fffffff, -1 },
        { UINT32_MAX, SIZE_MAX, 0 },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        uint32_t n = cases[i].length;
        const uint8_t head[] = { 'D', (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
        struct rp_frame f;
        size_t need;
        assert_int_equal(rp_frame_read(head, sizeof head, cases[i].limit, &f, &need), cases[i].there);
        if (cases[i].there >= 0) assert_int_equal(need, (size_t)n + 1);
    }
}

/* ---- errors (failures 3, 22) ---- */

static bool parse(struct pg_error *error, const char *body, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, body, size);
    memset(error, 0x55, sizeof *error);
    bool fatal = rp_error_parse(error, copy, size);
    free(copy);
    assert_int_equal(error->code, 0);
    assert_int_equal(error->text[sizeof error->text - 1], 0);
    return fatal;
}
#define PARSE(error, literal) parse((error), literal, sizeof(literal))

static void test_error_fields(void **state)
{
    (void)state;
    struct pg_error e;
    assert_false(
        PARSE(&e, "SFEHLER\0VERROR\0C23505\0Mdup\0Ddetail\0Hhint\0P17\0tt\0nt_pkey\0Fnbtinsert.c\0L1\0R_bt_check\0"));
    assert_string_equal(e.sqlstate, "23505");
    assert_int_equal(e.position, 17);
    static const struct { char field; const char *value; } fields[] = {
        { 'S', "FEHLER" }, { 'V', "ERROR" },     { 'C', "23505" }, { 'M', "dup" },    { 'D', "detail" },
        { 'H', "hint" },   { 'P', "17" },        { 't', "t" },     { 'n', "t_pkey" }, { 'F', "nbtinsert.c" },
        { 'L', "1" },      { 'R', "_bt_check" }, { 'X', "" },      { 0, "" },
    };
    for (size_t i = 0; i < RP_COUNT(fields); i++)
        assert_string_equal(pg_error_field(&e, fields[i].field), fields[i].value);
}

static void test_fatal(void **state)
{
    (void)state;
    struct pg_error e;
    assert_true(PARSE(&e, "SFATAL\0C57P01\0Mx\0"));
    assert_true(PARSE(&e, "SPANIC\0C57P01\0Mx\0"));
    assert_true(PARSE(&e, "SFATALITET\0VFATAL\0"));
    assert_true(PARSE(&e, "SSCHWERER FEHLER\0VPANIC\0Mx\0"));
    assert_false(PARSE(&e, "SERROR\0VERROR\0MFATAL\0CFATAL\0"));
    assert_false(PARSE(&e, "SFATA\0"));
    assert_true(parse(&e, "SFATAL", 6)); /* also without its end */
    assert_false(parse(&e, "SFATA", 5));
    assert_false(parse(&e, "S", 1));
}

static void test_poor_fields(void **state)
{
    (void)state;
    struct pg_error e;
    parse(&e, "", 0);
    assert_string_equal(pg_error_field(&e, 'M'), "");
    parse(&e, "Mno end", 7);
    assert_string_equal(pg_error_field(&e, 'M'), "no end");
    /* Of what is repeated, the first counts. */
    PARSE(&e, "Mfirst\0Msecond\0C23505\0C42601\0P12\0P34\0Done\0Dtwo\0Fa\0Fb\0");
    assert_string_equal(pg_error_field(&e, 'M'), "first");
    assert_string_equal(pg_error_field(&e, 'D'), "one");
    assert_string_equal(pg_error_field(&e, 'F'), "a");
    assert_string_equal(e.sqlstate, "23505");
    assert_int_equal(e.position, 12);
    char many[1200];
    int n = 0;
    for (int i = 0; i < 20; i++)
        n += snprintf(many + n, sizeof many - (size_t)n, "Ma message of forty characters, over and over%c", 0);
    n += snprintf(many + n, sizeof many - (size_t)n, "Hhint%c", 0);
    parse(&e, many, (size_t)n + 1); /* and takes the room of no other */
    assert_string_equal(pg_error_field(&e, 'H'), "hint");
    PARSE(&e, "C2350\0C235055\0P-1\0P\0M\0");
    assert_string_equal(e.sqlstate, "");
    assert_int_equal(e.position, 0);
    assert_string_equal(pg_error_field(&e, 'M'), "");
    PARSE(&e, "P99999999999999999999\0"); /* no further than it goes */
    assert_int_equal(e.position, 999999999);
    PARSE(&e, "P12x\0\377high\0");
    assert_int_equal(e.position, 12);
    assert_string_equal(pg_error_field(&e, (char)0xff), "high");
}

/* What does not fit is cut, and what matters most is there first. */
static void test_large_fields(void **state)
{
    (void)state;
    struct pg_error e;
    char body[3000], message[1000], file[1000];
    memset(message, 'm', sizeof message);
    memset(file, 'f', sizeof file);
    for (int n = 0; n < 1000; n++) {
        int size =
            snprintf(body, sizeof body, "F%.*s%cSERROR%cC23505%cM%.*s%cHhint%c", n, file, 0, 0, 0, n, message, 0, 0);
        parse(&e, body, (size_t)size + 1);
        assert_string_equal(pg_error_field(&e, 'C'), "23505");
        assert_string_equal(pg_error_field(&e, 'S'), "ERROR");
        size_t kept = strlen(pg_error_field(&e, 'M'));
        assert_true(kept == (size_t)n || (kept > 440 && kept < sizeof e.text));
        assert_true(n > 400 || !strcmp(pg_error_field(&e, 'H'), "hint"));
        assert_true(strlen(pg_error_field(&e, 'F')) <= (size_t)n);
    }
    memset(body, 'x', sizeof body); /* one field without an end */
    parse(&e, body, sizeof body);
    assert_true(strlen(pg_error_field(&e, 'x')) == sizeof e.text - 3);
}

/* ---- command tags ---- */

static void test_tags(void **state)
{
    (void)state;
    static const struct { const char *text, *tag; uint64_t rows; } cases[] = {
        { "SELECT 5", "SELECT", 5 }, { "INSERT 0 1", "INSERT", 1 }, { "INSERT 16385 1", "INSERT", 1 },
        { "UPDATE 0", "UPDATE", 0 },
        { "DELETE 18446744073709551615", "DELETE", UINT64_MAX }, { "CREATE TABLE", "CREATE TABLE", 0 },
        { "BEGIN", "BEGIN", 0 },
        { "ROLLBACK", "ROLLBACK", 0 }, { "DISCARD ALL", "DISCARD ALL", 0 }, { "COPY 3", "COPY", 3 }, { "", "", 0 },
        { "7", "", 0 },
        { "REFRESH MATERIALIZED VIEW", "REFRESH MATERIA", 0 }, { "ALTER OPERATOR CLASS", "ALTER OPERATOR", 0 },
        { "SELECT ", "SELECT", 0 },
        { "SELECT 5x", "SELECT", 5 }, { " 5", "", 5 }, { "SELECT5", "SELECT", 0 }, { "FETCH 12", "FETCH", 12 },
        { "MERGE 4", "MERGE", 4 },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        char tag[16];
        uint64_t rows = 77;
        memset(tag, 0x55, sizeof tag);
        assert_true(rp_tag_parse((const uint8_t *)cases[i].text, strlen(cases[i].text) + 1, tag, &rows));
        assert_string_equal(tag, cases[i].tag);
        assert_int_equal(rows, cases[i].rows);
    }
}

static void test_bodies_that_are_no_tag(void **state)
{
    (void)state;
    static const struct { const char *body; size_t size; } cases[] = {
        { "", 0 }, { "SELECT 1", 8 }, { "SELECT\0 1", 10 }, { "\0\0", 2 }, { "SELECT 1\0", 10 }
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        char tag[16];
        uint64_t rows;
        uint8_t *body = malloc(cases[i].size); /* so that a read behind it is seen */
        assert_true(body || !cases[i].size);
        if (cases[i].size) memcpy(body, cases[i].body, cases[i].size);
        assert_false(rp_tag_parse(body, cases[i].size, tag, &rows));
        free(body);
    }
}

/* ---- what we write ---- */

enum { ROOM = 400 };
struct written { uint8_t at[ROOM]; size_t size; };

/* `write` through windows of every size gives `expected`. */
static void check_written(void (*write)(struct rp_writer *, const void *), const void *argument, const char *expected,
                          size_t size)
{
    for (size_t window = 1; window <= size + 1; window++) {
        struct written got = { .size = 0 };
        while (got.size < size) {
            struct rp_writer w = { .to = got.at + got.size, .capacity = window, .skip = got.size };
            write(&w, argument);
            assert_true(w.used > 0 && w.used <= window);
            assert_int_equal(w.skip, 0);
            got.size += w.used;
        }
        assert_int_equal(got.size, size);
        assert_memory_equal(got.at, expected, size);
    }
}
#define CHECK_WRITTEN(write, argument, literal) check_written((write), (argument), literal, sizeof(literal) - 1)

static void do_describe(struct rp_writer *w, const void *unused) { (void)unused; rp_write_describe_portal(w); }
static void do_execute(struct rp_writer *w, const void *unused) { (void)unused; rp_write_execute(w); }
static void do_sync(struct rp_writer *w, const void *unused) { (void)unused; rp_write_sync(w); }
static void do_terminate(struct rp_writer *w, const void *unused) { (void)unused; rp_write_terminate(w); }
static void do_cancel(struct rp_writer *w, const void *key)
{
    rp_write_cancel(w, 0x01020304, key, strlen(key));
}
static void do_query(struct rp_writer *w, const void *sql) { rp_write_query(w, sql); }
static void do_close(struct rp_writer *w, const void *id) { rp_write_close(w, *(const uint32_t *)id); }
static void do_password(struct rp_writer *w, const void *password) { rp_write_password(w, password); }
static void do_sasl(struct rp_writer *w, const void *mechanism) { rp_write_sasl(w, mechanism, "n,,r", 4); }
static void do_startup(struct rp_writer *w, const void *pairs) { rp_write_startup(w, RP_PROTOCOL_3_0, pairs); }
static void do_startup_3_2(struct rp_writer *w, const void *pairs) { rp_write_startup(w, RP_PROTOCOL_3_2, pairs); }

static void test_fixed_messages(void **state)
{
    (void)state;
    CHECK_WRITTEN(do_describe, NULL, "D\0\0\0\6P\0");
    CHECK_WRITTEN(do_execute, NULL, "E\0\0\0\x09\0\0\0\0\0");
    CHECK_WRITTEN(do_sync, NULL, "S\0\0\0\4");
    CHECK_WRITTEN(do_terminate, NULL, "X\0\0\0\4");
    CHECK_WRITTEN(do_cancel, "\241\242\243\244", "\0\0\0\20\4\322\26\56\1\2\3\4\241\242\243\244");
    CHECK_WRITTEN(do_cancel, "\241\242\243\244key", "\0\0\0\23\4\322\26\56\1\2\3\4\241\242\243\244key");
    CHECK_WRITTEN(do_query, "SELECT 1", "Q\0\0\0\x0dSELECT 1\0");
    CHECK_WRITTEN(do_query, "", "Q\0\0\0\5\0");
    assert_int_equal(rp_query_size("SELECT 1"), 14);
}

static void test_startup_messages(void **state)
{
    (void)state;
    static const struct rp_pair pairs[] = {
        { "user", "app" }, { "options", NULL }, { "database", "" }, { NULL, NULL }
    };
    CHECK_WRITTEN(do_startup, pairs, "\0\0\0\x1c\0\3\0\0user\0app\0database\0\0\0");
    assert_int_equal(rp_write_startup(NULL, RP_PROTOCOL_3_0, pairs), 0x1c);
    CHECK_WRITTEN(do_startup_3_2, pairs, "\0\0\0\x1c\0\3\0\2user\0app\0database\0\0\0");
    CHECK_WRITTEN(do_password, "secret", "p\0\0\0\x0bsecret\0");
    assert_int_equal(rp_write_password(NULL, "secret"), 12);
    CHECK_WRITTEN(do_sasl, "SCRAM-SHA-256", "p\0\0\0\x1aSCRAM-SHA-256\0\0\0\0\4n,,r");
    assert_int_equal(rp_write_sasl(NULL, "SCRAM-SHA-256", "n,,r", 4), 27);
    CHECK_WRITTEN(do_sasl, NULL, "p\0\0\0\x08n,,r");
    assert_int_equal(rp_write_sasl(NULL, NULL, "n,,r", 4), 9);
}

static void test_names(void **state)
{
    (void)state;
    static const struct { uint32_t id; const char *name; } cases[] = {
        { 0, "" }, { 1, "s1" }, { 0xf, "sf" }, { 0x10, "s10" }, { 0xff, "sff" }, { 0x100, "s100" }, { 0xabc0, "sabc0" },
        { 0x10000000, "s10000000" }, { UINT32_MAX, "sffffffff" },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        char expected[32] = "C\0\0\0\0S";
        size_t n = strlen(cases[i].name) + 1;
        expected[4] = (char)(5 + n);
        memcpy(expected + 6, cases[i].name, n);
        check_written(do_close, &cases[i].id, expected, 6 + n);
        assert_int_equal(rp_close_size(cases[i].id), 6 + n);
    }
}

/* ---- Parse and Bind ---- */

static void do_parse(struct rp_writer *w, const void *b) { rp_write_parse(w, b, "SELECT"); }
static void do_bind(struct rp_writer *w, const void *b)
{
    size_t size;
    uint32_t which;
    const char *why;
    assert_int_equal(rp_bind_measure(b, ROOM, &size, &which, &why), 0);
    rp_write_bind(w, b, size);
}

static size_t measured(const struct rp_bind *b)
{
    size_t size = 0;
    uint32_t which;
    const char *why;
    assert_int_equal(rp_bind_measure(b, ROOM, &size, &which, &why), 0);
    assert_int_equal(rp_bind_measure(b, size, &size, &which, &why), 0);
    size_t same = size;
    assert_int_equal(rp_bind_measure(b, size - 1, &size, &which, &why), PG_E_PARAMETER); /* failures 18: to the byte */
    assert_string_equal(why, "makes the message larger than the protocol allows");
    return same;
}
#define CHECK_BIND(b, literal) \
    do { \
        CHECK_WRITTEN(do_bind, (b), literal); \
        assert_int_equal(measured(b), sizeof(literal) - 1); \
    } while (0)
#define CHECK_PARSE(b, literal) \
    do { \
        CHECK_WRITTEN(do_parse, (b), literal); \
        assert_int_equal(rp_parse_size((b), "SELECT"), sizeof(literal) - 1); \
    } while (0)

static void test_bind_formats(void **state)
{
    (void)state;
    const struct pg_param binary = pg_int4(258), text = pg_str("x"), null = pg_null();
    const struct pg_param all[] = { binary, text, null }, texts[] = { text, text }, binaries[] = { binary, null };
    CHECK_BIND((&(struct rp_bind){ 0 }), "B\0\0\0\x0e\0\0\0\0\0\0\0\1\0\1");
    CHECK_BIND((&(struct rp_bind){ .text_results = true, .statement = 0x1a }), "B\0\0\0\x0f\0s1a\0\0\0\0\0\0\0");
    CHECK_BIND((&(struct rp_bind){ .params = texts, .nparams = 2 }),
               "B\0\0\0\x18\0\0\0\0\0\2\0\0\0\1x\0\0\0\1x\0\1\0\1");
    CHECK_BIND(
        (&(struct rp_bind){
            .params = binaries, .nparams = 2, .types = (uint32_t[]){ PG_TYPE_INT4, PG_TYPE_INT4 }, .ntypes = 2 }),
        "B\0\0\0\x1c\0\0\0\1\0\1\0\2\0\0\0\4\0\0\1\2\xff\xff\xff\xff\0\1\0\1");
    CHECK_BIND((&(struct rp_bind){ .params = all,
                                   .nparams = 3,
                                   .types = (uint32_t[]){ PG_TYPE_INT8, PG_TYPE_INT8, PG_TYPE_INT8 },
                                   .ntypes = 3 }),
               "B\0\0\0\x29\0\0\0\3\0\1\0\0\0\1\0\3\0\0\0\x08\0\0\0\0\0\0\1\2\0\0\0\1x\xff\xff\xff\xff\0\1\0\1");
}

static void test_parse_types(void **state)
{
    (void)state;
    const struct pg_param params[] = { pg_int4(1), pg_str("x"), pg_null() };
    CHECK_PARSE((&(struct rp_bind){ 0 }), "P\0\0\0\x0e\0SELECT\0\0\0");
    CHECK_PARSE((&(struct rp_bind){ .statement = 7,
                                    .types = (uint32_t[]){ PG_TYPE_INT2, PG_TYPE_INFER },
                                    .ntypes = 2,
                                    .params = params,
                                    .nparams = 2 }),
                "P\0\0\0\x18s7\0SELECT\0\0\2\0\0\0\x15\0\0\0\0");
    /* What is not declared: a parameter's own type, and the server's choice for text and NULL. */
    CHECK_PARSE((&(struct rp_bind){ .params = params, .nparams = 3 }),
                "P\0\0\0\x1a\0SELECT\0\0\3\0\0\0\x17\0\0\0\0\0\0\0\0");
}

static void test_refused_parameters(void **state)
{
    (void)state;
    struct pg_param params[] = { pg_int4(1), pg_strn("a\0b", 3), pg_int8(1) };
    struct rp_bind b = { .params = params, .nparams = 3 };
    size_t size = 0;
    uint32_t which = 77;
    const char *why = NULL;
    assert_int_equal(rp_bind_measure(&b, ROOM, &size, &which, &why), PG_E_PARAMETER);
    assert_int_equal(which, 1);
    assert_string_equal(why, "is text with a NUL byte");
    params[1] = pg_bytes("", 0), params[2] = pg_null();
    params[1].size = ROOM - 40;
    assert_int_equal(rp_bind_measure(&b, ROOM, &size, &which, &why), 0);
    params[1].size = ROOM - 20; /* the first that makes it too large is named */
    assert_int_equal(rp_bind_measure(&b, ROOM, &size, &which, &why), PG_E_PARAMETER);
    assert_int_equal(which, 1);
    params[1] = pg_strn("a", 1), params[2] = pg_int8(1);
    assert_int_equal(rp_bind_measure(&b, ROOM, &size, &which, &why), 0);
    params[2].scale = 5;
    assert_int_equal(rp_bind_measure(&b, ROOM, &size, &which, &why), PG_E_PARAMETER);
    assert_int_equal(which, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),         cmocka_unit_test(test_frame_lengths),
        cmocka_unit_test(test_error_fields),   cmocka_unit_test(test_fatal),
        cmocka_unit_test(test_poor_fields),    cmocka_unit_test(test_large_fields),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_bodies_that_are_no_tag),           cmocka_unit_test(test_fixed_messages),
        cmocka_unit_test(test_startup_messages), cmocka_unit_test(test_names),
        cmocka_unit_test(test_bind_formats),   cmocka_unit_test(test_parse_types),
        cmocka_unit_test(test_refused_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
