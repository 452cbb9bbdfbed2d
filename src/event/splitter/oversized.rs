use std::mem;

use memchr::memchr2;

use super::{EventSplitter, Place, carried::is_retry};
use crate::event::{EventTooLarge, field_spans::line_end_len};

/// The position in an event or `retry` line that is too large.
#[derive(Clone, Copy, Debug)]
pub(super) struct Oversized {
    /// An event ends with an empty line, a `retry` line with its line end.
    is_event: bool,
    is_line_start: bool,
    /// The last byte was a CR, so an LF that follows belongs to the same line end.
    after_cr: bool,
    /// The number of bytes with which the line has begun, all of them of `retry`, so that the next
    /// ones decide what it is.
    undecided: Option<usize>,
}

const RETRY: &[u8] = b"retry";

impl Oversized {
    /// Decides whether the line is a `retry` line. Returns how many bytes of it show nothing.
    fn decide(&mut self, bytes: &[u8]) -> usize {
        let Some(matched) = self.undecided else { return 0 };
        let awaited = RETRY.get(matched..).unwrap_or_default();
        let common = awaited.iter().zip(bytes).take_while(|(word, byte)| word == byte).count();
        self.undecided = bytes.get(common).is_none().then_some(matched + common);
        let is_colon_or_end = matches!(bytes.get(common), Some(b':' | b'\n' | b'\r'));
        self.is_event = common < awaited.len() || !is_colon_or_end;
        common
    }
}

impl EventSplitter {
    /// Goes on with the current event or `retry` line as one that is too large.
    #[cold]
    pub(super) fn too_large(&mut self, is_event: bool) -> EventTooLarge {
        self.place = Place::Oversized(Oversized {
            is_event,
            is_line_start: is_event && self.spans.len == self.carried.len(),
            after_cr: self.carried.ends_with(b"\r"),
            undecided: None,
        });
        EventTooLarge { max_event_size: self.max_event_size }
    }

    /// Goes on with the current line, which may be a `retry` line, as one that is too large.
    #[cold]
    pub(super) fn line_too_large(&mut self) -> EventTooLarge {
        let error = self.too_large(!is_retry(&self.carried));
        if let Place::Oversized(oversized) = &mut self.place {
            oversized.is_line_start = false;
            oversized.undecided = RETRY.starts_with(&self.carried).then_some(self.carried.len());
        }
        error
    }

    /// Returns whether the next byte belongs to an event or `retry` line that is too large.
    pub(crate) const fn is_oversized(&self) -> bool {
        matches!(self.place, Place::Oversized(_))
    }

    /// Returns the error again if the next byte belongs to an event that is too large, and frees its
    /// memory.
    #[inline]
    pub(crate) fn abandon_oversized(&mut self) -> Option<EventTooLarge> {
        if !self.is_oversized() {
            return None;
        }
        self.carried = Vec::new();
        Some(EventTooLarge { max_event_size: self.max_event_size })
    }

    /// Consumes `input` up to the end of what is too large, and returns it.
    pub(super) fn next_oversized<'b>(
        &mut self,
        mut oversized: Oversized,
        input: &mut &'b [u8],
    ) -> &'b [u8] {
        let bytes = *input;
        let mut len = oversized.decide(bytes);
        if mem::take(&mut oversized.after_cr) && bytes.starts_with(b"\n") {
            len = 1;
        }
        let is_over = loop {
            let rest = bytes.get(len..).unwrap_or_default();
            let Some(line_len) = memchr2(b'\n', b'\r', rest) else {
                oversized.is_line_start &= rest.is_empty();
                len = bytes.len();
                break false;
            };
            len += line_len + line_end_len(rest.get(line_len..).unwrap_or_default());
            let is_empty_line = line_len == 0 && oversized.is_line_start;
            if is_empty_line || !oversized.is_event {
                break true;
            }
            oversized.is_line_start = true;
        };
        let part = input.split_off(..len).unwrap_or_default();
        oversized.after_cr = part.ends_with(b"\r");
        self.place = if is_over { Place::Between } else { Place::Oversized(oversized) };
        part
    }
}
