use std::{borrow::Cow, error::Error, fmt, mem, sync::Arc, time::Duration};

use bytes::Buf;
use memchr::{memchr, memchr2};

/// A reader of event streams, strictly after the [HTML standard][html]: for clients, proxies and
/// tests.
///
/// It takes bytes cut anywhere and gives a [`Message`] for every event that a browser would
/// dispatch. Bytes that are not UTF-8 become U+FFFD, as there. What has no end yet when the stream
/// ends was never a message.
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
/// It keeps the event that has begun and the last event id, nothing else. An event larger than
/// [`max_event_size`](Self::max_event_size), 1 MiB by default, is an error, so that an upstream
/// whose event never ends does not fill the memory. What is kept can be three times as large: a byte
/// that is not UTF-8 becomes three. Messages share the bytes of their last event id.
///
/// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
#[derive(Clone, Debug)]
pub struct Decoder {
    max_event_size: usize,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The last byte was a CR: a LF that follows belongs to it.
    after_cr: bool,
    /// The first line may begin with a byte order mark.
    first_line: bool,
    /// Bytes of the finished lines of the event that has begun.
    size: usize,
    too_large: bool,
    event: String,
    data: String,
    id: String,
    /// An `id` field came since the last empty line.
    has_new_id: bool,
    last_event_id: Arc<str>,
    retry: Option<Duration>,
    retry_since_message: Option<Duration>,
}

/// An event as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The event's name, `message` if it has none.
    pub event: String,
    /// Its data, lines joined by line feeds.
    pub data: String,
    /// The last id that the stream sent, with this event or before it; empty if none, or reset.
    /// Cheap to clone: messages with the same id share it.
    pub last_event_id: Arc<str>,
    /// The last `retry` since the message before, whether or not in the same block.
    pub retry: Option<Duration>,
}

/// An event grew larger than [`Decoder::max_event_size`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTooLarge {
    max_event_size: usize,
}

impl EventTooLarge {
    /// The limit, in bytes.
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
    /// A decoder at the start of a stream, for events up to 1 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_event_size: 1 << 20,
            line: Vec::new(),
            after_cr: false,
            first_line: true,
            size: 0,
            too_large: false,
            event: String::new(),
            data: String::new(),
            id: String::new(),
            has_new_id: false,
            last_event_id: Arc::default(),
            retry: None,
            retry_since_message: None,
        }
    }

    /// Sets how large an event may be, in bytes of its lines as they come over the wire, without
    /// their line ends. 1 MiB by default.
    ///
    /// A comment counts only by itself: any number of them may come between two events.
    ///
    /// # Panics
    ///
    /// If `bytes` is zero.
    #[must_use]
    #[track_caller]
    pub fn max_event_size(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "the maximum size of an event cannot be zero");
        self.max_event_size = bytes;
        self
    }

    /// Takes bytes from `input` up to the end of the next message and gives that message, or takes
    /// all of them and gives `None`.
    ///
    /// # Errors
    ///
    /// [`EventTooLarge`], from then on for every call: what follows an event that was cut off is
    /// not to be trusted.
    pub fn decode(&mut self, input: &mut impl Buf) -> Result<Option<Message>, EventTooLarge> {
        while input.has_remaining() && !self.too_large {
            let chunk = input.chunk();
            if mem::take(&mut self.after_cr) && chunk.first() == Some(&b'\n') {
                input.advance(1);
                continue;
            }
            let end = memchr2(b'\n', b'\r', chunk);
            let (part, rest) =
                chunk.split_at_checked(end.unwrap_or(chunk.len())).unwrap_or((chunk, &[]));
            if self.size + self.line.len() + part.len() > self.max_event_size {
                self.too_large = true;
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
                self.take_line(part)
            } else {
                self.line.extend_from_slice(part);
                let line = mem::take(&mut self.line);
                let message = self.take_line(&line);
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
        if self.too_large {
            self.line = Vec::new();
            self.data = String::new();
            return Err(EventTooLarge { max_event_size: self.max_event_size });
        }
        Ok(None)
    }

    /// What a client would send as `Last-Event-ID` if the connection broke now; empty for nothing.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The reconnection time that the stream asked for last.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn take_line(&mut self, line: &[u8]) -> Option<Message> {
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(line) if self.first_line => line,
            _ => line,
        };
        self.first_line = false;
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
        self.size += line.len();
        match field {
            b"data" => {
                self.data.push_str(&text(value));
                self.data.push('\n');
            }
            b"event" => self.event = text(value).into_owned(),
            b"id" if memchr(b'\0', value).is_none() => {
                self.id = text(value).into_owned();
                self.has_new_id = true;
            }
            b"retry" => self.take_retry(value),
            _ => {}
        }
        None
    }

    fn take_retry(&mut self, value: &[u8]) {
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return;
        }
        let milliseconds = text(value).parse().unwrap_or(u64::MAX);
        self.retry = Some(Duration::from_millis(milliseconds));
        self.retry_since_message = self.retry;
    }

    /// An empty line came.
    fn dispatch(&mut self) -> Option<Message> {
        self.size = 0;
        if mem::take(&mut self.has_new_id) && *self.last_event_id != *self.id {
            self.last_event_id = Arc::from(&*self.id);
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
        })
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Lines end at ASCII bytes, so decoding line by line finds the same characters as decoding the
/// whole stream.
fn text(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}
