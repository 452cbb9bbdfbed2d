use redis::{FromRedisValue, ParsingError, Value};
use tower_sse::Event;
use tower_sse_broker::{Identity, event_of};

use super::stream_id::StreamId;

pub(super) const TOPIC: &str = "topic";
pub(super) const DATA: &str = "data";
pub(super) const EVENT: &str = "event";
pub(super) const RETRY: &str = "retry";
pub(super) const COMMENT: &str = "comment";
/// The field of an event that ends its topic.
pub(super) const END: &str = "end";
/// The field of a marker: events may have been lost before it.
pub(super) const GAP: &str = "gap";
/// The field of an entry that only advances the stream's ids.
pub(crate) const SKIP: &str = "skip";
/// The field that distinguishes a `skip` from others with the same id. In a `gap`, the value of
/// [`GAP`] does that.
pub(crate) const NONCE: &str = "nonce";

/// A decoded entry of the stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Entry {
    Event {
        topic: String,
        event: Event,
        /// Whether it ends its topic.
        ends_topic: bool,
    },
    /// A marker of a loss.
    Gap,
    /// An entry that only advances the ids. It names the server if a process wrote it because the
    /// ids were ahead of the clock when it connected.
    Skip { server: String },
    /// An entry in another format.
    Foreign,
}

impl Entry {
    pub(crate) fn decode(fields: Vec<Vec<u8>>) -> Self {
        Self::decode_fields(fields).unwrap_or(Self::Foreign)
    }

    fn decode_fields(fields: Vec<Vec<u8>>) -> Option<Self> {
        let [mut topic, mut data, mut name, mut retry, mut comment, mut end] = [const { None }; 6];
        let mut fields = fields.into_iter();
        while let (Some(field), Some(value)) = (fields.next(), fields.next()) {
            let value = String::from_utf8(value).ok()?;
            let slot = match std::str::from_utf8(&field).ok()? {
                TOPIC => &mut topic,
                DATA => &mut data,
                EVENT => &mut name,
                RETRY => &mut retry,
                COMMENT => &mut comment,
                END => &mut end,
                GAP => return Some(Self::Gap),
                SKIP => return Some(Self::Skip { server: value }),
                // A later version may add fields.
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return None;
            }
        }
        let retry = retry.map(|retry| parse_retry(&retry).ok_or(())).transpose().ok()?;
        let event = event_of(data?, name, retry, comment).ok()?;
        Some(Self::Event { topic: topic?, event, ends_topic: end.is_some() })
    }
}

/// Parses a reconnection time in milliseconds, which has only digits, as in an event stream.
fn parse_retry(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

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

/// The fractional part of the golden ratio, which has no pattern in its bits.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns a hash of an entry with these alternating names and values.
///
/// It need not resist forgery: a program that can add entries can publish. It takes a fraction of
/// the time of SipHash.
pub(crate) fn fingerprint<T: AsRef<[u8]>>(fields: impl IntoIterator<Item = T>) -> u64 {
    let mut hash = FACTOR;
    for field in fields {
        let field = field.as_ref();
        let mut words = field.chunks_exact(size_of::<u64>());
        hash = words.by_ref().fold(hash, mix);
        hash = mix(hash, words.remainder());
        // Marks where the field ends: `ab`, `c` must differ from `a`, `bc`.
        hash = mix(hash, &(field.len() as u64).to_le_bytes());
    }
    hash
}

/// Mixes up to eight bytes into a hash: the halves of a 128-bit product depend on all bits of both
/// factors.
fn mix(hash: u64, bytes: &[u8]) -> u64 {
    let mut word = [0; size_of::<u64>()];
    word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let product = u128::from(hash ^ u64::from_le_bytes(word)) * u128::from(FACTOR);
    (product as u64) ^ ((product >> u64::BITS) as u64)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use redis::{Arg, Cmd};
    use tower_sse::Event;

    use super::{Entry, fingerprint};
    use crate::broker::stream::{AddEvent, RawEntry, StreamId};

    /// Returns the entry that a command adds, whose fields follow `count` other arguments.
    fn added(command: &Cmd, count: usize) -> RawEntry {
        let arguments = command.args_iter().map(|argument| match argument {
            Arg::Simple(bytes) => bytes.to_vec(),
            other => panic!("unexpected argument {other:?}"),
        });
        RawEntry { id: StreamId::default(), fields: arguments.skip(count).collect() }
    }

    /// Returns the entry of an event.
    fn published(topic: &str, event: &Event, ends_topic: bool) -> RawEntry {
        let publication = AddEvent::new("key", 10_000, topic, event, ends_topic).unwrap();
        let entry = added(&publication.command, 7);
        assert_eq!(publication.fingerprint, entry.identity().fingerprint);
        entry
    }

    fn decode(fields: &[&str]) -> Entry {
        Entry::decode(fields.iter().map(|field| field.as_bytes().to_vec()).collect())
    }

    #[test]
    fn published_event_decodes_to_itself() {
        let events = [
            Event::from("x"),
            Event::from(""),
            Event::new().event("tick").data("one\ntwo\r\n"),
            Event::new().event("").data("…"),
            Event::new().retry(Duration::from_millis(7)).comment("a\nb").data("data: id: 1\n\n"),
        ];
        for (event, ends_topic) in events.into_iter().zip([false, true].into_iter().cycle()) {
            let decoded = Entry::decode(published("a topic\n", &event, ends_topic).fields);
            assert_eq!(decoded, Entry::Event { topic: "a topic\n".to_owned(), event, ends_topic });
        }
    }

    #[test]
    fn entries_in_another_format_are_foreign() {
        for fields in [
            &[][..],
            &["topic", "a"],
            &["data", "x"],
            &["topic", "a", "data"],
            &["topic", "a", "data", "x", "event", "line\nfeed"],
            &["topic", "a", "data", "x", "retry", "soon"],
            &["topic", "a", "data", "x", "retry", "+5"],
            &["topic", "a", "data", "x", "retry", ""],
            &["topic", "a", "data", "x", "topic", "a"],
            &["topic", "a", "data", "x", "data", "y"],
            &["topic", "a", "data", "x", "event", "e", "event", "e"],
            &["topic", "a", "data", "x", "retry", "5", "retry", "5"],
            &["topic", "a", "data", "x", "comment", "c", "comment", "c"],
            &["topic", "a", "data", "x", "end", "1", "end", "1"],
            &["end", "1"],
        ] {
            assert_eq!(decode(fields), Entry::Foreign, "{fields:?}");
        }
        let invalid = vec![b"topic".to_vec(), vec![0xff], b"data".to_vec(), b"x".to_vec()];
        assert_eq!(Entry::decode(invalid), Entry::Foreign);
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let event = Event::from("x");
        let decoded = decode(&["topic", "a", "color", "red", "data", "x", "color", "blue"]);
        assert_eq!(decoded, Entry::Event { topic: "a".to_owned(), event, ends_topic: false });
    }

    #[test]
    fn markers_are_distinguished() {
        assert_eq!(decode(&["gap", "5"]), Entry::Gap);
        let skip = Entry::Skip { server: "x".to_owned() };
        assert_eq!(decode(&["skip", "x", "nonce", "5"]), skip);
    }

    #[test]
    fn fields_that_differ_have_other_fingerprints() {
        let mut fingerprints = HashSet::new();
        for length in 0..40 {
            let zeros = vec![0; length];
            assert!(fingerprints.insert(fingerprint([&zeros[..], b"x"])));
            for bit in 0..8 * length {
                let mut field = zeros.clone();
                field[bit / 8] = 1 << (bit % 8);
                let is_new = fingerprints.insert(fingerprint([&field[..], b"x"]));
                assert!(is_new, "bit {bit} of {length}");
            }
        }
        for fields in [&[&b"ab"[..], b"c"][..], &[b"a", b"bc"], &[b"abc"], &[b"abc", b""], &[]] {
            assert!(fingerprints.insert(fingerprint(fields)), "{fields:?}");
        }
        let numbers = (0..100_000_u32).map(|number| number.to_string());
        let distinct: HashSet<_> = numbers.map(|number| fingerprint([number])).collect();
        assert_eq!(distinct.len(), 100_000);
    }
}
