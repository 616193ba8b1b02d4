/* wire/message.h - the messages of protocols 3.0 and 3.2: frames in, messages out, and the fields of ErrorResponse and
 * CommandComplete.
 *
 * Source: PostgreSQL, chapter "Frontend/Backend Protocol", "Message Formats". Pure functions over bytes. */
#ifndef RP_WIRE_MESSAGE_H
#define RP_WIRE_MESSAGE_H
#include "ringpg/query.h"
#include "wire/cursor.h"
#include "wire/protocol.h"
#include "wire/write.h"

enum { RP_FRAME_HEAD = 5 }; /* type byte and length word */

struct rp_frame {
    uint8_t type;
    const uint8_t *body;
    size_t size; /* of the body */
};

/* Reads one frame off `have` bytes. Returns 1: there; 0: more bytes are needed, `*need` is how many of this message in
 * all (at least RP_FRAME_HEAD), and `frame->type` is set if have > 0; -1: the length word is below 4 or above `limit`.
 */
static inline int rp_frame_read(const uint8_t *at, size_t have, size_t limit, struct rp_frame *frame, size_t *need)
{
    *need = RP_FRAME_HEAD;
    if (have == 0) return 0;
    frame->type = at[0];
    if (have < RP_FRAME_HEAD) return 0;
    size_t length = rp_load_u32(at + 1);
    if (length < 4 || length > limit) return -1;
    *need = length + 1;
    if (have < *need) return 0;
    frame->body = at + RP_FRAME_HEAD;
    frame->size = length - 4;
    return 1;
}

/* The same of a frame that is there as a whole and has no more than `plain` bytes of body; else false. */
static inline bool rp_frame_plain(const uint8_t *at, size_t have, size_t plain, struct rp_frame *frame)
{
    if (have < RP_FRAME_HEAD) return false;
    size_t size = (size_t)rp_load_u32(at + 1) - 4; /* wraps where the length is below 4 */
    if (size > plain || size > have - RP_FRAME_HEAD) return false;
    *frame = (struct rp_frame){ .type = at[0], .body = at + RP_FRAME_HEAD, .size = size };
    return true;
}

/* ErrorResponse and NoticeResponse: every field copied, cut to fit, in their order. Missing or repeated fields, an
 * absent terminator and a body of any size do no harm. `error->code` and `sent` are the caller's to set. True: the
 * severity is FATAL or PANIC, so the connection ends. */
bool rp_error_parse(struct pg_error *error, const uint8_t *body, size_t size);

/* CommandComplete: "INSERT 0 5" -> tag "INSERT", rows 5; "CREATE TABLE" -> the words, rows 0. False: the body is not one
 * string with its NUL. */
bool rp_tag_parse(const uint8_t *body, size_t size, char tag[16], uint64_t *rows);

/* The name of a prepared statement, as a number: of a declared one its id, in hexadecimal behind an "s"; of SQL built
 * at run time RP_NAME_TEXT and a serial number below it, behind a "d". 0: the unnamed statement. */
#define RP_NAME_TEXT (UINT64_C(1) << 63)
size_t rp_name_size(uint64_t name); /* its NUL included */

/* What one extended-protocol request consists of, with everything that its bytes depend on. */
struct rp_bind {
    uint64_t statement;                /* its name */
    const uint32_t *types;             /* declared, `ntypes` of them; behind those (or NULL): the parameters' own */
    uint32_t ntypes;
    const struct pg_param *params;
    uint32_t nparams;
    bool text_results;
};
/* Checks all parameters and measures the Bind. 0; PG_E_PARAMETER with a static `*why` and the 0-based `*which`.
 * `limit`: the protocol's bound on a message (1 GiB - 1), injectable for tests. */
int rp_bind_measure(const struct rp_bind *b, size_t limit, size_t *size, uint32_t *which, const char **why);
void rp_write_bind(struct rp_writer *w, const struct rp_bind *b, size_t size);

/* Sizes are of the whole message. */
size_t rp_parse_size(const struct rp_bind *b, const char *sql);
void rp_write_parse(struct rp_writer *w, const struct rp_bind *b, const char *sql);
uint32_t rp_parse_type(const struct rp_bind *b, uint32_t i); /* as Parse says it; 0: the server decides */
size_t rp_close_size(uint64_t statement);
void rp_write_close(struct rp_writer *w, uint64_t statement);
enum { RP_DESCRIBE_SIZE = 7, RP_EXECUTE_SIZE = 10, RP_SYNC_SIZE = 5, RP_TERMINATE_SIZE = 5,
       RP_TLS_REQUEST_SIZE = 8, RP_CANCEL_SIZE_MAX = 12 + RP_CANCEL_KEY_MAX };
void rp_write_describe_portal(struct rp_writer *w);
static inline void rp_write_execute(struct rp_writer *w) { rp_write_bytes(w, "E\0\0\0\x09\0\0\0\0", RP_EXECUTE_SIZE); }
static inline void rp_write_sync(struct rp_writer *w) { rp_write_bytes(w, "S\0\0\0\4", RP_SYNC_SIZE); }
void rp_write_terminate(struct rp_writer *w);
/* These two have no type byte. CancelRequest: on a socket of its own, as long as the key makes it. */
void rp_write_cancel(struct rp_writer *w, uint32_t pid, const uint8_t *key, size_t key_size);
void rp_write_tls_request(struct rp_writer *w); /* SSLRequest */
size_t rp_query_size(const char *sql);
void rp_write_query(struct rp_writer *w, const char *sql);

/* Pairs of name and value, ended by a NULL name; pairs with a NULL value are left out. Returns the size of the whole
 * message; `w` NULL only measures. */
struct rp_pair { const char *name, *value; };
size_t rp_write_startup(struct rp_writer *w, enum rp_protocol protocol, const struct rp_pair *pairs);
/* 'p' messages: a password (its NUL included), or SASL bytes behind an optional mechanism. */
size_t rp_write_password(struct rp_writer *w, const char *password);
size_t rp_write_sasl(struct rp_writer *w, const char *mechanism, const char *at, size_t size);

/* What the first words of an SQL text say about its effect on the session. Comments are skipped; a guess that is never
 * wrong about what it names, and silent about what is hidden in functions. */
enum rp_sql_class {
    RP_SQL_PLAIN,
    RP_SQL_BEGIN,
    RP_SQL_COMMIT,
    RP_SQL_ROLLBACK,
    RP_SQL_SESSION, /* leaves something behind in the session or needs one: SET, LISTEN, COPY, PREPARE, DECLARE, TEMP
                       ... */
};
enum rp_sql_class rp_sql_classify(const char *sql);

#endif
