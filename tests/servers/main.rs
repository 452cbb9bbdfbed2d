//! Real servers and real sockets: axum and raw hyper, HTTP/1 and HTTP/2.

mod back_pressure;
mod disconnects;
mod errors;
mod events;
mod fairness;
mod faults;
mod framing;
mod host;
mod local;
mod one_connection;
mod overtaken;
mod panics;
mod source;
mod unnoticed;
#[cfg(target_os = "linux")]
mod unread;
mod upstream;
#[cfg(target_os = "linux")]
mod vanish;
mod watched;

#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;
