#!/bin/sh
# Relays of event streams beside the peers, over sockets: `benches/relay.sh DATE [ROUNDS]` writes
# benches/record/relay-DATE.csv and .md. It wants a machine that is otherwise idle, with two
# processors, nginx, node, and a minute a round. The relay in Go is measured if there is a compiler
# of Go.
set -eu

cd "$(dirname "$0")/.."
date=${1:?a date}
rounds=${2:-5}
export CARGO_PROFILE_RELEASE_LTO=thin
target=${CARGO_TARGET_DIR:-target}
peers=$target/peers

mkdir -p "$peers"
rm -f "$peers/relay_go"
go="no compiler of Go, therefore without its row"
if command -v go >/dev/null; then
    go build -o "$peers/relay_go" benches/peers/relay.go
    go=$(go version | cut -d' ' -f3)
    case $go in
    go1.[0-9] | go1.[0-9].* | go1.1[0-9]* | go1.2[01]*) go="$go, which is old" ;;
    esac
fi

cargo build --release --package tower-sse-benches --bin relay
load=$(cut -d' ' -f1-3 /proc/loadavg)
version() { cargo tree --package tower-sse-benches --depth 1 --prefix none | sed -n "s/^$1 v\([^ ]*\).*/$1 \1/p"; }
mkdir -p benches/record
"$target/release/relay" rounds "$rounds" "benches/record/relay-$date" \
    "$date, $(rustc --version), thin LTO, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r | cut -d- -f1)" \
    "load average before $load" \
    "$(version axum), $(version hyper), $(version hyper-util), $(version tokio), $(nginx -v 2>&1 | cut -d' ' -f3), node $(node --version), $go" \
    "$rounds rounds, every other one in the reverse order; 100 clients over HTTP/1.1 on the loopback; the relay on one processor, the Rust ones with one thread; the upstream and all clients on the other" \
    "an event has 200 bytes and is a chunk of its own; as fast as possible, the upstream writes 32 of them at once" \
    "TCP_NODELAY is set towards the clients by all of them, and towards the upstream by all but nginx: by Go, nginx and newer versions of Node without being asked, and in axum by the program; system calls watched by strace" \
    "each client checks every byte of every event; a run with a wrong or missing one is void"
