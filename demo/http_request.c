/* http_request.c - from bytes to a request: the parser's callbacks, limits, and the arguments of the target.
 *
 * Of a request only the target is kept; header lines are counted and looked at as they pass, the body is counted and
 * dropped, since no route wants one. The parser stops behind each message, so the bytes of the next one stay in the
 * input buffer until this one is answered; when that buffer is full, nothing is received: the client waits, not our
 * memory. */
#include "http_private.h"
#include <limits.h>
#include <string.h>
#include <strings.h>

static struct http *of(llhttp_t *parser) { return parser->data; }

static int refuse_with(struct http *http, int status)
{
    http->refusal = status;
    return -1;
}

static int on_message_begin(llhttp_t *parser)
{
    of(parser)->in_message = true;
    return 0;
}

/* Lines that the limit covers: the target and all header lines, and what stands behind a chunk's size. */
static int count_header(struct http *http, size_t size)
{
    http->header_bytes += size;
    return http->header_bytes > http->server->config.header_bytes_max ? refuse_with(http, 431) : 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t size)
{
    struct http *http = of(parser);
    if (size >= HTTP_TARGET_BYTES - http->target_size) return refuse_with(http, 414);
    memcpy(http->target + http->target_size, at, size);
    http->target_size += size;
    return 0;
}

static size_t append_lower(char *to, size_t used, size_t capacity, const char *at, size_t size)
{
    for (size_t i = 0; i < size && used < capacity; i++)
        to[used++] = (char)(at[i] >= 'A' && at[i] <= 'Z' ? at[i] | 0x20 : at[i]);
    return used;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t size)
{
    struct http *http = of(parser);
    http->field_size = append_lower(http->field, http->field_size, sizeof http->field, at, size);
    return count_header(http, size);
}

static int on_header_value(llhttp_t *parser, const char *at, size_t size)
{
    struct http *http = of(parser);
    http->value_size = append_lower(http->value, http->value_size, sizeof http->value, at, size);
    return count_header(http, size);
}

static bool is(const char *text, size_t size, const char *word)
{
    return size == strlen(word) && memcmp(text, word, size) == 0;
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct http *http = of(parser);
    if (is(http->field, http->field_size, "host")) {
        if (http->has_host) return refuse_with(http, 400);
        http->has_host = true;
    }
    if (is(http->field, http->field_size, "expect"))
        http->expects_continue = is(http->value, http->value_size, "100-continue");
    http->field_size = http->value_size = 0;
    return count_header(http, 4);                    /* ": " and the line's end */
}

static int on_headers_complete(llhttp_t *parser)
{
    static const char proceed[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct http *http = of(parser);
    bool http_1_1 = parser->http_major == 1 && parser->http_minor == 1;
    if (http_1_1 && !http->has_host) return refuse_with(http, 400);
    if ((parser->flags & F_CONTENT_LENGTH) && parser->content_length > http->server->config.body_bytes_max)
        return refuse_with(http, 413);
    bool body = (parser->flags & F_CHUNKED) || parser->content_length > 0;
    if (http->expects_continue && http_1_1 && body) http_put(http, proceed, sizeof proceed - 1);
    return 0;
}

static int count_body(struct http *http, size_t size)
{
    http->body_bytes += size;
    return http->body_bytes > http->server->config.body_bytes_max ? refuse_with(http, 413) : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    (void)at;
    return count_body(of(parser), size);
}

/* Each chunk counts a byte more than it carries: many tiny ones are a large body, too. */
static int on_chunk_header(llhttp_t *parser) { return count_body(of(parser), 1); }

static int on_message_complete(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_message_begin, .on_url = on_url, .on_header_field = on_header_field,
    .on_header_value = on_header_value, .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete, .on_body = on_body, .on_chunk_header = on_chunk_header,
    .on_message_complete = on_message_complete,
};

void http_request_init(struct http *http)
{
    llhttp_init(&http->parser, HTTP_REQUEST, &settings);
    http->parser.data = http;
    http_request_reset(http);
}

void http_request_reset(struct http *http)
{
    http->in_message = http->replied = http->head = http->has_host = http->expects_continue = false;
    http->refusal = 0;
    http->header_bytes = http->body_bytes = http->target_size = http->field_size = http->value_size = 0;
}

/* Cuts the target into path and query: "/a?b=c", "http://host/a?b=c". */
static void split_target(struct http *http)
{
    char *at = http->target;
    at[http->target_size] = '\0';
    if (*at != '/') {
        char *authority = strstr(at, "://");
        char *slash = authority ? strchr(authority + 3, '/') : NULL;
        if (slash) at = slash;
    }
    at[strcspn(at, "#")] = '\0';
    http->path = at;
    at += strcspn(at, "?");
    http->query = *at ? at + 1 : at;
    *at = '\0';
}

static void take_request(struct http *http)
{
    http->method = http->parser.method;
    http->head = http->method == HTTP_HEAD;
    http->keep_alive = llhttp_should_keep_alive(&http->parser) && !http->server->stopping;
    split_target(http);
    llhttp_resume(&http->parser);
    http_dispatch(http);
}

/* One call of the parser; false when there is nothing more to do for now. */
static bool parse_some(struct http *http)
{
    const char *at = http->in + http->in_start;
    bool began = http->in_message;
    llhttp_errno_t rc = llhttp_execute(&http->parser, at, http->in_end - http->in_start);
    if (rc == HPE_OK) http->in_start = http->in_end; /* not 0: a receive may be writing behind in_end */
    else if (rc == HPE_PAUSED || rc == HPE_PAUSED_UPGRADE)
        http->in_start = (size_t)(llhttp_get_error_pos(&http->parser) - http->in);

    if (rc == HPE_PAUSED) take_request(http);
    else if (rc == HPE_PAUSED_UPGRADE) llhttp_resume_after_upgrade(&http->parser); /* the offer is not taken */
    else if (rc != HPE_OK) http_refuse(http, http->refusal ? http->refusal : 400);
    else if (!began && http->in_message) http_due_set(http, HTTP_DUE_HEADER);
    return rc == HPE_PAUSED || rc == HPE_PAUSED_UPGRADE;
}

void http_parse(struct http *http)
{
    http->parsing = true;
    while (http->phase == HTTP_READING && http->in_start < http->in_end && http_has_room(http)) {
        if (!parse_some(http)) break;
        if (http->phase == HTTP_HANDLING && http->replied && !http->pins) http_finish(http);
    }
    http->parsing = false;
}

const char *http_path(const struct http *http) { return http->path; }
bool http_is_get(const struct http *http) { return http->method == HTTP_GET || http->method == HTTP_HEAD; }
bool http_is_post(const struct http *http) { return http->method == HTTP_POST; }

static bool parse_int8(const char *at, size_t size, int64_t *out)
{
    bool negative = size > 0 && *at == '-';
    size_t i = negative;
    int64_t value = 0;
    if (i == size) return false;
    for (; i < size; i++) {
        if (at[i] < '0' || at[i] > '9') return false;
        int digit = at[i] - '0';
        if (__builtin_mul_overflow(value, (int64_t)10, &value)) return false;
        if (__builtin_sub_overflow(value, (int64_t)digit, &value)) return false; /* downwards: INT64_MIN fits */
    }
    if (!negative && value == INT64_MIN) return false;
    *out = negative ? value : -value;
    return true;
}

bool http_arg_int8(const struct http *http, const char *name, int64_t *out)
{
    size_t name_size = strlen(name);
    for (const char *at = http->query; *at;) {
        size_t size = strcspn(at, "&");
        if (size > name_size && at[name_size] == '=' && memcmp(at, name, name_size) == 0)
            return parse_int8(at + name_size + 1, size - name_size - 1, out);
        at += size + (at[size] == '&');
    }
    return false;
}
