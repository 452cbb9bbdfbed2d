use redis::{FromRedisValue, ParsingError, Value};

use tower_sse_broker::Identity;

use super::{fingerprint::fingerprint, stream_id::StreamId};

/// An entry of the stream as Redis sends it.
#[derive(Debug)]
pub(crate) struct RawEntry {
    pub(crate) id: StreamId,
    /// Alternating names and values.
    pub(crate) fields: Vec<Vec<u8>>,
}

impl RawEntry {
    pub(crate) fn identity(&self) -> Identity {
        Identity { number: self.id.sequence(), fingerprint: fingerprint(&self.fields) }
    }
}

impl FromRedisValue for RawEntry {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (id, fields) = FromRedisValue::from_redis_value(value)?;
        Ok(Self { id, fields })
    }
}
