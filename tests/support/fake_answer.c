/* support/fake_answer.c - one answer of a user's scripted server: the statement as the user sees it, values as the
 * client asked for them, and what follows from the statement itself, whatever was said to it. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/fake_private.h"
#include "wire/param.h"

#define LONG_NS UINT64_C(1000000000000000000) /* 30 years: an answer that never comes */

/* ---- what is asked ---- */

const char *pg_fake_sql(const struct pg_fake_query *q)
{
    return q->model->sql;
}

uint32_t pg_fake_params(const struct pg_fake_query *q)
{
    return q->model->count;
}

struct pg_value pg_fake_param(const struct pg_fake_query *q, uint32_t index)
{
    struct model_param p = model_param(q->model, index);
    return (struct pg_value){
        .data = p.size < 0 ? NULL : p.at, .size = p.size < 0 ? 0 : (uint32_t)p.size, .type = p.type, .text = p.text,
        .column = index,
    };
}

uint32_t pg_fake_connection(const struct pg_fake_query *q)
{
    const struct model_conn *conn = q->model->conn;
    uint32_t n = 0;
    for (size_t i = 0; i < conn->server->conn_count; i++) { /* those of cancel requests are not counted */
        n += conn->server->conns[i]->startup.size > 0;
        if (conn->server->conns[i] == conn) break;
    }
    return n;
}

char pg_fake_transaction(const struct pg_fake_query *q)
{
    return model_conn_status(q->model->conn);
}

/* ---- rows ---- */

void pg_fake_columns(struct pg_fake_query *q, const struct pg_fake_column *columns, uint32_t n)
{
    if (q->declared || q->rows) sim_fail("\"%s\": the columns are said twice, or behind a row", q->model->sql);
    if (!n || n > FAKE_COLUMNS) sim_fail("\"%s\": %u columns", q->model->sql, n);
    q->declared = true;
    q->columns = n;
    for (uint32_t i = 0; i < n; i++) {
        q->type[i] = columns[i].type ? columns[i].type : PG_TYPE_TEXT;
        if (columns[i].name && !(q->name[i] = strdup(columns[i].name))) sim_fail("out of memory");
    }
}

static _Noreturn void wrong_value(const struct pg_fake_query *q, uint32_t column, const char *why)
{
    sim_fail("\"%s\": column %u (%s) of a row %s", q->model->sql, column, q->name[column] ? q->name[column] : "unnamed",
             why);
}

/* The text of a value that was written in binary. */
static void put_text(struct sim_bytes *b, struct pg_value value)
{
    size_t size = pg_value_format(value, NULL, 0);
    char *text = malloc(size + 1);
    if (!text) sim_fail("out of memory");
    pg_value_format(value, text, size + 1);
    model_put_u32(b, (uint32_t)size);
    sim_bytes_put(b, text, size);
    free(text);
}

/* Length and value, in the format that was asked for. */
static void put_value(const struct pg_fake_query *q, struct sim_bytes *b, const struct pg_param *p, uint32_t column)
{
    uint32_t type = q->type[column];
    bool text = model_result_text(q->model, column), as_text;
    const char *why = NULL;
    size_t size;
    if (!p->type || p->scale == PG_FORM_NULL) {
        model_put_u32(b, UINT32_MAX);
        return;
    }
    if (rp_param_check(p, p->scale == -1 ? 0 : type, &size, &as_text, &why)) wrong_value(q, column, why);
    if (p->scale == -1 && !text && type != p->type) wrong_value(q, column, "is text, and was asked for in binary");
    uint8_t *to = malloc(4 + size);
    if (!to) sim_fail("out of memory");
    struct rp_writer w = { .to = to, .capacity = 4 + size };
    rp_param_write(&w, p, p->scale == -1 ? 0 : type);
    struct pg_value value = { .data = to + 4, .size = (uint32_t)size, .type = type ? type : p->type };
    if (text && !as_text) put_text(b, value);
    else sim_bytes_put(b, to, w.used);
    free(to);
}

void pg_fake_row(struct pg_fake_query *q, const struct pg_param *columns, uint32_t n)
{
    struct model_query *m = q->model;
    if (!n || n > FAKE_COLUMNS) sim_fail("\"%s\": a row of %u columns", m->sql, n);
    if ((q->declared || q->rows) && n != q->columns)
        sim_fail("\"%s\": a row of %u columns, where there are %u", m->sql, n, q->columns);
    q->columns = n;
    q->rows++;
    m->touched = true;
    m->row_count++;
    size_t begun = model_put_begin(&m->rows, 'D');
    model_put_u16(&m->rows, n);
    for (uint32_t i = 0; i < n; i++) {
        if (!q->type[i]) q->type[i] = columns[i].type;
        put_value(q, &m->rows, &columns[i], i);
    }
    model_put_end(&m->rows, begun);
}

/* ---- ends ---- */

void pg_fake_complete(struct pg_fake_query *q, const char *tag)
{
    model_complete(q->model, tag);
}

void pg_fake_error(struct pg_fake_query *q, const char *sqlstate, const char *message)
{
    if (strlen(sqlstate) != 5) sim_fail("pg_fake_error: \"%s\" is no SQLSTATE", sqlstate);
    model_error(q->model, sqlstate, message);
}

void pg_fake_delay(struct pg_fake_query *q, uint64_t ns)
{
    if (ns > LONG_NS) ns = LONG_NS;
    if (q->model->delay_ns < LONG_NS) model_delay(q->model, ns);
}

void pg_fake_drop(struct pg_fake_query *q)
{
    model_drop(q->model);
}

/* ---- what the statement means ---- */

/* Statements that are answered by themselves, and what they do. Of two that fit, the first. */
static const struct known {
    const char *word, *tag;
    enum model_effect effect;
} known[] = {
    { "BEGIN", "BEGIN", EFFECT_BEGIN }, { "START", "START TRANSACTION", EFFECT_BEGIN },
    { "COMMIT", "COMMIT", EFFECT_COMMIT }, { "END", "COMMIT", EFFECT_COMMIT },
    { "ROLLBACK", "ROLLBACK", EFFECT_ROLLBACK }, { "ABORT", "ROLLBACK", EFFECT_ROLLBACK },
    { "SAVEPOINT", "SAVEPOINT", EFFECT_SAVEPOINT }, { "RELEASE", "RELEASE", EFFECT_RELEASE },
    { "SET", "SET", EFFECT_NONE }, { "RESET", "RESET", EFFECT_NONE }, { "DISCARD", "DISCARD ALL", EFFECT_NONE },
    { "DEALLOCATE", "DEALLOCATE ALL", EFFECT_NONE }, { "LISTEN", "LISTEN", EFFECT_NONE },
    { "UNLISTEN", "UNLISTEN", EFFECT_NONE },
};

static const struct known *known_of(const char *sql)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (model_keyword(sql, known[i].word)) return &known[i];
    return NULL;
}

static void take_effect(struct model_query *m, const struct known *k)
{
    if (!k || m->end != RESULT_COMPLETE) return;
    m->effect = k->effect;
    if (k->effect == EFFECT_ROLLBACK && strcasestr(m->sql, " TO ")) m->effect = EFFECT_ROLLBACK_TO;
    if (!strcmp(k->word, "DISCARD") || !strcmp(k->word, "DEALLOCATE")) model_forget(m);
}

static void say_columns(struct pg_fake_query *q)
{
    struct model_column columns[FAKE_COLUMNS];
    char names[FAKE_COLUMNS][20];
    for (uint32_t i = 0; i < q->columns; i++) {
        snprintf(names[i], sizeof names[i], "column%u", i + 1);
        columns[i].name = q->name[i] ? q->name[i] : names[i];
        columns[i].type = q->type[i] ? q->type[i] : PG_TYPE_TEXT;
    }
    model_columns(q->model, q->columns, columns);
    for (uint32_t i = 0; i < q->columns; i++) free(q->name[i]);
}

/* What a pool with target_session_attrs or a budget asks of its server: this one is a primary that may be written, and
 * has a hundred connections. */
static bool is_asked_what_it_is(struct pg_fake_query *q)
{
    static const struct { const char *begin, *answer, *tag; uint32_t type; } known_questions[] = {
        { "SHOW transaction_read_only", "off", "SHOW", PG_TYPE_TEXT },
        { "SELECT pg_catalog.pg_is_in_recovery()", "f", "SELECT 1", PG_TYPE_BOOL },
        { "SELECT current_setting('max_connections')::int4", "100", "SELECT 1", PG_TYPE_INT4 },
    };
    for (size_t i = 0; i < sizeof known_questions / sizeof *known_questions; i++) {
        if (strncmp(q->model->sql, known_questions[i].begin, strlen(known_questions[i].begin)) != 0) continue;
        struct pg_param row = pg_str(known_questions[i].answer);
        q->type[0] = known_questions[i].type;
        pg_fake_row(q, &row, 1);
        pg_fake_complete(q, known_questions[i].tag);
        return true;
    }
    return false;
}

void fake_answer(void *arg, struct model_query *m)
{
    struct pg_fake *f = arg;
    struct pg_fake_query q = { .model = m };
    const struct known *k = known_of(m->sql);
    char text[200];
    if (f->answer) f->answer(f->arg, &q);
    if (m->end == RESULT_OPEN && (q.rows || q.declared)) {
        snprintf(text, sizeof text, "SELECT %u", q.rows);
        model_complete(m, text);
    } else if (m->end == RESULT_OPEN && k) {
        model_complete(m, k->tag);
    } else if (m->end == RESULT_OPEN && !is_asked_what_it_is(&q)) {
        snprintf(text, sizeof text, "the test's answer says nothing to: %s", m->sql);
        model_error(m, "XX000", text);
    }
    if (q.columns) say_columns(&q);
    take_effect(m, k);
}

void pg_fake_answer(struct pg_fake *f, void (*answer)(void *, struct pg_fake_query *), void *arg)
{
    f->answer = answer;
    f->arg = arg;
}
