#!/bin/sh
# Fan-out beside the peers, over sockets: `benches/fan_out.sh [ROUNDS [DATE]]` writes
# benches/record/fan_out-DATE.csv and .md. It wants a machine that is otherwise idle, with two
# processors, node 20, python 3.11 with venv, and three minutes a round. Peers of other languages
# are put into the target directory.
set -eu

cd "$(dirname "$0")/.."
rounds=${1:-7}
date=${2:-$(date +%F)}
export CARGO_PROFILE_RELEASE_LTO=thin
target=${CARGO_TARGET_DIR:-target}
peers=$target/peers

mkdir -p "$peers"
npm install --silent --no-audit --no-fund --no-save --ignore-scripts --prefer-offline --prefix "$peers" better-sse@0.16.1
[ -x "$peers/venv/bin/python" ] || python3 -m venv "$peers/venv"
"$peers/venv/bin/pip" install --quiet --disable-pip-version-check \
    sse-starlette==3.7.0 uvicorn==0.54.0 uvloop==0.23.0 httptools==0.9.0

cargo build --release --package tower-sse-benches --bin fan_out
load=$(cut -d' ' -f1-3 /proc/loadavg)
version() { cargo tree --package tower-sse-benches --depth 1 --prefix none | sed -n "s/^$1 v\([^ ]*\).*/$1 \1/p"; }
mkdir -p benches/record
"$target/release/fan_out" rounds "$rounds" "benches/record/fan_out-$date" \
    "$date, $(rustc --version), thin LTO, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r | cut -d- -f1)" \
    "load average before $load" \
    "$(version axum), $(version tokio), better-sse 0.16.1 on node $(node --version), sse-starlette 3.7.0 on $("$peers/venv/bin/python" --version) with uvicorn 0.54.0, uvloop and httptools" \
    "$rounds rounds, three for the peers of other languages; events of 256 bytes of data over HTTP/1.1 on the loopback; the server on one processor with one thread, all subscribers on another; a run in which an event does not arrive is void" \
    "the hub writes an id with each event, axum none"
