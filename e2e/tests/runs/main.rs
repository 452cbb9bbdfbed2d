//! Runs with real clients: Chromium, and packages of npm and PyPI, through a proxy that cuts their
//! connections, and while the server shuts down or is killed. And the same clients behind an nginx
//! that does not wait for the first word.
//!
//! The tests that `.ci/slow runs` and `.ci/slow early-head` start are ignored by default.

#![cfg(unix)]

mod answers;
mod app;
mod chats;
mod client;
mod cuts;
mod deployment;
mod early_head;
mod filters;
mod gateways;
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
#[path = "../../../tests/support/redis_server.rs"]
mod redis;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use std::{collections::VecDeque, convert::Infallible, fs, iter::repeat_n, path::PathBuf};

use axum::response::{IntoResponse, Response};
use axum::{Router, body::Body, extract::Request};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{StatusCode, header, request::Parts};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::{Notify, watch};
use tokio::{runtime::Runtime, time::timeout};
use tokio_util::sync::CancellationToken;
use tower_sse::filter::{self, FilterLayer, Verdict};
use tower_sse::runs::{InvalidKey, RunKey, Runs};
use tower_sse::{Drain, Event, Heartbeat, LastEventId, Refusal, Retry, SseLayer, event::Encoded};
use tower_sse::{StreamOptions, streams::Streams};

use answers::Pace;
use app::Service;
use browser::Tools;
use chromium::Chromium;
use client::{Client, Packages};
use deployment::Deployment;
use page::Page;
use proxy::{Cut, Proxy};
use support::{Process, Program, find, find_nginx, listen, serve_axum, skip, soon, target};
