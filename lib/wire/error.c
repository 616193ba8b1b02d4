/* wire/error.c - status numbers as words. The texts come from the one table in ringpg/error.h; the system's names from
 * libc. */
#define _GNU_SOURCE
#include <string.h>
#include "ringpg/error.h"

const char *pg_error_name(int status)
{
    switch (status) {
    case PG_OK: return "PG_OK";
#define NAME(name, number, text) case name: return #name;
        PG_STATUS_TABLE(NAME)
#undef NAME
    default: break;
    }
    const char *name = status < 0 && status > -4096 ? strerrorname_np(-status) : NULL;
    return name ? name : "unknown status";
}

const char *pg_error_text(int status)
{
    switch (status) {
    case PG_OK: return "success";
#define TEXT(name, number, text) case name: return text;
        PG_STATUS_TABLE(TEXT)
#undef TEXT
    default: break;
    }
    const char *text = status < 0 && status > -4096 ? strerrordesc_np(-status) : NULL;
    return text ? text : "unknown status";
}

/* text[] is a run of entries, each one field letter and a NUL-terminated value, ended by a NUL letter. */
const char *pg_error_field(const struct pg_error *error, char which)
{
    const char *at = error->text, *end = error->text + sizeof error->text;
    while (at < end && *at) {
        if (*at == which) return at + 1;
        at += 1 + strnlen(at + 1, (size_t)(end - at - 1)) + 1;
    }
    return "";
}
