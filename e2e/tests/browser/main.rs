//! Tests with independent clients: browsers, directly and through proxies, and packages for Node.

#[cfg(unix)]
mod assistant;
mod certificate;
mod chat;
mod clients;
mod control;
mod dashboard;
mod doc_pages;
mod documented_proxies;
#[cfg(unix)]
#[path = "../../../tests/support/engine.rs"]
mod engine;
#[cfg(unix)]
mod engines;
mod frameworks;
mod job;
mod manual;
mod node;
mod notifications;
mod outage;
mod proxies;
mod reloads;
mod runs;
mod service;
mod shutdown;
mod ticker;
#[cfg(unix)]
mod two_tabs;
#[cfg(unix)]
mod worker;

#[path = "../../../tests/support/browser.rs"]
mod browser;
#[path = "../../../tests/support/chromium.rs"]
mod chromium;
#[path = "../../../examples/dashboard/src/main.rs"]
#[allow(dead_code)]
mod example;
#[cfg(unix)]
#[path = "../../../tests/support/redis_server.rs"]
mod redis_server;
#[path = "../../../tests/support/relay.rs"]
mod relay;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex};
use std::{convert::Infallible, env, process::Stdio, sync::atomic::AtomicUsize, time::Duration};

use async_stream::stream;
use axum::response::{Html, IntoResponse};
use axum::{Router, extract::State, serve::ListenerExt};
use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream::pending};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::{Notify, RwLock, Semaphore, broadcast, mpsc, watch};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt, service_fn};
use tower_sse::hub::Hub;
use tower_sse::runs::{Outcome, RunEnd, Runs};
use tower_sse::stats::{Stats, StatsSnapshot};
use tower_sse::{
    ClientKind, CloseReason, Drain, Event, Heartbeat, LastEventId, MaxAge, Refusal, Retention,
    Retry,
};
use tower_sse::{SseLayer, StreamOptions};

use browser::Tools;
use certificate::Certificate;
use chromium::{Chromium, directory_of_screenshots, phone};
use clients::{BOTH, EVENT_SOURCE, FETCHED, Seen, find_fetch_event_source, page};
use outage::Outage;
use proxies::Kind;
use service::{ANY, Log, Server, layer};
use support::client::{self, get, post};
use support::{Connection, Directory, EventReader, PATIENCE, Protocol, find, listen, serve_axum};
use support::{Program, Proxy, find_newest_nginx, find_nginx, node, package};
use support::{soon, until};
