#!/bin/bash
# Backs Deskfold's database up while it runs, and brings a backup back; docs/operations.md says when to use which.
#
#   deploy/backup.sh dump FILE         what the database holds, by pg_dump
#   deploy/backup.sh base DIRECTORY    the files of the whole cluster and the WAL they need, by pg_basebackup
#   deploy/backup.sh restore FILE      a dump into the new, empty database that DATABASE_URL names
#   deploy/backup.sh check BACKUP      whether the database holds every event that the log had when BACKUP was begun
#
# The database is that of DATABASE_URL, or else the private cluster of the Deskfold that runs on DESKFOLD_DATA_DIR (./data).
# PG_BIN names the directory of PostgreSQL's programs, DESKFOLD the program, where they are not on the path. Beside each backup
# lies BACKUP.log.json: how far the log went, and the SHA-256 over its events.
set -euo pipefail
umask 077

deskfold=${DESKFOLD:-deskfold}
data_dir=${DESKFOLD_DATA_DIR:-./data}
[ -z "${PG_BIN:-}" ] || PATH=$PG_BIN:$PATH

fail() {
    echo "$0: $*" >&2
    exit 1
}

# How to connect. The private cluster is found as PostgreSQL's own programs find one: by what its server wrote down.
connection() {
    if [ -n "${DATABASE_URL:-}" ]; then
        # What only Deskfold's driver knows, PostgreSQL's own programs refuse.
        sed -E 's/([?&])statement-cache-capacity=[0-9]*(&|$)/\1/; s/[?&]$//' <<<"$DATABASE_URL"
        return
    fi
    local written=$data_dir/postgres/postmaster.pid
    [ -e "$written" ] || fail "no Deskfold runs on $data_dir, and DATABASE_URL names no database"
    local sockets
    sockets=$(sed -n 5p "$written" | sed "s/[\\\\']/\\\\&/g")
    echo "host='$sockets' port=$(sed -n 4p "$written") user=deskfold dbname=deskfold"
}

# Before the backup, which has at least these events and maybe more: the desk goes on meanwhile.
write_down() {
    "$deskfold" log verify >"$1.log.json"
}

dump() {
    [ ! -e "$1" ] || fail "$1 is there already"
    write_down "$1"
    pg_dump --dbname="$(connection)" --no-password --format=custom --no-owner --no-privileges --file="$1.part"
    mv "$1.part" "$1"
}

base() {
    [ ! -e "$1" ] || fail "$1 is there already"
    write_down "$1"
    pg_basebackup --dbname="$(connection)" --no-password --pgdata="$1" --checkpoint=fast --wal-method=stream
    # The private cluster's socket lies among its files, and is none of the backup's.
    rm -f "$1"/.s.PGSQL.*
    # Root's private cluster runs as somebody else, who must own what is restored from this.
    if [ -z "${DATABASE_URL:-}" ] && [ "$(id -u)" -eq 0 ]; then
        chown -R --reference="$data_dir/postgres/PG_VERSION" "$1"
    fi
}

restore() {
    [ -n "${DATABASE_URL:-}" ] || fail "DATABASE_URL must name the database to restore into"
    local there
    there=$(psql --dbname="$(connection)" --no-password --no-psqlrc --tuples-only --no-align \
        --command="select count(*) from pg_class where relnamespace = 'public'::regnamespace")
    [ "$there" = 0 ] || fail "the database is not empty: restore into a new one"
    pg_restore --dbname="$(connection)" --no-password --exit-on-error --no-owner --no-privileges --jobs="$(nproc)" "$1"
    psql --dbname="$(connection)" --no-password --no-psqlrc --quiet --command="analyze"
}

check() {
    local written position
    written=$(cat "$1.log.json")
    position=$(grep -oE '"position":[0-9]+' <<<"$written" | cut -d : -f 2)
    local found
    found=$("$deskfold" log verify --until "$position")
    [ "$found" = "$written" ] || fail "the log is not that of the backup: it had $written, here is $found"
    echo "Every event up to position $position is there, as it was."
}

case "${1:-}" in
dump | base | restore | check)
    [ $# -eq 2 ] || fail "$1 of what? See the beginning of this file"
    "$1" "$2"
    ;;
*) fail "say dump, base, restore or check; see the beginning of this file" ;;
esac
