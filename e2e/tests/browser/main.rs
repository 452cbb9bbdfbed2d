//! Tests with independent clients: headless Chromium, directly and through proxies, and packages
//! for Node.

mod browser;
mod buffering;
mod calls;
mod certificate;
mod chat;
mod chromium;
mod clients;
mod compressed;
mod control;
mod dashboard;
mod doc_pages;
mod documented_proxies;
mod documented_shutdown;
mod frameworks;
mod job;
mod limit;
mod manual;
mod nginx;
mod node;
mod notifications;
mod proxy;
mod runs;
mod runs_quickstart;
mod screenshots;
mod service;
mod shutdown;
mod steps;
mod ticker;
mod tickets;
mod tools;
mod watchdog;

#[path = "../../../examples/dashboard/main.rs"]
#[allow(dead_code)]
mod example;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_stream::stream;
use axum::{Router, response::IntoResponse};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_sse::{Event, Retry, SseLayer, hub::Hub};

use {
    certificate::Certificate,
    chromium::Chromium,
    clients::{BOTH, EVENT_SOURCE, FETCHED, Seen, find_fetch_event_source, page},
    dashboard::INTERVAL,
    nginx::Nginx,
    proxy::{Kind, Proxy},
    screenshots::{directory, phone},
    service::{ANY, Log, Server, layer},
    support::client::{get, post},
    support::{
        Connection, Directory, EventReader, PATIENCE, Protocol, client, find, listen, serve_axum,
        soon, until, until_async,
    },
    tools::{Tools, find_envoy, find_newest_nginx, find_nginx, find_node, find_package},
};
