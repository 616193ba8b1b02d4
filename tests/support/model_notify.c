/* support/model_notify.c - LISTEN, UNLISTEN and NOTIFY: effective with the commit of their transaction, for all
 * sessions of the database at all of its addresses; a session hears of it as soon as it is in no transaction itself. */
#include <ctype.h>
#include <string.h>
#include "support/model_private.h"

enum { NAME_MOST = 63 };

/* ---- what was asked ---- */

static const char *skip_blank(const char *at)
{
    while (isspace((unsigned char)*at)) at++;
    return at;
}

/* Quoted by `quote`, doubled inside; or a plain word in lower case. Behind it. */
static const char *read_word(const char *at, char quote, char *to, size_t most)
{
    size_t n = 0;
    bool quoted = *at == quote;
    for (at += quoted; *at; at++) {
        if (quoted && *at == quote && *++at != quote) break;
        if (!quoted && !isalnum((unsigned char)*at) && *at != '_') break;
        if (n < most) to[n++] = quoted ? *at : (char)tolower((unsigned char)*at);
    }
    to[n] = 0;
    return at;
}

void model_wish(struct model_query *q)
{
    char channel[NAME_MOST + 1], payload[8000] = "";
    const char *at = q->sql;
    char verb = (char)toupper((unsigned char)*(at = skip_blank(at)));
    while (isalpha((unsigned char)*at)) at++;
    at = skip_blank(at);
    if (verb == 'U' && *at == '*') verb = '*';
    at = skip_blank(read_word(at, '"', channel, NAME_MOST));
    if (*at == ',') (void)read_word(skip_blank(at + 1), '\'', payload, sizeof payload - 1);
    sim_bytes_put(&q->conn->wishes, &verb, 1);
    model_put_string(&q->conn->wishes, channel);
    model_put_string(&q->conn->wishes, payload);
}

/* ---- who listens ---- */

/* Where it stands among the channels; NULL: it does not. */
static const char *find(const struct model_conn *conn, const char *channel)
{
    const char *at = (const char *)conn->channels.at + conn->channels.head, *end = at + conn->channels.size;
    for (; at < end; at += strlen(at) + 1)
        if (!strcmp(at, channel)) return at;
    return NULL;
}

bool model_conn_listens(const struct model_conn *conn, const char *channel)
{
    return conn->phase != PHASE_GONE && find(conn, channel);
}

static void set(struct model_conn *conn, const char *channel, bool listens)
{
    const char *there = find(conn, channel);
    if (listens && !there) model_put_string(&conn->channels, channel);
    if (listens || !there) return;
    struct sim_bytes kept = { 0 };
    const char *at = (const char *)conn->channels.at + conn->channels.head, *end = at + conn->channels.size;
    for (; at < end; at += strlen(at) + 1)
        if (at != there) model_put_string(&kept, at);
    sim_bytes_free(&conn->channels);
    conn->channels = kept;
}

/* ---- news ---- */

static void hear(struct model_conn *conn, uint32_t pid, const char *channel, const char *payload)
{
    size_t begun = model_put_begin(&conn->news, 'A');
    model_put_u32(&conn->news, pid);
    model_put_string(&conn->news, channel);
    model_put_string(&conn->news, payload);
    model_put_end(&conn->news, begun);
    model_tell_news(conn);
}

void model_put_news(struct model_conn *conn)
{
    if (!conn->news.size) return;
    sim_bytes_put(&conn->output, conn->news.at + conn->news.head, conn->news.size);
    sim_bytes_take(&conn->news, NULL, conn->news.size);
}

void model_tell_news(struct model_conn *conn)
{
    bool idle = conn->phase == PHASE_READY && conn->tx == TX_NONE && !conn->running && !conn->simple && !conn->busy;
    if (!idle || !conn->news.size || conn->exiting || conn->skipping) return;
    model_put_news(conn);
    model_flush(conn);
}

static unsigned notify(struct model_server *whole, uint32_t pid, const char *channel, const char *payload)
{
    unsigned n = 0;
    for (struct model_server *s = whole; s; s = s->sibling)
        for (size_t i = 0; i < s->conn_count; i++) {
            if (!model_conn_listens(s->conns[i], channel)) continue;
            hear(s->conns[i], pid, channel, payload);
            n++;
        }
    return n;
}

unsigned model_server_notify(struct model_server *server, const char *channel, const char *payload)
{
    return notify(server->whole, 1, channel, payload);
}

void model_wishes_come_true(struct model_conn *conn)
{
    const char *at = (const char *)conn->wishes.at + conn->wishes.head, *end = at + conn->wishes.size;
    while (at < end) {
        char verb = *at++;
        const char *channel = at, *payload = at + strlen(at) + 1;
        at = payload + strlen(payload) + 1;
        switch (verb) {
        case 'L': set(conn, channel, true); break;
        case 'U': set(conn, channel, false); break;
        case '*': sim_bytes_take(&conn->channels, NULL, conn->channels.size); break;
        default: notify(conn->server->whole, conn->pid, channel, payload); break;
        }
    }
    sim_bytes_take(&conn->wishes, NULL, conn->wishes.size);
}

void model_notify_free(struct model_conn *conn)
{
    sim_bytes_free(&conn->channels);
    sim_bytes_free(&conn->wishes);
    sim_bytes_free(&conn->news);
}
