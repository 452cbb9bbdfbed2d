//! The bodies of event streams.
//!
//! - [`EventBody`] encodes a `Stream` of events.
//! - [`SseBody`] passes the bytes of any event stream and adds the first lines, heartbeats and the
//!   last event, at points where they do not change the events that a client decodes.
//! - [`MessageStream`] is the other direction: it decodes the body of another server's response.

mod boundary;
mod cancellation;
mod deadline;
mod deferred_panic;
mod event_body;
mod event_stream;
mod flush_wait;
mod forward;
mod frame_batch;
mod idle_timer;
mod last_frames;
mod line_kind;
mod managed_body;
mod message_stream;
mod observation;
mod release;
mod shutdown;
mod silence;
mod sse_body;
mod stream_record;
mod without_layer;

pub(crate) use self::forward::forward_to_kinds;
pub use self::{event_body::EventBody, message_stream::MessageStream, sse_body::SseBody};

pub(crate) use self::{
    event_stream::StreamState, observation::Observation, shutdown::Shutdown,
    stream_record::StreamRecord,
};

use self::{
    boundary::Boundary, deadline::Deadline, flush_wait::FlushWait, idle_timer::IdleTimer,
    last_frames::LastFrames, silence::Silence,
};
