//! Bodies: a stream of events as frames, and an event stream with what the layer writes into it.
//!
//! - [`EventBody`] encodes what a `Stream` gives.
//! - [`SseBody`] takes the bytes of an event stream, made by anybody, and adds heartbeats, the first
//!   lines and the last event, where that changes nothing of what a client decodes.

mod boundary;
mod event_body;
mod event_stream;
mod heartbeat;
mod options;
mod pace;
mod retry;
mod rules;
mod silence;
mod sse_body;

pub use self::{
    event_body::EventBody, heartbeat::Heartbeat, options::StreamOptions, retry::Retry,
    sse_body::SseBody,
};

pub(crate) use self::rules::Rules;

use self::{boundary::Boundary, pace::Pace, silence::Silence};
