use std::{borrow::Cow, time::Duration};

use bytes::Buf;

use super::event_ref::{NO_NAME, reconnection_time};
use super::{EventRef, EventSplitter, EventTooLarge, Message, MessageId, Piece};

/// Decodes event streams, for clients, proxies and tests. It follows the [HTML standard][html].
///
/// It reads bytes in chunks of any size and returns a [`Message`] for every event that a browser
/// would dispatch. Like a browser, it replaces bytes that aren't UTF-8 with U+FFFD and discards an
/// event that is incomplete when the stream ends. To decode a body, use
/// [`MessageStream`](super::MessageStream).
///
/// ```
/// use tower_sse::decode::Decoder;
///
/// let mut decoder = Decoder::new();
/// let mut messages = Vec::new();
/// for mut chunk in [&b"id: 7\nda"[..], b"ta: one\n\r", b"\ndata: tw"] {
///     while let Some(message) = decoder.decode(&mut chunk)? {
///         messages.push(message);
///     }
/// }
///
/// assert_eq!(messages.len(), 1);
/// assert_eq!(messages[0].event, "message");
/// assert_eq!(messages[0].data, "one");
/// assert_eq!(&*messages[0].last_event_id, "7");
/// # Ok::<_, tower_sse::decode::EventTooLarge>(())
/// ```
///
/// # Memory
///
/// The decoder keeps the incomplete event and the last event id. An event larger than
/// [`max_event_size`](Self::max_event_size), 1 MiB by default, is an error. If the bytes aren't
/// UTF-8, a message can be three times as large as its event.
///
/// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Decoder {
    splitter: EventSplitter,
    client: ClientState,
}

/// What a client remembers between two events.
#[derive(Clone, Debug, Default)]
struct ClientState {
    last_event_id: MessageId,
    retry: Option<Duration>,
    retry_since_message: Option<Duration>,
}

impl Decoder {
    /// Creates a decoder for a new stream. It accepts events of up to 1 MiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the size of an event, or of a `retry` line between events, to `bytes`. The default is
    /// 1 MiB. The size includes line endings and comments, but not the empty line at the end.
    /// Comments between events aren't limited.
    ///
    /// # Panics
    ///
    /// Panics if `bytes` is zero.
    #[track_caller]
    pub fn max_event_size(mut self, bytes: usize) -> Self {
        self.splitter = self.splitter.max_event_size(bytes);
        self
    }

    /// Consumes `input` up to the end of the next message and returns that message. If there is no
    /// complete message, consumes all of `input` and returns `None`.
    ///
    /// # Errors
    ///
    /// Returns [`EventTooLarge`] if an event or `retry` line exceeds the
    /// [limit](Self::max_event_size). Every later call also returns this error.
    #[inline]
    pub fn decode(&mut self, input: &mut impl Buf) -> Result<Option<Message>, EventTooLarge> {
        loop {
            let chunk = input.chunk();
            let mut rest = chunk;
            let decoded = self.decode_chunk(&mut rest);
            let consumed = chunk.len() - rest.len();
            input.advance(consumed);
            if !matches!(decoded, Ok(None)) || !input.has_remaining() {
                return decoded;
            }
        }
    }

    #[inline]
    fn decode_chunk(&mut self, chunk: &mut &[u8]) -> Result<Option<Message>, EventTooLarge> {
        while let Some(piece) = self.splitter.next(chunk)? {
            if let Some(message) = self.client.read_piece(piece) {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Decodes the next piece of `input` and returns the piece, with its message if it has one.
    /// Consumes all of `input` and returns `None` if no piece ends in it.
    #[inline]
    pub(crate) fn decode_piece<'a, 'b: 'a>(
        &'a mut self,
        input: &mut &'b [u8],
    ) -> Result<Option<(Piece<'a>, Option<Message>)>, EventTooLarge> {
        let Some(piece) = self.splitter.next(input)? else { return Ok(None) };
        Ok(Some((piece, self.client.read_piece(piece))))
    }

    /// Returns the value that a client would send as `Last-Event-ID` if it reconnected now, or an
    /// empty string if it would send none.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.client.last_event_id
    }

    /// Returns the last reconnection time that the stream sent, if any.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.splitter.incomplete_retry().or(self.client.retry)
    }

    /// Sets the last event id that the client had before the stream.
    pub(crate) fn start_after(&mut self, id: &str) {
        let text = (!id.is_empty()).then(|| id.into());
        self.client.last_event_id = MessageId(text);
    }

    pub(crate) fn incomplete(&self) -> &[u8] {
        self.splitter.incomplete()
    }
}

impl ClientState {
    #[inline]
    fn read_piece(&mut self, piece: Piece<'_>) -> Option<Message> {
        if let Piece::Event(event) = piece {
            return self.read(event);
        }
        self.read_between(piece);
        None
    }

    /// Reads a complete event, as specified by the HTML standard.
    #[inline]
    fn read(&mut self, event: EventRef<'_>) -> Option<Message> {
        let mut name = Cow::Borrowed(NO_NAME);
        if event.spans.has_other_lines {
            name = self.read_other_lines(event);
        }
        event.has_data().then(|| Message {
            event: name,
            data: event.data().into_owned(),
            last_event_id: self.last_event_id.clone(),
            retry: self.retry_since_message.take(),
        })
    }

    /// Reads the lines of an event that are not data. Returns the event's name.
    #[inline(never)]
    fn read_other_lines(&mut self, event: EventRef<'_>) -> Cow<'static, str> {
        if let Some(id) = event.id()
            && self.last_event_id.0.as_deref() != Some(&*id)
        {
            self.last_event_id = MessageId::from(&*id);
        }
        if let Some(retry) = event.retry() {
            self.set_retry(retry);
        }
        event.field_name().map_or(Cow::Borrowed(NO_NAME), |name| Cow::Owned(name.into_owned()))
    }

    #[cold]
    fn read_between(&mut self, piece: Piece<'_>) {
        if let Some(retry) = piece.retry() {
            self.set_retry(reconnection_time(retry));
        }
    }

    fn set_retry(&mut self, reconnection_time: Duration) {
        self.retry = Some(reconnection_time);
        self.retry_since_message = Some(reconnection_time);
    }
}
