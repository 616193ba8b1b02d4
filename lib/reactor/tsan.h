/* reactor/tsan.h - what ThreadSanitizer is told of the order that Concurrency Kit's atomics make, by the files that are
 * compiled without it (CMakeLists.txt, RINGPG_ANNOTATED) in a program that is under it (RP_TSAN).
 * tests/unit/annotations takes each of them away once. */
#ifndef RP_REACTOR_TSAN_H
#define RP_REACTOR_TSAN_H
#include <stdint.h>

#ifdef RP_TSAN
#include <sanitizer/tsan_interface.h>
#define RP_RELEASE(at) __tsan_release((void *)(uintptr_t)(at))
#define RP_ACQUIRE(at) __tsan_acquire((void *)(uintptr_t)(at))
#else
#define RP_RELEASE(at) ((void)(at))
#define RP_ACQUIRE(at) ((void)(at))
#endif

#endif
