/* app_stream.c - the stand-in's answers that are written piece by piece. Each has a client that takes nothing
 * before the example has to wait for it, then 16 KiB a millisecond, looks at every byte, and hangs up in the middle
 * where the table says so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app_http.h"
#include "ringpg.h"

enum { CHUNK = 16 * 1024, LOW = 64 * 1024, WRITE_MAX = 64 * 1024 };
static const uint64_t TICK_NS = 1000000;

struct stream_out {
    struct http *http;
    bool ended, aborted, reading;
    char *bytes;                                     /* written and not read yet */
    size_t backlog, most, total;
    char line[64];                                   /* the one that has to come, and how much of it has */
    size_t line_size, line_at, lines;
};

static bool is_open(const struct http *http, const char *what)
{
    const char *why = http->left                      ? "after the client had left"
                      : http->answered                ? "after the answer"
                      : !http->out                    ? "before the answer was begun"
                      : http->out->ended              ? "after its end"
                      : http->out->aborted            ? "after it was broken off"
                                                      : NULL;
    char text[100];
    if (!why) return true;
    snprintf(text, sizeof text, "%s %s", what, why);
    app_wrong(http, text);
    return false;
}

static void take_byte(struct stream_out *out, char byte)
{
    if (out->line_at == out->line_size) {
        size_t n = out->lines + 1;
        out->line_size = (size_t)snprintf(out->line, sizeof out->line, "%zu\titem %zu\n", n, n);
        out->line_at = 0;
    }
    if (byte != out->line[out->line_at++]) {
        app_wrong(out->http, "other bytes than were to come");
        abort();                                     /* all that follows would be wrong as well */
    }
    out->lines += byte == '\n';
}

static void read_chunk(struct stream_out *out)
{
    out->reading |= out->ended || out->backlog >= app_backlog_high;
    size_t size = !out->reading ? 0 : out->backlog < CHUNK ? out->backlog : CHUNK;
    for (size_t i = 0; i < size; i++) take_byte(out, out->bytes[i]);
    out->backlog -= size;
    memmove(out->bytes, out->bytes + size, out->backlog);
    if (size && out->backlog < LOW && out->http->writable) out->http->writable(out->http->writable_arg);
}

/* The last byte has arrived, or the news that none will. */
static void arrived(struct stream_out *out)
{
    struct http *http = out->http;
    bool whole = out->line_at == out->line_size && out->lines == (size_t)http_arg(http, "lines");
    if (!out->aborted && !whole) app_wrong(http, "some lines did not come");
    if (out->aborted) http->status = -1;             /* nothing that a client would take for an answer */
    snprintf(http->body, sizeof http->body, "%zu lines, %zu bytes, never more than %zu under way%s", out->lines,
             out->total, out->most, out->aborted ? ", broken off" : "");
    http->answered = true;
    app_close();
}

static void read_slowly(void *arg)
{
    struct stream_out *out = arg;
    struct http *http = out->http;
    int64_t after = http_arg(http, "after");
    int rc = 0;
    while (!http->left && rc == 0) {
        if (out->aborted || (out->ended && out->backlog == 0)) {
            arrived(out);
            break;
        }
        rc = pg_await_sleep(pg_reactor_now(reactor) + TICK_NS);
        if (rc == 0 && !http->left) read_chunk(out);
        if (after && out->lines >= (size_t)after) app_hang_up(http);
    }
    if (rc) app_wrong(http, "the client was not let read to the end");
    http->out = NULL;
    free(out->bytes);
    slab_put(out);
    app_close();
}

void http_on_writable(struct http *http, void (*writable)(void *), void *arg)
{
    http->writable = writable;
    http->writable_arg = arg;
}

void http_begin(struct http *http, int status, const char *type)
{
    (void)type;
    if (http->left || http->answered || http->out) {
        app_wrong(http, "begun twice, or when the client had left");
        return;
    }
    struct stream_out *out = http->out = slab_get(sizeof *out);
    out->http = http;
    out->bytes = malloc(app_backlog_high + WRITE_MAX);
    http->status = status;
    if (!out->bytes || pg_fiber_spawn(reactor, read_slowly, out, NULL)) abort();
    app_open();
}

size_t http_write(struct http *http, const void *at, size_t size)
{
    struct stream_out *out = http->out;
    if (!is_open(http, "written")) return 0;
    if (size > 0 && (out->backlog >= app_backlog_high || size > WRITE_MAX)) {
        app_wrong(http, "written while more lay here than was promised");
        abort();                                     /* there may be no room for it */
    }
    memcpy(out->bytes + out->backlog, at, size);
    out->backlog += size;
    out->total += size;
    if (out->backlog > out->most) out->most = out->backlog;
    return out->backlog;
}

void http_end(struct http *http)
{
    if (is_open(http, "ended")) http->out->ended = true;
}

void http_abort(struct http *http)
{
    if (is_open(http, "broken off")) http->out->aborted = true;
}
