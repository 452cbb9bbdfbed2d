use std::{error::Error, fmt, time::Duration};

use bytes::Buf;

use super::{
    Message,
    interpreter::{Decoded, Interpreter},
    line_reader::LineReader,
};

/// A decoder of event streams for clients, proxies and tests, as specified by the
/// [HTML standard][html].
///
/// It reads bytes in chunks of any size and returns a [`Message`] for every event that a browser
/// would dispatch. Like a browser, it replaces bytes that are not UTF-8 with U+FFFD, and discards
/// an event that is incomplete when the stream ends. [`MessageStream`](crate::MessageStream)
/// decodes a body.
///
/// ```
/// use tower_sse::Decoder;
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
/// # Ok::<_, tower_sse::EventTooLarge>(())
/// ```
///
/// # Memory
///
/// The decoder keeps the incomplete event and the last event id. An event larger than
/// [`max_event_size`](Self::max_event_size), 1 MiB by default, is an error, so an upstream whose
/// event never ends cannot exhaust memory. The decoder can use three times that size, because a
/// byte that is not UTF-8 becomes three bytes. Messages share the bytes of their last event id.
///
/// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
#[derive(Clone, Debug)]
pub struct Decoder {
    max_event_size: usize,
    lines: LineReader,
    interpreter: Interpreter,
}

/// The error of a [`Decoder`] that received an event larger than [`Decoder::max_event_size`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTooLarge {
    max_event_size: usize,
}

impl EventTooLarge {
    /// Returns the limit, in bytes.
    #[must_use]
    pub const fn max_event_size(&self) -> usize {
        self.max_event_size
    }
}

impl fmt::Display for EventTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event is larger than {} bytes", self.max_event_size)
    }
}

impl Error for EventTooLarge {}

impl Decoder {
    /// Creates a decoder for a new stream, with events of up to 1 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_event_size: 1 << 20,
            lines: LineReader::default(),
            interpreter: Interpreter::default(),
        }
    }

    /// Limits the size of an event to `bytes`, counted on the wire without line ends. The default
    /// is 1 MiB.
    ///
    /// The number of comments is not limited. While a comment line is incomplete, it counts toward
    /// the size of the event that it interrupts.
    ///
    /// # Panics
    ///
    /// Panics if `bytes` is zero.
    #[must_use]
    #[track_caller]
    pub fn max_event_size(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "the maximum size of an event cannot be zero");
        self.max_event_size = bytes;
        self
    }

    /// Consumes `input` up to the end of the next message and returns that message. Consumes all of
    /// `input` and returns `None` if it completes no message.
    ///
    /// # Errors
    ///
    /// Returns [`EventTooLarge`] if an event exceeds the [limit](Self::max_event_size). Every later
    /// call returns it too, because the decoder cannot find the end of that event.
    pub fn decode(&mut self, input: &mut impl Buf) -> Result<Option<Message>, EventTooLarge> {
        loop {
            let chunk = input.chunk();
            let mut rest = chunk;
            let message = match self.decode_line(&mut rest)? {
                Some(Decoded::Message(message)) => Some(message),
                _ => None,
            };
            let consumed = chunk.len() - rest.len();
            input.advance(consumed);
            if message.is_some() || !input.has_remaining() {
                return Ok(message);
            }
        }
    }

    /// Decodes the next line of `input`. Consumes all of `input` and returns `None` if no line ends
    /// in it.
    #[inline]
    pub(crate) fn decode_line<'a, 'b: 'a>(
        &'a mut self,
        input: &mut &'b [u8],
    ) -> Result<Option<Decoded<'a>>, EventTooLarge> {
        let room = self.max_event_size.checked_sub(self.interpreter.event_size);
        if let Some(room) = room
            && let Ok(line) = self.lines.next(input, room)
        {
            return Ok(line.map(|line| self.interpreter.interpret(line)));
        }
        self.interpreter.fail();
        Err(EventTooLarge { max_event_size: self.max_event_size })
    }

    /// Returns the value that a client would send as `Last-Event-ID` if it reconnected now, or an
    /// empty string if it would send none.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.interpreter.last_event_id
    }

    /// Returns the last reconnection time that the stream sent.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.interpreter.retry
    }
}

impl Decoder {
    /// Sets the last event id that the client had before the stream.
    pub(crate) fn start_after(&mut self, id: &str) {
        self.interpreter.last_event_id = id.into();
    }

    /// Returns whether the stream has set or cleared the last event id.
    pub(crate) const fn has_id(&self) -> bool {
        self.interpreter.has_id
    }

    /// Returns the beginning of the incomplete line.
    pub(crate) fn incomplete_line(&self) -> &[u8] {
        self.lines.incomplete()
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}
