/* RowDescription and DataRow from hostile bytes, and every getter on every column; the same row in pieces, which must
 * be taken for one exactly when the whole is, and be equal to it; and kept. The input: the size of the RowDescription's
 * body (Int16), that body, and the DataRow's body. */
#include <stdlib.h>
#include <string.h>
#include "wire/check.h"
#include "wire/load.h"
#include "wire/rows.h"

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

/* `row` NULL: it is malformed. Windows of `step` bytes more each. */
static void read_pieces(struct pg_row *row, const struct rp_columns *columns, const uint8_t *body, size_t size,
                        size_t step)
{
    enum { WHOLE = 6 };
    struct rp_pieces p;
    struct rp_piece piece = { .last = false };
    size_t at = 0, end = 0, used, need;
    const char *why = NULL;
    rp_pieces_begin(&p, size, columns->count);
    while (!piece.last) {
        enum rp_pieces_step next = rp_pieces_next(&p, body + at, end - at, WHOLE, &piece, &used, &need, &why);
        RP_ASSERT(used <= end - at);
        at += used;
        if (next == RP_PIECES_BAD) {
            RP_ASSERT(why && !row);
            return;
        }
        if (next == RP_PIECES_MORE) {
            RP_ASSERT(need > end - at && end < size);
            end = size - end < step ? size : end + step;
            continue;
        }
        if (!row || columns->count == 0) continue;
        struct pg_value v = pg_row_value(row, piece.column);
        RP_ASSERT(pg_is_null(v) == !piece.at && (pg_is_null(v) || v.size == piece.size));
        RP_ASSERT(piece.bytes == v.size || (v.size > WHOLE && piece.bytes));
        RP_ASSERT(!piece.at || piece.at == v.data + piece.offset);
    }
    RP_ASSERT(row && at == size && p.left == 0);
}

static void keep(struct pg_row *row)
{
    static uint64_t buffer[4096];
    struct pg_rows rows = { .buffer = buffer, .capacity = sizeof buffer };
    rp_rows_begin(&rows);
    while (rows.count < 3 && rp_rows_keep(&rows, row)) {}
    for (uint32_t i = 0; i < rows.count; i++) {
        struct pg_row *kept = pg_rows_at(&rows, i);
        RP_ASSERT(kept->count == row->count && kept->size == row->size && !memcmp(kept->at, row->at, row->size));
        RP_ASSERT(rp_columns_equal(kept->columns, row->columns));
    }
}

static void read_row(const struct rp_columns *columns, const uint8_t *body, size_t size)
{
    struct pg_row row = {0};
    const char *why = NULL;
    bool good = rp_row_parse(&row, body, size, columns, &why) == 0;
    for (size_t step = 1; step < 40; step += 13) read_pieces(good ? &row : NULL, columns, body, size, step);
    if (!good) {
        RP_ASSERT(why);
        return;
    }
    keep(&row);
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
