/* conn/saslprep.c - SASLprep by libidn's stringprep. Both sides of SCRAM must make the same bytes of one password,
 * however it was typed; the server has done this when the password was set. See the header. */
#define _GNU_SOURCE
#include "conn/saslprep.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <stringprep.h>

/* Printable ASCII is what it is, and the rest of ASCII is prohibited: both stay as they are. */
static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80) return false;
    return true;
}

char *rp_saslprep(const char *password)
{
    char *prepared = NULL;
    if (is_ascii(password)) return NULL;
    if (stringprep_profile(password, &prepared, "SASLprep", STRINGPREP_NO_UNASSIGNED) == STRINGPREP_OK) return prepared;
    return NULL;
}

void rp_saslprep_free(char *prepared)
{
    if (prepared) explicit_bzero(prepared, strlen(prepared));
    free(prepared);
}
