/* wire/protocol.h - the versions of the protocol that are spoken, as the connection string names them, and what of
 * their messages differs. There never was a 3.1.
 *
 * Source: PostgreSQL 18, chapter "Frontend/Backend Protocol", "Protocol Versions". */
#ifndef RP_WIRE_PROTOCOL_H
#define RP_WIRE_PROTOCOL_H

enum rp_protocol { RP_PROTOCOL_3_0, RP_PROTOCOL_3_2 };

/* As the wire has them: the major version, and in the lower 16 bits the minor one. */
enum { RP_VERSION_3_0 = 3 << 16, RP_VERSION_3_1 = 3 << 16 | 1, RP_VERSION_3_2 = 3 << 16 | 2 };

/* Of the key that a cancel request needs: the first in protocol 3.0, anything between them since 3.2. */
enum { RP_CANCEL_KEY_MIN = 4, RP_CANCEL_KEY_MAX = 256 };

#endif
