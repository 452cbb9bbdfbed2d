use redis::{FromRedisValue, Value};

use super::stream_id::StreamId;

/// The reply to a command that adds an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Entry(StreamId),
    /// The stream is missing, so nothing was added.
    NoStream,
}

impl Added {
    pub(super) fn parse(reply: Value) -> Option<Self> {
        match reply {
            Value::Nil => Some(Self::NoStream),
            reply => StreamId::from_redis_value(reply).ok().map(Self::Entry),
        }
    }
}
