/* wire/rows.c - rows kept in the caller's buffer, which is filled from both ends:
 *
 *      row that is looked at | description, row, row, description, row ...  ->      <- ... place, place, place
 *
 * A description stands in front of the first row of each result. A place is where its row begins, in words from the
 * buffer's first whole one; the first row's place is the last. */
#include "wire/check.h"
#include "wire/rows.h"

enum { WORD = 8, COUNT_BYTES = 2 }; /* the number of columns stands in front of a row's first length */
struct kept { uint32_t description, size, result, format; }; /* then so many bytes, DataRow's body */
struct state { size_t used, description; uint32_t result; };

static struct state *state_of(struct pg_rows *rows) { return (struct state *)(void *)rows->private_; }
_Static_assert(sizeof(struct state) <= sizeof((struct pg_rows){ 0 }.private_), "pg_rows.private_ is too small");
_Static_assert(sizeof(struct kept) % WORD == 0 && sizeof(struct pg_row) % WORD == 0, "what is kept is aligned");

static size_t in_words(size_t bytes) { return (bytes + WORD - 1) / WORD * WORD; }

static uint8_t *base(const struct pg_rows *rows)
{
    return (uint8_t *)rows->buffer + (WORD - (uintptr_t)rows->buffer % WORD) % WORD;
}
/* Of whole words. */
static size_t capacity(const struct pg_rows *rows)
{
    size_t lost = (size_t)(base(rows) - (uint8_t *)rows->buffer);
    return rows->capacity > lost ? (rows->capacity - lost) / WORD * WORD : 0;
}
static uint32_t *place(const struct pg_rows *rows, uint32_t index)
{
    return (uint32_t *)(void *)(base(rows) + capacity(rows)) - 1 - index;
}

void rp_rows_begin(struct pg_rows *rows)
{
    *state_of(rows) = (struct state){ .used = sizeof(struct pg_row) };
    rows->count = 0;
}

bool rp_rows_keep(struct pg_rows *rows, const struct pg_row *row)
{
    struct state *s = state_of(rows);
    size_t body = (size_t)row->size + COUNT_BYTES, places = ((size_t)rows->count + 1) * sizeof(uint32_t);
    bool described = s->description && s->result == row->result;
    size_t description = described ? 0 : in_words(row->columns->bytes);
    size_t wanted = description + sizeof(struct kept) + in_words(body) + in_words(places);
    size_t all = capacity(rows);
    if (s->used > all || wanted > all - s->used || all / WORD > UINT32_MAX) return false;
    if (!described) {
        rp_columns_copy((struct rp_columns *)(void *)(base(rows) + s->used), row->columns);
        s->description = s->used;
        s->result = row->result;
        s->used += description;
    }
    struct kept head = { (uint32_t)(s->description / WORD), (uint32_t)body, row->result, (uint32_t)row->format };
    memcpy(base(rows) + s->used, &head, sizeof head);
    memcpy(base(rows) + s->used + sizeof head, row->at - COUNT_BYTES, body);
    *place(rows, rows->count++) = (uint32_t)(s->used / WORD);
    s->used += sizeof head + in_words(body);
    return true;
}

struct pg_row *pg_rows_at(struct pg_rows *rows, uint32_t index)
{
    RP_ASSERT(rows);
    if (index >= rows->count) return NULL;
    const uint8_t *at = base(rows) + (size_t)*place(rows, index) * WORD;
    struct pg_row *row = (struct pg_row *)(void *)base(rows);
    struct kept head;
    memcpy(&head, at, sizeof head);
    const void *columns = base(rows) + (size_t)head.description * WORD;
    const char *why;
    int rc = rp_row_parse(row, at + sizeof head, head.size, columns, &why);
    RP_ASSERT(rc == 0); /* it was one when it was kept */
    row->result = head.result;
    row->format = (enum rp_format)head.format;
    return row;
}
