/* config/piece.h - what a connection string falls apart into: for each keyword the place in the caller's text where its
 * value stands, still escaped. Nothing is copied before everything was checked, so that a refused string leaves no
 * password behind. */
#ifndef RP_CONFIG_PIECE_H
#define RP_CONFIG_PIECE_H
#include <stdbool.h>
#include <stddef.h>
#include "config/conninfo.h"

enum rp_escape { RP_ESCAPE_NONE, RP_ESCAPE_BACKSLASH, RP_ESCAPE_PERCENT };
/* Of a URI's "a:1,[::1]:2" the hosts' half is "a,::1" and the ports' half "1,2". `place`: where in it `at` stands. */
enum rp_half { RP_HALF_NONE, RP_HALF_HOSTS, RP_HALF_PORTS };
enum rp_place { RP_AT_ELEMENT, RP_IN_NAME, RP_IN_BRACKETS, RP_IN_PORT };
struct rp_piece { const char *at; size_t size; enum rp_escape escape; enum rp_half half; enum rp_place place; };

/* Takes one unescaped character; false at the end. A percent escape must have been checked. */
bool rp_piece_next(struct rp_piece *rest, char *c);
size_t rp_piece_size(struct rp_piece piece); /* unescaped */
/* Unescapes into out[capacity] and ends it with a NUL; false: it does not fit. */
bool rp_piece_copy(struct rp_piece piece, char *out, size_t capacity);

/* The keywords, in the order of the table in keyword.c. These five have places of their own in a URI. */
enum rp_keyword {
    RP_KEY_HOST, RP_KEY_HOSTADDR, RP_KEY_PORT, RP_KEY_DBNAME, RP_KEY_USER, RP_KEY_PASSWORD, RP_KEY_APPLICATION_NAME,
    RP_KEY_FALLBACK_APPLICATION_NAME, RP_KEY_OTHERS, RP_KEYWORDS_MAX = 80,
};
struct rp_pieces { struct rp_piece of[RP_KEYWORDS_MAX]; }; /* size 0: absent or empty, which libpq treats alike */

int rp_keyword_find(const char *name, size_t size); /* -1: there is none */
const char *rp_keyword_name(int keyword);
bool rp_keyword_is_secret(int keyword);
/* Checks every value but those of lists and sets every field of `out` that is not text. 0 or PG_E_CONFIG. */
int rp_keyword_apply(const struct rp_pieces *pieces, struct rp_conninfo *out, struct pg_error *error);
/* Calls back for every text value that is there; `field` is where it goes. */
void rp_keyword_texts(const struct rp_pieces *pieces, struct rp_conninfo *out,
                      void (*text)(void *arg, struct rp_piece piece, const char **field), void *arg);

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
