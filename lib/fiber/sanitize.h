/* fiber/sanitize.h - what AddressSanitizer and ThreadSanitizer are told about stacks and switches; nothing without
 * them.
 *
 * AddressSanitizer keeps the bounds of the stack that it believes to be on, and must hear of each switch on both
 * sides. ThreadSanitizer keeps a shadow stack and a clock per fiber. LeakSanitizer looks into stacks that it knows. */
#ifndef RP_FIBER_SANITIZE_H
#define RP_FIBER_SANITIZE_H
#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define RP_FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RP_FIBER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define RP_FIBER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RP_FIBER_TSAN 1
#endif
#endif

/* Of one stack; of a fiber, or the thread's own. */
struct rp_sanitize {
    const void *bottom;
    size_t bytes;
    void *fake_stack, *tsan;
};

#ifdef RP_FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
static inline void rp_sanitize_stack_new(void *bottom, size_t bytes) { __lsan_register_root_region(bottom, bytes); }
static inline void rp_sanitize_stack_idle(void *bottom, size_t bytes) { __asan_unpoison_memory_region(bottom, bytes); }
static inline void rp_sanitize_stack_gone(void *bottom, size_t bytes)
{
    __asan_unpoison_memory_region(bottom, bytes);
    __lsan_unregister_root_region(bottom, bytes);
}
#else
static inline void rp_sanitize_stack_new(void *bottom, size_t bytes) { (void)bottom, (void)bytes; }
static inline void rp_sanitize_stack_idle(void *bottom, size_t bytes) { (void)bottom, (void)bytes; }
static inline void rp_sanitize_stack_gone(void *bottom, size_t bytes) { (void)bottom, (void)bytes; }
#endif

#ifdef RP_FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

static inline void rp_sanitize_create(struct rp_sanitize *s, const void *bottom, size_t bytes)
{
    *s = (struct rp_sanitize){ .bottom = bottom, .bytes = bytes };
#ifdef RP_FIBER_TSAN
    s->tsan = __tsan_create_fiber(0);
#endif
}
static inline void rp_sanitize_destroy(struct rp_sanitize *s)
{
#ifdef RP_FIBER_TSAN
    __tsan_destroy_fiber(s->tsan);
#endif
    s->bottom = NULL;
}
/* Just before the switch. `last`: `from` is never gone back to. */
static inline void rp_sanitize_leave(struct rp_sanitize *from, struct rp_sanitize *to, bool last)
{
#ifdef RP_FIBER_ASAN
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake_stack, to->bottom, to->bytes);
#endif
#ifdef RP_FIBER_TSAN
    from->tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
    (void)from, (void)to, (void)last;
}
/* Just behind it. The bounds of the stack that was left become known here, which matters for a thread's own. */
static inline void rp_sanitize_arrive(struct rp_sanitize *here, struct rp_sanitize *left)
{
#ifdef RP_FIBER_ASAN
    __sanitizer_finish_switch_fiber(here->fake_stack, &left->bottom, &left->bytes);
#endif
    (void)here, (void)left;
}

#endif
