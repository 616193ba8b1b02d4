#!/usr/bin/env bash
# The one list of Debian packages, and the step that installs what is missing of it.
#
#   tests/support/packages.sh [build|bench|peers|tests]   build: what demo/run needs; bench: what the benchmark needs;
#                                                         peers: what the benchmark's peers are made of, which are
#                                                         all optional; tests: what the tests need (default)
#
# As root, or with a sudo that asks for no password, it installs with apt; otherwise it names the missing packages in
# one line and exits 1. Installs nothing when nothing is missing. A line is `what package [or another package]`;
# `optional` packages serve single tests, which say so when they have to do without; `optbench` ones do so for parts of
# the benchmark, which does without a peer, too.
set -euo pipefail

packages_list()
{
    cat <<'LIST'
build    gcc
build    libc6-dev
build    make
build    cmake
build    pkg-config pkgconf
build    liburing-dev
build    libck-dev
build    libssl-dev
build    libidn-dev libidn11-dev
build    libcmocka-dev
build    libllhttp-dev node-llhttp
build    postgresql
build    libpq-dev
bench    strace
bench    valgrind
tests    g++
tests    clang
tests    libuv1-dev
bench    openssl
optional libclang-rt-14-dev libclang-rt-dev
optional libpg-query-dev
optional nodejs
optional npm
optional pgbouncer
optional postgresql-server-dev-all
optional shellcheck
optional systemtap-sdt-dev
optbench wrk
peers    cargo
peers    librust-tokio-postgres-dev
peers    golang-go
peers    golang-github-jackc-pgx-v4-dev
peers    python3-asyncpg
peers    python3-psycopg
peers    python3-psycopg-pool
peers    nodejs
peers    npm
LIST
}

packages_installed()
{
    # Server binaries from elsewhere (another version, a package of another name) are as good.
    if [ "$1" = postgresql ] && compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
        return 0
    fi
    # Debian's npm stands beside Debian's nodejs; other packages of nodejs bring their own. Other compilers are as good.
    case "$1" in
    npm | nodejs | cargo | golang-go)
        local program=${1#golang-}
        command -v "${program%js}" >/dev/null && return 0 ;;
    esac
    if [ "$1" = postgresql-server-dev-all ] && compgen -G '/usr/include/postgresql/*/server/postgres.h' >/dev/null; then
        return 0
    fi
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

packages_available()
{
    [[ $(apt-cache policy "$1" 2>/dev/null) =~ Candidate:\ [^\(] ]]
}

# Lines of the list, `$1` being the kinds that count, of which no alternative is installed.
packages_missing()
{
    local kind names name
    while read -r kind names; do
        [[ " $1 " == *" $kind "* ]] || continue
        for name in $names; do
            packages_installed "$name" && continue 2
        done
        echo "$names"
    done < <(packages_list)
}

# The first alternative that the archive has; the last one when it has none, so that apt says what is wrong.
packages_choose()
{
    local name
    for name in "$@"; do
        packages_available "$name" && break
    done
    echo "$name"
}

# Lines of alternatives from standard input, as one name each in `chosen`.
packages_chosen()
{
    local line
    chosen=()
    while read -r line; do
        # shellcheck disable=SC2086 # a line is a list of names
        [ -z "$line" ] || chosen+=("$(packages_choose $line)")
    done
}

packages_apt()
{
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 \
        -o APT::Install-Recommends=false -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
}

# What one of them lacks is no reason to do without the others.
packages_one_by_one()
{
    local name
    for name in "$@"; do
        packages_apt install "$name" || echo "packages: could not install (optional): $name" >&2
    done
}

packages_main()
{
    local kinds extras=none without="what wants them will say so" line optional=()
    become=()
    case "${1-tests}" in
    build) kinds=build ;;
    peers) kinds=none extras=peers without="the benchmark does without the peers that need them" ;;
    bench) kinds="build bench" extras=optbench ;;
    tests) kinds="build tests" extras=optional ;;
    *) echo "usage: $0 [build|bench|peers|tests]" >&2; return 2 ;;
    esac
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        [ "$kinds" = none ] || echo "packages: not a Debian system; needed are:" \
            "$(packages_list | grep -v ^peers | cut -c10- | tr '\n' ' ')" >&2
        return 0
    fi
    local missing
    missing=$(packages_missing "$kinds")
    local extra
    extra=$(packages_missing "$extras")
    [ -n "$missing$extra" ] || return 0

    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
            become=(sudo -n)
        elif [ -n "$missing" ]; then
            packages_chosen <<<"$missing"
            echo "packages: missing here, and neither root nor sudo to install them: ${chosen[*]}" >&2
            return 1
        else
            echo "packages: not installed, $without: $(tr '\n' ' ' <<<"$extra")" >&2
            return 0
        fi
    fi
    # A failed update (one broken source of many) is no reason to give up: the install decides.
    packages_apt update || echo "packages: apt-get update failed; trying with what is known" >&2
    packages_chosen <<<"$missing"
    while read -r line; do
        [ -n "$line" ] || continue
        # shellcheck disable=SC2086 # a line is a list of names
        line=$(packages_choose $line)
        if packages_available "$line"; then
            optional+=("$line")
        else
            echo "packages: the archive has none of this name (optional): $line" >&2
        fi
    done <<<"$extra"
    if [ ${#chosen[@]} -gt 0 ]; then
        echo "packages: installing ${chosen[*]}" >&2
        if ! packages_apt install "${chosen[@]}"; then
            echo "packages: could not install: ${chosen[*]}" >&2
            return 1
        fi
    fi
    if [ ${#optional[@]} -gt 0 ]; then
        echo "packages: installing ${optional[*]}" >&2
        packages_apt install "${optional[@]}" || packages_one_by_one "${optional[@]}"
    fi
}

packages_main "$@"
