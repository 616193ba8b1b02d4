/* support/model_wire.c - the model server's reader and writer: bytes and nothing else. */
#include <string.h>
#include "support/model_private.h"

static bool enough(struct model_reader *r, size_t n)
{
    if (n <= r->left) return true;
    model_malformed(r->conn, r->message, "too short");
    r->left = 0;
    return false;
}

const uint8_t *model_read_bytes(struct model_reader *r, size_t n)
{
    if (!enough(r, n)) return NULL;
    const uint8_t *at = r->at;
    r->at += n;
    r->left -= n;
    return at;
}

uint8_t model_read_u8(struct model_reader *r)
{
    const uint8_t *at = model_read_bytes(r, 1);
    return at ? at[0] : 0;
}

uint16_t model_read_u16(struct model_reader *r)
{
    const uint8_t *at = model_read_bytes(r, 2);
    return at ? (uint16_t)(at[0] << 8 | at[1]) : 0;
}

uint32_t model_read_u32(struct model_reader *r)
{
    const uint8_t *at = model_read_bytes(r, 4);
    return at ? (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3] : 0;
}

const char *model_read_string(struct model_reader *r)
{
    const uint8_t *nul = r->left ? memchr(r->at, 0, r->left) : NULL;
    if (nul) return (const char *)model_read_bytes(r, (size_t)(nul - r->at) + 1);
    model_malformed(r->conn, r->message, "a string without its end");
    r->left = 0;
    return "";
}

void model_read_end(struct model_reader *r)
{
    if (r->left) model_malformed(r->conn, r->message, "bytes behind its end");
}

/* ---- writing ---- */
void model_put_u16(struct sim_bytes *b, unsigned v)
{
    uint8_t wire[2] = { (uint8_t)(v >> 8), (uint8_t)v };
    sim_bytes_put(b, wire, 2);
}

void model_put_u32(struct sim_bytes *b, uint32_t v)
{
    uint8_t wire[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
    sim_bytes_put(b, wire, 4);
}

void model_put_string(struct sim_bytes *b, const char *s)
{
    sim_bytes_put(b, s, strlen(s) + 1);
}

size_t model_put_begin(struct sim_bytes *b, char type)
{
    sim_bytes_put(b, &type, 1);
    model_put_u32(b, 0);
    return b->size - 4;
}

void model_put_end(struct sim_bytes *b, size_t begun)
{
    uint8_t *at = b->at + b->head + begun;
    size_t n = b->size - begun;
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(n >> (24 - 8 * i));
}

void model_put_error(struct sim_bytes *b, char type, const char *severity, const char *sqlstate, const char *message)
{
    const struct { char field; const char *text; } fields[] = {
        { 'S', severity }, { 'V', severity }, { 'C', sqlstate }, { 'M', message },
        { 'F', "model.c" }, { 'L', "1" }, { 'R', strcmp(sqlstate, "0A000") ? "model" : "RevalidateCachedQuery" },
    };
    size_t begun = model_put_begin(b, type);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        sim_bytes_put(b, &fields[i].field, 1);
        model_put_string(b, fields[i].text);
    }
    sim_bytes_put(b, "", 1);
    model_put_end(b, begun);
}

void model_put_status(struct sim_bytes *b, const char *name, const char *value)
{
    size_t begun = model_put_begin(b, 'S');
    model_put_string(b, name);
    model_put_string(b, value);
    model_put_end(b, begun);
}
