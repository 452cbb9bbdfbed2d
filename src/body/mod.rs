//! Bodies: a stream of events as frames, and an event stream with what the layer writes into it.
//!
//! - [`EventBody`] encodes what a `Stream` gives.
//! - [`SseBody`] takes the bytes of an event stream, made by anybody, and adds heartbeats, the first
//!   lines and the last event, where that changes nothing of what a client decodes.

mod boundary;
mod coop;
mod deadline;
mod ending;
mod event_body;
mod event_stream;
mod flush_wait;
mod frame_batch;
mod idle;
mod report;
mod sse_body;

pub use self::{event_body::EventBody, sse_body::SseBody};

pub(crate) use self::{
    deadline::{Inherited, Shutdown},
    event_stream::EventStream,
    report::Report,
};

use self::{
    boundary::Boundary, coop::CoopBudget, deadline::Deadline, ending::Ending,
    flush_wait::FlushWait, idle::IdleTimer,
};
