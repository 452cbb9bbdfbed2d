use bytes::Bytes;

use super::cutter::{Cutter, RunEventId};
use super::record::{Phase, Record, State};
use crate::event::{Encoded, Event};
use crate::history::DeferredDrops;

/// The maximum length of an id: an epoch in base 36, a hyphen and a sequence number.
const MAX_ID_LEN: usize = 13 + 1 + 20;

/// The number of sequence numbers that a process leaves to the owner of a run when it adds the
/// run's last event, as in `lua/end.lua`.
pub(super) const GAP: u64 = 1_000_000_000;

/// The event after which a cancelled run ends.
#[derive(Clone, Debug)]
pub enum LastEvent {
    /// The lines of an event that gets the next sequence number.
    New(Bytes),
    /// The event that another process has added to the run in the store, as a batch.
    Stored { first: u64, last: u64, bytes: Bytes },
}

/// Returns the lines of an event as runs record them, without an id. Returns `None` if the event has
/// neither a name nor data, or if it would have more than `limit` bytes on the wire.
pub(crate) fn lines_of(event: Event, limit: usize) -> Option<Bytes> {
    let mut bytes = Encoded::from(event).into();
    let mut cutter = Cutter::default();
    if !cutter.cut(&mut bytes, limit).ok()? || cutter.event_len(MAX_ID_LEN) > limit {
        return None;
    }
    let id = RunEventId::new("", 0);
    let mut event = cutter.take(&mut bytes, &id, 0);
    event.truncate(event.len().saturating_sub("id: \n\n".len() + id.len()));
    Some(event)
}

impl Record {
    /// Appends the last event of a run that the caller ends. A run that is starting has no stream to
    /// append it to.
    pub(crate) fn append_last(
        &self,
        state: &mut State,
        event: &LastEvent,
        drops: &mut DeferredDrops,
    ) {
        if state.phase != Phase::Running {
            return;
        }
        match event {
            LastEvent::New(lines) => {
                let next = state.newest + 1;
                let bytes = [lines, &self.id_line(next)[..], b"\n"].concat().into();
                self.append_events(state, (next, next), &bytes, drops);
            }
            LastEvent::Stored { first, last, bytes } => {
                self.append_events(state, (*first, *last), bytes, drops);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MAX_ID_LEN, lines_of};
    use crate::event::Event;

    #[test]
    fn lines_are_those_that_a_run_records() {
        let event = Event::new().comment("no").event("usage").id(7).data("a\nb");
        let lines = lines_of(event.retry(Duration::from_secs(1)), usize::MAX).unwrap();
        assert_eq!(lines, "event: usage\ndata: a\ndata: b\nretry: 1000\n");
        assert_eq!(lines_of(Event::from("a"), usize::MAX).unwrap(), "data: a\n");
    }

    #[test]
    fn event_without_name_and_data_has_no_lines() {
        for event in [Event::new(), Event::new().comment("a"), Event::new().id(1)] {
            assert!(lines_of(event, usize::MAX).is_none());
        }
    }

    #[test]
    fn event_is_refused_if_it_exceeds_the_limit_with_its_id() {
        let len = "data: a\nid: \n\n".len() + MAX_ID_LEN;
        assert!(lines_of(Event::from("a"), len).is_some());
        assert!(lines_of(Event::from("a"), len - 1).is_none());
    }
}
