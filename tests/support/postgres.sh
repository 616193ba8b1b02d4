#!/usr/bin/env bash
# A throw-away PostgreSQL from the installed server binaries. Sourced by demo/run, tests/run and tests/bench/run;
# installs nothing.
#
#   . tests/support/postgres.sh
#   trap postgres_stop EXIT
#   postgres_start NAME                 a cluster under build/postgres; exports the variables below
#
# Executed: tests/support/postgres.sh COMMAND...   runs the command beside such a cluster, which ends with it.
#
# It listens on a Unix socket in a folder of its own and on a free port of 127.0.0.1. Exported are
#   DATABASE_URL           superuser by the Unix socket (trust)
#   RINGPG_TEST_TCP_URL    role tcp_user by TCP (trust, no superuser)
#   RINGPG_TEST_PASSWORD   the password of the roles scram_user, md5_user and plain_user (scram-sha-256, md5, cleartext),
#                          on both ways in; a superuser can not come by TCP
#   RINGPG_TEST_SOCKET_DIR RINGPG_TEST_PORT
#   RINGPG_PGDATA
#   RINGPG_PGBIN           the server's programs; set before, it says which ones to take
#   RINGPG_PG_RESTART      an executable that does `pg_ctl restart -m immediate` as the server's user; its argument, if there
#                          is one, is another mode
# PostgreSQL refuses to run as root: as root it becomes `postgres` or `nobody`, and where that user can not reach the
# checkout, the cluster stands in a folder under /tmp. Processes are ended by the pid in the cluster's own
# postmaster.pid.
set -euo pipefail

postgres_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
postgres_records=$postgres_root/build/postgres
postgres_home=
postgres_as=()

# The server in RINGPG_PGBIN if that is set, else the newest on this machine.
postgres_find()
{
    local at
    if [ -n "${RINGPG_PGBIN-}" ]; then
        at=$RINGPG_PGBIN/initdb
    else
        at=$(postgres_newest)
    fi
    if [ ! -x "$at" ]; then
        echo "postgres: no server binaries found (package postgresql)" >&2
        return 1
    fi
    dirname "$(readlink -f "$at")"
}
postgres_newest()
{
    local at
    at=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
    if [ ! -x "$at" ]; then
        at=$(command -v initdb || true)
        [ -n "$at" ] || at=$(pg_config --bindir 2>/dev/null || true)/initdb
    fi
    echo "$at"
}

# psql as a superuser; of the machine where the server came without one.
postgres_psql()
{
    local psql=$RINGPG_PGBIN/psql
    [ -x "$psql" ] || psql=$(dirname "$(postgres_newest)")/psql
    (cd / && "$psql" -X -q -v ON_ERROR_STOP=1 -d "$DATABASE_URL" "$@")
}

# Fills postgres_as: the words that make a command run as an ordinary user. Empty unless we are root.
postgres_choose_user()
{
    local name
    postgres_as=()
    [ "$(id -u)" = 0 ] || return 0
    for name in postgres nobody; do
        if id -u "$name" >/dev/null 2>&1; then
            postgres_as=(setpriv "--reuid=$(id -u "$name")" "--regid=$(id -g "$name")" --clear-groups
                env "HOME=/tmp" "USER=$name")
            return 0
        fi
    done
    echo "postgres: running as root, and there is no user postgres or nobody to become" >&2
    return 1
}

# Prints a new empty folder that the server's user owns and can reach: below `$1`, or below /tmp.
postgres_folder()
{
    local folder
    mkdir -p "$1"
    folder=$(mktemp -d "$1/XXXXXX")
    if [ ${#postgres_as[@]} -gt 0 ]; then
        chown "$("${postgres_as[@]}" id -u):$("${postgres_as[@]}" id -g)" "$folder"
        if ! (cd / && "${postgres_as[@]}" touch "$folder/.reach" 2>/dev/null); then
            rmdir "$folder"
            folder=$(mktemp -d /tmp/ringpg-XXXXXX)
            chown "$("${postgres_as[@]}" id -u):$("${postgres_as[@]}" id -g)" "$folder"
            echo "postgres: the server's user can not reach $1: the cluster stands in $folder" >&2
        else
            rm -f "$folder/.reach"
        fi
    fi
    chmod 700 "$folder"
    echo "$folder"
}

postgres_ctl()
{
    # From / because the user may not enter the current folder.
    (cd / && "${postgres_as[@]}" "$RINGPG_PGBIN/pg_ctl" -D "$RINGPG_PGDATA" "$@" </dev/null)
}

postgres_encode()
{
    local text=$1 at out=
    for ((at = 0; at < ${#text}; at++)); do
        case "${text:at:1}" in
        [A-Za-z0-9._~-]) out+=${text:at:1} ;;
        *) out+=$(printf '%%%02X' "'${text:at:1}") ;;
        esac
    done
    echo "$out"
}

# Ends the cluster in folder $1, a standby in it included, and removes it. Nothing to do is fine.
postgres_end()
{
    local home=$1 pid wait data
    case "$home" in
    "$postgres_records"/?* | /tmp/ringpg-?*) ;;
    *) return 0 ;;
    esac
    for data in "$home/data" "$home/standby"; do
        pid=
        [ ! -r "$data/postmaster.pid" ] || pid=$(head -n 1 "$data/postmaster.pid" 2>/dev/null || true)
        # The number may have been given to somebody else since: only a process that runs in this data folder is ours.
        if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$data" ]; then
            kill -QUIT "$pid" 2>/dev/null || true
            for ((wait = 0; wait < 100; wait++)); do
                [ -d "/proc/$pid" ] || break
                sleep 0.1
            done
            [ ! -d "/proc/$pid" ] || kill -KILL "$pid" 2>/dev/null || true
        fi
    done
    if [ -r "$home/socket" ]; then
        case "$(cat "$home/socket")" in
        /tmp/ringpg-?*) rm -rf -- "$(cat "$home/socket")" ;;
        esac
    fi
    rm -rf -- "$home"
}

# What runs that were killed left behind: each cluster has a record with its owner's pid and start time.
postgres_sweep()
{
    local record owner started home
    for record in "$postgres_records"/*.owner; do
        [ -r "$record" ] || continue
        read -r owner started home <"$record" || continue
        if [ "$(postgres_started "$owner")" != "$started" ]; then
            postgres_end "$home"
            rm -f -- "$record"
        fi
    done
}

postgres_started()
{
    local line
    line=$(cat "/proc/$1/stat" 2>/dev/null) || { echo gone; return 0; }
    # The name in parentheses may hold blanks: count from behind it. The start time is field 22, the 20th from there.
    line=${line##*) }
    cut -d ' ' -f 20 <<<"$line"
}

postgres_settings()
{
    cat <<CONF
listen_addresses = '127.0.0.1'
port = $2
unix_socket_directories = '$1'
unix_socket_permissions = 0777
max_connections = 100
fsync = off
synchronous_commit = on
full_page_writes = off
shared_buffers = 64MB
log_min_messages = warning
log_line_prefix = '%m [%p] '
CONF
}

postgres_hba()
{
    local way
    for way in local host; do
        local from=
        [ $way = local ] || from=127.0.0.1/32
        echo "$way all scram_user $from scram-sha-256"
        echo "$way all prepared_user $from scram-sha-256"
        echo "$way all md5_user $from md5"
        echo "$way all plain_user $from password"
    done
    echo "local all all trust"
    # Anybody on this machine can reach the port: no superuser by it.
    echo "host all tcp_user 127.0.0.1/32 trust"
}

postgres_roles()
{
    cat <<SQL
SET password_encryption = 'scram-sha-256';
CREATE ROLE scram_user LOGIN PASSWORD '$RINGPG_TEST_PASSWORD';
CREATE ROLE prepared_user LOGIN PASSWORD U&'\\2168 \\00e4';
CREATE ROLE plain_user LOGIN PASSWORD '$RINGPG_TEST_PASSWORD';
SET password_encryption = 'md5';
CREATE ROLE md5_user LOGIN PASSWORD '$RINGPG_TEST_PASSWORD';
CREATE ROLE tcp_user LOGIN;
GRANT ALL ON SCHEMA public TO scram_user, plain_user, md5_user, tcp_user;
SQL
}

# $1: a short name for the folder. Exports the variables named above.
postgres_start()
{
    local name=$1 sockets port try
    RINGPG_PGBIN=$(postgres_find)
    postgres_choose_user
    mkdir -p "$postgres_records"
    postgres_sweep
    postgres_home=$(postgres_folder "$postgres_records/$name")
    echo "$$ $(postgres_started $$) $postgres_home" >"$postgres_records/$name.$$.owner"
    RINGPG_PGDATA=$postgres_home/data

    # A socket's path has room for 107 bytes, and the setting's own syntax has its special characters.
    sockets=$postgres_home
    if [ ${#sockets} -gt 85 ] || [[ $sockets == *[!A-Za-z0-9/._+-]* ]]; then
        sockets=$(mktemp -d /tmp/ringpg-XXXXXX)
        [ ${#postgres_as[@]} = 0 ] || chown "$("${postgres_as[@]}" id -u)" "$sockets"
        echo "$sockets" >"$postgres_home/socket"
    fi
    if ! (cd / && "${postgres_as[@]}" "$RINGPG_PGBIN/initdb" -D "$RINGPG_PGDATA" -U postgres -A trust \
        -E UTF8 --locale=C -N) >"$postgres_home/initdb.log" 2>&1; then
        cat "$postgres_home/initdb.log" >&2
        echo "postgres: initdb failed" >&2
        return 1
    fi
    postgres_hba >"$RINGPG_PGDATA/pg_hba.conf"
    RINGPG_TEST_PASSWORD=$(tr -d - </proc/sys/kernel/random/uuid)

    # Binding is the server's: a port that somebody else has makes the start fail, and the next one is tried.
    for ((try = 0; try < 20; try++)); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        postgres_settings "$sockets" "$port" >>"$RINGPG_PGDATA/postgresql.conf"
        if postgres_ctl -w -t 60 -l "$postgres_home/log" start >/dev/null 2>&1; then
            break
        fi
        if ! grep -q 'could not bind' "$postgres_home/log" 2>/dev/null; then
            cat "$postgres_home/log" >&2 || true
            echo "postgres: the server did not start" >&2
            return 1
        fi
        rm -f -- "$postgres_home/log"
    done
    if [ "$try" = 20 ]; then
        echo "postgres: no free port found in $try attempts" >&2
        return 1
    fi

    RINGPG_TEST_SOCKET_DIR=$sockets
    RINGPG_TEST_PORT=$port
    RINGPG_TEST_TCP_URL="postgresql://tcp_user@127.0.0.1:$port/postgres"
    DATABASE_URL="postgresql://postgres@/postgres?host=$(postgres_encode "$sockets")&port=$port"
    RINGPG_PG_RESTART=$postgres_home/restart
    {
        echo '#!/usr/bin/env bash'
        echo "# Ends the server at once, as a crash would, and starts it again; returns when it answers."
        echo "cd /"
        # The server would keep the test's own descriptors open.
        echo "for fd in /proc/self/fd/*; do fd=\${fd##*/}; [ \"\$fd\" -le 2 ] || eval \"exec \$fd>&-\"; done"
        printf 'exec '
        printf '%q ' "${postgres_as[@]}" "$RINGPG_PGBIN/pg_ctl" -D "$RINGPG_PGDATA" -l "$postgres_home/log" \
            -w -t 60 restart
        # shellcheck disable=SC2016 # expanded when it runs
        echo '-m "${1:-immediate}" </dev/null >/dev/null'
    } >"$RINGPG_PG_RESTART"
    chmod 755 "$RINGPG_PG_RESTART"
    export DATABASE_URL RINGPG_TEST_TCP_URL RINGPG_TEST_PASSWORD RINGPG_TEST_SOCKET_DIR RINGPG_TEST_PORT
    export RINGPG_PGDATA RINGPG_PGBIN RINGPG_PG_RESTART
    postgres_roles | postgres_psql -f - >&2
}

postgres_stop()
{
    [ -n "$postgres_home" ] || return 0
    local home=$postgres_home
    postgres_home=
    postgres_end "$home"
    rm -f -- "$postgres_records"/*."$$".owner
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    [ $# -gt 0 ] || { echo "usage: $0 COMMAND..." >&2; exit 2; }
    trap postgres_stop EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    postgres_start shell
    "$@"
fi
