#!/bin/sh
# Very many event streams over HTTP/2 in one process, beside bare hyper in the same run:
# `benches/scale.sh [STREAMS [DATE]]` prints a table, and writes benches/record/scale-DATE.md. A
# million streams, the default, take at most ten minutes, 5 GB of memory, 5,100 open files for each of
# two processes, and two processors; 20,000 take some seconds. Other load changes the times much, the
# ratios little, the memory not. All connections are on the loopback.
set -eu

cd "$(dirname "$0")/.."
streams=${1:-1000000}
date=${2:-$(date +%F)}
export CARGO_PROFILE_RELEASE_LTO=thin
target=${CARGO_TARGET_DIR:-target}

cargo build --release --package tower-sse-scale --bin scale --bin scale_allocated
load=$(cut -d' ' -f1-3 /proc/loadavg)
version() { cargo tree --package tower-sse-scale --prefix none | sed -n "s/^$1 v\([^ ]*\).*/$1 \1/p" | sort -uV | tail -n 1; }
table=$(timeout 600 "$target/release/scale" measure "$streams")
allocated=$("$target/release/scale_allocated" 20000)
mkdir -p benches/record
cat >"benches/record/scale-$date.md" <<END
# $streams event streams in one process

$date, $(rustc --version), thin LTO, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores,
Linux $(uname -r | cut -d- -f1), load average before $load; $(version hyper), $(version h2), $(version tokio).
\`benches/scale.sh $streams $date\` writes this page.

Over HTTP/2, 200 streams on each connection, opened one after another over other connections, as real clients
come. The server has one thread. *bare*: hyper with a body that waits in a list, and the headers of an event
stream. *draft*: the layer with a heartbeat, a shutdown, a limit and a close report; each stream subscribes to
a shared topic and to one of its own. *full*: the same, with a subject for each stream. In brackets: what is above
bare hyper, or how many times it is.

*bare* ends all its bodies, *draft* by \`cancel()\` of the token of the shutdown, *full* by
\`close_all\`. The times for which calls hold the thread are times of its processor, that of \`subscribe\` is one of the
wall clock; a *turn* is the longest that a task which sleeps for a millisecond has waited. No heartbeat is due meanwhile.

$table

Bytes asked of the allocator by each of 20,000 streams, after one event to all: \`scale_allocated 20000\`.

\`\`\`
$allocated
\`\`\`
END
cat "benches/record/scale-$date.md"
