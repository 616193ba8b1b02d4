/* reactor/probe.h - places where a tracer (bpftrace, perf, SystemTap) can look in while the program runs: USDT probes
 * of the provider `ringpg`, each one nop and a note in the file. Nothing at all where <sys/sdt.h> was missing at build
 * time.
 *
 *      acquire(pool, lease, tag)          grant(pool, lease, tag, waited_ns)          park(pool, request)
 *      release(pool, lease, tag, held_ns)
 *      query__start(pool, query, statement, sql)   statement NULL: sql; else sql is NULL
 *      query__done(pool, query, status) */
#ifndef RP_REACTOR_PROBE_H
#define RP_REACTOR_PROBE_H
#ifdef RP_SDT
#include <sys/sdt.h>
#define RP_PROBE2(name, a, b) DTRACE_PROBE2(ringpg, name, a, b)
#define RP_PROBE3(name, a, b, c) DTRACE_PROBE3(ringpg, name, a, b, c)
#define RP_PROBE4(name, a, b, c, d) DTRACE_PROBE4(ringpg, name, a, b, c, d)
#else
#define RP_PROBE2(name, a, b) ((void)0)
#define RP_PROBE3(name, a, b, c) ((void)0)
#define RP_PROBE4(name, a, b, c, d) ((void)0)
#endif
#endif
