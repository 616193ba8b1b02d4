/* wire/rows.h - rows that are kept in a buffer of the caller's (struct pg_rows). */
#ifndef RP_WIRE_ROWS_H
#define RP_WIRE_ROWS_H
#include "wire/row.h"

/* Its query begins: no rows. */
void rp_rows_begin(struct pg_rows *rows);
/* Copies the row, behind those that are there. False: it does not fit. */
bool rp_rows_keep(struct pg_rows *rows, const struct pg_row *row);

#endif
