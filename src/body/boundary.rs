use std::mem;

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr2, memrchr2};

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Where a stream that somebody else writes stands, so that we can write into it without changing
/// what a client decodes.
///
/// Of a frame only the tail is read: one that ends in an empty line is decided at once, any other
/// by the lines at its end, back to the last one that decides.
#[derive(Debug)]
pub(crate) struct Boundary {
    /// What the line is, as far as it has come.
    line: Line,
    /// There were lines since the last empty one that belong to an event.
    in_event: bool,
    /// The last byte was a CR, which may be half of a CRLF.
    after_cr: bool,
    /// We ended the source's CR as a CRLF: if the source does the same, its LF is one too many.
    drop_lf: bool,
    start: Start,
}

/// What the first bytes of a line make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Empty,
    /// The line so far is the beginning of the word `retry`, this many bytes of it.
    RetryWord(u8),
    /// A comment or a `retry` field: part of no event.
    Aside,
    /// Any other field.
    Field,
}

const RETRY: &[u8] = b"retry";

/// A byte order mark is legal only as the very first bytes that a client gets, of which `matched`
/// have come.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// Nothing was sent yet, neither by the source nor by us.
    Nothing,
    /// The source was first: what it began with passes.
    Source {
        matched: u8,
    },
    /// We were first: a mark with which the source begins is held back, and dropped when whole.
    Ours {
        matched: u8,
    },
    Over,
}

impl Boundary {
    pub(crate) const fn new() -> Self {
        Self {
            line: Line::Empty,
            in_event: false,
            after_cr: false,
            drop_lf: false,
            start: Start::Nothing,
        }
    }

    /// Can a line be written here? A comment or `retry` line fits wherever a line starts.
    pub(crate) fn at_line_start(&self) -> bool {
        self.line == Line::Empty && !matches!(self.start, Start::Source { matched: 1.. })
    }

    /// Can an event be written here? It cannot while one of the source's is open.
    pub(crate) fn between_events(&self) -> bool {
        self.at_line_start() && !self.in_event
    }

    /// Gives `lines` of ours the form in which they can be written here, which must be a place for
    /// them, and takes note that they were.
    pub(crate) fn interject(&mut self, lines: &Bytes) -> Bytes {
        if let Start::Nothing = self.start {
            self.start = Start::Ours { matched: 0 };
        }
        if mem::take(&mut self.after_cr) {
            self.drop_lf = true;
            [&b"\n"[..], lines].concat().into()
        } else {
            lines.clone()
        }
    }

    /// Takes note of a frame of the source and gives what may be sent of it, which can be nothing.
    pub(crate) fn pass(&mut self, mut frame: Bytes) -> Bytes {
        if self.drop_lf && !frame.is_empty() {
            self.drop_lf = false;
            if frame.starts_with(b"\n") {
                frame.advance(1);
            }
        }
        match self.start {
            Start::Over => {
                self.observe(&frame);
                frame
            }
            Start::Nothing => self.pass_start(frame, 0, false),
            Start::Source { matched } => self.pass_start(frame, matched, false),
            Start::Ours { matched } => self.pass_start(frame, matched, true),
        }
    }

    /// As [`pass`](Self::pass), but only up to the first place between events, if the frame has one: a
    /// busy source may never end a frame there.
    pub(crate) fn pass_to_first_end(&mut self, mut frame: Bytes) -> Bytes {
        let mut passed = BytesMut::new();
        while !frame.is_empty() {
            let line = frame.split_to(first_line(&frame));
            passed.extend_from_slice(&self.pass(line));
            if self.between_events() {
                break;
            }
        }
        passed.freeze()
    }

    /// `matched` bytes of a byte order mark have come before; they are `held` back if we wrote
    /// first.
    fn pass_start(&mut self, frame: Bytes, matched: u8, held: bool) -> Bytes {
        let (before, awaited) =
            BYTE_ORDER_MARK.split_at_checked(usize::from(matched)).unwrap_or_default();
        let common = awaited.iter().zip(&frame).take_while(|(mark, byte)| mark == byte).count();
        let rest = frame.get(common..).unwrap_or_default();
        // At most three.
        let matched = matched + common as u8;
        let (whole, undecided) = (common == awaited.len(), rest.is_empty());
        self.start = match (whole || !undecided, held) {
            (true, _) => Start::Over,
            (false, true) => Start::Ours { matched },
            (false, false) if matched == 0 => Start::Nothing,
            (false, false) => Start::Source { matched },
        };
        if !whole && !undecided && matched > 0 {
            // No mark after all, so the line begins with those bytes, which begin no known field.
            self.line = Line::Field;
        }
        self.observe(rest);
        if !held {
            frame
        } else if whole || undecided {
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

    /// An empty line has just ended.
    fn end_event(&mut self, after_cr: bool) {
        self.line = Line::Empty;
        self.in_event = false;
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
        // From the last line back to one that decides, or to the one that an earlier frame began.
        while let Some((line, begun_here)) = pop_line(&mut lines) {
            let line = if begun_here { Line::Empty } else { self.line }.extended(line);
            if line != Line::Aside && line != Line::RetryWord(RETRY.len() as u8) {
                self.in_event = line != Line::Empty;
                break;
            }
        }
        self.line = Line::Empty.extended(tail);
    }
}

impl Line {
    fn extended(self, bytes: &[u8]) -> Self {
        match (self, bytes) {
            (line @ (Self::Aside | Self::Field), _) | (line, []) => line,
            (Self::Empty, [b':', ..]) => Self::Aside,
            (Self::Empty, bytes) => Self::RetryWord(0).extended(bytes),
            (Self::RetryWord(matched), bytes) => {
                let awaited = RETRY.get(usize::from(matched)..).unwrap_or_default();
                let common =
                    awaited.iter().zip(bytes).take_while(|(word, byte)| word == byte).count();
                match bytes.get(common..) {
                    Some([]) | None => Self::RetryWord(matched + common as u8),
                    Some([b':', ..]) if common == awaited.len() => Self::Aside,
                    Some(_) => Self::Field,
                }
            }
        }
    }
}

/// Returns whether the first block of a stream has a `retry` field, as far as its first bytes show.
pub(super) fn first_block_has_retry(stream: &[u8]) -> bool {
    let mut rest = stream.strip_prefix(&BYTE_ORDER_MARK).unwrap_or(stream);
    while let Some((line, next)) = rest.split_at_checked(first_line(rest)) {
        match line {
            [] | [b'\n' | b'\r', ..] => return false,
            [b'r', b'e', b't', b'r', b'y']
            | [b'r', b'e', b't', b'r', b'y', b':' | b'\n' | b'\r', ..] => {
                return true;
            }
            _ => rest = next,
        }
    }
    false
}

/// How long the first line is, with its line end as far as it is there.
fn first_line(bytes: &[u8]) -> usize {
    match memchr2(b'\n', b'\r', bytes) {
        Some(at) if bytes.get(at..at + 2) == Some(b"\r\n") => at + 2,
        Some(at) => at + 1,
        None => bytes.len(),
    }
}

/// The lines that end in `bytes`, with their line ends, and the line that does not.
fn split_last_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memrchr2(b'\n', b'\r', bytes).map_or(0, |at| at + 1);
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}

/// Takes the last of `lines`, without its line end, and tells whether it also began among them.
fn pop_line<'b>(lines: &mut &'b [u8]) -> Option<(&'b [u8], bool)> {
    let ([ended @ .., b'\r', b'\n'] | [ended @ .., _]) = lines else {
        return None;
    };
    let (before, line) = split_last_line(ended);
    *lines = before;
    Some((line, !before.is_empty()))
}
