use std::mem;

use bytes::{Buf, Bytes};
use memchr::memchr2;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The capacity up to which an empty buffer is kept for the next event.
const KEPT_CAPACITY: usize = 1024;
/// The same while the source is idle. It is small, so that idle runs take little memory, but large
/// enough that small events do not allocate a buffer each.
const KEPT_WHILE_IDLE: usize = 256;

/// A parser that cuts the bytes of an event stream into events, regardless of frame boundaries, and
/// gives each event an id of the run.
///
/// An event is a block with a `data` or `event` line. Its lines are kept in order and end in LF,
/// with these exceptions:
///
/// - Comments are dropped. So are ids, because the ids of the run replace them.
/// - Of the valid `retry` lines since the previous event, only the last is kept, because some
///   clients reject a block with two of them. It becomes the line before the id.
/// - Lines that begin with a byte order mark are dropped. At the start of the stream, only the mark
///   is dropped.
/// - Blocks without a `data` or `event` line are dropped, as is an incomplete block at the end.
#[derive(Debug)]
pub(super) struct Cutter {
    /// The lines of the current event.
    block: Vec<u8>,
    /// The beginning of an incomplete line.
    line: Vec<u8>,
    retry: Option<Box<[u8]>>,
    /// Whether the current block has a `data` or `event` line.
    is_event: bool,
    /// Whether the current block is an event whose last line has been read.
    is_complete: bool,
    /// Whether the last byte was a CR, which may be the first half of a CRLF.
    after_cr: bool,
    at_start: bool,
    limit: usize,
}

/// The error for an event that is larger than the cutter's limit.
#[derive(Debug)]
pub(super) struct TooLarge;

impl Cutter {
    /// Creates a cutter that returns an error for an event of more than `limit` bytes.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            block: Vec::new(),
            line: Vec::new(),
            retry: None,
            is_event: false,
            is_complete: false,
            after_cr: false,
            at_start: true,
            limit,
        }
    }

    /// Returns whether there is a complete event to [take](Self::take).
    pub(super) const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns the memory of an incomplete event.
    pub(super) fn memory(&self) -> usize {
        self.block.capacity() + self.line.capacity()
    }

    /// Frees large buffers that are empty, because the source is idle.
    pub(super) fn shrink(&mut self) {
        for buffer in [&mut self.block, &mut self.line] {
            if buffer.is_empty() && buffer.capacity() > KEPT_WHILE_IDLE {
                *buffer = Vec::new();
            }
        }
    }

    /// Consumes bytes up to the end of the next event. Returns whether an event is complete; if
    /// not, all bytes are consumed.
    pub(super) fn cut(&mut self, bytes: &mut Bytes) -> Result<bool, TooLarge> {
        while !self.is_complete && !bytes.is_empty() {
            if mem::take(&mut self.after_cr) && bytes.starts_with(b"\n") {
                bytes.advance(1);
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', bytes) else {
                self.extend_line(bytes);
                bytes.clear();
                break;
            };
            let (line, rest) = bytes.split_at_checked(end).unwrap_or_default();
            self.after_cr = rest.starts_with(b"\r");
            if self.line.is_empty() && !self.at_start {
                self.end_line(line);
            } else {
                self.extend_line(line);
                self.end_split_line();
            }
            bytes.advance(end + 1);
        }
        if self.block.len() + self.line.len() > self.limit {
            return Err(TooLarge);
        }
        Ok(self.is_complete)
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        // A comment is dropped, so its text is not kept.
        if !self.line.starts_with(b":") {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_split_line(&mut self) {
        let mut line = mem::take(&mut self.line);
        let start = mem::take(&mut self.at_start) && line.starts_with(BYTE_ORDER_MARK);
        let text = if start { line.get(BYTE_ORDER_MARK.len()..) } else { line.get(..) };
        self.end_line(text.unwrap_or_default());
        line.clear();
        self.line = line;
    }

    fn end_line(&mut self, line: &[u8]) {
        if line.is_empty() {
            self.is_complete = self.is_event;
            if !self.is_event {
                self.block.clear();
            }
            return;
        }
        let name = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at_checked(name).unwrap_or_default();
        match name {
            b"" | b"id" => return,
            b"retry" => {
                let value = value.strip_prefix(b":").unwrap_or(value);
                let value = value.strip_prefix(b" ").unwrap_or(value);
                if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
                    self.retry = Some(value.into());
                }
                return;
            }
            b"data" | b"event" => self.is_event = true,
            // At the start of a client's stream, the mark would be stripped, and the rest would be
            // a field.
            _ if line.starts_with(BYTE_ORDER_MARK) => return,
            _ => {}
        }
        self.block.extend_from_slice(line);
        self.block.push(b'\n');
    }

    /// Returns the length of the complete event, if its id has `id_len` bytes.
    pub(super) fn event_len(&self, id_len: usize) -> usize {
        let retry = self.retry.as_ref().map_or(0, |retry| "retry: \n".len() + retry.len());
        self.block.len() + retry + "id: \n\n".len() + id_len
    }

    /// Takes the complete event, with this id as its last line.
    pub(super) fn take(&mut self, id: &Id<'_>) -> Bytes {
        let mut event = Vec::with_capacity(self.event_len(id.len()));
        event.extend_from_slice(&self.block);
        if let Some(retry) = self.retry.take() {
            event.extend_from_slice(b"retry: ");
            event.extend_from_slice(&retry);
            event.push(b'\n');
        }
        id.write_line(&mut event);
        event.push(b'\n');
        self.is_complete = false;
        self.is_event = false;
        if self.block.capacity() > KEPT_CAPACITY {
            self.block = Vec::new();
        }
        self.block.clear();
        event.into()
    }
}

/// The id of an event: the prefix of its run and a sequence number.
pub(super) struct Id<'p> {
    prefix: &'p str,
    sequence: u64,
}

impl<'p> Id<'p> {
    pub(super) const fn new(prefix: &'p str, sequence: u64) -> Self {
        Self { prefix, sequence }
    }

    /// Returns the length of the id.
    pub(super) fn len(&self) -> usize {
        let digits = self.sequence.checked_ilog10().map_or(1, |log| log as usize + 1);
        self.prefix.len() + digits
    }

    /// Writes the id as a line.
    pub(super) fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(self.prefix.as_bytes());
        out.extend_from_slice(itoa::Buffer::new().format(self.sequence).as_bytes());
        out.push(b'\n');
    }
}
