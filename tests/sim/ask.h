/* sim/ask.h - what ask.c and rows.c share: the kinds of queries, and what can be said of each. */
#ifndef SIM_ASK_H
#define SIM_ASK_H
#include "sim/pg_sim.h"

/* What it brings back and what becomes of it: its token, its text, so many rows, one large value; it inserts, copies,
 * is to fail, succeeds where nothing is wrong, needs a lease. */
enum {
    TOKEN = 1, PAYLOAD = 2, INSERTS = 4, FAILS = 8, ROWS = 16, PLAIN = 32, NOT_SHARED = 64, COPIES = 128, PIECES = 256
};
unsigned ask_habits(enum ask_kind kind);
const char *ask_name(enum ask_kind kind);

void rows_write_text(struct ask *a);
void rows_choose(struct ask *a);     /* the way in which it takes its rows */
void rows_check_kept(struct ask *a); /* at its outcome */

#endif
