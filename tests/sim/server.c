/* sim/server.c - the server's side of a world: what statements answer beyond the model's own, and what happens to the
 * server itself until it is healed. */
#include <stdlib.h>
#include <string.h>
#include "sim/pg_sim.h"

enum { TYPE_INT8 = 20, TYPE_TEXT = 25 };

static bool starts(const char *sql, const char *word)
{
    return !strncmp(sql, word, strlen(word));
}

/* ---- answers ---- */

static void rows(struct model_query *q, const char *arguments)
{
    char *end;
    unsigned long n = strtoul(arguments, &end, 10);
    int64_t token = strtoll(end, NULL, 10);
    model_columns(q, 2, (struct model_column[]){ { "n", TYPE_INT8 }, { "why", TYPE_TEXT } });
    for (unsigned long i = 0; i < n && !model_describing(q); i++) {
        uint8_t wire[8];
        for (int b = 0; b < 8; b++) wire[b] = (uint8_t)((uint64_t)(token + (int64_t)i) >> (56 - 8 * b));
        model_row(q, 2, (struct model_cell[]){ { wire, 8 }, { NULL, -1 } });
    }
    model_complete(q, "SELECT 1");
}

static void big(struct model_query *q, const char *arguments)
{
    size_t n = strtoul(arguments, NULL, 10);
    model_columns(q, 1, &(struct model_column){ "big", TYPE_TEXT });
    char *at = malloc(n);
    if (!at) sim_fail("out of memory");
    memset(at, 'b', n);
    if (!model_describing(q)) model_row(q, 1, &(struct model_cell){ at, (int32_t)n });
    free(at);
    model_complete(q, "SELECT 1");
}

/* Faults of one statement. True: it has been answered. The ends of transactions are left alone: they do not fail so. */
static bool misfortune(struct run *r, struct model_query *q, const char *sql)
{
    const struct settings *s = &r->set;
    if (chance(r, s->notice)) model_notice(q, "01000", "be warned");
    if (chance(r, s->notice)) model_parameter_status(q, "TimeZone", pick(r, 2) ? "UTC" : "Europe/Berlin");
    if (chance(r, s->delay)) model_delay(q, pick(r, s->delay_ns + 1));
    if (r->scene->healed) return false;
    if (chance(r, s->forget)) model_forget(q);
    if (chance(r, s->drop)) {
        pick(r, 2) ? model_drop(q) : model_hangup(q);
        return true;
    }
    if (chance(r, s->garbage)) {
        static const char odd[] = { '?', 0, 0, 0, 4 };
        model_raw(q, odd, sizeof odd);
        if (starts(sql, "INSERT") || starts(sql, "DEFERRED") || starts(sql, "COPYFROM") || pick(r, 2))
            model_hangup(q); /* else it goes on, and an insert would be left out */
        return true;
    }
    if (starts(sql, "BEGIN") || starts(sql, "COMMIT") || starts(sql, "ROLLBACK") || !chance(r, s->server_error))
        return false;
    model_error(q, "40001", "could not serialize access");
    return true;
}

void server_answer(void *arg, struct model_query *q)
{
    struct run *r = arg;
    const char *sql = model_sql(q);
    if (r->scene->verbose && !model_describing(q))
        trace("        backend %u: %s [%lld] in '%c'", model_conn_pid(model_conn_of(q)), sql,
              model_param_count(q) ? (long long)model_param_int8(q, 0) : 0, model_conn_status(model_conn_of(q)));
    if (!model_describing(q) && misfortune(r, q, sql)) return;
    if (copy_answer(r, q)) return;
    if (starts(sql, "ROWS "))
        rows(q, sql + 5);
    else if (starts(sql, "BIG "))
        big(q, sql + 4);
    else if (starts(sql, "STRAY"))
        model_opens_block(q);
    else if (starts(sql, "INSERT ") && !model_param_count(q) && !model_describing(q) && !model_read_only(q)) {
        model_insert(q, strtoll(sql + 7, NULL, 10));
        model_complete(q, "INSERT 0 1");
    }
}

/* ---- trouble ---- */

static void restart(void *arg)
{
    struct run *r = arg;
    if (r->scene->healed || r->scene->over) return;
    trace("server restarts");
    model_server_restart(r->server, (enum model_end)pick(r, MODEL_ENDS), pick(r, 400) * MS);
}

static void served_again(void *arg)
{
    struct run *r = arg;
    if (!r->scene->over) model_server_refuse(r->server, NULL);
}

static void refuse(void *arg)
{
    static const char *const why[] = { "53300", "57P03", "57P03", "53400" };
    struct run *r = arg;
    if (r->scene->healed || r->scene->over) return;
    trace("server refuses");
    model_server_refuse(r->server, why[pick(r, 4)]);
    sim_after(r->sim, pick(r, 600) * MS, served_again, r);
}

/* Other programs take places at the server, and give them back. */
static void crowd(void *arg)
{
    struct run *r = arg;
    if (r->scene->healed || r->scene->over) return;
    uint32_t places = pick(r, 3) ? (uint32_t)pick(r, SIZE_MOST * r->scene->runs) + 1 : 0;
    trace("server takes %u connections", places);
    model_settings(r->server)->max_connections = places;
}

static void listening_again(void *arg)
{
    struct run *r = arg;
    if (!r->scene->over) model_server_connects(r->server, SIM_ACCEPT);
}

static void outage(void *arg)
{
    static const enum sim_connect how[] = { SIM_REFUSE, SIM_HANG, SIM_BACKLOG_FULL, SIM_UNREACHABLE };
    struct run *r = arg;
    if (r->scene->healed || r->scene->over) return;
    trace("server unreachable");
    model_server_connects(r->server, how[pick(r, 4)]);
    sim_after(r->sim, pick(r, 800) * MS, listening_again, r);
}

/* Things that come unasked on one connection. */
static void unasked(void *arg)
{
    struct run *r = arg;
    size_t n = model_conn_count(r->server);
    if (r->scene->healed || r->scene->over || !n) return;
    size_t at = n < 8 ? pick(r, n) : n - 1 - pick(r, 8);
    struct model_conn *conn = model_conn_at(r->server, at);
    if (model_conn_alive(conn) && model_conn_status(conn) == 'I') {
        if (chance(r, r->set.kill))
            model_conn_end(conn, (enum model_end)pick(r, MODEL_ENDS), pick(r, 2) ? "57P01" : "57P02");
        else if (chance(r, r->set.notice))
            model_conn_notify(conn, "channel", "payload");
        else if (chance(r, r->set.notice))
            model_conn_notice(conn, "01000", "unasked");
        else if (chance(r, r->set.notice))
            model_conn_parameter_status(conn, "TimeZone", "UTC");
    }
    sim_after(r->sim, pick(r, 40) * MS, unasked, r);
}

void server_trouble(struct run *r)
{
    const struct settings *s = &r->set;
    uint64_t span_ns = s->span_ns + SECOND;
    for (uint32_t i = 0; i < s->restarts; i++) sim_after(r->sim, pick(r, span_ns), restart, r);
    for (uint32_t i = 0; i < s->refusals; i++) sim_after(r->sim, pick(r, span_ns), refuse, r);
    for (uint32_t i = 0; i < s->crowds; i++) sim_after(r->sim, pick(r, span_ns), crowd, r);
    for (uint32_t i = 0; i < s->outages; i++) sim_after(r->sim, pick(r, span_ns), outage, r);
    if (s->kill || s->notice) sim_after(r->sim, 0, unasked, r);
    hosts_trouble(r);
}

/* From now on nothing goes wrong any more; so everything that waits must be served. */
void server_heal(struct scene *w)
{
    struct run *r = &w->run[0];
    struct sim_config *c = sim_settings(w->sim);
    struct model_config *m = model_settings(w->server);
    w->healed = true;
    trace("healed");
    c->short_send = c->short_recv = c->submit_again = c->retryable = c->reset = c->burst = 0;
    c->fatal = c->hole = c->jump = c->refuse = c->hang = c->backlog_full = 0;
    for (unsigned i = 0; i < w->runs; i++) w->run[i].heap.fail = 0;
    m->fault = MODEL_HONEST;
    m->max_connections = 0;
    m->cancel_lost = m->cancel_mute = 0;
    m->cancel_delay_ns = 0;
    m->toy_damage = 0;
    if (r->set.wrong_password) m->password = r->set.password;
    model_server_connects(r->server, SIM_ACCEPT);
    model_server_refuse(r->server, NULL);
    hosts_heal(w);
}
