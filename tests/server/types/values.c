/* server/types/values.c - the values of test_types.c: literals with the extremes of each type, expressions for what no
 * literal makes, and a generator. */
#include <string.h>
#include "server/types/types.h"
#include "wire/types.h"
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

enum { ANY = 0, PG14 = 140000, PG15 = 150000, PG17 = 170000 };

const struct literals types_literals[] = {
    { "bool", ANY, LIST("t", "f") },
    { "int2", ANY, LIST("0", "-1", "32767", "-32768") },
    { "int4", ANY, LIST("0", "-1", "2147483647", "-2147483648") },
    { "int8", ANY, LIST("0", "-1", "9223372036854775807", "-9223372036854775808") },
    { "oid", ANY, LIST("0", "1", "2147483648", "4294967295") },
    { "float4", ANY,
      LIST("0", "-0", "NaN", "Infinity", "-Infinity", "1e-45", "1.17549435e-38", "3.4028235e38", "-3.4028235e38", "0.1",
           "1e5", "999999", "1e6", "1234567", "1e-4", "1e-5", "0.00012345", "16777216", "16777217", "8388608", "1.5",
           "100000", "123456.5", "9.9e-5", "2e-44", "4.7019774e-38", "7.038531e-26", "5.877e-39", "33554432") },
    { "float8", ANY,
      LIST("0", "-0", "NaN", "Infinity", "-Infinity", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308",
           "-1.7976931348623157e308", "0.1", "0.30000000000000004", "1e14", "1e15", "999999999999999",
           "123456789012345", "1234567890123456", "1e-4", "1e-5", "0.00012345", "9007199254740992", "9007199254740993",
           "1e22", "1e23", "9.5367431640625e-7", "4503599627370496", "1.5", "100000", "2.98023223876953125e-8", "1e100",
           "1e-100", "9.007199254740991e15", "2.225073858507201e-308", "4.9406564584124654e-323",
           "8.98846567431158e307", "1.0000000000000002", "0.9999999999999999", "7.2057594037927933e16", "5e-05",
           "18014398509481984") },
    { "text", ANY,
      LIST("", "a", "NULL", "null", "h\303\244llo", " spaces ", "tab\tand\nline", "quo\"te", "back\\slash", "{a,b}",
           "(a,b)", "\360\237\230\200", "'", "a,b", "\\\"\\\"", "{\"x\"}") },
    { "varchar", ANY, LIST("", "abc") },
    { "bpchar", ANY, LIST("", "abc", "abc  ") },
    { "char(5)", ANY, LIST("", "abc") },
    { "name", ANY, LIST("", "pg_class", "a\"b") },
    { "\"char\"", ANY, LIST("", "a", "\"", "{") },
    { "bytea", ANY, LIST("", "abc", "\\x00ff5c22", "\\\\\\000\\377", "a\\\\b") },
    { "numeric", ANY,
      LIST("0", "0.00", "-0.00", "1", "-1", "NaN", "10000", "9999", "99999999", "0.0001", "0.00010", "0.00001",
           "12345.678", "-12345.678", "1e100", "-1e-100", "1e1000", "123456789012345678901234567890.123456789",
           "100000000.00000001", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "0.10", "1.0000",
           "1.00000", "1234.5", "1e131071", "1e-16383", "5000000000", "0.5", "0.05", "0.005", "0.0005", "-0.00005",
           "1.0e-5", "00012.3400") },
    { "numeric", PG14, LIST("Infinity", "-Infinity") },
    { "numeric(12,2)", ANY, LIST("19.99", "0", "-0.01", "9999999999.99") },
    { "uuid", ANY,
      LIST("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
           "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11") },
    { "date", ANY,
      LIST("2000-01-01", "1999-12-31", "2024-02-29", "2023-02-28", "1900-03-01", "infinity", "-infinity",
           "4714-11-24 BC", "5874897-12-31", "0001-01-01", "0001-12-31 BC", "0005-02-29 BC", "10000-01-01",
           "1970-01-01", "1600-02-29", "0044-03-15 BC", "9999-12-31") },
    { "time", ANY, LIST("00:00", "23:59:59.999999", "24:00", "12:34:56.7", "00:00:00.000001", "01:02:03.040506") },
    { "time(0)", ANY, LIST("12:34:56") },
    { "timetz", ANY,
      LIST("00:00+00", "23:59:59.999999-15:59:59", "24:00:00+15:59:59", "12:34:56.5+05:30", "01:02:03-08",
           "00:00+00:00:01", "10:00-00:30") },
    { "timestamp", ANY,
      LIST("2000-01-01 00:00:00", "1999-12-31 23:59:59.999999", "infinity", "-infinity", "4714-11-24 00:00:00 BC",
           "294276-12-31 23:59:59.999999", "2024-02-29 12:34:56.789", "0001-01-01 00:00:00", "0001-12-31 23:59:59 BC",
           "0044-03-15 12:00:00.5 BC", "10000-01-01 00:00:00", "1970-01-01 00:00:00.000001") },
    { "timestamptz", ANY,
      LIST("2000-01-01 00:00:00+00", "1999-12-31 23:59:59.999999+00", "infinity", "-infinity",
           "4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "2024-02-29 12:34:56.789-08",
           "1883-11-18 12:00:00+05:53:28", "0044-03-15 12:00:00+00 BC", "10000-01-01 00:00:00+14",
           "1970-01-01 00:00+00") },
    { "interval", ANY,
      LIST("0", "1 year", "-1 year", "2 years", "1 mon", "-1 mon", "13 mons", "1 day", "-1 day", "1 day -00:00:01",
           "-1 day +00:00:01", "1 year -1 mon +1 day", "-1 year +1 mon -1 day +01:02:03.4", "00:00:00.000001",
           "-00:00:00.000001", "100:00:00", "2147483647 days", "-2147483648 days", "1 year 2 mons 3 days 04:05:06.789",
           "-1 year -2 mons -3 days -04:05:06.789", "12:00", "1 mon -1 day") },
    { "interval", PG15, /* older ones cannot read what they print */
      LIST("2562047788:00:54.775807", "-2562047788:00:54.775807", "178956970 years 7 mons",
           "-178956970 years -8 mons") },
    { "interval", PG17, LIST("infinity", "-infinity") },
    { "json", ANY, LIST("null", "{\"a\": [1, 2, {\"b\": \"q\\\"uote\"}]}", "\"text\"", " 1 ", "[]") },
    { "jsonb", ANY, LIST("null", "{\"a\": [1, 2, {\"b\": \"q\\\"uote\"}]}", "\"text\"", " 1 ", "[]", "{}") },
    { "inet", ANY,
      LIST("0.0.0.0", "255.255.255.255", "192.168.1.5/24", "10.0.0.1/0", "::", "::1", "::/0", "1::", "1::8",
           "::ffff:1.2.3.4", "::1.2.3.4", "::5", "0:0:0:0:0:1:0:5", "2001:db8::1/64",
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "1:0:0:2:0:0:0:3", "1:0:2:0:3:0:4:0", "0:1:2:3:4:5:6:7",
           "1:2:3:4:5:6:0:0", "::ffff:0:0", "::1:0:0", "fe80::/10", "1:0:0:4:5:0:0:8", "::ffff:0.0.0.0/96",
           "0:0:0:0:0:0:1:0", "1:2:3:4:5:6:7:0", "0:0:3:4:5:6:7:8") },
    { "cidr", ANY,
      LIST("10.0.0.0/8", "192.168.1.5/32", "0.0.0.0/0", "::/0", "2001:db8::/32", "::1/128", "::ffff:1.2.3.0/120") },
    { "macaddr", ANY, LIST("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "08:00:2b:01:02:03") },
    { "macaddr8", ANY, LIST("00:00:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff:ff:ff", "08:00:2b:01:02:03:04:05") },
    { "bit(1)", ANY, LIST("0", "1") },
    { "bit(9)", ANY, LIST("101010101", "000000001") },
    { "varbit", ANY, LIST("", "1", "10101010", "111111111", "0000000000000001") },
    { "int4[]", ANY,
      LIST("{}", "{1}", "{1,NULL,-3}", "[0:1]={1,2}", "{{1,2},{3,4}}", "[-2147483648:-2147483647]={5,6}",
           "{{{{{{1,2},{3,4}}}},{{{{5,6},{7,8}}}}},{{{{{9,NULL},{11,12}}}},{{{{13,14},{15,16}}}}}}",
           "[2:3][-1:0][5:5]={{{1},{2}},{{3},{4}}}", "[2147483646:2147483646]={1}") },
    { "int8[]", ANY, LIST("{9223372036854775807,-9223372036854775808,NULL}") },
    { "text[]", ANY,
      LIST("{}", "{\"\"}", "{NULL,\"NULL\",\"null\",nul}", "{a,\"b c\",\"d,e\",\"f\\\"g\",\"h\\\\i\",\"{j}\"}",
           "{{\"a\\\\\\\"b\",c},{\"\",\" \"}}", "{\"tab\\tx\",\"line\nx\",h\303\244}", "[0:0]={\"x y\"}") },
    { "bool[]", ANY, LIST("{t,f,NULL}") },
    { "float8[]", ANY, LIST("{NaN,Infinity,-Infinity,-0,0.1,1e300,5e-324}") },
    { "float4[]", ANY, LIST("{NaN,1.1,1e-45}") },
    { "numeric[]", ANY, LIST("{NaN,0.00,-12345.6789,1e50,NULL}") },
    { "bytea[]", ANY, LIST("{\"\\\\x00ff\",\"\",\"\\\\x5c22\"}") },
    { "uuid[]", ANY, LIST("{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}") },
    { "date[]", ANY, LIST("{2024-02-29,infinity,\"0044-03-15 BC\"}") },
    { "timestamp[]", ANY, LIST("{\"2024-02-29 12:00:00\",infinity,NULL}") },
    { "timestamptz[]", ANY, LIST("{\"2024-02-29 12:00:00+00\",-infinity}") },
    { "timetz[]", ANY, LIST("{12:00+05:30,NULL}") },
    { "time[]", ANY, LIST("{12:00,24:00}") },
    { "interval[]", ANY, LIST("{\"1 year -2 days\",00:00:01,NULL}") },
    { "jsonb[]", ANY, LIST("{\"{\\\"a\\\": \\\"b\\\\\\\\\\\\\\\"c\\\"}\",1,\"null\",NULL}") },
    { "json[]", ANY, LIST("{\"{\\\"a\\\": 1}\"}") },
    { "inet[]", ANY, LIST("{10.0.0.1,::1/64}") },
    { "cidr[]", ANY, LIST("{10.0.0.0/8}") },
    { "macaddr[]", ANY, LIST("{08:00:2b:01:02:03}") },
    { "varbit[]", ANY, LIST("{\"\",101}") },
    { "name[]", ANY, LIST("{a,\"b c\"}") },
    { "\"char\"[]", ANY, LIST("{a,\"\\\"\",\" \"}") },
    { "oid[]", ANY, LIST("{1,4294967295}") },
    { "int4range", ANY, LIST("empty", "[1,5)", "(,)", "[1,)", "(,5)", "[-2147483648,2147483647)") },
    { "int8range", ANY, LIST("empty", "[1,5)", "(,)") },
    { "numrange", ANY, LIST("empty", "[1.5,2.5]", "(1,2)", "(,NaN]", "[,]") },
    { "daterange", ANY, LIST("empty", "[2024-01-01,2024-02-01)", "[-infinity,infinity)", "[\"0044-03-15 BC\",)") },
    { "tsrange", ANY, LIST("empty", "[\"2024-01-01 00:00:00\",\"2024-01-01 12:00:00\")", "(-infinity,infinity]") },
    { "tstzrange", ANY, LIST("[\"2024-01-01 00:00:00+00\",\"2024-01-01 12:00:00+00\")", "(,)") },
    { "int4range[]", ANY, LIST("{\"[1,5)\",empty,NULL}", "{}") },
    { "tsrange[]", ANY, LIST("{\"[\\\"2024-01-01 00:00:00\\\",\\\"2024-01-01 12:00:00\\\")\"}") },
    { "daterange[]", ANY, LIST("{\"[2024-01-01,2024-02-01)\"}") },
};
const size_t types_literal_count = COUNT(types_literals);

const char *const types_expressions[] = {
    "ROW(1, 'a', NULL, true)",
    "ROW('')",
    "ROW('quo\"te', 'back\\slash', 'par(en)', 'com,ma', 'spa ce', E'tab\\tx')",
    "ROW(1.50::numeric, '2024-02-29'::date, '2024-02-29 12:00'::timestamp, '1 day'::interval)",
    "ROW(ARRAY[1,2], ARRAY['a b', 'c\"d', NULL], ROW(1, ROW('x y', '\"')))",
    "ROW('\\xff00'::bytea, '{\"a\": \"b c\"}'::jsonb, '10.0.0.1'::inet, B'101')",
    "ROW('[1,5)'::int4range, 'empty'::int4range, '[\"2024-01-01 00:00\",)'::tsrange)",
    "ARRAY[ROW(1, 'a'), ROW(2, 'b c'), NULL, ROW(NULL, '\"\\')]",
    "ARRAY[ROW(ARRAY[ROW('a\"b\\c', 1)])]",
    "ROW(ROW(ROW(ROW(ROW('\"')))))",
    "ARRAY[[ROW(1), ROW(2)], [ROW(3), ROW(NULL)]]",
    "ROW(NULL, NULL)",
    "ROW(NULL::int4[], '{}'::text[], ARRAY[[1, 2], [3, NULL]])",
    "ROW(('{2,1}'::text)::text, '{}'::int4[], 'null', 'NULL')",
    "NULL::int4",
    "1::regclass::regclass::oid",
    "ARRAY['a'::\"char\", NULL]",
    "'happy'::types_mood",
    "ROW('sad day'::types_mood, 1)",
    "ARRAY[ROW('sad day'::types_mood)]",
};
const size_t types_expression_count = COUNT(types_expressions);

/* ---- at random ---- */

static uint64_t next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
/* All magnitudes alike. */
static int64_t wide(uint64_t *state)
{
    uint64_t bits = next(state) >> next(state) % 64;
    return (int64_t)(next(state) % 2 ? bits : ~bits);
}
static int64_t between(uint64_t *state, int64_t min, int64_t max)
{
    return min + (int64_t)(next(state) % ((uint64_t)max - (uint64_t)min + 1));
}
static int64_t within(uint64_t *state, uint32_t oid)
{
    const struct rp_type *type = rp_type_of(oid);
    int64_t near = wide(state);
    return near >= type->min && near <= type->max && next(state) % 2 ? near : between(state, type->min, type->max);
}

static struct pg_param random_float(uint64_t *seed, bool single)
{
    uint64_t bits = next(seed);
    double wide_number;
    float number;
    memcpy(&wide_number, &bits, sizeof wide_number);
    memcpy(&number, &bits, sizeof number);
    /* Half of them decimal: few digits, and near them. */
    if (next(seed) % 2) wide_number = (double)(int64_t)(bits % 1000000) / 1000 * (next(seed) % 2 ? 1e9 : 1e-6);
    if (next(seed) % 2) number = (float)(bits % 100000) / 1000.0f;
    if (wide_number != wide_number || number != number) return random_float(seed, single); /* NaN is a literal above */
    return single ? pg_float4(number) : pg_float8(wide_number);
}

static struct pg_param random_address(uint64_t *seed, unsigned which)
{
    static struct pg_inet inet;
    static uint8_t bytes[16];
    for (int i = 0; i < 16; i++) bytes[i] = next(seed) % 3 ? (uint8_t)next(seed) : 0;
    for (int i = 0; i < 16; i += 2)
        if (next(seed) % 2) bytes[i] = bytes[i + 1] = 0;
    inet.family = next(seed) % 3 ? 6 : 4;
    inet.prefix = (uint8_t)(next(seed) % (inet.family == 4 ? 33 : 129));
    memset(inet.address, 0, sizeof inet.address);
    memcpy(inet.address, bytes, inet.family == 4 ? 4 : 16);
    switch (which) {
    case 0:
        return pg_uuid(bytes);
    case 1:
        return pg_macaddr(bytes);
    case 2:
        return pg_macaddr8(bytes);
    case 3:
        return pg_bits(bytes, next(seed) % 129);
    case 4:
        return pg_bytes(bytes, next(seed) % 17);
    default:
        return pg_inet_of(&inet);
    }
}

struct pg_param types_random(uint64_t *seed, const char **type)
{
    static const char *const names[] = { "int2",      "int4",        "int8",     "oid",  "float4",
                                         "float8",    "numeric",     "date",     "time", "timetz",
                                         "timestamp", "timestamptz", "interval", "uuid", "macaddr",
                                         "macaddr8",  "varbit",      "bytea",    "inet" };
    size_t which = next(seed) % COUNT(names);
    *type = names[which];
    switch (which) {
    case 0:
        return pg_int2((int16_t)within(seed, PG_TYPE_INT2));
    case 1:
        return pg_int4((int32_t)within(seed, PG_TYPE_INT4));
    case 2:
        return pg_int8(wide(seed));
    case 3:
        return pg_oid((uint32_t)within(seed, PG_TYPE_OID));
    case 4:
        return random_float(seed, true);
    case 5:
        return random_float(seed, false);
    case 6:
        return pg_decimal(wide(seed), (int32_t)(next(seed) % 30));
    case 7:
        return pg_date((int32_t)within(seed, PG_TYPE_DATE));
    case 8:
        return pg_time(within(seed, PG_TYPE_TIME));
    case 9: {
        struct pg_timetz time = { within(seed, PG_TYPE_TIME), (int32_t)between(seed, -57599, 57599) };
        return pg_timetz_of(time);
    }
    case 10:
        return pg_timestamp(within(seed, PG_TYPE_TIMESTAMP));
    case 11:
        return pg_timestamptz(within(seed, PG_TYPE_TIMESTAMPTZ));
    case 12: {
        struct pg_interval v = { (int32_t)within(seed, PG_TYPE_INT4), (int32_t)within(seed, PG_TYPE_INT4),
                                 wide(seed) / 2 };
        return pg_interval_of(v);
    }
    default:
        return random_address(seed, (unsigned)which - 13);
    }
}
