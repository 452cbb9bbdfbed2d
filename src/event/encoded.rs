use std::convert::Infallible;

use bytes::{Bytes, BytesMut};

use super::{Encode, Event, FrameBuf};
use crate::sealed::Sealed;

/// One or more events in their wire format.
///
/// Encode an event once and send it to many clients: a clone shares the bytes.
///
/// ```
/// use tokio::sync::broadcast;
/// use tower_sse::{Encoded, Event};
///
/// let (events, _) = broadcast::channel::<Encoded>(64);
/// let mut one = events.subscribe();
/// let mut other = events.subscribe();
///
/// events.send(Event::new().event("news").data("once").into()).unwrap();
///
/// assert_eq!(one.try_recv().unwrap().as_bytes(), b"event: news\ndata: once\n\n");
/// assert_eq!(other.try_recv().unwrap().as_bytes(), b"event: news\ndata: once\n\n");
/// ```
///
/// An iterator can be collected into one value, whose events are sent together:
///
/// ```
/// # use tower_sse::{Encoded, Event};
/// let history: Encoded = (1..=2).map(|n| Event::new().id(n).data("…")).collect();
/// assert_eq!(history.as_bytes(), "id: 1\ndata: …\n\nid: 2\ndata: …\n\n".as_bytes());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encoded(Bytes);

impl Encoded {
    /// Encodes an item of a stream of events.
    ///
    /// An [`Event`] always encodes; convert it with `Encoded::from(event)`.
    ///
    /// # Errors
    ///
    /// Returns an error if the item is an `Err` or fails to serialise.
    pub fn try_new<T: Encode>(item: T) -> Result<Self, T::Error> {
        let mut frame = FrameBuf::new();
        item.encode(&mut frame)?;
        Ok(Self(frame.take_uncopied().unwrap_or_else(|| frame.take())))
    }

    /// Returns the bytes in the wire format.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Event> for Encoded {
    fn from(event: Event) -> Self {
        let Ok(encoded) = Self::try_new(event);
        encoded
    }
}

impl From<Encoded> for Bytes {
    fn from(encoded: Encoded) -> Self {
        encoded.0
    }
}

impl Encoded {
    /// Wraps events that are already encoded.
    pub(crate) const fn of(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl FromIterator<Self> for Encoded {
    fn from_iter<I: IntoIterator<Item = Self>>(events: I) -> Self {
        let mut bytes = BytesMut::new();
        for event in events {
            bytes.extend_from_slice(event.as_bytes());
        }
        Self(bytes.freeze())
    }
}

impl FromIterator<Event> for Encoded {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        let mut frame = FrameBuf::new();
        for event in events {
            let Ok(()) = event.encode(&mut frame);
        }
        Self(frame.take())
    }
}

impl Sealed for Encoded {}

impl Encode for Encoded {
    type Error = Infallible;

    #[inline]
    fn encode(self, frame: &mut FrameBuf) -> Result<(), Infallible> {
        frame.put_encoded(self.0);
        Ok(())
    }
}
