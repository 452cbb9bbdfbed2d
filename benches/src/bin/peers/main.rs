//! Compares whole servers of event streams, as users would run them: the hub in axum, the example
//! `many_clients`, axum's `Sse`, nchan, pushpin and better-sse. Each server runs on one processor.
//! All clients are in this process, on another processor.
//!
//! - `peers measure [ROUNDS [WORK]...]` runs all works, or these, with all servers in rounds, and
//!   prints tables.
//! - `peers serve SUBJECT DIRECTORY` is a server.
//!
//! `benches/peers.sh` downloads missing packages and writes the record.

use std::{env, path::Path};

use tower_sse_scale::process::raise_open_files;

mod foreign;
mod measure;
mod ours;
mod work;

#[path = "../../../../examples/many_clients.rs"]
#[allow(dead_code, reason = "some subjects leave out parts")]
mod many_clients;

fn main() {
    raise_open_files().expect("a limit that can be raised");
    let args: Vec<_> = env::args().skip(1).collect();
    match &*args.iter().map(String::as_str).collect::<Vec<_>>() {
        ["serve", subject, directory] => {
            let subject = Subject::ALL.into_iter().find(|other| other.name() == *subject);
            serve(subject.expect("a subject"), Path::new(directory));
        }
        ["measure", rest @ ..] => measure::measure(rest),
        _ => panic!("usage: peers measure [ROUNDS [WORK]...] | serve SUBJECT DIRECTORY"),
    }
}

/// The server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The hub and the layer, with a shutdown, in axum.
    Hub,
    /// The example `many_clients`.
    Many,
    /// The example on the runtime that `#[tokio::main]` makes.
    ManyWorkers,
    /// The example over TLS.
    ManyTls,
    /// axum's `Sse` of a channel.
    Axum,
    Nchan,
    Pushpin,
    BetterSse,
}

impl Subject {
    pub(crate) const ALL: [Self; 8] = [
        Self::Hub,
        Self::Many,
        Self::ManyWorkers,
        Self::ManyTls,
        Self::Axum,
        Self::Nchan,
        Self::Pushpin,
        Self::BetterSse,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Many => "many_clients",
            Self::ManyWorkers => "many_clients-workers",
            Self::ManyTls => "many_clients-tls",
            Self::Axum => "axum",
            Self::Nchan => "nchan",
            Self::Pushpin => "pushpin",
            Self::BetterSse => "better-sse",
        }
    }

    /// Returns whether the server is a process that `serve` has started.
    pub(crate) const fn is_wrapped(self) -> bool {
        matches!(self, Self::Nchan | Self::Pushpin)
    }

    /// Returns whether a client that comes back can receive what it has missed.
    pub(crate) const fn resumes(self) -> bool {
        !matches!(self, Self::Axum | Self::Pushpin | Self::BetterSse)
    }
}

fn serve(subject: Subject, directory: &Path) {
    match subject {
        Subject::Hub | Subject::Axum => ours::serve_axum(subject),
        Subject::Many => {
            tower_sse_scale::process::end_with_parent();
            many_clients::main().expect("a server");
        }
        Subject::ManyWorkers => ours::serve_workers(),
        Subject::ManyTls => ours::serve_tls(directory),
        Subject::Nchan => foreign::nchan(directory),
        Subject::Pushpin => foreign::pushpin(directory),
        Subject::BetterSse => panic!("a script"),
    }
}
