//! Parsers of replies.

use ::redis::Value;

use super::{entry::RawEntry, stream_id::StreamId};

/// Returns the entries in the reply of XREAD for one stream, in either version of the protocol.
pub(crate) fn only_stream(reply: Value) -> Option<Value> {
    match reply {
        Value::Map(streams) => Some(streams.into_iter().next()?.1),
        Value::Array(streams) => match streams.into_iter().next()? {
            Value::Array(stream) => stream.into_iter().nth(1),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn parse_entries(reply: Value) -> Option<Vec<RawEntry>> {
    let Value::Array(entries) = reply else { return None };
    entries.into_iter().map(parse_entry).collect()
}

fn parse_entry(entry: Value) -> Option<RawEntry> {
    let Value::Array(parts) = entry else { return None };
    let mut parts = parts.into_iter();
    let id = parse_id(parts.next()?)?;
    let Value::Array(fields) = parts.next()? else { return None };
    Some(RawEntry { id, fields: fields.into_iter().map(bytes).collect::<Option<_>>()? })
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

pub(crate) fn parse_id(reply: Value) -> Option<StreamId> {
    String::from_utf8(bytes(reply)?).ok()?.parse().ok()
}
