/* wire/columns.c - a RowDescription, unpacked into one block of the caller's memory.
 *
 * Measured first, so that the caller can allocate or refuse; then built by a walk that cannot fail. A description that
 * claims more columns than its bytes can hold is refused before any walk. The names keep their terminating NUL.
 * Source: protocol chapter "Message Formats", RowDescription. */
#include "wire/check.h"
#include "wire/load.h"
#include "wire/row.h"

/* Behind the name: Int32 table, Int16 attribute, Int32 type, Int16 type length, Int32 modifier, Int16 format. */
enum { TABLE_AT = 0, ATTRIBUTE_AT = 4, TYPE_AT = 6, MODIFIER_AT = 12, FORMAT_AT = 16, FIELD_BYTES = 18 };

static size_t malformed(const char **why, const char *what)
{
    *why = what;
    return 0;
}

size_t rp_columns_measure(const uint8_t *body, size_t size, const char **why)
{
    RP_ASSERT(body && why);
    if (size < 2 || size > INT32_MAX) return malformed(why, "RowDescription has an impossible size");
    const uint8_t *at = body + 2, *end = body + size;
    size_t count = rp_load_u16(body), names = 0;
    if (count * (1 + FIELD_BYTES) > size - 2) return malformed(why, "RowDescription claims more columns than it holds");
    for (size_t i = 0; i < count; i++) {
        const uint8_t *nul = at < end ? memchr(at, 0, (size_t)(end - at)) : NULL;
        if (!nul) return malformed(why, "RowDescription ends inside a name");
        names += (size_t)(nul - at) + 1;
        at = nul + 1;
        if (end - at < FIELD_BYTES) return malformed(why, "RowDescription ends inside a column");
        if (rp_load_u16(at + FORMAT_AT) > 1) return malformed(why, "RowDescription has a format that is not 0 or 1");
        at += FIELD_BYTES;
    }
    if (at != end) return malformed(why, "RowDescription has bytes behind its last column");
    return sizeof(struct rp_columns) + count * sizeof(struct rp_column) + names;
}

void rp_columns_build(struct rp_columns *columns, size_t bytes, const uint8_t *body, size_t size)
{
    RP_ASSERT(columns && body && size >= 2);
    uint32_t count = rp_load_u16(body), name_at = 0;
    size_t head = sizeof(struct rp_columns) + count * sizeof(struct rp_column);
    RP_ASSERT(bytes >= head && bytes <= UINT32_MAX);
    char *names = (char *)columns + head;
    const uint8_t *at = body + 2;
    for (uint32_t i = 0; i < count; i++) {
        struct rp_column *column = &columns->column[i];
        size_t name_size = strlen((const char *)at);
        RP_ASSERT(name_size < bytes - head - name_at);
        memcpy(names + name_at, at, name_size + 1);
        at += name_size + 1;
        *column = (struct rp_column){
            .type = rp_load_u32(at + TYPE_AT),
            .table = rp_load_u32(at + TABLE_AT),
            .type_modifier = (int32_t)rp_load_u32(at + MODIFIER_AT),
            .attribute = (int16_t)rp_load_u16(at + ATTRIBUTE_AT),
            .text = rp_load_u16(at + FORMAT_AT) == 0,
            .name_at = name_at,
            .name_size = (uint32_t)name_size,
        };
        name_at += (uint32_t)name_size + 1;
        at += FIELD_BYTES;
    }
    RP_ASSERT(head + name_at == bytes && at == body + size);
    columns->count = count;
    columns->bytes = (uint32_t)bytes;
    columns->names = names;
}

void rp_columns_copy(struct rp_columns *to, const struct rp_columns *from)
{
    RP_ASSERT(to && from);
    memcpy(to, from, from->bytes);
    to->names = (const char *)&to->column[to->count];
}

static bool column_equal(const struct rp_column *a, const struct rp_column *b)
{
    return a->type == b->type && a->table == b->table && a->type_modifier == b->type_modifier &&
           a->attribute == b->attribute && a->name_at == b->name_at &&
           a->name_size == b->name_size;
}

bool rp_columns_equal(const struct rp_columns *a, const struct rp_columns *b)
{
    RP_ASSERT(a && b);
    if (a->count != b->count || a->bytes != b->bytes) return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!column_equal(&a->column[i], &b->column[i])) return false;
    size_t head = sizeof *a + a->count * sizeof a->column[0];
    return memcmp(a->names, b->names, a->bytes - head) == 0;
}
