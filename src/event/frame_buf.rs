use std::{fmt, mem};

use bytes::{Bytes, BytesMut};
use memchr::{memchr2, memchr2_iter};

/// The frame that events are being written into: what [`Encode`](crate::Encode) writes to.
///
/// It is opaque, for only this crate's types write events.
pub struct FrameBuf {
    bytes: BytesMut,
    /// Bytes that were encoded before. Those that are too large to copy follow `bytes`, as a frame of their own; others are
    /// here for as long as they are alone.
    uncopied: Option<Bytes>,
}

/// A field as it opens a line: at a frame's or block's start, and after another line, whose end it
/// carries (one copy of seven bytes is cheaper than copies of one and six).
#[derive(Clone, Copy)]
pub(crate) struct Field {
    first: &'static str,
    next: &'static str,
}

pub(crate) const COMMENT: Field = Field { first: ": ", next: "\n: " };
pub(crate) const DATA: Field = Field { first: "data: ", next: "\ndata: " };
pub(crate) const EVENT: Field = Field { first: "event: ", next: "\nevent: " };
pub(crate) const ID: Field = Field { first: "id: ", next: "\nid: " };
pub(crate) const RETRY: Field = Field { first: "retry: ", next: "\nretry: " };

impl Field {
    /// The bytes that `text` takes as lines of this field, line ends included. A CRLF is counted
    /// as two of them: it is only a capacity.
    pub(crate) fn len_of(self, text: &str) -> usize {
        let breaks = memchr2_iter(b'\n', b'\r', text.as_bytes()).count();
        text.len() - breaks + (1 + breaks) * self.next.len()
    }
}

/// From here on bytes that are already encoded go out as a frame of their own: copying them costs
/// more than one more frame.
const UNCOPIED_FROM: usize = 4096;

impl FrameBuf {
    pub(crate) fn new() -> Self {
        Self { bytes: BytesMut::new(), uncopied: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Makes room for `additional` bytes, exactly so in an empty buffer.
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.bytes.reserve(additional);
    }

    /// How many bytes fit in without another allocation.
    pub(crate) fn spare(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Can the buffer's first `capacity` bytes be written again, because nobody holds a frame that
    /// was split off them?
    pub(crate) fn try_reclaim(&mut self, capacity: usize) -> bool {
        self.bytes.try_reclaim(capacity)
    }

    /// Starts over with a new buffer.
    pub(crate) fn replace(&mut self, capacity: usize) {
        self.bytes = BytesMut::with_capacity(capacity);
    }

    /// What was written, with the buffer kept for the next frame.
    pub(crate) fn split(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    /// What was written, with the buffer given away.
    pub(crate) fn take(&mut self) -> Bytes {
        mem::take(&mut self.bytes).freeze()
    }

    pub(crate) fn take_uncopied(&mut self) -> Option<Bytes> {
        self.uncopied.take()
    }

    pub(crate) fn has_uncopied(&self) -> bool {
        self.uncopied.is_some()
    }

    /// Is there room for as much again as is uncopied, in a frame of so many bytes?
    pub(crate) fn leaves_room_in(&self, frame_size: usize) -> bool {
        let len = self.uncopied.as_ref().map_or(0, Bytes::len);
        len < UNCOPIED_FROM && 2 * len <= frame_size
    }

    /// What was alone until now becomes the first of a frame of so many bytes.
    #[cold]
    pub(crate) fn copy_first(&mut self, frame_size: usize) {
        if let Some(first) = self.uncopied.take() {
            self.reserve(frame_size);
            self.put(&first);
        }
    }

    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes bytes that are encoded already, uncopied when there are many, or nothing was written yet. Uncopied ones
    /// must be the last that are written before the frame is sent, for there is a place for one piece only.
    pub(crate) fn put_encoded(&mut self, bytes: Bytes) {
        if bytes.len() < UNCOPIED_FROM && !self.bytes.is_empty() {
            self.put(&bytes);
        } else if !bytes.is_empty() {
            self.uncopied = Some(bytes);
        }
    }

    /// Opens the block's first line.
    #[inline]
    pub(crate) fn open(&mut self, field: Field) {
        self.put(field.first.as_bytes());
    }

    /// Ends the line before and opens the next one.
    #[inline]
    pub(crate) fn open_next(&mut self, field: Field) {
        self.put(field.next.as_bytes());
    }

    /// Writes `text` into the open line of `field`, which goes on in a new line after every line
    /// break: CR, LF and CRLF are one each, so a trailing one makes an empty line more.
    #[inline]
    pub(crate) fn put_lines(&mut self, field: Field, text: &[u8]) {
        if has_line_break(text) {
            self.put_many_lines(field, text);
        } else {
            self.put(text);
        }
    }

    // Inlined, the field's name has a constant length.
    #[inline]
    fn put_many_lines(&mut self, field: Field, text: &[u8]) {
        let mut rest = text;
        while let Some((line, after)) = split_line(rest) {
            self.put(line);
            self.open_next(field);
            rest = after;
        }
        self.put(rest);
    }
}

impl fmt::Debug for FrameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameBuf").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// `text` before and after its first line break, or `None` if it is one line.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, rest) = text.split_at_checked(memchr2(b'\n', b'\r', text)?)?;
    let rest = match rest {
        [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
        [] => rest,
    };
    Some((line, rest))
}

/// Does `text` have a CR or LF?
///
/// In a short text memchr's set-up costs more than the search, hence whole chunks, the last one
/// overlapping.
// Left to the compiler, it depends on unrelated code whether this is a call.
#[inline(always)]
fn has_line_break(text: &[u8]) -> bool {
    if text.len() > 128 {
        return memchr2(b'\n', b'\r', text).is_some();
    }
    if let Some(last) = text.last_chunk::<16>() {
        let (chunks, _) = text.as_chunks::<16>();
        return chunks.iter().any(chunk_has_line_break) || chunk_has_line_break(last);
    }
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => chunk_has_line_break(first) || chunk_has_line_break(last),
        _ => text.iter().any(|byte| matches!(byte, b'\n' | b'\r')),
    }
}

/// Without a branch, so that it becomes a few vector instructions.
#[inline]
fn chunk_has_line_break<const N: usize>(chunk: &[u8; N]) -> bool {
    chunk.iter().fold(false, |found, byte| found | (*byte == b'\n') | (*byte == b'\r'))
}

#[cfg(test)]
mod tests {
    use super::has_line_break;

    #[test]
    fn line_breaks_are_found_at_every_place_and_length() {
        for len in 0..160 {
            let mut text = vec![b'\x0b'; len];
            assert!(!has_line_break(&text), "none in {len} bytes");
            for at in 0..len {
                for line_break in [b'\n', b'\r'] {
                    text[at] = line_break;
                    assert!(has_line_break(&text), "{line_break:?} at {at} of {len}");
                    text[at] = if at % 2 == 0 { b'\x8a' } else { b'\x00' };
                }
            }
            assert!(!has_line_break(&text), "none in {len} bytes");
        }
    }
}
