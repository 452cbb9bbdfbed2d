//! What is encoded decodes unchanged, with this crate and with others.

mod support;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use proptest::prelude::*;
use tower_sse::{Decoder, Encoded, Event, EventId, EventName};

use support::naive::{self, Seen};

/// The fields of an event, as a test sets them.
#[derive(Clone, Debug)]
struct Fields {
    comment: Option<String>,
    retry: Option<u64>,
    event: Option<String>,
    id: Option<String>,
    data: Option<String>,
}

/// Generates text rich in special characters.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\r\n".to_owned()),
        Just(" ".to_owned()),
        Just(":".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("data: x".to_owned()),
        Just("id".to_owned()),
        "[a-z]{1,40}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn one_line() -> impl Strategy<Value = String> {
    text().prop_map(|text| text.replace(['\r', '\n', '\0'], ""))
}

fn fields() -> impl Strategy<Value = Fields> {
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

/// Returns what a client must decode from these events.
fn expected(events: &[Fields]) -> Vec<Seen> {
    let mut last_event_id = String::new();
    let mut seen = Vec::new();
    for Fields { event, id, data, .. } in events {
        if let Some(id) = id {
            last_event_id.clone_from(id);
        }
        if let Some(data) = data {
            let name = event.clone().filter(|name| !name.is_empty());
            seen.push((
                name.unwrap_or_else(|| "message".to_owned()),
                data.replace("\r\n", "\n").replace('\r', "\n"),
                last_event_id.clone(),
            ));
        }
    }
    seen
}

fn wire(events: &[Fields]) -> Bytes {
    events.iter().map(Fields::to_event).collect::<Encoded>().into()
}

/// Splits `wire` at places that `cuts` draws.
fn chunks(wire: &Bytes, cuts: &[prop::sample::Index]) -> Vec<Bytes> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
    places.extend([0, wire.len()]);
    places.sort_unstable();
    places.windows(2).map(|window| wire.slice(window[0]..window[1])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_naive_reader_reads_what_was_encoded(events in prop::collection::vec(fields(), 0..6)) {
        let reading = naive::read(&wire(&events));
        prop_assert_eq!(reading.events, expected(&events));
        prop_assert_eq!(reading.place, naive::Place::BetweenEvents);
        let last_retry = events.iter().rev().find_map(|event| event.retry);
        prop_assert_eq!(reading.retry, last_retry);
        let last_id = events.iter().rev().find_map(|event| event.id.clone());
        prop_assert_eq!(reading.last_event_id, last_id.unwrap_or_default());
    }

    #[test]
    fn our_decoder_reads_what_was_encoded(
        events in prop::collection::vec(fields(), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut decoder = Decoder::new();
        let mut seen = Vec::new();
        for mut chunk in chunks(&wire(&events), &cuts) {
            while let Some(message) = decoder.decode(&mut chunk).unwrap() {
                seen.push(naive::seen(message));
            }
        }
        prop_assert_eq!(seen, expected(&events));
    }

    #[test]
    fn the_crate_eventsource_stream_reads_what_was_encoded(
        events in prop::collection::vec(fields(), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let chunks = chunks(&wire(&events), &cuts).into_iter().map(Ok::<_, Infallible>);
        let read: Vec<_> =
            stream::iter(chunks).eventsource().try_collect().now_or_never().unwrap().unwrap();
        let seen: Vec<Seen> = read.into_iter().map(|event| (event.event, event.data, event.id)).collect();
        prop_assert_eq!(seen, expected(&events));
    }

    #[test]
    fn the_crate_sse_stream_reads_what_was_encoded(
        events in prop::collection::vec(fields(), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let chunks = chunks(&wire(&events), &cuts).into_iter().map(Ok::<_, Infallible>);
        let read: Vec<_> = sse_stream::SseStream::from_bytes_stream(stream::iter(chunks))
            .map(Result::unwrap)
            .collect()
            .now_or_never()
            .unwrap();
        let seen: Vec<_> = read
            .into_iter()
            .filter_map(|sse| Some((sse.event.unwrap_or_default(), sse.data?, sse.id)))
            .collect();
        let expected: Vec<_> = events
            .into_iter()
            .filter_map(|Fields { event, id, data, .. }| {
                let data = data?.replace("\r\n", "\n").replace('\r', "\n");
                Some((event.unwrap_or_default(), data, id))
            })
            .collect();
        prop_assert_eq!(seen, expected);
    }
}
