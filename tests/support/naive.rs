//! A second, naive implementation of the standard: the oracle of the property tests. It reads a
//! stream as a whole and shares nothing with the decoder of the crate.

use tower_sse::decode::Message;

/// An event as a client dispatches it: name, data, last event ID.
pub type Seen = (String, String, String);

/// The state of a client after the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    BetweenEvents,
    LineStartInEvent,
    InsideLine,
}

#[derive(Debug, PartialEq)]
pub struct Reading {
    pub events: Vec<Seen>,
    pub last_event_id: String,
    pub retry: Option<u64>,
    pub place: Place,
}

/// Reads `stream` from its first byte to its last.
pub fn read(stream: &[u8]) -> Reading {
    let text = String::from_utf8_lossy(stream);
    let mut text = text.as_ref();
    if text.starts_with('\u{feff}') {
        text = &text['\u{feff}'.len_utf8()..];
    }
    // CRLF first, or its two halves would count as two line ends.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    let unfinished = lines.pop().unwrap();

    let mut reading = Reading {
        events: vec![],
        last_event_id: String::new(),
        retry: None,
        place: Place::BetweenEvents,
    };
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
        let (field, value) = match line.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (line, ""),
        };
        if !line.starts_with(':') && field != "retry" {
            reading.place = Place::LineStartInEvent;
        }
        match field {
            "data" => data = data + value + "\n",
            "event" => event = value.to_owned(),
            "id" if !value.contains('\0') => id = value.to_owned(),
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                reading.retry = Some(value.parse().unwrap_or(u64::MAX));
            }
            _ => {}
        }
    }
    if !unfinished.is_empty() {
        reading.place = Place::InsideLine;
    }
    reading
}

/// Converts a message of the decoder into the oracle's form.
pub fn seen(message: Message) -> Seen {
    (message.event.into_owned(), message.data, message.last_event_id.to_string())
}

/// An event as a filter sees it: the whole block, with its last line end.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    pub raw: Vec<u8>,
    pub name: String,
    pub data: Option<String>,
    pub id: Option<String>,
    pub retry: Option<u64>,
    pub is_terminated: bool,
    /// The length of its lines without the empty one.
    pub size: usize,
}

/// A part of a stream: a block, or a line between blocks.
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
    let raw = lines.concat();
    let size = raw.len();
    let is_terminated = empty_line.is_some();
    let mut block = Block {
        raw: [raw, empty_line.unwrap_or_default()].concat(),
        name: String::new(),
        data: None,
        id: None,
        retry: None,
        is_terminated,
        size,
    };
    for line in lines {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\r', '\n']);
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "event" => block.name = value,
            "data" => {
                block.data = Some(match block.data.take() {
                    Some(data) => data + "\n" + &value,
                    None => value,
                });
            }
            "id" if !value.contains('\0') => block.id = Some(value),
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                block.retry = Some(value.parse().unwrap_or(u64::MAX));
            }
            _ => {}
        }
    }
    if block.name.is_empty() {
        block.name = "message".to_owned();
    }
    block
}
