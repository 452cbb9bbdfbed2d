//! The module for pages, `page/tower-sse.js`, against real servers behind faults: a model in Node
//! with random faults, and scenes in browsers.
#![cfg(unix)]

mod defects;
mod engine_page;
mod faults;
mod files;
mod guide;
mod hooks;
mod model;
mod rig;
mod scenes;
mod tried;
mod wire;

#[path = "../../../tests/support/browser.rs"]
mod browser;
#[path = "../../../tests/support/chromium.rs"]
mod chromium;
#[path = "../../../tests/support/engine.rs"]
mod engine;
#[path = "../../../tests/support/relay.rs"]
mod relay;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::{convert::Infallible, env, fs, process::Stdio, time::Duration};

use async_stream::stream;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_sse::hub::Hub;
use tower_sse::streams::{Streams, Subjects};
use tower_sse::testing::MemoryBroker;
use tower_sse::{
    Drain, Event, Heartbeat, LastEventId, MaxAge, Refusal, Retention, Retry, SseLayer,
};

use engine::Engine;
use engine_page::EnginePage;
use faults::Faults;
use rig::{Rig, Settings};
use support::{Program, find, node, serve_axum, soon, until};
use wire::Wire;
