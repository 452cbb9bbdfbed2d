use std::mem;

use bytes::{Bytes, BytesMut};

use super::lines::{DATA, Field, has_line_break, line_end_len, split_line};

/// The buffer into which [`Encode`](crate::Encode) writes events.
///
/// It is opaque, because only the types of this crate write events.
#[derive(Debug)]
pub struct FrameBuf {
    bytes: BytesMut,
    /// Encoded bytes that were not copied into `bytes`. Large ones follow `bytes` as a frame of
    /// their own. Small ones are here only while `bytes` is empty.
    uncopied: Option<Bytes>,
}

/// The length from which encoded bytes are sent in a frame of their own, because copying them would
/// cost more than another frame.
const MIN_UNCOPIED_LEN: usize = 4096;

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

    /// Reserves room for `additional` bytes, and for no more than that in an empty buffer.
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.bytes.reserve(additional);
    }

    /// Returns the number of bytes that can be written without another allocation.
    pub(crate) fn spare(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Reclaims the buffer of frames that were split off and dropped. Returns whether `capacity`
    /// bytes can then be written without another allocation.
    pub(crate) fn try_reclaim(&mut self, capacity: usize) -> bool {
        self.bytes.try_reclaim(capacity)
    }

    /// Replaces the buffer by a new one.
    pub(crate) fn replace(&mut self, capacity: usize) {
        self.bytes = BytesMut::with_capacity(capacity);
    }

    /// Splits off the written bytes and keeps the rest of the buffer for the next frame.
    pub(crate) fn split(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    /// Takes the written bytes together with the buffer.
    pub(crate) fn take(&mut self) -> Bytes {
        mem::take(&mut self.bytes).freeze()
    }

    pub(crate) fn take_uncopied(&mut self) -> Option<Bytes> {
        self.uncopied.take()
    }

    pub(crate) fn has_uncopied(&self) -> bool {
        self.uncopied.is_some()
    }

    /// Returns whether a frame of `frame_size` bytes has room for the uncopied bytes and another
    /// event of the same length.
    pub(crate) fn leaves_room_in(&self, frame_size: usize) -> bool {
        let len = self.uncopied.as_ref().map_or(0, Bytes::len);
        len < MIN_UNCOPIED_LEN && 2 * len <= frame_size
    }

    /// Copies the uncopied bytes to the start of a frame of `frame_size` bytes.
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
    /// bytes.
    ///
    /// After uncopied bytes, nothing can be written until they are taken or
    /// [copied](Self::copy_first).
    pub(crate) fn put_encoded(&mut self, bytes: Bytes) {
        if bytes.len() < MIN_UNCOPIED_LEN && !self.bytes.is_empty() {
            self.put(&bytes);
        } else if !bytes.is_empty() {
            self.uncopied = Some(bytes);
        }
    }
}

/// Writing lines.
impl FrameBuf {
    /// Opens the block's first line.
    #[inline]
    pub(crate) fn open(&mut self, field: Field) {
        self.put(field.first.as_bytes());
    }

    /// Ends the previous line and opens the next one.
    #[inline]
    pub(crate) fn open_next(&mut self, field: Field) {
        self.put(field.next.as_bytes());
    }

    /// Writes `text` into the open line of `field`, and opens a new line at each line break (CR, LF
    /// or CRLF). A trailing line break therefore adds an empty line.
    #[inline]
    pub(crate) fn put_lines(&mut self, field: Field, text: &[u8]) {
        if has_line_break(text) {
            self.put_many_lines(field, text);
        } else {
            self.put(text);
        }
    }

    /// Does the same as [`put_lines`](Self::put_lines) with another line end than LF.
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

    /// Writes `data` as lines of their own, the last of which remains open. They take the line end
    /// with which `after` begins.
    #[inline]
    pub(super) fn put_data(&mut self, data: &[u8], after: &[u8]) {
        self.open(DATA);
        if after.starts_with(b"\n") {
            self.put_lines(DATA, data);
        } else {
            let line_end = after.get(..line_end_len(after)).unwrap_or_default();
            self.put_lines_ending_in(line_end, DATA, data);
        }
    }
}
