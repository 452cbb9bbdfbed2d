//! Processes that share a hub over an SQLite file while some are killed and replaced.

#![cfg(unix)]

mod client;
mod process;
mod storm;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering::Relaxed};
use std::time::Duration;
use std::{collections::HashSet, net::SocketAddr, thread};

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use futures_util::StreamExt;
use http::header::ACCEPT;
use rusqlite::Connection;
use tokio::io::{BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tower_sse::decode::Decoder;
use tower_sse::hub::{Hub, PublishError};
use tower_sse::{LastEventId, Retention, SseLayer};
use tower_sse_sqlite::Sqlite;

use support::{PATIENCE, Process, soon};
