use std::time::Duration;

use ::redis::{FromRedisValue, Value};

use super::stream_id::StreamId;

/// The reply to a command that adds an event or an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Entry(StreamId),
    /// The stream is missing, so nothing was added.
    NoStream,
    /// The announcement of a last event is not old enough. It is after this time.
    TooEarly(Duration),
    /// The announcement of a last event is too old, or the stream does not have it.
    NotAnnounced,
}

impl Added {
    pub(super) fn parse(reply: Value) -> Option<Self> {
        match reply {
            Value::Nil => Some(Self::NoStream),
            Value::Int(-1) => Some(Self::NotAnnounced),
            Value::Int(wait) => Some(Self::TooEarly(Duration::from_millis(wait.try_into().ok()?))),
            reply => StreamId::from_redis_value(reply).ok().map(Self::Entry),
        }
    }
}
