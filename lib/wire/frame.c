/* wire/frame.c - bytes in: frames, error fields, command tags. Trusts no length and no terminator. */
#include "wire/message.h"
#include "wire/cursor.h"

/* The fields that are worth the room come first where not all fit: the message is never crowded out by a source file
 * name. */
static bool worth_keeping(uint8_t field, bool first_pass)
{
    bool wanted = strchr("SCMDHn", field) != NULL;
    return first_pass ? wanted : !wanted;
}

static void keep_fields(struct pg_error *error, const uint8_t *body, size_t size, bool first_pass, size_t *used,
                        bool *fatal)
{
    struct rp_cursor c = { body, size, false };
    for (uint8_t field = rp_read_u8(&c); field; field = rp_read_u8(&c)) {
        size_t left = c.left, n;
        const char *value = (const char *)c.at;
        n = left ? strnlen(value, left) : 0;
        rp_read_bytes(&c, n + 1); /* without its terminator it is the last */
        if (first_pass && field == 'C' && n == 5 && !error->sqlstate[0]) memcpy(error->sqlstate, value, 5);
        if (first_pass && field == 'P' && !error->position)
            for (size_t i = 0; i < n && i < 9 && value[i] >= '0' && value[i] <= '9'; i++)
                error->position = error->position * 10 + (uint32_t)(value[i] - '0');
        if (first_pass && (field == 'V' || field == 'S') && n >= 5 &&
            (!memcmp(value, "FATAL", 5) || !memcmp(value, "PANIC", 5)))
            *fatal = true;
        size_t room = sizeof error->text - *used;
        if (!worth_keeping(field, first_pass) || n == 0 || room < 4 || *pg_error_field(error, (char)field)) continue;
        if (n > room - 3) n = room - 3; /* letter, NUL, and the NUL that ends all */
        error->text[*used] = (char)field;
        memcpy(error->text + *used + 1, value, n);
        *used += 1 + n + 1;
    }
}

bool rp_error_parse(struct pg_error *error, const uint8_t *body, size_t size)
{
    size_t used = 0;
    bool fatal = false;
    memset(error, 0, sizeof *error);
    keep_fields(error, body, size, true, &used, &fatal);
    keep_fields(error, body, size, false, &used, &fatal);
    return fatal;
}

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* "SELECT 5", as nearly all of them are. */
static bool is_select(const uint8_t *body, size_t size, uint64_t *rows)
{
    if (size < 9 || memcmp(body, "SELECT ", 7) != 0) return false;
    const uint8_t *at = body + 7, *end = body + size - 1;
    for (*rows = 0; at != end && is_digit(*at); at++) *rows = *rows * 10 + (uint64_t)(*at - '0');
    return at == end && *end == 0;
}

bool rp_tag_parse(const uint8_t *body, size_t size, char tag[16], uint64_t *rows)
{
    uint64_t n = 0;
    memset(tag, 0, 16);
    if (is_select(body, size, rows)) {
        memcpy(tag, "SELECT", 6);
        return true;
    }
    const uint8_t *end = size ? memchr(body, 0, size) : NULL, *at = body;
    if (!end || end != body + size - 1) return false;
    while (at != end && !is_digit(*at)) at++;
    size_t words = (size_t)(at - body);
    bool counts = words && at[-1] == ' ';
    if (words > 15) words = 15;
    while (words && body[words - 1] == ' ') words--;
    memcpy(tag, body, words);
    for (; at != end; at++) { /* the last number that stands by itself: INSERT has an OID before it */
        if (*at == ' ') n = 0, counts = true;
        else if (!is_digit(*at)) counts = false;
        else if (counts) n = n * 10 + (uint64_t)(*at - '0');
    }
    *rows = n;
    return true;
}
