/* support/transcript.h - conversations of a session without any host, written as words.
 *
 * Server messages: one letter and its contents, separated by blanks, for example
 *      "1 2 T(id:23,name:25t) D(1,~) C(SELECT 1) Z(I)"    NULL is "~", a "t" behind the type is text format
 *      "E(ERROR,23505,duplicate,nkey_pkey)"               severity, SQLSTATE, message, other fields with letters; N too
 *      "S(TimeZone,UTC) A(channel,payload) K(7,42) R(3) R(5,salt) R(10,SCRAM-SHA-256) R(11,r=...,s=...)"
 *      "H(t2) d(1) d(2) c G(b1)"                          COPY: out and in, text or binary, with so many columns
 * any other letter takes its body as it stands.
 *
 * Queries, one word each: the statements of the world are `a` `b` `c` without parameters, `t` with text results, `p`
 * with an int4 and a text, `C` a COMMIT; `x` is `a` with text results, `n` is `a` unnamed, `S` is `a` as a simple
 * query; `A` and `P` are `a` and `p` prepared and not executed; `u` is SQL built at run time, `v` the same
 * with the parameters of `p`, `s` as a simple query, `y` the same as a COPY; `w` and `W` are `a` and `u`
 * with their rows in pieces; `k` `l` `m` are texts that are kept, `k` and `m` in turn in the first place, which "@"
 * gives to another one that is used elsewhere.
 *      "a+ b"   one group under one Sync         "-1"   query 1 is detached       "=1"   query 1 is complained about
 *      "|7"     7 bytes of output are taken      "^"    no output is taken in this turn
 *      "!"      the session is made exclusive            "<text>" is written to the COPY, "." ends it, "%" fails it
 *
 * Everything that the session says is recorded as words too, rows as "D(query:value,value)", or "d" where the values
 * are text, and "r" where they came in pieces; what was sent is read back into "P:s1 B:s1 D E S". Every call sees its
 * bytes in a block of its own that dies before the next one, so that AddressSanitizer sees a look at bytes that are
 * gone. */
#ifndef TESTS_SUPPORT_TRANSCRIPT_H
#define TESTS_SUPPORT_TRANSCRIPT_H
#include "session/session.h"

struct blob { uint8_t *at; size_t size, capacity; };
void blob_put(struct blob *b, const void *at, size_t size);
void blob_free(struct blob *b);
void blob_message(struct blob *b, char type, const void *body, size_t size);
void blob_server(struct blob *b, const char *words);
void blob_print(struct blob *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *blob_text(struct blob *b); /* with a NUL behind it that does not count */
/* The client's messages as words. Fails the test where they are not well-formed. */
void blob_client(struct blob *words, const struct blob *sent);

enum { TRANSCRIPT_PLACES = 2, TRANSCRIPT_SHARE = 72 }; /* of two columns with short names */
enum { TRANSCRIPT_STATEMENTS = 8, TRANSCRIPT_ENTRIES = 16, TRANSCRIPT_QUERIES = 40 };
enum { TRANSCRIPT_ROW_LIMIT = 4096, TRANSCRIPT_MESSAGE_LIMIT = 1 << 16, TRANSCRIPT_CHUNK = 40 };

struct transcript {
    struct rp_session s;
    struct rp_session_config config;
    struct rp_entry entries[TRANSCRIPT_ENTRIES];
    uint8_t prepared[TRANSCRIPT_STATEMENTS + 1 + TRANSCRIPT_PLACES];
    struct rp_texts_view texts;
    uint32_t eviction[TRANSCRIPT_PLACES], pins[TRANSCRIPT_PLACES];
    uint64_t serial[TRANSCRIPT_PLACES], held[TRANSCRIPT_PLACES], last_serial;
    uint64_t description[TRANSCRIPT_PLACES * TRANSCRIPT_SHARE / sizeof(uint64_t)];
    uint8_t generation[TRANSCRIPT_PLACES];
    char in_place[TRANSCRIPT_PLACES]; /* k, l, m; 0: nothing */
    struct rp_catalog_entry catalog[TRANSCRIPT_STATEMENTS + 1];
    struct pg_query query[TRANSCRIPT_QUERIES];
    struct pg_error error[TRANSCRIPT_QUERIES];
    struct pg_param params[2];
    uint32_t sequence[TRANSCRIPT_QUERIES];
    bool prepares[TRANSCRIPT_QUERIES];
    int columns[TRANSCRIPT_QUERIES];  /* of its result, as of its outcome; -1: unknown */
    bool in_piece;                    /* of a CopyData that comes in pieces, and is logged as one */
    int outcomes[TRANSCRIPT_QUERIES]; /* given, or detached without one */
    uint32_t queries;
    struct blob unread, sent, log;
    uint8_t *block;        /* what the session was shown last           */
    char row[600];         /* the row that it was about, until the next call */
    struct rp_columns *unnamed;
    size_t window;         /* output is taken in pieces of this size    */
    bool hold;             /* no output is taken                        */
    bool no_memory;        /* descriptions are answered with NULL       */
    bool keep_key;         /* RP_EVENT_KEY is not answered by itself    */
    uint8_t salted[RP_SCRAM_KEY];
};

/* The statements' ids are 1.. in this order. */
enum { STATEMENT_A, STATEMENT_B, STATEMENT_C, STATEMENT_T, STATEMENT_P, STATEMENT_COMMIT, STATEMENTS };
extern struct pg_statement transcript_statement[STATEMENTS];

/* Without a start; the configuration may still be changed until transcript_begin. */
struct transcript *transcript_new(void);
/* rp_session_init and the startup message. `warm`: up to the first ReadyForQuery; log and sent begin behind it. */
void transcript_begin(struct transcript *t, bool warm);
void transcript_free(struct transcript *t);
void transcript_queue(struct transcript *t, const char *words);
void transcript_pull(struct transcript *t); /* all output, in windows */
void transcript_feed(struct transcript *t, const void *at, size_t size);
void transcript_server(struct transcript *t, const char *words); /* feeds it at once */
/* What was logged since the last time. */
void transcript_expect_(struct transcript *t, const char *events, const char *file, int line);
void transcript_expect_sent_(struct transcript *t, const char *words, const char *file, int line);
#define transcript_expect(t, events) transcript_expect_((t), (events), __FILE__, __LINE__)
#define transcript_expect_sent(t, words) transcript_expect_sent_((t), (words), __FILE__, __LINE__)

/* ---- whole conversations, cut everywhere ---- */

/* From the startup message on; descriptions are answered with NULL; everything is unnamed. */
enum { CASE_COLD = 1, CASE_NO_MEMORY = 2, CASE_UNNAMED = 4 };
struct transcript_case {
    const char *name;
    struct { const char *queue, *server; } turn[8]; /* up to the first without `server` */
    const char *events, *sent;                      /* all that must come of it; `sent` may be NULL */
};
/* At once; cut at every offset; byte by byte; in pieces of 2, 3, 7; and the output in windows of every size up to 64.
 * Every time the same events and the same bytes, and at most one outcome for each query. */
void transcript_check(const struct transcript_case *c, int flags);

#endif
