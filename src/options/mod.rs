//! The options of streams ([`StreamOptions`]), and those of one stream after the layer's and the
//! response's were merged ([`ResolvedOptions`]). `times.rs` has the types of single options.

mod resolved;
mod stream_options;
mod times;

pub use self::stream_options::StreamOptions;
pub use self::times::{Drain, Heartbeat, MaxAge, Retry};

pub(crate) use self::resolved::{IdleInterval, ResolvedOptions};
pub(crate) use self::stream_options::{OnClose, OnOpen};
pub(crate) use self::times::{GRACE, PATIENCE, PATIENCE_AT_ONCE, When, has_retry_line};
