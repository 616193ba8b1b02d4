# tests/bench/peers: what the peers in Python share: their options, the span that is measured, and the line of figures.
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


class Meter:
    def __init__(self):
        self.answered = 0

    def count(self, value):
        """Every answer comes by here, to be checked."""
        if value != 42:
            raise ValueError("a wrong answer: %r" % (value,))
        self.answered += 1

    def sample(self):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu_ns = round((usage.ru_utime + usage.ru_stime) * 1e9)
        return time.monotonic_ns(), cpu_ns, usage.ru_nvcsw, usage.ru_maxrss, self.answered


async def _measure(options, start, meter, version):
    tasks = await start(options, meter)
    ended = asyncio.gather(*tasks)  # none ends but by an error
    samples = []
    for ms in (options.warm_ms, options.measure_ms):
        await asyncio.wait([ended], timeout=ms / 1000)
        if ended.done():
            ended.result()
        samples.append(meter.sample())
    began, end = samples
    print(
        '{"answered": %d, "wall_ns": %d, "cpu_ns": %d, "switches": %d, "peak_kib": %d, "version": "%s"}'
        % (end[4] - began[4], end[0] - began[0], end[1] - began[1], end[2] - began[2], end[3], version),
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
