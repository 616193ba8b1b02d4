/* conn/feed.c - bytes of one connection: received into the input buffer and fed to the session in place, pulled from
 * the session and sent; events to queries and owner.
 *
 * The input buffer holds [in_at, in_end) that is not fed yet. It is compacted only when a receive is about to be armed,
 * and never while a row is looked at (paused). Output is encoded when it is about to be sent and not before: a request
 * that is given up earlier leaves no trace, and one buffer is enough, since nothing can be sent while a send is in
 * flight. Where there is a transform, it stands between these two buffers and two of its own, which are the host's. */
#include <errno.h>
#include <string.h>
#include "conn/copy.h"
#include "conn/internal.h"
#include "conn/saslprep.h"

enum { PBKDF2_SLICE = 1024 }; /* iterations per turn: about 0.15 ms */

/* ---- buffers ---- */

static void put_in(struct rp_conn *c)
{
    if (c->in != c->in_small) rp_slab_put(c->reactor, c->in, c->in_capacity);
    c->in = c->in_small;
    c->in_capacity = RP_CONN_IN;
}
static void put_out(struct rp_conn *c)
{
    if (c->waiting.at) return; /* the other half of a pair */
    if (c->out != c->out_small) rp_slab_put(c->reactor, c->out, c->out_capacity);
    c->out = c->out_small;
    c->out_capacity = RP_CONN_OUT;
}
static void wipe_out(struct rp_conn *c)
{
    if (c->out_secret) explicit_bzero(c->out, c->out_capacity);
    c->out_secret = false;
}

void rp_conn_small_buffers(struct rp_conn *c)
{
    rp_conn_forget_row(c);
    wipe_out(c);
    put_in(c);
    rp_conn_copy_over(c);
    put_out(c);
    c->in_at = c->in_end = c->out_at = c->out_end = 0;
    c->long_answer = false;
}

/* False: there is no memory for it. */
static bool grow_in(struct rp_conn *c, size_t bytes)
{
    size_t left = c->in_end - c->in_at;
    uint8_t *large = rp_slab_get(c->reactor, &bytes);
    if (!large) return false;
    memcpy(large, c->in + c->in_at, left);
    put_in(c);
    c->in = large;
    c->in_capacity = bytes;
    c->in_at = 0;
    c->in_end = left;
    return true;
}

/* In the middle of what the server goes on sending for a while. */
static bool streams(const struct rp_conn *c)
{
    bool large = c->session.rest == RP_REST_ROW && c->session.pieces.value_left > RP_CONN_IN;
    return large || c->long_answer || c->session.copying == RP_STEP_COPY_OUT;
}

/* Makes the next message fit. False: there is no memory for it. */
static bool make_room(struct rp_conn *c)
{
    size_t left = c->in_end - c->in_at;
    if (c->paused && !RP_PLANT(moved_under_pause)) return true;
    rp_conn_forget_row(c);
    if (left == 0) {
        c->in_at = c->in_end = 0;
        if (c->in_need <= RP_CONN_IN && !streams(c)) put_in(c);
    }
    /* The more comes at once, the less often it has to be asked for; if there is no memory it goes without. */
    if (streams(c) && c->in_capacity < RP_COPY_BUFFER && grow_in(c, RP_COPY_BUFFER)) return true;
    if (c->in_need > c->in_capacity) return grow_in(c, c->in_need);
    if (c->in_at && (c->in_need > c->in_capacity - c->in_at || c->in_capacity - c->in_end < RP_CONN_IN / 4)) {
        memmove(c->in, c->in + c->in_at, left);
        c->in_at = 0;
        c->in_end = left;
    }
    return true;
}

/* ---- receiving ---- */

static void fail(struct rp_conn *c, int code, const char *text, bool ended)
{
    struct pg_error why;
    rp_error_set(&why, code, "%s", text);
    rp_conn_fail(c, &why, ended);
}

static void in_tls(struct rp_conn *c)
{
    struct rp_transform *t = c->coded.transform;
    uint8_t binding[RP_SCRAM_BINDING];
    rp_session_in_tls(&c->session, binding, t->ops->binding(t, binding));
}

/* The server agrees to it, and has said nothing behind that. */
static void begin_tls(struct rp_conn *c)
{
    RP_ASSERT(c->in_at == c->in_end && c->security);
    if (rp_coded_open(&c->coded, c->reactor, &c->security->transform)) fail(c, -ENOMEM, pg_error_text(-ENOMEM), false);
}

/* What the transform has to say, as much as there is room for. False: nothing before more is received. */
static bool pull(struct rp_conn *c)
{
    struct rp_transform *t = c->coded.transform;
    bool any = false;
    while (c->in_end < c->in_capacity && !c->over && !(any && RP_PLANT(record_left))) {
        ptrdiff_t n = t->ops->read(t, c->in + c->in_end, c->in_capacity - c->in_end);
        if (n == 0) break;
        any = true;
        if (n > 0) {
            if (!c->session.tls) in_tls(c);
            c->in_end += (size_t)n;
        } else {
            c->over = c->over_inside = true;
            c->over_result = (int32_t)n;
        }
    }
    return any;
}

static size_t receivable(const struct rp_conn *c)
{
    return rp_coded_on(&c->coded) ? RP_CODED_IN : c->in_capacity - c->in_end;
}

static int receive(struct rp_conn *c)
{
    uint8_t *at = rp_coded_on(&c->coded) ? c->coded.in : c->in + c->in_end;
    return rp_host_recv(c->reactor, &c->socket, at, receivable(c), &c->received);
}

static void arm(struct rp_conn *c)
{
    if (RP_PLANT(receive_armed_twice)) c->receiving = false;
    if (c->receiving || c->ended || c->over || c->state == RP_CONN_CLOSING || c->state == RP_CONN_CLOSED || !c->bound)
        return;
    if (c->state == RP_CONN_ENDING) c->in_at = c->in_end = c->in_need = 0; /* only its end is of interest */
    if (c->ready.queued && c->in_at < c->in_end && !c->paused) return;     /* not fed yet; the feed arms */
    if (!make_room(c)) {
        fail(c, PG_E_FULL, "no memory for a message (pg_reactor_config.slab_bytes)", false);
        return;
    }
    if (c->in_end == c->in_capacity) return; /* paused with a full buffer */
    if (rp_coded_on(&c->coded) && c->state != RP_CONN_ENDING && !RP_PLANT(record_left) && pull(c)) {
        rp_ready(c->reactor, &c->ready);
        return;
    }
    int rc = receive(c);
    if (rc == 0) {
        c->receiving = true;
        if (c->drained && !c->paused && streams(c)) rp_stream(c->reactor);
    } else if (rc == -EAGAIN) {
        rp_flush(c->reactor, &c->flush);
    } else {
        fail(c, rc, pg_error_text(rc), true);
    }
}

/* The stream is at its end; `error` is what the sending side met before, or 0. */
static void fail_at_end(struct rp_conn *c, int error, bool ended)
{
    if (error && error != -EPIPE) fail(c, error, pg_error_text(error), ended);
    else
        fail(c, PG_E_LOST,
             c->heard ? "the server closed the connection" : "the server closed the connection without a word", ended);
}

/* The socket's own end is awaited like after a Terminate; there is nothing to say any more. */
static void end_inside(struct rp_conn *c, int32_t res)
{
    c->over = c->over_inside = false;
    c->session.phase = RP_PHASE_BROKEN;
    if (res == RP_TRANSFORM_END) fail_at_end(c, 0, false);
    else fail(c, c->coded.transform->certain ? PG_E_CONFIG : PG_E_PROTOCOL, c->coded.transform->why, false);
}

static void tell_end(struct rp_conn *c, int32_t res)
{
    if (c->over_inside) end_inside(c, res);
    else if (res == 0) fail_at_end(c, c->send_error, true);
    else fail(c, res, pg_error_text(res), true);
}

static void decode(struct rp_conn *c, size_t n)
{
    struct rp_transform *t = c->coded.transform;
    if (t->ops->feed(t, c->coded.in, n)) {
        c->over = c->over_inside = true;
        c->over_result = RP_TRANSFORM_FAILED;
    }
    (void)pull(c);
    rp_conn_feed(c);
}

/* Rows that wait for a resume, outcomes that wait for the next turn's budget. */
static bool anything_to_feed(const struct rp_conn *c)
{
    return c->paused ? c->in_at < c->in_end : c->ready.queued && !c->session.wait_key;
}

void rp_conn_on_received(struct pg_completion *completion, int32_t res)
{
    struct rp_conn *c = RP_CONTAINER(completion, struct rp_conn, received);
    c->receiving = false;
    if (c->state == RP_CONN_CLOSING) {
        rp_ready(c->reactor, &c->ready);
    } else if (res > 0) {
        c->heard = c->reached = true;
        c->drained = (size_t)res < receivable(c);
        /* Until its end is found; what a listener hears has none. */
        if (!c->drained && rp_session_in_flight(&c->session) > 0) c->long_answer = true;
        if (c->state == RP_CONN_ENDING) rp_flush(c->reactor, &c->flush);
        else if (rp_coded_on(&c->coded)) decode(c, (size_t)res);
        else c->in_end += (size_t)res, rp_conn_feed(c);
    } else if (rp_conn_retryable(res)) {
        rp_flush(c->reactor, &c->flush);
    } else if (c->state == RP_CONN_ENDING) {
        rp_conn_close_now(c);
    } else if (res == 0 && c->sending && !c->heard) {
        /* A refused connect: the send in flight knows the reason. */
        c->ended = true;
        rp_host_shutdown(c->reactor, &c->socket, SHUT_RDWR);
    } else if (anything_to_feed(c)) {
        c->over = true;
        c->over_result = res;
    } else {
        tell_end(c, res);
    }
}

/* ---- sending ---- */

static void say_end(struct rp_conn *c)
{
    if (c->shut || rp_session_has_output(&c->session)) return;
    if (rp_coded_on(&c->coded) && !c->coded.ended) {
        rp_coded_end(&c->coded); /* that is said first */
        rp_flush(c->reactor, &c->flush);
        return;
    }
    c->shut = true;
    rp_host_shutdown(c->reactor, &c->socket, SHUT_WR);
}

/* What is to be sent next; 0: nothing. */
static size_t to_send(struct rp_conn *c, const uint8_t **at)
{
    struct rp_coded *coded = &c->coded;
    *at = c->out + c->out_at;
    if (!rp_coded_on(coded)) return c->out_end - c->out_at;
    ptrdiff_t taken = rp_coded_encode(coded, *at, c->out_end - c->out_at);
    c->out_at = taken < 0 ? c->out_end : c->out_at + (size_t)taken;
    if (taken < 0 && c->state != RP_CONN_ENDING) end_inside(c, RP_TRANSFORM_FAILED);
    if (c->state == RP_CONN_CLOSING) return 0;
    *at = coded->out + coded->at;
    return coded->end - coded->at;
}

/* Output where there is none left. False: it is held. */
static bool refill(struct rp_conn *c)
{
    if (rp_conn_copy_swap(c)) {
        if (c->room_wanted) rp_ready(c->reactor, &c->ready);
    } else {
        bool says = c->session.say; /* the end of a COPY is no new request */
        if (c->held && c->state == RP_CONN_OPEN && !says) return false;
        if (rp_session_pending_bytes(&c->session) > RP_CONN_OUT && c->out == c->out_small) {
            size_t bytes = RP_CONN_OUT_LARGE;
            uint8_t *large = rp_slab_get(c->reactor, &bytes);
            if (large) c->out = large, c->out_capacity = bytes;
        }
        c->out_secret = c->session.phase != RP_PHASE_READY;
        c->out_end = rp_session_output(&c->session, c->out, c->out_capacity);
        if (c->trace.sink) rp_trace_client(&c->trace, c->out, c->out_end);
    }
    return true;
}

static void send_more(struct rp_conn *c)
{
    if (RP_PLANT(send_buffer_reused) && c->sending) (rp_coded_on(&c->coded) ? c->coded.out : c->out)[c->out_at]++;
    if (c->sending || c->send_error || c->over) return;
    if (c->out_at == c->out_end) c->out_at = c->out_end = 0;
    if (c->out_end == 0 && !refill(c)) return;
    const uint8_t *at;
    size_t n = to_send(c, &at);
    if (n == 0) {
        if (c->out_at == c->out_end) put_out(c);
        if (c->state == RP_CONN_ENDING) say_end(c);
        return;
    }
    int rc = rp_host_send(c->reactor, &c->socket, at, n, &c->sent);
    if (rc == -EAGAIN && RP_PLANT(again_taken_for_sent)) rc = 0;
    if (rc == 0) c->sending = true;
    else if (rc == -EAGAIN) rp_flush(c->reactor, &c->flush);
    else fail(c, rc, pg_error_text(rc), true);
}

void rp_conn_on_sent(struct pg_completion *completion, int32_t res)
{
    struct rp_conn *c = RP_CONTAINER(completion, struct rp_conn, sent);
    c->sending = false;
    if (c->state == RP_CONN_CLOSING) {
        rp_ready(c->reactor, &c->ready);
        return;
    }
    if (c->ended) {
        fail_at_end(c, res < 0 ? res : 0, true);
        return;
    }
    if (res < 0 && !rp_conn_retryable(res)) {
        /* The reason may still stand in what the server sent before it went away: what was received is read to its end.
         */
        c->send_error = res;
        rp_host_shutdown(c->reactor, &c->socket, SHUT_RDWR);
        if (!c->receiving && !c->ready.queued && !c->over) fail(c, res, pg_error_text(res), true);
        return;
    }
    bool coded = c->coded.at < c->coded.end; /* else it was the request for TLS, to which the answer was faster */
    size_t *moved = coded ? &c->coded.at : &c->out_at, end = coded ? c->coded.end : c->out_end;
    if (res > 0 && RP_PLANT(short_send_dropped)) res = (int32_t)(end - *moved);
    if (res > 0) *moved += (size_t)res, c->reached = true;
    if (c->out_at == c->out_end) {
        wipe_out(c);
        c->out_at = c->out_end = 0;
    }
    bool more = c->out_end || rp_coded_on(&c->coded) || rp_session_has_output(&c->session) || c->out != c->out_small;
    if (more || c->state == RP_CONN_ENDING) rp_flush(c->reactor, &c->flush);
    if (c->out_end || !c->waiting.at) return;
    if (rp_conn_copy_swap(c)) rp_flush(c->reactor, &c->flush);
    rp_conn_copy_tell(c);
}

/* One SEND, then the receive: the answer to the one finds the other armed. */
void rp_conn_flush(struct rp_node *node)
{
    struct rp_conn *c = RP_CONTAINER(node, struct rp_conn, flush);
    if (c->state == RP_CONN_CLOSED || c->state == RP_CONN_CLOSING || !c->bound) return;
    send_more(c);
    arm(c);
}

/* ---- events ---- */

static void need_key(struct rp_conn *c)
{
    const struct rp_scram *scram = &c->session.scram;
    const char *password = c->session.config->password;
    size_t known = c->keys ? RP_COUNT(c->keys->salted) : 0; /* of this password */
    for (size_t i = 0; i < known; i++) {
        const struct rp_salted *k = &c->keys->salted[i];
        if (k->iterations == scram->iterations && k->salt_size == scram->salt_size &&
            !memcmp(k->salt, scram->salt, k->salt_size)) {
            rp_session_key(&c->session, k->key);
            return;
        }
    }
    char *prepared = rp_saslprep(password);
    if (prepared) password = prepared;
    rp_pbkdf2_start(&c->pbkdf2, password, strlen(password), scram->salt, scram->salt_size, scram->iterations);
    rp_saslprep_free(prepared);
    rp_flush(c->reactor, &c->ready); /* what is ready may run many times in one turn, this once */
}

void rp_conn_derive(struct rp_conn *c)
{
    const struct rp_scram *scram = &c->session.scram;
    struct rp_keys *keys = c->keys;
    struct rp_salted fresh = { .salt_size = scram->salt_size, .iterations = scram->iterations };
    if (!rp_pbkdf2_run(&c->pbkdf2, PBKDF2_SLICE, fresh.key)) {
        rp_flush(c->reactor, &c->ready);
        return;
    }
    memcpy(fresh.salt, scram->salt, scram->salt_size);
    if (keys) keys->salted[keys->next++ % RP_COUNT(keys->salted)] = fresh;
    rp_session_key(&c->session, fresh.key);
    explicit_bzero(&fresh, sizeof fresh);
    rp_conn_feed(c);
}

/* False: the owner ended the connection for it. */
static bool tell_parameter(struct rp_conn *c)
{
    if (c->state != RP_CONN_OPEN || c->parameter_changes == c->session.parameter_changes) return true;
    c->parameter_changes = c->session.parameter_changes;
    c->config->ops->parameter(c);
    return c->state == RP_CONN_OPEN;
}

/* One event. True: there may be more. */
static bool deliver(struct rp_conn *c, const struct rp_event *ev)
{
    const struct rp_conn_ops *ops = c->config->ops;
    if (!tell_parameter(c)) return false;
    switch (ev->kind) {
    case RP_EVENT_MORE: c->in_need = ev->need; return false;
    case RP_EVENT_TLS: begin_tls(c); return c->state == RP_CONN_CONNECTING;
    case RP_EVENT_KEY: need_key(c); return !c->session.wait_key;
    case RP_EVENT_READY:
        rp_conn_move(c, RP_CONN_OPEN);
        c->parameter_changes = c->session.parameter_changes;
        c->session.config = &c->config->session;
        c->login = NULL;
        ops->up(c);
        return true;
    case RP_EVENT_COLUMNS: rp_conn_describe(c, ev); return true;
    case RP_EVENT_ROW: rp_conn_deliver_row(c, ev); return true;
    case RP_EVENT_PIECE: rp_conn_deliver_piece(c, ev); return true;
    case RP_EVENT_COPY: rp_conn_copy_begin(c, ev); return true;
    case RP_EVENT_DATA: rp_conn_copy_data(c, ev); return true;
    case RP_EVENT_NOTICE: ops->notice(c, &c->session.notice); return true;
    case RP_EVENT_NOTIFICATION: ops->notification(c, &c->session.notification); return true;
    case RP_EVENT_OUTCOME:
    case RP_EVENT_HEAL:
        if (ev->query) rp_query(ev->query)->columns = ev->columns;
        rp_conn_set_due(c, rp_session_in_flight(&c->session) > 0);
        c->long_answer = false;
        rp_conn_copy_over(c);
        if (ev->kind == RP_EVENT_HEAL) ops->heal(c, ev->query);
        else ops->outcome(c, ev->query);
        return true;
    case RP_EVENT_BROKEN: break;
    }
    rp_conn_fail(c, &c->session.error, false);
    return false;
}

void rp_conn_feed(struct rp_conn *c)
{
    if (!c->paused) rp_conn_forget_row(c);
    rp_conn_copy_tell(c);
    if (c->state != RP_CONN_OPEN && c->state != RP_CONN_CONNECTING) return;
    while (!c->paused) {
        size_t used;
        struct rp_event ev;
        rp_session_find(&c->session, c->in + c->in_at, c->in_end - c->in_at, &used, &ev);
        if (c->trace.sink) rp_trace_server(&c->trace, c->in + c->in_at, used);
        c->in_at += used;
        if (!deliver(c, &ev)) break;
        if (c->state != RP_CONN_OPEN && c->state != RP_CONN_CONNECTING) return;
        if (!rp_budget_take(c->reactor)) {
            rp_ready(c->reactor, &c->ready);
            return;
        }
    }
    if (c->over && !c->paused && (c->state == RP_CONN_OPEN || c->state == RP_CONN_CONNECTING))
        tell_end(c, c->over_result);
    else rp_flush(c->reactor, &c->flush);
}
