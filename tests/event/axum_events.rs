//! Events of axum's `Sse` become this crate's events.

use axum::response::{IntoResponse, sse};
use http_body_util::BodyExt;
use proptest::prelude::*;

use crate::roundtrip::{Fields, fields};
use crate::*;

/// Creates axum's event, which panics at a comment of several lines.
fn axum_event(fields: &Fields) -> sse::Event {
    let mut event = sse::Event::default();
    if let Some(text) = &fields.comment {
        event = event.comment(text.replace(['\r', '\n'], ""));
    }
    if let Some(milliseconds) = fields.retry {
        event = event.retry(Duration::from_millis(milliseconds));
    }
    if let Some(name) = &fields.event {
        event = event.event(name);
    }
    if let Some(id) = &fields.id {
        event = event.id(id);
    }
    if let Some(data) = &fields.data {
        event = event.data(data);
    }
    event
}

/// Returns the lines of an event in any order, without the space behind the field's name.
fn lines(bytes: &[u8]) -> Vec<String> {
    let text = str::from_utf8(bytes).unwrap();
    let mut lines: Vec<_> = text
        .split(['\n', '\r'])
        .filter(|line| !line.is_empty())
        .map(|line| line.replacen(": ", ":", usize::from(line.find(": ") == line.find(':'))))
        .collect();
    lines.sort();
    lines
}

proptest! {
    #[test]
    fn axum_event_keeps_its_lines(fields in fields()) {
        let sent = stream::iter([Ok::<_, Infallible>(axum_event(&fields))]);
        let body = sse::Sse::new(sent).into_response().into_body();
        let sent = body.collect().now_or_never().unwrap().unwrap().to_bytes();
        let converted = Encoded::from(Event::from(axum_event(&fields)));
        prop_assert_eq!(lines(converted.as_bytes()), lines(&sent));
    }
}

#[test]
fn texts_become_data() {
    let expected = Event::new().data("x");
    let owned = "x".to_owned();
    let events: [Event; 6] = [
        (&owned).into(),
        "x".into(),
        'x'.into(),
        Box::<str>::from("x").into(),
        Cow::Borrowed("x").into(),
        owned.into(),
    ];
    assert!(events.iter().all(|event| *event == expected));
}
