/* support/model_answer.c - what an answer may say, and the answer that the model gives by itself. An answer only
 * records; the execution plays it back, at once or after its delay. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/model_private.h"

enum { TYPE_INT8 = 20, TYPE_TEXT = 25 };

/* ---- what is asked ---- */
struct model_conn *model_conn_of(const struct model_query *q)
{
    return q->conn;
}

const char *model_sql(const struct model_query *q)
{
    return q->sql;
}

unsigned model_param_count(const struct model_query *q)
{
    return q->count;
}

struct model_param model_param(const struct model_query *q, unsigned index)
{
    if (index >= q->count) sim_fail("\"%s\": parameter %u of %u", q->sql, index, q->count);
    return q->params[index];
}

int64_t model_param_int8(const struct model_query *q, unsigned index)
{
    struct model_param p = model_param(q, index);
    char digits[24];
    int64_t value = 0;
    if (p.size < 0) return 0;
    if (p.text) {
        snprintf(digits, sizeof digits, "%.*s", (int)p.size, (const char *)p.at);
        return strtoll(digits, NULL, 10);
    }
    for (int32_t i = 0; i < p.size && i < 8; i++)
        value = i ? (int64_t)((uint64_t)value << 8 | p.at[i]) : (int64_t)(int8_t)p.at[i];
    return value;
}

bool model_result_text(const struct model_query *q, unsigned column)
{
    if (!q->formats) return true;
    return q->formats == 1 ? q->result_text[0] : column < q->formats && q->result_text[column];
}

bool model_describing(const struct model_query *q)
{
    return q->describing;
}

/* ---- what is answered ---- */
void model_columns(struct model_query *q, unsigned n, const struct model_column *columns)
{
    q->touched = true;
    sim_bytes_take(&q->columns, NULL, q->columns.size);
    q->column_count = n;
    for (unsigned i = 0; i < n; i++) {
        model_put_string(&q->columns, columns[i].name);
        sim_bytes_put(&q->columns, &columns[i].type, sizeof columns[i].type);
    }
}

void model_row(struct model_query *q, unsigned n, const struct model_cell *cells)
{
    q->touched = true;
    q->row_count++;
    size_t begun = model_put_begin(&q->rows, 'D');
    model_put_u16(&q->rows, n);
    for (unsigned i = 0; i < n; i++) {
        model_put_u32(&q->rows, (uint32_t)cells[i].size);
        if (cells[i].size > 0) sim_bytes_put(&q->rows, cells[i].at, (size_t)cells[i].size);
    }
    model_put_end(&q->rows, begun);
}

void model_row_text(struct model_query *q, const char *text)
{
    struct model_cell cell = { .at = text, .size = text ? (int32_t)strlen(text) : -1 };
    model_row(q, 1, &cell);
}

void model_row_int8(struct model_query *q, int64_t value)
{
    char digits[24];
    uint8_t wire[8];
    for (int i = 0; i < 8; i++) wire[i] = (uint8_t)((uint64_t)value >> (56 - 8 * i));
    struct model_cell cell = { .at = wire, .size = 8 };
    if (model_result_text(q, 0)) {
        cell.size = snprintf(digits, sizeof digits, "%lld", (long long)value);
        cell.at = digits;
    }
    model_row(q, 1, &cell);
}

static void end(struct model_query *q, enum model_result_end how)
{
    q->touched = true;
    q->end = how;
}

void model_complete(struct model_query *q, const char *tag)
{
    end(q, RESULT_COMPLETE);
    snprintf(q->tag, sizeof q->tag, "%s", tag);
}

void model_error(struct model_query *q, const char *sqlstate, const char *message)
{
    end(q, RESULT_ERROR);
    snprintf(q->sqlstate, sizeof q->sqlstate, "%s", sqlstate);
    snprintf(q->text, sizeof q->text, "%s", message);
}

void model_error_at_commit(struct model_query *q, const char *sqlstate, const char *message)
{
    if (q->end == RESULT_OPEN) model_complete(q, "INSERT 0 1");
    q->fails_at_commit = true;
    snprintf(q->commit_sqlstate, sizeof q->commit_sqlstate, "%s", sqlstate);
    snprintf(q->commit_text, sizeof q->commit_text, "%s", message);
}

/* A delay alone leaves the answer itself to the default. */
void model_delay(struct model_query *q, uint64_t ns)
{
    q->delay_ns += ns;
}

void model_notice(struct model_query *q, const char *sqlstate, const char *message)
{
    model_put_error(&q->rows, 'N', "NOTICE", sqlstate, message);
}

void model_parameter_status(struct model_query *q, const char *name, const char *value)
{
    model_put_status(&q->rows, name, value);
}

void model_raw(struct model_query *q, const void *at, size_t n)
{
    q->touched = true;
    sim_bytes_put(&q->rows, at, n);
}

void model_drop(struct model_query *q)
{
    end(q, RESULT_DROP);
}

void model_hangup(struct model_query *q)
{
    end(q, RESULT_HANGUP);
}

void model_pause(struct model_query *q, uint64_t ns)
{
    q->pause_at = q->rows.size;
    q->pause_ns = ns;
}

void model_copy_in(struct model_query *q)
{
    end(q, RESULT_COPY_IN);
}

void model_insert(struct model_query *q, int64_t key)
{
    q->insert = true;
    q->key = key;
}

void model_opens_block(struct model_query *q)
{
    q->effect = EFFECT_BEGIN;
}

void model_forget(struct model_query *q)
{
    q->forget = true;
}

/* ---- the default ---- */
static void echo(struct model_query *q)
{
    struct model_param p = { .size = -1, .type = TYPE_TEXT };
    if (q->count) p = q->params[0];
    bool int8 = p.type == TYPE_INT8;
    model_columns(q, 1, &(struct model_column){ "echo", int8 ? TYPE_INT8 : TYPE_TEXT });
    if (!q->count) {
        const char *rest = strcasestr(q->sql, "ECHO") + strlen("ECHO");
        model_row_text(q, rest + strspn(rest, " "));
    } else if (int8 && p.size >= 0) {
        model_row_int8(q, model_param_int8(q, 0));
    } else {
        model_row(q, 1, &(struct model_cell){ p.at, p.size });
    }
    model_complete(q, "SELECT 1");
}

bool model_read_only(const struct model_query *q)
{
    return q->conn->server->config.role != MODEL_PRIMARY || q->conn->tx_read_only ||
           q->conn->session_read_only;
}

static void say(struct model_query *q, const char *name, bool yes, const char *word)
{
    model_columns(q, 1, &(struct model_column){ name, TYPE_TEXT });
    model_row_text(q, yes ? word : strcmp(word, "on") ? "f" : "off");
}

static void show(struct model_query *q)
{
    if (strcmp(q->sql, "SHOW transaction_read_only") == 0) say(q, "transaction_read_only", model_read_only(q), "on");
    model_complete(q, "SHOW");
}

static void ask(struct model_query *q)
{
    if (strcmp(q->sql, "SELECT pg_catalog.pg_is_in_recovery()") != 0) {
        model_complete(q, "SELECT 0");
        return;
    }
    say(q, "pg_is_in_recovery", q->conn->server->config.role == MODEL_STANDBY, "t");
    model_complete(q, "SELECT 1");
}

static void begin(struct model_query *q)
{
    if (!q->describing && strcasestr(q->sql, "READ ONLY")) q->conn->tx_read_only = true;
    model_opens_block(q);
    model_complete(q, model_keyword(q->sql, "BEGIN") ? "BEGIN" : "START TRANSACTION");
}

static void commit(struct model_query *q)
{
    q->effect = EFFECT_COMMIT;
    model_complete(q, "COMMIT");
}

static void rollback(struct model_query *q)
{
    q->effect = strcasestr(q->sql, " TO ") ? EFFECT_ROLLBACK_TO : EFFECT_ROLLBACK;
    model_complete(q, "ROLLBACK");
}

static void savepoint(struct model_query *q)
{
    bool released = model_keyword(q->sql, "RELEASE");
    q->effect = released ? EFFECT_RELEASE : EFFECT_SAVEPOINT;
    model_complete(q, released ? "RELEASE" : "SAVEPOINT");
}

static void insert(struct model_query *q)
{
    if (!q->describing && model_read_only(q)) {
        model_error(q, "25006", "cannot execute INSERT in a read-only transaction");
        return;
    }
    bool integer = q->count && q->params[0].type == TYPE_INT8;
    model_insert(q, integer ? model_param_int8(q, 0) : 0);
    model_complete(q, "INSERT 0 1");
}

static void deferred(struct model_query *q)
{
    insert(q);
    model_error_at_commit(q, "23503", "insert violates a deferred foreign key constraint");
}

static void nap(struct model_query *q)
{
    const char *digits = q->sql + strcspn(q->sql, "0123456789");
    model_delay(q, strtoull(digits, NULL, 10) * 1000 * 1000);
    model_complete(q, "SELECT 0");
}

static void fail(struct model_query *q)
{
    const char *at = q->sql + strcspn(q->sql, " ");
    char sqlstate[6];
    snprintf(sqlstate, sizeof sqlstate, "%s", at + strspn(at, " "));
    model_error(q, sqlstate[0] ? sqlstate : "XX000", "failed as asked");
}

static void copy_out(struct model_query *q)
{
    char row[32], tag[32];
    unsigned long n = strtoul(q->sql + strcspn(q->sql, "0123456789"), NULL, 10);
    model_copy_out(q);
    for (unsigned long i = 1; i <= n; i++) model_copy_data(q, row, (size_t)snprintf(row, sizeof row, "%lu\n", i));
    snprintf(tag, sizeof tag, "COPY %lu", n);
    model_copy_done(q, tag);
}

static void discard(struct model_query *q)
{
    model_forget(q);
    model_complete(q, "DISCARD ALL");
}

/* ALL, or any other word: one of them. */
static void deallocate(struct model_query *q)
{
    bool all = strcasestr(q->sql, " ALL") != NULL;
    if (all) model_forget(q);
    else q->forget_one = true;
    model_complete(q, all ? "DEALLOCATE ALL" : "DEALLOCATE");
}

static void set(struct model_query *q)
{
    if (!q->describing && strstr(q->sql, "default_transaction_read_only")) {
        q->conn->session_read_only = strstr(q->sql, " on") != NULL;
        model_parameter_status(q, "default_transaction_read_only", q->conn->session_read_only ? "on" : "off");
    }
    model_complete(q, "SET");
}

static void subscribe(struct model_query *q)
{
    if (q->conn->server->config.role == MODEL_STANDBY && !model_keyword(q->sql, "UNLISTEN")) {
        model_error(q, "25006", "cannot execute LISTEN during recovery");
        return;
    }
    q->wishes = true;
    model_complete(q, model_keyword(q->sql, "LISTEN") ? "LISTEN" : model_keyword(q->sql, "NOTIFY") ? "NOTIFY" : "UNLISTEN");
}

void model_default_answer(struct model_query *q)
{
    static const struct { const char *word; void (*answer)(struct model_query *); } table[] = {
        { "ECHO", echo }, { "INSERT", insert }, { "BEGIN", begin }, { "START", begin }, { "COMMIT", commit },
        { "END", commit }, { "ROLLBACK", rollback }, { "ABORT", rollback }, { "SAVEPOINT", savepoint },
        { "RELEASE", savepoint }, { "DEFERRED", deferred }, { "SLEEP", nap },
        { "FAIL", fail }, { "COPYIN", model_copy_in },
        { "COPYOUT", copy_out }, { "DISCARD", discard }, { "DEALLOCATE", deallocate }, { "SET", set },
        { "SHOW", show }, { "SELECT", ask }, { "LISTEN", subscribe }, { "UNLISTEN", subscribe },
        { "NOTIFY", subscribe },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!model_keyword(q->sql, table[i].word)) continue;
        table[i].answer(q);
        return;
    }
    model_complete(q, "SELECT 0");
}

void model_answer(struct model_query *q)
{
    const struct model_config *config = &q->conn->server->config;
    if (config->answer) config->answer(config->arg, q);
    if (!q->touched) model_default_answer(q);
}
