/* One value of every type from hostile bytes, in both formats: no getter, iterator or printer reads behind it, and what
 * they agree to is right: the printed text reads the same again, and the value sent as a parameter does. The input: a
 * byte for the type, one for the format (bit 0) and the escapes (bits 1, 2), and the value. */
#include <stdio.h>
#include <stdlib.h>
#include "server/types/types.h"
#include "wire/check.h"
#include "wire/param.h"
#include "wire/types.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 400, PIECE = 7, ENUM = 16400 }; /* what compare.c has room for; a type of somebody's own */
static const uint32_t types[] = {
    PG_TYPE_BOOL,
    PG_TYPE_BYTEA,
    PG_TYPE_CHAR,
    PG_TYPE_NAME,
    PG_TYPE_INT8,
    PG_TYPE_INT2,
    PG_TYPE_INT4,
    PG_TYPE_TEXT,
    PG_TYPE_OID,
    PG_TYPE_JSON,
    PG_TYPE_CIDR,
    PG_TYPE_FLOAT4,
    PG_TYPE_FLOAT8,
    PG_TYPE_INFER,
    PG_TYPE_MACADDR8,
    PG_TYPE_MACADDR,
    PG_TYPE_INET,
    PG_TYPE_BPCHAR,
    PG_TYPE_VARCHAR,
    PG_TYPE_DATE,
    PG_TYPE_TIME,
    PG_TYPE_TIMESTAMP,
    PG_TYPE_TIMESTAMPTZ,
    PG_TYPE_INTERVAL,
    PG_TYPE_TIMETZ,
    PG_TYPE_BIT,
    PG_TYPE_VARBIT,
    PG_TYPE_NUMERIC,
    PG_TYPE_RECORD,
    PG_TYPE_ANYARRAY,
    PG_TYPE_VOID,
    PG_TYPE_UUID,
    PG_TYPE_JSONB,
    PG_TYPE_INT4RANGE,
    PG_TYPE_NUMRANGE,
    PG_TYPE_TSRANGE,
    PG_TYPE_TSTZRANGE,
    PG_TYPE_DATERANGE,
    PG_TYPE_INT8RANGE,
    PG_TYPE_BYTEA_ARRAY,
    PG_TYPE_INT4_ARRAY,
    PG_TYPE_TEXT_ARRAY,
    PG_TYPE_NUMERIC_ARRAY,
    PG_TYPE_TIMESTAMPTZ_ARRAY,
    PG_TYPE_RECORD_ARRAY,
    PG_TYPE_JSONB_ARRAY,
    PG_TYPE_TSRANGE_ARRAY,
    ENUM,
    600,
    0,
    1020,
};

/* In a block of its own, so that a read behind it is seen. */
static uint8_t *copy_of(const void *from, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    RP_ASSERT(copy);
    if (size) memcpy(copy, from, size);
    return copy;
}

/* Whatever the type: a complaint, or a part of the value. */
static void read_nested(struct pg_value value, int depth)
{
    struct pg_value inside;
    struct pg_array array = pg_value_array(value);
    struct pg_record record = pg_value_record(value);
    struct pg_range range = pg_value_range(value);
    struct pg_value bounds[] = { range.lower, range.upper };
    uint32_t count = 0;
    for (; pg_array_next(&array, &inside); count++) {
        RP_ASSERT(!inside.data || (inside.data >= value.data && inside.data + inside.size <= value.data + value.size));
        if (depth < 3 && !pg_is_null(inside)) read_nested(inside, depth + 1);
    }
    RP_ASSERT(count == array.count);
    for (count = 0; pg_record_next(&record, &inside); count++)
        RP_ASSERT(!inside.data || (inside.data >= value.data && inside.data + inside.size <= value.data + value.size));
    RP_ASSERT(count == record.count);
    for (int i = 0; i < 2; i++)
        RP_ASSERT(!bounds[i].data ||
                  (bounds[i].data >= value.data && bounds[i].data + bounds[i].size <= value.data + value.size));
}

static void read_flat(struct pg_value value)
{
    uint8_t out[16], bytes[64];
    uint16_t digits[8];
    (void)pg_value_bool(value), (void)pg_value_int4(value), (void)pg_value_float8(value);
    (void)pg_value_date(value), (void)pg_value_timetz(value), (void)pg_value_interval(value);
    int64_t time = pg_value_time(value);
    RP_ASSERT(time >= 0 && time <= INT64_C(86400000000));
    struct timespec system = pg_time_to_timespec(pg_value_timestamptz(value));
    RP_ASSERT(system.tv_nsec >= 0 && system.tv_nsec < 1000000000);
    (void)pg_time_from_timespec(system), (void)pg_value_timestamp(value);
    struct pg_inet inet = pg_value_inet(value);
    RP_ASSERT(inet.prefix <= (inet.family == 4 ? 32 : 128));
    (void)pg_value_uuid(value, out), (void)pg_value_macaddr(value, out);
    (void)pg_value_bits(value, bytes, sizeof bytes), (void)pg_value_bytea(value, bytes, sizeof bytes);
    RP_ASSERT(pg_value_text(value).size <= value.size && pg_value_bytes(value).size == value.size);
    struct pg_numeric n = pg_value_numeric(value, digits, 8);
    RP_ASSERT(!n.digits == (n.count > 8) || n.count == 0);
    (void)pg_value_decimal(value, 0), (void)pg_value_decimal(value, 3), (void)pg_value_decimal(value, 16383);
}

/* Written in pieces it is what was written at once, and reads as what it was. */
static void send_again(struct kept *k)
{
    size_t size;
    bool text;
    const char *why;
    struct pg_param p = types_param(k->value);
    if (k->row.mark || rp_param_check(&p, k->value.type, &size, &text, &why)) return;
    uint8_t *whole = malloc(size + 4), *pieces = malloc(size + 4);
    RP_ASSERT(whole && pieces && !text);
    struct rp_writer w = { .to = whole, .capacity = size + 4 };
    rp_param_write(&w, &p, k->value.type);
    RP_ASSERT(w.used == size + 4);
    for (size_t at = 0; at < size + 4; at += PIECE) {
        struct rp_writer part = { .to = pieces + at,
                                  .capacity = size + 4 - at < PIECE ? size + 4 - at : PIECE,
                                  .skip = at };
        rp_param_write(&part, &p, k->value.type);
        RP_ASSERT(part.used == part.capacity);
    }
    RP_ASSERT(memcmp(whole, pieces, size + 4) == 0);
    struct pg_value again = k->value;
    again.data = whole + 4;
    again.size = (uint32_t)size;
    again.text = false;
    RP_ASSERT(!types_differ(k->value, again) && !k->row.mark);
    free(whole);
    free(pieces);
}

/* What is printed is a text that every getter reads as it reads the value. */
static void print_and_read(struct kept *k)
{
    char few[16];
    size_t size = pg_value_format(k->value, NULL, 0);
    char *text = malloc(size + 1);
    RP_ASSERT(text);
    RP_ASSERT(pg_value_format(k->value, text, size + 1) == size && text[size] == 0);
    RP_ASSERT(pg_value_format(k->value, few, sizeof few) == size);
    RP_ASSERT(memcmp(few, text, size < 15 ? size : 15) == 0);
    if (!k->value.text && !k->row.mark) {
        uint8_t *exact = copy_of(text, size);
        struct pg_value printed = k->value;
        printed.text = true;
        printed.data = exact;
        printed.size = (uint32_t)size;
        const char *what = types_differ(k->value, printed);
        if (what || k->row.mark)
            fprintf(stderr, "type %u \"%s\": %s %s\n", k->value.type, text, what ? what : "",
                    k->row.mark ? k->row.why : "");
        RP_ASSERT(!what && !k->row.mark);
        free(exact);
        send_again(k);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > MOST) return 0;
    struct kept k = { .bytes = copy_of(data + 2, size - 2) };
    k.value = (struct pg_value){ .data = k.bytes,
                                 .size = (uint32_t)size - 2,
                                 .type = types[data[0] % RP_COUNT(types)],
                                 .text = data[1] & 1,
                                 .row = &k.row };
    if (k.value.text) k.value.escape = (data[1] >> 1 & 3) % 3;
    read_flat(k.value);
    read_nested(k.value, 0);
    k.row = (struct pg_row){ 0 };
    print_and_read(&k);
    types_forget();
    free(k.bytes);
    return 0;
}
