/* session/copy.c - what a COPY adds to the conversation: the barrier, its beginning and its end, and data in pieces.
 * Which message is legal when stands in receive.c like everything else. */
#include "session/internal.h"
#include "wire/check.h"
#include "wire/error.h"

static const char GONE[] = "the caller has gone away", AGAIN[] = "the request copies more than once";

/* ---- going out ---- */

static bool all_answered(const struct rp_session *s)
{
    for (uint32_t at = s->due; at != s->unsent; at++)
        if (s->entry[at & (s->config->entries - 1)].steps) return false;
    return true;
}

bool rp_session_must_wait(const struct rp_session *s)
{
    if (s->barrier && !RP_PLANT(copy_unfenced)) return true;
    bool alone = s->entry[s->unsent & (s->config->entries - 1)].flags & RP_ENTRY_COPY;
    if (s->config->unnamed) alone |= rp_session_begins_group(s);
    return alone && s->written == 0 && !all_answered(s);
}

void rp_session_copy_end(struct rp_session *s, const char *failure)
{
    if (RP_PLANT(copy_cut_short)) failure = NULL;
    if (s->copying != RP_STEP_COPY_IN || s->said) return;
    if (s->say && (!failure || s->say == RP_SAY_COPY_FAIL)) return;
    s->say = failure ? RP_SAY_COPY_FAIL : RP_SAY_COPY_DONE;
    s->say_size = RP_COPY_DONE_SIZE;
    if (!failure) return;
    rp_copy_keep_failure(s->say_text, failure);
    s->say_size = rp_copy_fail_size(s->say_text);
    rp_session_complain(s, s->due, PG_E_CANCELLED);
}

/* ---- coming in ---- */

bool rp_session_copy_unasked(struct rp_session *s, struct rp_event *ev)
{
    *ev = rp_session_break(s, PG_E_PROTOCOL, "the statement started a COPY, which needs pg_lease_copy");
    return true;
}

/* The first of a request is its caller's; a second one comes to nothing, and so does one that nobody waits for. */
bool rp_session_copy_begin(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev)
{
    struct rp_entry *e = rp_session_entry(s, s->due);
    struct rp_copy_shape shape;
    const char *why;
    if (!(e->flags & RP_ENTRY_COPY)) return rp_session_copy_unasked(s, ev);
    if (!rp_copy_shape_parse(&shape, f->body, f->size, &why)) {
        *ev = rp_session_break(s, PG_E_PROTOCOL, why);
        return true;
    }
    s->copying = f->type == 'G' ? RP_STEP_COPY_IN : RP_STEP_COPY_OUT;
    if (e->query && !(e->flags & RP_ENTRY_COPIED)) {
        e->flags |= RP_ENTRY_COPIED;
        *ev = (struct rp_event){ .kind = RP_EVENT_COPY, .query = e->query, .body = f->body, .size = f->size };
        return true;
    }
    if (e->query && !e->complaint) {
        e->complaint = PG_E_PARAMETER;
        rp_error_set(e->query->error, PG_E_PARAMETER, "%s", AGAIN);
    }
    rp_session_copy_end(s, e->query ? AGAIN : GONE);
    return false;
}

bool rp_session_copy_data(struct rp_session *s, const uint8_t *at, size_t size, struct rp_event *ev)
{
    const struct rp_entry *e = rp_session_entry(s, s->due);
    if (!e->query || e->complaint || !size) return false;
    *ev = (struct rp_event){ .kind = RP_EVENT_DATA, .query = e->query, .body = at, .size = size };
    return true;
}

bool rp_session_copy_in_pieces(struct rp_session *s, const struct rp_frame *f, size_t need)
{
    if (f->type != 'd' || s->copying != RP_STEP_COPY_OUT || need <= s->config->chunk) return false;
    s->rest = RP_REST_COPIED;
    s->rest_left = need - RP_FRAME_HEAD;
    return true;
}

bool rp_session_copy_given_up(const struct rp_session *s, const struct rp_entry *e)
{
    return e->flags & RP_ENTRY_COPIED && e->complaint && !strcmp(s->error.sqlstate, "57014");
}
