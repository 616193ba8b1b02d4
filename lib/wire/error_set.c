/* wire/error_set.c - failures in the library's own words, in the form of those that a server reports: entries of a
 * letter and a NUL-terminated value, ended by a NUL letter. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "error.h"

int rp_error_set(struct pg_error *error, int code, const char *format, ...)
{
    if (!error) return code;
    memset(error, 0, sizeof *error); /* also the letter that ends the entries */
    error->code = code;
    error->sent = PG_SENT_NO;
    error->text[0] = 'M';
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text + 1, sizeof error->text - 2, format, arguments);
    va_end(arguments);
    return code;
}
