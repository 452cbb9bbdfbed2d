//! Lines that parsers read differently.

use std::collections::BTreeMap;

use crate::{
    check::{Finding, Verdict, quoted},
    session::Session,
};

const PAGE: &str = "guide/clients/#exceptions";
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

pub(crate) fn lines(session: &Session) -> Finding {
    let bytes = &session.outermost.recording.bytes;
    if bytes.is_empty() {
        return Finding::not_looked_at("no byte has come");
    }
    let mut oddities = Oddities::default();
    if bytes.starts_with(BYTE_ORDER_MARK) {
        oddities.warn("a byte order mark, which some clients take for data", BYTE_ORDER_MARK);
    }
    let mut block = Vec::new();
    // What is not complete yet may have been cut anywhere.
    for line in split(bytes).filter(|line| line.ends_with(b"\n") || line.ends_with(b"\r")) {
        oddities.read(line);
        if !line.trim_ascii_end().is_empty() {
            block.push(line);
        } else if !block.is_empty() {
            oddities.read_block(&block.split_off(0));
        }
    }
    let findings = oddities.0.into_iter().map(|(text, (verdict, count, example))| {
        let text = format!("{text} (times: {count})");
        Finding { verdict, ..Finding::warning(text, PAGE) }.with(quoted(&example))
    });
    let pass = || Finding::pass(format!("all parsers read these {} bytes alike", bytes.len()));
    Finding::worst(findings.collect()).unwrap_or_else(pass)
}

/// What was odd, how often, and the first line of that kind.
#[derive(Default)]
struct Oddities(BTreeMap<&'static str, (Verdict, usize, Vec<u8>)>);

impl Oddities {
    fn note(&mut self, verdict: Verdict, text: &'static str, line: &[u8]) {
        self.0.entry(text).or_insert_with(|| (verdict, 0, line.to_vec())).1 += 1;
    }

    fn warn(&mut self, text: &'static str, line: &[u8]) {
        self.note(Verdict::Warning, text, line);
    }

    /// Looks at a line with its line end.
    fn read(&mut self, line: &[u8]) {
        if line.ends_with(b"\r") {
            self.warn("lines that end in CR alone, which some clients do not know", line);
        }
        if str::from_utf8(line).is_err() {
            self.note(Verdict::Fail, "lines that are not UTF-8", line);
        }
        if line.contains(&0) {
            self.warn("U+0000: browsers ignore an id with it, and some drop it from data", line);
        }
        let (name, value) = field(line);
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        if name == b"retry" && !is_number {
            self.warn("a retry field that is no number of milliseconds", line);
        } else if ![&b""[..], b"data", b"event", b"id", b"retry"].contains(&name) {
            self.warn("fields that the standard does not have, and clients ignore", line);
        }
    }

    /// Looks at the lines before an empty one.
    fn read_block(&mut self, block: &[&[u8]]) {
        let count = |name: &[u8]| block.iter().filter(|line| field(line).0 == name).count();
        if block.len() == count(b"") + count(b"retry") {
            let text = "comments or retry fields with an empty line behind them, for which some \
                        clients dispatch an empty event";
            self.warn(text, &block.concat());
        } else if count(b"data") == 0 {
            self.warn("events without data, which some clients dispatch", &block.concat());
        }
        if [&b"id"[..], b"event", b"retry"].into_iter().any(|name| count(name) > 1) {
            self.warn("several ids, names or retry fields in one event", &block.concat());
        }
    }
}

/// Returns the name and the value of a line. The name of a comment or an empty line is empty.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii_end();
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
    let (name, value) = line.split_at(colon);
    (name, value.strip_prefix(b":").unwrap_or(value).trim_ascii_start())
}

/// Splits bytes after each CRLF, LF or CR.
fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_end = |a: &u8, b: &u8| *a != b'\n' && (*a != b'\r' || *b == b'\n');
    bytes.chunk_by(is_end)
}
