use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[cfg(tower_sse_simulation)]
use crate::simulation::now;

use crate::connection::LastEventId;
use crate::event::EventId;

/// A position in the order of publication: an epoch and a sequence number. Its text, such as
/// `4fzo8gk0o2yl-1729`, is the id of an event.
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

/// The hub or the run to which positions belong.
///
/// For a run, or a hub without a broker, it consists of the creation time in milliseconds and
/// random bits. For a hub with a broker, it is a hash of the broker's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Epoch(u64);

const RANDOM_BITS: u32 = 20;
const RADIX: u64 = 36;
/// The number of digits of `u64::MAX` in this radix.
const MAX_DIGITS: usize = 13;
/// The number of digits of an epoch that is derived from a name.
const NAMED_DIGITS: u32 = 5;

impl Epoch {
    /// Derives an epoch from a name, so that it is the same in every process. It has fewer digits
    /// than one from [`now`](Self::now).
    pub(crate) fn of_name(name: &str) -> Self {
        // FNV-1a is the same on every machine and in every version, unlike the standard library's
        // hash.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let smallest = RADIX.pow(NAMED_DIGITS - 1);
        Self(smallest + hash % (RADIX.pow(NAMED_DIGITS) - smallest))
    }

    pub(crate) fn now() -> Self {
        let since = now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Self((milliseconds << RANDOM_BITS) | fastrand::u64(..1 << RANDOM_BITS))
    }

    /// Returns an epoch of the present time that is later than `earlier`.
    pub(crate) fn now_after(earlier: Self) -> Self {
        Self::now().max(Self(earlier.0.saturating_add(1)))
    }

    /// Returns the time since the epoch was created, according to the clock of this machine.
    #[cfg(feature = "runs")]
    pub(crate) fn age(self) -> Duration {
        let created = UNIX_EPOCH + Duration::from_millis(self.0 >> RANDOM_BITS);
        now().duration_since(created).unwrap_or_default()
    }

    /// Parses the text of an epoch in its canonical form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let canonical = matches!(text.len(), 1..=MAX_DIGITS)
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'))
            && !text.starts_with('0');
        u64::from_str_radix(text, RADIX as u32).ok().filter(|_| canonical).map(Self)
    }
}

#[cfg(not(tower_sse_simulation))]
fn now() -> SystemTime {
    SystemTime::now()
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::with_capacity(MAX_DIGITS);
        let mut rest = self.0;
        while rest > 0 || digits.is_empty() {
            digits.push(char::from_digit((rest % RADIX) as u32, RADIX as u32).unwrap_or('0'));
            rest /= RADIX;
        }
        digits.into_iter().rev().try_for_each(|digit| fmt::Write::write_char(f, digit))
    }
}

/// The meaning of a client's last event id for one hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResumeFrom {
    /// The client has no id, so this is its first visit.
    FirstVisit,
    /// The client has seen all events up to this sequence number.
    Seen(u64),
    /// The hub has not assigned this id.
    Unknown(UnknownId),
}

/// A last event id that a hub has not assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnknownId {
    /// An id of another epoch, such as the one before a restart.
    Foreign,
    /// Text that is not an id, or an id of this epoch that is not assigned yet.
    Malformed,
}

impl UnknownId {
    /// Returns a position that [`ResumeFrom::parse`] maps to this variant for every epoch.
    pub(crate) const fn position(self) -> Position {
        // No hub was created in 1970, and no epoch is written with a leading zero.
        let epoch = match self {
            Self::Foreign => Epoch(1),
            Self::Malformed => Epoch(0),
        };
        Position { epoch, sequence: 0 }
    }
}

impl ResumeFrom {
    /// Parses an id for a hub with this `epoch`, which has assigned sequence numbers up to
    /// `newest`.
    pub(crate) fn parse(id: Option<&LastEventId>, epoch: Epoch, newest: u64) -> Self {
        let Some(id) = id.map(LastEventId::as_str).filter(|id| !id.is_empty()) else {
            return Self::FirstVisit;
        };
        let parsed = id
            .split_once('-')
            .and_then(|(epoch, rest)| Some((Epoch::parse(epoch)?, parse_sequence(rest), rest)));
        match parsed {
            Some((parsed, Some(sequence), _)) if parsed == epoch => {
                if sequence <= newest {
                    Self::Seen(sequence)
                } else {
                    Self::Unknown(UnknownId::Malformed)
                }
            }
            Some((_, Some(_), _)) => Self::Unknown(UnknownId::Foreign),
            Some((_, None, rest)) if is_vector(rest) => Self::Unknown(UnknownId::Foreign),
            _ => Self::Unknown(UnknownId::Malformed),
        }
    }
}

/// Parses a sequence number in its canonical form, which excludes `+5` and `007`.
fn parse_sequence(digits: &str) -> Option<u64> {
    let canonical = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (!digits.starts_with('0') || digits == "0");
    digits.parse().ok().filter(|_| canonical)
}

/// Returns whether this is a position in several streams, such as `n17.4`. No version assigns such
/// positions yet, so a client that sends one was served by a later version.
fn is_vector(rest: &str) -> bool {
    let is_number = |part: &str| parse_sequence(part).is_some();
    rest.strip_prefix('n').is_some_and(|parts| parts.split('.').all(is_number))
}

#[cfg(test)]
mod tests {
    use super::{Epoch, Position, ResumeFrom, UnknownId};
    use crate::{connection::LastEventId, event::EventId};

    const FOREIGN: ResumeFrom = ResumeFrom::Unknown(UnknownId::Foreign);
    const MALFORMED: ResumeFrom = ResumeFrom::Unknown(UnknownId::Malformed);

    fn parse(id: &str, epoch: Epoch) -> ResumeFrom {
        ResumeFrom::parse(Some(&LastEventId::try_from(id).unwrap()), epoch, 100)
    }

    #[test]
    fn displayed_position_parses_to_its_sequence() {
        for epoch in [Epoch(1), Epoch(35), Epoch(36), Epoch(u64::MAX), Epoch::now()] {
            for sequence in [0, 1, 99, 100] {
                let id = EventId::from(Position { epoch, sequence });
                assert_eq!(parse(id.as_str(), epoch), ResumeFrom::Seen(sequence), "{id}");
            }
        }
    }

    #[test]
    fn foreign_and_malformed_ids_are_distinguished() {
        let epoch = Epoch(36);
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
            ("10-n5", FOREIGN),
            ("11-n5.17.0", FOREIGN),
            ("10-n", MALFORMED),
            ("10-n5.", MALFORMED),
            ("10-n5.x", MALFORMED),
            ("010-n5", MALFORMED),
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
}
