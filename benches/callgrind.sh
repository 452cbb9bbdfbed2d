#!/bin/sh
# Counts the instructions per event or request with valgrind and prints CSV. The counts do not
# depend on other load on the machine. What a process and a body need once is subtracted.
set -eu

instructions=$1
rows='16 B literal|tower-sse
16 B literal|axum
16 B literal|sse-stream
16 B copied|tower-sse
16 B copied|axum
16 B String|tower-sse
16 B String|axum
16 B shared|tower-sse
16 B shared|axum
16 B shared|actix-web-lab
256 B literal|tower-sse
256 B literal|axum
4 KiB literal|tower-sse
4 KiB literal|axum
64 lines x 64 B literal|tower-sse
64 lines x 64 B literal|axum
id + event + 64 B|tower-sse
id + event + 64 B|axum
JSON 227 B|tower-sse
JSON 227 B|axum
JSON 227 B|serde_json
decode whole events|tower-sse
decode pieces of 50 B|tower-sse
filter an event a frame|no filter
filter an event a frame|a filter that passes
filter an event a frame|a filter that looks
filter an event a frame|a filter that changes
filter 64 events a frame|no filter
filter 64 events a frame|a filter that passes
filter 64 events a frame|a filter that looks
filter 64 events a frame|a filter that changes
heartbeat 16 B literal|tower-sse
heartbeat 16 B literal|tower-sse with the heartbeat off
heartbeat 16 B literal|tower-sse without the layer
heartbeat 16 B literal|axum
heartbeat 16 B literal|axum without KeepAlive
no event stream bare|no layer
no event stream bare|no-op layer
no event stream bare|tower-sse
no event stream bare|tower-sse with an early head
no event stream in axum|no layer
no event stream in axum|no-op layer
no event stream in axum|tower-sse
publish to nobody|tower-sse
publish to 1 subscriber|tower-sse
publish to 1 subscriber|tokio broadcast
publish to 100 subscribers|tower-sse
publish to 100 subscribers|tokio broadcast
a subscription of 100 topics|tower-sse
a subscription of 100 topics|of one topic
subscribe and leave|tower-sse
subscribe and leave|tokio broadcast'

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$instructions" "$1" "$2" "$3" 2>&1 |
        sed -n 's/.*Collected : //p'
}

echo "work,subject,instructions"
echo "$rows" | while IFS='|' read -r work subject; do
    few=$(count "$work" "$subject" 2000 </dev/null)
    many=$(count "$work" "$subject" 6000 </dev/null)
    echo "$work,$subject,$(((many - few) / 4000))"
done
