/* Arrays, records and ranges: views in both formats, what they print, and what is malformed at any place. */
#include <stdio.h>
#include "unit/getters.h"

/* A body that is put together word by word; -1 where a NULL is meant. */
struct body {
    uint8_t bytes[512];
    size_t size;
};
static void word(struct body *b, int64_t number) { b->size += put_big_endian(b->bytes + b->size, (uint64_t)number, 4); }
static void part(struct body *b, const void *bytes, size_t size)
{
    word(b, (int64_t)size);
    memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}
static void text_part(struct body *b, const char *text) { part(b, text, strlen(text)); }
static void head(struct body *b, uint32_t dimensions, uint32_t element, const int32_t *shape)
{
    b->size = 0;
    word(b, dimensions);
    word(b, 0);
    word(b, element);
    for (uint32_t i = 0; i < 2 * dimensions; i++) word(b, shape[i]);
}
static struct pg_value value_in(const struct body *b, uint32_t type)
{
    return value_of(type, false, b->bytes, b->size);
}

/* ---- arrays ---- */

/* The elements, each behind a '|', NULL as "-". */
static const char *elements(struct pg_value value)
{
    static char out[512];
    size_t at = 0;
    struct pg_array array = pg_value_array(value);
    uint32_t count = 0;
    out[0] = 0;
    for (struct pg_value e; pg_array_next(&array, &e); count++) {
        char text[100] = "-";
        if (!pg_is_null(e)) pg_value_format(e, text, sizeof text);
        at += (size_t)snprintf(out + at, sizeof out - at, "|%s", text);
    }
    assert_int_equal(count, array.count);
    return out;
}

static void an_array(void **state)
{
    (void)state;
    struct body b;
    head(&b, 2, PG_TYPE_INT4, (const int32_t[]){ 2, 0, 2, -1 });
    part(&b, "\0\0\0\1", 4);
    word(&b, -1);
    part(&b, "\0\0\0\3", 4);
    part(&b, "\xff\xff\xff\xfc", 4);
    static const char text[] = "[0:1][-1:0]={{1,NULL},{3,-4}}";
    expect_printed(value_in(&b, PG_TYPE_INT4_ARRAY), text);
    for (int format = 0; format < 2; format++) {
        struct pg_value value = format ? in_text(PG_TYPE_INT4_ARRAY, text) : value_in(&b, PG_TYPE_INT4_ARRAY);
        struct pg_array array = pg_value_array(value);
        assert_int_equal(array.dimensions, 2);
        assert_int_equal(array.element_type, PG_TYPE_INT4);
        assert_int_equal(array.count, 4);
        assert_true(array.length[0] == 2 && array.length[1] == 2 && array.lower[0] == 0 && array.lower[1] == -1);
        static const int32_t wanted[] = { 1, 0, 3, -4 };
        struct pg_value e;
        for (int i = 0; i < 4; i++) {
            assert_true(pg_array_next(&array, &e));
            assert_true(pg_is_null(e) == (i == 1));
            if (i != 1) assert_int_equal(pg_value_int4(e), wanted[i]);
            expect_no_complaint();
        }
        assert_false(pg_array_next(&array, &e));
        assert_true(pg_is_null(e));
        pg_value_int4(e); /* a forgotten end is no silent zero */
        expect_complaint("is NULL");
    }
}

static void empty_arrays(void **state)
{
    (void)state;
    struct body b;
    head(&b, 0, PG_TYPE_TEXT, NULL);
    for (int format = 0; format < 2; format++) {
        struct pg_value value = format ? in_text(PG_TYPE_TEXT_ARRAY, "{}") : value_in(&b, PG_TYPE_TEXT_ARRAY), e;
        struct pg_array array = pg_value_array(value);
        expect_no_complaint();
        assert_true(array.dimensions == 0 && array.count == 0 && !pg_array_next(&array, &e));
    }
    expect_printed(value_in(&b, PG_TYPE_TEXT_ARRAY), "{}");
}

static void six_dimensions(void **state)
{
    (void)state;
    struct body b;
    static const char text[] = "{{{{{{1,2}}}}},{{{{{3,4}}}}}}";
    head(&b, 6, PG_TYPE_INT2, (const int32_t[]){ 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1 });
    for (char i = 1; i <= 4; i++) part(&b, (const char[]){ 0, i }, 2);
    expect_printed(value_in(&b, PG_TYPE_INT2_ARRAY), text);
    assert_string_equal(elements(value_in(&b, PG_TYPE_INT2_ARRAY)), "|1|2|3|4");
    assert_string_equal(elements(in_text(PG_TYPE_INT2_ARRAY, text)), "|1|2|3|4");
    expect_no_complaint();
    assert_string_equal(elements(in_text(PG_TYPE_INT2_ARRAY, "{{{{{{{1}}}}}}}")), "");
    expect_complaint("is not the text of a valid array");
}

static void quoted_elements(void **state)
{
    (void)state;
    static const char *const list[] = {
        "", "NULL", "null", "nul", "a b", "a,b", "a\"b", "a\\b", "{a}", "tab\t", "(a)"
    };
    static const char text[] =
        "{\"\",\"NULL\",\"null\",nul,\"a b\",\"a,b\",\"a\\\"b\",\"a\\\\b\",\"{a}\",\"tab\t\",(a)}";
    struct body b;
    head(&b, 1, PG_TYPE_TEXT, (const int32_t[]){ 11, 1 });
    for (int i = 0; i < 11; i++) text_part(&b, list[i]);
    expect_printed(value_in(&b, PG_TYPE_TEXT_ARRAY), text);
    struct pg_array array = pg_value_array(in_text(PG_TYPE_TEXT_ARRAY, text));
    struct pg_value e;
    for (int i = 0; i < 11; i++) {
        char out[20];
        row = (struct pg_row){ 0 };
        assert_true(pg_array_next(&array, &e));
        pg_value_format(e, out, sizeof out);
        assert_string_equal(out, list[i]);
        expect_no_complaint();
        bool escapes = strpbrk(list[i], "\"\\");
        assert_int_equal(e.escape, escapes ? PG_ESCAPE_ARRAY : PG_ESCAPE_NONE);
        assert_int_equal(pg_value_text(e).size, escapes ? 0 : strlen(list[i])); /* no view of it is its value */
        if (escapes) expect_complaint("has escapes inside of a container's text: pg_value_format copies it");
    }
    array = pg_value_array(in_text(PG_TYPE_BYTEA_ARRAY, "{\"\\\\x00ff5c\",\"\\\\001a\"}"));
    uint8_t bytes[4];
    assert_true(pg_array_next(&array, &e) && pg_value_bytea(e, bytes, 4) == 3);
    assert_memory_equal(bytes, "\0\xff\x5c", 3);
    assert_true(pg_array_next(&array, &e) && pg_value_bytea(e, bytes, 4) == 2);
    assert_memory_equal(bytes, "\1a", 2);
    expect_no_complaint();
}

static void get_array(struct pg_value value)
{
    struct pg_array array = pg_value_array(value);
    struct pg_value e;
    uint32_t count = 0;
    while (pg_array_next(&array, &e)) count++;
    assert_true(count == array.count && (!row.mark || (count == 0 && array.dimensions == 0)));
}

static void malformed_arrays(void **state)
{
    (void)state;
    struct body b;
    head(&b, 2, PG_TYPE_INT4, (const int32_t[]){ 1, 1, 2, 1 });
    part(&b, "\0\0\0\1", 4);
    part(&b, "\0\0\0\2", 4);
    expect_no_other_size(PG_TYPE_INT4_ARRAY, b.bytes, b.size, get_array);
    static const struct {
        size_t at;
        int64_t word;
    } wrong[] = { { 0, 7 },           { 0, -1 },         { 0, 1 },          { 4, 2 },          { 8, 20 }, { 12, 0 },
                  { 12, -1 },         { 12, 2 },         { 12, INT32_MAX }, { 16, INT32_MAX }, { 20, 3 }, { 20, 1 },
                  { 20, 0x10000001 }, { 24, INT32_MAX }, { 28, -2 },        { 28, 400 },       { 28, 5 }, { 36, 3 } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct body broken = b;
        bool bounds = wrong[i].word == INT32_MAX && wrong[i].at == 16; /* of one element: no overflow */
        put_big_endian(broken.bytes + wrong[i].at, (uint64_t)wrong[i].word, 4);
        get_array(value_in(&broken, PG_TYPE_INT4_ARRAY));
        if (bounds)
            expect_no_complaint();
        else
            expect_complaint("is not the binary form of a valid array");
    }
    static const char *const texts[] = { "",
                                         "{",
                                         "}",
                                         "{1",
                                         "1}",
                                         "{1,}",
                                         "{,1}",
                                         "{,}",
                                         "{1}}",
                                         "{{1}",
                                         "{{1},2}",
                                         "{1,{2}}",
                                         "{{1,2},{3}}",
                                         "{{1},{{2}}}",
                                         "{{},{}}",
                                         "{1}x",
                                         " {1}",
                                         "{1 2\"}",
                                         "{\"1}",
                                         "{\"1\\",
                                         "{\"1\"2}",
                                         "{a\\b}",
                                         "[0:1]={1}",
                                         "[1:0]={}",
                                         "[0:0]{1}",
                                         "[0]={1}",
                                         "[a:b]={1}",
                                         "[0:0]={{1}}",
                                         "[0:0][1:1]={1}",
                                         "[0:4294967296]={1}",
                                         "{1;2",
                                         "[-2147483648:2147483647]={1}" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) expect_malformed(PG_TYPE_INT4_ARRAY, texts[i], get_array);
    get_array(in_binary(PG_TYPE_INT4, 1, 4));
    expect_complaint("is an integer, not an array");
}

/* ---- records ---- */

static void field(struct body *b, uint32_t type, const void *bytes, size_t size)
{
    word(b, type);
    if (bytes)
        part(b, bytes, size);
    else
        word(b, -1);
}

static void a_record(void **state)
{
    (void)state;
    static const char text[] = "(7,\"a \"\"b\"\"\\\\\",,\"\",x)";
    static const char *const wanted[] = { "7", "a \"b\"\\", NULL, "", "x" };
    struct body b = { .size = 0 };
    word(&b, 5);
    field(&b, PG_TYPE_INT4, "\0\0\0\7", 4);
    field(&b, PG_TYPE_TEXT, "a \"b\"\\", 6);
    field(&b, PG_TYPE_NUMERIC, NULL, 0);
    field(&b, PG_TYPE_TEXT, "", 0);
    field(&b, PG_TYPE_VARCHAR, "x", 1);
    expect_printed(value_in(&b, PG_TYPE_RECORD), text);
    for (int format = 0; format < 2; format++) {
        struct pg_record record =
            pg_value_record(format ? in_text(PG_TYPE_RECORD, text) : value_in(&b, PG_TYPE_RECORD));
        struct pg_value v;
        assert_int_equal(record.count, 5);
        for (int i = 0; i < 5; i++) {
            char out[20];
            assert_true(pg_record_next(&record, &v));
            assert_true(pg_is_null(v) == !wanted[i]);
            if (!wanted[i]) continue;
            pg_value_format(v, out, sizeof out);
            assert_string_equal(out, wanted[i]);
            if (format) assert_int_equal(v.type, 0);
            if (format) v.type = PG_TYPE_INT4; /* as the header says: set it first */
            if (i == 0) assert_int_equal(pg_value_int4(v), 7);
        }
        assert_false(pg_record_next(&record, &v));
        expect_no_complaint();
    }
    struct pg_record nulls = pg_value_record(in_text(PG_TYPE_RECORD, "(,)"));
    struct pg_value v;
    assert_int_equal(nulls.count, 2);
    assert_true(pg_record_next(&nulls, &v) && pg_is_null(v) && pg_record_next(&nulls, &v) && pg_is_null(v));
}

static void get_record(struct pg_value value)
{
    struct pg_record record = pg_value_record(value);
    struct pg_value v;
    uint32_t count = 0;
    while (pg_record_next(&record, &v)) count++;
    assert_true(count == record.count && (!row.mark || count == 0));
}

static void malformed_records(void **state)
{
    (void)state;
    struct body b = { .size = 0 };
    word(&b, 2);
    field(&b, PG_TYPE_INT4, "\0\0\0\7", 4);
    field(&b, PG_TYPE_TEXT, "ab", 2);
    expect_no_other_size(PG_TYPE_RECORD, b.bytes, b.size, get_record);
    static const char *const texts[] = { "",      "(",        ")",      "(1",     "1)",     "(1)x",
                                         "(\"1)", "(\"1\"2)", "(a\"b)", "(a\\b)", "(1)(2)", " (1)" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) expect_malformed(PG_TYPE_RECORD, texts[i], get_record);
    put_big_endian(b.bytes, UINT32_MAX, 4);
    get_record(value_in(&b, PG_TYPE_RECORD));
    expect_complaint("is not the binary form of a valid record");
}

/* Records in records, `depth` of them. */
static void depth(void **state)
{
    (void)state;
    for (int levels = 1; levels < 9; levels++) {
        struct body b = { .size = 0 };
        int64_t size = 12 * (int64_t)levels + 1;
        for (int i = 0; i < levels; i++) {
            word(&b, 1);
            word(&b, i + 1 < levels ? PG_TYPE_RECORD : PG_TYPE_TEXT);
            word(&b, size -= 12);
        }
        b.bytes[b.size++] = '"';
        struct pg_value value = value_in(&b, PG_TYPE_RECORD);
        size_t printed = pg_value_format(value, NULL, 0);
        if (levels > 6)
            expect_complaint("is nested too deeply to be printed");
        else
            expect_no_complaint();
        assert_true(levels > 6 ? printed == 0 : printed > (size_t)1 << levels);
    }
}

/* ---- ranges ---- */

static void ranges(void **state)
{
    (void)state;
    static const struct {
        uint8_t flags;
        const char *text;
        bool lower, upper, empty, lower_in, upper_in;
    } list[] = {
        { 0x01, "empty", false, false, true, false, false }, { 0x02, "[1,5)", true, true, false, true, false },
        { 0x04, "(1,5]", true, true, false, false, true },   { 0x06, "[1,5]", true, true, false, true, true },
        { 0x18, "(,)", false, false, false, false, false },  { 0x12, "[1,)", true, false, false, true, false },
        { 0x0c, "(,5]", false, true, false, false, true },   { 0x00, "(1,5)", true, true, false, false, false }
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct body b = { .bytes = { list[i].flags }, .size = 1 };
        if (list[i].lower) part(&b, "\0\0\0\1", 4);
        if (list[i].upper) part(&b, "\0\0\0\5", 4);
        expect_printed(value_in(&b, PG_TYPE_INT4RANGE), list[i].text);
        for (int format = 0; format < 2; format++) {
            struct pg_range r =
                pg_value_range(format ? in_text(PG_TYPE_INT4RANGE, list[i].text) : value_in(&b, PG_TYPE_INT4RANGE));
            expect_no_complaint();
            assert_true(r.empty == list[i].empty && r.lower_inclusive == list[i].lower_in);
            assert_true(r.upper_inclusive == list[i].upper_in);
            assert_true(pg_is_null(r.lower) == !list[i].lower && pg_is_null(r.upper) == !list[i].upper);
            if (list[i].lower) assert_int_equal(pg_value_int4(r.lower), 1);
            if (list[i].upper) assert_int_equal(pg_value_int4(r.upper), 5);
        }
    }
    struct body b = { .bytes = { 0x12 }, .size = 1 };
    part(&b, "\0\0\0\0\0\0\0\0", 8);
    expect_printed(value_in(&b, PG_TYPE_TSRANGE), "[\"2000-01-01 00:00:00\",)");
    struct pg_range r = pg_value_range(in_text(PG_TYPE_TSRANGE, "[\"2000-01-01 00:00:00\",infinity)"));
    assert_true(pg_value_timestamp(r.lower) == 0 && pg_value_timestamp(r.upper) == PG_TIME_INFINITY);
    expect_no_complaint();
}

static void get_range(struct pg_value value)
{
    struct pg_range r = pg_value_range(value);
    assert_true(!row.mark || (r.empty && pg_is_null(r.lower) && pg_is_null(r.upper)));
}

static void malformed_ranges(void **state)
{
    (void)state;
    struct body b = { .bytes = { 0x02 }, .size = 1 };
    part(&b, "\0\0\0\1", 4);
    part(&b, "\0\0\0\5", 4);
    expect_no_other_size(PG_TYPE_INT4RANGE, b.bytes, b.size, get_range);
    memcpy(b.bytes + 1, "\xff\xff\xff\xff", 4);
    get_range(value_of(PG_TYPE_INT4RANGE, false, b.bytes, 13)); /* a bound that is NULL, and is said to be there */
    expect_some_complaint();
    static const char *const texts[] = { "",      "[",      "[1",    "[1,",     "[1,2",  "1,2",
                                         "[1;2)", "[1,2)x", "[1,2}", "(\"1,2)", "Empty", "[12)" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) expect_malformed(PG_TYPE_INT4RANGE, texts[i], get_range);
}

/* A type of somebody's own is what the caller says. */
static void unknown_types(void **state)
{
    (void)state;
    enum { MINE = 16400 };
    struct body b = { .size = 0 };
    assert_int_equal(pg_value_text(value_of(MINE, false, "happy", 5)).size, 5);
    expect_printed(value_of(MINE, false, "happy", 5), "happy");
    expect_no_complaint();
    pg_value_text(value_of(MINE, false, "a\0b", 3));
    expect_complaint("is of another type, not text");
    print_nothing(value_of(MINE, false, "a\0b", 3));
    head(&b, 1, MINE, (const int32_t[]){ 2, 1 });
    text_part(&b, "sad day");
    text_part(&b, "x");
    assert_string_equal(elements(value_in(&b, MINE + 1)), "|sad day|x");
    expect_no_complaint();
    assert_string_equal(elements(in_text(MINE + 1, "{\"sad day\",x}")), "|sad day|x");
    expect_no_complaint();
    expect_printed(value_in(&b, PG_TYPE_ANYARRAY), "{\"sad day\",x}");
}

static void text_family(void **state)
{
    (void)state;
    expect_printed(value_of(PG_TYPE_JSONB, false, "\1{\"a\": 1}", 9), "{\"a\": 1}");
    assert_int_equal(pg_value_text(value_of(PG_TYPE_JSONB, false, "\1[]", 3)).size, 2);
    pg_value_text(value_of(PG_TYPE_JSONB, false, "\2[]", 3));
    expect_complaint("is not the binary form of a valid jsonb");
    print_nothing(value_of(PG_TYPE_JSONB, false, "", 0));
    expect_printed(value_of(PG_TYPE_CHAR, false, "x", 1), "x");
    expect_printed(value_of(PG_TYPE_CHAR, false, "\0", 1), "");
    expect_printed(value_of(PG_TYPE_CHAR, false, "\377", 1), "\\377");
    print_nothing(value_of(PG_TYPE_CHAR, false, "xy", 2));
    expect_printed(value_of(PG_TYPE_BYTEA, false, "\0\xff", 2), "\\x00ff");
    expect_printed(value_of(PG_TYPE_VOID, false, "", 0), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array),
        cmocka_unit_test(empty_arrays),
        cmocka_unit_test(six_dimensions),
        cmocka_unit_test(quoted_elements),
        cmocka_unit_test(malformed_arrays),
        cmocka_unit_test(a_record),
        cmocka_unit_test(malformed_records),
        cmocka_unit_test(depth),
        cmocka_unit_test(ranges),
        cmocka_unit_test(malformed_ranges),
        cmocka_unit_test(unknown_types),
        cmocka_unit_test(text_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
