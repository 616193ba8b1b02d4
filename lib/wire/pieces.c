/* wire/pieces.c - see the header. Each state takes what it needs of the bytes, or says how many there must be. */
#include "wire/row.h"

enum { COUNT_BYTES = 2 };

void rp_pieces_begin(struct rp_pieces *p, size_t body, uint32_t columns)
{
    *p = (struct rp_pieces){ .left = body, .due = columns, .state = RP_PIECES_COUNT };
}

static enum rp_pieces_step bad(const char **why, const char *what)
{
    *why = what;
    return RP_PIECES_BAD;
}

/* NULL, or what is wrong with the number of columns. */
static const char *begin_row(struct rp_pieces *p, uint32_t count)
{
    p->left -= COUNT_BYTES;
    p->state = RP_PIECES_LENGTH;
    if (count != p->due) return "DataRow and RowDescription differ in their columns";
    return count == 0 && p->left ? "DataRow has bytes behind its last value" : NULL;
}

static const char *begin_value(struct rp_pieces *p, uint32_t length)
{
    uint32_t behind = p->due - p->column - 1; /* a length word each, at least */
    p->left -= RP_LENGTH_BYTES;
    p->state = RP_PIECES_VALUE;
    p->size = length == RP_SQL_NULL ? RP_PIECE_NULL : (int64_t)length;
    p->value_left = length == RP_SQL_NULL ? 0 : length;
    if (p->value_left > p->left) return "DataRow has a value that ends behind it, or a negative length";
    if ((p->left - p->value_left) / RP_LENGTH_BYTES < behind) return "DataRow ends inside a length";
    if (behind == 0 && p->left != p->value_left) return "DataRow has bytes behind its last value";
    return NULL;
}

/* Of the value in hand, which becomes the next one at its end. */
static void take_piece(struct rp_pieces *p, const uint8_t *at, size_t n, struct rp_piece *piece)
{
    bool null = p->size == RP_PIECE_NULL;
    *piece = (struct rp_piece){ .at = null ? NULL : at, .bytes = n, .column = p->column, .size = p->size };
    piece->offset = null || RP_PLANT(piece_from_the_start) ? 0 : (uint64_t)p->size - p->value_left;
    p->value_left -= n;
    p->left -= n;
    if (p->value_left) return;
    piece->last = ++p->column == p->due;
    p->state = RP_PIECES_LENGTH;
}

enum rp_pieces_step rp_pieces_next(struct rp_pieces *p, const uint8_t *at, size_t have, size_t whole,
                                   struct rp_piece *piece, size_t *used, size_t *need, const char **why)
{
    const char *wrong = NULL;
    *used = 0;
    if (p->state == RP_PIECES_COUNT) {
        if (p->left < COUNT_BYTES) return bad(why, "DataRow has an impossible size");
        *need = COUNT_BYTES;
        if (have < COUNT_BYTES) return RP_PIECES_MORE;
        *used = COUNT_BYTES;
        if ((wrong = begin_row(p, rp_load_u16(at)))) return bad(why, wrong);
        if (p->due == 0) {
            *piece = (struct rp_piece){ .size = RP_PIECE_NULL, .last = true };
            return RP_PIECES_PIECE;
        }
    }
    if (p->state == RP_PIECES_LENGTH) {
        if (p->left < RP_LENGTH_BYTES) return bad(why, "DataRow ends inside a length");
        *need = RP_LENGTH_BYTES;
        if (have - *used < RP_LENGTH_BYTES) return RP_PIECES_MORE;
        *used += RP_LENGTH_BYTES;
        if ((wrong = begin_value(p, rp_load_u32(at + *used - RP_LENGTH_BYTES)))) return bad(why, wrong);
    }
    size_t here = have - *used, n = p->value_left < here ? p->value_left : here;
    *need = p->size <= (int64_t)whole ? p->value_left : 1;
    if (here < *need && p->value_left) return RP_PIECES_MORE;
    take_piece(p, at + *used, n, piece);
    *used += n;
    return RP_PIECES_PIECE;
}
