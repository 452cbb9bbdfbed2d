//! The buffer into which events are written, field by field.

use std::mem;

use bytes::{Bytes, BytesMut};
use memchr::{memchr2, memchr2_iter};

/// The opaque buffer into which [`Encode`](super::Encode) writes events.
#[derive(Debug)]
pub struct FrameBuf {
    pub(crate) bytes: BytesMut,
    /// Encoded bytes that were not copied into `bytes`. Large encoded bytes follow `bytes` as a
    /// frame of their own. Small encoded bytes are kept here only while `bytes` is empty.
    uncopied: Option<Bytes>,
}

/// The length from which copying encoded bytes would cost more than another frame.
const MIN_UNCOPIED_LEN: usize = 4096;

impl FrameBuf {
    pub(crate) fn new() -> Self {
        Self { bytes: BytesMut::new(), uncopied: None }
    }

    /// Reserves room for `additional` bytes. A new buffer gets no more than that.
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.bytes.reserve(additional);
    }

    /// Returns the number of bytes that can be written without another allocation.
    pub(crate) fn spare(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    pub(crate) fn replace(&mut self, capacity: usize) {
        self.bytes = BytesMut::with_capacity(capacity);
    }

    pub(crate) fn split(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    pub(crate) fn take(&mut self) -> Bytes {
        mem::take(&mut self.bytes).freeze()
    }

    pub(crate) fn take_uncopied(&mut self) -> Option<Bytes> {
        self.uncopied.take()
    }

    pub(crate) fn has_uncopied(&self) -> bool {
        self.uncopied.is_some()
    }

    /// Returns whether the uncopied bytes are few and a frame of `frame_size` bytes has room for
    /// them and another event of the same length.
    pub(crate) fn leaves_room_in(&self, frame_size: usize) -> bool {
        let len = self.uncopied.as_ref().map_or(0, Bytes::len);
        len < MIN_UNCOPIED_LEN && 2 * len <= frame_size
    }

    /// Appends the uncopied bytes to `bytes`, after reserving room for `frame_size` bytes.
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

    /// Writes bytes that are already encoded. They are copied only if they are few and follow other
    /// bytes. After uncopied bytes, nothing can be written until they are taken or
    /// [copied](Self::copy_first).
    pub(crate) fn put_encoded(&mut self, bytes: Bytes) {
        if bytes.len() < MIN_UNCOPIED_LEN && !self.bytes.is_empty() {
            self.put(&bytes);
        } else if !bytes.is_empty() {
            self.uncopied = Some(bytes);
        }
    }
}

impl FrameBuf {
    /// Opens a line. The previous line must have ended.
    #[inline]
    pub(crate) fn open(&mut self, field: Field) {
        self.put(field.first.as_bytes());
    }

    /// Ends the previous line and opens the next one.
    #[inline]
    pub(crate) fn open_next(&mut self, field: Field) {
        self.put(field.next.as_bytes());
    }

    /// Writes `text` into the open line of `field` and opens a new line at each line break (CR, LF
    /// or CRLF). A trailing line break therefore adds an empty line.
    #[inline]
    pub(crate) fn put_lines(&mut self, field: Field, text: &[u8]) {
        if has_line_break(text) {
            self.put_many_lines(field, text);
        } else {
            self.put(text);
        }
    }

    /// Like [`put_lines`](Self::put_lines), but ends lines with `line_end` instead of LF.
    pub(crate) fn put_lines_ending_in(&mut self, line_end: &[u8], field: Field, text: &[u8]) {
        let mut rest = text;
        while let Some((line, after)) = split_line(rest) {
            self.put(line);
            self.put(line_end);
            self.open(field);
            rest = after;
        }
        self.put(rest);
    }

    // Inlined, so that the field's name has a constant length.
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

/// The bytes with which a field starts a line. `next` also ends the previous line, because one copy
/// is cheaper than two.
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
    /// Returns the length of `text` as lines of this field, including line ends. It counts a CRLF
    /// as two line breaks, because the result is only used as a capacity.
    pub(crate) fn len_of(self, text: &[u8]) -> usize {
        let breaks = memchr2_iter(b'\n', b'\r', text).count();
        text.len() - breaks + (1 + breaks) * self.next.len()
    }
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, rest) = text.split_at_checked(memchr2(b'\n', b'\r', text)?)?;
    let rest = match rest {
        [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
        [] => rest,
    };
    Some((line, rest))
}

/// Returns whether `text` contains a CR or LF. For short text, memchr's set-up costs more than the
/// search, so whole chunks are compared. The last chunk can overlap the previous one.
// Without `always`, a change of unrelated code can end the inlining.
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

/// Returns whether a chunk contains a CR or LF. It has no branches, so the compiler vectorises it.
#[inline]
fn chunk_has_line_break<const N: usize>(chunk: &[u8; N]) -> bool {
    chunk.iter().fold(false, |found, byte| found | (*byte == b'\n') | (*byte == b'\r'))
}

#[cfg(test)]
mod tests {
    use super::has_line_break;

    #[test]
    fn line_breaks_are_found_at_every_index_and_length() {
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

    #[test]
    fn line_breaks_do_not_cancel_each_other() {
        for text in ["\n\n", "\r\r", "\n\r", "\r\n"] {
            for len in 2..40 {
                let text = text.repeat(len / 2) + &"x".repeat(len % 2);
                assert!(has_line_break(text.as_bytes()), "{text:?}");
            }
        }
    }
}
