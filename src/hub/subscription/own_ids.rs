//! Ids that the program gives its messages: the position that stands for such an id, and back.

use bytes::Bytes;

use super::{Subscription, cursors::TopicCursor};
use crate::connection::LastEventId;
use crate::decode::{Decoder, Message, MessageId};
use crate::event::EventId;
use crate::history::{Position, ResumeFrom, UnknownId};

pub(super) struct OwnIds {
    id_of: Box<dyn Fn(&Message) -> Option<MessageId> + Send + Sync>,
    /// The newest position that has an id of the program, and that id.
    newest: Option<(MessageId, MessageId)>,
}

impl OwnIds {
    pub(super) fn new(
        id_of: impl Fn(&Message) -> Option<MessageId> + Send + Sync + 'static,
    ) -> Self {
        Self { id_of: Box::new(id_of), newest: None }
    }

    /// Looks for the message with this id. The oldest counts, because a duplicate is better than a
    /// loss.
    pub(super) fn find(&self, last: &LastEventId, subscription: &Subscription) -> ResumeFrom {
        let is_last = |message: &Message| (self.id_of)(message).as_deref() == Some(last.as_str());
        match kept(&subscription.cursors, u64::MAX).find(|(_, message)| is_last(message)) {
            Some((sequence, _)) => ResumeFrom::Seen(sequence),
            // Newer values have replaced the client's.
            None if subscription.is_latest() => ResumeFrom::Unknown(UnknownId::Foreign),
            None => ResumeFrom::Unknown(UnknownId::Malformed),
        }
    }

    /// Gives the position at which the stream starts the id of the newest message up to there.
    pub(super) fn start_at(&mut self, start: Position, cursors: &[TopicCursor]) {
        let newest = kept(cursors, start.sequence).rev().find_map(|(_, it)| (self.id_of)(&it));
        self.newest = newest.map(|own| (start.to_string().into(), own));
    }

    /// A gap, and what comes before the first message, have no id of their own.
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

    /// Returns the hub's id for a position without an id of the program.
    fn id_at(&self, position: MessageId) -> MessageId {
        match &self.newest {
            Some((newest, own)) if *newest == position => own.clone(),
            _ => position,
        }
    }
}

/// Returns the messages that the topics keep up to a sequence number, in the order of publication.
fn kept(
    cursors: &[TopicCursor],
    up_to: u64,
) -> impl DoubleEndedIterator<Item = (u64, Message)> + use<> {
    let mut kept: Vec<(u64, Bytes)> = Vec::new();
    for cursor in cursors {
        kept.extend(cursor.topic().lock().log.kept(up_to));
    }
    kept.sort_unstable_by_key(|(sequence, _)| *sequence);
    // Decoded without a lock, because the program's closure follows.
    kept.into_iter().filter_map(|(sequence, mut bytes)| {
        let message = Decoder::new().max_event_size(usize::MAX).decode(&mut bytes);
        Some((sequence, message.ok()??))
    })
}
