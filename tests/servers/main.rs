//! Real servers and real sockets: axum and raw hyper, HTTP/1 and HTTP/2.

mod back_pressure;
mod disconnects;
mod errors;
mod events;
mod fairness;
mod faults;
mod framing;
mod host;
mod limits;
mod local;
mod one_connection;
mod overtaken;
mod panics;
mod source;
mod unnoticed;
#[cfg(target_os = "linux")]
mod unread;
mod upstream;
#[cfg(target_os = "linux")]
mod vanish;
mod watched;

#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;

use {
    host::Host,
    log::Log,
    source::{Fed, streams},
    support::{
        Connection, EventReader, Gate, Gated, Leave, PATIENCE, Peer, Protocol, Reports, Requester,
        ResponseExt, Source, Sources, cancelled_task, checksum,
        client::{connect_h2_with_window, connect_small},
        connect_h1, connect_h2, event_stream, listen,
        peer::End,
        read_to_end, serve_axum,
        server::serve_connection,
        soon, start, through,
    },
    watched::{Opened, Settings, Watched},
};
