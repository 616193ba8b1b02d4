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
    parser.add_argument("--latencies", type=int, default=0)
    return parser.parse_args()


FIRST_ID, IDS, NUMBER_OVER = 100000, 10000, 100000


class Meter:
    def __init__(self, timed):
        self.answered = 0
        self.asked = 0
        self.timed = timed  # of so many callers one counts how long its queries take; 0: none
        self.took_ns = []

    def next_id(self):
        self.asked += 1
        return FIRST_ID + self.asked % IDS

    def count(self, id, value):
        """Every answer comes by here, to be checked."""
        if value != id + NUMBER_OVER:
            raise ValueError("a wrong answer: %r" % (value,))
        self.answered += 1

    def caller(self, i):
        """For one that asks again as soon as it is answered: whom it tells its answers."""
        return TimedCaller(self) if self.timed and i % self.timed == 0 else self

    def percentiles(self):
        """What the line says of them, where it does."""
        took_ns = sorted(self.took_ns)
        us = [took_ns[int((len(took_ns) - 1) * share)] / 1000 for share in (0.5, 0.99, 0.999) if took_ns]
        return '"p50_us": %.1f, "p99_us": %.1f, "p999_us": %.1f, ' % tuple(us) if us else ""

    def sample(self):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu_ns = round((usage.ru_utime + usage.ru_stime) * 1e9)
        return time.monotonic_ns(), cpu_ns, usage.ru_nvcsw, usage.ru_maxrss, self.answered


class TimedCaller:
    def __init__(self, meter):
        self.meter = meter
        self.next_id = meter.next_id
        self.last = time.monotonic_ns()

    def count(self, id, value):
        self.meter.count(id, value)
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
        '{"answered": %d, "wall_ns": %d, "cpu_ns": %d, "switches": %d, "peak_kib": %d, %s"version": "%s"}'
        % (end[4] - began[4], end[0] - began[0], end[1] - began[1], end[2] - began[2], end[3],
           meter.percentiles(), version),
        flush=True,
    )
    os._exit(0)  # what is in flight is of no interest


def run(start, version):
    """start(options, meter) connects and returns coroutines that ask until they are ended."""
    try:
        options = _options()
        asyncio.run(_measure(options, start, Meter(options.latencies), version))
    except Exception:
        traceback.print_exc(limit=-1)
        sys.stderr.flush()
        os._exit(1)
