#!/usr/bin/python3
# tests/bench/peers: asyncpg with its pool, a peer of the benchmark. As many tasks as queries are to be in flight share
# a pool of as many connections as asked for. asyncpg keeps the prepared statement in each connection's own cache.
import asyncpg

import measure


class Connection(asyncpg.Connection):
    async def reset(self, *, timeout=None):
        """The pool's reset is a round trip per query of its own, which no other contender makes: it is left out."""


async def ask(pool, meter):
    while True:
        async with pool.acquire() as connection:
            id = meter.next_id()
            meter.count(id, await connection.fetchval("SELECT number FROM bench_select WHERE id = $1", id))


async def start(options, meter):
    pool = await asyncpg.create_pool(
        host=options.host, port=options.port, user=options.user, database=options.database, ssl=False,
        min_size=options.connections, max_size=options.connections, connection_class=Connection,
        max_inactive_connection_lifetime=0, max_queries=10**9,
    )
    return [ask(pool, meter.caller(i)) for i in range(options.connections * options.in_flight)]


measure.run(start, "asyncpg " + asyncpg.__version__)
