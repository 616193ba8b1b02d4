/* support/model_execute.c - the model server's execution: running a statement through the answer, transactions, the
 * accounting of inserts, ReadyForQuery. Where PostgreSQL commits, this commits: an extended query's implicit
 * transaction at its Sync (after CommandComplete), a simple one's before the last CommandComplete, a block at COMMIT
 * before its own. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "support/model_private.h"

/* ---- reading SQL, as little as will do ---- */
static const char *first_word(const char *sql)
{
    for (;;) {
        while (isspace((unsigned char)*sql)) sql++;
        if (!strncmp(sql, "--", 2)) sql += strcspn(sql, "\n");
        else if (!strncmp(sql, "/*", 2) && strstr(sql, "*/")) sql = strstr(sql, "*/") + 2;
        else return sql;
    }
}

bool model_keyword(const char *sql, const char *word)
{
    const char *at = first_word(sql);
    size_t n = strlen(word);
    return !strncasecmp(at, word, n) && !isalnum((unsigned char)at[n]) && at[n] != '_';
}

/* The end of the statement at `at`: its semicolon outside of quotes, or the NUL. */
static const char *statement_end(const char *at)
{
    char quote = 0;
    for (; *at; at++) {
        if (quote) quote = *at == quote ? 0 : quote;
        else if (*at == '\'' || *at == '"') quote = *at;
        else if (*at == ';') break;
    }
    return at;
}

/* ---- transactions ---- */
void model_rollback(struct model_conn *conn)
{
    conn->server->whole->stats.inserts_rolled_back += conn->pending.size / sizeof(int64_t);
    sim_bytes_take(&conn->pending, NULL, conn->pending.size);
    sim_bytes_take(&conn->wishes, NULL, conn->wishes.size);
    sim_bytes_take(&conn->marks, NULL, conn->marks.size);
    conn->deferred_sqlstate[0] = 0;
}

/* False: what was deferred failed, and the error is for the caller to report. */
static bool commit(struct model_conn *conn, char sqlstate[6], char text[256])
{
    if (conn->deferred_sqlstate[0]) {
        snprintf(sqlstate, 6, "%s", conn->deferred_sqlstate);
        snprintf(text, 256, "%s", conn->deferred_text);
        model_rollback(conn);
        return false;
    }
    conn->server->whole->stats.inserts_committed += conn->pending.size / sizeof(int64_t);
    sim_bytes_put(&conn->server->whole->committed, conn->pending.at + conn->pending.head, conn->pending.size);
    sim_bytes_take(&conn->pending, NULL, conn->pending.size);
    sim_bytes_take(&conn->marks, NULL, conn->marks.size);
    model_wishes_come_true(conn);
    return true;
}

void model_put_failure(struct model_conn *conn, const char *sqlstate, const char *message)
{
    conn->server->whole->stats.errors++;
    model_put_error(&conn->output, 'E', "ERROR", sqlstate, message);
}

void model_query_error(struct model_conn *conn, const char *sqlstate, const char *message)
{
    model_put_failure(conn, sqlstate, message);
    model_savepoint_undo(conn);
    conn->tx = conn->tx == TX_BLOCK || conn->tx == TX_FAILED ? TX_FAILED : TX_NONE;
    if (!conn->simple) {
        conn->skipping = true;
        return;
    }
    free(conn->simple);
    conn->simple = NULL;
    model_ready(conn);
}

bool model_in_failed_block(struct model_conn *conn, const char *sql)
{
    static const char *const ends[] = { "COMMIT", "END", "ROLLBACK", "ABORT" };
    if (conn->tx != TX_FAILED) return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (model_keyword(sql, ends[i])) return false;
    model_query_error(conn, "25P02", "current transaction is aborted, commands ignored until end of transaction block");
    return true;
}

void model_ready(struct model_conn *conn)
{
    static const char letters[] = { [TX_NONE] = 'I', [TX_IMPLICIT] = 'I', [TX_BLOCK] = 'T', [TX_FAILED] = 'E' };
    if (conn->tx == TX_NONE) model_portals_free(conn);
    if (conn->tx == TX_NONE) conn->tx_read_only = false;
    if (conn->tx == TX_NONE) model_put_news(conn);
    size_t begun = model_put_begin(&conn->output, 'Z');
    sim_bytes_put(&conn->output, &letters[conn->tx], 1);
    model_put_end(&conn->output, begun);
    model_flush(conn);
}

static void end_implicit(struct model_conn *conn)
{
    char sqlstate[6], text[256];
    if (conn->tx != TX_IMPLICIT) return;
    conn->tx = TX_NONE;
    if (!commit(conn, sqlstate, text)) model_put_failure(conn, sqlstate, text);
}

void model_sync(struct model_conn *conn)
{
    end_implicit(conn);
    model_ready(conn);
}

static void warn(struct model_conn *conn, const char *sqlstate, const char *message)
{
    model_put_error(&conn->output, 'N', "WARNING", sqlstate, message);
}

/* What begins, ends and divides transactions takes effect. False: it failed, and that was said. */
static bool apply(struct model_conn *conn, struct model_query *q)
{
    bool block = conn->tx == TX_BLOCK;
    switch (q->effect) {
    case EFFECT_NONE:
        return true;
    case EFFECT_BEGIN:
        if (block) warn(conn, "25001", "there is already a transaction in progress");
        conn->tx = TX_BLOCK;
        return true;
    case EFFECT_SAVEPOINT:
    case EFFECT_RELEASE:
    case EFFECT_ROLLBACK_TO:
        return model_savepoint(conn, q);
    case EFFECT_ROLLBACK:
        if (conn->tx == TX_IMPLICIT) warn(conn, "25P01", "there is no transaction in progress");
        model_rollback(conn);
        break;
    case EFFECT_COMMIT:
        if (conn->tx == TX_FAILED) {
            snprintf(q->tag, sizeof q->tag, "ROLLBACK");
            model_rollback(conn);
            break;
        }
        if (!block) warn(conn, "25P01", "there is no transaction in progress");
        if (!commit(conn, q->sqlstate, q->text)) {
            conn->tx = TX_NONE;
            model_query_error(conn, q->sqlstate, q->text);
            return false;
        }
        break;
    }
    conn->tx = TX_NONE;
    return true;
}

/* ---- running a statement ---- */
void model_query_free(struct model_query *q)
{
    if (!q) return;
    sim_bytes_free(&q->columns);
    sim_bytes_free(&q->rows);
    sim_bytes_free(&q->copy.data);
    free(q);
}

static struct model_query *query_new(struct model_conn *conn, const char *sql, const struct model_portal *portal)
{
    struct model_query *q = calloc(1, sizeof *q);
    if (!q) sim_fail("out of memory");
    q->conn = conn;
    q->sql = sql;
    q->copy.refuse_after = SIZE_MAX;
    q->copy.columns = 1;
    if (!portal) return q;
    q->count = portal->count;
    q->params = portal->params;
    q->formats = portal->formats;
    q->result_text = portal->result_text;
    return q;
}

static unsigned type_size(uint32_t type)
{
    static const struct { uint32_t type; unsigned size; } sizes[] = {
        { 16, 1 }, { 20, 8 }, { 21, 2 }, { 23, 4 }, { 26, 4 }, { 700, 4 }, { 701, 8 }, { 1082, 4 }, { 1114, 8 },
        { 1184, 8 }, { 2950, 16 },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].type == type) return sizes[i].size;
    return 0xffff;
}

static void put_columns(struct model_conn *conn, const struct model_query *q)
{
    const uint8_t *at = q->columns.at + q->columns.head;
    size_t begun = model_put_begin(&conn->output, 'T');
    model_put_u16(&conn->output, q->column_count);
    for (unsigned i = 0; i < q->column_count; i++) {
        uint32_t type;
        model_put_string(&conn->output, (const char *)at);
        at += strlen((const char *)at) + 1;
        memcpy(&type, at, sizeof type);
        at += sizeof type;
        model_put_u32(&conn->output, 0); /* table */
        model_put_u16(&conn->output, 0); /* attribute */
        model_put_u32(&conn->output, type);
        model_put_u16(&conn->output, type_size(type));
        model_put_u32(&conn->output, UINT32_MAX); /* modifier */
        model_put_u16(&conn->output, model_result_text(q, i) ? 0 : 1);
    }
    model_put_end(&conn->output, begun);
}

static bool nothing_behind(const struct model_conn *conn)
{
    const char *at = conn->simple + conn->simple_at;
    while (*at == ';' || *first_word(at) == ';') at = first_word(at) + 1;
    return *first_word(at) == 0;
}

void model_put_tag(struct model_conn *conn, const char *tag)
{
    if (conn->simple && conn->tx == TX_IMPLICIT && nothing_behind(conn)) {
        char sqlstate[6], text[256];
        conn->tx = TX_NONE;
        if (!commit(conn, sqlstate, text)) {
            model_query_error(conn, sqlstate, text);
            return;
        }
    }
    size_t begun = model_put_begin(&conn->output, 'C');
    model_put_string(&conn->output, tag);
    model_put_end(&conn->output, begun);
}

static void complete(struct model_conn *conn, struct model_query *q)
{
    if (q->insert) sim_bytes_put(&conn->pending, &q->key, sizeof q->key);
    if (q->forget) model_statements_free(conn);
    if (q->wishes) model_wish(q);
    if (q->forget_one) model_statement_forget(conn);
    if (q->fails_at_commit) {
        snprintf(conn->deferred_sqlstate, sizeof conn->deferred_sqlstate, "%s", q->commit_sqlstate);
        snprintf(conn->deferred_text, sizeof conn->deferred_text, "%s", q->commit_text);
    }
    if (apply(conn, q)) model_put_tag(conn, q->tag);
}

void model_finish(struct model_conn *conn)
{
    struct model_query *q = conn->running;
    if (q->pause_ns && q->end != RESULT_ERROR) {
        uint64_t ns = q->pause_ns;
        sim_bytes_put(&conn->output, q->rows.at + q->rows.head, q->pause_at);
        sim_bytes_take(&q->rows, NULL, q->pause_at);
        model_flush(conn);
        q->pause_ns = 0;
        model_pause_for(conn, ns, model_finish);
        return;
    }
    conn->running = NULL;
    if (q->simple && q->column_count && (q->end != RESULT_ERROR || q->row_count)) put_columns(conn, q);
    sim_bytes_put(&conn->output, q->rows.at + q->rows.head, q->rows.size);
    switch (q->end) {
    case RESULT_OPEN: break; /* it sent raw bytes and says no more */
    case RESULT_COMPLETE: complete(conn, q); break;
    case RESULT_ERROR: model_query_error(conn, q->sqlstate, q->text); break;
    case RESULT_DROP: model_close(conn, true); break;
    case RESULT_HANGUP: model_close(conn, false); break;
    case RESULT_COPY_IN: model_copy_begin(conn, q); return;
    }
    model_query_free(q);
}

static void run(struct model_conn *conn, struct model_query *q, struct model_portal *portal)
{
    if (conn->log_count == conn->log_capacity) {
        conn->log_capacity = conn->log_capacity ? conn->log_capacity * 2 : 8;
        conn->log = realloc(conn->log, conn->log_capacity * sizeof *conn->log);
        if (!conn->log) sim_fail("out of memory");
    }
    conn->log[conn->log_count] = strdup(q->sql);
    q->sql = conn->log[conn->log_count++];
    conn->server->whole->stats.statements++;
    if (conn->tx == TX_NONE) conn->tx = TX_IMPLICIT;
    conn->running = q;
    if (!q->answered) model_answer(q);
    if (portal) portal->again = !strncmp(q->tag, "SELECT", 6);
    if (q->delay_ns) model_pause_for(conn, q->delay_ns, model_finish);
    else model_finish(conn);
}

void model_execute_portal(struct model_conn *conn, struct model_portal *portal)
{
    if (portal->done) {
        model_put_tag(conn, "SELECT 0");
        return;
    }
    portal->done = true;
    if (!*first_word(portal->sql)) {
        model_put_end(&conn->output, model_put_begin(&conn->output, 'I'));
        return;
    }
    struct model_query *q = portal->answer ? portal->answer : query_new(conn, portal->sql, portal);
    portal->answer = NULL;
    run(conn, q, portal);
}

/* ---- one answer per execution: given at Bind, described from, played at Execute ---- */

static bool same_columns(const struct model_query *q, const struct model_statement *s)
{
    if (q->column_count != s->column_count || q->columns.size != s->columns.size) return false;
    const struct sim_bytes *a = &q->columns, *b = &s->columns;
    return !a->size || !memcmp(a->at + a->head, b->at + b->head, a->size);
}

static void keep_columns(struct sim_bytes *to, const struct sim_bytes *from)
{
    sim_bytes_take(to, NULL, to->size);
    sim_bytes_put(to, from->at + from->head, from->size);
}

bool model_answer_at_bind(struct model_conn *conn, struct model_portal *portal, struct model_statement *statement)
{
    if (!*first_word(portal->sql)) return true;
    struct model_query *q = portal->answer = query_new(conn, portal->sql, portal);
    model_answer(q);
    q->answered = true;
    if (!statement->described || same_columns(q, statement)) return true;
    if (!q->column_count) { /* it has no rows, and so says nothing of them */
        keep_columns(&q->columns, &statement->columns);
        q->column_count = statement->column_count;
        return true;
    }
    if (conn->tx == TX_BLOCK)
        sim_fail("\"%s\": its answers had %u columns before and have %u others now, which PostgreSQL refuses in a "
                 "transaction (0A000): say the columns in every answer, also in those without rows",
                 portal->sql, statement->column_count, q->column_count);
    model_query_error(conn, "0A000", "cached plan must not change result type");
    return false;
}

/* What fails before its first row fails here: nobody shall remember a statement without columns for that. */
void model_describe_answer(struct model_conn *conn, struct model_portal *portal, struct model_statement *statement)
{
    struct model_query *q = portal->answer;
    if (!q) {
        model_put_end(&conn->output, model_put_begin(&conn->output, 'n'));
        return;
    }
    if (!q->column_count && q->end != RESULT_COMPLETE) {
        model_execute_portal(conn, portal);
        return;
    }
    if (statement) {
        statement->described = true;
        statement->column_count = q->column_count;
        keep_columns(&statement->columns, &q->columns);
    }
    if (q->column_count) put_columns(conn, q);
    else model_put_end(&conn->output, model_put_begin(&conn->output, 'n'));
}

void model_simple_next(struct model_conn *conn)
{
    const char *at = conn->simple + conn->simple_at, *start = first_word(at), *end = statement_end(start);
    conn->simple_at += (size_t)(end - at) + (*end == ';');
    if (start == end && *end == ';') return;
    if (start == end) {
        if (conn->simple_empty) model_put_end(&conn->output, model_put_begin(&conn->output, 'I'));
        free(conn->simple);
        conn->simple = NULL;
        model_sync(conn);
        return;
    }
    char *sql = strndup(start, (size_t)(end - start));
    conn->simple_empty = false;
    if (model_keyword(sql, "SYNTAX")) {
        model_query_error(conn, "42601", "syntax error at or near \"SYNTAX\"");
    } else if (!model_in_failed_block(conn, sql)) {
        struct model_query *q = query_new(conn, sql, NULL);
        q->simple = true;
        run(conn, q, NULL);
    }
    free(sql);
}

/* ---- Describe ---- */
static void put_types(struct model_conn *conn, const struct model_statement *s)
{
    size_t begun = model_put_begin(&conn->output, 't');
    model_put_u16(&conn->output, s->count);
    for (unsigned i = 0; i < s->count; i++) model_put_u32(&conn->output, s->types[i]);
    model_put_end(&conn->output, begun);
}

void model_describe(struct model_conn *conn, const char *sql, const struct model_portal *portal,
                    struct model_statement *statement)
{
    struct model_query *q = query_new(conn, sql, portal);
    struct model_param *unknown = NULL;
    q->describing = true;
    if (statement) {
        unknown = calloc(statement->count + 1, sizeof *unknown);
        if (!unknown) sim_fail("out of memory");
        for (unsigned i = 0; i < statement->count; i++)
            unknown[i] = (struct model_param){ .size = -1, .type = statement->types[i] };
        q->params = unknown;
        q->count = statement->count;
    }
    if (*first_word(sql)) model_answer(q);
    if (!q->column_count || !model_in_failed_block(conn, sql)) {
        if (statement) put_types(conn, statement);
        if (q->column_count) put_columns(conn, q);
        else model_put_end(&conn->output, model_put_begin(&conn->output, 'n'));
    }
    free(unknown);
    model_query_free(q);
}
