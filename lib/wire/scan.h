/* wire/scan.h - a bounded reader over the text of one value. What is not there is false, and the place stays. */
#ifndef RP_WIRE_SCAN_H
#define RP_WIRE_SCAN_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "ringpg/value.h"

struct rp_scan {
    const uint8_t *at, *end;
};
static inline struct rp_scan rp_scan_of(struct pg_value value)
{
    return (struct rp_scan){ value.data, value.data + value.size };
}
static inline bool rp_is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
static inline bool rp_scan_end(const struct rp_scan *s) { return s->at == s->end; }
static inline bool rp_scan_char(struct rp_scan *s, char c)
{
    if (s->at == s->end || *s->at != (uint8_t)c) return false;
    s->at++;
    return true;
}
static inline bool rp_scan_word(struct rp_scan *s, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size) != 0) return false;
    s->at += size;
    return true;
}
/* At least `min` digits and at most `max`, which is 18 at most. */
static inline bool rp_scan_digits(struct rp_scan *s, int min, int max, int64_t *out)
{
    const uint8_t *at = s->at;
    int64_t number = 0;
    for (; at < s->end && at - s->at < max && rp_is_digit(*at); at++) number = 10 * number + (*at - '0');
    if (at - s->at < min) return false;
    s->at = at;
    *out = number;
    return true;
}
static inline int rp_hex_digit(uint8_t c)
{
    if (rp_is_digit(c)) return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
/* Two hexadecimal digits. */
static inline bool rp_scan_hex(struct rp_scan *s, uint8_t *out)
{
    if (s->end - s->at < 2) return false;
    int high = rp_hex_digit(s->at[0]), low = rp_hex_digit(s->at[1]);
    if (high < 0 || low < 0) return false;
    *out = (uint8_t)(high << 4 | low);
    s->at += 2;
    return true;
}
static inline bool rp_is_word(struct pg_value value, const char *word)
{
    return value.size == strlen(word) && memcmp(value.data, word, value.size) == 0;
}

#endif
