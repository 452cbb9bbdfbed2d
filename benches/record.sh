#!/bin/sh
# Measures times, allocations and instructions of all cases, and writes benches/record/DATE.csv and
# DATE.md: `benches/record.sh [DATE]`. It wants a machine that is otherwise idle, valgrind, and
# about three minutes beyond the build.
set -eu

cd "$(dirname "$0")/.."
date=${1:-$(date +%F)}
export CARGO_PROFILE_RELEASE_LTO=thin
target=${CARGO_TARGET_DIR:-target}
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT

cargo build --release --package tower-sse-benches --bins
load() { cut -d' ' -f1-3 /proc/loadavg; }

before=$(load)
"$target/release/times" 60 >"$out/times.csv"
after=$(load)
"$target/release/allocations" >"$out/allocations.csv"
benches/callgrind.sh "$target/release/instructions" >"$out/instructions.csv"
version() { cargo tree --package tower-sse-benches --depth 1 --prefix none | sed -n "s/^$1 v\([^ ]*\).*/$1 \1/p"; }
mkdir -p benches/record
"$target/release/report" "$out/times.csv" "$out/allocations.csv" "$out/instructions.csv" \
    "benches/record/$date" \
    "$date, $(rustc --version), thin LTO, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores" \
    "load average before the times $before, after them $after" \
    "$(for name in axum actix-web-lab poem warp sse-stream; do version $name; done | sort -u | paste -sd, | sed 's/,/, /g')" \
    "60 rounds, each of which runs every case once with 10,000 events or requests; ratios of minimum times are the least disturbed by other work" \
    "instructions by callgrind, on which valgrind's CPU has AVX2 and no AVX-512"
