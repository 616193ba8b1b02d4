/* The getters and the printing of uuid, addresses and bit strings, and the quoting of names. */
#include <stdio.h>
#include "unit/getters.h"

static const uint8_t uuid_bytes[16] = { 0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8,
                                        0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11 };

static void get_uuid(struct pg_value value)
{
    uint8_t out[16], zeros[16] = { 0 };
    bool got = pg_value_uuid(value, out);
    assert_true(got == !row.mark);
    assert_memory_equal(out, got ? uuid_bytes : zeros, 16);
}

static void uuids(void **state)
{
    (void)state;
    static const char text[] = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    expect_printed(value_of(PG_TYPE_UUID, false, uuid_bytes, 16), text);
    get_uuid(in_text(PG_TYPE_UUID, text));
    expect_no_complaint();
    expect_no_other_size(PG_TYPE_UUID, uuid_bytes, 16, get_uuid);
    static const char *const wrong[] = { "",
                                         "a0eebc999c0b4ef8bb6d6bb9bd380a11",
                                         "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
                                         "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
                                         "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                                         "a0eebc99-9c0b-4ef8-bb6d_6bb9bd380a11" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) expect_malformed(PG_TYPE_UUID, wrong[i], get_uuid);
}

static void get_macaddr(struct pg_value value)
{
    uint8_t out[8];
    size_t size = pg_value_macaddr(value, out);
    assert_true(size == (row.mark ? 0 : value.type == PG_TYPE_MACADDR ? 6 : 8));
    for (size_t i = 0; i < 8; i++) assert_int_equal(out[i], i < size ? uuid_bytes[i] : 0);
}

static void macaddrs(void **state)
{
    (void)state;
    expect_printed(value_of(PG_TYPE_MACADDR, false, uuid_bytes, 6), "a0:ee:bc:99:9c:0b");
    expect_printed(value_of(PG_TYPE_MACADDR8, false, uuid_bytes, 8), "a0:ee:bc:99:9c:0b:4e:f8");
    get_macaddr(in_text(PG_TYPE_MACADDR, "a0:ee:bc:99:9c:0b"));
    expect_no_complaint();
    get_macaddr(in_text(PG_TYPE_MACADDR8, "a0:ee:bc:99:9c:0b:4e:f8"));
    expect_no_complaint();
    expect_no_other_size(PG_TYPE_MACADDR, uuid_bytes, 6, get_macaddr);
    expect_no_other_size(PG_TYPE_MACADDR8, uuid_bytes, 8, get_macaddr);
    expect_malformed(PG_TYPE_MACADDR, "a0:ee:bc:99:9c:0b:4e:f8", get_macaddr);
    expect_malformed(PG_TYPE_MACADDR, "a0-ee-bc-99-9c-0b", get_macaddr);
    expect_malformed(PG_TYPE_MACADDR8, "a0:ee:bc:99:9c:0b", get_macaddr);
}

static void get_inet(struct pg_value value)
{
    struct pg_inet inet = pg_value_inet(value);
    assert_true(row.mark ? inet.family == 0 && inet.prefix == 0 : inet.family == 4 || inet.family == 6);
}

static void expect_inet(uint32_t type, uint8_t prefix, const uint8_t *address, uint8_t bytes, const char *text)
{
    uint8_t wire[20] = { bytes == 4 ? 2 : 3, prefix, type == PG_TYPE_CIDR, bytes };
    memcpy(wire + 4, address, bytes);
    expect_printed(value_of(type, false, wire, 4 + (size_t)bytes), text);
    for (int format = 0; format < 2; format++) {
        struct pg_inet got =
            pg_value_inet(format ? in_text(type, text) : value_of(type, false, wire, 4 + (size_t)bytes));
        if (row.mark) fail_msg("\"%s\": %s", text, row.why);
        assert_int_equal(got.family, bytes == 4 ? 4 : 6);
        assert_int_equal(got.prefix, prefix);
        assert_memory_equal(got.address, address, bytes);
        for (size_t i = bytes; i < 16; i++) assert_int_equal(got.address[i], 0);
    }
    expect_no_other_size(type, wire, 4 + (size_t)bytes, get_inet);
}

static void inets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t address[16];
    } six[] = { { "::", { 0 } },
                { "::1", { [15] = 1 } },
                { "1::", { 0, 1 } },
                { "::1:0:0", { [11] = 1 } },
                { "::1.2.3.4", { [12] = 1, 2, 3, 4 } },
                { "::ffff:1.2.3.4", { [10] = 0xff, 0xff, 1, 2, 3, 4 } },
                { "1:0:0:2::3", { 0, 1, [7] = 2, [15] = 3 } },
                { "1::4:5:0:0:8", { 0, 1, [7] = 4, [9] = 5, [15] = 8 } },
                { "1:0:2:0:3:0:4:0", { 0, 1, [5] = 2, [9] = 3, [13] = 4 } },
                { "2001:db8::ff:12:345", { 0x20, 1, 0xd, 0xb8, [11] = 0xff, [13] = 0x12, 3, 0x45 } } };
    expect_inet(PG_TYPE_INET, 32, (const uint8_t[4]){ 192, 168, 0, 255 }, 4, "192.168.0.255");
    expect_inet(PG_TYPE_INET, 24, (const uint8_t[4]){ 192, 168, 0, 1 }, 4, "192.168.0.1/24");
    expect_inet(PG_TYPE_INET, 0, (const uint8_t[4]){ 0 }, 4, "0.0.0.0/0");
    expect_inet(PG_TYPE_CIDR, 32, (const uint8_t[4]){ 10, 0, 0, 1 }, 4, "10.0.0.1/32");
    expect_inet(PG_TYPE_CIDR, 8, (const uint8_t[4]){ 10 }, 4, "10.0.0.0/8");
    for (size_t i = 0; i < sizeof six / sizeof *six; i++) {
        char text[64];
        expect_inet(PG_TYPE_INET, 128, six[i].address, 16, six[i].text);
        snprintf(text, sizeof text, "%s/64", six[i].text);
        expect_inet(PG_TYPE_INET, 64, six[i].address, 16, text);
    }
}

static void inets_malformed(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",          "1.2.3",  "1.2.3.4.5", "256.0.0.1",        "1.2.3.4/33",    "1.2.3.4/",
        "1.2.3.4/x", ":",      ":::",       "1::2::3",          "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "12345::",   "::/129", "::g",       "1:2:3:4:5:6:7::8", "::1.2.3",       "1:2:3:4:5:6:7:1.2.3.4",
        "1.2.3.4 ",  "/8"
    };
    static const uint8_t wire[][8] = { { 1, 0, 0, 4 }, { 4, 0, 0, 4 },  { 2, 33, 0, 4 },
                                       { 2, 0, 2, 4 }, { 2, 0, 0, 16 }, { 3, 0, 0, 4 } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) expect_malformed(PG_TYPE_INET, texts[i], get_inet);
    for (size_t i = 0; i < sizeof wire / sizeof *wire; i++) {
        get_inet(value_of(PG_TYPE_INET, false, wire[i], 8));
        expect_complaint("is not the binary form of a valid inet");
    }
}

static void get_bits(struct pg_value value)
{
    uint8_t out[4] = { 0 };
    size_t count = pg_value_bits(value, out, sizeof out);
    assert_true(row.mark ? count == 0 : count == 9 && out[0] == 0xaa && out[1] == 0x80);
}

static void bits(void **state)
{
    (void)state;
    static const uint8_t wire[] = { 0, 0, 0, 9, 0xaa, 0x80 };
    static const uint32_t types[] = { PG_TYPE_BIT, PG_TYPE_VARBIT };
    for (size_t i = 0; i < 2; i++) {
        expect_printed(value_of(types[i], false, wire, sizeof wire), "101010101");
        get_bits(in_text(types[i], "101010101"));
        expect_no_complaint();
        expect_no_other_size(types[i], wire, sizeof wire, get_bits);
        expect_malformed(types[i], "10101012", get_bits);
        expect_printed(value_of(types[i], false, "\0\0\0\0", 4), "");
        assert_int_equal(pg_value_bits(in_text(types[i], ""), NULL, 0), 0);
        expect_no_complaint();
        uint8_t one = 0xff;
        assert_int_equal(pg_value_bits(in_text(types[i], "101010101"), &one, 1), 9);
        assert_int_equal(one, 0xaa);
        print_nothing(value_of(types[i], false, "\0\0\0\1\xff", 5)); /* something behind the last bit */
        print_nothing(value_of(types[i], false, "\xff\xff\xff\xff\xff", 5));
    }
}

static void expect_quoted(const char *name, size_t size, const char *wanted)
{
    char out[64];
    struct pg_text text = { (const char *)exactly(name, size), size };
    size_t length = strlen(wanted);
    for (size_t capacity = 0; capacity <= length + 1; capacity++) {
        memset(out, '#', sizeof out);
        assert_int_equal(pg_quote_identifier(text, out, capacity), length);
        if (capacity) assert_int_equal(out[capacity - 1 < length ? capacity - 1 : length], 0);
        if (capacity) assert_memory_equal(out, wanted, capacity - 1 < length ? capacity - 1 : length);
        assert_int_equal(out[capacity], '#');
    }
}

/* failures 30: what is not UTF-8 is not quoted at all. */
static void names(void **state)
{
    (void)state;
    expect_quoted("a", 1, "\"a\"");
    expect_quoted("a\"b", 3, "\"a\"\"b\"");
    expect_quoted("\"", 1, "\"\"\"\"");
    expect_quoted("Sp ace", 6, "\"Sp ace\"");
    expect_quoted("h\303\244\342\202\254\360\237\230\200", 10, "\"h\303\244\342\202\254\360\237\230\200\"");
    expect_quoted("\357\277\277\364\217\277\277", 7, "\"\357\277\277\364\217\277\277\"");
    static const char *const wrong[] = { "\200",
                                         "a\303",
                                         "\303\"",
                                         "\300\200",
                                         "\301\277",
                                         "\340\237\277",
                                         "\355\240\200",
                                         "\360\217\277\277",
                                         "\364\220\200\200",
                                         "\365\200\200\200",
                                         "\342\202",
                                         "\342\202a",
                                         "\377",
                                         "\342(\241" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) expect_quoted(wrong[i], strlen(wrong[i]), "");
    expect_quoted("", 0, "");
    expect_quoted("a\0b", 3, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uuids),           cmocka_unit_test(macaddrs), cmocka_unit_test(inets),
        cmocka_unit_test(inets_malformed), cmocka_unit_test(bits),     cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
