#!/bin/sh
# Counts the instructions per event of a run that no client watches at another process, with and
# without Redis, and prints rows: `benches/callgrind_owner.sh target/release/runs`. What a run needs
# once is subtracted. The instructions of Redis are not counted. The machine must be idle enough
# that each event has a frame of its own: the program prints how many frames an event has.
set -eu

runs=$1

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$runs" owner "$1" "$2" 2>&1 |
        tee /dev/stderr | sed -n 's/.*Collected : //p'
}

echo "runs|instructions"
for subject in local connected; do
    few=$(count "$subject" 50)
    many=$(count "$subject" 250)
    echo "$subject|$(((many - few) / 12800))"
done
