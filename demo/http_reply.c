/* http_reply.c - answers: the status line, the headers that every answer needs, and the body.
 *
 * The next request of a connection is taken up from the ready list, never inside the reply: a handler may go on
 * using its memory after it has replied, and a long pipeline needs constant stack. */
#include "http_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *http_reason(int status)
{
    static const struct { int status; const char *reason; } reasons[] = {
        { 200, "OK" }, { 400, "Bad Request" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
        { 408, "Request Timeout" }, { 409, "Conflict" }, { 413, "Content Too Large" }, { 414, "URI Too Long" },
        { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" }, { 503, "Service Unavailable" },
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return "Unknown";
}

/* The Date header's line, made once a second. Source: RFC 9110, 6.6.1. */
static const char *date_line(struct http_server *server)
{
    time_t now = time(NULL);
    if (now != server->date_second) {
        struct tm parts;
        gmtime_r(&now, &parts);
        strftime(server->date, sizeof server->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
        server->date_second = now;
    }
    return server->date;
}

/* False: no memory for a body beyond the buffer, and nothing was written. */
static bool put_body(struct http *http, const char *body, size_t size)
{
    if (size <= HTTP_OUT_BYTES - http->out_end) {
        memcpy(http->out + http->out_end, body, size);
        http->out_end += size;
        return true;
    }
    http->large = malloc(size);
    if (!http->large) return false;
    memcpy(http->large, body, size);
    http->large_start = 0;
    http->large_end = size;
    return true;
}

static void reply(struct http *http, int status, const char *type, const char *extra, const char *body, size_t size)
{
    if (http->phase != HTTP_HANDLING || http->replied) return;
    http->replied = true;
    http->gone = NULL;
    if (http->server->stopping) http->keep_alive = false;
    size_t mark = http->out_end, room = HTTP_OUT_BYTES - mark;
    int head =
        snprintf(http->out + mark, room, "HTTP/1.1 %d %s\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\n%s%s%s\r\n",
                 status, http_reason(status), date_line(http->server), type, size, extra,
                 status == 503 ? "Retry-After: 1\r\n" : "", http->keep_alive ? "" : "Connection: close\r\n");
    bool fits = head > 0 && (size_t)head < room;
    if (fits) http->out_end += (size_t)head;
    if (!fits || (!http->head && !put_body(http, body, size))) {
        http->out_end = mark;
        http_drop(http);                             /* better no answer than half of one */
        return;
    }
    http_flush(http);
    if (!http->parsing) http_queue_ready(http);
}

void http_reply(struct http *http, int status, const char *body, size_t size)
{
    reply(http, status, "text/plain; charset=utf-8", "", body, size);
}

void http_reply_text(struct http *http, int status, const char *text) { http_reply(http, status, text, strlen(text)); }

void http_reply_json(struct http *http, const char *body, size_t size)
{
    reply(http, 200, "application/json", "", body, size);
}

void http_refuse_method(struct http *http, const char *allow)
{
    static const char text[] = "method not allowed\n";
    char line[64];
    snprintf(line, sizeof line, "Allow: %s\r\n", allow);
    reply(http, 405, "text/plain; charset=utf-8", line, text, sizeof text - 1);
}
