/* conn/catalog.h - what is known of the declared statements, once per pool: the descriptions of their results. A
 * connection remembers one byte per statement, which of them it has seen. A description is never freed before the pool:
 * the schema changes seldom, and rows in flight may still look at an old one. */
#ifndef RP_CONN_CATALOG_H
#define RP_CONN_CATALOG_H
#include "reactor/reactor.h"
#include "session/session.h"

struct rp_catalog {
    struct pg_reactor *reactor;
    uint32_t statements;
    struct rp_catalog_entry *entry; /* by id, 0 unused */
};
int rp_catalog_init(struct rp_catalog *c, struct pg_reactor *r, uint32_t statements);
void rp_catalog_free(struct rp_catalog *c);
/* The description of statement `id` in a RowDescription's body, equal ones shared. `*generation`: 1 to RP_GENERATIONS.
 * NULL: no memory or no generation left. */
const struct rp_columns *rp_catalog_intern(struct rp_catalog *c, uint32_t id, const uint8_t *body, size_t size,
                                           uint8_t *generation);
enum rp_sql_class rp_catalog_look(struct rp_catalog *c, struct pg_query *q); /* the text is read */
/* What its SQL does to the session: of a declared statement looked up, of any other read. */
static inline enum rp_sql_class rp_catalog_class(struct rp_catalog *c, struct pg_query *q)
{
    uint32_t id = q->statement ? rp_statement_known(q->statement) : 0;
    bool looked = id && id <= c->statements && c->entry[id].parse_size;
    return looked ? (enum rp_sql_class)c->entry[id].sql_class : rp_catalog_look(c, q);
}

#endif
