#!/usr/bin/env bash
# What tower-sse adds to an axum app: packages, and the processor time of debug and release builds.
# Builds a small app with axum's `Sse` from scratch, and then the app with tower-sse on top of that
# build, `rounds` times.
#
# benches/weight.sh [rounds]
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
rounds=${1:-3}
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
unset RUSTFLAGS
export CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never

# Makes an app with these features of tower-sse, or without tower-sse.
make_app() {
    local name=$1 features=${2-}
    mkdir -p "$directory/$name/src"
    cp Cargo.lock "$directory/$name/" 2>/dev/null || true
    {
        printf '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2024"\n\n[workspace]\n\n[dependencies]\n'
        printf 'axum = "0.8"\ntokio = { version = "1", features = ["full"] }\ntokio-stream = "0.1"\n'
        [ -z "$features" ] || printf 'tower-sse = { path = "%s", default-features = false, features = [%s] }\n' \
            "$repository" "$features"
        [ "$name" != 'and Redis' ] ||
            printf 'tower-sse-redis = { path = "%s/crates/tower-sse-redis", features = ["runs"] }\n' "$repository"
    } >"$directory/$name/Cargo.toml"
    if [ -z "$features" ]; then
        cat >"$directory/$name/src/main.rs" <<'END'
use axum::{Router, response::sse::{Event, Sse}, routing::get};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let events = || async { Sse::new(tokio_stream::once(Ok::<_, std::io::Error>(Event::default().data("one")))) };
    let app = Router::new().route("/events", get(events));
    axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await
}
END
    else
        cat >"$directory/$name/src/main.rs" <<'END'
use axum::{Router, routing::get};
use tower_sse::{Event, SseLayer};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let events = || async { tower_sse::response(tokio_stream::once(Event::from("one"))) };
    let app = Router::new().route("/events", get(events)).layer(SseLayer::new());
    axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await
}
END
    fi
    (cd "$directory/$name" && cargo fetch --quiet)
}

packages() {
    (cd "$directory/$1" && cargo tree --edges normal,build --prefix none --format '{p}' |
        sed -e 's/ (\*)$//' -e 's/ (.*)$//' | grep -v '^app ' | sort -u)
}

# Prints the processor seconds of a build on top of what is already built.
build() {
    # `pid` is this subshell's, whose children are cargo and its compilers.
    local name=$1 profile=$2 pid=$BASHPID before after
    before=$(awk '{ print $16 + $17 }' "/proc/$pid/stat")
    # shellcheck disable=SC2086
    (cd "$directory/$name" && CARGO_TARGET_DIR="$directory/target" cargo build --quiet --offline $profile)
    after=$(awk '{ print $16 + $17 }' "/proc/$pid/stat")
    awk -v ticks=$((after - before)) -v per_second="$(getconf CLK_TCK)" 'BEGIN { printf "%.1f", ticks / per_second }'
}

median() {
    printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { printf "%.1f", v[int((NR + 1) / 2)] }'
}

declare -A features=(
    [axum]=''
    ['with the layer']='"axum"'
    ['and hub, runs']='"axum", "hub", "json", "runs", "tracing"'
    ['and Redis']='"full"'
)
order=(axum 'with the layer' 'and hub, runs' 'and Redis')
for name in "${order[@]}"; do
    make_app "$name" "${features[$name]}"
done

printf -- '- %s, %s, %s processors, load average before %s\n' \
    "$(date +%F)" "$(rustc --version)" "$(nproc)" "$(cut -d' ' -f1-3 /proc/loadavg)"
declare -A times
for ((round = 0; round < rounds; round++)); do
    for name in "${order[@]:1}"; do
        for profile in '' --release; do
            rm -rf "$directory/target"
            times["axum $profile"]+=" $(build axum "$profile")"
            times["$name $profile"]+=" $(build "$name" "$profile")"
        done
    done
done

printf '\n| app | features of tower-sse | packages | debug build, s | release build, s |\n|---|---|---:|---:|---:|\n'
for name in "${order[@]}"; do
    # shellcheck disable=SC2086
    printf '| %s | %s | %s | %s | %s |\n' "$name" "${features[$name]//\"/}" "$(packages "$name" | wc -l)" \
        "$(median ${times["$name "]-})" "$(median ${times["$name --release"]-})"
done
for name in "${order[@]:1}"; do
    printf '\nAdded in %s: %s\n' "$name" \
        "$(comm -13 <(packages axum) <(packages "$name") | cut -d' ' -f1 | paste -sd' ')"
done
