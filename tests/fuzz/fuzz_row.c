/* RowDescription and DataRow from hostile bytes, and every getter on every column. The input: the size of the
 * RowDescription's body (Int16), that body, and the DataRow's body. */
#include <stdlib.h>
#include "wire/check.h"
#include "wire/load.h"
#include "wire/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In a block of its own, so that a read behind it is seen. */
static uint8_t *copy_of(const uint8_t *from, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    RP_ASSERT(copy);
    if (size) memcpy(copy, from, size);
    return copy;
}

static void read_value(struct pg_value value, const uint8_t *body, size_t size)
{
    uint8_t out[64];
    RP_ASSERT(pg_is_null(value) || (value.data >= body && value.data + value.size <= body + size));
    (void)pg_value_bool(value);
    int64_t number = pg_value_int8(value);
    int32_t narrow = pg_value_int4(value);
    RP_ASSERT(narrow == 0 || narrow == number);
    (void)pg_value_float8(value);
    RP_ASSERT(pg_value_text(value).size <= value.size);
    RP_ASSERT(pg_value_bytes(value).size == value.size);
    RP_ASSERT(pg_value_bytea(value, out, sizeof out) <= value.size);
    RP_ASSERT(!pg_is_null(value) || pg_row_mark(value.row) == PG_E_VALUE);
}

static void read_row(const struct rp_columns *columns, const uint8_t *body, size_t size)
{
    struct pg_row row = {0};
    const char *why = NULL;
    if (rp_row_parse(&row, body, size, columns, &why)) {
        RP_ASSERT(why);
        return;
    }
    for (uint32_t i = 0; i < pg_row_columns(&row); i++) read_value(pg_row_value(&row, i), body, size);
    RP_ASSERT(pg_is_null(pg_row_value(&row, row.count)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    size_t described = rp_load_u16(data);
    if (described > size - 2) described = size - 2;
    uint8_t *description = copy_of(data + 2, described), *body = copy_of(data + 2 + described, size - 2 - described);
    const char *why = NULL;
    size_t needed = rp_columns_measure(description, described, &why);
    RP_ASSERT(needed || why);
    if (needed) {
        struct rp_columns *columns = malloc(needed);
        RP_ASSERT(columns);
        rp_columns_build(columns, needed, description, described);
        RP_ASSERT(rp_columns_equal(columns, columns));
        read_row(columns, body, size - 2 - described);
        free(columns);
    }
    free(description);
    free(body);
    return 0;
}
