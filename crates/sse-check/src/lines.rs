//! Checks for lines that parsers read differently.

use std::collections::BTreeMap;

use crate::finding::{Finding, Verdict, quoted};
use crate::session::Session;

const PAGE: &str = "guide/clients/#exceptions";
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
const NAMES: [&[u8]; 5] = [b"", b"data", b"event", b"id", b"retry"];

pub(crate) fn lines(session: &Session) -> Finding {
    let bytes = &session.outermost.recording.bytes;
    if bytes.is_empty() {
        return Finding::not_checked("no byte has come");
    }
    let (mut oddities, mut block) = (BTreeMap::new(), Block::default());
    let mut note = |odd: &[(bool, &'static str)], example| {
        for (_, text) in odd.iter().filter(|(is_odd, _)| *is_odd) {
            oddities.entry(*text).or_insert((0, example)).0 += 1;
        }
    };
    // Ignore an incomplete line, which may have been cut anywhere.
    for line in split(bytes).filter(|line| line.ends_with(b"\n") || is_cr(line)) {
        note(&odd_line(line), line);
        match (content(line), block.first) {
            (b"", Some(first)) => {
                note(&odd_block(&block), first);
                block = Block::default();
            }
            (b"", None) => {}
            _ => block.push(line),
        }
    }
    let findings = oddities.into_iter().map(|(text, (count, example))| {
        let verdict = if text == NOT_UTF8 { Verdict::Fail } else { Verdict::Warning };
        let finding = Finding::warning(format!("{text} (times: {count})"), PAGE);
        Finding { verdict, ..finding }.with(quoted(example))
    });
    let pass = || Finding::pass(format!("all parsers read these {} bytes alike", bytes.len()));
    Finding::worst(findings.collect()).unwrap_or_else(pass)
}

const NOT_UTF8: &str = "lines that are not UTF-8";

/// Returns, for each oddity that a line can have, whether this line has it and its description.
fn odd_line(line: &[u8]) -> [(bool, &'static str); 6] {
    let (name, value) = field(line);
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    [
        (str::from_utf8(line).is_err(), NOT_UTF8),
        (line.starts_with(BYTE_ORDER_MARK), "a byte order mark, which some clients take for data"),
        (is_cr(line), "lines that end in CR alone, which some clients do not know"),
        (line.contains(&0), "U+0000: browsers ignore an id with it, and some drop it from data"),
        (name == b"retry" && !is_number, "a retry field that is no number of milliseconds"),
        (!NAMES.contains(&name), "fields that the standard does not have, and clients ignore"),
    ]
}

/// A block: the lines between two empty lines.
#[derive(Default)]
struct Block<'a> {
    first: Option<&'a [u8]>,
    len: usize,
    bytes: usize,
    /// For each of the [`NAMES`], the number of lines with this name.
    counts: [usize; NAMES.len()],
}

impl<'a> Block<'a> {
    fn push(&mut self, line: &'a [u8]) {
        self.first.get_or_insert(line);
        self.len += 1;
        self.bytes += line.len();
        let counts = NAMES.iter().zip(&mut self.counts);
        counts.filter(|(name, _)| **name == field(line).0).for_each(|(_, count)| *count += 1);
    }
}

/// Returns, for each oddity that a block can have, whether this block has it and its description.
fn odd_block(block: &Block<'_>) -> [(bool, &'static str); 4] {
    let [comments, data, events, ids, retries] = block.counts;
    let is_between = block.len == comments + retries;
    let has_several = [events, ids, retries].iter().any(|count| *count > 1);
    let comment = "comments or retry fields with an empty line behind them, for which some clients \
                   dispatch an empty event";
    [
        (is_between, comment),
        (!is_between && data == 0, "events without data, which some clients dispatch"),
        (block.bytes >= 64 << 10, "events above 64 KiB, which some clients cannot read"),
        (has_several, "several ids, names or retry fields in one event"),
    ]
}

/// Returns a line without its end.
fn content(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns a line's name and value. A comment's or an empty line's name is empty.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let line = content(line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line));
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
    let (name, value) = line.split_at(colon);
    let value = value.strip_prefix(b":").unwrap_or(value);
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

fn is_cr(line: &[u8]) -> bool {
    line.ends_with(b"\r")
}

/// Splits bytes after each CRLF, LF or CR.
fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunk_by(|a, b| *a != b'\n' && (*a != b'\r' || *b == b'\n'))
}
