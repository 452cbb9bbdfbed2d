#!/usr/bin/env bash
# Two clients for Rust that reconnect by themselves, reqwest-eventsource 0.6.0 and sseer 0.3.1, forget the last id at an event
# without one, if it's the first of a connection; the HTML standard keeps the id. They then ask without Last-Event-ID, as new
# clients do, and the server can't know which events they have.
# Seen on 1 December 2026, Last-Event-ID at the second, third and fourth connection: 1, none, none.
set -euo pipefail

folder=$(mktemp --directory)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
cat >server.py <<'END'
import http.server

# The first connection has an event with an id, the later ones have an event without one.
ASKED = {}


class Stream(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = ASKED.setdefault(self.path, [])
        asked.append(self.headers["last-event-id"] or "none")
        if len(asked) == 4:
            print(self.path[1:] + ":", *asked[1:], flush=True)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"retry: 10\nid: 1\ndata: one\n\n" if len(asked) == 1 else b"data: without an id\n\n")

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream)
print(server.server_port, flush=True)
server.serve_forever()
END
mkdir src
cat >Cargo.toml <<'END'
[package]
name = "clients"
version = "0.0.0"
edition = "2021"

[dependencies]
futures-util = { version = "=0.3.31", default-features = false }
reqwest = { version = "=0.12.28", default-features = false }
reqwest-013 = { package = "reqwest", version = "=0.13.4", default-features = false }
reqwest-eventsource = "=0.6.0"
sseer = { version = "=0.3.1", features = ["reqwest"] }
tokio = { version = "1.49", features = ["macros", "rt", "time"] }
END
cat >src/main.rs <<'END'
use futures_util::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = std::env::args().nth(1).unwrap();
    let request = reqwest::Client::new().get(format!("{server}/reqwest-eventsource"));
    let first = reqwest_eventsource::EventSource::new(request).unwrap();
    let request = reqwest_013::Client::new().get(format!("{server}/sseer"));
    let second = sseer::reqwest::EventSource::new(request).unwrap();
    let both = async { tokio::join!(first.for_each(|_| async {}), second.for_each(|_| async {})) };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(8), both).await;
}
END
python3 server.py >output &
server=$!
cargo build --quiet
until port=$(sed -n 1p output) && [ -n "$port" ]; do sleep 0.1; done
timeout 20 target/debug/clients "http://127.0.0.1:$port"
sed 1d output | sort | tee seen
printf 'reqwest-eventsource: 1 none none\nsseer: 1 none none\n' | cmp - seen
