//! Tests with independent clients: headless Chromium, directly and through nginx, and packages for
//! Node.

mod browser;
mod calls;
mod chat;
mod chromium;
mod clients;
mod compressed;
mod control;
mod dashboard;
mod doc_pages;
mod documented_nginx;
mod job;
mod limit;
mod manual;
mod nginx;
mod node;
mod runs;
mod screenshots;
mod service;
mod shutdown;
mod steps;
mod ticker;
mod tools;

#[path = "../../../examples/dashboard/main.rs"]
#[allow(dead_code)]
mod example;
#[path = "../../../tests/support/mod.rs"]
mod support;

use {
    chromium::Chromium,
    clients::{BOTH, EVENT_SOURCE, FETCHED, Seen, find_fetch_event_source, page},
    dashboard::INTERVAL,
    nginx::Nginx,
    screenshots::{directory, phone},
    service::{ANY, Log, Server, layer},
    support::client::{get, post},
    support::{
        Directory, EventReader, PATIENCE, Protocol, client, listen, serve_axum, soon, until,
    },
    tools::{Tools, find_nginx, find_node, find_package},
};
