use std::{fmt, str::FromStr};

/// The bits of a sequence number that count within a millisecond.
const COUNTER_BITS: u32 = 20;
/// The counter at which a reader advances the stream to the next millisecond.
const HIGH_COUNTER: u64 = 1 << (COUNTER_BITS - 1);

/// The id of an entry of a Redis stream: the time in milliseconds and a counter, as in
/// `1716200000000-7`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId {
    pub(super) milliseconds: u64,
    pub(super) counter: u64,
}

impl StreamId {
    /// The id before all entries.
    pub(super) const ZERO: Self = Self { milliseconds: 0, counter: 0 };

    pub(super) const fn at(milliseconds: u64) -> Self {
        Self { milliseconds, counter: 0 }
    }

    /// Returns the sequence number of the event in the hub.
    ///
    /// The counter is added, not masked: after the server's clock is set back, it can exceed its 20
    /// bits.
    pub(super) const fn sequence(self) -> u64 {
        (self.milliseconds << COUNTER_BITS).saturating_add(self.counter)
    }

    /// Returns the lowest higher id.
    pub(super) const fn next(self) -> Self {
        Self { counter: self.counter.saturating_add(1), ..self }
    }

    /// Returns the highest id with a lower sequence number than this one.
    pub(super) const fn before(self) -> Self {
        if self.counter > 0 {
            Self { milliseconds: self.milliseconds, counter: self.counter - 1 }
        } else {
            Self {
                milliseconds: self.milliseconds.saturating_sub(1),
                counter: (1 << COUNTER_BITS) - 1,
            }
        }
    }

    /// Returns whether the counter has used half of its bits.
    pub(super) const fn has_high_counter(self) -> bool {
        self.counter >= HIGH_COUNTER
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.counter)
    }
}

/// The error of parsing text that is not the id of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidStreamId;

impl FromStr for StreamId {
    type Err = InvalidStreamId;

    fn from_str(text: &str) -> Result<Self, InvalidStreamId> {
        let (milliseconds, counter) = text.split_once('-').ok_or(InvalidStreamId)?;
        let parse = |digits: &str| digits.parse().map_err(|_| InvalidStreamId);
        Ok(Self { milliseconds: parse(milliseconds)?, counter: parse(counter)? })
    }
}

#[cfg(test)]
mod tests {
    use super::StreamId;

    #[test]
    fn sequence_rises_with_the_id_even_when_the_counter_overflows_its_bits() {
        let ids = ["0-1", "5-0", "5-1", "5-1048575", "5-1048577", "7-0", "1716200000000-7"];
        let sequences: Vec<_> =
            ids.iter().map(|id| id.parse::<StreamId>().unwrap().sequence()).collect();
        assert!(sequences.is_sorted_by(|one, other| one < other), "{sequences:?}");
        assert_eq!(sequences.last(), Some(&((1_716_200_000_000 << 20) + 7)));
    }

    #[test]
    fn displayed_id_parses_and_other_text_does_not() {
        for id in ["0-0", "1716200000000-7", "18446744073709551615-18446744073709551615"] {
            assert_eq!(id.parse::<StreamId>().unwrap().to_string(), id);
        }
        for text in ["", "-", "5", "5-", "-5", "5-x", "5-5-5", "18446744073709551616-0"] {
            assert!(text.parse::<StreamId>().is_err(), "{text}");
        }
    }
}
