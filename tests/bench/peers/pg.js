#!/usr/bin/env node
// tests/bench/peers: pg (node-postgres) with pg-pool, a peer of the benchmark. As many callers as queries are to be in
// flight share a pool of as many connections as asked for; a named statement is prepared at its first use on each.
// Results are text: it takes binary ones for UTF-8, so that numbers with bytes from 128 on are wrong.
'use strict';
const Pool = require('pg-pool');
const { Client } = require('pg');
const { run } = require('./measure.js');

const statement = { name: 'number', text: 'SELECT number FROM bench_select WHERE id = $1' };

run((options) => {
    const pool = new Pool({
        Client, host: options.host, port: options.port, user: options.user, database: options.database, ssl: false,
        max: options.connections, idleTimeoutMillis: 0,
    });
    return async (id) => (await pool.query({ ...statement, values: [id] })).rows[0].number;
}, `pg ${require('pg/package.json').version}`);
