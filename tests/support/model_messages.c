/* support/model_messages.c - the model server's extended protocol: Parse, Bind, Describe, Execute, Close, Flush,
 * Sync, and the rule that after an error everything up to the Sync is skipped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/model_private.h"

enum {
    TYPE_BOOL = 16, TYPE_INT8 = 20, TYPE_INT2 = 21, TYPE_INT4 = 23, TYPE_TEXT = 25, TYPE_OID = 26, TYPE_FLOAT4 = 700,
    TYPE_FLOAT8 = 701, TYPE_INFER = 705,
};

static void *allocated(size_t n)
{
    void *at = calloc(1, n ? n : 1);
    if (!at) sim_fail("out of memory");
    return at;
}

/* ---- statements and portals ---- */
static struct model_statement **statement_link(struct model_conn *conn, const char *name)
{
    struct model_statement **at = &conn->statements;
    while (*at && strcmp((*at)->name, name)) at = &(*at)->next;
    return at;
}

static void statement_remove(struct model_statement **link)
{
    struct model_statement *s = *link;
    if (!s) return;
    *link = s->next;
    free(s->name);
    free(s->sql);
    free(s->types);
    sim_bytes_free(&s->columns);
    free(s);
}

void model_statements_free(struct model_conn *conn)
{
    while (conn->statements) statement_remove(&conn->statements);
}

void model_statement_forget(struct model_conn *conn)
{
    struct model_statement **at = &conn->statements;
    while (*at && !(*at)->name[0]) at = &(*at)->next;
    statement_remove(at);
}

static struct model_portal **portal_link(struct model_conn *conn, const char *name)
{
    struct model_portal **at = &conn->portals;
    while (*at && strcmp((*at)->name, name)) at = &(*at)->next;
    return at;
}

static void portal_remove(struct model_portal **link)
{
    struct model_portal *p = *link;
    if (!p) return;
    *link = p->next;
    free(p->name);
    free(p->sql);
    free(p->statement);
    model_query_free(p->answer);
    free(p->body);
    free(p->params);
    free(p->result_text);
    free(p);
}

void model_portals_free(struct model_conn *conn)
{
    while (conn->portals) portal_remove(&conn->portals);
}

static void put_empty(struct model_conn *conn, char type)
{
    model_put_end(&conn->output, model_put_begin(&conn->output, type));
}

/* ---- Parse ---- */
static unsigned highest_parameter(const char *sql)
{
    unsigned highest = 0;
    for (const char *at = strchr(sql, '$'); at; at = strchr(at + 1, '$')) {
        unsigned long n = strtoul(at + 1, NULL, 10);
        if (n > highest && n <= 65535) highest = (unsigned)n;
    }
    return highest;
}

static struct model_statement *statement_read(struct model_reader *r)
{
    struct model_statement *s = allocated(sizeof *s);
    s->name = strdup(model_read_string(r));
    s->sql = strdup(model_read_string(r));
    unsigned declared = model_read_u16(r), needed = highest_parameter(s->sql);
    s->count = declared > needed ? declared : needed;
    s->types = allocated(s->count * sizeof *s->types);
    for (unsigned i = 0; i < declared; i++) s->types[i] = model_read_u32(r);
    for (unsigned i = 0; i < s->count; i++)
        if (!s->types[i] || s->types[i] == TYPE_INFER) s->types[i] = TYPE_TEXT;
    model_read_end(r);
    return s;
}

static void on_parse(struct model_conn *conn, struct model_reader *r)
{
    struct model_statement *s = statement_read(r);
    struct model_statement **old = statement_link(conn, s->name);
    conn->server->whole->stats.parses++;
    if (conn->phase == PHASE_GONE || model_in_failed_block(conn, s->sql)) {
        statement_remove(&s);
        return;
    }
    if (model_keyword(s->sql, "SYNTAX")) {
        model_query_error(conn, "42601", "syntax error at or near \"SYNTAX\"");
        statement_remove(&s);
    } else if (s->name[0] && *old) {
        model_query_error(conn, "42P05", "prepared statement already exists");
        statement_remove(&s);
    } else {
        statement_remove(old);
        s->next = conn->statements;
        conn->statements = s;
        put_empty(conn, '1');
    }
}

/* ---- Bind ---- */
static bool formats_read(struct model_reader *r, bool **text, unsigned *count)
{
    *count = model_read_u16(r);
    *text = allocated(*count);
    for (unsigned i = 0; i < *count; i++) {
        unsigned format = model_read_u16(r);
        if (format > 1) model_malformed(r->conn, "Bind", "a format code that is neither 0 nor 1");
        (*text)[i] = format == 0;
    }
    return r->conn->phase != PHASE_GONE;
}

static void params_read(struct model_reader *r, struct model_portal *p, const bool *text, unsigned formats)
{
    p->count = model_read_u16(r);
    p->params = allocated(p->count * sizeof *p->params);
    if (formats > 1 && formats != p->count)
        model_malformed(r->conn, "Bind", "format codes and parameters differ in number");
    for (unsigned i = 0; i < p->count && r->conn->phase != PHASE_GONE; i++) {
        struct model_param *param = &p->params[i];
        param->size = (int32_t)model_read_u32(r);
        if (param->size < -1) model_malformed(r->conn, "Bind", "a value's length below -1");
        else if (param->size >= 0) param->at = model_read_bytes(r, (size_t)param->size);
        param->text = formats == 0 || (formats == 1 ? text[0] : text[i]);
    }
}

static int32_t binary_size(uint32_t type)
{
    switch (type) {
    case TYPE_BOOL: return 1;
    case TYPE_INT2: return 2;
    case TYPE_INT4: case TYPE_OID: case TYPE_FLOAT4: return 4;
    case TYPE_INT8: case TYPE_FLOAT8: return 8;
    default: return -1;
    }
}

/* What the input functions of the server would complain about. */
static const char *value_fault(const struct model_param *p)
{
    int32_t size = binary_size(p->type);
    if (p->size < 0) return NULL;
    if (!p->text) return size >= 0 && p->size != size ? "22P03" : NULL;
    if (memchr(p->at, 0, (size_t)p->size)) return "22021";
    if (p->type != TYPE_INT8 && p->type != TYPE_INT4 && p->type != TYPE_INT2) return NULL;
    char digits[24], *end;
    snprintf(digits, sizeof digits, "%.*s", (int)p->size, (const char *)p->at);
    strtoll(digits, &end, 10);
    return p->size == 0 || (size_t)p->size >= sizeof digits || *end ? "22P02" : NULL;
}

static const char *bind_fault(struct model_portal *p, const struct model_statement *s)
{
    if (p->count != s->count) return "08P01";
    for (unsigned i = 0; i < p->count; i++) {
        p->params[i].type = s->types[i];
        const char *fault = value_fault(&p->params[i]);
        if (fault) return fault;
    }
    return NULL;
}

static struct model_portal *portal_read(struct model_reader *r, const char **statement)
{
    struct model_portal *p = allocated(sizeof *p);
    size_t n = r->left;
    unsigned formats;
    bool *text;
    p->body = allocated(n);
    memcpy(p->body, r->at, n);
    r->at = p->body;
    p->name = strdup(model_read_string(r));
    *statement = model_read_string(r);
    if (formats_read(r, &text, &formats)) params_read(r, p, text, formats);
    free(text);
    if (r->conn->phase != PHASE_GONE) formats_read(r, &p->result_text, &p->formats);
    if (r->conn->phase != PHASE_GONE) model_read_end(r);
    return p;
}

static void on_bind(struct model_conn *conn, struct model_reader *r)
{
    const char *name, *fault = NULL;
    struct model_portal *p = portal_read(r, &name);
    struct model_statement *s = *statement_link(conn, name);
    conn->server->whole->stats.binds++;
    bool refused = conn->phase == PHASE_GONE;
    if (!refused && !s) {
        char text[128];
        snprintf(text, sizeof text, "prepared statement \"%.64s\" does not exist", name);
        model_query_error(conn, "26000", text);
        refused = true;
    }
    if (!refused) refused = model_in_failed_block(conn, s->sql);
    if (!refused && (fault = bind_fault(p, s))) model_query_error(conn, fault, "a parameter of Bind is wrong");
    if (!refused && !fault && p->name[0] && *portal_link(conn, p->name)) {
        model_query_error(conn, "42P03", "cursor already exists");
        refused = true;
    }
    if (refused || fault) {
        portal_remove(&p);
        return;
    }
    p->sql = strdup(s->sql);
    p->statement = strdup(s->name);
    if (conn->server->config.answers_once && !model_answer_at_bind(conn, p, s)) {
        portal_remove(&p);
        return;
    }
    portal_remove(portal_link(conn, p->name));
    p->next = conn->portals;
    conn->portals = p;
    put_empty(conn, '2');
}

/* ---- Describe, Execute, Close ---- */
static char what_of(struct model_conn *conn, struct model_reader *r)
{
    char what = (char)model_read_u8(r);
    if (what != 'S' && what != 'P') model_malformed(conn, r->message, "neither a statement nor a portal");
    return what;
}

static void on_describe(struct model_conn *conn, struct model_reader *r)
{
    char what = what_of(conn, r);
    if (conn->phase == PHASE_GONE) return;
    const char *name = model_read_string(r);
    model_read_end(r);
    if (conn->phase == PHASE_GONE) return;
    conn->server->whole->stats.describes++;
    struct model_statement *s = what == 'S' ? *statement_link(conn, name) : NULL;
    struct model_portal *p = what == 'P' ? *portal_link(conn, name) : NULL;
    if (p && conn->server->config.answers_once) {
        model_describe_answer(conn, p, *statement_link(conn, p->statement));
        return;
    }
    if (!s && !p) {
        model_query_error(conn, what == 'S' ? "26000" : "34000", "what is to be described does not exist");
        return;
    }
    model_describe(conn, s ? s->sql : p->sql, p, s);
}

static void on_execute(struct model_conn *conn, struct model_reader *r)
{
    const char *name = model_read_string(r);
    uint32_t limit = model_read_u32(r);
    model_read_end(r);
    if (conn->phase == PHASE_GONE) return;
    if (limit) {
        model_malformed(conn, "Execute", "a row limit, which the model does not know");
        return;
    }
    conn->server->whole->stats.executes++;
    struct model_portal *p = *portal_link(conn, name);
    if (!p) model_query_error(conn, "34000", "portal does not exist");
    else if (p->done && !p->again) model_query_error(conn, "55000", "portal cannot be run");
    else if (!model_in_failed_block(conn, p->sql)) model_execute_portal(conn, p);
}

static void on_close(struct model_conn *conn, struct model_reader *r)
{
    char what = what_of(conn, r);
    if (conn->phase == PHASE_GONE) return;
    const char *name = model_read_string(r);
    model_read_end(r);
    if (conn->phase == PHASE_GONE) return;
    conn->server->whole->stats.closes++;
    if (what == 'S') statement_remove(statement_link(conn, name));
    else portal_remove(portal_link(conn, name));
    put_empty(conn, '3');
}

/* ---- the rest ---- */
static void on_query(struct model_conn *conn, struct model_reader *r)
{
    const char *sql = model_read_string(r);
    model_read_end(r);
    if (conn->phase == PHASE_GONE) return;
    conn->server->whole->stats.simple_queries++;
    statement_remove(statement_link(conn, ""));
    portal_remove(portal_link(conn, ""));
    conn->simple = strdup(sql);
    conn->simple_at = 0;
    conn->simple_empty = true;
}

static void on_sync(struct model_conn *conn, struct model_reader *r)
{
    model_read_end(r);
    if (conn->phase == PHASE_GONE) return;
    conn->server->whole->stats.syncs++;
    conn->skipping = false;
    model_sync(conn);
}

static void on_flush(struct model_conn *conn, struct model_reader *r)
{
    model_read_end(r);
    model_flush(conn);
}

static void on_terminate(struct model_conn *conn, struct model_reader *r)
{
    model_read_end(r);
    if (conn->phase == PHASE_GONE) return;
    conn->server->whole->stats.terminates++;
    model_exit(conn);
}

void model_message(struct model_conn *conn, char type, const uint8_t *at, size_t n)
{
    static const struct {
        char type;
        bool skipped;
        const char *name;
        void (*on)(struct model_conn *, struct model_reader *);
    } table[] = {
        { 'P', true, "Parse", on_parse }, { 'B', true, "Bind", on_bind }, { 'D', true, "Describe", on_describe },
        { 'E', true, "Execute", on_execute }, { 'C', true, "Close", on_close }, { 'H', true, "Flush", on_flush },
        { 'Q', true, "Query", on_query }, { 'S', false, "Sync", on_sync }, { 'X', false, "Terminate", on_terminate },
    };
    if (type == 'd' || type == 'c' || type == 'f') return; /* of a COPY that failed: the server drops them too */
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].type != type) continue;
        struct model_reader r = { .conn = conn, .at = at, .left = n, .message = table[i].name };
        if (!conn->skipping || !table[i].skipped) table[i].on(conn, &r);
        return;
    }
    model_malformed(conn, "message type", "unknown");
}
