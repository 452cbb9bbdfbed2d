//! Examples, as processes or as modules: the exchange that shows what each example is for. The
//! crate's own tests guard the crate's promises, and `../browser` tests the pages of examples.

mod beacon_events;
#[cfg(unix)]
mod cluster;
mod early_head;
#[cfg(unix)]
mod graceful;
mod hosts;
mod hubs;
mod jmap_push;
#[cfg(unix)]
mod many_clients;
#[cfg(unix)]
mod metrics;
mod notifications;
mod pages;
mod process;
mod runs;
#[cfg(unix)]
mod signals;

#[cfg(unix)]
#[path = "../../../tests/support/redis_server.rs"]
mod server;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use axum::Router;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::sleep;
use tower::ServiceExt;
use tower_sse::{SseLayer, decode::Message, hub::Hub};

use process::{next, open, post, run, serve};
use support::{EventReader, Process, Protocol, client, example_program, soon};
#[cfg(unix)]
use support::{PATIENCE, Program, find, until_async};
