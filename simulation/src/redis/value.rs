use std::collections::BTreeMap;

use super::{resp::Reply, stream::Stream};

/// The value of a key.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Stream(Stream),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
}

impl Value {
    /// Returns about how many bytes it takes in Redis 7.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Stream(stream) => 600 + stream.bytes().max(4_096),
            Self::Hash(hash) => {
                150 + hash.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>()
            }
        }
    }

    pub(super) fn stream(&mut self) -> Result<&mut Stream, Reply> {
        match self {
            Self::Stream(stream) => Ok(stream),
            Self::Hash(_) => Err(wrong_type()),
        }
    }

    pub(super) fn hash(&mut self) -> Result<&mut BTreeMap<Vec<u8>, Vec<u8>>, Reply> {
        match self {
            Self::Hash(hash) => Ok(hash),
            Self::Stream(_) => Err(wrong_type()),
        }
    }
}

fn wrong_type() -> Reply {
    let text = "WRONGTYPE Operation against a key holding the wrong kind of value";
    Reply::Error(text.to_owned())
}
