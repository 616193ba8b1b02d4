/* conn/trace.c - messages as lines of text: one table says what each consists of. See the header. */
#include "conn/trace.h"
#include <stdarg.h>
#include <stdio.h>
#include "wire/check.h"
#include "wire/load.h"

enum { TLS_CODE = 80877103 };

/* What a message consists of, in its order:
 *      c   one byte             s   a string            S   strings, up to the end or an empty one
 *      h   an Int16             i   an Int32            n   an Int32 that differs from run to run
 *      b   bytes up to the end that nobody shall see    e   fields of an error or a notice
 *      v   a value: an Int32 of its length, and its bytes
 *      [x] an Int16, and as many x */
struct shape { const char *name, *parts; };

static const struct shape client[256] = {
    ['B'] = { "Bind", "ss[h][v][h]" }, ['C'] = { "Close", "cs" },     ['D'] = { "Describe", "cs" },
    ['E'] = { "Execute", "si" },       ['H'] = { "Flush", NULL },     ['P'] = { "Parse", "ss[n]" },
    ['Q'] = { "Query", "s" },          ['S'] = { "Sync", NULL },      ['X'] = { "Terminate", NULL },
    ['c'] = { "CopyDone", NULL },      ['d'] = { "CopyData", NULL },  ['f'] = { "CopyFail", "s" },
};
static const struct shape server[256] = {
    ['1'] = { "ParseComplete", NULL },          ['2'] = { "BindComplete", NULL },
    ['3'] = { "CloseComplete", NULL },          ['A'] = { "NotificationResponse", "nss" },
    ['C'] = { "CommandComplete", "s" },         ['D'] = { "DataRow", "[v]" },
    ['E'] = { "ErrorResponse", "e" },           ['G'] = { "CopyInResponse", "c[h]" },
    ['H'] = { "CopyOutResponse", "c[h]" },      ['I'] = { "EmptyQueryResponse", NULL },
    ['K'] = { "BackendKeyData", "nb" },         ['N'] = { "NoticeResponse", "e" },
    ['S'] = { "ParameterStatus", "ss" },        ['T'] = { "RowDescription", "[snhnhih]" },
    ['W'] = { "CopyBothResponse", "c[h]" },     ['Z'] = { "ReadyForQuery", "c" },
    ['c'] = { "CopyDone", NULL },               ['d'] = { "CopyData", NULL },
    ['n'] = { "NoData", NULL },                 ['s'] = { "PortalSuspended", NULL },
    ['t'] = { "ParameterDescription", "[n]" },  ['v'] = { "NegotiateProtocolVersion", "iiS" },
};
static const struct shape startup = { "StartupMessage", "hhS" }, tls_request = { "SSLRequest", "hh" },
                          tls_answer = { "SSLResponse", "c" };
/* By the code of the request; behind it stand salts, nonces and proofs, and of SASL the mechanisms. */
static const struct shape authentication[] = {
    [0] = { "AuthenticationOk", NULL },          [3] = { "AuthenticationCleartextPassword", NULL },
    [5] = { "AuthenticationMD5Password", "b" },  [10] = { "AuthenticationSASL", "S" },
    [11] = { "AuthenticationSASLContinue", "b" }, [12] = { "AuthenticationSASLFinal", "b" },
};
static const struct shape password = { "PasswordMessage", "b" }, sasl_first = { "SASLInitialResponse", "sb" },
                          sasl_next = { "SASLResponse", "b" };

/* ---- one line ---- */

struct line {
    const struct rp_trace *trace;
    size_t used;
    char text[512];
};

static void flush(struct line *l)
{
    if (l->used) l->trace->sink->write(l->trace->sink->arg, l->trace->connection, l->text, l->used);
    l->used = 0;
}

static void put(struct line *l, const void *at, size_t n)
{
    const char *from = at;
    while (n) {
        if (l->used == sizeof l->text) flush(l);
        size_t some = n < sizeof l->text - l->used ? n : sizeof l->text - l->used;
        memcpy(l->text + l->used, from, some);
        l->used += some;
        from += some;
        n -= some;
    }
}

static void print(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void print(struct line *l, const char *format, ...)
{
    char text[64];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put(l, text, n < 0 ? 0 : (size_t)n);
}

static bool printable(uint8_t c) { return c >= ' ' && c < 127; } /* in every locale */

static void put_byte(struct line *l, uint8_t c)
{
    if (printable(c)) put(l, &c, 1);
    else print(l, "\\x%02x", c);
}

/* As it stands, however far it goes: libpq escapes nothing either. */
static void put_string(struct line *l, struct rp_cursor *c)
{
    size_t n = c->left ? strnlen((const char *)c->at, c->left) : 0;
    put(l, " \"", 2);
    put(l, rp_read_bytes(c, n), n);
    (void)rp_read_u8(c); /* without its NUL it was cut short */
    if (!c->bad) put(l, "\"", 1);
}

static void put_value(struct line *l, struct rp_cursor *c)
{
    int32_t size = (int32_t)rp_read_u32(c);
    print(l, " %d", size);
    if (size == -1 || c->bad) return;
    put(l, " '", 2);
    bool whole = size >= 0 && (size_t)size <= c->left;
    size_t n = whole ? (size_t)size : c->left;
    const uint8_t *at = rp_read_bytes(c, n);
    for (size_t i = 0; i < n; i++) put_byte(l, at[i]);
    c->bad |= !whole;
    if (whole) put(l, "'", 1);
}

static void put_fields(struct line *l, struct rp_cursor *c)
{
    for (;;) {
        uint8_t field = rp_read_u8(c);
        if (c->bad) return;
        put(l, " ", 1);
        put_byte(l, field);
        if (!field) return;
        bool suppressed = field == 'L' || field == 'F' || field == 'R';
        if (suppressed) (void)rp_read_cstr(c), print(l, " \"SSSS\"");
        else put_string(l, c);
    }
}

/* Without a sign, as libpq has it; its Int32 have one. */
static uint16_t put_int16(struct line *l, struct rp_cursor *c)
{
    const uint8_t *at = rp_read_bytes(c, 2);
    uint16_t v = at ? rp_load_u16(at) : 0;
    if (at) print(l, " %u", v);
    return v;
}

static void put_part(struct line *l, struct rp_cursor *c, char part)
{
    uint8_t byte;
    uint32_t number;
    switch (part) {
    case 'c':
        byte = rp_read_u8(c);
        if (!c->bad) put(l, " ", 1), put_byte(l, byte);
        break;
    case 's': put_string(l, c); break;
    case 'S': while (c->left && *c->at && !c->bad) put_string(l, c); break;
    case 'h': (void)put_int16(l, c); break;
    case 'i':
    case 'n':
        number = rp_read_u32(c);
        if (!c->bad && part == 'i') print(l, " %d", (int32_t)number);
        else if (!c->bad) put(l, " NNNN", 5);
        break;
    case 'b':
        if (c->left) put(l, " BBBB", 5);
        break;
    case 'v': put_value(l, c); break;
    case 'e': put_fields(l, c); break;
    default: break;
    }
}

static void put_parts(struct line *l, struct rp_cursor *c, const char *parts)
{
    for (const char *at = parts; *at && !c->bad; at++) {
        if (*at != '[') {
            put_part(l, c, *at);
            continue;
        }
        const char *first = at + 1, *end = strchr(first, ']');
        uint16_t count = put_int16(l, c);
        for (uint16_t i = 0; i < count && !c->bad; i++)
            for (at = first; at != end && !c->bad; at++) put_part(l, c, *at);
        at = end;
    }
    if (c->bad) put(l, "...", 3); /* cut short, by whoever sent it or by us */
}

/* `length` is the length word, `have` what there is of the body. */
static void tell(const struct rp_trace *t, bool to_server, uint32_t length, const struct shape *shape,
                 const uint8_t *body, size_t have)
{
    struct line l = { .trace = t };
    struct rp_cursor c = { body, have, false };
    bool varies = shape->parts && *shape->parts == 'e'; /* with the server's source */
    put(&l, to_server ? "F\t" : "B\t", 2);
    if (varies) put(&l, "NN\t", 3);
    else print(&l, "%u\t", length);
    put(&l, shape->name, strlen(shape->name));
    if (shape->parts) {
        put(&l, "\t", 1);
        put_parts(&l, &c, shape->parts);
    }
    put(&l, "\n", 1);
    flush(&l);
}

static void tell_typed(const struct rp_trace *t, bool to_server, uint8_t type, uint32_t length,
                       const struct shape *shape, const uint8_t *body, size_t have)
{
    char name[24];
    struct shape unknown = { name, NULL };
    snprintf(name, sizeof name, "Unknown message: %02x", type);
    tell(t, to_server, length, shape && shape->name ? shape : &unknown, body, have);
}

/* ---- the client's bytes ---- */

void rp_trace_begin(struct rp_trace *t)
{
    struct rp_trace fresh = { .sink = t->sink, .whole = t->whole };
    *t = fresh;
    t->connection = ++t->sink->connections;
}

static const struct shape *answer_to(uint32_t request)
{
    return request == 10 ? &sasl_first : request == 11 ? &sasl_next : &password;
}

/* Bytes of the message at `whole`, once its head is there; else as many as the head has. */
static size_t client_size(const struct rp_trace *t)
{
    size_t head = t->started ? 1 : 0;
    return t->have < head + 4 ? head + 4 : head + rp_load_u32(t->whole + head);
}

static void client_message(struct rp_trace *t, size_t size)
{
    const uint8_t *at = t->whole;
    if (!t->started) {
        bool tls = size == 8 && t->have == 8 && rp_load_u32(at + 4) == TLS_CODE;
        tell(t, true, (uint32_t)size, tls ? &tls_request : &startup, at + 4, t->have - 4);
        t->asked_tls = tls;
        t->started = !tls;
    } else {
        const struct shape *shape = *at == 'p' ? answer_to(t->asked) : &client[*at];
        tell_typed(t, true, *at, (uint32_t)(size - 1), shape, at + RP_FRAME_HEAD, t->have - RP_FRAME_HEAD);
        if (*at == 'p') explicit_bzero(t->whole, t->have);
    }
    t->client_left = size - t->have;
    t->have = 0;
}

void rp_trace_client(struct rp_trace *t, const uint8_t *at, size_t n)
{
    while (n) {
        size_t *left = &t->client_left, some = *left < n ? *left : n;
        if (!some) {
            size_t size = client_size(t), room = RP_TRACE_WHOLE - t->have;
            some = size - t->have < n ? size - t->have : n;
            if (some > room) some = room;
            memcpy(t->whole + t->have, at, some);
            t->have += some;
            size = client_size(t);
            if (t->have == size || t->have == RP_TRACE_WHOLE) client_message(t, size);
        } else {
            *left -= some;
        }
        at += some;
        n -= some;
    }
}

/* ---- the server's bytes ---- */

static void server_message(struct rp_trace *t, uint8_t type, uint32_t length, const uint8_t *body, size_t have)
{
    const struct shape *shape = &server[type];
    if (type == 'R' && have >= 4) {
        t->asked = rp_load_u32(body);
        shape = t->asked < RP_COUNT(authentication) ? &authentication[t->asked] : NULL;
        body += 4;
        have -= 4;
    }
    tell_typed(t, false, type, length, shape, body, have);
}

void rp_trace_server(struct rp_trace *t, const uint8_t *at, size_t n)
{
    if (t->asked_tls && n) {
        tell(t, false, 1, &tls_answer, at, 1);
        t->asked_tls = false;
        at++, n--;
    }
    while (n) {
        size_t some = t->server_left < n ? t->server_left : n;
        if (some) {
            t->server_left -= some;
        } else {
            RP_ASSERT(n >= RP_FRAME_HEAD); /* the session takes heads whole */
            uint32_t length = rp_load_u32(at + 1);
            size_t size = (size_t)length + 1;
            some = size < n ? size : n;
            server_message(t, at[0], length, at + RP_FRAME_HEAD, some - RP_FRAME_HEAD);
            t->server_left = size - some;
        }
        at += some;
        n -= some;
    }
}
