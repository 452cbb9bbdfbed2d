//! What is told of a stream when it is over: to `on_open` and `on_close`, to `Stats`, and to whoever
//! holds a `Disconnect`. Whatever ends it, and whichever kind of service made it.

mod close;
mod closures;
mod disconnect;
#[cfg(feature = "axum")]
mod extractor;
mod foreign;
mod kind;
mod nested;
#[cfg(feature = "tracing")]
mod span;
mod stats;
mod threads;
mod way_out;

#[path = "../support/mod.rs"]
mod support;
