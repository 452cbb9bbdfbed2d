#!/bin/sh
# Whole servers of event streams beside each other: `benches/peers.sh [DATE [ROUNDS]]` writes
# benches/record/peers-DATE.md. It wants a machine that is otherwise idle, with two processors, nginx, Node and openssl, and
# half an hour. The packages of Debian are unpacked into the target directory and not installed, so no service starts;
# a server whose package is not available is left out. All connections are on the loopback.
set -eu

cd "$(dirname "$0")/.."
date=${1:-$(date +%F)}
rounds=${2:-3}
export CARGO_PROFILE_RELEASE_LTO=thin
target=${CARGO_TARGET_DIR:-target}
peers=$target/peers

mkdir -p "$peers/debs" "$peers/root"
npm install --silent --no-audit --no-fund --no-save --ignore-scripts --prefer-offline --prefix "$peers" better-sse@0.16.1 || true
unpack() {
    apt-get install --print-uris -y -q --no-install-recommends "$1" 2>/dev/null | sed -n "s/^'\([^']*\)'.*/\1/p" |
        while read -r address; do
            file=$peers/debs/$(basename "$address")
            [ -s "$file" ] || curl -sSf -o "$file" "$address" || return
            dpkg --extract "$file" "$peers/root"
        done
}
[ -e "$peers/root/usr/lib/nginx/modules/ngx_nchan_module.so" ] || unpack libnginx-mod-nchan || true
[ -x "$peers/root/usr/bin/pushpin" ] || unpack pushpin || true

cargo build --release --package tower-sse-benches --bin peers
load=$(cut -d' ' -f1-3 /proc/loadavg)
version() { cargo tree --package tower-sse-benches --depth 1 --prefix none | sed -n "s/^$1 v\([^ ]*\).*/$1 \1/p" | head -n 1; }
debian() { find "$peers/debs" -name "$1_*" -exec basename {} \; | sed 's/_amd64.deb//; s/%2b/+/g; s/_/ /' | head -n 1; }
mkdir -p benches/record
{
    echo "# Whole servers of event streams, $date"
    echo
    echo "\`benches/peers.sh $date $rounds\`: $(rustc --version), thin LTO, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)," \
        "$(nproc) cores, Linux $(uname -r | cut -d- -f1), load average before $load; $(version hyper), $(version tokio), $(version axum)," \
        "$(/usr/sbin/nginx -v 2>&1 | sed 's/.*: //'), $(debian libnginx-mod-nchan), $(debian pushpin), better-sse 0.16.1 on node $(node --version)."
    echo
    echo "Each server is on one processor with one worker, all clients on the other. Medians of alternating rounds, $rounds of single"
    echo "events and two of the rest, with the lowest and the highest figure in brackets. Processor time and memory (PSS) are those of all processes of a server."
    echo
    echo "- **paced**: 25 single events a second to 1,000 clients, or 5 to 10,000, of 100 bytes, for 6 s; delays from the write of the"
    echo "  POST to the return of the read."
    echo "- **flow**: 16 publishers at once, at most 64 events ahead of 1,000 clients, for 5 s."
    echo "- **slow**: 10 of 30 clients do not read 2,400 events of 2 kB, then read what is left for them."
    echo "- **storm**: all clients go away, miss 100 events, and come back at once. axum, pushpin and better-sse keep no history."
    echo "- **shutdown**: a SIGTERM. A stream ends *clean* with its last chunk."
    echo
    "$target/release/peers" measure "$rounds"
} >"benches/record/peers-$date.md"
cat "benches/record/peers-$date.md"
