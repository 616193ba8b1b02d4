# tests/bench/peers: what the peers in Python share: their options, the span that is measured, and the lines about it.
# The protocol is in ../peer.c.
import argparse
import asyncio
import os
import resource
import sys
import time
import traceback


def _options():
    parser = argparse.ArgumentParser()
    for name in ("host", "user", "database"):
        parser.add_argument("--" + name, required=True)
    for name in ("port", "connections", "in-flight", "warm-ms", "measure-ms"):
        parser.add_argument("--" + name, type=int, required=True)
    return parser.parse_args()


TIMED = 8  # of so many callers one counts how long its queries take


class Meter:
    def __init__(self):
        self.answered = 0
        self.took_ns = []

    def count(self, value):
        """Every answer comes by here, to be checked."""
        if value != 42:
            raise ValueError("a wrong answer: %r" % (value,))
        self.answered += 1

    def caller(self, i):
        """For one that asks again as soon as it is answered: whom it tells its answers."""
        return self if i % TIMED else TimedCaller(self)

    def percentile_us(self, share):
        return sorted(self.took_ns)[int((len(self.took_ns) - 1) * share)] / 1000 if self.took_ns else 0

    def sample(self):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu_ns = round((usage.ru_utime + usage.ru_stime) * 1e9)
        return time.monotonic_ns(), cpu_ns, usage.ru_nvcsw, usage.ru_maxrss, self.answered


class TimedCaller:
    def __init__(self, meter):
        self.meter = meter
        self.last = time.monotonic_ns()

    def count(self, value):
        self.meter.count(value)
        now = time.monotonic_ns()
        self.meter.took_ns.append(now - self.last)
        self.last = now


async def _pass(ms, ended):
    await asyncio.wait([ended], timeout=ms / 1000)
    if ended.done():
        ended.result()


async def _measure(options, start, meter, version):
    tasks = await start(options, meter)
    ended = asyncio.gather(*tasks)  # none ends but by an error
    await _pass(options.warm_ms, ended)
    print("began", flush=True)
    meter.took_ns.clear()
    began = meter.sample()
    await _pass(options.measure_ms, ended)
    end = meter.sample()
    print(
        '{"answered": %d, "wall_ns": %d, "cpu_ns": %d, "switches": %d, "peak_kib": %d, "p50_us": %.1f, '
        '"p99_us": %.1f, "version": "%s"}'
        % (end[4] - began[4], end[0] - began[0], end[1] - began[1], end[2] - began[2], end[3],
           meter.percentile_us(0.5), meter.percentile_us(0.99), version),
        flush=True,
    )
    os._exit(0)  # what is in flight is of no interest


def run(start, version):
    """start(options, meter) connects and returns coroutines that ask until they are ended."""
    try:
        asyncio.run(_measure(_options(), start, Meter(), version))
    except Exception:
        traceback.print_exc(limit=-1)
        sys.stderr.flush()
        os._exit(1)
