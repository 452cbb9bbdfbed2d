//! Bodies: a stream of events as frames, and an event stream with what the layer writes into it.
//!
//! - [`EventBody`] encodes what a `Stream` gives.
//! - [`SseBody`] takes the bytes of an event stream, made by anybody, and adds heartbeats, the first
//!   lines and the last event, where that changes nothing of what a client decodes.

mod boundary;
mod drain;
mod ending;
mod event_body;
mod event_stream;
mod heartbeat;
mod hold;
mod lifetime;
mod max_age;
mod options;
mod pace;
mod report;
mod retry;
mod rules;
mod silence;
mod sse_body;

pub use self::{
    drain::Drain, event_body::EventBody, heartbeat::Heartbeat, max_age::MaxAge,
    options::StreamOptions, retry::Retry, sse_body::SseBody,
};

pub(crate) use self::{
    event_stream::EventStream,
    lifetime::{Inherited, Shutdown},
    report::{OnClose, OnOpen, Report},
    rules::Rules,
};

use self::{
    boundary::Boundary, ending::Ending, hold::Hold, lifetime::Lifetime, pace::Pace,
    silence::Silence,
};
