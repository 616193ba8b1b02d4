// tests/bench/peers: what the peers on Node.js share: options, the span that is measured, and the lines about it.
// The protocol is in ../peer.c.
'use strict';
const { parseArgs } = require('util');
const { setTimeout: sleep } = require('timers/promises');

const names = ['host', 'port', 'user', 'database', 'connections', 'in-flight', 'warm-ms', 'measure-ms'];

function readOptions() {
    const known = [...names, 'latencies'].map((name) => [name, { type: 'string' }]);
    const { values } = parseArgs({ options: Object.fromEntries(known) });
    for (const name of names) {
        if (values[name] === undefined) throw new Error(`missing option --${name}`);
    }
    return {
        host: values.host, port: Number(values.port), user: values.user, database: values.database,
        connections: Number(values.connections), inFlight: Number(values['in-flight']),
        warmMs: Number(values['warm-ms']), measureMs: Number(values['measure-ms']),
        timed: Number(values.latencies || 0), // of so many callers one counts how long its queries take; 0: none
    };
}

const firstId = 100000, ids = 10000, numberOver = 100000;
let asked = 0;
let answered = 0;
let tookMs = [];

// Keeps one query in flight; every answer is checked.
async function ask(query, isTimed) {
    for (let last = performance.now(); ;) {
        const id = firstId + asked++ % ids;
        const value = await query(id);
        if (value !== id + numberOver) throw new Error(`a wrong answer: ${value}`);
        answered++;
        if (!isTimed) continue;
        const now = performance.now();
        tookMs.push(now - last);
        last = now;
    }
}

// What the line says of them, where it does.
function percentiles() {
    if (!tookMs.length) return {};
    tookMs.sort((a, b) => a - b);
    const us = (share) => Number((tookMs[Math.floor((tookMs.length - 1) * share)] * 1000).toFixed(1));
    return { p50_us: us(0.5), p99_us: us(0.99), p999_us: us(0.999) };
}

function sample() {
    const usage = process.resourceUsage();
    return {
        at: process.hrtime.bigint(), cpuNs: (usage.userCPUTime + usage.systemCPUTime) * 1000,
        switches: usage.voluntaryContextSwitches, peakKib: usage.maxRSS, answered,
    };
}

async function measure(options, query) {
    for (let i = 0; i < options.connections * options.inFlight; i++) ask(query, i % options.timed === 0).catch(die);
    await sleep(options.warmMs);
    process.stdout.write('began\n');
    tookMs = [];
    const began = sample();
    await sleep(options.measureMs);
    return [began, sample()];
}

function die(error) {
    console.error(error.stack || error);
    process.exit(1);
}

// start(options) returns a function that asks once, for an id, and returns a promise of its number.
exports.run = function run(start, version) {
    const options = readOptions();
    measure(options, start(options)).then(([began, ended]) => {
        const line = JSON.stringify({
            answered: ended.answered - began.answered, wall_ns: Number(ended.at - began.at),
            cpu_ns: ended.cpuNs - began.cpuNs, switches: ended.switches - began.switches, peak_kib: ended.peakKib,
            ...percentiles(), version,
        });
        process.stdout.write(line + '\n', () => process.exit(0)); // what is in flight is of no interest
    }).catch(die);
};
