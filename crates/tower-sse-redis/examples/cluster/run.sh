#!/usr/bin/env bash
# Starts a Redis, two processes of an example, and nginx in front of them; stops all of them on exit. A
# process of the example that ends is started again after a moment.
#
#   crates/tower-sse-redis/examples/cluster/run.sh EXAMPLE [PROGRAM]
#
# EXAMPLE is `chat_cluster`, `notifications_cluster`, `runs_cluster` or `assistant`. PROGRAM is the path of
# the example if it is already built. PROGRAM is required for `assistant`, which is a package of its own.
# `PORT` is nginx's port, by default 3000. If `PORT` is 0, nginx gets a free port.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin # Debian keeps nginx there

example=${1:?crates/tower-sse-redis/examples/cluster/run.sh EXAMPLE [PROGRAM]}
program=${2:-}
if [ -z "$program" ]; then
    (cd "$here/../.." && cargo build --quiet --example "$example" --all-features)
    program=${CARGO_TARGET_DIR:-$here/../../../../target}/debug/examples/$example
fi

directory=$(mktemp -d)
redis='' one='' two='' nginx=''
stop() {
    trap - EXIT
    local id
    for id in $nginx $one $two $redis; do kill "$id" 2>/dev/null || true; done
    for id in $nginx $one $two $redis; do wait "$id" 2>/dev/null || true; done
    rm -rf "$directory"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# until_true COMMAND: repeats a command until it succeeds, for 10 seconds at most.
until_true() {
    local attempts=100
    until "$@"; do
        [ $((attempts -= 1)) -gt 0 ] || { echo "not true in time: $*" >&2; exit 1; }
        sleep 0.1
    done
}

# A socket in the directory cannot belong to another Redis, as a port could.
redis-server --port 0 --unixsocket "$directory/redis.sock" --dir "$directory" --save '' --appendonly no \
    >"$directory/redis.log" &
redis=$!
answers() { [ "$(redis-cli -s "$directory/redis.sock" PING 2>/dev/null)" = PONG ]; }
until_true answers
export REDIS_URL=unix://$directory/redis.sock
echo "redis: $REDIS_URL"

# label NAME: prints each line with the name in front, and adds the line to NAME.log.
label() {
    trap '' INT # `label` ends with the process whose lines it reads
    local line
    while read -r line; do
        echo "$1: $line"
        echo "$line" >>"$directory/$1.log"
    done
}
# start NAME PORT
start() {
    PORT=$2 "$program" > >(label "$1") &
    echo "$1: has the process id $!"
}
listens() { grep -q '^listening on ' "$directory/$1.log" 2>/dev/null; }
port_of() { sed -n 's|^listening on http://127.0.0.1:||p' "$directory/$1.log" | head -n 1; }

start one 0
one=$!
start two 0
two=$!
until_true listens one
until_true listens two
port_one=$(port_of one) port_two=$(port_of two)

# start_nginx PORT: returns whether it could listen there.
start_nginx() {
    sed -e "s/@PORT@/$1/" -e "s/@ONE@/127.0.0.1:$port_one/" -e "s/@TWO@/127.0.0.1:$port_two/" \
        "$here/nginx.conf" >"$directory/nginx.conf"
    nginx -e stderr -p "$directory" -c nginx.conf 2>"$directory/nginx.log" &
    nginx=$!
    until_true is_decided
    kill -0 "$nginx" 2>/dev/null
}
is_decided() { grep -q 'event method' "$directory/nginx.log" 2>/dev/null || ! kill -0 "$nginx" 2>/dev/null; }

port=${PORT:-3000}
if [ "$port" = 0 ]; then
    # nginx cannot choose a free port.
    port=$((20000 + RANDOM % 10000))
    until start_nginx "$port"; do port=$((20000 + RANDOM % 10000)); done
elif ! start_nginx "$port"; then
    echo "cannot listen on 127.0.0.1:$port: $(tail -n 1 "$directory/nginx.log")" >&2
    exit 1
fi
echo "listening on http://127.0.0.1:$port"

is_running() { kill -0 "$1" 2>/dev/null; }
while is_running "$redis" && is_running "$nginx"; do
    is_running "$one" || { start one "$port_one"; one=$!; }
    is_running "$two" || { start two "$port_two"; two=$!; }
    # In the background: a trap runs only once the foreground command has ended.
    sleep 1 &
    wait $! || true
done
echo "redis or nginx has ended" >&2
exit 1
