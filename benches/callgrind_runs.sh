#!/bin/sh
# Counts the instructions per recorded event with valgrind, beside a plain stream and the hub, and prints rows:
# `benches/callgrind_runs.sh target/release/runs`. The counts do not depend on other load on the machine. What a run needs once is subtracted.
set -eu

runs=$1

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$runs" "$1" "$2" "$3" 2>&1 | sed -n 's/.*Collected : //p'
}

echo "work|subject|instructions"
for work in "one at a time" "bursts of 64"; do
    for subject in 'plain `EventBody`' "run, one client" "run that keeps as much as the hub" "run, no client" "hub, one client"; do
        few=$(count "$work" "$subject" 6400)
        many=$(count "$work" "$subject" 19200)
        echo "$work|$subject|$(((many - few) / 12800))"
    done
done
