//! The test rig: real clients read answers through a proxy that cuts their connections.
//! `slow/tests/clients` has more clients.

#![allow(dead_code, unused_imports)]

mod answers;
mod app;
mod client;
mod deployment;
mod proxy;
#[path = "../../../../tests/support/redis_server.rs"]
mod redis_server;

pub(crate) use std::iter::repeat_n;
pub(crate) use std::net::SocketAddr;
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering, Ordering::SeqCst};
pub(crate) use std::sync::{Arc, Mutex, OnceLock};
pub(crate) use std::time::{Duration, Instant};
pub(crate) use std::{collections::VecDeque, convert::Infallible, fs, path::PathBuf};

pub(crate) use axum::response::{IntoResponse, Response};
pub(crate) use axum::{Router, body::Body, extract::Request};
pub(crate) use bytes::Bytes;
pub(crate) use futures_util::{Stream, StreamExt, stream};
pub(crate) use http::{StatusCode, header, request::Parts};
pub(crate) use serde_json::{Value, json};
pub(crate) use tokio::io::{AsyncReadExt, AsyncWriteExt};
pub(crate) use tokio::net::{TcpListener, TcpStream};
pub(crate) use tokio::sync::{Notify, watch};
pub(crate) use tokio::{process::Command, time::timeout};
pub(crate) use tokio_util::sync::CancellationToken;
pub(crate) use tower_sse::event::Encoded;
pub(crate) use tower_sse::filter::{self, FilterLayer, Verdict};
pub(crate) use tower_sse::runs::{InvalidKey, RunKey, Runs};
pub(crate) use tower_sse::{Drain, Event, Heartbeat, LastEventId, Refusal, Retry, SseLayer};
pub(crate) use tower_sse::{StreamOptions, streams::Streams};

pub(crate) use self::answers::Pace;
pub(crate) use self::app::Service;
pub(crate) use self::client::{Client, Packages};
pub(crate) use self::deployment::Deployment;
pub(crate) use self::proxy::{Cut, Proxy};
pub(crate) use crate::support::{Process, Program, find, find_nginx, installed, listen};
pub(crate) use crate::support::{serve_axum, skip, soon, target};
