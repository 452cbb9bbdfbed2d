//! Real servers and real sockets: axum and raw hyper, HTTP/1 and HTTP/2.

mod back_pressure;
mod disconnects;
mod errors;
mod events;
mod fairness;
mod framing;
mod host;
mod local;
mod panics;
mod source;

#[path = "../support/mod.rs"]
mod support;
