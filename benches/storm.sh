#!/bin/sh
# What a reconnection storm costs: `benches/storm.sh [CLIENTS [DATE]]` opens event streams over HTTP/1 in twelve processes
# behind `SO_REUSEPORT`, with a hub over Redis, then cuts all of them at once, kills a process, and deploys all processes anew,
# one after another. It checks by content that each client has each event once, prints a table, and with a DATE writes
# benches/record/storm-DATE.md. 200,000 clients, the default, take about five minutes, 5 GiB of memory, 20,000 open files for each
# process, and redis-server; 2,000 take half a minute. All connections are on the loopback.
set -eu

cd "$(dirname "$0")/.."
clients=${1:-200000}
date=${2:-}
export CARGO_PROFILE_RELEASE_LTO=thin
target=${CARGO_TARGET_DIR:-target}

cargo build --release --package tower-sse-benches --bin storm
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
directory=$(mktemp -d)
redis-server --port "$port" --bind 127.0.0.1 --save "" --dir "$directory" >/dev/null &
server=$!
trap 'kill "$server"; wait "$server" 2>/dev/null || true; rm -rf "$directory"' EXIT
until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done

load=$(cut -d' ' -f1-3 /proc/loadavg)
version() { cargo tree --package tower-sse-benches --depth 1 --prefix none | sed -n "s/^$1 v\([^ ]*\).*/$1 \1/p" | head -n 1; }
failed=0
table=$(timeout 1200 "$target/release/storm" measure "$clients" 12 "redis://127.0.0.1:$port/") || failed=$?
echo "$table"
[ "$failed" -eq 0 ] || { echo "the storm failed: $failed"; exit 1; }
[ -n "$date" ] || exit 0
mkdir -p benches/record
cat >"benches/record/storm-$date.md" <<END
# Storms of $clients event streams

$date, $(rustc --version), thin LTO, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores,
Linux $(uname -r | cut -d- -f1), load average before $load; $(version hyper), $(version tokio),
$(redis-server --version | cut -d' ' -f1-3). \`benches/storm.sh $clients $date\` writes this page.

$table
END
