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
mod notifications;
mod ports;
mod proxy;
mod quickstart;
mod ticker;
mod tonic_web;
