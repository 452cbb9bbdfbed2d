//! The broker of a hub over a Redis stream.
//!
//! - [`RedisBroker`] has its options and connects it.
//! - `stream` has the stream's connections, commands, entries, ids and markers, and the scripts in
//!   its `lua/`.
//! - `publisher` awaits acknowledgements. `stream_log` is the log that `tower_sse_broker` follows.
//! - [`BrokerStats`] are the figures of the stream.

mod publisher;
mod redis_broker;
mod stats;
mod stream;
mod stream_log;

pub use self::redis_broker::RedisBroker;
pub use self::stats::{BrokerStats, StreamStats};
#[cfg(fuzzing)]
pub(crate) use self::stream::Entry;
pub(crate) use self::stream::RawEntry;
