//! The rig of the tests: what several of them use, one topic a file.
//!
//! The files that are not declared below need a crate that not all tests have, read the pages of
//! one package, or serve only a few tests. A test that uses such a file declares the file.
//! `programs.rs` declares the files that start programs, for packages without the dependencies of
//! the rest.

// Each test uses only a part of this module.
#![allow(dead_code, unreachable_pub, unused_imports, unused_macros)]

/// A response from inside the layer, without a server.
pub mod answer;
/// A body polled by hand, and a waker that counts.
pub mod body;
/// Connections of hyper's client, and single requests.
pub mod client;
/// The paused clock of a test, and the names of the cases of a table.
pub mod clock;
/// Errors with and without a source, and the error of an aborted task.
pub mod error;
/// Every way in which a stream can end.
pub mod exit_path;
/// A body that the test feeds.
pub mod feed;
/// Connections on which nothing arrives for a while.
pub mod gate;
/// The kinds of service that the layer wraps.
pub mod kind;
/// The oracle of the property tests.
pub mod naive;
/// Clients that split streams in different ways.
pub mod naive_clients;
/// The oracle of filters.
pub mod naive_filter;
pub mod openssl;
/// How long a test waits.
pub mod patience;
/// A client that leaves in the way that the test chooses.
pub mod peer;
pub mod port;
/// Programs in processes of their own.
pub mod process;
/// HTTP/1 and HTTP/2, and the clients that the layer distinguishes.
pub mod protocol;
/// Proxies in processes of their own.
pub mod proxy;
/// The events of a response.
pub mod reader;
pub mod reports;
/// Servers on ports of their own.
pub mod server;
/// A stream of events that the test feeds.
pub mod source;
/// Programs and directories that a test needs.
pub mod tool;

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::{fmt::Display, io, net::SocketAddr, sync::atomic::AtomicUsize};
use std::{sync::atomic::Ordering::SeqCst, thread, time::Duration};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower::{Layer, Service, service_fn};
use tower_sse::layer::{IntoSse, SseBody};
use tower_sse::{BoxError, CloseReason, Event, SseLayer};

pub(crate) use self::kind::for_each_kind;
pub use self::kind::{Bodies, Kind, Responses, Streams, open};
pub use self::server::{serve_axum, start};
pub use self::{answer::*, body::*, clock::*, error::*, feed::*, gate::*, patience::*, port::*};
pub use self::{client::connect_h1, client::connect_h2, exit_path::ExitPath, reader::EventReader};
pub use self::{peer::Leave, peer::Peer, process::*, protocol::*, proxy::*, reports::*};
pub use self::{source::Events, source::Source, source::Sources, tool::*};
