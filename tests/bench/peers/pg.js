#!/usr/bin/env node
// tests/bench/peers: pg (node-postgres) with pg-pool, a peer of the benchmark. As many callers as queries are to be in
// flight share a pool of as many connections as asked for; a named statement is prepared at its first use on each.
'use strict';
const Pool = require('pg-pool');
const { Client } = require('pg');
const { run } = require('./measure.js');

const statement = { name: 'answer', text: 'SELECT 42', binary: true };

run((options) => {
    const pool = new Pool({
        Client, host: options.host, port: options.port, user: options.user, database: options.database, ssl: false,
        max: options.connections, idleTimeoutMillis: 0,
    });
    return async () => (await pool.query(statement)).rows[0]['?column?'];
}, `pg ${require('pg/package.json').version}`);
