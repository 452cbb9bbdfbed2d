//! The options of streams ([`StreamOptions`]), and the options of one stream, merged from its
//! layer, request and response ([`ResolvedOptions`]). `times.rs` has the types of individual
//! options.

mod resolved;
mod stream_options;
mod times;

pub use self::stream_options::StreamOptions;
pub use self::times::{Drain, Heartbeat, MaxAge, Retry};

pub(crate) use self::resolved::{IdleInterval, ResolvedOptions};
pub(crate) use self::stream_options::{OnClose, OnOpen};
pub(crate) use self::times::{GRACE, PATIENCE, PATIENCE_AT_ONCE, When, has_retry_line};
