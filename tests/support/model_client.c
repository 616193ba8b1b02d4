/* support/model_client.c - see the header. It shares the byte writer with the model server, and nothing else. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/model_client.h"
#include "support/model_private.h"

void client_open(struct model_client *c, struct sim *sim)
{
    memset(c, 0, sizeof *c);
    int rc = sim_socket_open(&c->s, sim, AF_INET);
    if (rc) sim_fail("the client's open: %d", rc);
    while (sim_socket_receive(&c->s)) {}
}

void client_close(struct model_client *c)
{
    sim_socket_close(&c->s);
    sim_bytes_free(&c->out);
}

/* ---- messages ---- */
void client_startup_code(struct model_client *c, uint32_t code, const void *at, size_t n)
{
    model_put_u32(&c->out, (uint32_t)(8 + n));
    model_put_u32(&c->out, code);
    sim_bytes_put(&c->out, at, n);
}

void client_startup(struct model_client *c, const char *user, const char *application_name)
{
    struct sim_bytes body = { 0 };
    model_put_string(&body, "user");
    model_put_string(&body, user);
    if (application_name) {
        model_put_string(&body, "application_name");
        model_put_string(&body, application_name);
    }
    sim_bytes_put(&body, "", 1);
    client_startup_code(c, 3 << 16, body.at, body.size);
    sim_bytes_free(&body);
}

void client_cancel(struct model_client *c, const struct model_client *of)
{
    struct sim_bytes body = { 0 };
    model_put_u32(&body, of->pid);
    sim_bytes_put(&body, of->key, of->key_size);
    client_startup_code(c, 80877102, body.at, body.size);
    sim_bytes_free(&body);
}

void client_message(struct model_client *c, char type, const void *at, size_t n)
{
    size_t begun = model_put_begin(&c->out, type);
    sim_bytes_put(&c->out, at, n);
    model_put_end(&c->out, begun);
}

void client_query(struct model_client *c, const char *sql)
{
    client_message(c, 'Q', sql, strlen(sql) + 1);
}

void client_password(struct model_client *c, const char *password)
{
    client_message(c, 'p', password, strlen(password) + 1);
}

void client_parse(struct model_client *c, const char *name, const char *sql, unsigned n, const uint32_t *types)
{
    size_t begun = model_put_begin(&c->out, 'P');
    model_put_string(&c->out, name);
    model_put_string(&c->out, sql);
    model_put_u16(&c->out, n);
    for (unsigned i = 0; i < n; i++) model_put_u32(&c->out, types[i]);
    model_put_end(&c->out, begun);
}

void client_bind(struct model_client *c, const char *portal, const char *statement, unsigned n,
                 const char *const *values)
{
    size_t begun = model_put_begin(&c->out, 'B');
    model_put_string(&c->out, portal);
    model_put_string(&c->out, statement);
    model_put_u16(&c->out, 0);
    model_put_u16(&c->out, n);
    for (unsigned i = 0; i < n; i++) {
        model_put_u32(&c->out, values[i] ? (uint32_t)strlen(values[i]) : UINT32_MAX);
        if (values[i]) sim_bytes_put(&c->out, values[i], strlen(values[i]));
    }
    model_put_u16(&c->out, 0);
    model_put_end(&c->out, begun);
}

void client_bind_int8(struct model_client *c, const char *statement, int64_t value)
{
    size_t begun = model_put_begin(&c->out, 'B');
    model_put_string(&c->out, "");
    model_put_string(&c->out, statement);
    model_put_u16(&c->out, 1);
    model_put_u16(&c->out, 1);
    model_put_u16(&c->out, 1);
    model_put_u32(&c->out, 8);
    model_put_u32(&c->out, (uint32_t)((uint64_t)value >> 32));
    model_put_u32(&c->out, (uint32_t)value);
    model_put_u16(&c->out, 1);
    model_put_u16(&c->out, 1);
    model_put_end(&c->out, begun);
}

static void named(struct model_client *c, char type, char what, const char *name)
{
    size_t begun = model_put_begin(&c->out, type);
    sim_bytes_put(&c->out, &what, 1);
    model_put_string(&c->out, name);
    model_put_end(&c->out, begun);
}

void client_describe(struct model_client *c, char what, const char *name)
{
    named(c, 'D', what, name);
}

void client_close_named(struct model_client *c, char what, const char *name)
{
    named(c, 'C', what, name);
}

void client_execute(struct model_client *c, const char *portal)
{
    size_t begun = model_put_begin(&c->out, 'E');
    model_put_string(&c->out, portal);
    model_put_u32(&c->out, 0);
    model_put_end(&c->out, begun);
}

void client_sync(struct model_client *c)
{
    client_message(c, 'S', NULL, 0);
}

void client_flush(struct model_client *c)
{
    client_message(c, 'H', NULL, 0);
}

void client_send(struct model_client *c)
{
    sim_socket_send(&c->s, c->out.at + c->out.head, c->out.size);
    while (c->s.out_bytes && sim_step(c->s.sim)) {}
    sim_bytes_take(&c->out, NULL, c->out.size);
}

const char *client_answer(struct model_client *c)
{
    client_send(c);
    sim_settle(c->s.sim);
    return client_transcript(c);
}

/* ---- the transcript ---- */
static void tell(struct model_client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct model_client *c, const char *format, ...)
{
    size_t used = strlen(c->text);
    va_list list;
    va_start(list, format);
    vsnprintf(c->text + used, sizeof c->text - used, format, list);
    va_end(list);
}

static uint32_t u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static unsigned u16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void tell_value(struct model_client *c, const uint8_t *at, uint32_t size)
{
    bool printable = true;
    for (uint32_t i = 0; i < size; i++) printable &= isprint(at[i]) != 0;
    if (printable) {
        tell(c, "%u:%.*s", size, (int)size, (const char *)at);
        return;
    }
    tell(c, "x");
    for (uint32_t i = 0; i < size; i++) tell(c, "%02x", at[i]);
}

static void tell_row(struct model_client *c, const uint8_t *at)
{
    unsigned n = u16(at);
    at += 2;
    tell(c, "D[");
    for (unsigned i = 0; i < n; i++) {
        uint32_t size = u32(at);
        at += 4;
        if (i) tell(c, "|");
        if (size == UINT32_MAX) {
            tell(c, "-");
        } else {
            tell_value(c, at, size);
            at += size;
        }
    }
    tell(c, "]");
}

static void tell_columns(struct model_client *c, const uint8_t *at)
{
    unsigned n = u16(at);
    at += 2;
    tell(c, "T[");
    for (unsigned i = 0; i < n; i++) {
        const char *name = (const char *)at;
        at += strlen(name) + 1;
        tell(c, "%s%s:%u:%u", i ? "," : "", name, u32(at + 6), u16(at + 16));
        at += 18;
    }
    tell(c, "]");
}

static void tell_types(struct model_client *c, const uint8_t *at)
{
    unsigned n = u16(at);
    tell(c, "t[");
    for (unsigned i = 0; i < n; i++) tell(c, "%s%u", i ? "," : "", u32(at + 2 + 4 * i));
    tell(c, "]");
}

static const char *field(const uint8_t *at, char which)
{
    while (*at) {
        if ((char)*at == which) return (const char *)at + 1;
        at += strlen((const char *)at) + 1;
    }
    return "?";
}

static void tell_message(struct model_client *c, char type, const uint8_t *at, size_t size)
{
    const char *string = (const char *)at;
    if (type == 'S' && !c->started) return;
    if (c->text[0]) tell(c, " ");
    switch (type) {
    case 'R': tell(c, "R%u", u32(at)); break;
    case 'K':
        c->pid = u32(at);
        c->key_size = size - 4;
        memcpy(c->key, at + 4, c->key_size < sizeof c->key ? c->key_size : sizeof c->key);
        tell(c, "K");
        break;
    case 'Z':
        c->started = true;
        tell(c, "Z:%c", at[0]);
        break;
    case 'C': tell(c, "C:%s", string); break;
    case 'E': case 'N': tell(c, "%c:%s", type, field(at, 'C')); break;
    case 'S': tell(c, "S[%s=%s]", string, string + strlen(string) + 1); break;
    case 'A': tell(c, "A[%s:%s]", string + 4, string + 4 + strlen(string + 4) + 1); break;
    case 'D': tell_row(c, at); break;
    case 'T': tell_columns(c, at); break;
    case 't': tell_types(c, at); break;
    default: tell(c, "%c", type); break;
    }
}

const char *client_transcript(struct model_client *c)
{
    c->text[0] = 0;
    while (c->s.in_bytes - c->shown >= 5) {
        const uint8_t *at = c->s.in + c->shown;
        size_t n = 1 + (size_t)u32(at + 1);
        if (c->s.in_bytes - c->shown < n) break;
        tell_message(c, (char)at[0], at + 5, n - 5);
        c->shown += n;
    }
    if (c->s.in_bytes != c->shown) tell(c, " +%zu", c->s.in_bytes - c->shown);
    if (c->s.ended) {
        int32_t result = c->s.recvs.result[(c->s.recvs.count - 1) % SIM_SOCKET_RESULTS];
        tell(c, "%s%s", c->text[0] ? " " : "", result == 0 ? "EOF" : result == -ECONNRESET ? "RST" : "error");
    }
    return c->text;
}
