use std::mem;

use bytes::{Bytes, BytesMut};
use memchr::memrchr2;

use crate::decode::{BYTE_ORDER_MARK, first_line};
use crate::options::{COMMENT_LINE, has_retry_line};

/// The position of a source's stream within its lines and events, which shows where the layer can
/// write without changing the events. To update it, usually only the end of a frame is read.
#[derive(Debug, Default)]
pub(crate) struct Boundary {
    /// The kind of the current line, judged by the bytes so far.
    line: LineKind,
    block: Block,
    /// Whether the last byte was a CR, which may be the first half of a CRLF.
    after_cr: bool,
    /// Whether the last bytes were a CRLF. Valid only at a line start within an event.
    after_crlf: bool,
    /// Whether the layer has sent the LF of a CRLF, whose CR may be all that the source has sent.
    has_sent_lf: bool,
    start: Start,
    /// Whether the last line is a comment between events.
    pub(super) after_comment: bool,
    /// Whether the bytes have a content coding, so that nothing can be written between them.
    pub(super) is_opaque: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Block {
    /// Nothing, or lines that belong to no event.
    #[default]
    Empty,
    Event,
    /// A `retry` line of the layer, and no line of an event. The layer may end this block with an
    /// empty line.
    Retry,
}

/// The part of a byte order mark that has arrived. A mark is legal only as a stream's first bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    matched: u8,
    /// Whether the mark's bytes are held back, because the layer has sent bytes before them. A
    /// complete mark is then dropped.
    is_held: bool,
    is_past: bool,
}

impl Boundary {
    pub(crate) fn opaque() -> Self {
        Self { is_opaque: true, ..Self::default() }
    }

    /// Returns whether the source's first bytes have passed, or cannot be read.
    pub(super) const fn has_begun(&self) -> bool {
        self.start.is_past || self.is_opaque
    }

    pub(crate) fn at_line_start(&self) -> bool {
        !self.is_opaque
            && self.line == LineKind::Empty
            && (self.start.matched == 0 || self.start.is_held)
    }

    pub(crate) fn between_events(&self) -> bool {
        self.at_line_start() && self.block != Block::Event
    }

    /// Returns the bytes to send for the layer's `lines` at this line start.
    pub(crate) fn interject(&mut self, lines: Bytes) -> Bytes {
        if self.start.matched == 0 {
            self.start.is_held = true;
        }
        let last_line = lines.rsplit(|byte| *byte == b'\n').nth(1);
        self.after_comment = last_line.is_some_and(|line| line.starts_with(b":"));
        let lines = if self.block == Block::Retry { self.in_block_of_own(lines) } else { lines };
        if mem::take(&mut self.after_cr) {
            // The CR may be the first half of a CRLF. The source's LF is dropped when it comes:
            // some clients would take it for an empty event.
            self.has_sent_lf = true;
            [&b"\n"[..], &lines].concat().into()
        } else {
            lines
        }
    }

    /// Returns the bytes to send for an event of the layer, or no bytes if no event fits here.
    pub(super) fn interject_event(&mut self, event: Option<Bytes>) -> Bytes {
        let event = event.filter(|_| self.between_events());
        event.map(|event| self.interject(event)).unwrap_or_default()
    }

    /// Notes that the layer has sent a `retry` line. If the layer sends another `retry` line before
    /// the source's first event, an empty line separates the two lines, because some clients reject
    /// a block with two `retry` lines.
    pub(crate) const fn note_retry(&mut self) {
        self.block = Block::Retry;
    }

    #[cold]
    fn in_block_of_own(&mut self, lines: Bytes) -> Bytes {
        if lines.ends_with(b"\n\n") {
            self.block = Block::Empty;
        }
        if has_retry_line(&lines) { [&b"\n"[..], &lines].concat().into() } else { lines }
    }

    /// Returns the bytes to send for `comment` at this line start within an event. These bytes use
    /// the same line end as the previous line, because some clients find an event's end only by two
    /// equal line ends.
    pub(crate) fn interject_within_event(&self, comment: &Bytes) -> Bytes {
        let line_end: &[u8] = match (self.after_cr, self.after_crlf) {
            // If the source's CR is the first half of a CRLF, its LF comes after the comment's CR
            // and completes a CRLF there.
            (true, _) => b"\r",
            (_, true) => b"\r\n",
            (false, false) => return comment.clone(),
        };
        let lines = comment.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.flat_map(|line| [line, line_end]).collect::<Vec<_>>().concat().into()
    }

    pub(crate) fn pass(&mut self, mut frame: Bytes) -> Bytes {
        if self.is_opaque {
            return frame;
        }
        if self.has_sent_lf && !frame.is_empty() {
            self.has_sent_lf = false;
            if frame.starts_with(b"\n") {
                frame = frame.split_off(1);
            }
        }
        let at_line_start = self.at_line_start();
        let passed = if self.start.is_past {
            self.observe(&frame);
            frame
        } else {
            self.pass_start(frame)
        };
        if !passed.is_empty() {
            let is_comment = |(line, starts_here): (&[u8], _)| {
                line.starts_with(b":") && (starts_here || at_line_start)
            };
            self.after_comment =
                self.between_events() && pop_line(&mut &*passed).is_some_and(is_comment);
        }
        passed
    }

    /// Passes a frame up to the first point between events and drops the rest, because a busy
    /// source's frames may all end within an event. Passes an opaque frame whole.
    pub(crate) fn pass_to_first_end(&mut self, mut frame: Bytes) -> Bytes {
        if self.is_opaque {
            return frame;
        }
        let mut passed = BytesMut::new();
        while !frame.is_empty() {
            let line = frame.split_to(first_line(&frame).0);
            passed.extend_from_slice(&self.pass(line));
            if self.between_events() {
                break;
            }
        }
        passed.freeze()
    }

    fn pass_start(&mut self, frame: Bytes) -> Bytes {
        let Start { matched, is_held, .. } = self.start;
        let (before, awaited) =
            BYTE_ORDER_MARK.split_at_checked(usize::from(matched)).unwrap_or_default();
        let common = awaited.iter().zip(&frame).take_while(|(mark, byte)| mark == byte).count();
        let rest = frame.get(common..).unwrap_or_default();
        // The sum is at most three.
        let matched = matched + common as u8;
        let (is_complete, is_undecided) = (common == awaited.len(), rest.is_empty());
        self.start = if is_complete || !is_undecided {
            Start { is_past: true, ..Start::default() }
        } else {
            Start { matched, ..self.start }
        };
        if !is_complete && !is_undecided && matched > 0 {
            // These bytes were not a mark, so they begin the line. No known field begins with them.
            self.line = LineKind::Field;
        }
        self.observe(rest);
        if !is_held {
            frame
        } else if is_complete || is_undecided {
            frame.slice_ref(rest)
        } else if before.is_empty() {
            frame
        } else {
            [before, &frame].concat().into()
        }
    }

    fn observe(&mut self, bytes: &[u8]) {
        let bytes = match bytes {
            [] => return,
            [b'\n', rest @ ..] if self.after_cr => {
                self.after_cr = false;
                self.after_crlf = true;
                rest
            }
            bytes => bytes,
        };
        match bytes {
            [] => {}
            [.., b'\n', b'\n'] | [.., b'\n' | b'\r', b'\r', b'\n'] => self.end_event(false),
            [.., b'\n' | b'\r', b'\r'] => self.end_event(true),
            bytes => self.observe_lines(bytes),
        }
    }

    fn end_event(&mut self, after_cr: bool) {
        self.line = LineKind::Empty;
        self.block = Block::Empty;
        self.after_cr = after_cr;
    }

    fn observe_lines(&mut self, bytes: &[u8]) {
        let (mut lines, tail) = split_last_line(bytes);
        if lines.is_empty() {
            self.after_cr = false;
            self.line = self.line.extended(tail);
            return;
        }
        self.after_cr = tail.is_empty() && lines.ends_with(b"\r");
        self.after_crlf = tail.is_empty() && lines.ends_with(b"\r\n");
        // Read backwards until a line determines the position. The first line may have begun in an
        // earlier frame.
        while let Some((line, starts_here)) = pop_line(&mut lines) {
            let line = if starts_here { LineKind::Empty } else { self.line }.extended(line);
            if line.is_of_event() {
                self.block = if line == LineKind::Empty { Block::Empty } else { Block::Event };
                break;
            }
        }
        self.line = LineKind::Empty.extended(tail);
    }
}

/// Sets `id_line` to the id line that ends the last event of `passed`, followed by an empty line,
/// or to no bytes if `passed` doesn't end with an id line and an empty line, both ended by LF or
/// both by CRLF: repeating an older id would send the client back. `is_start` says whether `passed`
/// begins at a line start.
#[cold]
pub(super) fn note_id(id_line: &mut Bytes, passed: &Bytes, is_start: bool) {
    // An `EventBody` can send a comment line behind an event, which then is still the newest.
    if passed.is_empty() || *passed == COMMENT_LINE {
        return;
    }
    let event = passed.strip_suffix(b"\n\n").or_else(|| passed.strip_suffix(b"\r\n\r\n"));
    let (before, line) = split_last_line(event.unwrap_or_default());
    let has_id = line.starts_with(b"id:") && (is_start || !before.is_empty());
    *id_line = if has_id { [line, b"\n\n"].concat().into() } else { Bytes::new() };
}

/// Splits `bytes` into complete lines, with their line ends, and the incomplete line after them.
fn split_last_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memrchr2(b'\n', b'\r', bytes).map_or(0, |at| at + 1);
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}

/// Removes the last of the complete `lines`. Returns it, and whether another line precedes it.
fn pop_line<'b>(lines: &mut &'b [u8]) -> Option<(&'b [u8], bool)> {
    let ([ended @ .., b'\r', b'\n'] | [ended @ .., _]) = lines else {
        return None;
    };
    let (before, line) = split_last_line(ended);
    *lines = before;
    Some((line, !before.is_empty()))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LineKind {
    #[default]
    Empty,
    /// The line so far is a prefix of the word `retry`, of this length.
    RetryPrefix(u8),
    /// A comment or a `retry` field, which neither begins nor ends an event.
    NonEvent,
    /// Any other field.
    Field,
}

const RETRY: &[u8] = b"retry";

impl LineKind {
    fn extended(self, bytes: &[u8]) -> Self {
        match (self, bytes) {
            (line @ (Self::NonEvent | Self::Field), _) | (line, []) => line,
            (Self::Empty, [b':', ..]) => Self::NonEvent,
            (Self::Empty, bytes) => Self::RetryPrefix(0).extended(bytes),
            (Self::RetryPrefix(matched), bytes) => {
                let awaited = RETRY.get(usize::from(matched)..).unwrap_or_default();
                let common =
                    awaited.iter().zip(bytes).take_while(|(word, byte)| word == byte).count();
                match bytes.get(common..) {
                    Some([]) | None => Self::RetryPrefix(matched + common as u8),
                    Some([b':', ..]) if common == awaited.len() => Self::NonEvent,
                    Some(_) => Self::Field,
                }
            }
        }
    }

    fn is_of_event(self) -> bool {
        self != Self::NonEvent && self != Self::RetryPrefix(RETRY.len() as u8)
    }
}
