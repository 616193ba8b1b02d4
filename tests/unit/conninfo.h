/* conninfo.h - what tests of connection strings begin with: a parse through an allocator that counts, and a comparison
 * that says what it is about. Included by test_conninfo_*.c. */
#ifndef UNIT_CONNINFO_H
#define UNIT_CONNINFO_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "config/conninfo.h"
#include "wire/check.h"

/* Blocks and bytes that are out; every block must come back as zeros. */
struct blocks { size_t count, calls, fail_at; };

static inline void *blocks_allocate(void *arg, size_t bytes)
{
    struct blocks *b = arg;
    if (++b->calls == b->fail_at) return NULL;
    b->count++;
    return malloc(bytes);
}
static inline void blocks_deallocate(void *arg, void *at, size_t bytes)
{
    ((struct blocks *)arg)->count--;
    for (size_t i = 0; i < bytes; i++) assert_int_equal(((char *)at)[i], 0);
    free(at);
}
static struct blocks blocks;
static const struct rp_memory memory = { blocks_allocate, blocks_deallocate, &blocks };

/* What the machine says is not what is tested. */
extern char **environ;
static inline void forget_environment(void)
{
    for (char **e = environ; *e;) {
        char name[64] = "";
        size_t size = strcspn(*e, "=");
        if (strncmp(*e, "PG", 2) != 0 || size >= sizeof name) {
            e++;
            continue;
        }
        memcpy(name, *e, size);
        unsetenv(name);
        e = environ;
    }
}

static inline void check_text(const char *text, const char *what, const char *is, const char *expected)
{
    if (!is != !expected || (is && strcmp(is, expected) != 0))
        fail_msg("%s: %s is %s, expected %s", text, what, is ? is : "NULL", expected ? expected : "NULL");
}

/* All that the opening of a pool asks; what is refused leaves no block. */
static inline int parse(struct rp_conninfo *c, const char *text, enum rp_sources sources, struct pg_error *error)
{
    int rc = rp_conninfo_parse(c, text, sources, &memory, error);
    if (!rc) rc = rp_conninfo_check(c, error);
    if (rc) {
        rp_conninfo_wipe(c, &memory);
        assert_int_equal(blocks.count, 0);
    }
    return rc;
}
static inline void must_parse(struct rp_conninfo *c, const char *text, enum rp_sources sources)
{
    struct pg_error error;
    if (parse(c, text, sources, &error)) fail_msg("%s: %s", text, pg_error_field(&error, 'M'));
}
static inline void wipe(struct rp_conninfo *c)
{
    rp_conninfo_wipe(c, &memory);
    assert_int_equal(blocks.count, 0);
}
static inline void must_fail(const char *text, enum rp_sources sources, const char *message)
{
    struct rp_conninfo c;
    struct pg_error error;
    int rc = parse(&c, text, sources, &error);
    if (!rc) fail_msg("%s was accepted", text);
    assert_int_equal(rc, PG_E_CONFIG);
    check_text(text, "the error", pg_error_field(&error, 'M'), message);
}

#endif
