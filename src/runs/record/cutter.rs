use std::mem;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use memchr::memchr2;

use crate::decode::{BYTE_ORDER_MARK, EventRef, EventSplitter, Line, Piece};
use crate::event::decimal_len;

pub(crate) struct RunEventId<'p> {
    prefix: &'p str,
    sequence: u64,
}

impl<'p> RunEventId<'p> {
    pub(crate) const fn new(prefix: &'p str, sequence: u64) -> Self {
        Self { prefix, sequence }
    }

    pub(crate) fn len(&self) -> usize {
        self.prefix.len() + decimal_len(self.sequence)
    }

    #[inline]
    pub(crate) fn write_line(&self, out: &mut impl BufMut) {
        out.put_slice(b"id: ");
        out.put_slice(self.prefix.as_bytes());
        out.put_slice(itoa::Buffer::new().format(self.sequence).as_bytes());
        out.put_slice(b"\n");
    }
}

/// The capacity in bytes up to which an empty buffer is kept for the next event.
const KEPT_CAPACITY: usize = 1024;
/// The capacity in bytes up to which an empty buffer is kept while the source is idle. Small, to
/// save memory in idle runs, but enough that small events don't allocate a buffer each.
const KEPT_WHILE_IDLE: usize = 256;

/// A parser that cuts the bytes of an event stream into events, regardless of frames. Each event
/// gets an id of the run.
///
/// An event is a block with a `data` line: browsers don't dispatch other blocks, and some clients
/// fail at them. Its lines are kept in order and end in LF, with these exceptions:
///
/// - Comments are dropped. So are the source's ids, which the run's ids replace.
/// - Of the valid `retry` lines since the previous event, only the last is kept, as the line before
///   the id. Some clients reject a block with two such lines.
/// - Lines that begin with a byte order mark are dropped. At the stream's start, only the mark is
///   dropped.
/// - Blocks without a `data` line are dropped, as is an incomplete block at the end.
#[derive(Debug)]
pub(crate) struct Cutter {
    splitter: EventSplitter,
    /// The lines of the complete event, or nothing.
    lines: Vec<u8>,
    /// The value of the last `retry` line since the previous event.
    retry: Option<Box<[u8]>>,
    /// The length of the [plain lines](plain_lines) at the start of the bytes passed to
    /// [`cut`](Self::cut), or 0 if they aren't a complete event.
    plain_len: usize,
    chunk: Chunk,
}

/// The error for an event that is larger than the caller's limit.
#[derive(Debug)]
pub(crate) struct TooLarge;

impl Default for Cutter {
    fn default() -> Self {
        Self {
            splitter: EventSplitter::new().max_event_size(usize::MAX),
            lines: Vec::new(),
            retry: None,
            plain_len: 0,
            chunk: Chunk::default(),
        }
    }
}

impl Cutter {
    /// Returns whether there is a complete event to [take](Self::take).
    pub(crate) const fn is_complete(&self) -> bool {
        self.plain_len > 0 || !self.lines.is_empty()
    }

    pub(crate) const fn memory(&self) -> usize {
        self.lines.capacity() + self.splitter.memory()
    }

    /// Frees large buffers that are empty, because the source is idle.
    pub(crate) fn shrink(&mut self) {
        self.splitter.shrink();
        if self.lines.is_empty() && self.lines.capacity() > KEPT_WHILE_IDLE {
            self.lines = Vec::new();
        }
    }

    /// Finds the next event. Returns whether the event is complete. If not, all bytes are consumed.
    /// Returns an error if more than `limit` bytes of the event had to be buffered.
    pub(crate) fn cut(&mut self, bytes: &mut Bytes, limit: usize) -> Result<bool, TooLarge> {
        if self.splitter.is_between_events() {
            self.plain_len = plain_lines(bytes).unwrap_or_default();
            if self.plain_len > 0 {
                return Ok(true);
            }
        }
        let mut rest = &bytes[..];
        // The splitter's limit is `usize::MAX`, so it's never reached.
        while let Ok(Some(piece)) = self.splitter.next(&mut rest) {
            if let Some(retry) = piece.retry() {
                self.retry = Some(retry.into());
            }
            if let Piece::Event(event) = piece
                && add_lines(&mut self.lines, event)
            {
                break;
            }
        }
        let consumed = bytes.len() - rest.len();
        bytes.advance(consumed);
        if self.lines.len().max(self.splitter.incomplete().len()) > limit {
            return Err(TooLarge);
        }
        Ok(self.is_complete())
    }

    /// Returns the length of the complete event, if its id has `id_len` bytes.
    pub(crate) fn event_len(&self, id_len: usize) -> usize {
        let retry = self.retry.as_ref().map_or(0, |retry| "retry: \n".len() + retry.len());
        let lines = if self.plain_len > 0 { self.plain_len } else { self.lines.len() };
        lines + retry + "id: \n\n".len() + id_len
    }

    /// Takes the complete event, with this id as its last line. `recorded` is the size of the
    /// earlier events. The `bytes` must be those in which [`cut`](Self::cut) found the event.
    #[inline]
    pub(crate) fn take(&mut self, bytes: &mut Bytes, id: &RunEventId<'_>, recorded: u64) -> Bytes {
        let len = self.event_len(id.len());
        let retry = self.retry.take();
        let plain = mem::take(&mut self.plain_len);
        if plain == 0 {
            let event = self.chunk.event(len, recorded, write(&self.lines, retry, id));
            if self.lines.capacity() > KEPT_CAPACITY {
                self.lines = Vec::new();
            }
            self.lines.clear();
            return event;
        }
        let (lines, _) = bytes.split_at_checked(plain).unwrap_or_default();
        let event = self.chunk.event(len, recorded, write(lines, retry, id));
        // Skip the empty line too.
        bytes.advance(bytes.len().min(plain + 1));
        event
    }
}

/// Adds an event's lines to `lines` if it has a `data` line. Returns whether it has one.
#[inline]
fn add_lines(lines: &mut Vec<u8>, event: EventRef<'_>) -> bool {
    if !event.has_data() {
        return false;
    }
    for (line, _) in event.lines() {
        match Line::parse(line) {
            Line::Empty | Line::Comment(_) | Line::Field { name: b"id" | b"retry", .. } => continue,
            // A client whose stream began with this line would strip the mark and read the rest as
            // a field.
            Line::Field { name, .. } if name.starts_with(&BYTE_ORDER_MARK) => continue,
            Line::Field { .. } => {}
        }
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }
    true
}

#[inline]
fn write<'e>(
    lines: &'e [u8],
    retry: Option<Box<[u8]>>,
    id: &'e RunEventId<'_>,
) -> impl FnOnce(&mut BytesMut) + use<'e> {
    move |event| {
        event.put_slice(lines);
        if let Some(retry) = retry {
            event.put_slice(b"retry: ");
            event.put_slice(&retry);
            event.put_slice(b"\n");
        }
        id.write_line(event);
        event.put_slice(b"\n");
    }
}

/// Returns the length of the event at the start of `bytes`, without its empty line, if each line
/// begins with `data:` or `event:` and ends in LF. Such lines are recorded as they are.
fn plain_lines(bytes: &[u8]) -> Option<usize> {
    let (mut rest, mut has_data) = (bytes, false);
    loop {
        let is_data = rest.starts_with(b"data:");
        if !is_data && !rest.starts_with(b"event:") {
            break;
        }
        has_data |= is_data;
        rest = rest.get(memchr2(b'\n', b'\r', rest)?..)?.strip_prefix(b"\n")?;
    }
    (has_data && rest.first() == Some(&b'\n')).then_some(bytes.len() - rest.len())
}

/// The maximum size of a chunk, in bytes. A server that holds an event for a slow client holds the
/// event's whole chunk, even after the event was evicted.
const MAX_SIZE: u64 = 1024;

/// The memory of a run's next events. Small events share chunks, so most of them don't allocate. A
/// chunk takes at most a quarter of the bytes that the run has recorded, to waste little memory in
/// short runs. An event larger than a quarter of a chunk has an allocation of its own.
#[derive(Debug, Default)]
struct Chunk {
    // Boxed: many runs are too short for a chunk and then need only a pointer.
    buffer: Option<Box<BytesMut>>,
}

impl Chunk {
    /// Returns the event of `len` bytes that `write` writes. `recorded` is the size of the run's
    /// earlier events, which limits the size of a chunk.
    #[inline]
    fn event(&mut self, len: usize, recorded: u64, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        let size = MAX_SIZE.min(recorded / 4) as usize;
        if len > size / 4 {
            let mut event = BytesMut::with_capacity(len);
            write(&mut event);
            return event.freeze();
        }
        let buffer = self.buffer.get_or_insert_default();
        if buffer.capacity() < len {
            **buffer = BytesMut::with_capacity(size);
        }
        write(buffer);
        buffer.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;
    use bytes::{BufMut, Bytes};

    use super::{Chunk, Cutter, MAX_SIZE, RunEventId};

    const PARTS: &str = "data: a\n\n|data: token\n\n|event: tick\ndata:b\ndata: c\n\n|data:\n|data\n|\
        event: tick\n|data: a\r\n\r\n|data: a\r|\r|\n|id: 7\n|retry: 10\n|: no\n|other: x\n|\u{feff}|\
        dat|a: x|data: a line that is longer than the others\n";

    fn events(frames: &[&[u8]]) -> Vec<Bytes> {
        let mut cutter = Cutter::default();
        let (mut events, mut recorded) = (Vec::new(), 0);
        for frame in frames {
            let mut bytes = Bytes::copy_from_slice(frame);
            while cutter.cut(&mut bytes, usize::MAX).unwrap() {
                let id = RunEventId::new("e-", events.len() as u64 + 1);
                let len = cutter.event_len(id.len());
                let event = cutter.take(&mut bytes, &id, recorded);
                assert_eq!(event.len(), len);
                recorded += len as u64;
                events.push(event);
            }
            assert!(bytes.is_empty());
        }
        events
    }

    #[test]
    fn events_are_the_same_however_the_stream_is_cut() {
        for seed in 0..3000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let parts: Vec<_> = PARTS.split('|').collect();
            let count = random.usize(1..20);
            let source: String = (0..count).map(|_| parts[random.usize(..parts.len())]).collect();
            let source = source.as_bytes();
            // A frame of one byte never has a whole event, so these events are cut line by line.
            let bytes: Vec<_> = source.chunks(1).collect();
            let expected = events(&bytes);
            assert_eq!(events(&[source]), expected, "seed {seed}");
            let mut frames = Vec::new();
            let mut rest = source;
            while !rest.is_empty() {
                let (frame, after) = rest.split_at(random.usize(1..=rest.len()));
                frames.push(frame);
                rest = after;
            }
            assert_eq!(events(&frames), expected, "seed {seed}");
        }
    }

    #[test]
    fn small_events_take_few_allocations_and_at_most_a_third_more_memory() {
        for len in [30, 60, 100, 255, 256, 257, 1000, 5000] {
            for count in [1, 2, 10, 30, 100, 1000] {
                let mut events: Vec<Bytes> = Vec::with_capacity(count);
                let mut chunk = Chunk::default();
                let taken = measure(|| {
                    for n in 0..count {
                        let recorded = (n * len) as u64;
                        let event = chunk.event(len, recorded, |to| to.put_bytes(n as u8, len));
                        events.push(event);
                    }
                });
                let most = (len * count + len * count / 3 + 100) as i64;
                assert!(taken.bytes_current <= most, "{count} of {len}: {taken:?}");
                if len <= 100 && count >= 100 {
                    assert!(taken.count_total < count as u64 / 2, "{count} of {len}: {taken:?}");
                }
                for (n, event) in events.into_iter().enumerate() {
                    assert_eq!(event, vec![n as u8; len]);
                }
            }
        }
    }

    #[test]
    fn held_event_holds_no_more_than_its_chunk() {
        let mut held = None;
        let taken = measure(|| {
            let mut chunk = Chunk::default();
            for n in 0..1000 {
                held = Some(chunk.event(60, n * 60, |to| to.put_bytes(b'x', 60)));
            }
        });
        assert!(taken.bytes_current <= MAX_SIZE as i64 + 100, "{taken:?}");
        drop(held);
    }
}
