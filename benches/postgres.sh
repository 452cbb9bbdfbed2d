#!/bin/sh
# The hub on PostgreSQL beside pgbench and beside the hub on Redis, on the same disk and in the same run:
# `benches/postgres.sh [DATE]` writes benches/record/postgres-DATE.md. It wants PostgreSQL, redis-server and a machine that is
# otherwise idle; about four minutes after the builds.
set -eu

cd "$(dirname "$0")/.."
date=${1:-$(date +%F)}
target=${CARGO_TARGET_DIR:-target}
cargo build --release --package tower-sse-benches --bin redis
cargo test --release --package tower-sse-postgres --all-features --test postgres --no-run
out=$(mktemp -d)
server=
stop() {
    [ -z "$server" ] || { kill "$server"; wait "$server" 2>/dev/null || true; }
    server=
}
trap 'stop; rm -rf "$out"' EXIT

# Prints what the hub on a Redis with these options publishes, as lines of `publishers events/s`.
redis() {
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    redis-server --port "$port" --bind 127.0.0.1 --save "" --dir "$out" "$@" >/dev/null &
    server=$!
    until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
    "$target/release/redis" "redis://127.0.0.1:$port/" "$server" publish |
        sed -n 's/^| tower-sse | \([0-9]*\) | \([0-9]*\) .*/\1 \2/p'
    stop
    rm -rf "$out/appendonlydir"
}

load=$(cut -d' ' -f1-3 /proc/loadavg)
.ci/slow postgres-figures 2>/dev/null | grep -E '^(pgbench|20 conn|an idle|to a client|[0-9]+ publishers|loading)' >"$out/postgres"
redis >"$out/memory"
redis --appendonly yes --appendfsync always >"$out/always"
.ci/slow postgres-figures 2>/dev/null | grep -E '^(pgbench|20 conn|an idle|to a client|[0-9]+ publishers|loading)' >"$out/again"
{
    echo "# The hub on PostgreSQL, $date"
    echo
    echo "\`benches/postgres.sh\`: $(rustc --version), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores," \
        "load average before $load; $(/usr/lib/postgresql/*/bin/postgres --version | tail -n 1)," \
        "$(redis-server --version | cut -d' ' -f1-3)."
    echo "Events of 256 bytes, acknowledged one by one; PostgreSQL with \`fsync\`."
    echo
    echo '## Publishing beside Redis'
    echo
    echo "Events a second; PostgreSQL is the first of two runs. In brackets: the figure divided by PostgreSQL's."
    echo
    echo '| publishers | PostgreSQL | Redis, `appendfsync always` | Redis, in memory |'
    echo '|---:|---:|---:|---:|'
    for publishers in 1 50 200; do
        postgres=$(sed -n "s/^$publishers publishers: \([0-9]*\) .*/\1/p" "$out/postgres")
        cells=
        for file in always memory; do
            cells="$cells $(awk -v n="$publishers" -v p="$postgres" '$1 == n { printf "%d (%.1f) |", $2, $2 / p }' "$out/$file")"
        done
        echo "| $publishers | $postgres |$cells"
    done
    for run in postgres again; do
        printf '\n## %s run of `.ci/slow postgres-figures`\n\n' "$([ $run = postgres ] && echo First || echo Second)"
        sed 's/^/- /' "$out/$run"
    done
} >"benches/record/postgres-$date.md"
cat "benches/record/postgres-$date.md"
