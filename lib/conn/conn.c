/* conn/conn.c - the life of a connection's descriptor: connecting over the known addresses, the teardown in its order,
 * and the transitions between the states in the header. Bytes and events are in feed.c. */
#include "conn/conn.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include "conn/copy.h"
#include "conn/internal.h"
#include "conn/texts.h"

static const uint8_t legal[RP_CONN_STATES] = {
    [RP_CONN_CLOSED] = 1 << RP_CONN_CONNECTING,
    [RP_CONN_CONNECTING] = 1 << RP_CONN_OPEN | 1 << RP_CONN_ENDING | 1 << RP_CONN_CLOSING,
    [RP_CONN_OPEN] = 1 << RP_CONN_ENDING | 1 << RP_CONN_CLOSING,
    [RP_CONN_ENDING] = 1 << RP_CONN_CLOSING,
    [RP_CONN_CLOSING] = 1 << RP_CONN_CLOSED | 1 << RP_CONN_CONNECTING, /* the next address */
};

void rp_conn_move(struct rp_conn *c, enum rp_conn_state state)
{
    RP_ASSERT(legal[c->state] & 1 << state);
    c->state = state;
    rp_timer_stop(c->reactor, &c->timer);
}

/* ---- connecting ---- */

/* Best effort, as in libpq: a socket that refuses an option still serves. */
static void set_options(struct rp_conn *c)
{
    const struct rp_conn_config *config = c->config;
    if (c->socket.flags & PG_SOCKET_UNIX) return;
    const struct { int level, name; uint32_t value; } options[] = {
        { SOL_SOCKET, SO_KEEPALIVE, config->keepalives },
        { IPPROTO_TCP, TCP_KEEPIDLE, config->keepalives_idle_s },
        { IPPROTO_TCP, TCP_KEEPINTVL, config->keepalives_interval_s },
        { IPPROTO_TCP, TCP_KEEPCNT, config->keepalives_count },
        { IPPROTO_TCP, TCP_USER_TIMEOUT, config->tcp_user_timeout_ms },
    };
    for (size_t i = 0; i < RP_COUNT(options); i++)
        if (options[i].value)
            (void)!setsockopt(c->socket.fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

static enum rp_way way_of(const struct rp_conn *c) { return c->security ? c->security->way[c->way] : RP_WAY_PLAIN; }

static int open_socket(struct rp_conn *c)
{
    const struct rp_address *a = &c->addresses[c->address];
    uint8_t entropy[18];
    c->peer = *a;
    int rc = rp_host_entropy(c->reactor, entropy, sizeof entropy);
    enum rp_way way = way_of(c);
    if (!rc && way == RP_WAY_DIRECT) rc = rp_coded_open(&c->coded, c->reactor, &c->security->transform);
    if (rc) return rc;
    c->socket =
        (struct pg_socket){ .fd = -1, .flags = PG_SOCKET_STREAM | (a->at.ss_family == AF_UNIX ? PG_SOCKET_UNIX : 0) };
    rc = rp_host_open(c->reactor, &c->socket, (const struct sockaddr *)&a->at, a->size);
    if (rc) return rc;
    rc = rp_conn_check_peer(c->config, &c->socket, &c->why);
    if (!rc) rc = rp_host_bind(c->reactor, &c->socket);
    if (rc) {
        rp_host_close(c->reactor, &c->socket);
        return rc;
    }
    c->bound = true;
    set_options(c);
    rp_session_init(&c->session, c->login ? c->login : &c->config->session, c->entries, c->prepared, entropy);
    if (c->held_texts) rp_session_keep_texts(&c->session, c->held_texts);
    if (c->trace.sink) rp_trace_begin(&c->trace);
    if (way == RP_WAY_OFFERED || way == RP_WAY_DEMANDED) rp_session_ask_tls(&c->session, way == RP_WAY_DEMANDED);
    return 0;
}

static void connect_next(struct rp_conn *c)
{
    c->sending = c->receiving = c->shut = c->heard = c->reached = false;
    c->again = RP_AGAIN_NO;
    c->ended = c->over = c->over_inside = false;
    c->send_error = 0;
    c->in_at = c->in_end = c->in_need = c->out_at = c->out_end = 0;
    c->paused = NULL;
    rp_conn_move(c, RP_CONN_CONNECTING);
    c->why.code = 0;
    int rc = c->naddresses ? open_socket(c) : -EADDRNOTAVAIL;
    if (rc) {
        if (!c->why.code) rp_error_set(&c->why, rc, "%s", pg_error_text(rc));
        rp_ready(c->reactor, &c->ready);
        return;
    }
    c->deadline_ns = rp_now(c->reactor) + c->config->connect_timeout_ns;
    rp_timer_start(c->reactor, &c->timer, c->deadline_ns);
    rp_flush(c->reactor, &c->flush);
}

void rp_conn_log_in(struct rp_conn *c, const struct rp_session_config *login, struct rp_keys *keys)
{
    RP_ASSERT(c->state == RP_CONN_CLOSED);
    c->login = login;
    c->keys = login ? keys : c->config->keys;
}

void rp_conn_open(struct rp_conn *c, const struct rp_address *addresses, size_t naddresses,
                  const struct rp_security *security)
{
    c->security = security;
    c->way = 0;
    c->addresses = addresses;
    c->naddresses = naddresses;
    c->address = 0;
    c->abandoned = 0;
    c->why.code = 0;
    connect_next(c);
}

/* ---- the end ---- */

/* Both sides shut; what is in flight completes, and then rp_conn_step finishes. */
void rp_conn_close_now(struct rp_conn *c)
{
    rp_conn_move(c, RP_CONN_CLOSING);
    if (RP_PLANT(buffer_freed_on_cancel)) rp_conn_small_buffers(c);
    if (c->bound) {
        rp_host_shutdown(c->reactor, &c->socket, SHUT_RDWR);
        if (c->sending) rp_host_cancel(c->reactor, &c->socket, &c->sent);
        if (c->receiving) rp_host_cancel(c->reactor, &c->socket, &c->received);
    }
    rp_ready(c->reactor, &c->ready);
}

void rp_conn_end(struct rp_conn *c)
{
    c->again = RP_AGAIN_NO;
    if (c->state == RP_CONN_CONNECTING && !c->reached) {
        rp_conn_close_now(c);
        return;
    }
    if (c->state != RP_CONN_OPEN && c->state != RP_CONN_CONNECTING) return;
    if (c->over_inside) { /* nobody listens, and the socket's own end is still to come */
        c->over = c->over_inside = false;
        c->session.phase = RP_PHASE_BROKEN;
    }
    if (c->over || RP_PLANT(freed_before_eof)) { /* there is nobody to say it to */
        rp_conn_set_due(c, false);
        rp_conn_close_now(c);
        return;
    }
    rp_conn_move(c, RP_CONN_ENDING);
    /* A message that is half written stays so: then there is nothing to say but the end of the stream. */
    rp_conn_copy_fail(c, "the connection is closed");
    if (c->session.phase == RP_PHASE_READY && c->session.written == 0) rp_session_terminate(&c->session);
    else c->session.phase = RP_PHASE_BROKEN;
    c->paused = NULL;
    rp_conn_set_due(c, false);
    rp_timer_start(c->reactor, &c->timer, rp_now(c->reactor) + c->config->close_linger_ns);
    rp_flush(c->reactor, &c->flush);
}

/* It may have failed for the way in which it was secured, or was not. */
static bool other_way_helps(const struct rp_conn *c, const struct pg_error *why)
{
    bool last = !c->security || c->way + 1 >= RP_COUNT(c->security->way) || !c->security->way[c->way + 1];
    bool tried = way_of(c) == RP_WAY_PLAIN || rp_coded_on(&c->coded); /* else the server has said that it has none */
    if (last || !tried) return false;
    if (rp_coded_on(&c->coded) && !c->session.tls) return true;
    return why->code == PG_E_SERVER && !strcmp(pg_error_field(why, 'C'), "28000");
}

/* The connection is of no more use. Before `up` the next address may be. */
void rp_conn_fail(struct rp_conn *c, const struct pg_error *why, bool ended)
{
    bool connecting = c->state == RP_CONN_CONNECTING;
    /* What one server refuses by its own word, another address of it refuses too. */
    bool other = c->address + 1 < c->naddresses && why->code != PG_E_SERVER && why->code != PG_E_CONFIG;
    int again = !connecting                ? RP_AGAIN_NO
                : other_way_helps(c, why)  ? RP_AGAIN_WAY
                : other                    ? RP_AGAIN_ADDRESS
                                           : RP_AGAIN_NO;
    struct pg_error copy = *why;
    if (ended) rp_conn_close_now(c);
    else rp_conn_end(c);
    c->again = again;
    if (again) return;
    rp_conn_set_due(c, false);
    c->config->ops->down(c, &copy);
}

static void finish(struct rp_conn *c)
{
    if ((c->sending || c->receiving) && !RP_PLANT(closed_in_flight)) return;
    if (c->bound) {
        rp_host_unbind(c->reactor, &c->socket);
        rp_host_close(c->reactor, &c->socket);
        c->bound = false;
    }
    rp_coded_close(&c->coded, c->reactor);
    rp_unqueue(c->reactor, &c->flush);
    rp_conn_small_buffers(c);
    if (c->again) {
        c->way = c->again == RP_AGAIN_WAY ? c->way + 1 : 0;
        c->address += c->again == RP_AGAIN_ADDRESS;
        connect_next(c);
        return;
    }
    rp_conn_move(c, RP_CONN_CLOSED);
    c->config->ops->closed(c);
}

/* The ready queue's call: whatever could not be done where it was found. */
static void step(struct rp_node *node)
{
    struct rp_conn *c = RP_CONTAINER(node, struct rp_conn, ready);
    if (c->state == RP_CONN_CLOSING) {
        finish(c);
    } else if (c->state == RP_CONN_CONNECTING && !c->bound) {
        rp_conn_fail(c, &c->why, true); /* the socket could not even be opened */
    } else if (c->state == RP_CONN_CONNECTING && c->session.wait_key) {
        rp_conn_derive(c);
    } else if (c->state == RP_CONN_CONNECTING || c->state == RP_CONN_OPEN) {
        rp_conn_feed(c);
    }
}

static void fire(struct rp_timer *timer)
{
    struct rp_conn *c = RP_CONTAINER(timer, struct rp_conn, timer);
    struct pg_error why;
    if (c->state == RP_CONN_ENDING) {
        c->abandoned++;
        rp_conn_close_now(c);
        return;
    }
    RP_ASSERT(c->state == RP_CONN_CONNECTING);
    rp_error_set(&why, -ETIMEDOUT, "the connection was not established within %llu ms",
                 (unsigned long long)(c->config->connect_timeout_ns / 1000000));
    rp_conn_fail(c, &why, false);
}

/* ---- memory ---- */

static size_t prepared_bytes(const struct rp_conn_config *config)
{
    return config->session.statements + 1 + (config->texts ? config->texts->view.places : 0);
}

int rp_conn_init(struct rp_conn *c, struct pg_reactor *r, const struct rp_conn_config *config)
{
    *c = (struct rp_conn){ .reactor = r, .config = config, .keys = config->keys, .socket = { .fd = -1 } };
    c->ready.run = step;
    c->flush.run = rp_conn_flush;
    c->timer.fire = fire;
    c->sent.complete = rp_conn_on_sent;
    c->received.complete = rp_conn_on_received;
    c->in = c->in_small = rp_alloc(r, RP_CONN_IN);
    c->out = c->out_small = rp_alloc(r, RP_CONN_OUT);
    c->in_capacity = RP_CONN_IN;
    c->out_capacity = RP_CONN_OUT;
    c->entries = rp_alloc(r, config->session.entries * sizeof *c->entries);
    c->prepared = rp_alloc(r, prepared_bytes(config));
    if (config->texts) c->held_texts = rp_alloc(r, config->texts->view.places * sizeof *c->held_texts);
    c->trace.sink = config->trace;
    if (config->trace) c->trace.whole = rp_alloc(r, RP_TRACE_WHOLE);
    bool optional = (c->held_texts || !config->texts) && (c->trace.whole || !config->trace);
    return c->in_small && c->out_small && c->entries && c->prepared && optional ? 0 : -ENOMEM;
}

void rp_conn_free(struct rp_conn *c)
{
    if (c->sending || c->receiving) return; /* the host may still write there */
    rp_coded_close(&c->coded, c->reactor);
    rp_conn_small_buffers(c);
    /* A password may have been on its way, a key half derived. */
    explicit_bzero(&c->session, sizeof c->session);
    explicit_bzero(&c->pbkdf2, sizeof c->pbkdf2);
    if (c->out_small) explicit_bzero(c->out_small, RP_CONN_OUT);
    if (c->in_small) rp_free(c->reactor, c->in_small, RP_CONN_IN);
    if (c->out_small) rp_free(c->reactor, c->out_small, RP_CONN_OUT);
    if (c->entries) rp_free(c->reactor, c->entries, c->config->session.entries * sizeof *c->entries);
    if (c->prepared) rp_free(c->reactor, c->prepared, prepared_bytes(c->config));
    if (c->held_texts) rp_free(c->reactor, c->held_texts, c->config->texts->view.places * sizeof *c->held_texts);
    if (c->columns) rp_free(c->reactor, c->columns, c->columns_size);
    if (c->trace.whole) explicit_bzero(c->trace.whole, RP_TRACE_WHOLE);
    if (c->trace.whole) rp_free(c->reactor, c->trace.whole, RP_TRACE_WHOLE);
    c->in_small = c->out_small = NULL;
}

void rp_conn_abandon_socket(struct rp_conn *c)
{
    if (c->bound) rp_host_close(c->reactor, &c->socket);
    c->bound = false;
    rp_timer_stop(c->reactor, &c->timer);
    rp_unqueue(c->reactor, &c->ready);
    rp_unqueue(c->reactor, &c->flush);
}

/* ---- requests ---- */

/* What has no plan and what leaves something behind gains nothing by a name. */
static void use_text(struct rp_conn *c, const struct pg_query *q)
{
    if (q->flags & (PG_QUERY_SIMPLE | PG_QUERY_UNNAMED)) return;
    const struct rp_query *rq = (const struct rp_query *)(const void *)q->private_;
    if (rq->waiter.sql_class != RP_SQL_PLAIN) return;
    uint32_t place = rp_texts_find(c->config->texts, q);
    if (place != RP_TEXT_NOWHERE) (void)rp_session_use_text(&c->session, rq->sequence, place);
}

void rp_conn_enqueue(struct rp_conn *c, struct pg_query *q, uint16_t flags)
{
    RP_ASSERT(c->state == RP_CONN_OPEN);
    rp_query(q)->sequence = rp_session_enqueue(&c->session, q, rp_query(q)->bind_size, flags);
    if (!q->statement && c->config->texts) use_text(c, q);
    rp_conn_set_due(c, true);
    rp_flush(c->reactor, &c->flush);
}

enum rp_detach rp_conn_detach(struct rp_conn *c, struct pg_query *q)
{
    if (c->paused == q) rp_conn_forget_row(c);
    bool copies = rp_conn_copies_in(c, q);
    enum rp_detach result = rp_session_detach(&c->session, rp_query(q)->sequence);
    if (copies) rp_conn_copy_fail(c, "the caller has gone away");
    rp_conn_set_due(c, rp_session_in_flight(&c->session) > 0);
    return result;
}

void rp_conn_hold(struct rp_conn *c, bool held)
{
    c->held = held;
    if (!held && c->state == RP_CONN_OPEN) rp_flush(c->reactor, &c->flush);
}

void rp_conn_resume(struct rp_conn *c, struct pg_query *q)
{
    if (c->paused != q) return;
    rp_conn_look_at_mark(c, q);
    rp_conn_let_go(c, q);
}

void rp_conn_let_go(struct rp_conn *c, const struct pg_query *q)
{
    if (c->paused != q) return;
    c->paused = NULL;
    rp_ready(c->reactor, &c->ready);
}
