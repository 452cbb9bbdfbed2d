use super::{epoch::Epoch, position::Position};
use crate::connection::LastEventId;

/// The meaning of a client's last event id for one hub or run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResumeFrom {
    /// The client has no id, so this is its first visit.
    FirstVisit,
    /// The client has seen all events up to this sequence number.
    Seen(u64),
    /// The hub or run has not assigned this id.
    Unknown(UnknownId),
}

/// A last event id that the hub or run has not assigned.
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
            Self::Foreign => Epoch::of(1),
            Self::Malformed => Epoch::of(0),
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
        let parts = id.split_once('-');
        let parts = parts.and_then(|(text, rest)| Some((Epoch::parse(text)? == epoch, rest)));
        match parts.map(|(is_own, rest)| (is_own, parse_sequence(rest))) {
            Some((true, Some(sequence))) if sequence <= newest => Self::Seen(sequence),
            Some((false, Some(_))) => Self::Unknown(UnknownId::Foreign),
            _ => Self::Unknown(UnknownId::Malformed),
        }
    }
}

/// Returns the sequence number up to which a client with this id has seen the events of a run, 0 on
/// its first visit. Returns `None` if the run has not assigned the id.
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
    use super::{ResumeFrom, UnknownId};
    use crate::{
        connection::LastEventId,
        event::EventId,
        history::{Epoch, Position},
    };

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
