//! The options of streams, and those of one stream after merging the layer's and the response's.

mod callbacks;
mod cancellation;
mod closures;
mod drain;
mod heartbeat;
mod last_event;
mod max_age;
mod merge;
mod resolved;
mod retry;
mod stream_options;

pub use self::{
    drain::Drain, heartbeat::Heartbeat, max_age::MaxAge, retry::Retry,
    stream_options::StreamOptions,
};

pub(crate) use self::{
    closures::{OnClose, OnOpen},
    drain::{PATIENCE, PATIENCE_AT_ONCE, When},
    max_age::GRACE,
    resolved::{IdleInterval, ResolvedOptions},
};
