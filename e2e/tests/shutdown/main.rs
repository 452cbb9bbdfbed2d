//! Graceful shutdown over real sockets, by the recipes of the examples, and in real processes.

mod connection_age;
mod deadline;
mod drain;
mod end;
mod farewell;
mod host;
mod own_end;
#[cfg(unix)]
mod process;
mod refusal;
mod relay;
mod shut_windows;
mod source;
mod stalled;
mod without_the_layer;

#[path = "../../../examples/graceful_axum.rs"]
#[allow(dead_code)]
mod graceful_axum;
#[path = "../../../examples/graceful_hyper.rs"]
#[allow(dead_code)]
mod graceful_hyper;
#[path = "../../../examples/graceful_tonic.rs"]
#[allow(dead_code)]
mod graceful_tonic;
#[path = "../../../tests/support/mod.rs"]
mod support;
