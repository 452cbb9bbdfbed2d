use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{connection::LastEventId, event::EventId};

/// A place in the order of a hub: the id of every event. An epoch and a sequence number, as in
/// `4fzo8gk0o2yl-1729`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) epoch: Epoch,
    pub(super) sequence: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

impl From<Position> for EventId {
    fn from(position: Position) -> Self {
        // Letters, digits and a hyphen.
        Self::from_one_line(position.to_string())
    }
}

/// When a hub was made, in milliseconds, with random bits, so that no two hubs have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(u64);

const RANDOM_BITS: u32 = 20;
const RADIX: u64 = 36;
/// As many digits as a `u64` has.
const MOST_DIGITS: usize = 13;

impl Epoch {
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Self((milliseconds << RANDOM_BITS) | fastrand::u64(..1 << RANDOM_BITS))
    }

    fn parse(text: &str) -> Option<Self> {
        let canonical = matches!(text.len(), 1..=MOST_DIGITS)
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'))
            && !text.starts_with('0');
        u64::from_str_radix(text, RADIX as u32).ok().filter(|_| canonical).map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::with_capacity(MOST_DIGITS);
        let mut rest = self.0;
        while rest > 0 || digits.is_empty() {
            digits.push(char::from_digit((rest % RADIX) as u32, RADIX as u32).unwrap_or('0'));
            rest /= RADIX;
        }
        digits.into_iter().rev().try_for_each(|digit| fmt::Write::write_char(f, digit))
    }
}

/// What a client's last event id says to a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResumeFrom {
    /// Nothing: a first visit.
    Nothing,
    /// It has seen everything up to here.
    Seen(u64),
    /// Nothing that this hub knows.
    Unknown(Unknown),
}

/// What an id is that this hub has not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Of another hub, such as the one that was here before a restart.
    Foreign,
    /// Of no hub, or not given out yet.
    Malformed,
}

impl Unknown {
    /// An id that says the same as this one to every hub.
    pub(super) const fn position(self) -> Position {
        // No hub was made in 1970, and a number does not begin with a zero.
        let epoch = match self {
            Self::Foreign => Epoch(1),
            Self::Malformed => Epoch(0),
        };
        Position { epoch, sequence: 0 }
    }
}

impl ResumeFrom {
    /// Reads an id of a hub of this `epoch` which has given out ids up to `newest`.
    pub(super) fn by(id: Option<&LastEventId>, epoch: Epoch, newest: u64) -> Self {
        let Some(id) = id.map(LastEventId::as_str).filter(|id| !id.is_empty()) else {
            return Self::Nothing;
        };
        match id.split_once('-').map(|(epoch, digits)| (Epoch::parse(epoch), sequence(digits))) {
            Some((Some(of), Some(sequence))) if of == epoch => {
                if sequence <= newest {
                    Self::Seen(sequence)
                } else {
                    Self::Unknown(Unknown::Malformed)
                }
            }
            Some((Some(_), Some(_))) => Self::Unknown(Unknown::Foreign),
            _ => Self::Unknown(Unknown::Malformed),
        }
    }
}

/// Digits as they are written, so neither `+5` nor `007`.
fn sequence(digits: &str) -> Option<u64> {
    let canonical = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (!digits.starts_with('0') || digits == "0");
    digits.parse().ok().filter(|_| canonical)
}

#[cfg(test)]
mod tests {
    use super::{Epoch, Position, ResumeFrom, Unknown};
    use crate::{connection::LastEventId, event::EventId};

    const FOREIGN: ResumeFrom = ResumeFrom::Unknown(Unknown::Foreign);
    const MALFORMED: ResumeFrom = ResumeFrom::Unknown(Unknown::Malformed);

    fn said(id: &str, epoch: Epoch) -> ResumeFrom {
        ResumeFrom::by(Some(&LastEventId::try_from(id).unwrap()), epoch, 100)
    }

    #[test]
    fn an_id_is_read_as_it_was_written() {
        for epoch in [Epoch(1), Epoch(35), Epoch(36), Epoch(u64::MAX), Epoch::now()] {
            for sequence in [0, 1, 99, 100] {
                let id = EventId::from(Position { epoch, sequence });
                assert_eq!(said(id.as_str(), epoch), ResumeFrom::Seen(sequence), "{id}");
            }
        }
    }

    #[test]
    fn ids_of_others_and_of_nobody_are_told_apart() {
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
            ("", ResumeFrom::Nothing),
        ] {
            assert_eq!(said(id, epoch), expected, "{id}");
        }
        assert_eq!(ResumeFrom::by(None, epoch, 100), ResumeFrom::Nothing);
    }

    #[test]
    fn what_is_unknown_has_an_id_that_is_so_to_every_hub() {
        for unknown in [Unknown::Foreign, Unknown::Malformed] {
            let id = unknown.position().to_string();
            assert_eq!(said(&id, Epoch::now()), ResumeFrom::Unknown(unknown), "{id}");
        }
    }

    #[test]
    fn two_hubs_have_two_epochs() {
        assert_ne!(Epoch::now(), Epoch::now());
    }
}
