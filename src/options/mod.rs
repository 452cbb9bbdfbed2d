//! [`StreamOptions`] holds the options of streams that a program sets. [`ResolvedOptions`] holds
//! those of a layer, or of one stream, merged from its layer, request and response. `drain.rs`,
//! `heartbeat.rs`, `max_age.rs` and `retry.rs` define the types of single options.

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

pub(crate) use self::drain::{PATIENCE, PATIENCE_AT_ONCE, When};
pub(crate) use self::heartbeat::{COMMENT_LINE, id_line, with_id};
pub(crate) use self::max_age::GRACE;
pub(crate) use self::resolved::{IdleInterval, ResolvedOptions, joined, start_event};
pub(crate) use self::retry::has_retry_line;
pub(crate) use self::stream_options::OnOpen;
