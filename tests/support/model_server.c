/* support/model_server.c - the model server as a whole: its listener, the life of its backends, what tests ask of
 * it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include "support/model_private.h"

enum { LONGEST_MESSAGE = 1 << 30, LONGEST_STARTUP = 10000, UNREAD_POLL_NS = 100 * 1000, OUTPUT_BYTES = 8192 };

/* ---- output and endings ---- */
void model_flush(struct model_conn *conn)
{
    const struct sim_bytes *out = &conn->output;
    if (conn->toy && out->size) model_toy_send(conn, out->at + out->head, out->size);
    else if (conn->peer && out->size) sim_peer_send(conn->peer, out->at + out->head, out->size);
    sim_bytes_take(&conn->output, NULL, conn->output.size);
}

void model_close(struct model_conn *conn, bool reset)
{
    if (conn->phase == PHASE_GONE) return;
    conn->phase = PHASE_GONE;
    conn->busy = false; /* what was to come after a pause does not */
    model_rollback(conn);
    if (conn->backend) conn->server->whole->stats.connections_now--;
    conn->server->whole->stats.sockets_now--;
    conn->backend = false;
    model_flush(conn);
    if (!conn->peer) return;
    if (conn->toy && !reset) model_toy_end(conn);
    if (reset) sim_peer_reset(conn->peer);
    else if (conn->half) sim_peer_shut(conn->peer);
    else sim_peer_close(conn->peer);
}

static void exit_now(struct model_conn *conn)
{
    model_close(conn, conn->server->config.exit_resets);
}

void model_exit(struct model_conn *conn)
{
    if (conn->phase == PHASE_GONE || conn->exiting) return;
    conn->exiting = true;
    model_rollback(conn);
    model_flush(conn);
    if (conn->server->config.exit_delay_ns) model_pause_for(conn, conn->server->config.exit_delay_ns, exit_now);
    else exit_now(conn);
}

void model_fatal(struct model_conn *conn, const char *sqlstate, const char *message)
{
    model_put_error(&conn->output, 'E', "FATAL", sqlstate, message);
    model_close(conn, false);
}

void model_malformed(struct model_conn *conn, const char *message, const char *what)
{
    const struct model_config *config = &conn->server->config;
    char text[160];
    snprintf(text, sizeof text, "%s: %s", message, what);
    if (!config->malformed) sim_fail("the client sent a malformed message: %s", text);
    if (conn->phase == PHASE_GONE) return;
    config->malformed(config->malformed_arg, text);
    model_close(conn, true);
}

/* ---- a backend that is busy reads nothing until then ---- */

static void waited(struct sim_peer *peer, void *arg)
{
    struct model_conn *conn = peer->user;
    uint64_t serial = (uint64_t)(uintptr_t)arg;
    if (!conn->busy || conn->busy_serial != serial) return;
    void (*then)(struct model_conn *) = conn->then;
    conn->busy = false;
    then(conn);
    model_pump(conn);
}

void model_pause_for(struct model_conn *conn, uint64_t ns, void (*then)(struct model_conn *))
{
    conn->busy = true;
    conn->then = then;
    conn->busy_serial++;
    sim_peer_after(conn->peer, ns, waited, (void *)(uintptr_t)conn->busy_serial);
}

static void look_again(struct model_conn *conn)
{
    (void)conn;
}

/* ---- input ---- */
static bool message_is_here(struct model_conn *conn, char *type, const uint8_t **at, size_t *n)
{
    size_t head = conn->phase == PHASE_STARTUP ? 4 : 5;
    const uint8_t *in = conn->input.at + conn->input.head;
    if (conn->input.size < head) return false;
    const uint8_t *length = in + head - 4;
    size_t bytes = (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 | length[3];
    size_t longest = conn->phase == PHASE_STARTUP ? LONGEST_STARTUP : LONGEST_MESSAGE;
    if (bytes < 4 || bytes > longest) {
        model_malformed(conn, "length", "out of range");
        return false;
    }
    if (conn->input.size < head - 4 + bytes) return false;
    *type = head == 5 ? (char)in[0] : 0;
    *at = in + head;
    *n = bytes - 4;
    return true;
}

static void one_message(struct model_conn *conn, char type, const uint8_t *at, size_t n)
{
    switch (conn->phase) {
    case PHASE_STARTUP: model_startup_message(conn, at, n); break;
    case PHASE_PASSWORD:
    case PHASE_SASL_FIRST:
    case PHASE_SASL_FINAL:
        if (type == 'p') model_password_message(conn, at, n);
        else if (type == 'X') model_exit(conn);
        else model_malformed(conn, "authentication", "a message that is not a password");
        break;
    case PHASE_READY: model_message(conn, type, at, n); break;
    case PHASE_COPY_IN: model_copy_message(conn, type, at, n); break;
    case PHASE_GONE: break;
    }
}

static bool client_must_read(struct model_conn *conn)
{
    size_t limit = conn->server->config.unread_limit;
    bool must = limit && sim_peer_unread(conn->peer) >= limit;
    if (must) model_pause_for(conn, UNREAD_POLL_NS, look_again);
    return must;
}

void model_pump(struct model_conn *conn)
{
    char type;
    const uint8_t *at;
    size_t n;
    while (conn->phase != PHASE_GONE && !conn->busy && !client_must_read(conn)) {
        if (conn->simple && conn->phase != PHASE_COPY_IN) {
            model_simple_next(conn);
        } else if (message_is_here(conn, &type, &at, &n)) {
            size_t head = conn->phase == PHASE_STARTUP ? 4 : 5;
            one_message(conn, type, at, n);
            sim_bytes_take(&conn->input, NULL, head + n);
        } else {
            break;
        }
        if (conn->output.size >= OUTPUT_BYTES) model_flush(conn);
    }
    model_tell_news(conn);
    if (conn->phase != PHASE_GONE) sim_peer_pause(conn->peer, conn->busy && conn->server->config.unread_limit);
    if (conn->eof && !conn->busy && conn->phase != PHASE_GONE) {
        conn->server->whole->stats.eofs++;
        model_exit(conn);
    }
}

/* ---- the peer's callbacks ---- */
static void on_bytes(struct sim_peer *peer, const uint8_t *at, size_t n)
{
    struct model_conn *conn = peer->user;
    if (conn->toy) model_toy_bytes(conn, at, n);
    else sim_bytes_put(&conn->input, at, n);
    model_pump(conn);
}

static void on_eof(struct sim_peer *peer)
{
    struct model_conn *conn = peer->user;
    conn->eof = true;
    if (conn->half) sim_peer_close(peer);
    model_pump(conn);
}

static void on_gone(struct sim_peer *peer)
{
    struct model_conn *conn = peer->user;
    model_close(conn, false);
    model_toy_free(conn);
    conn->peer = NULL;
}

static uint16_t port_of(const struct sockaddr *address)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (address->sa_family == AF_UNIX) /* "...s.PGSQL.5432" */
        return (uint16_t)atoi(strrchr(((const struct sockaddr_un *)(const void *)address)->sun_path, '.') + 1);
    memcpy(&in, address, sizeof in);
    if (address->sa_family == AF_INET) return ntohs(in.sin_port);
    if (address->sa_family != AF_INET6) return 0;
    memcpy(&in6, address, sizeof in6);
    return ntohs(in6.sin6_port);
}

static enum sim_connect on_accept(void *arg, struct sim_peer *peer, const struct sockaddr *address)
{
    struct model_server *server = arg;
    if (server->config.port && server->config.port != port_of(address))
        return server->next ? server->next(server->next_arg, peer, address) : SIM_REFUSE;
    if (server->connects != SIM_ACCEPT) return server->connects;
    struct model_conn *conn = calloc(1, sizeof *conn);
    if (server->conn_count == server->conn_capacity) {
        server->conn_capacity = server->conn_capacity ? server->conn_capacity * 2 : 16;
        server->conns = realloc(server->conns, server->conn_capacity * sizeof(struct model_conn *));
    }
    if (!conn || !server->conns) sim_fail("out of memory");
    server->conns[server->conn_count++] = conn;
    conn->server = server;
    conn->peer = peer;
    conn->pid = server->whole->next_pid++;
    uint32_t key = (uint32_t)sim_random(server->config.sim, UINT32_MAX); /* in protocol 3.2 there is more behind it */
    memcpy(conn->key.at, &key, conn->key.size = sizeof key);
    if (server->config.toy == MODEL_TOY) model_toy_open(conn);
    *peer = (struct sim_peer){ .user = conn, .on_bytes = on_bytes, .on_eof = on_eof, .on_gone = on_gone };
    struct model_stats *stats = &server->whole->stats;
    if (++stats->sockets_now > stats->sockets_max) stats->sockets_max = stats->sockets_now;
    return SIM_ACCEPT;
}

/* ---- the server ---- */
struct model_server *model_server_open(const struct model_config *config)
{
    struct model_server *server = calloc(1, sizeof *server);
    if (!server) sim_fail("out of memory");
    server->config = *config;
    server->whole = config->of ? config->of : server;
    server->next_pid = 1000;
    if (config->of) {
        server->sibling = server->whole->sibling;
        server->whole->sibling = server;
    }
    server->next = config->sim->accept;
    server->next_arg = config->sim->accept_arg;
    sim_listen(config->sim, on_accept, server);
    return server;
}

static void conn_free(struct model_conn *conn)
{
    if (conn->peer) {
        conn->peer->on_gone = NULL;
        conn->peer->on_bytes = NULL;
        conn->peer->on_eof = NULL;
        model_close(conn, true);
    }
    for (size_t i = 0; i < conn->log_count; i++) free(conn->log[i]);
    free(conn->log);
    free(conn->simple);
    model_query_free(conn->running);
    model_copy_free(conn);
    model_statements_free(conn);
    model_portals_free(conn);
    model_scram_free(conn);
    model_toy_free(conn);
    sim_bytes_free(&conn->input);
    sim_bytes_free(&conn->output);
    sim_bytes_free(&conn->startup);
    sim_bytes_free(&conn->pending);
    sim_bytes_free(&conn->marks);
    model_notify_free(conn);
    free(conn);
}

void model_server_close(struct model_server *server)
{
    sim_listen(server->config.sim, NULL, NULL);
    for (struct model_server *s = server->whole; server->config.of && s; s = s->sibling)
        if (s->sibling == server) s->sibling = server->sibling;
    for (size_t i = 0; i < server->conn_count; i++) conn_free(server->conns[i]);
    free(server->conns);
    sim_bytes_free(&server->committed);
    free(server);
}

struct model_config *model_settings(struct model_server *server)
{
    return &server->config;
}

const struct model_stats *model_stats(const struct model_server *server)
{
    return &server->whole->stats;
}

void model_server_connects(struct model_server *server, enum sim_connect outcome)
{
    server->connects = outcome;
}

void model_server_refuse(struct model_server *server, const char *sqlstate)
{
    snprintf(server->refuse, sizeof server->refuse, "%s", sqlstate ? sqlstate : "");
}

void model_server_become(struct model_server *server, enum model_role role)
{
    server->config.role = role;
    for (size_t i = 0; i < server->conn_count && !server->config.version_13; i++) {
        struct model_conn *conn = server->conns[i];
        bool read_only = role == MODEL_READ_ONLY || conn->session_read_only;
        if (conn->phase != PHASE_READY) continue;
        model_conn_parameter_status(conn, "in_hot_standby", role == MODEL_STANDBY ? "on" : "off");
        model_conn_parameter_status(conn, "default_transaction_read_only", read_only ? "on" : "off");
    }
}

static void recovered(void *arg)
{
    model_server_refuse(arg, NULL);
}

static void listening(void *arg)
{
    struct model_server *server = arg;
    server->connects = SIM_ACCEPT;
    model_server_refuse(server, "57P03");
    sim_after(server->config.sim, server->refused_ns, recovered, server);
}

void model_server_restart(struct model_server *server, enum model_end how, uint64_t refused_ns)
{
    for (size_t i = 0; i < server->conn_count; i++) model_conn_end(server->conns[i], how, "57P01");
    if (!refused_ns) return;
    server->connects = SIM_REFUSE;
    server->refused_ns = refused_ns;
    sim_after(server->config.sim, refused_ns, listening, server);
}

void model_cancel(struct model_server *server, uint32_t pid, const struct model_key *key)
{
    for (size_t i = 0; i < server->conn_count; i++) {
        struct model_conn *conn = server->conns[i];
        if (conn->pid != pid || conn->phase == PHASE_GONE) continue;
        if (conn->key.size != key->size || memcmp(conn->key.at, key->at, key->size)) continue;
        if (!conn->running && !model_copy_cancel(conn)) continue;
        server->whole->stats.cancels_that_hit++;
        if (!conn->running) continue;
        conn->running->end = RESULT_ERROR;
        sim_bytes_take(&conn->running->rows, NULL, conn->running->rows.size);
        snprintf(conn->running->sqlstate, sizeof conn->running->sqlstate, "57014");
        snprintf(conn->running->text, sizeof conn->running->text, "canceling statement due to user request");
        model_pause_for(conn, 0, model_finish);
    }
}

/* ---- connections, from outside ---- */
size_t model_conn_count(const struct model_server *server)
{
    return server->conn_count;
}

struct model_conn *model_conn_at(const struct model_server *server, size_t index)
{
    if (index >= server->conn_count) sim_fail("connection %zu of %zu", index, server->conn_count);
    return server->conns[index];
}

bool model_conn_alive(const struct model_conn *conn)
{
    return conn->phase != PHASE_GONE;
}

bool model_conn_speaks_3_2(const struct model_conn *conn) { return conn->speaks_3_2; }
uint32_t model_conn_pid(const struct model_conn *conn)
{
    return conn->pid;
}

char model_conn_status(const struct model_conn *conn)
{
    static const char letters[] = { [TX_NONE] = 'I', [TX_IMPLICIT] = 'I', [TX_BLOCK] = 'T', [TX_FAILED] = 'E' };
    return conn->phase == PHASE_READY || conn->phase == PHASE_COPY_IN ? letters[conn->tx] : 0;
}

const char *model_conn_parameter(const struct model_conn *conn, const char *name)
{
    const char *at = (const char *)conn->startup.at, *end = at + conn->startup.size;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (!strcmp(at, name)) return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

size_t model_conn_sql_count(const struct model_conn *conn)
{
    return conn->log_count;
}

const char *model_conn_sql(const struct model_conn *conn, size_t index)
{
    if (index >= conn->log_count) sim_fail("statement %zu of %zu", index, conn->log_count);
    return conn->log[index];
}

size_t model_conn_statements(const struct model_conn *conn)
{
    size_t n = 0;
    for (const struct model_statement *s = conn->statements; s; s = s->next) n += s->name[0] != 0;
    return n;
}

void model_conn_end(struct model_conn *conn, enum model_end how, const char *sqlstate)
{
    if (conn->phase == PHASE_GONE) return;
    if (how == MODEL_END_FATAL) model_fatal(conn, sqlstate, "terminating connection due to administrator command");
    conn->half = how == MODEL_END_HALF;
    if (how != MODEL_END_FATAL) model_close(conn, how == MODEL_END_RESET);
}

void model_conn_send(struct model_conn *conn, const void *at, size_t n)
{
    sim_bytes_put(&conn->output, at, n);
    model_flush(conn);
}

void model_conn_notify(struct model_conn *conn, const char *channel, const char *payload)
{
    size_t begun = model_put_begin(&conn->output, 'A');
    model_put_u32(&conn->output, conn->pid);
    model_put_string(&conn->output, channel);
    model_put_string(&conn->output, payload);
    model_put_end(&conn->output, begun);
    model_flush(conn);
}

void model_conn_notice(struct model_conn *conn, const char *sqlstate, const char *message)
{
    model_put_error(&conn->output, 'N', "NOTICE", sqlstate, message);
    model_flush(conn);
}

void model_conn_parameter_status(struct model_conn *conn, const char *name, const char *value)
{
    model_put_status(&conn->output, name, value);
    model_flush(conn);
}

const int64_t *model_committed(const struct model_server *server, size_t *n)
{
    *n = server->whole->committed.size / sizeof(int64_t);
    return (const int64_t *)(const void *)(server->whole->committed.at + server->whole->committed.head);
}
