//! One publisher, many subscribers over sockets of the loopback: the hub beside its peers. The
//! server is a process of its own, on one thread and one processor; the subscribers are here, on
//! another.
//!
//! - `fan_out SUBJECT REGIME SUBSCRIBERS` runs once.
//! - `fan_out rounds ROUNDS OUT [NOTE]...` runs everything in rounds, one after the other, and
//!   writes `OUT.csv` and `OUT.md`.
//! - `fan_out serve SUBJECT` is the server.
//!
//! `fan_out.sh` installs the peers of other languages, and does the rest.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{convert::Infallible, env, sync::Arc};

use memchr::{memchr_iter, memmem};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tokio::{runtime, task::yield_now};
use tower_sse::decode::{Decoder, Message};
use tower_sse::hub::Hub;
use tower_sse::{Event, Retention, SseLayer};
use tower_sse_benches::sockets::record::{Columns, Measured, Record};
use tower_sse_benches::sockets::request::{read_head, request};
use tower_sse_benches::{sockets::clock::monotonic_ns, sockets::process};

use page::MARKER;
use row::{Case, Row};
use subject::{Regime, Subject};

mod page;
mod row;
mod server;
mod subject;
mod subscribers;

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    match &*args.iter().map(String::as_str).collect::<Vec<_>>() {
        ["serve", subject] => {
            server::serve(Subject::parse(subject).expect("a subject"));
            ExitCode::SUCCESS
        }
        ["rounds", rounds, out, notes @ ..] => {
            process::raise_open_files().expect("a limit that can be raised");
            let rounds = rounds.parse().expect("a number of rounds");
            let record = row::run(rounds);
            record.write(Path::new(out), &page::page(&record, notes));
            ExitCode::SUCCESS
        }
        [subject, regime, subscribers] => {
            process::raise_open_files().expect("a limit that can be raised");
            once(Case {
                subject: Subject::parse(subject).expect("a subject"),
                regime: Regime::parse(regime).expect("a regime"),
                subscribers: subscribers.parse().expect("a number of subscribers"),
            })
        }
        _ => {
            let names = |names: Vec<&str>| names.join(", ");
            eprintln!("usage: fan_out SUBJECT REGIME SUBSCRIBERS | rounds ROUNDS OUT [NOTE]...");
            eprintln!("subjects: {}", names(Subject::ALL.map(|(name, _)| name).to_vec()));
            eprintln!("regimes: {}", names(Regime::ALL.map(|(name, _)| name).to_vec()));
            ExitCode::FAILURE
        }
    }
}

fn once(case: Case) -> ExitCode {
    match case.measure() {
        Ok(row) => {
            println!("{}\n{}", Row::COLUMNS, row.csv());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("void: {error}");
            ExitCode::FAILURE
        }
    }
}
