/* conn/catalog.c - descriptions of declared statements: see the header. */
#include "conn/catalog.h"
#include <errno.h>

int rp_catalog_init(struct rp_catalog *c, struct pg_reactor *r, uint32_t statements)
{
    c->reactor = r;
    c->statements = statements;
    c->entry = rp_alloc(r, (statements + 1) * sizeof *c->entry);
    return c->entry ? 0 : -ENOMEM;
}

void rp_catalog_free(struct rp_catalog *c)
{
    for (uint32_t id = 0; c->entry && id <= c->statements; id++)
        for (int g = 0; g < RP_GENERATIONS; g++) {
            const struct rp_columns *columns = c->entry[id].generation[g];
            if (columns) rp_free(c->reactor, (void *)(uintptr_t)columns, columns->bytes);
        }
    if (c->entry) rp_free(c->reactor, c->entry, (c->statements + 1) * sizeof *c->entry);
    *c = (struct rp_catalog){ 0 };
}

const struct rp_columns *rp_catalog_intern(struct rp_catalog *c, uint32_t id, const uint8_t *body, size_t size,
                                           uint8_t *generation)
{
    const char *why;
    size_t bytes = rp_columns_measure(body, size, &why);
    struct rp_columns *fresh = rp_alloc(c->reactor, bytes);
    if (!fresh) return NULL;
    rp_columns_build(fresh, bytes, body, size);
    for (uint8_t g = 0; g < RP_GENERATIONS; g++) {
        const struct rp_columns **known = &c->entry[id].generation[g];
        *generation = (uint8_t)(g + 1);
        if (*known && !rp_columns_equal(*known, fresh)) continue;
        if (!*known) return *known = fresh;
        rp_free(c->reactor, fresh, bytes);
        return *known;
    }
    rp_free(c->reactor, fresh, bytes);
    return NULL;
}

enum rp_sql_class rp_catalog_look(struct rp_catalog *c, struct pg_query *q)
{
    struct pg_statement *statement = q->statement;
    const char *sql = statement ? statement->sql : q->sql;
    if (!sql) return RP_SQL_PLAIN;
    uint32_t id = statement ? rp_statement_id(statement) : 0;
    if (!id || id > c->statements) return rp_sql_classify(sql);
    if (!c->entry[id].parse_size) rp_session_look(&c->entry[id], statement);
    return (enum rp_sql_class)c->entry[id].sql_class;
}
