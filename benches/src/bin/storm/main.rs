//! What a storm costs: many clients lose their HTTP/1 streams and reconnect to several processes
//! behind `SO_REUSEPORT`, which share a hub over Redis.
//!
//! - `storm measure CLIENTS PROCESSES REDIS` runs all storms and prints a table.
//! - `storm serve REDIS LIMIT PORT...` is a server: the example `many_clients` with a hub over
//!   Redis.
//! - `storm clients CLIENTS PART PORT...` runs a part of the clients.
//!
//! All connections are on the loopback. `benches/storm.sh` starts Redis and runs `storm measure`.
//! With a date, it also writes the record.

use std::{env, process::ExitCode};

use tower_sse_scale::process::raise_open_files;

mod clients;
mod measure;
mod server;

#[path = "../../../../examples/many_clients.rs"]
#[allow(dead_code, reason = "its own main and its own routes")]
mod many_clients;

fn main() -> ExitCode {
    raise_open_files().expect("a limit that can be raised");
    let args: Vec<_> = env::args().skip(1).collect();
    let number = |text: &str| text.parse().expect("a number");
    match &*args.iter().map(String::as_str).collect::<Vec<_>>() {
        ["measure", clients, processes, redis] => {
            return measure::measure(number(clients), number(processes), redis);
        }
        ["serve", redis, limit, ports @ ..] => {
            server::serve(redis, number(limit), ports.iter().map(|port| number(port) as u16));
        }
        ["clients", clients, part, ports @ ..] => {
            clients::run(
                number(clients),
                number(part) as u8,
                ports.iter().map(|port| number(port) as u16),
            );
        }
        _ => panic!("usage: storm measure CLIENTS PROCESSES REDIS | serve … | clients …"),
    }
    ExitCode::SUCCESS
}
