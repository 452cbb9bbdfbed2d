use super::epoch::Epoch;
use crate::connection::LastEventId;

/// The meaning of a client's last event id for one hub or run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResumeFrom {
    /// The client has no id, so this is its first visit.
    FirstVisit,
    /// The client has seen all events up to this sequence number.
    Seen(u64),
    /// The hub or run has not assigned this id. It may be from before a restart.
    Unknown,
}

impl ResumeFrom {
    /// Parses an id for a hub with this `epoch`, which has assigned sequence numbers up to
    /// `newest`.
    pub(crate) fn parse(id: Option<&LastEventId>, epoch: Epoch, newest: u64) -> Self {
        let Some(id) = id.map(LastEventId::as_str).filter(|id| !id.is_empty()) else {
            return Self::FirstVisit;
        };
        let ours = id.split_once('-').filter(|(other, _)| Epoch::parse(other) == Some(epoch));
        let seen = ours.and_then(|(_, sequence)| parse_sequence(sequence));
        seen.filter(|seen| *seen <= newest).map_or(Self::Unknown, Self::Seen)
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
    use super::ResumeFrom;
    use crate::{
        connection::LastEventId,
        event::EventId,
        history::{Epoch, Position},
    };

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
    fn other_text_is_unknown() {
        let epoch = Epoch::of(36);
        assert_eq!(epoch.to_string(), "10");
        for id in [
            "10-101",
            "11-100",
            "10-+5",
            "10-007",
            "10-18446744073709551616",
            "010-5",
            "1A-5",
            "10-",
            "-5",
            "10",
            "10-5-5",
            "10-n5",
        ] {
            assert_eq!(parse(id, epoch), ResumeFrom::Unknown, "{id}");
        }
        assert_eq!(parse("10-100", epoch), ResumeFrom::Seen(100));
        assert_eq!(parse("", epoch), ResumeFrom::FirstVisit);
        assert_eq!(ResumeFrom::parse(None, epoch, 100), ResumeFrom::FirstVisit);
        let foreign = Position::FOREIGN.to_string();
        assert_eq!(parse(&foreign, Epoch::now()), ResumeFrom::Unknown);
    }
}
