/* support/transcript_words.c - words into the server's messages, and the client's messages into words. Knows the wire
 * format by itself, so that the library's encoder is read by something else than the library. Source: PostgreSQL,
 * "Message Formats". */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "support/transcript.h"

void blob_put(struct blob *b, const void *at, size_t size)
{
    if (b->size + size > b->capacity) {
        b->capacity = 2 * b->capacity + size + 64;
        b->at = realloc(b->at, b->capacity);
        assert_non_null(b->at);
    }
    if (size) memcpy(b->at + b->size, at, size);
    b->size += size;
}

void blob_free(struct blob *b)
{
    free(b->at);
    *b = (struct blob){ 0 };
}

void blob_print(struct blob *b, const char *format, ...)
{
    char text[1200];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert_true(n >= 0 && (size_t)n < sizeof text);
    blob_put(b, text, (size_t)n);
}

const char *blob_text(struct blob *b)
{
    blob_put(b, "", 1);
    b->size--;
    return (const char *)b->at;
}

static void put_u16(struct blob *b, unsigned v) { blob_put(b, (uint8_t[]){ (uint8_t)(v >> 8), (uint8_t)v }, 2); }
static void put_u32(struct blob *b, uint32_t v)
{
    put_u16(b, v >> 16);
    put_u16(b, v & 0xffff);
}

void blob_message(struct blob *b, char type, const void *body, size_t size)
{
    blob_put(b, &type, 1);
    put_u32(b, (uint32_t)(size + 4));
    blob_put(b, body, size);
}

/* ---- words into server messages ---- */

/* The next of a list separated by commas, as a string; false: there is none. */
static bool next_part(const char **at, char *part, size_t room)
{
    if (!*at) return false;
    size_t n = strcspn(*at, ",");
    assert_true(n < room);
    memcpy(part, *at, n);
    part[n] = 0;
    *at = (*at)[n] ? *at + n + 1 : NULL;
    return true;
}

static void put_columns(struct blob *b, const char *at)
{
    char part[64];
    struct blob columns = { 0 };
    unsigned count = 0;
    if (!*at) at = NULL;
    for (; next_part(&at, part, sizeof part); count++) {
        char *colon = strchr(part, ':');
        assert_non_null(colon);
        *colon = 0;
        blob_put(&columns, part, strlen(part) + 1);
        put_u32(&columns, 0);
        put_u16(&columns, 0);
        put_u32(&columns, (uint32_t)strtoul(colon + 1, NULL, 10));
        put_u16(&columns, 0xffff);
        put_u32(&columns, UINT32_MAX);
        put_u16(&columns, colon[strlen(colon + 1)] == 't' ? 0 : 1);
    }
    put_u16(b, count);
    blob_put(b, columns.at, columns.size);
    blob_free(&columns);
}

static void put_row(struct blob *b, const char *at)
{
    char part[600];
    struct blob values = { 0 };
    unsigned count = 0;
    if (!*at) at = NULL;
    for (; next_part(&at, part, sizeof part); count++) {
        bool null = !strcmp(part, "~");
        put_u32(&values, null ? UINT32_MAX : (uint32_t)strlen(part));
        if (!null) blob_put(&values, part, strlen(part));
    }
    put_u16(b, count);
    blob_put(b, values.at, values.size);
    blob_free(&values);
}

static void put_error(struct blob *b, const char *at)
{
    char part[600];
    for (int i = 0; next_part(&at, part, sizeof part); i++) {
        if (i < 3) blob_put(b, &"SCM"[i], 1);
        blob_put(b, part, strlen(part) + 1);
        if (i) continue;
        blob_put(b, "V", 1);
        blob_put(b, part, strlen(part) + 1);
    }
    blob_put(b, "", 1);
}

static void put_authentication(struct blob *b, const char *at)
{
    char part[64];
    uint32_t method = (uint32_t)strtoul(at, NULL, 10);
    at = strchr(at, ',');
    put_u32(b, method);
    if (!at) return;
    at++;
    if (method != 10) {
        blob_put(b, at, strlen(at));
        return;
    }
    while (next_part(&at, part, sizeof part)) blob_put(b, part, strlen(part) + 1);
    blob_put(b, "", 1);
}

static void put_strings(struct blob *b, const char *at)
{
    char part[300];
    while (next_part(&at, part, sizeof part)) blob_put(b, part, strlen(part) + 1);
}

/* "t2": text, two columns; "b2": binary; anything else as it stands. */
static void put_copy(struct blob *b, const char *at)
{
    if (*at != 't' && *at != 'b') {
        blob_put(b, at, strlen(at));
        return;
    }
    unsigned columns = (unsigned)atoi(at + 1), code = *at == 'b';
    blob_put(b, code ? "\1" : "", 1);
    put_u16(b, columns);
    for (unsigned i = 0; i < columns; i++) put_u16(b, code);
}

/* "3.0,_pq_.a": version and options; anything else as it stands. */
static void put_negotiation(struct blob *b, const char *at)
{
    unsigned major, minor, options = 0;
    if (sscanf(at, "%u.%u", &major, &minor) != 2) {
        blob_put(b, at, strlen(at));
        return;
    }
    at = strchr(at, ',');
    for (const char *comma = at; comma; comma = strchr(comma + 1, ',')) options++;
    put_u32(b, major << 16 | minor);
    put_u32(b, options);
    put_strings(b, at ? at + 1 : NULL);
}

/* "7,42": pid and a key of four bytes; "7,*32": one of 32, which are 0, 1, 2 ...; "": nothing. */
static void put_key(struct blob *b, const char *at)
{
    if (!*at) return;
    put_u32(b, (uint32_t)strtoul(at, NULL, 10));
    at = strchr(at, ',');
    if (at && at[1] != '*') put_u32(b, (uint32_t)strtoul(at + 1, NULL, 10));
    else if (at)
        for (int i = 0; i < atoi(at + 2); i++) blob_put(b, &(uint8_t){ (uint8_t)i }, 1);
}

static void put_body(struct blob *b, char type, const char *at)
{
    switch (type) {
    case 'G':
    case 'H':
    case 'W': put_copy(b, at); break;
    case 'T': put_columns(b, at); break;
    case 'D': put_row(b, at); break;
    case 'E':
    case 'N': put_error(b, at); break;
    case 'R': put_authentication(b, at); break;
    case 'A':
        put_u32(b, 7);
        put_strings(b, at);
        break;
    case 'S': put_strings(b, at); break;
    case 'C': blob_put(b, at, strlen(at) + 1); break;
    case 'K': put_key(b, at); break;
    case 'v': put_negotiation(b, at); break;
    default: blob_put(b, at, strlen(at));
    }
}

void blob_server(struct blob *b, const char *words)
{
    char contents[1000];
    for (const char *at = words; *at;) {
        if (*at == ' ') {
            at++;
            continue;
        }
        char type = *at++;
        size_t n = 0;
        if (*at == '(') {
            n = strcspn(at + 1, ")");
            assert_true(n < sizeof contents && at[1 + n] == ')');
            memcpy(contents, at + 1, n);
            at += n + 2;
        }
        contents[n] = 0;
        struct blob body = { 0 };
        put_body(&body, type, contents);
        blob_message(b, type, body.at, body.size);
        blob_free(&body);
    }
}

/* ---- client messages into words ---- */

static uint32_t u32_at(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Bind: every length fits exactly, and the counts agree. */
static void print_bind(struct blob *words, const uint8_t *at, size_t size)
{
    const uint8_t *end = at + size;
    at += strlen((const char *)at) + 1; /* portal */
    blob_print(words, "B:%s", (const char *)at);
    at += strlen((const char *)at) + 1;
    unsigned formats = (unsigned)at[0] << 8 | at[1];
    at += 2 + 2 * formats;
    unsigned count = (unsigned)at[0] << 8 | at[1];
    assert_true(formats <= 1 || formats == count);
    at += 2;
    for (unsigned i = 0; i < count; i++) {
        uint32_t n = u32_at(at);
        at += 4;
        if (n != UINT32_MAX) at += n;
        assert_true(at < end);
    }
    unsigned results = (unsigned)at[0] << 8 | at[1];
    at += 2 + 2 * results;
    assert_true(results <= 1);
    if (count) blob_print(words, "/%u", count);
    if (!results) blob_print(words, "t");
    assert_ptr_equal(at, end);
}

static void print_parse(struct blob *words, const uint8_t *at, size_t size)
{
    const char *name = (const char *)at, *sql = name + strlen(name) + 1;
    const uint8_t *types = (const uint8_t *)sql + strlen(sql) + 1;
    unsigned count = (unsigned)types[0] << 8 | types[1];
    assert_ptr_equal(types + 2 + 4 * count, at + size);
    blob_print(words, "P:%s", name);
    if (count) blob_print(words, "/%u", count);
}

static void print_client(struct blob *words, uint8_t type, const uint8_t *body, size_t size)
{
    if (words->size) blob_print(words, " ");
    switch (type) {
    case 'B': print_bind(words, body, size); break;
    case 'P': print_parse(words, body, size); break;
    case 'C':
        assert_true(body[0] == 'S' && body[size - 1] == 0);
        blob_print(words, "C:%s", (const char *)body + 1);
        break;
    case 'D': assert_memory_equal(body, "P", size); blob_print(words, "D"); break;
    case 'E': assert_memory_equal(body, "\0\0\0\0\0", size); blob_print(words, "E"); break;
    case 'Q':
        assert_true(strlen((const char *)body) + 1 == size);
        blob_print(words, "Q");
        break;
    case 'd': blob_print(words, "d(%.*s)", (int)size, (const char *)body); break;
    case 'f':
        assert_true(strlen((const char *)body) + 1 == size);
        blob_print(words, "f(%s)", (const char *)body);
        break;
    case 'c':
    case 'S':
    case 'X': assert_int_equal(size, 0); blob_print(words, "%c", type); break;
    case 'p':
        blob_print(words, "p(");
        for (size_t i = 0; i < size; i++) blob_print(words, isprint(body[i]) ? "%c" : "\\%u", body[i]);
        blob_print(words, ")");
        break;
    default: fail_msg("the client sent a message of type %u", type);
    }
}

void blob_client(struct blob *words, const struct blob *sent)
{
    size_t at = 0;
    if (sent->size >= 8 && sent->at[0] == 0) { /* the startup message has no type */
        uint32_t version = u32_at(sent->at + 4);
        assert_true(version == 3 << 16 || version == (3 << 16 | 2));
        blob_print(words, version & 2 ? "startup/3.2" : "startup");
        at = u32_at(sent->at);
    }
    while (at < sent->size) {
        assert_true(sent->size - at >= 5);
        size_t size = u32_at(sent->at + at + 1);
        assert_true(size >= 4 && sent->size - at >= size + 1);
        print_client(words, sent->at[at], sent->at + at + 5, size - 4);
        at += size + 1;
    }
}
