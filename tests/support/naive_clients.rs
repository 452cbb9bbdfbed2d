//! What clients make of a stream that they split in different ways: four naive parsers, which
//! share nothing with the crate.

// Each test uses only a part of this file.
#![allow(dead_code, unreachable_pub)]

use super::*;

/// The name and data of an event.
pub type Dispatched = (String, String);

type Client = fn(&str) -> Vec<Dispatched>;

/// The parsers, with names for the messages of failed tests.
pub const CLIENTS: [(&str, Client); 4] = [
    ("at pairs", at_pairs),
    ("at any two ends", at_any_two_ends),
    ("by lines", by_lines),
    ("at empty lines", at_empty_lines),
];

/// Splits where the same line end comes twice, as npm's `@google/genai` and `openai` do.
fn at_pairs(stream: &str) -> Vec<Dispatched> {
    split(stream, |rest| {
        let pairs = ["\n\n", "\r\r", "\r\n\r\n"];
        let found = pairs.iter().filter_map(|pair| Some((rest.find(pair)?, pair.len())));
        found.min()
    })
}

/// Splits where two line ends follow each other, whichever they are: `(\r\n|\n|\r){2}`.
fn at_any_two_ends(stream: &str) -> Vec<Dispatched> {
    split(stream, |rest| {
        rest.char_indices().find_map(|(at, _)| {
            let first = line_end_len(&rest[at..])?;
            let second = line_end_len(&rest[at + first..])?;
            Some((at, first + second))
        })
    })
}

/// Reads line by line, as the standard does.
fn by_lines(stream: &str) -> Vec<Dispatched> {
    let reading = naive::read(stream.as_bytes());
    reading.events.into_iter().map(|(name, data, _)| (name, data)).collect()
}

/// Takes each empty line for the end of an event, as OpenAI's client for Python does: unless
/// neither its block has a name, data or a reconnection time nor the stream an id.
fn at_empty_lines(stream: &str) -> Vec<Dispatched> {
    let stream = naive::normalized(stream.strip_prefix('\u{feff}').unwrap_or(stream));
    let (mut dispatched, mut has_id) = (Vec::new(), false);
    let (mut name, mut data, mut has_time) = ("", Vec::new(), false);
    for (line, _) in stream.match_indices('\n').scan(0, |start, (at, _)| {
        let line = &stream[std::mem::replace(start, at + 1)..at];
        Some((line, at))
    }) {
        if line.is_empty() {
            if has_id || has_time || !name.is_empty() || !data.is_empty() {
                dispatched.push((name.to_owned(), data.join("\n")));
            }
            (name, data, has_time) = ("", Vec::new(), false);
        }
        match naive::field(line) {
            ("event", value) => name = value,
            ("data", value) => data.push(value),
            ("id", value) => has_id |= !value.contains('\0'),
            ("retry", value) => has_time |= value.parse::<u64>().is_ok(),
            _ => {}
        }
    }
    dispatched
}

/// Splits at the separators whose place and length `next` finds. If the last piece has no
/// separator, it becomes an event called `incomplete`, because such clients fail on it or read it
/// as an event.
fn split(stream: &str, next: impl Fn(&str) -> Option<(usize, usize)>) -> Vec<Dispatched> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    let (mut rest, mut dispatched) = (stream, Vec::new());
    while let Some((at, len)) = next(rest) {
        dispatched.extend(read_block(&rest[..at]));
        rest = &rest[at + len..];
    }
    if !rest.trim().is_empty() {
        dispatched.push(("incomplete".to_owned(), rest.trim().to_owned()));
    }
    dispatched
}

fn line_end_len(text: &str) -> Option<usize> {
    ["\r\n", "\n", "\r"].iter().find(|end| text.starts_with(**end)).map(|end| end.len())
}

/// Reads the lines of a block, which is an event if one of them is `data`. If the block contains
/// several events that were not split, they become one event with all their data.
fn read_block(block: &str) -> Option<Dispatched> {
    let (mut name, mut data) = ("message", None::<String>);
    let block = block.replace("\r\n", "\n");
    for line in block.split(['\n', '\r']) {
        let (field, value) = naive::field(line);
        match field {
            "event" => name = if value.is_empty() { "message" } else { value },
            "data" => data = Some(data.map_or_else(String::new, |data| data + "\n") + value),
            _ => {}
        }
    }
    data.map(|data| (name.to_owned(), data))
}
