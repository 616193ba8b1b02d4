/* config/piece.h - what a connection string falls apart into: for each keyword the place in the caller's text (or in a
 * file's, or in the environment) where its value stands, still escaped. Nothing is copied before everything was
 * checked, so that a refused string leaves no password behind. */
#ifndef RP_CONFIG_PIECE_H
#define RP_CONFIG_PIECE_H
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "config/conninfo.h"

#define RP_DEFAULT_SOCKETS "/var/run/postgresql" /* the folder that Debian's PostgreSQL has, and libpq there */

enum rp_escape { RP_ESCAPE_NONE, RP_ESCAPE_BACKSLASH, RP_ESCAPE_PERCENT };
/* Of a URI's "a:1,[::1]:2" the hosts' half is "a,::1" and the ports' half "1,2". `place`: where in it `at` stands. */
enum rp_half { RP_HALF_NONE, RP_HALF_HOSTS, RP_HALF_PORTS };
enum rp_place { RP_AT_ELEMENT, RP_IN_NAME, RP_IN_BRACKETS, RP_IN_PORT };
/* Where it stands. Absent is not the same as empty, which asks for the default whatever stands elsewhere. */
enum rp_origin { RP_FROM_NOWHERE, RP_FROM_STRING, RP_FROM_SERVICE, RP_FROM_ENVIRONMENT };
struct rp_piece {
    const char *at;
    size_t size;
    enum rp_escape escape;
    enum rp_half half;
    enum rp_place place;
    enum rp_origin origin;
};

/* Takes one unescaped character; false at the end. A percent escape must have been checked. */
bool rp_piece_next(struct rp_piece *rest, char *c);
size_t rp_piece_size(struct rp_piece piece); /* unescaped */
/* Unescapes into out[capacity] and ends it with a NUL; false: it does not fit. */
bool rp_piece_copy(struct rp_piece piece, char *out, size_t capacity);

/* The keywords, in the order of the table in keyword.c. These have places of their own in a URI, or among the
 * defaults. */
enum rp_keyword {
    RP_KEY_HOST, RP_KEY_HOSTADDR, RP_KEY_PORT, RP_KEY_DBNAME, RP_KEY_USER, RP_KEY_PASSWORD, RP_KEY_APPLICATION_NAME,
    RP_KEY_FALLBACK_APPLICATION_NAME, RP_KEY_CLIENT_ENCODING, RP_KEY_SERVICE, RP_KEY_PASSFILE, RP_KEY_SSLMODE,
    RP_KEY_REQUIREPEER, RP_KEY_OTHERS, RP_KEYWORDS_MAX = 96,
};
struct rp_pieces { struct rp_piece of[RP_KEYWORDS_MAX]; };
static inline bool rp_piece_absent(const struct rp_pieces *pieces, int keyword)
{
    return pieces->of[keyword].origin == RP_FROM_NOWHERE;
}
/* Text that is no part of a connection string; it must live until the strings are copied. */
static inline struct rp_piece rp_piece_of(const char *text, enum rp_origin origin)
{
    return (struct rp_piece){ .at = text, .size = strlen(text), .origin = origin };
}

enum rp_kind {
    RP_TEXT,     /* as it is                                                                       */
    RP_LIST,     /* text, looked at by hosts.c                                                     */
    RP_PORTS,    /* the same, and goes nowhere from here                                           */
    RP_IGNORED,  /* says something about what is not there, and asks for nothing                   */
    RP_SWITCH,   /* bool: a number, 0 is off                                                       */
    RP_SECONDS,  /* uint64_t ns: libpq's timeout, negative is 0 and 1 is 2                         */
    RP_NATURAL,  /* uint32_t: libpq's number, negative is 0                                        */
    RP_AMOUNT,   /* uint32_t                                                                       */
    RP_DURATION, /* uint64_t ns                                                                    */
    RP_BYTES,    /* uint64_t                                                                       */
    RP_CHOICE,   /* goes nowhere: one of `accepted`; of `refused`, named with `why`; else refused  */
    RP_ONE_OF,   /* uint32_t: which of `accepted`                                                  */
    RP_ANY_CASE, /* the same, in capitals or not                                                   */
    RP_METHODS_OF, /* uint32_t: require_auth's list as those that it excludes                      */
};
enum { RP_CHOICES = 6 };
struct rp_option {
    const char *name, *variable; /* of the environment; NULL: none */
    enum rp_kind kind;
    bool secret;
    bool startup; /* goes into the startup message */
    bool unsaid;  /* is the environment's alone */
    size_t field;
    uint64_t min, max;
    const char *range;                /* min and max in the user's units */
    const char *accepted[RP_CHOICES]; /* beside "" */
    const char *refused[RP_CHOICES];
    const char *why;
};
extern const struct rp_option rp_options[];
extern const int rp_noptions;

int rp_keyword_find(const char *name, size_t size); /* -1: there is none */
const char *rp_keyword_name(int keyword);
bool rp_keyword_is_secret(int keyword);
/* PG_E_CONFIG: the keyword's name, then the format, then where its value comes from. */
int rp_keyword_refuse(const struct rp_pieces *pieces, int keyword, struct pg_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Checks every value but those of lists and sets every field of `out` that is not text. 0 or PG_E_CONFIG. */
int rp_keyword_apply(const struct rp_pieces *pieces, struct rp_conninfo *out, struct pg_error *error);
/* Calls back for every text value that is there; `field` is where it goes. */
void rp_keyword_texts(const struct rp_pieces *pieces, struct rp_conninfo *out,
                      void (*text)(void *arg, struct rp_piece piece, const char **field), void *arg);

/* ---- what fills the pieces that the string leaves absent; files stay in memory until the strings are copied ---- */

/* A whole file as text; zeroed: none. */
struct rp_file {
    char *at;
    size_t size;
};
enum rp_file_fault { RP_FILE_READ, RP_FILE_ABSENT, RP_FILE_UNREADABLE, RP_FILE_NOT_PLAIN, RP_FILE_NOT_OURS,
                     RP_FILE_TOO_LARGE, RP_FILE_HAS_NUL, RP_FILE_NO_MEMORY, RP_FILE_FAULTS };
/* `ours`: nobody else may have access to it. Wiped by rp_file_close. */
enum rp_file_fault rp_file_read(struct rp_file *file, const char *path, bool ours, const struct rp_memory *memory);
const char *rp_file_fault_text(enum rp_file_fault fault); /* continues "the file ..." */
bool rp_file_line(char **rest, char **line); /* cuts one off, without its end; false: there is none */
void rp_file_close(struct rp_file *file, const struct rp_memory *memory);

/* service.c: `*file` is where the values stand. environment.c. */
int rp_service_apply(struct rp_pieces *pieces, struct rp_file *file, const struct rp_memory *memory,
                     struct pg_error *error);
void rp_environment_apply(struct rp_pieces *pieces);
const char *rp_environment(const char *variable); /* NULL: absent */
/* passfile.c: the passwords of hosts, once the texts are copied. -ENOMEM, or 0 and maybe c->passfile_fault. */
int rp_passfile_apply(struct rp_conninfo *c, const struct rp_memory *memory);

/* hosts.c: the lists host, hostaddr and port. Checks their elements and that they match, sets ports and nhosts. */
int rp_hosts_apply(const struct rp_pieces *pieces, struct rp_conninfo *out, struct pg_error *error);
void rp_hosts_cut(struct rp_conninfo *c); /* once the texts are copied: names and addresses */

/* The two spellings. 0 or PG_E_CONFIG. */
int rp_split_keywords(struct rp_pieces *out, const char *text, struct pg_error *error);
bool rp_split_is_uri(const char *text);
int rp_split_uri(struct rp_pieces *out, const char *text, struct pg_error *error);

/* Numbers as text. A value beyond 64 bits has its own answer, so that "too large" is not called "not a number"; it is
 * also that of a negative duration or size. */
enum rp_number { RP_NUMBER, RP_NUMBER_GARBAGE, RP_NUMBER_RANGE };
enum rp_number rp_number_integer(const char *text, int64_t *out);  /* libpq's rule: a sign, white space around it    */
enum rp_number rp_number_duration(const char *text, uint64_t *ns); /* Go's: "1h2m3.5s" "500ms"; and "10": seconds    */
enum rp_number rp_number_bytes(const char *text, uint64_t *bytes); /* PostgreSQL's: "4096" "64kB" "16MB" "1GB" */

#endif
