use super::{entry::GAP, identity::Fingerprint, stream_id::StreamId};

/// A script that adds a marker: if the stream has no entries (`empty`), or if it has no marker after
/// the entry `read`.
///
/// The marker's id must be above all entries that may have been lost, and its writer may not know
/// the newest of them. It is in the next millisecond of the server's clock. If ids are ahead of the
/// clock, it is `leap`. If the stream already has a higher id, Redis assigns the next one.
pub(crate) const MARK: &str = "
local key, read = KEYS[1], ARGV[1]
local newest_at, leap, nonce = tonumber(ARGV[2]), ARGV[3], ARGV[4]
if read == 'empty' then
  if redis.call('XLEN', key) > 0 then return false end
else
  for _, entry in ipairs(redis.call('XRANGE', key, '(' .. read, '+', 'COUNT', 1000)) do
    if entry[2][1] == 'gap' then return false end
  end
end
local time = redis.call('TIME')
local next = time[1] * 1000 + math.floor(time[2] / 1000) + 1
local id = string.format('%.0f-0', next)
if newest_at >= next then id = leap end
local added = redis.pcall('XADD', key, id, 'gap', nonce)
if type(added) == 'table' then return redis.call('XADD', key, '*', 'gap', nonce) end
return added
";

/// The condition for adding a marker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MarkIf {
    /// The stream has no entries.
    Empty,
    /// The stream has no marker after this entry, the last one that was read.
    NoneAfter(StreamId),
}

impl MarkIf {
    /// Returns the argument of the [script](MARK).
    pub(crate) fn argument(self) -> String {
        match self {
            Self::Empty => "empty".to_owned(),
            Self::NoneAfter(id) => id.to_string(),
        }
    }
}

/// Returns the text by which an entry that a hub adds differs from all others.
///
/// Two copies of the stream, or a stream and the one after its loss, can get such an entry with the
/// same id. A process that has read one of them must not take the other for it.
pub(crate) fn nonce() -> String {
    fastrand::u64(..).to_string()
}

/// Returns the fingerprint of a marker.
pub(crate) fn marker_fingerprint(nonce: &str) -> u64 {
    let mut fingerprint = Fingerprint::default();
    fingerprint.add(GAP.as_bytes());
    fingerprint.add(nonce.as_bytes());
    fingerprint.finish()
}
