/* wire/error.h - filling a struct pg_error in the library's own words. */
#ifndef RP_WIRE_ERROR_H
#define RP_WIRE_ERROR_H
#include "ringpg/error.h"

/* code, sqlstate "", sent NO, and 'M' = the formatted text, cut to fit. `error` may be NULL. Returns code. */
int rp_error_set(struct pg_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
