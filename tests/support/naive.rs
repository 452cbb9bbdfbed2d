//! A second, naive implementation of the standard: the oracle of the property tests. It reads a
//! stream as a whole and shares nothing with the decoder of the crate.

use tower_sse::Message;

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
    (message.event, message.data, message.last_event_id.to_string())
}
