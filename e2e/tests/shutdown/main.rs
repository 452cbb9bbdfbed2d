//! Graceful shutdown over real sockets, by the recipes of the examples, and in real processes.

mod connection_age;
mod deadline;
mod drain;
mod end;
mod farewell;
mod host;
mod own_end;
#[cfg(unix)]
mod process;
mod refusal;
mod relay;
mod shut_windows;
mod source;
mod stalled;
mod without_the_layer;

#[path = "../../../examples/graceful_axum.rs"]
#[allow(dead_code)]
mod graceful_axum;
#[path = "../../../examples/graceful_hyper.rs"]
#[allow(dead_code)]
mod graceful_hyper;
#[path = "../../../examples/graceful_tonic.rs"]
#[allow(dead_code)]
mod graceful_tonic;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{Response, request::Parts};
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower_sse::{CloseReason, Drain, Event, SseLayer, Stats};

use {
    end::{End, read_to_end},
    graceful_hyper::{LIMITS, Limits},
    host::{Handler, Host, Server, handler},
    relay::{GOAWAY, HEADERS, RST_STREAM, Relay},
    source::{Feeds, Source},
    stalled::{SMALL_SOCKET, Stalled, flood},
    support::client::{connect_h2_with_window, connect_small},
    support::{
        Connection, EventReader, Feed, PATIENCE, Process, Protocol, Reports, Requester, connect_h2,
        event_stream, listen, soon,
    },
};
