use bytes::Bytes;

use crate::event::{Encoded, Event};

/// Encodes the last event of a stream. Returns `None` if no client would dispatch it.
pub(super) fn last_event(event: Event) -> Option<Bytes> {
    let dispatched = event.dispatched();
    if dispatched.is_none() {
        warn!("a last event without data and name is not sent: no client would dispatch it");
    }
    dispatched.map(|event| Encoded::from(event).into())
}
