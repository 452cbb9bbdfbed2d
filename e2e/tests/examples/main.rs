//! The examples as their users run them: over sockets, with clients of all kinds.

#[path = "../../../tests/support/mod.rs"]
mod support;

mod chat;
mod existing_axum;
#[cfg(unix)]
mod graceful;
mod hyper_raw;
mod llm_tokens;
mod metrics;
mod notes;
mod notifications;
mod ports;
mod proxy;
mod quickstart;
#[cfg(target_os = "linux")]
mod stale;
mod ticker;
mod tonic_web;

use {
    ports::Process,
    support::{
        EventReader, PATIENCE, Polled, Protocol, client, connect_h1, connect_h2, listen,
        poll_frame, serve_axum, soon, start,
    },
};
