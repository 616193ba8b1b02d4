/* ringpg/error.h - numbers, their texts, and the caller's buffer for what the server said.
 *
 * A function that can fail returns 0 or a negative int: -errno for what the system said, PG_E_... for what the
 * library decided. The two never mix: PG_E_TIMEOUT is a deadline of ours that passed, -ETIMEDOUT is the kernel's
 * word about a socket. Compare `rc == PG_E_TIMEOUT`, never `-PG_E_TIMEOUT`. */
#ifndef RINGPG_ERROR_H
#define RINGPG_ERROR_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define PG_WARN_UNUSED __attribute__((warn_unused_result))

/* The one table of the library's own numbers: X(name, number, text). Numbers never change. */
#define PG_STATUS_TABLE(X)                                                                        \
    X(PG_E_SERVER, -10001, "the server reported an error")                                        \
    X(PG_E_TIMEOUT, -10002, "the deadline passed")                                                \
    X(PG_E_CANCELLED, -10003, "cancelled by the caller")                                          \
    X(PG_E_REFUSED, -10004, "refused: the queue is full or nothing is free")                      \
    X(PG_E_CLOSED, -10005, "the pool is closing or closed")                                       \
    X(PG_E_LOST, -10006, "the connection was lost under the request")                             \
    X(PG_E_UNAVAILABLE, -10007, "no connection could be made in time")                            \
    X(PG_E_PROTOCOL, -10008, "the server broke the protocol")                                     \
    X(PG_E_PARAMETER, -10009, "a parameter has the wrong number, type or size; nothing was sent") \
    X(PG_E_VALUE, -10010, "a getter met NULL, a wrong type or a value out of range")              \
    X(PG_E_FULL, -10011, "a configured capacity is used up")                                      \
    X(PG_E_NEEDS_LEASE, -10012, "the statement needs a lease")                                    \
    X(PG_E_ROLLED_BACK, -10013, "COMMIT was answered by ROLLBACK")                                \
    X(PG_E_BATCH, -10014, "another query of the batch failed")                                    \
    X(PG_E_CONFIG, -10015, "a configuration value is wrong")

#define PG_STATUS_ENUM_(name, number, text) name = number,
enum pg_status { PG_OK = 0, PG_STATUS_TABLE(PG_STATUS_ENUM_) };
#undef PG_STATUS_ENUM_

/* May the server have executed the request? NO and YES are certain; MAYBE: it was sent and no outcome came. */
enum pg_sent { PG_SENT_NO, PG_SENT_MAYBE, PG_SENT_YES };

/* Details of one failure. The caller's memory, optional wherever it appears; the library copies into it and keeps
 * no pointer to it past the outcome. Never holds a password. */
struct pg_error {
    int code;          /* a pg_status or -errno                                             */
    enum pg_sent sent; /* as pg_query.sent                                                  */
    char sqlstate[6];  /* NUL-terminated, "" if the failure is not the server's             */
    uint32_t position; /* 1-based character in the SQL text, 0: unknown                     */
    char text[464];    /* the fields, cut to fit; read them with pg_error_field             */
};

/* A field of the error as a NUL-terminated string inside `error`, "" if absent. `which` is the field's letter in
 * the protocol: 'S' severity, 'C' SQLSTATE, 'M' message, 'D' detail, 'H' hint, 'n' constraint, 't' table ...
 * 'M' is there for every failure, the library's own included. Any thread. Source: PostgreSQL, "Error and Notice
 * Message Fields". */
const char *pg_error_field(const struct pg_error *error, char which);

/* "PG_E_TIMEOUT", "ECONNRESET", "PG_OK": the name of a status as it stands in the source; static storage, never
 * NULL. pg_error_text: the sentence that belongs to it. Any thread. */
const char *pg_error_name(int status);
const char *pg_error_text(int status);

#ifdef __cplusplus
}
#endif
#endif
