/* wire/encode.c - bytes out: each message of the frontend, written through the windowed writer. A message's size is
 * known before its first byte is written, since its length word comes first. */
#include "wire/message.h"
#include "wire/check.h"
#include "wire/param.h"

enum { CANCEL_CODE = 80877102, TLS_CODE = 80877103 };

void rp_write_at_edge(struct rp_writer *w, const uint8_t *from, size_t n)
{
    size_t dropped = n < w->skip ? n : w->skip, room = w->capacity - w->used;
    w->skip -= dropped;
    n -= dropped;
    if (n > room) n = room;
    if (n) memcpy(w->to + w->used, from + dropped, n);
    w->used += n;
}

/* ---- names of prepared statements ---- */

enum { NAME_MOST = 20 };

_Static_assert(6 + NAME_MOST + 6 + 4 <= RP_WRITE_SHORT, "a Bind up to its parameters, and its end");

static size_t statement_name(uint64_t name, char out[NAME_MOST])
{
    uint64_t number = name & ~RP_NAME_TEXT;
    size_t n = 0;
    if (name) {
        out[n++] = name & RP_NAME_TEXT ? 'd' : 's';
        int shift = number ? (63 - __builtin_clzll(number)) & ~3 : 0;
        for (; shift >= 0; shift -= 4) out[n++] = "0123456789abcdef"[number >> shift & 15];
    }
    out[n++] = 0;
    return n;
}
size_t rp_name_size(uint64_t name)
{
    uint64_t number = name & ~RP_NAME_TEXT;
    return name ? 3 + (number ? (size_t)(63 - __builtin_clzll(number)) / 4 : 0) : 1;
}

/* ---- Bind ---- */

static uint32_t declared(const struct rp_bind *b, uint32_t i) { return i < b->ntypes ? b->types[i] : 0; }

int rp_bind_measure(const struct rp_bind *b, size_t limit, size_t *size, uint32_t *which, const char **why)
{
    /* 'B', length, portal "", statement, formats, values, result formats */
    size_t sum = 1 + 4 + 1 + rp_name_size(b->statement) + 2 + 2 + (b->text_results ? 2 : 4);
    size_t texts = 0;
    for (uint32_t i = 0; i < b->nparams; i++) {
        size_t n = 0;
        bool text = false;
        int rc = rp_param_check(&b->params[i], declared(b, i), &n, &text, why);
        *which = i;
        if (rc) return rc;
        if (n > limit || sum > limit - n) {
            *why = "makes the message larger than the protocol allows";
            return PG_E_PARAMETER;
        }
        sum += 4 + n;
        texts += text;
    }
    if (texts < b->nparams) sum += texts ? 2 * (size_t)b->nparams : 2;
    if (sum > limit) {
        *why = "makes the message larger than the protocol allows";
        return PG_E_PARAMETER;
    }
    *size = sum;
    return 0;
}

/* Once for each window of a long message: so it may not look at the values. */
static bool is_text(const struct rp_bind *b, uint32_t i) { return rp_param_is_text(&b->params[i], declared(b, i)); }

static uint32_t count_texts(const struct rp_bind *b)
{
    uint32_t texts = 0;
    for (uint32_t i = 0; i < b->nparams; i++) texts += is_text(b, i);
    return texts;
}

/* No format code: all text; one: the same for all; else one each. */
static void write_formats(struct rp_writer *w, const struct rp_bind *b, uint32_t texts)
{
    if (texts == b->nparams) {
        rp_write_u16(w, 0);
        return;
    }
    rp_write_u16(w, (uint16_t)b->nparams);
    for (uint32_t i = 0; i < b->nparams; i++) rp_write_u16(w, !is_text(b, i));
}

/* In a later window from the array on in which the one before has ended. */
static void write_params(struct rp_writer *w, const struct rp_bind *b, uint32_t from)
{
    struct rp_resume *resume = w->resume;
    uint32_t i = resume && resume->of && rp_write_jump(w, resume->at) ? resume->param : from;
    for (; i < b->nparams; i++) {
        const struct pg_param *p = &b->params[i];
        if (rp_param_is_nested(p) && resume && resume->of != p && w->used < w->capacity)
            *resume = (struct rp_resume){ .of = p, .param = i, .at = rp_write_position(w) };
        rp_param_write(w, p, declared(b, i));
    }
}

static size_t put(uint8_t *at, const void *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return n;
}
static size_t put_u16(uint8_t *at, uint16_t v) { return v = __builtin_bswap16(v), put(at, &v, sizeof v); }
static size_t put_u32(uint8_t *at, uint32_t v) { return v = __builtin_bswap32(v), put(at, &v, sizeof v); }
static size_t put_u64(uint8_t *at, uint64_t v) { return v = __builtin_bswap64(v), put(at, &v, sizeof v); }

/* As many parameters as come first and are integers, while there is room for the result formats behind them. */
static uint32_t put_integers(uint8_t at[RP_WRITE_SHORT], size_t *n, const struct rp_bind *b)
{
    uint32_t i = 0;
    for (; i < b->nparams && *n <= RP_WRITE_SHORT - 4 - 12; i++) {
        const struct rp_type *to = rp_param_integer(&b->params[i], declared(b, i));
        if (!to) break;
        *n += put_u32(at + *n, to->size);
        if (to->size == 4) *n += put_u32(at + *n, (uint32_t)b->params[i].u.i);
        else if (to->size == 8) *n += put_u64(at + *n, (uint64_t)b->params[i].u.i);
        else *n += put_u16(at + *n, (uint16_t)b->params[i].u.i);
    }
    return i;
}

/* Mostly in one piece: this is the hot path. */
void rp_write_bind(struct rp_writer *w, const struct rp_bind *b, size_t size)
{
    uint8_t edge[RP_WRITE_SHORT], *piece = rp_write_begin(w, edge);
    uint32_t texts = count_texts(b), written = 0;
    size_t n = put(piece, "B", 1);
    n += put_u32(piece + n, (uint32_t)(size - 1));
    n += put(piece + n, "", 1); /* the portal has no name */
    n += statement_name(b->statement, (char *)piece + n);
    if (texts == 0) {
        n += b->nparams ? put(piece + n, "\0\1\0\1", 4) : put_u16(piece + n, 0);
        n += put_u16(piece + n, (uint16_t)b->nparams);
        written = put_integers(piece, &n, b);
    } else {
        rp_write_end(w, piece, edge, n);
        write_formats(w, b, texts);
        rp_write_u16(w, (uint16_t)b->nparams);
        n = 0;
    }
    if (written < b->nparams) {
        if (n) rp_write_end(w, piece, edge, n);
        write_params(w, b, written);
        piece = rp_write_begin(w, edge), n = 0;
    }
    n += b->text_results ? put_u16(piece + n, 0) : put(piece + n, "\0\1\0\1", 4);
    rp_write_end(w, piece, edge, n);
}

/* ---- Parse and Close ---- */

/* 705 and 0 both leave the choice to the server; what is not declared is declared by the parameter itself. */
uint32_t rp_parse_type(const struct rp_bind *b, uint32_t i)
{
    uint32_t type = i < b->ntypes ? b->types[i] : b->params[i].scale == -1 ? 0 : b->params[i].type;
    return type == PG_TYPE_INFER ? 0 : type;
}
static uint32_t parse_types(const struct rp_bind *b) { return b->ntypes > b->nparams ? b->ntypes : b->nparams; }

size_t rp_parse_size(const struct rp_bind *b, const char *sql)
{
    return 1 + 4 + rp_name_size(b->statement) + strlen(sql) + 1 + 2 + 4 * (size_t)parse_types(b);
}

void rp_write_parse(struct rp_writer *w, const struct rp_bind *b, const char *sql)
{
    char name[NAME_MOST];
    size_t n = statement_name(b->statement, name);
    rp_write_u8(w, 'P');
    rp_write_u32(w, (uint32_t)(rp_parse_size(b, sql) - 1));
    rp_write_bytes(w, name, n);
    rp_write_cstr(w, sql);
    rp_write_u16(w, (uint16_t)parse_types(b));
    for (uint32_t i = 0; i < parse_types(b); i++) rp_write_u32(w, rp_parse_type(b, i));
}

size_t rp_close_size(uint64_t statement) { return 1 + 4 + 1 + rp_name_size(statement); }

void rp_write_close(struct rp_writer *w, uint64_t statement)
{
    char name[NAME_MOST];
    size_t n = statement_name(statement, name);
    rp_write_u8(w, 'C');
    rp_write_u32(w, (uint32_t)(4 + 1 + n));
    rp_write_u8(w, 'S');
    rp_write_bytes(w, name, n);
}

/* ---- messages that never change ---- */

void rp_write_describe_portal(struct rp_writer *w) { rp_write_bytes(w, "D\0\0\0\6P", RP_DESCRIBE_SIZE); }
void rp_write_terminate(struct rp_writer *w) { rp_write_bytes(w, "X\0\0\0\4", RP_TERMINATE_SIZE); }

/* ---- simple query, startup, authentication ---- */

void rp_write_cancel(struct rp_writer *w, uint32_t pid, const uint8_t *key, size_t key_size)
{
    rp_write_u32(w, (uint32_t)(12 + key_size));
    rp_write_u32(w, CANCEL_CODE);
    rp_write_u32(w, pid);
    rp_write_bytes(w, key, key_size);
}

void rp_write_tls_request(struct rp_writer *w)
{
    rp_write_u32(w, RP_TLS_REQUEST_SIZE);
    rp_write_u32(w, TLS_CODE);
}

size_t rp_query_size(const char *sql) { return 1 + 4 + strlen(sql) + 1; }

void rp_write_query(struct rp_writer *w, const char *sql)
{
    size_t size = rp_query_size(sql);
    rp_write_u8(w, 'Q');
    rp_write_u32(w, (uint32_t)(size - 1));
    rp_write_bytes(w, sql, size - 5);
}

size_t rp_write_startup(struct rp_writer *w, enum rp_protocol protocol, const struct rp_pair *pairs)
{
    size_t size = 4 + 4 + 1;
    for (const struct rp_pair *p = pairs; p->name; p++)
        if (p->value) size += strlen(p->name) + 1 + strlen(p->value) + 1;
    if (!w) return size;
    rp_write_u32(w, (uint32_t)size);
    rp_write_u32(w, protocol == RP_PROTOCOL_3_2 ? RP_VERSION_3_2 : RP_VERSION_3_0);
    for (const struct rp_pair *p = pairs; p->name; p++) {
        if (!p->value) continue;
        rp_write_cstr(w, p->name);
        rp_write_cstr(w, p->value);
    }
    rp_write_u8(w, 0);
    return size;
}

size_t rp_write_password(struct rp_writer *w, const char *password)
{
    size_t n = strlen(password) + 1;
    if (w) {
        rp_write_u8(w, 'p');
        rp_write_u32(w, (uint32_t)(4 + n));
        rp_write_bytes(w, password, n);
    }
    return 1 + 4 + n;
}

size_t rp_write_sasl(struct rp_writer *w, const char *mechanism, const char *at, size_t size)
{
    size_t total = 4 + size + (mechanism ? strlen(mechanism) + 1 + 4 : 0);
    if (!w) return 1 + total;
    rp_write_u8(w, 'p');
    rp_write_u32(w, (uint32_t)total);
    if (mechanism) {
        rp_write_cstr(w, mechanism);
        rp_write_u32(w, (uint32_t)size);
    }
    rp_write_bytes(w, at, size);
    return 1 + total;
}
