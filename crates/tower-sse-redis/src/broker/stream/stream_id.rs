use std::{fmt, time::Duration};

use redis::{FromRedisValue, ParsingError, Value};

/// The bits of a sequence number that count within a millisecond.
const COUNTER_BITS: u32 = 20;
/// The first millisecond that a sequence number cannot contain. It is in the year 2527.
const END_OF_TIME: u64 = 1 << (u64::BITS - COUNTER_BITS);
/// The maximum lead of an id over the server's clock, 100 years. Ids can be far ahead if the
/// server's clock was set back, but markers of losses must be able to have higher ids.
const MAX_LEAD: u64 = 100 * 365 * 86_400_000;
/// The counter at which a reader advances the stream to the next millisecond.
const HIGH_COUNTER: u64 = 1 << (COUNTER_BITS - 1);

/// The id of an entry of a Redis stream: the time in milliseconds and a counter, as in
/// `1716200000000-7`.
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

    /// The highest id that Redis assigns.
    pub(crate) const MAX: Self = Self { milliseconds: u64::MAX, counter: u64::MAX };

    /// Returns whether the id has a sequence number, and leaves room for higher ones. `now` is the
    /// server's time in milliseconds.
    pub(crate) fn is_in_range(self, now: u64) -> bool {
        let end = now.saturating_add(MAX_LEAD).min(END_OF_TIME);
        self.milliseconds < end && self.counter < 1 << COUNTER_BITS
    }

    /// Returns the sequence number of the event in the hub. Sequence numbers have the order of the
    /// ids, if these are [in range](Self::is_in_range).
    pub(crate) const fn sequence(self) -> u64 {
        (self.milliseconds << COUNTER_BITS).saturating_add(self.counter)
    }

    /// Returns the id with this sequence number.
    pub(crate) const fn of_sequence(sequence: u64) -> Self {
        let counter = sequence & ((1 << COUNTER_BITS) - 1);
        Self { milliseconds: sequence >> COUNTER_BITS, counter }
    }

    /// Returns the time at which the entry was added, by the clock of the server.
    pub(crate) const fn time(self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }

    /// Returns an id above all that other processes can know. A connected process is less than a
    /// second behind, and ids ahead of the clock hardly rise.
    pub(crate) const fn leap(self) -> Self {
        Self::at(self.milliseconds.saturating_add(1000))
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
    use super::{END_OF_TIME, MAX_LEAD, StreamId};

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
