#!/bin/sh
# The hub on Redis Streams beside a fan-out by hand: `benches/redis.sh [DATE]` writes
# benches/record/redis-DATE.md. It wants redis-server and a machine that is otherwise idle, and starts a server of
# its own on a free port.
set -eu

cd "$(dirname "$0")/.."
date=${1:-$(date +%F)}
export CARGO_PROFILE_RELEASE_LTO=thin
target=${CARGO_TARGET_DIR:-target}

cargo build --release --package tower-sse-benches --bin redis
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
directory=$(mktemp -d)
redis-server --port "$port" --bind 127.0.0.1 --save "" --dir "$directory" >/dev/null &
server=$!
trap 'kill "$server"; wait "$server" 2>/dev/null || true; rm -rf "$directory"' EXIT
until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done

load=$(cut -d' ' -f1-3 /proc/loadavg)
version() { cargo tree --package tower-sse-benches --depth 1 --prefix none | sed -n "s/^$1 v\([^ ]*\).*/$1 \1/p"; }
mkdir -p benches/record
{
    echo "# The hub on Redis Streams, $date"
    echo
    echo "\`benches/redis.sh\`: $(rustc --version), thin LTO, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)," \
        "$(nproc) cores, Linux $(uname -r | cut -d- -f1), load average before $load;" \
        "$(redis-server --version | cut -d' ' -f1-3), $(version redis), $(version axum), $(version tokio)."
    echo "The process has one thread; it and Redis share the machine."
    "$target/release/redis" "redis://127.0.0.1:$port/" "$server"
} >"benches/record/redis-$date.md"
cat "benches/record/redis-$date.md"
