/* wire/pieces.h - a DataRow that is read as it comes and is never whole anywhere: its values one after the other, each
 * in as many pieces as it takes. The same rules as in row.c: what is malformed is an error as soon as it is seen.
 * Source: protocol chapter "Message Formats", DataRow. */
#ifndef RP_WIRE_PIECES_H
#define RP_WIRE_PIECES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RP_PIECE_NULL = -1 };

struct rp_pieces {
    size_t left;         /* bytes of the message that were not looked at    */
    uint32_t due;        /* columns that the row must have                  */
    uint32_t column;     /* of the value that is read, or is next           */
    int64_t size;        /* of that value; RP_PIECE_NULL                    */
    size_t value_left;   /* bytes of it                                     */
    enum { RP_PIECES_COUNT, RP_PIECES_LENGTH, RP_PIECES_VALUE } state;
};
struct rp_piece {
    const uint8_t *at;   /* a view into what was given, also of an empty value; NULL: SQL NULL, or no column at all */
    size_t bytes;
    uint32_t column;
    int64_t size;        /* of the whole value */
    uint64_t offset;     /* of this piece in it */
    bool last;           /* nothing of the row follows */
};

/* `body` bytes of a message follow, which must have so many columns. */
void rp_pieces_begin(struct rp_pieces *p, size_t body, uint32_t columns);
/* Reads on in `have` bytes, of which `*used` are done with (`piece` still looks at them). Values of up to `whole` bytes
 * come in one piece. MORE: at least `*need` unread bytes have to be there next time. BAD: `*why`, static. */
enum rp_pieces_step { RP_PIECES_MORE, RP_PIECES_PIECE, RP_PIECES_BAD };
enum rp_pieces_step rp_pieces_next(struct rp_pieces *p, const uint8_t *at, size_t have, size_t whole,
                                   struct rp_piece *piece, size_t *used, size_t *need, const char **why);

#endif
