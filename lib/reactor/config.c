/* reactor/config.c - the caller's configuration, checked and filled up with defaults.
 *
 * A struct says its own size: of a smaller one (an older program) the missing fields are defaults, in a larger one (a
 * newer program) the fields that we do not know must be zero. Knows no reactor; changes nothing but its out-parameters.
 */
#include <stdio.h>
#include <string.h>
#include "state.h"

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif

enum {
    DEFAULT_RESUMES = 1024,
    DEFAULT_FIBERS = 1024,
    DEFAULT_STATEMENTS = 256,
    MAX_STATEMENTS = 65535,
    DEFAULT_SLAB_BYTES = 64 * 1024 * 1024,
    DEFAULT_MAP_COUNT = 65530, /* the kernel's, where /proc says nothing */
    MIN_STACK_BYTES = 16 * 1024,
#ifdef UNDER_ASAN
    DEFAULT_STACK_BYTES = 256 * 1024,
#else
    DEFAULT_STACK_BYTES = 64 * 1024,
#endif
};

/* Copies a struct that starts with its own size. NULL, or what is wrong with it. */
static const char *read_sized(void *to, size_t known, size_t least, const void *from)
{
    size_t size;
    memcpy(&size, from, sizeof size);
    if (size < least) return "too small, was it initialised?";
    memcpy(to, from, size < known ? size : known);
    for (size_t i = known; i < size; i++)
        if (((const unsigned char *)from)[i]) return "of a newer version, and uses what this one does not have";
    return NULL;
}

/* Each stack is two mappings, itself and its guard page, and half of the process's mappings stays with the program. */
static uint32_t most_fibers(void)
{
    unsigned long count = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    if (file) {
        if (fscanf(file, "%lu", &count) != 1) count = 0;
        fclose(file);
    }
    if (count == 0) count = DEFAULT_MAP_COUNT;
    if (count > UINT32_MAX) count = UINT32_MAX;
    return (uint32_t)(count / 4);
}

static int check_ops(struct pg_host_ops *ops, const struct pg_host *host, struct pg_error *error)
{
    if (!host) return rp_error_set(error, PG_E_CONFIG, "host: missing");
    if (!host->ops) return rp_error_set(error, PG_E_CONFIG, "host.ops: missing");
    if (host->reactor) return rp_error_set(error, PG_E_CONFIG, "host: belongs to another reactor already");
    const char *wrong = read_sized(ops, sizeof *ops, offsetof(struct pg_host_ops, open), host->ops);
    if (wrong) return rp_error_set(error, PG_E_CONFIG, "host.ops.size: %s", wrong);

    const struct { const char *name; bool there; } required[] = {
        { "bind", ops->bind },
        { "unbind", ops->unbind },
        { "submit_send", ops->submit_send },
        { "submit_recv", ops->submit_recv },
    };
    for (size_t i = 0; i < RP_COUNT(required); i++)
        if (!required[i].there) return rp_error_set(error, PG_E_CONFIG, "host.ops.%s: required", required[i].name);
    return 0;
}

static int check_bounds(struct pg_reactor_config *c, struct pg_error *error)
{
    uint32_t fibers = most_fibers();
    if (!c->resumes_per_turn) c->resumes_per_turn = DEFAULT_RESUMES;
    if (!c->fibers) c->fibers = fibers < DEFAULT_FIBERS ? fibers : DEFAULT_FIBERS;
    if (!c->fiber_stack_bytes) c->fiber_stack_bytes = DEFAULT_STACK_BYTES;
    if (!c->statements) c->statements = DEFAULT_STATEMENTS;
    if (!c->slab_bytes) c->slab_bytes = DEFAULT_SLAB_BYTES;

    const struct { const char *name; size_t value, least, most; } bounds[] = {
        { "resumes_per_turn", c->resumes_per_turn, 1, UINT32_MAX },
        { "fibers", c->fibers, 1, fibers },
        { "fiber_stack_bytes", c->fiber_stack_bytes, MIN_STACK_BYTES, SIZE_MAX / 4 },
        { "statements", c->statements, 1, MAX_STATEMENTS },
        { "slab_bytes", c->slab_bytes, RP_SLAB_MIN, SIZE_MAX / 4 },
    };
    for (size_t i = 0; i < RP_COUNT(bounds); i++)
        if (bounds[i].value < bounds[i].least || bounds[i].value > bounds[i].most)
            return rp_error_set(error, PG_E_CONFIG, "%s: %zu is not between %zu and %zu", bounds[i].name,
                                bounds[i].value, bounds[i].least, bounds[i].most);
    return 0;
}

int rp_config_check(struct pg_reactor_config *full, struct pg_host_ops *ops, const struct pg_reactor_config *given,
                    struct pg_error *error)
{
    *full = (struct pg_reactor_config){ .size = 0 };
    *ops = (struct pg_host_ops){ .size = 0 };
    const char *wrong = read_sized(full, sizeof *full, offsetof(struct pg_reactor_config, resumes_per_turn), given);
    if (wrong) return rp_error_set(error, PG_E_CONFIG, "size: %s", wrong);
    if (full->abi != PG_ABI) return rp_error_set(error, PG_E_CONFIG, "abi: %u, the library has %u", full->abi, PG_ABI);
    if (!full->allocate != !full->deallocate)
        return rp_error_set(error, PG_E_CONFIG, "%s: missing", full->allocate ? "deallocate" : "allocate");
    int rc = check_ops(ops, full->host, error);
    return rc ? rc : check_bounds(full, error);
}
