#!/usr/bin/env bash
# Sourced: certificates for a throw-away PostgreSQL, made by openssl for each run.
#
#   certificates_make FOLDER     a root and what it has signed for server and client, revoked and locked ones beside them,
#                                another root, and in FOLDER/ed25519 the same with a signature that has no hash of its own
#   certificates_serve FOLDER    gives the running server its own copies and switches TLS on; it is restarted
#
# Of postgres.sh it needs RINGPG_PGDATA and RINGPG_PG_RESTART.

certificates_folder=
certificates_ca=

# What openssl has to say goes there.
certificates_quietly() { "$@" >>"$certificates_folder/log" 2>&1; }

# $certificates_ca is the path of the authority that is made, and then of the one that signs.
certificates_authority()
{
    certificates_quietly openssl req -x509 -newkey "$2" -nodes -days 2 -subj "/CN=$1" -keyout "$certificates_ca.key" \
        -out "$certificates_ca.crt"
    : >"$certificates_ca.index"
    echo 01 >"$certificates_ca.serial"
    cat >"$certificates_ca.cnf" <<CONF
[ca]
default_ca = here
[here]
database = $certificates_ca.index
unique_subject = no
serial = $certificates_ca.serial
new_certs_dir = $certificates_folder
certificate = $certificates_ca.crt
private_key = $certificates_ca.key
default_md = $3
default_days = 2
default_crl_days = 2
policy = any
[any]
commonName = supplied
CONF
}

# name, subject, names, kind of key: a key and a certificate.
certificates_sign()
{
    local at=$certificates_folder/$1 subject=$2 names=$3
    certificates_quietly openssl req -newkey "${4-rsa:2048}" -nodes -subj "/CN=$subject" -keyout "$at.key" -out "$at.csr"
    certificates_quietly openssl ca -batch -config "$certificates_ca.cnf" -in "$at.csr" -out "$at.crt" -notext \
        -extfile <(echo "subjectAltName = $names")
    chmod 600 "$at.key"
}

certificates_make()
{
    certificates_folder=$1
    mkdir "$certificates_folder"
    certificates_ca=$certificates_folder/root
    certificates_authority "the tests' root" rsa:2048 sha256
    certificates_sign server localhost DNS:localhost
    certificates_sign client cert_user DNS:cert_user
    local config=$certificates_ca.cnf at=$certificates_folder
    certificates_quietly openssl ca -config "$config" -gencrl -out "$at/empty.crl"
    certificates_quietly openssl ca -config "$config" -revoke "$at/server.crt"
    certificates_quietly openssl ca -config "$config" -gencrl -out "$at/revoked.crl"
    certificates_quietly openssl rsa -aes256 -passout pass:open-sesame -in "$at/client.key" -out "$at/locked.key"
    cp "$at/client.key" "$at/open.key"
    chmod 600 "$at/locked.key"
    chmod 644 "$at/open.key"
    certificates_ca=$at/other
    certificates_authority "another root" rsa:2048 sha256

    mkdir "$at/ed25519"
    cp "$at"/*.crt "$at"/*.key "$at/ed25519"
    certificates_ca=$at/ed25519/root
    certificates_authority "a root of another kind" ed25519 default
    certificates_sign ed25519/server localhost DNS:localhost ed25519
    certificates_quietly openssl ca -config "$certificates_ca.cnf" -gencrl -out "$at/ed25519/empty.crl"
    chmod 600 "$at"/ed25519/*.key
    chmod 644 "$at/ed25519/open.key"

    local folder
    for folder in "$at" "$at/ed25519"; do # as libpq looks for its own files
        mkdir -p "$folder/home/.postgresql"
        cp "$folder/root.crt" "$folder/home/.postgresql/root.crt"
        cp "$folder/client.crt" "$folder/home/.postgresql/postgresql.crt"
        install -m 600 "$folder/client.key" "$folder/home/.postgresql/postgresql.key"
    done
}

# What the tests read is another user's.
certificates_serve()
{
    local owner from
    owner=$(stat -c %u "$RINGPG_PGDATA")
    for from in server.crt server.key root.crt ed25519/server.crt ed25519/server.key; do
        install -m 600 -o "$owner" "$1/$from" "$RINGPG_PGDATA/${from/\/server/}"
    done
    cat >>"$RINGPG_PGDATA/postgresql.conf" <<CONF
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
ssl_ca_file = 'root.crt'
CONF
    "$RINGPG_PG_RESTART" fast
}
