//! A second, naive implementation of the standard: the oracle with which property tests compare the
//! crate's decoder and splitter. It reads a stream as a whole, and shares no code with either.

use std::time::Duration;

use tower_sse::decode::{Decoder, EventRef, Message};

/// An event as a client dispatches it: name, data, last event ID.
pub type Seen = (String, String, String);

/// The place in the stream at which a client is after the bytes so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Place {
    #[default]
    BetweenEvents,
    LineStartInEvent,
    InsideLine,
}

#[derive(Debug, Default, PartialEq)]
pub struct Reading {
    pub events: Vec<Seen>,
    pub last_event_id: String,
    pub retry: Option<u64>,
    pub place: Place,
}

pub fn read(stream: &[u8]) -> Reading {
    let text = String::from_utf8_lossy(stream);
    let text = normalized(text.strip_prefix('\u{feff}').unwrap_or(&text));
    let mut lines: Vec<&str> = text.split('\n').collect();
    let unfinished = lines.pop().unwrap();

    let mut reading = Reading::default();
    let (mut event, mut data, mut id) = (String::new(), String::new(), String::new());
    for line in lines {
        if line.is_empty() {
            reading.last_event_id.clone_from(&id);
            if !data.is_empty() {
                data.pop();
                let name = if event.is_empty() { "message" } else { &event };
                reading.events.push((name.to_owned(), data.clone(), id.clone()));
            }
            event.clear();
            data.clear();
            reading.place = Place::BetweenEvents;
            continue;
        }
        let (field, value) = field(line);
        if !line.starts_with(':') && field != "retry" {
            reading.place = Place::LineStartInEvent;
        }
        match field {
            "data" => data = data + value + "\n",
            "event" => event = value.to_owned(),
            "id" if !value.contains('\0') => id = value.to_owned(),
            "retry" => reading.retry = time(value).or(reading.retry),
            _ => {}
        }
    }
    if !unfinished.is_empty() {
        reading.place = Place::InsideLine;
    }
    reading
}

/// Returns `text` with each line end as LF, as a client decodes it.
pub fn normalized(text: &str) -> String {
    // Replace CRLF first, or its two halves would count as two line ends.
    text.replace("\r\n", "\n").replace('\r', "\n")
}

pub fn field(line: &str) -> (&str, &str) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name, value.strip_prefix(' ').unwrap_or(value))
}

fn time(value: &str) -> Option<u64> {
    let is_number = !value.is_empty() && value.chars().all(|c| c.is_ascii_digit());
    is_number.then(|| value.parse().unwrap_or(u64::MAX))
}

/// Converts a message of the decoder into the oracle's form.
pub fn seen(message: Message) -> Seen {
    (message.event.into_owned(), message.data, message.last_event_id.to_string())
}

pub fn decode<'c>(decoder: &mut Decoder, chunks: impl IntoIterator<Item = &'c [u8]>) -> Vec<Seen> {
    let mut decoded = Vec::new();
    for mut chunk in chunks {
        while let Some(message) = decoder.decode(&mut chunk).unwrap() {
            decoded.push(seen(message));
        }
        assert!(chunk.is_empty(), "a chunk is read to its end");
    }
    decoded
}

#[track_caller]
pub fn assert_decoded(chunks: &[&[u8]]) {
    let expected = read(&chunks.concat());
    let mut decoder = Decoder::new();
    assert_eq!(decode(&mut decoder, chunks.iter().copied()), expected.events, "{chunks:?}");
    assert_eq!(decoder.last_event_id(), expected.last_event_id, "{chunks:?}");
    assert_eq!(decoder.retry(), expected.retry.map(Duration::from_millis), "{chunks:?}");
}

/// An event as a filter sees it: the whole block, with its last line end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    pub raw: Vec<u8>,
    pub name: String,
    pub data: Option<String>,
    pub id: Option<String>,
    pub retry: Option<u64>,
    pub is_terminated: bool,
    /// The length of the block without the empty line at its end.
    pub size: usize,
}

pub fn block(event: EventRef<'_>) -> Block {
    assert_eq!(event.data(), String::from_utf8_lossy(&event.data_bytes()));
    assert!(event.fields().count() > 0, "an event has lines");
    Block {
        raw: event.raw().to_vec(),
        name: event.name().into_owned(),
        data: event.has_data().then(|| event.data().into_owned()),
        id: event.id().map(std::borrow::Cow::into_owned),
        retry: event.retry().map(|time| u64::try_from(time.as_millis()).unwrap()),
        is_terminated: event.is_terminated(),
        size: 0,
    }
}

/// Returns blocks without what may differ between the oracle and the splitter. One is the LF of a
/// last CRLF, which an event of the splitter may not have yet. The other is the size, which only
/// the oracle knows.
pub fn comparable(mut blocks: Vec<Block>) -> Vec<Block> {
    for block in &mut blocks {
        block.size = 0;
        if block.is_terminated && block.raw.ends_with(b"\r\n") {
            block.raw.pop();
        }
    }
    blocks
}

#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Event(Block),
    Line(Vec<u8>),
}

/// Splits `stream` into its blocks and the lines between them. The byte order mark is a line.
pub fn parts(stream: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = stream;
    if let Some(after) = rest.strip_prefix(b"\xef\xbb\xbf") {
        parts.push(Part::Line(rest[..3].to_vec()));
        rest = after;
    }
    let mut block: Vec<Vec<u8>> = Vec::new();
    for line in lines_with_ends(rest) {
        let text: Vec<u8> = line.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
        let is_between =
            text.is_empty() || text[0] == b':' || text == b"retry" || text.starts_with(b"retry:");
        if block.is_empty() && is_between {
            parts.push(Part::Line(line));
        } else if text.is_empty() {
            parts.push(Part::Event(block_of(&block, Some(line))));
            block.clear();
        } else {
            block.push(line);
        }
    }
    if !block.is_empty() {
        parts.push(Part::Event(block_of(&block, None)));
    }
    parts
}

/// Returns the lines of `stream` with their line ends, which the last one may lack.
fn lines_with_ends(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = vec![Vec::new()];
    for (at, byte) in stream.iter().enumerate() {
        lines.last_mut().unwrap().push(*byte);
        if *byte == b'\n' || *byte == b'\r' && stream.get(at + 1) != Some(&b'\n') {
            lines.push(Vec::new());
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

fn block_of(lines: &[Vec<u8>], empty_line: Option<Vec<u8>>) -> Block {
    let mut raw = lines.concat();
    let (size, is_terminated) = (raw.len(), empty_line.is_some());
    raw.extend(empty_line.unwrap_or_default());
    let mut block = Block { raw, is_terminated, size, ..Block::default() };
    for line in lines {
        let line = String::from_utf8_lossy(line);
        let (field, value) = field(line.trim_end_matches(['\r', '\n']));
        match field {
            "event" => block.name = value.to_owned(),
            "data" => {
                let before = block.data.take().map_or_else(String::new, |data| data + "\n");
                block.data = Some(before + value);
            }
            "id" if !value.contains('\0') => block.id = Some(value.to_owned()),
            "retry" => block.retry = time(value).or(block.retry),
            _ => {}
        }
    }
    if block.name.is_empty() {
        block.name = "message".to_owned();
    }
    block
}
