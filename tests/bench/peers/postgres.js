#!/usr/bin/env node
// tests/bench/peers: postgres.js, a peer of the benchmark. It prepares what it is asked, and pipelines what comes while
// all of its connections are busy. Its results are text: it knows no others.
'use strict';
const path = require('path');
const postgres = require('postgres');
const { run } = require('./measure.js');

run((options) => {
    const sql = postgres({
        host: options.host, port: options.port, user: options.user, database: options.database, ssl: false,
        max: options.connections, max_pipeline: options.inFlight, fetch_types: false, max_lifetime: null,
    });
    return async (id) => (await sql`SELECT number FROM bench_select WHERE id = ${id}`)[0].number;
}, `postgres.js ${require(path.join(__dirname, 'node_modules/postgres/package.json')).version}`);
