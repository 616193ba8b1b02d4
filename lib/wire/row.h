/* wire/row.h - a DataRow that was validated, as a view into the receive buffer, and the description of its columns. */
#ifndef RP_WIRE_ROW_H
#define RP_WIRE_ROW_H
#include "ringpg/query.h"
#include "wire/check.h"
#include "wire/load.h"
#include "wire/pieces.h"

enum { RP_LENGTH_BYTES = 4 };
#define RP_SQL_NULL UINT32_MAX /* the length word -1 */
enum { RP_ROW_CACHED = 32 }; /* columns whose place is remembered; those behind are found by walking */

/* A description is kept once for a statement that is executed in either format: then the request says which one. */
enum rp_format { RP_FORMAT_DESCRIBED, RP_FORMAT_TEXT, RP_FORMAT_BINARY };

struct rp_column {
    uint32_t type, table;
    int32_t type_modifier;
    int16_t attribute;
    bool text;
    uint32_t name_at, name_size; /* inside rp_columns.names, where a NUL follows each */
};
/* One RowDescription, unpacked into one block of memory: this head, the columns, the names. */
struct rp_columns {
    uint32_t count;
    uint32_t bytes; /* of the whole block */
    const char *names;
    struct rp_column column[];
};

struct pg_row {
    const uint8_t *at;                /* first length word                                     */
    uint32_t size;                    /* bytes from there                                      */
    uint32_t count;                   /* columns                                               */
    uint32_t result;                  /* which result set                                      */
    enum rp_format format;            /* of the values; set by the caller of rp_row_parse      */
    int mark;                         /* 0 or PG_E_VALUE                                       */
    uint32_t marked_column;           /* 0-based, of the first complaint                       */
    const char *why;                  /* the complaint: "is NULL", "is text, not int4"; static */
    const struct rp_columns *columns; /* as many as `count`                                    */
    uint32_t offset[RP_ROW_CACHED];   /* of the length word, from `at`                         */
};

/* Marks the row once; later complaints do not replace the first. `row` may be NULL. */
void rp_row_mark(struct pg_row *row, uint32_t column, const char *why);

/* Of a column's length word, behind the cached ones. */
uint32_t rp_row_walk(const struct pg_row *row, uint32_t column);

static inline bool rp_row_in_text(const struct pg_row *row, uint32_t column)
{
    return row->format == RP_FORMAT_DESCRIBED ? row->columns->column[column].text : row->format == RP_FORMAT_TEXT;
}
/* Inline, and so are the getters' own ways to the bytes, so that a value stays in registers: one that is handed on in
 * memory is copied with wider loads than it was stored with, and each of those waits until the stores have reached the
 * cache, which takes longer than all that a getter does. */
static inline struct pg_value rp_row_value(struct pg_row *row, uint32_t column)
{
    RP_ASSERT(row);
    struct pg_value value = { .row = row, .column = column };
    if (column >= row->count) {
        rp_row_mark(row, column, "does not exist");
        return value;
    }
    uint32_t at = column < RP_ROW_CACHED ? row->offset[column] : rp_row_walk(row, column);
    uint32_t length = rp_load_u32(row->at + at);
    value.type = row->columns->column[column].type;
    value.text = rp_row_in_text(row, column);
    if (length == RP_SQL_NULL) return value;
    value.data = row->at + at + RP_LENGTH_BYTES;
    value.size = length;
    return value;
}

/* Validates a DataRow's body against `columns` and makes `row` a view of it; `row->result` stays what the caller set it
 * to. 0, or PG_E_PROTOCOL with a static `*why`: then `row` must not be read. */
int rp_row_parse(struct pg_row *row, const uint8_t *body, size_t size, const struct rp_columns *columns,
                 const char **why);

/* No row, but one of these columns that complaints may be about. */
void rp_row_none(struct pg_row *row, const struct rp_columns *columns);
/* A piece as a value that marks such a row; row->format is its format. */
struct pg_value rp_piece_value(struct pg_row *row, const struct rp_piece *piece);
struct pg_column rp_column_of(const struct rp_columns *columns, uint32_t column, bool text);

/* The bytes that rp_columns_build needs for a RowDescription's body; 0 and a static `*why`: it is malformed. */
size_t rp_columns_measure(const uint8_t *body, size_t size, const char **why);
void rp_columns_build(struct rp_columns *columns, size_t bytes, const uint8_t *body, size_t size);
void rp_columns_copy(struct rp_columns *to, const struct rp_columns *from); /* of from->bytes */
/* But for the format of the values. */
bool rp_columns_equal(const struct rp_columns *a, const struct rp_columns *b);

#endif
