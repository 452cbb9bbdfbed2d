//! Pieces that come in several chunks, and those that are not events.

use std::{mem, time::Duration};

use memchr::memchr2;

use super::{EventSplitter, Next, Piece, Place};
use crate::event::{
    BYTE_ORDER_MARK, EventRef, EventTooLarge,
    event_ref::reconnection_time,
    field_spans::{FieldSpans, line_end_len},
};

/// The capacity up to which an empty buffer is kept for the next event.
const KEPT_CAPACITY: usize = 1024;
/// The capacity up to which it is kept while the source is idle, so that idle streams take little
/// memory.
const KEPT_WHILE_IDLE: usize = 256;

/// Returns whether a line, or the beginning of one, is a `retry` field.
pub(super) fn is_retry(line: &[u8]) -> bool {
    line.strip_prefix(b"retry").is_some_and(|rest| matches!(rest, [] | [b':' | b'\n' | b'\r', ..]))
}

impl EventSplitter {
    #[inline(never)]
    pub(super) fn next_slowly<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Next<'a> {
        if mem::take(&mut self.is_returned) {
            self.free(KEPT_CAPACITY);
        }
        let Some(first) = input.first() else { return Ok(None) };
        match self.place {
            Place::Oversized(_) if !self.carried.is_empty() => {
                self.is_returned = true;
                Ok(Some(Piece::Oversized(&self.carried)))
            }
            Place::Oversized(oversized) => {
                Ok(Some(Piece::Oversized(self.next_oversized(oversized, input))))
            }
            Place::Start => self.next_mark(input),
            Place::Between => match first {
                b':' => Ok(Some(self.next_comment(input))),
                b'\n' | b'\r' => {
                    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
                    let len = input.iter().take_while(|byte| is_end(byte)).count();
                    Ok(Some(Piece::Between(take(input, len))))
                }
                b'r' => self.next_r_line(input),
                _ => self.next_event(input),
            },
            Place::Comment => Ok(Some(self.next_comment(input))),
            Place::RLine => self.next_r_line(input),
            Place::Event => self.resume_event(input),
        }
    }

    /// Reads the first bytes of the stream, which may be a byte order mark.
    fn next_mark<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Next<'a> {
        while let Some(awaited) = BYTE_ORDER_MARK.get(self.carried.len()) {
            match input.first() {
                None => return Ok(None),
                Some(byte) if byte == awaited => self.carried.extend_from_slice(take(input, 1)),
                Some(_) if self.carried.is_empty() => {
                    self.place = Place::Between;
                    return self.next_slowly(input);
                }
                Some(_) => {
                    self.place = Place::Event;
                    return self.resume_event(input);
                }
            }
        }
        Ok(Some(Piece::Between(self.complete())))
    }

    fn next_comment<'b>(&mut self, input: &mut &'b [u8]) -> Piece<'b> {
        let (len, is_complete) = first_line(input);
        self.place = if is_complete { Place::Between } else { Place::Comment };
        Piece::Comment(take(input, len))
    }

    /// Reads a line between events that begins with an `r`, so that it may be a `retry` field.
    fn next_r_line<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Next<'a> {
        let (len, is_complete) = first_line(input);
        let part = input.get(..len).unwrap_or_default();
        // The size leaves the LF of a CRLF out: it can come in the next chunk, after the `retry`
        // line is over.
        let lf = usize::from(part.ends_with(b"\r\n"));
        let size = self.carried.len() + len - lf;
        if self.carried.is_empty() && is_complete {
            self.place = Place::Between;
            if !is_retry(part) {
                return self.next_event(input);
            } else if size <= self.max_event_size {
                return Ok(Some(Piece::Between(take(input, len))));
            }
        }
        self.spans = FieldSpans::default();
        if size > self.max_event_size {
            return Err(self.line_too_large());
        }
        self.place = Place::RLine;
        self.carried.extend_from_slice(take(input, len - lf));
        if !is_complete {
            return Ok(None);
        } else if is_retry(&self.carried) {
            self.carried.extend_from_slice(take(input, lf));
            return Ok(Some(Piece::Between(self.complete())));
        }
        self.place = Place::Event;
        self.spans.read(&self.carried);
        if self.carried.len() + lf > self.max_event_size {
            return Err(self.too_large(true));
        }
        self.spans.len += lf;
        self.carried.extend_from_slice(take(input, lf));
        self.resume_event(input)
    }

    /// Keeps an event that `input` does not complete.
    #[cold]
    pub(super) fn carry_event(&mut self, input: &mut &[u8]) -> Result<(), EventTooLarge> {
        if input.len() > self.max_event_size {
            self.spans.len = 0;
            return Err(self.too_large(true));
        }
        self.place = Place::Event;
        self.carried.extend_from_slice(take(input, input.len()));
        Ok(())
    }

    /// Reads the rest of an event.
    fn resume_event<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Next<'a> {
        while !input.is_empty() {
            let is_line_start = self.spans.len == self.carried.len();
            let is_lf_of_crlf =
                is_line_start && self.carried.ends_with(b"\r") && input.starts_with(b"\n");
            let is_empty_line = is_line_start && matches!(input, [b'\n' | b'\r', ..]);
            let (len, is_complete) = first_line(input);
            let added = if is_empty_line && !is_lf_of_crlf { 0 } else { len };
            if self.carried.len() + added > self.max_event_size {
                return Err(self.too_large(true));
            }
            self.spans.len += usize::from(is_lf_of_crlf);
            self.carried.extend_from_slice(take(input, len));
            if is_complete && !is_lf_of_crlf && self.spans.read(&self.carried) {
                self.complete();
                return Ok(Some(Piece::Event(EventRef { raw: &self.carried, spans: &self.spans })));
            }
        }
        Ok(None)
    }

    /// Completes what is carried, and returns it.
    fn complete(&mut self) -> &[u8] {
        self.place = Place::Between;
        self.is_returned = true;
        &self.carried
    }
}

/// Returns the length of the first line of a chunk, with its line end, and whether it is complete.
fn first_line(bytes: &[u8]) -> (usize, bool) {
    let Some(at) = memchr2(b'\n', b'\r', bytes) else { return (bytes.len(), false) };
    (at + line_end_len(bytes.get(at..).unwrap_or_default()), true)
}

/// Consumes `len` bytes of `input` and returns them.
fn take<'b>(input: &mut &'b [u8], len: usize) -> &'b [u8] {
    input.split_off(..len).unwrap_or_default()
}

/// What decoders and bodies need to know.
impl EventSplitter {
    /// Returns the bytes that have been received of an incomplete event or line.
    pub(crate) fn incomplete(&self) -> &[u8] {
        if self.is_returned { &[] } else { &self.carried }
    }

    /// Returns whether the next byte begins a line between events.
    pub(crate) const fn is_between_events(&self) -> bool {
        matches!(self.place, Place::Between)
    }

    /// Returns the memory of the incomplete event.
    #[cfg(feature = "runs")]
    pub(crate) const fn memory(&self) -> usize {
        self.carried.capacity()
    }

    /// Returns whether a comment between events has been received only in part.
    pub(crate) const fn is_in_comment(&self) -> bool {
        matches!(self.place, Place::Comment)
    }

    /// Returns the reconnection time from the complete lines of the incomplete event.
    pub(crate) fn incomplete_retry(&self) -> Option<Duration> {
        let is_event = matches!(self.place, Place::Event);
        self.spans.retry.of(self.incomplete()).filter(|_| is_event).map(reconnection_time)
    }

    /// Frees large buffers that are empty, because the source is idle.
    pub(crate) fn shrink(&mut self) {
        if self.incomplete().is_empty() {
            self.free(KEPT_WHILE_IDLE);
        }
    }

    /// Empties the buffer, and frees it if it has more than `kept` bytes.
    fn free(&mut self, kept: usize) {
        self.is_returned = false;
        if self.carried.capacity() > kept {
            self.carried = Vec::new();
        }
        self.carried.clear();
    }
}
