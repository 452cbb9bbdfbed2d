use bytes::{Buf, Bytes};

use crate::event::{BYTE_ORDER_MARK, Line, LineReader, is_reconnection_time};

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
pub(crate) struct Cutter {
    lines: LineReader,
    block: Block,
    limit: usize,
}

/// The current event.
#[derive(Debug, Default)]
struct Block {
    lines: Vec<u8>,
    retry: Option<Box<[u8]>>,
    /// Whether the block has a `data` or `event` line.
    is_event: bool,
    /// Whether the block is an event whose last line has been read.
    is_complete: bool,
}

/// The error for an event that is larger than the cutter's limit.
#[derive(Debug)]
pub(crate) struct TooLarge;

impl Cutter {
    /// Creates a cutter that returns an error for an event of more than `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { lines: LineReader::default(), block: Block::default(), limit }
    }

    /// Returns whether there is a complete event to [take](Self::take).
    pub(crate) const fn is_complete(&self) -> bool {
        self.block.is_complete
    }

    /// Returns the memory of an incomplete event.
    pub(crate) const fn memory(&self) -> usize {
        self.block.lines.capacity() + self.lines.memory()
    }

    /// Frees large buffers that are empty, because the source is idle.
    pub(crate) fn shrink(&mut self) {
        self.lines.shrink(KEPT_WHILE_IDLE);
        if self.block.lines.is_empty() && self.block.lines.capacity() > KEPT_WHILE_IDLE {
            self.block.lines = Vec::new();
        }
    }

    /// Consumes bytes up to the end of the next event. Returns whether an event is complete; if
    /// not, all bytes are consumed.
    pub(crate) fn cut(&mut self, bytes: &mut Bytes) -> Result<bool, TooLarge> {
        let mut rest = &bytes[..];
        while !self.block.is_complete {
            // A comment may be longer than the limit, because its text is dropped.
            let Ok(Some(line)) = self.lines.next(&mut rest, usize::MAX) else {
                self.lines.drop_comment();
                break;
            };
            self.block.add(line);
        }
        let consumed = bytes.len() - rest.len();
        bytes.advance(consumed);
        if self.block.lines.len() + self.lines.incomplete().len() > self.limit {
            return Err(TooLarge);
        }
        Ok(self.block.is_complete)
    }

    /// Returns the length of the complete event, if its id has `id_len` bytes.
    pub(crate) fn event_len(&self, id_len: usize) -> usize {
        let retry = self.block.retry.as_ref().map_or(0, |retry| "retry: \n".len() + retry.len());
        self.block.lines.len() + retry + "id: \n\n".len() + id_len
    }

    /// Takes the complete event, with this id as its last line.
    pub(crate) fn take(&mut self, id: &Id<'_>) -> Bytes {
        let mut event = Vec::with_capacity(self.event_len(id.len()));
        let block = &mut self.block;
        event.extend_from_slice(&block.lines);
        if let Some(retry) = block.retry.take() {
            event.extend_from_slice(b"retry: ");
            event.extend_from_slice(&retry);
            event.push(b'\n');
        }
        id.write_line(&mut event);
        event.push(b'\n');
        block.is_complete = false;
        block.is_event = false;
        if block.lines.capacity() > KEPT_CAPACITY {
            block.lines = Vec::new();
        }
        block.lines.clear();
        event.into()
    }
}

impl Block {
    #[inline]
    fn add(&mut self, line: &[u8]) {
        match Line::parse(line) {
            Line::Empty => {
                self.is_complete = self.is_event;
                if !self.is_event {
                    self.lines.clear();
                }
                return;
            }
            Line::Comment(_) | Line::Field { name: b"id", .. } => return,
            Line::Field { name: b"retry", value } => {
                if is_reconnection_time(value) {
                    self.retry = Some(value.into());
                }
                return;
            }
            Line::Field { name: b"data" | b"event", .. } => self.is_event = true,
            // At the start of a client's stream, the mark would be stripped, and the rest would be
            // a field.
            Line::Field { name, .. } if name.starts_with(&BYTE_ORDER_MARK) => return,
            Line::Field { .. } => {}
        }
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
    }
}

/// The id of an event: the prefix of its run and a sequence number.
pub(crate) struct Id<'p> {
    prefix: &'p str,
    sequence: u64,
}

impl<'p> Id<'p> {
    pub(crate) const fn new(prefix: &'p str, sequence: u64) -> Self {
        Self { prefix, sequence }
    }

    /// Returns the length of the id.
    pub(crate) fn len(&self) -> usize {
        let digits = self.sequence.checked_ilog10().map_or(1, |log| log as usize + 1);
        self.prefix.len() + digits
    }

    /// Writes the id as a line.
    pub(crate) fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(self.prefix.as_bytes());
        out.extend_from_slice(itoa::Buffer::new().format(self.sequence).as_bytes());
        out.push(b'\n');
    }
}
