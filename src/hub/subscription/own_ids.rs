//! Ids that the program gives its messages, translated to positions and back.

use std::{any::TypeId, cmp::Reverse, slice, sync::Arc};

use bytes::Bytes;
use http::HeaderValue;

use super::cursors::TopicCursor;
use crate::decode::{Decoder, Message, MessageId};
use crate::hub::{losses::Losses, topic::IdIndex, topic::Topics};
use crate::{connection::LastEventId, event::EventId, history::Position, lock::lock};

type IdOf = dyn Fn(&Message) -> Option<MessageId> + Send + Sync;

pub(super) struct OwnIds {
    id_of: Box<IdOf>,
    /// The type of the program's function, if values of this type are all the same because they
    /// capture nothing.
    function: Option<TypeId>,
    /// The newest position that has an id of the program, and that id.
    newest: Option<(MessageId, MessageId)>,
}

/// The number of messages that are searched for an id if the function captures something. The hub
/// can't keep the ids then: the next subscription's function may return others.
const SEARCHED: usize = 1024;

impl OwnIds {
    pub(super) fn new<F>(id_of: F) -> Self
    where
        F: Fn(&Message) -> Option<MessageId> + Send + Sync + 'static,
    {
        let function = (size_of::<F>() == 0).then(TypeId::of::<F>);
        let id_of = move |it: &Message| id_of(it).filter(|id| can_return(id));
        Self { id_of: Box::new(id_of), function, newest: None }
    }

    /// Returns the number of the message with this id. If several have it, the oldest counts,
    /// because a duplicate is better than a loss.
    pub(super) fn find(
        &self,
        last: &LastEventId,
        cursors: &[TopicCursor],
        topics: &Topics,
    ) -> Option<u64> {
        let Some(function) = self.function else {
            let has_id = |bytes| self.id_in(bytes).is_some_and(|own| *own == *last.as_str());
            let mut searched = newest(cursors, SEARCHED, 0, u64::MAX).into_iter();
            return searched.find_map(|(number, bytes)| has_id(bytes).then_some(number));
        };
        let hash = topics.hash(last.as_str());
        let find_in = |cursor: &TopicCursor| {
            let (indexes, oldest, kept) = {
                let mut state = cursor.topic().lock();
                let oldest = state.log.next(0)?;
                (Arc::clone(state.id_indexes.get_or_insert_default()), oldest, state.log.len())
            };
            let indexed = lock(&indexes).entry(function).or_default().up_to;
            let new = newest(slice::from_ref(cursor), usize::MAX, indexed, u64::MAX);
            let up_to = new.last().map_or(indexed, |(number, _)| *number);
            let hashed = |(number, bytes)| Some((topics.hash(&self.id_in(bytes)?), number));
            let hashes: Vec<_> = new.into_iter().filter_map(hashed).collect();
            let mut indexes = lock(&indexes);
            let IdIndex { by_hash, up_to: indexed } = indexes.entry(function).or_default();
            by_hash.extend(hashes);
            *indexed = up_to.max(*indexed);
            // Evicted messages stay until they are half of the index, because a removal visits all.
            if by_hash.len() > 2 * kept {
                by_hash.retain(|(_, number)| *number >= oldest);
            }
            by_hash.range((hash, oldest)..=(hash, u64::MAX)).next().map(|(_, number)| *number)
        };
        cursors.iter().filter_map(find_in).min()
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
        let newest = newest(cursors, 1, 0, at.sequence).pop().filter(is_last);
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

/// Returns whether a client can send this id back: HTTP allows no control characters in a header,
/// and removes blanks around its value.
fn can_return(id: &str) -> bool {
    let is_value = !id.is_empty() && HeaderValue::from_bytes(id.as_bytes()).is_ok();
    is_value && id.trim_matches([' ', '\t']) == id
}

/// Returns the number and bytes of the newest `count` messages of all topics together, from those
/// above number `above` up to number `up_to`, the oldest first.
fn newest(cursors: &[TopicCursor], count: usize, mut above: u64, up_to: u64) -> Vec<Kept> {
    let mut newest: Vec<Kept> = Vec::new();
    for cursor in cursors {
        {
            let log = &cursor.topic().lock().log;
            let recent = log.recent(count, up_to).take_while(|(number, _)| *number > above);
            newest.extend(recent.map(|(number, it)| (number, it.clone())));
        }
        if newest.len() / 2 > count {
            newest.sort_unstable_by_key(|(number, _)| Reverse(*number));
            newest.truncate(count);
            above = newest.last().map_or(above, |(number, _)| *number);
        }
    }
    newest.sort_unstable_by_key(|(number, _)| *number);
    newest.drain(..newest.len().saturating_sub(count));
    newest
}

type Kept = (u64, Bytes);
