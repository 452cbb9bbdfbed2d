//! What a user sets: the options of streams, and the options of one stream once the layer's and the
//! response's are merged.

mod callbacks;
mod drain;
mod heartbeat;
mod max_age;
mod resolved;
mod retry;
mod stream_options;

pub use self::{
    drain::Drain, heartbeat::Heartbeat, max_age::MaxAge, retry::Retry,
    stream_options::StreamOptions,
};

pub(crate) use self::{
    callbacks::{OnClose, OnOpen},
    drain::PATIENCE,
    resolved::{IdleInterval, ResolvedOptions},
};
