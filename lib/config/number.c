/* config/number.c - numbers, durations and sizes as people write them. Pure; knows no keyword and writes no error text.
 *
 * Invariant: a function that does not answer RP_NUMBER leaves its output alone. */
#include "config/piece.h"
#include "wire/check.h"
#include <string.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Reads digits and returns where they end; false in `*fits`, which is only ever cleared: they are beyond 64 bits. */
static const char *digits(const char *p, uint64_t *out, bool *fits)
{
    uint64_t n = 0;
    for (; is_digit(*p); p++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n)) *fits = false;
    *out = n;
    return p;
}

enum rp_number rp_number_integer(const char *text, int64_t *out)
{
    const char *p = text;
    uint64_t n;
    bool fits = true;
    while (is_space(*p)) p++;
    bool minus = *p == '-';
    if (*p == '-' || *p == '+') p++;
    if (!is_digit(*p)) return RP_NUMBER_GARBAGE;
    p = digits(p, &n, &fits);
    while (is_space(*p)) p++;
    if (*p) return RP_NUMBER_GARBAGE;
    if (!fits || n > INT64_MAX) return RP_NUMBER_RANGE;
    *out = minus ? -(int64_t)n : (int64_t)n;
    return RP_NUMBER;
}

struct unit { const char *name; uint64_t of; };

static const struct unit *find_unit(const struct unit *units, size_t count, const char *at, size_t size)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(units[i].name) == size && memcmp(units[i].name, at, size) == 0) return &units[i];
    return NULL;
}

/* One term, "1.5h": a whole part, a fraction (digits beyond the ninth change less than a ns of any unit but hours) and
 * a unit. */
static const char *term(const char *p, bool alone, unsigned __int128 *sum, enum rp_number *rc)
{
    static const struct unit units[] = {
        { "ns", 1 }, { "us", 1000 }, { "\xc2\xb5s", 1000 }, { "\xce\xbcs", 1000 }, { "ms", 1000000 },
        { "s", 1000000000 }, { "m", 60000000000 }, { "h", 3600000000000 },
    };
    uint64_t whole = 0, fraction = 0, scale = 1;
    const char *start = p;
    bool fits = true;
    p = digits(p, &whole, &fits);
    bool any = p > start;
    if (*p == '.') {
        for (p++; is_digit(*p); p++, any = true)
            if (scale < 1000000000) {
                fraction = fraction * 10 + (uint64_t)(*p - '0');
                scale *= 10;
            }
    }
    const char *name = p;
    while (*p && *p != '.' && !is_digit(*p)) p++;
    const struct unit *unit = find_unit(units, RP_COUNT(units), name, (size_t)(p - name));
    if (alone && !*name) unit = &units[5]; /* a bare number: seconds */
    if (!any || !unit) {
        *rc = RP_NUMBER_GARBAGE;
        return p;
    }
    *sum += (unsigned __int128)whole * unit->of + (unsigned __int128)fraction * unit->of / scale;
    if (!fits || *sum > UINT64_MAX) {
        *rc = RP_NUMBER_RANGE;
        *sum = UINT64_MAX;
    }
    return p;
}

enum rp_number rp_number_duration(const char *text, uint64_t *ns)
{
    const char *p = text;
    bool minus = *p == '-';
    if (*p == '-' || *p == '+') p++;
    if (!*p) return RP_NUMBER_GARBAGE;
    unsigned __int128 sum = 0;
    enum rp_number rc = RP_NUMBER;
    for (bool first = true; *p && rc != RP_NUMBER_GARBAGE; first = false) p = term(p, first, &sum, &rc);
    if (rc == RP_NUMBER && minus && sum > 0) rc = RP_NUMBER_RANGE;
    if (rc == RP_NUMBER) *ns = (uint64_t)sum;
    return rc;
}

enum rp_number rp_number_bytes(const char *text, uint64_t *bytes)
{
    static const struct unit units[] = {
        { "", 1 }, { "B", 1 }, { "kB", 1 << 10 }, { "MB", 1 << 20 }, { "GB", 1 << 30 }
    };
    const char *p = text;
    uint64_t n;
    bool fits = true, minus = *p == '-';
    if (*p == '-' || *p == '+') p++;
    if (!is_digit(*p)) return RP_NUMBER_GARBAGE;
    p = digits(p, &n, &fits);
    const struct unit *unit = find_unit(units, RP_COUNT(units), p, strlen(p));
    if (!unit) return RP_NUMBER_GARBAGE;
    if (!fits || (minus && n > 0) || __builtin_mul_overflow(n, unit->of, &n)) return RP_NUMBER_RANGE;
    *bytes = n;
    return RP_NUMBER;
}
