/* wire/param_number.c - numeric as a parameter: from a 64-bit number with a scale, or from digits of any count.
 * Source: numeric_recv; the digits are groups of four, the point stands between two groups. */
#include "wire/param_value.h"

enum { HEAD_BYTES = 8, SCALE_MAX = 16383, GROUPS = 6 }; /* 2^63 * 10^3 has 22 decimals */

/* The groups of a number with a scale, the zeros at its end left out, as the server keeps it. */
struct small {
    struct pg_numeric n;
    uint16_t digits[GROUPS];
};

static void split(const struct pg_param *p, struct small *out)
{
    uint8_t decimal[4 * GROUPS] = { 0 }; /* the lowest first, behind as many zeros as make the decimals whole groups */
    unsigned pad = (4 - (unsigned)p->scale % 4) % 4, size = pad, low = 0;
    uint64_t left = p->u.i < 0 ? 0 - (uint64_t)p->u.i : (uint64_t)p->u.i;
    for (; left; left /= 10) decimal[size++] = (uint8_t)(left % 10);
    unsigned groups = size > pad ? (size + 3) / 4 : 0;
    for (unsigned i = 0; i < groups; i++) {
        const uint8_t *at = decimal + 4 * (groups - 1 - i);
        out->digits[i] = (uint16_t)(((at[3] * 10 + at[2]) * 10 + at[1]) * 10 + at[0]);
    }
    while (low < groups && out->digits[groups - 1 - low] == 0) low++;
    int32_t weight = (int32_t)groups - 1 - (int32_t)(((unsigned)p->scale + pad) / 4);
    out->n = (struct pg_numeric){ .sign = p->u.i < 0 ? PG_SIGN_MINUS : PG_SIGN_PLUS,
                                  .weight = (int16_t)(groups ? weight : 0),
                                  .scale = (uint16_t)p->scale,
                                  .count = (uint16_t)(groups - low),
                                  .digits = out->digits };
}

static const struct pg_numeric *numeric_of(const struct pg_param *p, struct small *room)
{
    if (p->scale == PG_FORM_NUMERIC) return p->u.p;
    split(p, room);
    return &room->n;
}

/* The server would cut off what stands behind the scale, without a word. */
static bool fits_scale(const struct pg_numeric *n)
{
    int32_t last = n->count;
    while (last && n->digits[last - 1] == 0) last--;
    if (last == 0) return true;
    int32_t decimals = 4 * (last - 1 - n->weight);
    for (uint16_t digit = n->digits[last - 1]; digit % 10 == 0; digit /= 10) decimals--;
    return decimals <= n->scale;
}

const char *rp_check_numeric(const struct pg_param *p)
{
    if (p->scale >= 0) return p->scale > SCALE_MAX ? "has a scale that is not from 0 to 16383" : NULL;
    const struct pg_numeric *n = p->u.p;
    if (!n || (n->count && !n->digits)) return "has no digits";
    bool special = rp_is_special(n->sign);
    if (!special && n->sign != PG_SIGN_PLUS && n->sign != PG_SIGN_MINUS) return "has a sign that is none";
    if (special && n->count) return "is NaN or infinite and has digits";
    if (n->scale > SCALE_MAX) return "has a scale that is not from 0 to 16383";
    for (uint16_t i = 0; i < n->count; i++)
        if (n->digits[i] > 9999) return "has a digit above 9999";
    return fits_scale(n) ? NULL : "has digits behind its scale";
}

size_t rp_numeric_size(const struct pg_param *p)
{
    struct small room;
    return HEAD_BYTES + 2 * (size_t)numeric_of(p, &room)->count;
}

void rp_write_numeric(struct rp_writer *w, const struct pg_param *p)
{
    struct small room;
    const struct pg_numeric *n = numeric_of(p, &room);
    rp_write_u16(w, n->count);
    rp_write_u16(w, (uint16_t)n->weight);
    rp_write_u16(w, n->sign);
    rp_write_u16(w, n->scale);
    for (uint16_t i = 0; i < n->count; i++) rp_write_u16(w, n->digits[i]);
}
