#!/usr/bin/python3
# tests/bench/peers: psycopg 3 on asyncio, with its pool, a peer of the benchmark. As many tasks as queries are to be in
# flight share a pool of as many connections as asked for; the statement is prepared at its first use on each.
import psycopg
import psycopg_pool

import measure


async def ask(pool, meter):
    while True:
        async with pool.connection() as connection:
            cursor = connection.cursor(binary=True)
            id = meter.next_id()
            await cursor.execute("SELECT number FROM bench_select WHERE id = %s", (id,), prepare=True)
            meter.count(id, (await cursor.fetchone())[0])


async def start(options, meter):
    target = psycopg.conninfo.make_conninfo(
        host=options.host, port=options.port, user=options.user, dbname=options.database, sslmode="disable",
        gssencmode="disable",
    )
    pool = psycopg_pool.AsyncConnectionPool(
        target, min_size=options.connections, max_size=options.connections, kwargs={"autocommit": True}, open=False,
        max_waiting=0,
    )
    await pool.open(wait=True, timeout=10)
    return [ask(pool, meter.caller(i)) for i in range(options.connections * options.in_flight)]


measure.run(start, "psycopg %s (%s)" % (psycopg.__version__, psycopg.pq.__impl__))
