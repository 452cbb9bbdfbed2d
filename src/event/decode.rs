use std::{borrow::Cow, error::Error, fmt, mem, sync::Arc, time::Duration};

use bytes::Buf;
use memchr::{memchr, memchr2};

use super::Message;

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
    /// The incomplete line.
    line: Vec<u8>,
    /// The last byte was a CR, so an LF that follows belongs to the same line end.
    after_cr: bool,
    /// No line has been processed yet, so a byte order mark may come.
    is_first_line: bool,
    /// The number of bytes in the complete lines of the incomplete event.
    event_size: usize,
    is_too_large: bool,
    event: String,
    data: String,
    id: String,
    /// An `id` field has come since the last empty line.
    has_new_id: bool,
    last_event_id: Arc<str>,
    /// The stream has set or cleared the last event id.
    has_id: bool,
    retry: Option<Duration>,
    retry_since_message: Option<Duration>,
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

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Decoder {
    /// Creates a decoder for a new stream, with events of up to 1 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_event_size: 1 << 20,
            line: Vec::new(),
            after_cr: false,
            is_first_line: true,
            event_size: 0,
            is_too_large: false,
            event: String::new(),
            data: String::new(),
            id: String::new(),
            has_new_id: false,
            last_event_id: Arc::default(),
            has_id: false,
            retry: None,
            retry_since_message: None,
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
        while input.has_remaining() && !self.is_too_large {
            let chunk = input.chunk();
            if mem::take(&mut self.after_cr) && chunk.first() == Some(&b'\n') {
                input.advance(1);
                continue;
            }
            let end = memchr2(b'\n', b'\r', chunk);
            let (part, rest) =
                chunk.split_at_checked(end.unwrap_or(chunk.len())).unwrap_or((chunk, &[]));
            if self.event_size + self.line.len() + part.len() > self.max_event_size {
                self.is_too_large = true;
                break;
            }
            if end.is_none() {
                self.line.extend_from_slice(part);
                let len = part.len();
                input.advance(len);
                continue;
            }
            self.after_cr = rest.first() == Some(&b'\r');
            let message = if self.line.is_empty() {
                self.process_line(part)
            } else {
                self.line.extend_from_slice(part);
                let line = mem::take(&mut self.line);
                let message = self.process_line(&line);
                self.line = line;
                self.line.clear();
                message
            };
            let len = part.len() + 1;
            input.advance(len);
            if message.is_some() {
                return Ok(message);
            }
        }
        if self.is_too_large {
            self.line = Vec::new();
            self.data = String::new();
            return Err(EventTooLarge { max_event_size: self.max_event_size });
        }
        Ok(None)
    }

    /// Returns the value that a client would send as `Last-Event-ID` if it reconnected now, or an
    /// empty string if it would send none.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Returns whether the stream has set or cleared the last event id.
    #[cfg(feature = "testing")]
    pub(crate) const fn has_id(&self) -> bool {
        self.has_id
    }

    /// Returns the last reconnection time that the stream sent.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn process_line(&mut self, line: &[u8]) -> Option<Message> {
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(line) if self.is_first_line => line,
            _ => line,
        };
        self.is_first_line = false;
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = match memchr(b':', line).and_then(|colon| line.split_at_checked(colon))
        {
            Some((b"", _)) => return None,
            Some((field, value)) => {
                let value = value.strip_prefix(b":").unwrap_or(value);
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        self.event_size += line.len();
        match field {
            b"data" => {
                self.data.push_str(&decode_utf8(value));
                self.data.push('\n');
            }
            b"event" => self.event = decode_utf8(value).into_owned(),
            b"id" if memchr(b'\0', value).is_none() => {
                self.id = decode_utf8(value).into_owned();
                self.has_new_id = true;
            }
            b"retry" => self.process_retry(value),
            _ => {}
        }
        None
    }

    fn process_retry(&mut self, value: &[u8]) {
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return;
        }
        let milliseconds = decode_utf8(value).parse().unwrap_or(u64::MAX);
        self.retry = Some(Duration::from_millis(milliseconds));
        self.retry_since_message = self.retry;
    }

    /// Completes the event at an empty line.
    fn dispatch(&mut self) -> Option<Message> {
        self.event_size = 0;
        if mem::take(&mut self.has_new_id) {
            self.has_id = true;
            if *self.last_event_id != *self.id {
                self.last_event_id = Arc::from(&*self.id);
            }
        }
        let mut event = mem::take(&mut self.event);
        let mut data = mem::take(&mut self.data);
        data.pop()?;
        if event.is_empty() {
            event.push_str("message");
        }
        Some(Message {
            event,
            data,
            last_event_id: Arc::clone(&self.last_event_id),
            retry: self.retry_since_message.take(),
            clears_id: self.has_id && self.last_event_id.is_empty(),
        })
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Decodes the text of one line. Line ends are ASCII, so decoding the whole stream would give the
/// same characters.
fn decode_utf8(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}
