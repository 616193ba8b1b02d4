/* wire/row.c - a DataRow as a view into the receive buffer.
 *
 * Owns the check of a row's shape and the way to its columns; the values' bytes are value.c's. It knows no buffer
 * beyond the one message and no query. Invariant: a parsed row was validated to its last byte, so that reading a column
 * checks nothing again. Source: protocol chapter "Message Formats", DataRow. */
#include "wire/check.h"
#include "wire/load.h"
#include "wire/row.h"

void rp_row_mark(struct pg_row *row, uint32_t column, const char *why)
{
    if (!row || row->mark) return;
    row->mark = PG_E_VALUE;
    row->marked_column = column;
    row->why = why;
}

static int malformed(const char **why, const char *what)
{
    *why = what;
    return PG_E_PROTOCOL;
}

/* One pass, a load and two comparisons a column. A length below -1 is, unsigned, longer than any body. */
int rp_row_parse(struct pg_row *row, const uint8_t *body, size_t size, const struct rp_columns *columns,
                 const char **why)
{
    RP_ASSERT(row && body && columns && why);
    if (size < 2 || size > INT32_MAX) return malformed(why, "DataRow has an impossible size");
    uint32_t count = rp_load_u16(body), left = (uint32_t)size - 2, at = 0;
    if (count != columns->count) return malformed(why, "DataRow and RowDescription differ in their columns");
    body += 2;
    for (uint32_t i = 0; i < count; i++) {
        if (left - at < RP_LENGTH_BYTES) return malformed(why, "DataRow ends inside a length");
        if (i < RP_ROW_CACHED) row->offset[i] = at;
        uint32_t length = rp_load_u32(body + at);
        at += RP_LENGTH_BYTES;
        if (length == RP_SQL_NULL) continue;
        if (length > left - at) return malformed(why, "DataRow has a value that ends behind it, or a negative length");
        at += length;
    }
    if (at != left) return malformed(why, "DataRow has bytes behind its last value");
    row->at = body;
    row->size = left;
    row->count = count;
    row->mark = 0;
    row->marked_column = 0;
    row->why = NULL;
    row->columns = columns;
    return 0;
}

uint32_t rp_row_walk(const struct pg_row *row, uint32_t column)
{
    uint32_t at = row->offset[RP_ROW_CACHED - 1];
    for (uint32_t i = RP_ROW_CACHED - 1; i < column; i++) {
        uint32_t length = rp_load_u32(row->at + at);
        at += RP_LENGTH_BYTES + (length == RP_SQL_NULL ? 0 : length);
    }
    return at;
}

uint32_t pg_row_columns(const struct pg_row *row)
{
    RP_ASSERT(row);
    return row->count;
}

uint32_t pg_row_result(const struct pg_row *row)
{
    RP_ASSERT(row);
    return row->result;
}

int pg_row_mark(const struct pg_row *row)
{
    RP_ASSERT(row);
    return row->mark;
}

struct pg_column rp_column_of(const struct rp_columns *columns, uint32_t column, bool text)
{
    const struct rp_column *c = &columns->column[column];
    return (struct pg_column){ .name = { columns->names + c->name_at, c->name_size },
                               .type = c->type,
                               .table = c->table,
                               .type_modifier = c->type_modifier,
                               .attribute = c->attribute,
                               .text = text };
}

struct pg_column pg_row_column(const struct pg_row *row, uint32_t column)
{
    RP_ASSERT(row);
    if (column >= row->count) return (struct pg_column){ .name = { "", 0 } };
    return rp_column_of(row->columns, column, rp_row_in_text(row, column));
}

void rp_row_none(struct pg_row *row, const struct rp_columns *columns)
{
    row->count = 0;
    row->mark = 0;
    row->columns = columns;
}

struct pg_value rp_piece_value(struct pg_row *row, const struct rp_piece *piece)
{
    bool exists = piece->column < row->columns->count;
    return (struct pg_value){ .data = piece->at,
                              .size = (uint32_t)piece->bytes,
                              .type = exists ? row->columns->column[piece->column].type : 0,
                              .text = exists && rp_row_in_text(row, piece->column),
                              .row = row,
                              .column = piece->column };
}

struct pg_value pg_row_value(struct pg_row *row, uint32_t column) { return rp_row_value(row, column); }
