#!/bin/sh
# Measures the memory of each stream for the table of the guide's page on limits, and under compression.
# Writes benches/record/memory-DATE.md: `benches/memory.sh [DATE]`. It takes some minutes after the
# build. Other work doesn't change the figures.
set -eu

cd "$(dirname "$0")/.."
date=${1:-$(date +%F)}
served=${CARGO_TARGET_DIR:-target}/release/served
cargo build --release --package tower-sse-benches --bin served

# One row: what the stream is, the arguments of `served`, and the figure that it prints.
row() {
    echo "| $1 | \`$2\` | $($served $2 | sed -n 's/.*: \([0-9.]*\) KiB for each .*/\1/p' | paste -sd' ') |"
}
table() {
    printf '\n## %s\n\n| stream | `served …` | KiB |\n|---|---|---|\n' "$1"
}

{
    echo "# The memory of a stream"
    echo
    echo "$date, $(rustc --version), $(cargo tree --package tower-sse-benches --depth 1 --prefix none |
        sed -n 's/^hyper v\([^ ]*\).*/hyper \1/p' | head -n 1). \`benches/memory.sh\` writes this page."
    table HTTP/1
    row "idle, with the default layer" "idle tower-sse"
    row "idle, with every option" "idle operated"
    row "idle, a plain body without the layer, with the headers of an event stream" "idle headers"
    row "idle, a plain body without the layer, without headers" "idle pending"
    row "idle, axum's \`Sse\` with \`KeepAlive\`, without the layer" "idle axum"
    row "source always ready, client never reads" "stalled tower-sse"
    row "source always ready, client stops reading after 20 MB" "stalled tower-sse 20000000"
    table HTTP/2
    row "idle, with the default layer" "idle tower-sse http2"
    row "idle, with every option" "idle operated http2"
    row "idle, a plain body without the layer, with the headers of an event stream" "idle headers http2"
    row "idle, a plain body without the layer, without headers" "idle pending http2"
    row "source always ready, window of zero bytes" "stalled tower-sse http2 0 read"
    row "source always ready, full window of 64 KiB" "stalled tower-sse http2 65535 read"
    row "source always ready, window of 1 MiB, client does not read its connection" "stalled tower-sse http2 1048576 unread"
    row "the same with a send buffer of 64 KiB" "stalled tower-sse http2 1048576 unread 65536"
    table "A hub"
    row "idle, a shared topic" "idle shared"
    row "idle, a shared topic and one of its own" "idle own"
    row "clients never read while 5 MB is published, a shared topic" "stalled-hub shared"
    row "the same, one client after another" "stalled-hub one-by-one"
    row "the same, a topic of its own" "stalled-hub own"
    row "client resumes from one of 64 positions and never reads" "stalled-hub places"
    row "the same, with a topic of its own too" "stalled-hub places-own"
    table "Compression"
    for encoder in gzip br zstd; do
        row "$encoder, after one event of 64 bytes" "idle $encoder 1"
        row "$encoder, after 1,000 events" "idle $encoder 1000"
    done
} >"benches/record/memory-$date.md"
cat "benches/record/memory-$date.md"
