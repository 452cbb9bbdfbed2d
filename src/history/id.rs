use std::fmt;
use std::time::UNIX_EPOCH;

use crate::connection::LastEventId;
use crate::event::{EventId, whole_milliseconds};

#[cfg(tower_sse_simulation)]
pub(crate) use crate::simulation::now;

/// Identifies the hub or the run to which a position belongs.
///
/// An epoch consists of a time in milliseconds and random bits: 40 bits for a run that several
/// processes share, otherwise 20. With a broker, a hub's epoch is a hash of the broker's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub(crate) u128);

const RANDOM_BITS: u32 = 20;
const RADIX: u64 = 36;
const DIGITS: &[u8; RADIX as usize] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const MAX_DIGITS: usize = 13;
/// The number of digits of an epoch with 40 random bits.
const UNIQUE_DIGITS: usize = 17;
const NAMED_DIGITS: u32 = 5;

impl Epoch {
    /// Derives an epoch from a name. The epoch is the same in every process, and its text is
    /// shorter than that of [`now`](Self::now).
    pub(crate) fn of_name(name: &str) -> Self {
        // Unlike the standard library's hash, FNV-1a is the same on every machine and in every
        // version.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let smallest = RADIX.pow(NAMED_DIGITS - 1);
        Self::of(smallest + hash % (RADIX.pow(NAMED_DIGITS) - smallest))
    }

    const fn of(low: u64) -> Self {
        Self(low as u128)
    }

    /// Returns an epoch of this moment, with 20 random bits.
    pub(crate) fn now() -> Self {
        Self::of((milliseconds() << RANDOM_BITS) | fastrand::u64(..1 << RANDOM_BITS))
    }

    /// Parses an epoch from its canonical text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let canonical = matches!(text.len(), 1..=MAX_DIGITS | UNIQUE_DIGITS)
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'))
            && !text.starts_with('0');
        let number = u128::from_str_radix(text, RADIX as u32).ok().filter(|_| canonical)?;
        (number <= u64::MAX.into() || text.len() == UNIQUE_DIGITS).then_some(Self(number))
    }
}

#[cfg(not(tower_sse_simulation))]
pub(crate) fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; UNIQUE_DIGITS];
        let (mut rest, mut count) = (self.0, 0);
        for place in digits.iter_mut().rev() {
            // A `u128` is slow to divide.
            let (quotient, digit) = match u64::try_from(rest) {
                Ok(low) => (u128::from(low / RADIX), low % RADIX),
                Err(_) => (rest / u128::from(RADIX), (rest % u128::from(RADIX)) as u64),
            };
            rest = quotient;
            *place = DIGITS.get(digit as usize).copied().unwrap_or(b'0');
            count += 1;
            if rest == 0 {
                break;
            }
        }
        let text = digits.get(UNIQUE_DIGITS - count..).unwrap_or_default();
        f.write_str(std::str::from_utf8(text).unwrap_or_default())
    }
}

pub(crate) fn milliseconds() -> u64 {
    whole_milliseconds(now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A position in the order of publication: an epoch and a sequence number. Its text, such as
/// `4fzo8gk0o2yl-1729`, serves as an event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: Epoch,
    pub(crate) sequence: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

impl From<Position> for EventId {
    fn from(position: Position) -> Self {
        // The text consists of letters, digits and a hyphen.
        Self::from_one_line(position.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResumeFrom {
    FirstVisit,
    /// The client continues after this sequence number.
    Seen(u64),
    /// The hub or run doesn't know this id.
    Unknown(UnknownId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnknownId {
    /// An id of another epoch, for example from before a restart.
    Foreign,
    /// Text that is not an id, or an id of this epoch that is not assigned yet.
    Malformed,
}

impl UnknownId {
    /// Returns a position that [`ResumeFrom::parse`] maps to this variant for every epoch.
    pub(crate) const fn position(self) -> Position {
        // Epoch 1 is a time in 1970, so no hub has it. `Epoch::parse` refuses the text of epoch 0.
        let epoch = match self {
            Self::Foreign => Epoch::of(1),
            Self::Malformed => Epoch::of(0),
        };
        Position { epoch, sequence: 0 }
    }
}

impl ResumeFrom {
    /// Parses a client's id. The hub or run may have assigned sequence numbers up to `newest`.
    pub(crate) fn parse(id: Option<&LastEventId>, epoch: Epoch, newest: u64) -> Self {
        let Some(id) = id.map(LastEventId::as_str).filter(|id| !id.is_empty()) else {
            return Self::FirstVisit;
        };
        let parts = id.split_once('-');
        let parts = parts.and_then(|(text, rest)| Some((Epoch::parse(text)? == epoch, rest)));
        match parts.map(|(is_own, rest)| (is_own, parse_sequence(rest))) {
            Some((true, Some(sequence))) if sequence <= newest => Self::Seen(sequence),
            Some((false, Some(_))) => Self::Unknown(UnknownId::Foreign),
            _ => Self::Unknown(UnknownId::Malformed),
        }
    }
}

/// Returns the number of the last event of a run that a client with this `id` has seen: 0 without
/// an id, and `None` if the run has not assigned the id.
#[must_use]
pub fn seen(id: Option<&LastEventId>, epoch: Epoch, newest: u64) -> Option<u64> {
    match ResumeFrom::parse(id, epoch, newest) {
        ResumeFrom::FirstVisit => Some(0),
        ResumeFrom::Seen(sequence) => Some(sequence),
        ResumeFrom::Unknown(_) => None,
    }
}

/// Parses a sequence number in its canonical form, which excludes `+5` and `007`.
fn parse_sequence(digits: &str) -> Option<u64> {
    let canonical = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (!digits.starts_with('0') || digits == "0");
    digits.parse().ok().filter(|_| canonical)
}

#[cfg(test)]
mod tests {
    use super::{Epoch, ResumeFrom, UnknownId};
    use crate::{connection::LastEventId, event::EventId, history::Position};

    #[test]
    fn epoch_of_a_name_has_five_digits_and_never_changes() {
        // Pinned: processes of different versions share these ids.
        assert_eq!(Epoch::of_name("redis:tower-sse").to_string(), "kj3lf");
        for name in ["", "a", "b", "redis:chat"] {
            let epoch = Epoch::of_name(name);
            assert_eq!(epoch.to_string().len(), 5, "{name}");
            assert_eq!(Epoch::parse(&epoch.to_string()), Some(epoch));
        }
        assert_ne!(Epoch::of_name("a"), Epoch::of_name("b"));
    }

    #[test]
    fn epochs_are_unique() {
        assert_ne!(Epoch::now(), Epoch::now());
    }

    const FOREIGN: ResumeFrom = ResumeFrom::Unknown(UnknownId::Foreign);
    const MALFORMED: ResumeFrom = ResumeFrom::Unknown(UnknownId::Malformed);

    fn parse(id: &str, epoch: Epoch) -> ResumeFrom {
        ResumeFrom::parse(Some(&LastEventId::try_from(id).unwrap()), epoch, 100)
    }

    #[test]
    fn displayed_position_parses_to_its_sequence() {
        for epoch in [Epoch::of(1), Epoch::of(35), Epoch::of(36), Epoch::of(u64::MAX), Epoch::now()]
        {
            for sequence in [0, 1, 99, 100] {
                let id = EventId::from(Position { epoch, sequence });
                assert_eq!(parse(id.as_str(), epoch), ResumeFrom::Seen(sequence), "{id}");
            }
        }
    }

    #[test]
    fn foreign_and_malformed_ids_are_distinguished() {
        let epoch = Epoch::of(36);
        assert_eq!(epoch.to_string(), "10");
        for (id, expected) in [
            ("10-100", ResumeFrom::Seen(100)),
            ("10-101", MALFORMED),
            ("11-101", FOREIGN),
            ("3w5e11264sgsf-1", FOREIGN),
            ("3w5e11264sgsg-1", MALFORMED),
            ("10-+5", MALFORMED),
            ("10-007", MALFORMED),
            ("10-18446744073709551616", MALFORMED),
            ("010-5", MALFORMED),
            ("1A-5", MALFORMED),
            ("10-", MALFORMED),
            ("-5", MALFORMED),
            ("10", MALFORMED),
            ("10-5-5", MALFORMED),
            ("10-n5", MALFORMED),
            ("", ResumeFrom::FirstVisit),
        ] {
            assert_eq!(parse(id, epoch), expected, "{id}");
        }
        assert_eq!(ResumeFrom::parse(None, epoch, 100), ResumeFrom::FirstVisit);
    }

    #[test]
    fn position_of_unknown_id_is_unknown_in_every_epoch() {
        for unknown in [UnknownId::Foreign, UnknownId::Malformed] {
            let id = unknown.position().to_string();
            assert_eq!(parse(&id, Epoch::now()), ResumeFrom::Unknown(unknown), "{id}");
        }
    }
}
