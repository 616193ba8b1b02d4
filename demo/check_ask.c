/* check_ask.c - the requests of demo_check and what their answers have to be. */
#define _GNU_SOURCE
#include "check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const ask_names[ASK_KINDS] = {
    [ASK_ROOT] = "/",
    [ASK_ITEM] = "/item/ID",
    [ASK_ITEM_MISSING] = "/item/ID, no such",
    [ASK_ITEM_BAD] = "/item/ID, no number",
    [ASK_SLOW] = "/slow",
    [ASK_TRANSFER] = "/transfer",
    [ASK_TRANSFER_MISSING] = "/transfer, no such account",
    [ASK_TRANSFER_BAD] = "/transfer, bad",
    [ASK_UNKNOWN] = "unknown route",
    [ASK_METHOD] = "wrong method",
};
static const unsigned weights[ASK_KINDS] = {
    [ASK_ROOT] = 40, [ASK_ITEM] = 25, [ASK_ITEM_MISSING] = 3, [ASK_ITEM_BAD] = 3, [ASK_SLOW] = 8, [ASK_TRANSFER] = 12,
    [ASK_TRANSFER_MISSING] = 3, [ASK_TRANSFER_BAD] = 2, [ASK_UNKNOWN] = 2, [ASK_METHOD] = 2,
};
enum { ITEMS = 1000, ACCOUNTS = 100, FAR = 1000000 };

/* xorshift64*: the same seed asks the same things. */
uint64_t check_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return (*seed * 0x2545F4914F6CDD1Du) >> 16;
}

struct ask ask_draw(uint64_t *seed)
{
    unsigned total = 0, kind = 0;
    for (unsigned i = 0; i < ASK_KINDS; i++) total += weights[i];
    unsigned draw = (unsigned)(check_random(seed) % total);
    while (draw >= weights[kind]) draw -= weights[kind++];
    int64_t id = 1 + (int64_t)(check_random(seed) % ITEMS);
    return (struct ask){ .kind = (enum ask_kind)kind, .id = kind == ASK_ITEM_MISSING ? id + FAR : id };
}

static void write_target(const struct ask *ask, uint64_t *seed, char *out, size_t capacity)
{
    long from = 1 + (long)(check_random(seed) % ACCOUNTS), to = 1 + (long)(check_random(seed) % ACCOUNTS);
    long amount = 1 + (long)(check_random(seed) % 400);
    switch (ask->kind) {
    case ASK_ITEM:
    case ASK_ITEM_MISSING: snprintf(out, capacity, "/item/%lld", (long long)ask->id); break;
    case ASK_ITEM_BAD: snprintf(out, capacity, "/item/%lldx", (long long)ask->id); break;
    case ASK_SLOW: snprintf(out, capacity, "/slow?ms=5"); break;
    case ASK_TRANSFER: snprintf(out, capacity, "/transfer?from=%ld&to=%ld&amount=%ld", from, to, amount); break;
    case ASK_TRANSFER_MISSING: snprintf(out, capacity, "/transfer?from=%d&to=%ld&amount=%ld", FAR, to, amount); break;
    case ASK_TRANSFER_BAD: snprintf(out, capacity, "/transfer?from=%ld&to=%ld&amount=-%ld", from, to, amount); break;
    case ASK_UNKNOWN: snprintf(out, capacity, "/no/such/route"); break;
    case ASK_METHOD: snprintf(out, capacity, "/transfer?from=%ld&to=%ld&amount=%ld", from, to, amount); break;
    default: snprintf(out, capacity, "/"); break;
    }
}

size_t ask_write(const struct ask *ask, uint64_t *seed, char *out, size_t capacity)
{
    static const bool posts[ASK_KINDS] = {
        [ASK_TRANSFER] = true, [ASK_TRANSFER_MISSING] = true, [ASK_TRANSFER_BAD] = true};
    char target[128];
    write_target(ask, seed, target, sizeof target);
    int size = snprintf(out, capacity, "%s %s HTTP/1.1\r\nHost: demo\r\n%s\r\n", posts[ask->kind] ? "POST" : "GET",
                        target, posts[ask->kind] ? "Content-Length: 0\r\n" : "");
    return (size_t)size;
}

static bool body_is(const struct reply *reply, const char *text)
{
    return reply->size == strlen(text) && memcmp(reply->body, text, reply->size) == 0;
}

const char *ask_judge(const struct ask *ask, const struct reply *reply, bool restarting)
{
    static const int wanted[ASK_KINDS] = {
        [ASK_ROOT] = 200,    [ASK_ITEM] = 200,     [ASK_ITEM_MISSING] = 404,     [ASK_ITEM_BAD] = 400,
        [ASK_SLOW] = 200,    [ASK_TRANSFER] = 200, [ASK_TRANSFER_MISSING] = 404, [ASK_TRANSFER_BAD] = 400,
        [ASK_UNKNOWN] = 404, [ASK_METHOD] = 405,
    };
    if (reply->status == 503 && !reply->retry_after) return "503 without Retry-After";
    if (reply->status == 503) return restarting ? NULL : "503, the database was not available in time";
    if (ask->kind == ASK_TRANSFER && reply->status == 409)
        return body_is(reply, "funds are short\n") ? NULL : "409 with another body";
    if (reply->status != wanted[ask->kind]) return "another status than the request deserves";
    char item[32];
    snprintf(item, sizeof item, "item-%lld", (long long)ask->id);
    if (ask->kind == ASK_ROOT && !body_is(reply, "db=42")) return "the body is not db=42";
    if (ask->kind == ASK_ITEM && !body_is(reply, item)) return "the body is another item's";
    if ((ask->kind == ASK_TRANSFER || ask->kind == ASK_SLOW) && !body_is(reply, "ok\n")) return "the body is not ok";
    return NULL;
}

/* The value of a header in [at, end), NULL: absent. */
static const char *header(const char *at, const char *end, const char *name)
{
    size_t size = strlen(name);
    while (at < end) {
        if ((size_t)(end - at) > size && strncasecmp(at, name, size) == 0 && at[size] == ':') return at + size + 1;
        const char *line = memchr(at, '\n', (size_t)(end - at));
        if (!line) return NULL;
        at = line + 1;
    }
    return NULL;
}

long reply_parse(const char *at, size_t size, struct reply *out)
{
    const char *end = memmem(at, size, "\r\n\r\n", 4);
    if (size >= 9 && memcmp(at, "HTTP/1.1 ", 9)) return -1;
    if (!end) return 0;
    end += 4;
    const char *length = header(at, end, "Content-Length");
    if (!length) return -1;
    size_t head = (size_t)(end - at), body = strtoul(length, NULL, 10);
    if (size - head < body) return 0;
    *out = (struct reply){ .status = atoi(at + 9), .body = end, .size = body,
                           .retry_after = header(at, end, "Retry-After") != NULL };
    return (long)(head + body);
}
