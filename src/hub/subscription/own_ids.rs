//! Ids that the program gives its messages, translated to positions and back.

use bytes::Bytes;

use super::cursors::TopicCursor;
use crate::decode::{Decoder, Message, MessageId};
use crate::{connection::LastEventId, event::EventId, history::Position, hub::losses::Losses};

type IdOf = dyn Fn(&Message) -> Option<MessageId> + Send + Sync;

pub(super) struct OwnIds {
    pub(super) id_of: Box<IdOf>,
    /// The newest position that has an id of the program, and that id.
    pub(super) newest: Option<(MessageId, MessageId)>,
}

impl OwnIds {
    /// Returns the number of the message with this id. If several have it, the oldest counts,
    /// because a duplicate is better than a loss.
    pub(super) fn find(&self, last: &LastEventId, cursors: &[TopicCursor]) -> Option<u64> {
        let mut kept = kept(cursors, usize::MAX, u64::MAX).into_iter();
        let has_id = |bytes| self.id_in(bytes).is_some_and(|own| *own == *last.as_str());
        kept.find_map(|(sequence, bytes)| has_id(bytes).then_some(sequence))
    }

    /// Gives the stream's first position the program's id of the newest message up to that
    /// position, unless a client that returned with this id would get a gap from before the
    /// position. Looks at only one message of each topic, because every subscription with such ids
    /// calls this.
    pub(super) fn start(
        mut self: Box<Self>,
        at: Position,
        cursors: &[TopicCursor],
        losses: &Losses,
    ) -> Box<Self> {
        let is_after = |item| item > at.sequence;
        let is_last = |(sequence, _): &Kept| {
            let has_no_gap = |cursor: &TopicCursor| {
                let log = &cursor.topic().lock().log;
                log.evicted.up_to <= *sequence && log.gap_after(*sequence).is_none_or(is_after)
            };
            losses.first_after(*sequence).is_none_or(is_after) && cursors.iter().all(has_no_gap)
        };
        let newest = kept(cursors, 1, at.sequence).pop().filter(is_last);
        let own = newest.and_then(|(_, bytes)| self.id_in(bytes));
        self.newest = own.map(|own| (at.to_string().into(), own));
        self
    }

    /// Sets a message's id to the one that `id_of` returns, if any. Otherwise, and for a gap or a
    /// greeting (`is_of_hub`), sets the id at the message's position.
    pub(super) fn set_id(&mut self, message: &mut Message, is_of_hub: bool) {
        let position = message.last_event_id.clone();
        if !is_of_hub && let Some(own) = (self.id_of)(message) {
            self.newest = Some((position.clone(), own));
        }
        message.last_event_id = self.id_at(position);
    }

    pub(super) fn start_id(&self, start: Position) -> EventId {
        let id = self.id_at(start.to_string().into());
        EventId::try_from(id.to_string()).unwrap_or_else(|_| start.into())
    }

    /// Returns the program's id for a position, or else the position itself as the hub's id.
    fn id_at(&self, position: MessageId) -> MessageId {
        let newest = self.newest.as_ref().filter(|(newest, _)| *newest == position);
        newest.map_or(position, |(_, own)| own.clone())
    }

    // Called without a lock, because `id_of` is a closure of the program.
    fn id_in(&self, mut bytes: Bytes) -> Option<MessageId> {
        let message = Decoder::new().max_event_size(usize::MAX).decode(&mut bytes).ok()??;
        (self.id_of)(&message)
    }
}

/// Returns the number and bytes of each topic's newest `count` messages up to number `up_to`, the
/// oldest first.
fn kept(cursors: &[TopicCursor], count: usize, up_to: u64) -> Vec<Kept> {
    let mut kept = Vec::new();
    for cursor in cursors {
        let log = &cursor.topic().lock().log;
        kept.extend(log.recent(count, up_to).map(|(number, it)| (number, it.clone())));
    }
    kept.sort_unstable_by_key(|(sequence, _)| *sequence);
    kept
}

type Kept = (u64, Bytes);
