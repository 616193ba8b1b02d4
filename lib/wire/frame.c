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

void rp_tag_parse(const char *text, char tag[16], uint64_t *rows)
{
    size_t words = 0;
    const char *at = text;
    memset(tag, 0, 16);
    for (; *at && (*at < '0' || *at > '9'); at++)
        if (words < 15) tag[words++] = *at;
    while (words && tag[words - 1] == ' ') tag[--words] = 0;
    *rows = 0; /* the last number that stands by itself: INSERT has an OID before it */
    for (bool counts = at > text && at[-1] == ' '; *at; at++) {
        if (*at == ' ') *rows = 0, counts = true;
        else if (*at < '0' || *at > '9') counts = false;
        else if (counts) *rows = *rows * 10 + (uint64_t)(*at - '0');
    }
}
