/* session/find.c - the loop over messages: bytes in, the next event out. What nearly every answer consists of goes
 * straight through here; what each message does otherwise, and whether it is legal, says the table in receive.c. */
#include "session/internal.h"
#include "wire/check.h"
#include "wire/error.h"

/* What is to be done before the next message is looked at. True: `*ev` is an event, or there is none. */
static bool before_message(struct rp_session *s, const uint8_t *at, size_t size, size_t *consumed, struct rp_event *ev)
{
    if (s->phase == RP_PHASE_BROKEN) {
        ev->kind = RP_EVENT_BROKEN;
        return true;
    }
    if (s->finishing && rp_session_next_outcome(s, ev)) return true;
    if (s->wait_key) return true;
    if (s->phase == RP_PHASE_TLS && rp_session_tls_answer(s, at, size, consumed, ev)) return true;
    return s->rest && rp_session_rest(s, at + *consumed, size - *consumed, consumed, ev);
}

/* A message that is not there as a whole, or is not as short as most. */
enum look { LOOK_WHOLE, LOOK_AGAIN, LOOK_OVER };
static enum look look_closer(struct rp_session *s, const uint8_t *at, size_t have, struct rp_frame *f, size_t *consumed,
                             struct rp_event *ev)
{
    bool ready = s->phase == RP_PHASE_READY;
    size_t need;
    int there = rp_frame_read(at, have, ready ? s->config->message_limit : 65536, f, &need);
    if (there < 0) {
        *ev = rp_session_break(s, PG_E_PROTOCOL,
                               ready ? "a message with an impossible length" : "the answer is not PostgreSQL's protocol");
        return LOOK_OVER;
    }
    bool head_is_here = have >= RP_FRAME_HEAD;
    if (head_is_here && (rp_session_copy_in_pieces(s, f, need) || rp_session_row_in_pieces(s, f, need))) {
        *consumed += RP_FRAME_HEAD;
        return LOOK_AGAIN;
    }
    if (rp_session_oversized(s, f, need)) return LOOK_AGAIN;
    bool copied = f->type == 'd' && s->copying == RP_STEP_COPY_OUT; /* which has a bound of its own */
    if (need > s->config->row_limit + RP_FRAME_HEAD && !copied) { /* however much of it is here */
        *ev = rp_session_break(s, PG_E_PROTOCOL, "a message that is no row is larger than pool_max_row_bytes");
        return LOOK_OVER;
    }
    if (there > 0) return LOOK_WHOLE;
    ev->need = need;
    return LOOK_OVER;
}

/* The answer to a request of a known statement: BindComplete, rows, CommandComplete, ReadyForQuery. Stops before whatever
 * is something else, breaks a rule or is not there as a whole: that is the table's, which would have done the same with
 * what went through here, in three times the instructions. True: `*ev` is an event. */
static bool straight(struct rp_session *s, const uint8_t *at, size_t size, size_t *consumed, struct rp_event *ev)
{
    struct rp_entry *e = rp_session_entry(s, s->due);
    unsigned other = e->steps & ~(BIT(RP_STEP_BIND) | BIT(RP_STEP_EXECUTE) | BIT(RP_STEP_SYNC));
    if (s->due == s->unsent || !e->steps || other) return false;
    const uint8_t *from = at + *consumed, *end = at + size;
    if (e->steps & BIT(RP_STEP_BIND)) {
        if (end - from < RP_FRAME_HEAD || memcmp(from, "2\0\0\0\4", RP_FRAME_HEAD) != 0) return false;
        rp_session_bound(s, e);
        from += RP_FRAME_HEAD;
        *consumed += RP_FRAME_HEAD;
    }
    while (e->steps & BIT(RP_STEP_EXECUTE)) {
        struct rp_frame f;
        if (!rp_frame_plain(from, (size_t)(end - from), s->plain, &f) || (f.type != 'D' && f.type != 'C')) return false;
        from = f.body + f.size;
        *consumed = (size_t)(from - at);
        if (f.type == 'D' ? rp_session_data_row(s, &f, ev) : rp_session_command_complete(s, e, &f, ev)) return true;
        if (f.type == 'C') rp_session_done_step(e);
    }
    if (e->steps != BIT(RP_STEP_SYNC) || end - from <= RP_FRAME_HEAD || memcmp(from, "Z\0\0\0\5", RP_FRAME_HEAD) != 0 ||
        !rp_session_ready(s, e, from[RP_FRAME_HEAD]))
        return false;
    *consumed = (size_t)(from - at) + RP_FRAME_HEAD + 1;
    return rp_session_next_outcome(s, ev);
}

void rp_session_find(struct rp_session *s, const uint8_t *at, size_t size, size_t *consumed, struct rp_event *ev)
{
    *ev = (struct rp_event){ .kind = RP_EVENT_MORE };
    *consumed = 0;
    RP_ASSERT(!s->wait_columns);
    for (;;) {
        bool elsewhere = s->phase != RP_PHASE_READY || s->finishing || s->rest;
        if (elsewhere && before_message(s, at, size, consumed, ev)) return;
        if (s->phase == RP_PHASE_READY && straight(s, at, size, consumed, ev)) return;
        struct rp_frame f = { 0 };
        if (!rp_frame_plain(at + *consumed, size - *consumed, s->plain, &f)) {
            enum look look = look_closer(s, at + *consumed, size - *consumed, &f, consumed, ev);
            if (look == LOOK_AGAIN) continue;
            if (look == LOOK_OVER) return;
        }
        *consumed += RP_FRAME_HEAD + f.size;
        if (rp_session_message(s, &f, ev)) return;
    }
}
