use std::{borrow::Cow, mem, sync::Arc, time::Duration};

use memchr::memchr;

use super::{
    Message,
    line::{Line, is_reconnection_time},
};

/// The state of a client between two lines of a stream, as specified by the HTML standard.
#[derive(Clone, Debug, Default)]
pub(super) struct Interpreter {
    /// The number of bytes in the complete lines of the incomplete event.
    pub(super) event_size: usize,
    event: String,
    data: String,
    id: String,
    /// An `id` field has come since the last empty line.
    has_new_id: bool,
    pub(super) last_event_id: Arc<str>,
    /// The stream has set or cleared the last event id.
    pub(super) has_id: bool,
    pub(super) retry: Option<Duration>,
    retry_since_message: Option<Duration>,
}

/// The effect of a line.
#[derive(Debug)]
pub(crate) enum Decoded<'a> {
    Message(Message),
    /// An empty line that completes no message.
    Empty,
    Comment(#[cfg_attr(not(feature = "testing"), expect(dead_code))] &'a [u8]),
    Field,
}

impl Interpreter {
    /// Drops the incomplete event, which is too large for any limit from now on.
    #[cold]
    pub(super) fn fail(&mut self) {
        self.data = String::new();
        self.event_size = usize::MAX;
    }

    #[inline]
    pub(super) fn interpret<'a>(&mut self, line: &'a [u8]) -> Decoded<'a> {
        let (name, value) = match Line::parse(line) {
            Line::Empty => return self.dispatch().map_or(Decoded::Empty, Decoded::Message),
            Line::Comment(text) => return Decoded::Comment(text),
            Line::Field { name, value } => (name, value),
        };
        self.event_size += line.len();
        match name {
            b"data" => {
                self.data.push_str(&decode_utf8(value));
                self.data.push('\n');
            }
            b"event" => self.event = decode_utf8(value).into_owned(),
            b"id" if memchr(b'\0', value).is_none() => {
                self.id = decode_utf8(value).into_owned();
                self.has_new_id = true;
            }
            b"retry" if is_reconnection_time(value) => {
                let milliseconds = decode_utf8(value).parse().unwrap_or(u64::MAX);
                self.retry = Some(Duration::from_millis(milliseconds));
                self.retry_since_message = self.retry;
            }
            _ => {}
        }
        Decoded::Field
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

/// Decodes the text of one line. Line ends are ASCII, so decoding the whole stream would give the
/// same characters.
fn decode_utf8(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}
