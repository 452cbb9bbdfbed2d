//! One upstream, a relay, 100 clients over sockets of the loopback: axum with its own body, with the
//! layer, with filters and with `MessageStream`, beside nginx, Go and Node. The relay is a process of
//! its own on one processor; the upstream, another process, and the clients share the other.
//!
//! - `relay SUBJECT PACE` runs once.
//! - `relay rounds ROUNDS OUT [NOTE]...` runs everything in rounds, one after the other, and writes
//!   `OUT.csv` and `OUT.md`.
//! - `relay serve SUBJECT UPSTREAM` is a relay, and `relay upstream` the upstream.
//!
//! `relay.sh` builds the relay in Go, and does the rest.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{collections::VecDeque, env, fs, hint::black_box, mem, ops::Range};
use std::{os::unix::process::CommandExt, thread::sleep};

use futures_util::TryStreamExt;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, StatusCode, Uri, Version, header};
use memchr::memmem;
use tokio::runtime;
use tower_sse::filter::{self, FilterLayer, Verdict};
use tower_sse::{Event, SseLayer, decode::MessageStream, layer::EventBody};
use tower_sse_benches::sockets::process::{end_with_parent, raise_open_files};
use tower_sse_benches::sockets::record::{Columns, Measured, Record};
use tower_sse_benches::{sockets::client::DEADLINE, sockets::clock::monotonic_ns};

use page::Template;
use row::{Case, Row};
use subject::{CLIENTS, Pace, Subject};

mod checker;
mod dechunker;
mod page;
mod pipeline;
mod row;
mod serve;
mod subject;
mod upstream;

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    match &*args.iter().map(String::as_str).collect::<Vec<_>>() {
        ["upstream"] => upstream::serve(),
        ["serve", subject, upstream] => {
            let upstream = upstream.parse().expect("an address");
            match Subject::parse(subject).expect("a subject") {
                Subject::Nginx => subject::serve_nginx(upstream),
                subject => serve::serve(subject, upstream),
            }
        }
        ["rounds", rounds, out, notes @ ..] => {
            raise_open_files().expect("a limit that can be raised");
            let record = row::run(rounds.parse().expect("a number of rounds"));
            record.write(Path::new(out), &page::page(&record, notes));
        }
        [subject, pace] => {
            let subject = Subject::parse(subject).expect("a subject");
            let row = Case { subject, pace: Pace::parse(pace).expect("a pace") }.measure();
            println!("{}\n{}", Row::COLUMNS, row.expect("a valid run").csv());
        }
        _ => {
            let subjects = Subject::ALL.map(|(name, _)| name).join(", ");
            let paces = Pace::ALL.map(|(name, _)| name).join(", ");
            eprintln!("usage: relay SUBJECT PACE | relay rounds ROUNDS OUT [NOTE]...");
            eprintln!("subjects: {subjects}\npaces: {paces}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
