/* wire/quote.c - names for SQL text that is built at run time. Only what is valid UTF-8 is quoted: behind a broken
 * sequence the server could take the closing quote for a part of a character (CVE-2025-1094). Values are not quoted at
 * all, they are parameters. Sources: the chapter "Identifiers and Key Words"; RFC 3629, 4 for UTF-8. */
#include "ringpg/value.h"
#include "wire/check.h"

/* The size of the character at `at`; 0: it is none. Overlong forms, surrogates and what lies above U+10FFFF are none.
 */
static size_t character_size(const uint8_t *at, size_t left)
{
    static const struct {
        uint8_t first, last, low, high, size;
    } forms[] = {
        { 0x01, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    for (size_t i = 0; i < RP_COUNT(forms); i++) {
        if (at[0] < forms[i].first || at[0] > forms[i].last) continue;
        if (left < forms[i].size) return 0;
        if (forms[i].size > 1 && (at[1] < forms[i].low || at[1] > forms[i].high)) return 0;
        for (size_t k = 2; k < forms[i].size; k++)
            if (at[k] < 0x80 || at[k] > 0xbf) return 0;
        return forms[i].size;
    }
    return 0;
}

static bool is_utf8(struct pg_text text)
{
    for (size_t at = 0, size; at < text.size; at += size) {
        size = character_size((const uint8_t *)text.data + at, text.size - at);
        if (size == 0) return false;
    }
    return true;
}

static void put(char *out, size_t capacity, size_t *size, char c)
{
    if (*size < capacity) out[*size] = c;
    ++*size;
}

size_t pg_quote_identifier(struct pg_text name, char *out, size_t capacity)
{
    RP_ASSERT((out || capacity == 0) && (name.data || name.size == 0));
    size_t size = 0;
    if (name.size && is_utf8(name)) {
        put(out, capacity, &size, '"');
        for (size_t i = 0; i < name.size; i++) {
            if (name.data[i] == '"') put(out, capacity, &size, '"');
            put(out, capacity, &size, name.data[i]);
        }
        put(out, capacity, &size, '"');
    }
    if (capacity) out[size < capacity ? size : capacity - 1] = 0;
    return size;
}
