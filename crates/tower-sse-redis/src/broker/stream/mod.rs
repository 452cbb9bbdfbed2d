//! The stream in Redis: its commands and replies, its entries and their ids, and its clock.
//!
//! - [`Connector`] opens the connections. [`RedisStream`] is the stream over one of them, and
//!   [`Clock`] estimates the server's time.
//! - [`AddEvent`] is the command that adds an event. [`RawEntry`] is an entry as Redis sends it,
//!   [`StreamId`] its id, and [`Entry`] what it means.
//! - `lua/` has the texts of the scripts, one file each.

mod entry;
mod redis_stream;

pub(super) use self::entry::{AddEvent, StreamId};
pub(crate) use self::entry::{Entry, RawEntry};
pub(super) use self::redis_stream::{BLOCK_TIMEOUT, Clock, Connector, RedisStream};
