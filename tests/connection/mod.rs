//! The last event id of a request, and reports on a stream: `on_open`, `on_close`, `Stats` and
//! `Disconnect`, on every exit path and for every kind of service.

mod close;
mod disconnect;
#[cfg(feature = "axum")]
mod extractor;
mod foreign;
mod last_event_id;
#[cfg(feature = "tracing")]
mod span;
mod stats;
mod timings;

use self::disconnect::answer_and_disconnect;

pub(crate) use disconnect::respond;
