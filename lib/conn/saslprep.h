/* conn/saslprep.h - how a password is prepared for SCRAM (RFC 4013, RFC 5802 section 2.2). */
#ifndef RP_CONN_SASLPREP_H
#define RP_CONN_SASLPREP_H
#include <stddef.h>

/* The prepared password on the heap, which the caller hands to rp_saslprep_free; NULL: it counts as it stands, as
 * PostgreSQL does with one that is no UTF-8 or has what SASLprep prohibits (and where there is no memory). */
char *rp_saslprep(const char *password);
void rp_saslprep_free(char *prepared); /* wipes it; NULL: no-op */

#endif
