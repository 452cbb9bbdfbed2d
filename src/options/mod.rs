//! The options of streams ([`StreamOptions`]), and the options of one stream, merged from its
//! layer, request and response ([`ResolvedOptions`]). The other files have one option each, with
//! its default.

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
pub(crate) use self::max_age::GRACE;
pub(crate) use self::resolved::{IdleInterval, ResolvedOptions};
pub(crate) use self::retry::has_retry_line;
pub(crate) use self::stream_options::{OnClose, OnOpen};
