//! Reports on the end of a stream: `on_open` and `on_close`, `Stats`, and `Disconnect`, on every
//! exit path and for every kind of service.

mod close;
mod closures;
mod disconnect;
mod exits;
#[cfg(feature = "axum")]
mod extractor;
mod foreign;
mod labels;
#[cfg(feature = "tracing")]
mod span;
mod stats;
mod threads;
mod timings;

pub(crate) use disconnect::respond;
