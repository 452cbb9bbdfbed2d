//! The stream in Redis: its commands and replies, its entries and their ids, and its clock.
//!
//! - [`RedisStream`] is the stream over one connection. [`Clock`] estimates the server's time.
//! - [`RawEntry`] is an entry as Redis sends it, and [`Entry`] what it means. [`AddEvent`] is the
//!   command that adds an event.
//! - `lua/` has the texts of the scripts, one file each.

mod add_event;
mod entry;
mod redis_stream;
mod stream_id;

pub(crate) use self::entry::{Entry, RawEntry};
pub(super) use self::redis_stream::{BLOCK_TIMEOUT, Clock, RedisStream};
pub(super) use self::{add_event::AddEvent, stream_id::StreamId};
