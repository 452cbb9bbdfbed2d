//! The stream in Redis: its commands and replies, its entries and their ids, and its clock.
//!
//! - [`RedisStream`] is the stream over one connection. [`Clock`] estimates the server's time.
//! - [`RawEntry`] is an entry as Redis sends it, and [`Entry`] what it means. [`AddEvent`] is the
//!   command that adds an event.
//! - An [`Identity`] is the id of an entry and a fingerprint of its fields.
//! - `lua/` has the texts of the scripts, one file each.

mod add_event;
mod clock;
mod entry;
mod identity;
mod raw_entry;
mod redis_stream;
mod stream_id;

pub(super) use self::{
    add_event::AddEvent,
    clock::Clock,
    identity::Identity,
    redis_stream::{BLOCK_TIMEOUT, RangeStart, RedisStream},
    stream_id::StreamId,
};
pub(crate) use self::{entry::Entry, raw_entry::RawEntry};
