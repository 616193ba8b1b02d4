/* ringpg/copy.h - COPY on a lease: rows in bulk, in or out, in text or binary format. Reactor thread only.
 *
 * A COPY stands alone in its lease's pipeline: it is sent when all before it has its outcome, and what is started
 * behind it is sent after its own. Source: protocol chapter, "COPY Operations"; SQL command COPY. */
#ifndef RINGPG_COPY_H
#define RINGPG_COPY_H
#include "pool.h"
#ifdef __cplusplus
extern "C" {
#endif

/* One COPY. The caller's memory, zero-initialised once, with all the rules of its `query`: on_done is called exactly
 * once, at ReadyForQuery, with the query, which stands first in here; status, sqlstate and sent mean what they always
 * mean, and query.rows is n of the server's "COPY n". In the query are given `sql` (one COPY ... FROM STDIN or ... TO
 * STDOUT; it is sent as a simple query, so `statement`, parameters and `next` are refused with PG_E_PARAMETER, and a
 * second COPY in the same text ends the request with it), deadline_ns, on_done, error and data. pg_query_cancel,
 * pg_query_abandon and pg_lease_abandon are for it, too. If the SQL copies nothing, its outcome is what it is. */
struct pg_copy {
    struct pg_query query;
    /* Out: the contents of one CopyData, which from PostgreSQL is one row with its newline, or in binary format the
     * header, a row or the trailer. One above 8 KiB comes in pieces of any size, as it arrives: then a chunk is not a
     * row. A view that dies when the call returns, whatever it answers. PG_PAUSE: no further chunk until
     * pg_query_resume; the library reads no more than its buffer holds, and so the server stops. PG_STOP: the server
     * is asked to stop, what still comes is dropped, and the outcome is PG_E_CANCELLED. NULL: all is dropped. */
    enum pg_flow (*on_data)(struct pg_copy *copy, struct pg_text chunk);
    /* In: the server takes data now; and later, when pg_copy_write took less than it was given, there is room again.
     * Never inside of a call. May be NULL. */
    void (*on_writable)(struct pg_copy *copy);
    uint64_t private_[48];
};

/* Starts it behind what the lease already runs. No error return: everything comes through query.on_done, never inside
 * this call. The lease must be held, else it asserts. A statement that copies and was started by pg_lease_query or
 * pg_pool_query breaks its connection instead, if it is not refused (PG_E_NEEDS_LEASE). */
void pg_lease_copy(struct pg_lease *lease, struct pg_copy *copy);

/* Copies up to `size` bytes at `at` into the connection's buffer (64 KiB, and another one that is being sent, both
 * lent by pg_reactor_config.slab_bytes while it lasts; where there is none the COPY fails with PG_E_FULL) and returns
 * how many. Rows may be cut anywhere. Less than `size`, 0 too: the server takes no data yet, or the buffer is full, and
 * on_writable says when to go on. When there is nobody any more who would take them (the server has refused, the
 * request was cancelled or has ended, or copies out) all `size` are taken and dropped: the outcome is on its way, or
 * was told. Any callback may call it. Asserts: behind pg_copy_finish. */
size_t pg_copy_write(struct pg_copy *copy, const void *at, size_t size);
/* Nothing more is written. NULL: CopyDone, and the server ends the COPY. Else CopyFail, ahead of what is not sent yet,
 * with the text (copied; 127 bytes of it are kept), and the outcome is PG_E_CANCELLED with 57014. Also before the
 * server takes data. Nothing happens the second time, nor when the COPY has ended. Any callback may call it. */
void pg_copy_finish(struct pg_copy *copy, const char *failure);

/* What the server said of it, from the first on_writable or on_data to the end of on_done: direction, number of
 * columns, and whether a column (from 0) is binary. NONE, 0 and false before, and when it copied nothing. */
enum pg_copy_direction { PG_COPY_NONE, PG_COPY_IN, PG_COPY_OUT };
enum pg_copy_direction pg_copy_direction(const struct pg_copy *copy);
uint32_t pg_copy_columns(const struct pg_copy *copy);
bool pg_copy_binary(const struct pg_copy *copy, uint32_t column);

#ifdef __cplusplus
}
#endif
#endif
