/* session/transaction.c - the statements that begin and end transactions and savepoints. They are declared ones like
 * any user's: whoever uses none of them pays for none. Source: SQL commands BEGIN, SAVEPOINT. */
#include "ringpg/query.h"
#include "wire/check.h"

struct pg_statement pg_begin = PG_STATEMENT("BEGIN");
struct pg_statement pg_commit = PG_STATEMENT("COMMIT");
struct pg_statement pg_rollback = PG_STATEMENT("ROLLBACK");
struct pg_statement pg_savepoint = PG_STATEMENT("SAVEPOINT ringpg");
struct pg_statement pg_release_savepoint = PG_STATEMENT("RELEASE SAVEPOINT ringpg");
struct pg_statement pg_rollback_to_savepoint = PG_STATEMENT("ROLLBACK TO SAVEPOINT ringpg");

#define ACCESS(isolation)                                                                                              \
    {                                                                                                                  \
        PG_STATEMENT("BEGIN" isolation), PG_STATEMENT("BEGIN" isolation " READ ONLY"),                                 \
            PG_STATEMENT("BEGIN" isolation " READ WRITE")                                                              \
    }

struct pg_statement *pg_begin_with(enum pg_isolation isolation, uint32_t modes)
{
    static struct pg_statement begin[][3] = {
        [PG_ISOLATION_DEFAULT] = ACCESS(""),
        [PG_READ_COMMITTED] = ACCESS(" ISOLATION LEVEL READ COMMITTED"),
        [PG_REPEATABLE_READ] = ACCESS(" ISOLATION LEVEL REPEATABLE READ"),
        [PG_SERIALIZABLE] = ACCESS(" ISOLATION LEVEL SERIALIZABLE"),
    };
    static struct pg_statement deferrable =
        PG_STATEMENT("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE");
    RP_CALLER((size_t)isolation < RP_COUNT(begin), "an isolation level is one of enum pg_isolation");
    RP_CALLER(modes <= PG_READ_WRITE || modes == (PG_READ_ONLY | PG_DEFERRABLE),
              "a transaction's mode is PG_READ_ONLY, PG_READ_WRITE, or PG_READ_ONLY | PG_DEFERRABLE");
    if (modes & PG_DEFERRABLE) {
        RP_CALLER(isolation == PG_SERIALIZABLE, "PG_DEFERRABLE is of use to PG_SERIALIZABLE alone");
        return &deferrable;
    }
    return isolation == PG_ISOLATION_DEFAULT && modes == 0 ? &pg_begin : &begin[isolation][modes];
}
