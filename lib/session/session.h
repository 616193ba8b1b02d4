/* session/session.h - the conversation with one backend, without I/O: bytes in, events out; requests in, bytes out.
 *
 *      rp_session_enqueue -> FIFO of entries -> rp_session_output -> bytes for the socket
 *      bytes of the socket -> rp_session_next -> one event at a time
 *
 * It owns the framing, the authentication, the query state machine and what is prepared on this connection. It knows no
 * descriptor, clock, memory allocation, randomness or TLS: nonce and salted keys are inputs, all arrays are given.
 *
 * Every entry of the FIFO is one request with a set of steps whose answers are due, in this order:
 *
 *      CLOSE? PARSE? BIND DESCRIBE? EXECUTE SYNC?        (extended)          (ROWS? SIMPLE)+ SYNC        (simple)
 *                                               ((COPY_IN | COPY_OUT) COPY_DONE SIMPLE)+ SYNC        (a COPY)
 *
 * One that only prepares its statement is CLOSE? PARSE? SYNC. There may be several Close: of its own name, and of
 * texts that are kept no longer; those stand in front of a whole group, where no error makes the server pass over
 * them. The lowest step left says which messages are legal; what is not in that row of the table breaks the
 * connection, whatever it is. A group is the run of entries up to the next one with SYNC; its outcomes are decided
 * together, at the group's ReadyForQuery and never before. An ErrorResponse clears every step of its group but SYNC. A
 * request whose caller went away stays as an entry without a query until its answer has passed.
 *
 * A COPY is a simple query: it takes no parameters and has no plan to keep, and in the extended protocol nobody could
 * say when to send the Sync, since the server swallows one while it copies in and needs another after an error that we
 * have not seen yet; a simple query ends by itself. It is a barrier: it is written when all before it is answered, and
 * nothing behind it before its own ReadyForQuery. What is copied in does not pass through here, CopyData carries no
 * state: the layer above frames it (wire/copy.h) and sends it before it asks for our output, which is CopyDone or
 * CopyFail. What comes out is an event with a view, in pieces where a message is large.
 *
 * With config->unnamed the session is made for a pooler between us and the server, who gives each transaction another
 * backend: no request relies on what an earlier one has left there, and nothing is written before the ReadyForQuery of
 * the group before it has come. PgBouncer 1.18 lets go of its backend there, in the midst of what was pipelined behind.
 *
 * Malformed or illegal bytes lead to RP_EVENT_BROKEN, for good; never to an assertion. */
#ifndef RP_SESSION_H
#define RP_SESSION_H
#include "ringpg/query.h"
#include "session/scram.h"
#include "wire/auth.h"
#include "wire/copy.h"
#include "wire/message.h"
#include "wire/pieces.h"
#include "wire/row.h"

/* ---- what is prepared: per connection one byte per statement, per pool the descriptions ---- */

enum {
    RP_PREPARED_NONE = 0,
    RP_GENERATIONS = 7,          /* 1..7: prepared, and its columns are catalog[id].generation[n - 1]; of a text
                                  * those of its place, as long as they are its n-th                */
    RP_PREPARED_BLIND = 253,     /* prepared; its columns are not known yet                           */
    RP_PREPARED_UNSURE = 254,    /* may or may not exist there: Close before Parse                    */
    RP_PREPARED_PARSING = 255,   /* a Parse is on its way                                             */
};
/* Of a declared statement. Owned by the layer above; the session reads it, and fills in what the text says. */
struct rp_catalog_entry {
    const struct rp_columns *generation[RP_GENERATIONS];
    uint32_t parse_size; /* of its Parse, UINT32_MAX if that or more; 0: nobody has looked at it yet */
    uint8_t sql_class;   /* enum rp_sql_class                                                        */
    uint8_t ntypes;      /* parameters                                                               */
};
_Static_assert(sizeof(struct rp_catalog_entry) == 64, "one for each statement that may be declared");

/* SQL that is built at run time and kept (conn/texts.h): each text stands in a place, whose id follows those of the
 * declared statements, under a serial number that is its name and never another's. A connection whose place was given
 * to another text since closes the old name in front of its next request (a simple query aside), and never by itself.
 *
 * Of the descriptions of its result the latest one is kept in the place, for all connections, if it fits into the
 * place's share: whoever has seen that one asks for none. Another one takes over while no request but the one that
 * brought it is of the text, since rows may still be read by the former, and under another number, by which a
 * connection knows that it has not seen it; RP_GENERATIONS times, so that connections that differ in it (search_path)
 * do not go on for ever. Who comes too early, too late or with too much has its columns described with each use.
 *
 * Owned by the layer above, which changes a place only while no request in any session's FIFO is of it; the sessions
 * count those, and fill in the descriptions. */
struct rp_texts_view {
    uint32_t places;
    uint32_t evicted;   /* so far, of the whole pool               */
    uint32_t ring;      /* a power of two, not below `places`      */
    uint32_t *eviction; /* the last `ring` of them: which place    */
    uint64_t *serial;   /* of the text in each place */
    uint32_t *pins;     /* requests that are in a FIFO, for each place */
    uint8_t *generation;  /* of the description in each place; 0: there is none */
    uint8_t *description; /* a struct rp_columns for each place                 */
    size_t share;         /* bytes of each, a multiple of 8                     */
};

/* The id of a declared statement, from 1 up, given on first use. Any thread. */
uint32_t rp_statement_id(struct pg_statement *statement);
static inline uint32_t rp_statement_known(const struct pg_statement *statement) /* the same, 0 before its first use */
{
    return __atomic_load_n(&statement->id_private, __ATOMIC_RELAXED);
}

/* ---- entries ---- */

enum rp_step {
    RP_STEP_CLOSE,
    RP_STEP_PARSE,
    RP_STEP_BIND,
    RP_STEP_DESCRIBE,
    RP_STEP_EXECUTE,
    RP_STEP_ROWS,   /* of one result of a simple query: there from its description to its CommandComplete */
    RP_STEP_SIMPLE, /* between two results                                                               */
    RP_STEP_SYNC,
    RP_STEP_NONE, /* nothing is due: idle, or the answer to a member of a batch is complete */
    /* These are no bits of an entry: one COPY at a time, session->copying says which. */
    RP_STEP_COPY_IN,   /* from CopyInResponse to the last byte of our CopyDone or CopyFail */
    RP_STEP_COPY_OUT,  /* from CopyOutResponse to CopyDone                                 */
    RP_STEP_COPY_DONE, /* then, to CommandComplete                                         */
    RP_STEPS
};
enum {
    RP_ENTRY_UNNAMED = 1,  /* its own statement, parsed each time                          */
    RP_ENTRY_TEXT = 2,     /* text results                                                 */
    RP_ENTRY_COMMIT = 4,   /* the SQL is a COMMIT: an answer of ROLLBACK is a failure      */
    RP_ENTRY_DROPPED = 8,  /* gone before any byte of it was written: not sent, not due    */
    RP_ENTRY_HEALED = 16,  /* is the second attempt                                        */
    RP_ENTRY_BOUND = 32,   /* BindComplete was seen                                        */
    RP_ENTRY_GROUP = 64,   /* more than one entry shares its Sync                          */
    RP_ENTRY_SYNC = 128,   /* the last of its group                                        */
    RP_ENTRY_SKIPPED = 256, /* its group failed before it was written: nothing but its Sync is sent */
    RP_ENTRY_PREPARE = 512, /* a declared statement that is prepared, and not executed              */
    RP_ENTRY_COPY = 1024,   /* may start a COPY; alone in its group, simple                         */
    RP_ENTRY_COPIED = 2048, /* and has: there is one for each request                               */
    RP_ENTRY_PIECES = 4096  /* its rows come in pieces, however large they are                      */
};
struct rp_entry {
    struct pg_query *query;           /* NULL: nobody waits for it any more       */
    const struct rp_columns *columns; /* NULL until known, or none                */
    uint64_t rows;
    uint32_t size, bind_size;         /* bytes of the whole request, of its Bind; a message is below 1 GiB */
    uint32_t statement;               /* id, 0: unnamed or simple; a text's place behind the declared ones */
    uint32_t result;                  /* which result set of a simple query       */
    int16_t complaint;         /* PG_E_VALUE, PG_E_FULL, PG_E_CANCELLED: local, decides when the server had none */
    uint8_t steps, sent_steps; /* bits of rp_step: still due; all that were written; both 0 before its first byte */
    uint16_t flags;
    uint8_t generation;               /* the prepared byte that it relied on      */
    uint8_t closes;                   /* CloseComplete due: as many               */
    char tag[16];
};
_Static_assert(sizeof(struct rp_entry) <= 64, "each connection keeps one for every request in flight, and more");

/* ---- events ---- */

enum rp_event_kind {
    RP_EVENT_MORE,      /* nothing more in these bytes: `need` says how many the next message takes      */
    RP_EVENT_KEY,       /* SCRAM waits for rp_session_key (salt and iterations stand in session->scram)  */
    RP_EVENT_TLS,       /* the server agrees to TLS: from here on the bytes are those inside of it        */
    RP_EVENT_READY,     /* the start is complete                                                         */
    RP_EVENT_COLUMNS,   /* `body` is a RowDescription that rp_session_described must answer              */
    RP_EVENT_ROW,       /* session->row is a row of `query` (NULL: nobody's)                             */
    RP_EVENT_PIECE,     /* session->piece is a piece of a value of `query`                              */
    RP_EVENT_COPY,      /* `query` copies, session->copying says in which direction and `body` the formats;
                         * of one that nobody waits for there is no event, and what was to come in fails  */
    RP_EVENT_DATA,      /* `body` is copied out, for `query`                                    */
    RP_EVENT_OUTCOME,   /* `query` is over and its public results are set; NULL: nobody's                */
    RP_EVENT_HEAL,      /* `query` failed only since its statement was gone: enqueue it again            */
    RP_EVENT_NOTICE,    /* session->notice                                                               */
    RP_EVENT_NOTIFICATION, /* session->notification, where session->listens; else they are passed over       */
    RP_EVENT_BROKEN,    /* session->error says why; the connection is of no more use                     */
};
struct rp_event {
    enum rp_event_kind kind;
    struct pg_query *query;
    const uint8_t *body;
    size_t size;
    size_t need;
    const struct rp_columns *columns;
    uint32_t statement; /* COLUMNS: whose; 0: of an unnamed one */
};

/* NotificationResponse: views into the bytes, good until the next event is asked for. */
struct rp_notification { struct pg_text channel, payload; int32_t pid; };

/* ---- the session ---- */

enum rp_phase {
    RP_PHASE_START, RP_PHASE_TLS, RP_PHASE_AUTH, RP_PHASE_SETUP, RP_PHASE_READY, RP_PHASE_BROKEN
};

enum rp_rest { RP_REST_NONE, RP_REST_SKIPPED, RP_REST_COPIED, RP_REST_ROW };

enum { RP_CLOSES = 16 }; /* names of former texts that one request closes */
enum { RP_PARAMETERS = 10, RP_PARAMETER_SIZE = 64 }; /* ParameterStatus values that are kept */

struct rp_session_config {
    const struct rp_pair *startup;      /* ends with a NULL name */
    enum rp_protocol protocol_min, protocol_max; /* the second is asked for, at least the first must be agreed on */
    const char *user, *password;        /* password NULL: none   */
    const char *no_password;            /* what to say of a password file when there is none; NULL, "": nothing */
    uint32_t channel_binding;           /* enum rp_channel_binding */
    uint32_t auth_refused;              /* a bit per enum rp_method that the server may not ask for (require_auth) */
    uint32_t scram_iterations_max;
    size_t message_limit;               /* the protocol's 1 GiB - 1, or a small one in tests           */
    size_t row_limit;                   /* a larger DataRow is passed over and its query ends with PG_E_FULL */
    size_t chunk;                       /* up to so many bytes a CopyData, head and all, comes whole, and so does
                                         * a value of a row in pieces */
    uint32_t entries;                   /* a power of two                                              */
    uint32_t statements;                /* ids from 1 to this                                          */
    const struct rp_catalog_entry *catalog;
    struct rp_texts_view *texts;        /* NULL: SQL that is built at run time is parsed each time     */
    bool unnamed;                       /* everything is; and a group waits for the one before it      */
};

/* What each query touches stands first: where there are many connections, that is what has to be in the cache. */
struct rp_session {
    const struct rp_session_config *config;
    enum rp_phase phase;
    char transaction;                   /* 'I' 'T' 'E' of the last ReadyForQuery; 0 before the first */
    bool exclusive;                     /* leased: a lost statement is only healed with nothing behind it */
    bool finishing;                     /* outcomes of a decided group are still to be handed out   */
    bool wait_columns, wait_key;        /* an event waits for its answer                             */
    bool failed;                        /* the group in progress has a culprit                       */
    bool barrier;                       /* a COPY was begun and is not answered                      */
    bool listens;                       /* notifications are events                                  */
    bool pieced;                        /* some request wanted its rows in pieces                    */
    bool keeps;                         /* some text was prepared here                               */
    enum rp_step copying;               /* one of the COPY steps; 0: none of them is due             */
    enum rp_rest rest;                  /* of a message that is not collected, what becomes of it    */
    enum { RP_TERMINATE_NO, RP_TERMINATE_WANTED, RP_TERMINATE_SAID } terminate;
    enum {
        RP_SAY_NOTHING, RP_SAY_TLS, RP_SAY_STARTUP, RP_SAY_CLEARTEXT, RP_SAY_PASSWORD, RP_SAY_SASL_FIRST,
        RP_SAY_SASL_FINAL, RP_SAY_COPY_DONE, RP_SAY_COPY_FAIL
    } say;

    struct rp_entry *entry;             /* ring of config->entries, ...                              */
    uint32_t mask;                      /* ... less one                                              */
    uint32_t head, due, unsent, tail;   /* sequence numbers: head <= due <= tail, head <= unsent <= tail */
    uint32_t live;                      /* entries that are not dropped                              */
    uint32_t culprit;                   /* sequence number of the group's failed entry               */
    uint32_t evicted;                   /* of the texts' evictions: those that were looked at        */
    size_t plain;                       /* of a message with up to so many bytes of body nothing has to be looked at
                                         * before it is there as a whole                             */
    size_t written;                     /* of entry `unsent`                                         */
    uint8_t *prepared;                  /* config->statements + 1 bytes, and one for each place of a text */
    uint32_t mislaid; /* times that a statement was not there, or was there, and nothing that went over this
                       * connection can be why */
    uint32_t parameter_changes;         /* so far, the first values included */
    struct pg_row row;

    struct rp_resume resume;            /* in entry `unsent`                                         */
    size_t rest_left;                   /* bytes of it; of RP_REST_ROW pieces.left                   */
    struct rp_pieces pieces;
    struct rp_piece piece;              /* of RP_EVENT_PIECE */
    uint64_t *held;                     /* for each place: the serial number of the text that its byte is about */
    uint32_t nclosing;
    uint64_t closing[RP_CLOSES + 1];    /* by entry `unsent`: names                                  */
    struct pg_error error;              /* the group's, or why it is broken  */
    struct pg_error notice;
    struct rp_notification notification;

    char say_text[RP_SCRAM_MESSAGE + 1];
    size_t say_size, said;              /* bytes of it, and of them written                          */
    enum { RP_AUTH_NONE, RP_AUTH_SASL_FIRST, RP_AUTH_SASL_FINAL, RP_AUTH_SASL_DONE, RP_AUTH_DONE } auth;
    struct rp_scram scram;
    bool tls_required;                  /* an answer of N breaks it                                  */
    bool tls;                           /* the bytes are those inside of TLS                         */
    bool negotiated;                    /* by NegotiateProtocolVersion                               */
    enum rp_protocol protocol;          /* asked for, and once the start is complete: spoken         */
    uint32_t backend_pid;
    uint8_t backend_key[RP_CANCEL_KEY_MAX]; /* what a cancel request must know */
    size_t backend_key_size;                /* 0: the server has told none     */
    char parameter[RP_PARAMETERS][RP_PARAMETER_SIZE];
};

/* `entries` and `prepared` are zeroed memory of the sizes in config; `entropy` is fresh for each connection. */
void rp_session_init(struct rp_session *s, const struct rp_session_config *config, struct rp_entry *entries,
                     uint8_t *prepared, const uint8_t entropy[18]);

/* Right behind rp_session_init, if config->texts has places: `held` has as many. */
void rp_session_keep_texts(struct rp_session *s, uint64_t *held);
/* Right behind rp_session_init: TLS is asked for first (SSLRequest). Not required: where the server has none the
 * session goes on without it. */
void rp_session_ask_tls(struct rp_session *s, bool required);
/* TLS stands, and nothing of the server's has been fed since. `binding`: the tls-server-end-point data of its
 * certificate (RFC 5929), RP_SCRAM_BINDING bytes at the most; none: there is none for such a certificate. */
void rp_session_in_tls(struct rp_session *s, const uint8_t *binding, size_t size);

/* Into `*ev` the next event in `size` bytes at `at`; `*consumed` of them are done with, except that a row, a piece of
 * one, a RowDescription or what is copied out is still looked at until the next call. */
void rp_session_find(struct rp_session *s, const uint8_t *at, size_t size, size_t *consumed, struct rp_event *ev);
/* The same as a value, where it does not matter that the copy costs as much as all the rest of a short message. */
static inline struct rp_event rp_session_next(struct rp_session *s, const uint8_t *at, size_t size, size_t *consumed)
{
    struct rp_event ev;
    rp_session_find(s, at, size, consumed, &ev);
    return ev;
}
void rp_session_key(struct rp_session *s, const uint8_t salted[RP_SCRAM_KEY]);
/* Answers RP_EVENT_COLUMNS: the description in memory that outlives the entry, and its generation (of a declared
 * statement; else, and where there was no room for one, RP_PREPARED_BLIND: then the memory has to last until the next
 * description only). NULL: no memory; the query ends with PG_E_FULL. */
void rp_session_described(struct rp_session *s, const struct rp_columns *columns, uint8_t generation);

/* Bytes to send, at most `capacity`; 0: nothing to say. Resumable in the middle of a message. */
size_t rp_session_output(struct rp_session *s, uint8_t *to, size_t capacity);
bool rp_session_has_output(const struct rp_session *s);
size_t rp_session_pending_bytes(const struct rp_session *s); /* of the request that is next or half written */

/* Dropped entries leave the FIFO as soon as nothing older is due. */
void rp_session_settle(struct rp_session *s);
static inline bool rp_session_room(struct rp_session *s, uint32_t n) /* for `n` more entries? */
{
    if (s->config->entries - (s->tail - s->head) >= n) return true;
    rp_session_settle(s);
    return s->config->entries - (s->tail - s->head) >= n;
}
static inline uint32_t rp_session_in_flight(const struct rp_session *s) { return s->live; }
/* What a declared statement's text says, once: into the catalog's entry of its id. Its SQL is not NULL. */
void rp_session_look(struct rp_catalog_entry *entry, const struct pg_statement *statement);
/* Checks a query by itself: PG_E_PARAMETER, PG_E_FULL (a statement id above the capacity), or 0 and the size of its
 * Bind (0 for a simple query). `error` may be NULL. */
int rp_session_check(const struct rp_session_config *config, struct pg_query *query, size_t *bind_size,
                     struct pg_error *error);
/* The same of a statement that is only to be prepared. */
int rp_session_check_prepare(const struct rp_session_config *config, struct pg_statement *statement,
                             struct pg_error *error);
/* Queues a query that was checked; there must be room. `flags` are RP_ENTRY_SYNC, GROUP, COMMIT, HEALED, PREPARE. The
 * entry's sequence number, which names it from now on. */
uint32_t rp_session_enqueue(struct rp_session *s, struct pg_query *query, size_t bind_size, uint16_t flags);
/* Right behind the enqueueing: this unnamed entry is of the text in that place, and to be executed under its name.
 * False: with it a message would be larger than the protocol allows; it stays unnamed. */
bool rp_session_use_text(struct rp_session *s, uint32_t sequence, uint32_t place);
/* The entry's caller goes away. RP_DETACH_GONE: nothing of its group was written, the whole group is dropped; KEPT: its
 * answer is still due; BROKEN: a message is half written, only the end of the connection helps. */
enum rp_detach { RP_DETACH_GONE, RP_DETACH_KEPT, RP_DETACH_BROKEN };
enum rp_detach rp_session_detach(struct rp_session *s, uint32_t sequence);
uint32_t rp_session_group(const struct rp_session *s, uint32_t sequence); /* the first of its group */
bool rp_session_written(const struct rp_session *s, uint32_t sequence); /* at least its first byte */
bool rp_session_decided(const struct rp_session *s,
                        uint32_t sequence); /* its ReadyForQuery was read, its outcome is on its way */
static inline struct rp_entry *rp_session_entry(struct rp_session *s, uint32_t sequence)
{
    return &s->entry[sequence & s->mask];
}
/* The caller of the current rows wants no more, or a getter complained. */
void rp_session_complain(struct rp_session *s, uint32_t sequence, int complaint);
static inline uint32_t rp_session_current(const struct rp_session *s)
{
    return s->due;
} /* the sequence number of the entry that RP_EVENT_ROW is about */
/* A description's memory is about to be reused: entries that were answered no longer point at it. */
void rp_session_forget_columns(struct rp_session *s, const struct rp_columns *columns);
/* For a connection that is given up between two outcomes of a decided group: the next of them, its results set (NULL
 * query: nobody's). False: there is none. */
bool rp_session_take_decided(struct rp_session *s, struct pg_query **query);
/* For a connection that is lost: takes the oldest entry out of the FIFO; NULL query: nobody's. False: it is empty. */
bool rp_session_orphan(struct rp_session *s, struct pg_query **query, bool *written);
/* Does the COPY of this entry take data? */
static inline bool rp_session_copies_in(const struct rp_session *s, uint32_t sequence)
{
    return s->copying == RP_STEP_COPY_IN && s->say == RP_SAY_NOTHING && s->due == sequence;
}
/* The end of what is copied in: CopyDone, or CopyFail with `failure`, which is copied. No-op unless data is taken, but
 * for a failure that is faster than a CopyDone. What the layer above has not begun to send by then must not be sent if
 * it is a failure, and must be sent before our output if it is none. */
void rp_session_copy_end(struct rp_session *s, const char *failure);
void rp_session_terminate(struct rp_session *s);
/* Kept ParameterStatus value by name, or NULL. */
const char *rp_session_parameter(const struct rp_session *s, const char *name);

#endif
