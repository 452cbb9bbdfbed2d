use std::{fmt, time::Duration};

use redis::{Cmd, FromRedisValue, ParsingError, Value};
use tower_sse::{Event, hub::broker::Fields};
use tower_sse_broker::__private::{Identity, event_of};

use crate::{Error, ErrorKind};

const TOPIC: &str = "topic";
const DATA: &str = "data";
const EVENT: &str = "event";
const RETRY: &str = "retry";
const COMMENT: &str = "comment";
/// The field of an event that ends its topic.
const END: &str = "end";
/// The field of a marker: events may have been lost before the marker.
pub(super) const GAP: &str = "gap";
/// The field of an entry that only advances the stream's ids.
pub(crate) const SKIP: &str = "skip";
/// The field whose random value tells apart `skip` entries with the same id. For markers, the value
/// of [`GAP`] does this.
pub(crate) const NONCE: &str = "nonce";

/// The maximum size of an event's topic, data, name and comment together, in bytes. Each process
/// must be able to read the event within the time limit for a reply.
const MAX_SIZE: usize = 1 << 20;
/// The number of low bits in a sequence number that count the entries of one millisecond.
const COUNTER_BITS: u32 = 20;
/// The first millisecond, in the year 2527, that doesn't fit into a sequence number.
const END_OF_TIME: u64 = 1 << (u64::BITS - COUNTER_BITS);
/// How far an id may be ahead of the server's clock: 100 years. Ids can be far ahead if the clock
/// was set back. The limit leaves room for markers, which need even higher ids.
const MAX_LEAD: u64 = 100 * 365 * 86_400_000;
/// The most by which a [step](StreamId::step) moves ids that are ahead of the server's clock, in
/// milliseconds. A power of two.
pub(crate) const STEP: u64 = 1024;
/// How far a client's id may be ahead of the server's clock, in milliseconds.
pub(crate) const MAX_CLIENT_LEAD: u64 = 60_000;
/// The counter at which a reader advances the stream to the next millisecond.
const HIGH_COUNTER: u64 = 1 << (COUNTER_BITS - 1);

/// A command that publishes an event.
pub(crate) struct AddEvent {
    pub(crate) command: Cmd,
    /// The fingerprint of the entry that the command adds.
    pub(crate) fingerprint: u64,
}

impl AddEvent {
    /// Creates the command that adds an event. Returns an error if the event is too large.
    pub(crate) fn new(
        key: &str,
        max_events: u64,
        topic: &str,
        event: &Event,
        ends_topic: bool,
    ) -> Result<Self, Error> {
        let mut command = redis::cmd("XADD");
        // An event must not re-create a lost stream: only a marker would show the loss.
        command.arg(key).arg("NOMKSTREAM").arg("MAXLEN").arg("~").arg(max_events).arg("*");
        let Fields { data, name, retry, comment, .. } = event.fields();
        let size = [topic, data].into_iter().chain(name).chain(comment).map(str::len).sum();
        if size > MAX_SIZE {
            return Err(too_large(size));
        }
        let retry = retry.map(|retry| retry.to_string());
        let fields = [
            (TOPIC, Some(topic)),
            (DATA, Some(data)),
            (EVENT, name),
            (RETRY, retry.as_deref()),
            (COMMENT, comment),
            (END, ends_topic.then_some("1")),
        ];
        let parts = fields.into_iter().filter_map(|(name, value)| Some([name, value?])).flatten();
        parts.clone().for_each(|part| _ = command.arg(part));
        Ok(Self { command, fingerprint: fingerprint(parts) })
    }
}

#[cold]
fn too_large(size: usize) -> Error {
    let reason = format!("the event has {size} bytes, more than {MAX_SIZE}");
    Error::new("publish an event to Redis", ErrorKind::TooLarge, reason)
}

/// A decoded entry of the stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Entry {
    Event {
        topic: String,
        event: Event,
        /// Whether the event ends its topic.
        ends_topic: bool,
    },
    /// A marker of a loss.
    Gap,
    /// An entry that only advances the ids. If the entry was added because the ids were ahead of a
    /// server's clock, `server` is this server's run id. Otherwise, `server` is empty.
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
            let slot = match std::str::from_utf8(&field).unwrap_or_default() {
                TOPIC => &mut topic,
                DATA => &mut data,
                EVENT => &mut name,
                RETRY => &mut retry,
                COMMENT => &mut comment,
                END => &mut end,
                GAP => return Some(Self::Gap),
                SKIP => return Some(Self::Skip { server: String::from_utf8(value).ok()? }),
                // A later version may add fields, whose values may not be text.
                _ => continue,
            };
            if slot.replace(String::from_utf8(value).ok()?).is_some() {
                return None;
            }
        }
        let retry = retry.map(|retry| parse_retry(&retry).ok_or(())).transpose().ok()?;
        let event = event_of(data?, name, retry, comment).ok()?;
        Some(Self::Event { topic: topic?, event, ends_topic: end.is_some() })
    }
}

/// Parses a reconnection time in milliseconds. As in an event stream, only digits are allowed.
fn parse_retry(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// An entry of the stream as Redis sends it.
#[derive(Debug)]
pub(crate) struct RawEntry {
    pub(crate) id: StreamId,
    /// The fields' names and values, alternating.
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

/// The fractional part of the golden ratio, whose bits have no pattern.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns a hash of an entry with these alternating names and values.
///
/// The hash need not resist forgery, because a program that can add entries can also publish. It
/// takes a fraction of SipHash's time.
pub(crate) fn fingerprint<T: AsRef<[u8]>>(fields: impl IntoIterator<Item = T>) -> u64 {
    let mut hash = FACTOR;
    for field in fields {
        let field = field.as_ref();
        let mut words = field.chunks_exact(size_of::<u64>());
        hash = words.by_ref().fold(hash, mix);
        hash = mix(hash, words.remainder());
        // Include the length: `ab`, `c` must differ from `a`, `bc`.
        hash = mix(hash, &(field.len() as u64).to_le_bytes());
    }
    hash
}

/// Mixes up to eight bytes into a hash by combining the halves of a 128-bit product.
fn mix(hash: u64, bytes: &[u8]) -> u64 {
    let mut word = [0; size_of::<u64>()];
    word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let product = u128::from(hash ^ u64::from_le_bytes(word)) * u128::from(FACTOR);
    (product as u64) ^ ((product >> u64::BITS) as u64)
}

/// The id of an entry of a Redis stream: milliseconds and a counter, as in `1716200000000-7`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId {
    pub(crate) milliseconds: u64,
    pub(crate) counter: u64,
}

impl StreamId {
    fn parse(text: &str) -> Option<Self> {
        let (milliseconds, counter) = text.split_once('-')?;
        Some(Self { milliseconds: milliseconds.parse().ok()?, counter: counter.parse().ok()? })
    }

    pub(crate) const fn at(milliseconds: u64) -> Self {
        Self { milliseconds, counter: 0 }
    }

    pub(crate) const MAX: Self = Self { milliseconds: u64::MAX, counter: u64::MAX };

    /// Returns whether the id fits into a sequence number and leaves room for higher ids. `now` is
    /// the server's time in milliseconds.
    pub(crate) fn is_in_range(self, now: u64) -> bool {
        let end = now.saturating_add(MAX_LEAD).min(END_OF_TIME);
        self.milliseconds < end && self.counter < 1 << COUNTER_BITS
    }

    /// Returns the entry's sequence number in the hub. If ids are [in range](Self::is_in_range),
    /// their sequence numbers have the same order.
    pub(crate) const fn sequence(self) -> u64 {
        (self.milliseconds << COUNTER_BITS).saturating_add(self.counter)
    }

    pub(crate) const fn of_sequence(sequence: u64) -> Self {
        let counter = sequence & ((1 << COUNTER_BITS) - 1);
        Self { milliseconds: sequence >> COUNTER_BITS, counter }
    }

    /// Returns the time in the id: by the server's clock, an event was added then, or earlier if
    /// the ids were ahead of the clock.
    pub(crate) const fn time(self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }

    /// Returns the next id after this one whose time, modulo [`STEP`], and counter are those of the
    /// server's clock: this time rises by a millisecond in 1.05 seconds. Thus, a later step is
    /// above an earlier one even if its process doesn't know of the earlier one, except that the
    /// time begins anew every 18 minutes.
    ///
    /// The id is most likely above every id that another process knows: while ids are ahead of its
    /// clock, Redis raises only the counter, and more slowly.
    pub(crate) const fn step(self, microseconds: u64) -> Self {
        let counter = microseconds % (1 << COUNTER_BITS) / 2;
        let next = self.milliseconds.saturating_add((counter <= self.counter) as u64);
        let by = (microseconds >> COUNTER_BITS).wrapping_sub(next) % STEP;
        Self { milliseconds: next.saturating_add(by), counter }
    }

    /// Returns an id that is further ahead than any client's id that is accepted because of the
    /// server's clock.
    pub(crate) const fn leap(self) -> Self {
        Self::at(self.milliseconds.saturating_add(MAX_CLIENT_LEAD + 1000))
    }

    /// Returns whether the counter has reached half of its range.
    pub(crate) const fn has_high_counter(self) -> bool {
        self.counter >= HIGH_COUNTER
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.counter)
    }
}

impl FromRedisValue for StreamId {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let text = String::from_redis_value(value)?;
        Self::parse(&text).ok_or_else(|| format!("not the id of an entry: {text}").into())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use redis::Arg;
    use tower_sse::Event;

    use super::{AddEvent, END_OF_TIME, Entry, MAX_LEAD, RawEntry, STEP, StreamId, fingerprint};

    /// Returns the entry that publishing this event adds.
    fn published(topic: &str, event: &Event, ends_topic: bool) -> RawEntry {
        let publication = AddEvent::new("key", 10_000, topic, event, ends_topic).unwrap();
        let fields = publication.command.args_iter().skip(7).map(|argument| match argument {
            Arg::Simple(bytes) => bytes.to_vec(),
            other => panic!("unexpected argument {other:?}"),
        });
        let entry = RawEntry { id: StreamId::default(), fields: fields.collect() };
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
    fn markers_are_distinguished_and_unknown_fields_ignored() {
        let event = Entry::Event { topic: "a".into(), event: "x".into(), ends_topic: false };
        let skip = Entry::Skip { server: "x".into() };
        for (fields, expected) in [
            (&["topic", "a", "color", "red", "data", "x", "color", "blue"][..], event),
            (&["gap", "5"], Entry::Gap),
            (&["skip", "x", "nonce", "5"], skip),
        ] {
            let fields = fields.iter().map(|field| field.as_bytes());
            let with_binary = [&b"\xff"[..]; 2].into_iter().chain(fields);
            assert_eq!(Entry::decode(with_binary.map(<[u8]>::to_vec).collect()), expected);
        }
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

    const NOW: u64 = 1_716_200_000_000;

    fn id(text: &str) -> StreamId {
        StreamId::parse(text).unwrap()
    }

    #[test]
    fn sequence_rises_with_the_id() {
        let future = format!("{}-1048575", NOW + MAX_LEAD - 1);
        let ids = ["0-1", "5-0", "5-1", "5-1048575", "6-0", "1716200000000-7", &future].map(id);
        assert!(ids.iter().all(|id| id.is_in_range(NOW)));
        let sequences = ids.map(StreamId::sequence);
        assert!(sequences.is_sorted_by(|one, other| one < other), "{sequences:?}");
        assert_eq!(sequences[5], (1_716_200_000_000 << 20) + 7);
        assert_eq!(sequences.map(StreamId::of_sequence), ids);
    }

    #[test]
    fn steps_rise_with_the_clock_whatever_their_processes_know() {
        // The times of ids begin anew once in these 20 minutes.
        let mut falls = 0;
        let (mut unknown, mut known) = (StreamId::default(), id("1716203600000-7"));
        let start = known;
        for now in (NOW * 1000..(NOW + 1_200_000) * 1000).step_by(99_991) {
            let step = start.step(now);
            assert!(start < step && step < StreamId::at(start.milliseconds + STEP + 1));
            falls += usize::from(step < unknown);
            (unknown, known) = (step, known.step(now));
            // Whether a process knows of the earlier steps makes no difference until then.
            assert!(falls == 1 || known == step);
            assert!(known < StreamId::at(start.milliseconds + 2 * STEP));
        }
        assert_eq!(falls, 1);
    }

    #[test]
    fn id_without_a_sequence_number_is_out_of_range() {
        for id in ["5-1048576", "0-18446744073709551615", "1716200000000000-0"].map(id) {
            assert!(!id.is_in_range(NOW), "{id}");
        }
        assert!(!StreamId::at(NOW + MAX_LEAD).is_in_range(NOW));
        assert!(!StreamId::MAX.is_in_range(u64::MAX));
        assert!(!StreamId::at(END_OF_TIME).is_in_range(u64::MAX));
        let last = StreamId { counter: (1 << 20) - 1, ..StreamId::at(END_OF_TIME - 1) };
        assert!(last.is_in_range(u64::MAX));
        assert_eq!(last.sequence(), u64::MAX);
    }

    #[test]
    fn displayed_id_parses_and_other_text_does_not() {
        for id in ["0-0", "1716200000000-7", "18446744073709551615-18446744073709551615"] {
            assert_eq!(self::id(id).to_string(), id);
        }
        for text in ["", "-", "5", "5-", "-5", "5-x", "5-5-5", "18446744073709551616-0"] {
            assert_eq!(StreamId::parse(text), None, "{text}");
        }
    }
}
