#!/usr/bin/env bash
# tests/bench/peers: the server's own pgbench, a peer of the benchmark; RINGPG_PGBIN may name the folder of another one.
# The protocol of its arguments and of its answer is in ../peer.c. pgbench tells its figures only at its end, so that it
# runs twice, as long as the warm-up and as long as both, and the difference counts. It looks into no answer and asks
# for text. With more than one query in flight it sends them as one pipeline, and the next when all are answered: with one
# Sync behind each query from PostgreSQL 17 on, before with one behind all of them.
set -euo pipefail

die() { echo "pgbench: $1" >&2; exit 1; }

find_pgbench()
{
    local at
    for at in "${RINGPG_PGBIN-}/pgbench" "$(printf '%s\n' /usr/lib/postgresql/*/bin/pgbench | sort -V | tail -n 1)"; do
        [ ! -x "$at" ] || { echo "$at"; return 0; }
    done
    command -v pgbench || die "the program is not there"
}
[ "${1-}" != --find ] || { find_pgbench; exit; }

host='' port='' user='' database='' connections='' in_flight='' warm_ms='' measure_ms=''
while [ $# -gt 1 ]; do
    case "$1" in
    --host | --port | --user | --database | --connections | --in-flight | --warm-ms | --measure-ms)
        name=${1#--}
        printf -v "${name//-/_}" %s "$2"
        shift 2 ;;
    --latencies) shift 2 ;; # it cannot tell them
    *) die "unknown option $1" ;;
    esac
done

write_select()
{
    echo '\set id random(100000, 109999)'
    echo 'SELECT number FROM bench_select WHERE id = :id;'
}

write_script()
{
    local i
    if [ "$in_flight" = 1 ]; then
        write_select
        return
    fi
    printf '\\startpipeline\n'
    for ((i = 1; i <= in_flight; i++)); do
        write_select
        [ "$sync" = batch ] || [ "$i" = "$in_flight" ] || printf '\\syncpipeline\n'
    done
    printf '\\endpipeline\n'
}

pass() { read -r -t "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))" _ <>"$folder/never" || true; }

# For $1 milliseconds; then, unless $2 is 0, says that it has begun and goes on for as many as that. pgbench counts in
# whole seconds, by an alarm: one that comes earlier ends it just as well. Sets transactions, tps, and what the process
# had used just before: cpu_ns (it has one thread), switches, peak_kib.
run_for()
{
    local lines key value rest status=0
    "$pgbench" -n -M prepared -j 1 -c "$connections" -T $((($1 + $2) / 1000 + 5)) -f "$folder/script" -h "$host" \
        -p "$port" -U "$user" "$database" >"$folder/out" 2>"$folder/err" </dev/null &
    child=$!
    pass "$1"
    [ "$2" = 0 ] || { echo began; pass "$2"; }
    if ! read -r cpu_ns rest <"/proc/$child/schedstat"; then
        wait "$child" || cat "$folder/err" >&2
        die "ended early"
    fi 2>/dev/null
    mapfile -t lines <"/proc/$child/status" # read goes back after each line, and finds another text there
    kill -ALRM "$child" 2>/dev/null || true
    while read -r key value rest; do
        case "$key" in
        VmHWM:) peak_kib=$value ;;
        voluntary_ctxt_switches:) switches=$value ;;
        esac
    done < <(printf '%s\n' "${lines[@]}")
    wait "$child" || status=$?
    child=
    [ "$status" = 0 ] || { cat "$folder/err" >&2; die "ended with status $status"; }
    transactions=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$folder/out")
    tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$folder/out")
    if [ -z "$transactions" ] || [ -z "$tps" ]; then
        cat "$folder/out" >&2
        die "said nothing that is understood"
    fi
}

child=
folder=$(mktemp -d /tmp/ringpg-pgbench-XXXXXX)
trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null; rm -rf -- "$folder"' EXIT
trap 'exit 1' INT TERM
mkfifo "$folder/never"
pgbench=$(find_pgbench)
read -r _ _ version _ < <("$pgbench" --version) # pgbench (PostgreSQL) 15.1 ...
major=${version%%[!0-9]*} sync=each
[ "$in_flight" = 1 ] || [ "${major:-0}" -ge 17 ] || sync="batch"
[ "$sync" = each ] || [ "${major:-0}" -ge 14 ] || die "$version has no pipelines"
write_script >"$folder/script"

[ "$warm_ms" -ge 200 ] || warm_ms=200 # an alarm before pgbench expects one would be its end
run_for "$warm_ms" 0
began=("$transactions" "$tps" "$cpu_ns" "$switches")
run_for "$warm_ms" "$measure_ms"
awk -v a="${began[0]}" -v b="$transactions" -v tps_a="${began[1]}" -v tps_b="$tps" -v each="$in_flight" 'BEGIN {
    printf "{\"answered\": %.0f, \"wall_ns\": %.0f, ", (b - a) * each, (b / tps_b - a / tps_a) * 1e9 }'
switches=$((switches - began[3]))
[ "$switches" -ge 0 ] || switches=-1 # lost in the noise
printf '"cpu_ns": %s, "switches": %s, "peak_kib": %s, "sync": "%s", "version": "pgbench %s"}\n' \
    $((cpu_ns - began[2])) "$switches" "$peak_kib" "$sync" "$version"
