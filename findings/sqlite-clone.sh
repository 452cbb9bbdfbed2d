#!/usr/bin/env bash
# The shell of SQLite 3.40.1 (Debian 12) can't copy a table that has a generated column: `.clone` creates the table,
# leaves out all its rows, and exits with 0 after the word "done". Only standard error has a message. `vacuum into`,
# on the same file, copies the rows.
# Seen on 30 November 2026: "sized... done" and "Error 1: table sized has 2 columns but 3 values were supplied".
set -euo pipefail

folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq download sqlite3=3.40.1-2+deb12u2
dpkg-deb --extract sqlite3_*.deb .
shell=usr/bin/sqlite3

$shell a.db "
    create table plain (id integer primary key, data text);
    create table sized (id integer primary key, data text, bytes integer as (length(data)) stored);
    insert into plain (data) values ('one'), ('two');
    insert into sized (data) values ('one'), ('two');"
$shell a.db '.clone cloned.db' >output 2>errors
$shell a.db "vacuum into 'vacuumed.db'"
grep -qx 'sized... done' output
grep -q 'table sized has 2 columns but 3 values were supplied' errors
for copy in cloned:2,0 vacuumed:2,2; do
    rows=$($shell "${copy%:*}.db" "select (select count(*) from plain) || ',' || (select count(*) from sized)")
    echo "${copy%:*}: $rows rows in the tables without and with a generated column"
    [ "$rows" = "${copy#*:}" ]
done
