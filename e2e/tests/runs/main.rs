//! Runs with real clients: Chromium, and packages of npm and PyPI, through a proxy that cuts their
//! connections, and while the server shuts down or is killed.
//!
//! The tests that `.ci/slow runs` starts are ignored by default.

#![cfg(unix)]

mod answers;
mod app;
mod chats;
mod client;
mod cuts;
mod deployment;
mod filters;
mod graphs;
mod limits;
mod line_ends;
mod page;
mod proxy;
mod server;
mod shutdown;
mod sigterm;
mod upstream;

#[path = "../browser/browser.rs"]
mod browser;
#[path = "../browser/chromium.rs"]
#[allow(dead_code)]
mod chromium;
#[path = "../redis/server.rs"]
#[allow(dead_code)]
mod redis;
#[path = "../../../tests/support/mod.rs"]
mod support;
#[path = "../browser/tools.rs"]
#[allow(dead_code)]
mod tools;

use std::{
    collections::VecDeque,
    convert::Infallible,
    fs,
    iter::repeat_n,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{
            AtomicUsize,
            Ordering::{self, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{StatusCode, header, request::Parts};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command},
    runtime::Runtime,
    sync::{Notify, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    Drain, Encoded, Event, Heartbeat, LastEventId, Refusal, Retry, SseLayer, StreamOptions,
    filter::{self, FilterLayer, Verdict},
    runs::{InvalidKey, RunKey, Runs},
    streams::Streams,
};

use answers::Pace;
use app::Service;
use chromium::Chromium;
use client::{Client, Packages};
use deployment::Deployment;
use page::Page;
use proxy::{Cut, Proxy};
use support::{Process, find, listen, serve_axum, skip, soon};
use tools::{Tools, find_node};
