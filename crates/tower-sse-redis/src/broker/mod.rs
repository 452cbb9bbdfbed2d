//! A broker that connects a hub to a Redis stream.
//!
//! - [`RedisBroker`] has the options and connects the hub.
//! - `entry.rs` defines the stream's entries, their ids, and the command that adds an event.
//! - `redis_stream.rs` sends the commands that read, mark and trim the stream, and estimates the
//!   server's time. `lua/` has the longer scripts, one file each.
//! - `publisher.rs` sends events and awaits their acknowledgements.
//! - `stream_log.rs` opens the connections and is the log that `tower_sse_broker` follows.

mod entry;
mod publisher;
mod redis_broker;
mod redis_stream;
mod stream_log;
#[cfg(test)]
mod tests;

#[cfg(fuzzing)]
pub(crate) use self::entry::Entry;
pub(crate) use self::entry::RawEntry;
pub use self::redis_broker::RedisBroker;
