//! Encoded events decode unchanged, with this crate and with other crates.

use eventsource_stream::Eventsource;
use proptest::prelude::*;

use crate::naive::{Place, Reading, Seen, normalized};
use crate::{cuts::ranges, *};

#[derive(Clone, Debug)]
pub(crate) struct Fields {
    pub(crate) comment: Option<String>,
    pub(crate) retry: Option<u64>,
    pub(crate) event: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) data: Option<String>,
}

fn text() -> impl Strategy<Value = String> {
    let special =
        prop::sample::select(vec!["\n", "\r", "\r\n", "\0", " ", ":", "\u{feff}", "data: x", "id"]);
    let piece = prop_oneof![
        8 => special.prop_map(str::to_owned),
        1 => "[a-z]{1,40}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn one_line() -> impl Strategy<Value = String> {
    text().prop_map(|text| text.replace(['\r', '\n', '\0'], ""))
}

pub(crate) fn fields() -> impl Strategy<Value = Fields> {
    (
        prop::option::weighted(0.2, text()),
        prop::option::weighted(0.2, any::<u64>()),
        prop::option::of(one_line()),
        prop::option::of(one_line()),
        prop::option::weighted(0.8, text()),
    )
        .prop_map(|(comment, retry, event, id, data)| Fields {
            comment,
            retry,
            event,
            id,
            data,
        })
}

impl Fields {
    fn to_event(&self) -> Event {
        let mut event = Event::new();
        if let Some(text) = &self.comment {
            event = event.comment(text.clone());
        }
        if let Some(milliseconds) = self.retry {
            event = event.retry(Duration::from_millis(milliseconds));
        }
        if let Some(name) = &self.event {
            event = event.event(EventName::try_from(name.as_str()).unwrap());
        }
        if let Some(id) = &self.id {
            event = event.id(EventId::try_from(id.as_str()).unwrap());
        }
        if let Some(data) = &self.data {
            event = event.data(data.clone());
        }
        event
    }
}

fn expected(events: &[Fields]) -> Vec<Seen> {
    let mut last_event_id = String::new();
    let mut seen = Vec::new();
    for Fields { event, id, data, .. } in events {
        if let Some(id) = id {
            last_event_id.clone_from(id);
        }
        if let Some(data) = data {
            let name = event.clone().unwrap_or_default();
            seen.push((dispatched(name), normalized(data), last_event_id.clone()));
        }
    }
    seen
}

fn dispatched(name: String) -> String {
    if name.is_empty() { "message".to_owned() } else { name }
}

fn wire(events: &[Fields]) -> Bytes {
    events.iter().map(Fields::to_event).collect::<Encoded>().into()
}

/// Decodes `wire` and encodes the messages again, as a proxy does.
fn sent_on(mut wire: Bytes) -> Bytes {
    let mut decoder = Decoder::new();
    std::iter::from_fn(|| decoder.decode(&mut wire).unwrap())
        .map(Event::from)
        .collect::<Encoded>()
        .into()
}

fn forbidden(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\0')
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoders_read_what_was_encoded(
        events in prop::collection::vec(fields(), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let wire = wire(&events);
        let chunks = || {
            let chunks = ranges(wire.len(), &cuts).into_iter().map(|range| wire.slice(range));
            stream::iter(chunks.map(Ok::<_, Infallible>))
        };
        let last_id = events.iter().rev().find_map(|event| event.id.clone());
        let reading = Reading {
            events: expected(&events),
            last_event_id: last_id.unwrap_or_default(),
            retry: events.iter().rev().find_map(|event| event.retry),
            place: Place::BetweenEvents,
        };
        prop_assert_eq!(naive::read(&wire), reading);

        let seen = naive::decode(&mut Decoder::new(), cut(&wire, &cuts));
        prop_assert_eq!(seen, expected(&events), "our decoder");

        let read: Vec<_> = chunks().eventsource().try_collect().now_or_never().unwrap().unwrap();
        let seen: Vec<Seen> = read.into_iter().map(|event| (event.event, event.data, event.id)).collect();
        prop_assert_eq!(seen, expected(&events), "eventsource-stream");

        let read = sse_stream::SseStream::from_bytes_stream(chunks());
        let read: Vec<_> = read.try_collect().now_or_never().unwrap().unwrap();
        let seen: Vec<_> = read
            .into_iter()
            .filter_map(|sse| Some((sse.event.unwrap_or_default(), sse.data?, sse.id)))
            .collect();
        let expected: Vec<_> = events
            .into_iter()
            .filter_map(|Fields { event, id, data, .. }| {
                Some((event.unwrap_or_default(), normalized(&data?), id))
            })
            .collect();
        prop_assert_eq!(seen, expected, "sse-stream");
    }

    #[test]
    fn naive_reader_reads_the_same_from_messages_that_are_sent_on(
        events in prop::collection::vec(fields(), 0..6),
    ) {
        let original = naive::read(&wire(&events));
        let copy = naive::read(&sent_on(wire(&events)));
        prop_assert_eq!(&copy.events, &original.events);
        prop_assert_eq!(copy.place, Place::BetweenEvents);
        // An `id` or `retry` line behind the last message is not sent on.
        let last_message = events.iter().rposition(|event| event.data.is_some());
        let up_to_last = &events[..last_message.map_or(0, |last| last + 1)];
        let original = naive::read(&wire(up_to_last));
        prop_assert_eq!(copy.last_event_id, original.last_event_id);
        prop_assert_eq!(copy.retry, original.retry);
    }

    #[test]
    fn text_of_a_message_forges_no_field(
        (event, data, id) in (text(), text(), text()),
        retry in prop::option::of(any::<u64>()),
    ) {
        prop_assert_eq!(EventName::try_from(&*event).is_ok(), !event.contains(forbidden));
        prop_assert_eq!(EventId::try_from(&*id).is_ok(), !id.contains(forbidden));
        let mut message = Message::new(data.clone());
        message.event = event.clone().into();
        message.last_event_id = id.clone().into();
        message.retry = retry.map(Duration::from_millis);
        // An event with an id comes first, to see whether the message keeps, replaces or clears the
        // id.
        let before = Event::new().id(7).data("");
        let wire: Bytes = [before, Event::from(message)].into_iter().collect::<Encoded>().into();
        let reading = naive::read(&wire);
        let name = event.replace(forbidden, "\u{fffd}");
        let id = if id.contains(forbidden) { "7".to_owned() } else { id };
        prop_assert_eq!(reading.events.len(), 2);
        prop_assert_eq!(&reading.events[1], &(dispatched(name), normalized(&data), id));
        prop_assert_eq!(reading.retry, retry);
        prop_assert_eq!(reading.place, Place::BetweenEvents);
    }
}

#[test]
fn message_without_its_id_has_none_even_if_the_stream_cleared_it() {
    for wire in [&b"id: 1\ndata: a\n\n"[..], b"id\ndata: a\n\n", b"data: a\n\n"] {
        let mut message = Decoder::new().decode(&mut &wire[..]).unwrap().unwrap();
        message.last_event_id = MessageId::default();
        assert_eq!(message, Message::new("a"));
        assert_eq!(Event::from(message), Event::from("a"));
    }
}

#[test]
fn created_message_equals_the_decoded_one() {
    let mut wire = &b"retry: 5\nid: 1\nevent: e\ndata: a\n\nid:\ndata: b\n\n"[..];
    let mut decoder = Decoder::new();
    let mut next = || decoder.decode(&mut wire).unwrap().unwrap();
    let retry = Duration::from_millis(5);
    let mut first = Message::new("a");
    (first.event, first.last_event_id, first.retry) = ("e".into(), "1".into(), Some(retry));
    assert_eq!(next(), first);
    let (mut cleared, second) = (Message::new("b"), next());
    assert_ne!(second, cleared, "the stream cleared the id");
    cleared.last_event_id = "".into();
    assert_eq!(second, cleared);
}
