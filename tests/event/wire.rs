//! What events look like on the wire, byte by byte.

use std::error::Error as _;

use super::support::{MILLISECOND, SECOND};
use crate::*;

#[track_caller]
fn assert_wire(event: Event, wire: &str) {
    assert_eq!(str::from_utf8(Encoded::from(event).as_bytes()).unwrap(), wire);
}

#[test]
fn text_of_every_kind_is_data() {
    let (owned, borrowed) = (String::from("hello"), "hello");
    for event in [
        Event::from_static(borrowed),
        Event::from(&*owned),
        Event::from(&owned),
        Event::from(Cow::Borrowed(borrowed)),
        Event::new().data(Box::<str>::from(borrowed)),
        Event::from(owned),
    ] {
        assert_wire(event, "data: hello\n\n");
    }
    assert_wire(Event::new().comment(borrowed), ": hello\n");
}

struct Tick(u8);

impl From<Tick> for Event {
    fn from(Tick(n): Tick) -> Self {
        Self::new().event("tick").data(n.to_string())
    }
}

#[test]
fn type_of_a_program_can_convert_into_an_event() {
    assert_wire(Tick(7).into(), "event: tick\ndata: 7\n\n");
}

#[test]
fn last_value_of_each_field_is_a_line_in_a_fixed_order() {
    let event = Event::new;
    let all = event().data("a\nb").id("7").event("tick").retry(2 * SECOND).comment("why");
    let twice = event().data("a").id(1).event("x").comment("c");
    let twice = twice.data("b").id("2").event("y").comment("d");
    let (long, longer) = ("x".repeat(40), "y".repeat(5000));
    let lines = format!("data: {long}\ndata: {longer}\ndata: {long}\n\n");
    for (event, wire) in [
        (all, ": why\nretry: 2000\nevent: tick\ndata: a\ndata: b\nid: 7\n\n"),
        (twice, ": d\nevent: y\ndata: b\nid: 2\n\n"),
        (event(), ""),
        (event().data(""), "data: \n\n"),
        (event().data("a\nb\rc\r\nd"), "data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (event().data("a\n\rb\r\r\nc"), "data: a\ndata: \ndata: b\ndata: \ndata: c\n\n"),
        (event().data("\na\n"), "data: \ndata: a\ndata: \n\n"),
        (event().data("\r\n"), "data: \ndata: \n\n"),
        (event().data(format!("{long}\r\n{longer}\n{long}")), &lines),
        (event().data("").id(1), "data: \nid: 1\n\n"),
        (event().data(" two: leading"), "data:  two: leading\n\n"),
        (event().event("tick").data("1"), "event: tick\ndata: 1\n\n"),
        (event().event("tick"), "event: tick\n\n"),
        (event().event("").data("1"), "event: \ndata: 1\n\n"),
        (event().id("a"), "id: a\n\n"),
        (event().id(7_usize), "id: 7\n\n"),
        (event().id(u128::MAX), "id: 340282366920938463463374607431768211455\n\n"),
        (event().id(u64::MAX), "id: 18446744073709551615\n\n"),
        (event().id(-42), "id: -42\n\n"),
        (event().id(i64::MIN), "id: -9223372036854775808\n\n"),
        (event().id(i128::MIN), "id: -170141183460469231731687303715884105728\n\n"),
        (event().id(""), "id: \n\n"),
        (event().comment("ping"), ": ping\n"),
        (event().comment(""), ": \n"),
        (event().comment("a\r\nb"), ": a\n: b\n"),
        (event().retry(Duration::from_millis(1500)), "retry: 1500\n"),
        (event().comment("ping").retry(Duration::from_secs(1)), ": ping\nretry: 1000\n"),
        (event().retry(Duration::ZERO), "retry: 0\n"),
        (event().retry(Duration::from_nanos(1_999_999)), "retry: 1\n"),
        (event().retry(Duration::MAX), "retry: 18446744073709551615\n"),
    ] {
        assert_wire(event, wire);
    }
}

/// Some clients take the id of an event that was cut short. With that id, they would resume after
/// the event and miss the rest of it.
#[test]
fn id_is_the_last_line_of_every_event() {
    let event = || Event::new().id(7).event("tick").retry(SECOND).comment("why").data("a\nb");
    let shared: Encoded = [event(), event()].into_iter().collect();
    for wire in [event().into(), shared, Encoded::from(Event::new().id(7).data(""))] {
        for block in str::from_utf8(wire.as_bytes()).unwrap().split_inclusive("\n\n") {
            assert!(block.ends_with("\nid: 7\n\n"), "{block:?}");
        }
    }
}

#[test]
fn events_are_equal_if_their_bytes_are() {
    assert_eq!(Event::new().id(7).data("a\nb"), Event::new().id("7").data("a\r\nb"));
    assert_eq!(Event::new().retry(Duration::from_micros(1_500)), Event::new().retry(MILLISECOND));
    assert_eq!(Event::from_static("a"), Event::from(String::from("a")));

    assert_ne!(Event::new(), Event::from(""));
    assert_ne!(Event::new().event("").data("a"), Event::from("a"));
    assert_ne!(Event::new().id(7).data("a"), Event::new().id(7).data("b"));
}

#[test]
fn several_events_can_be_encoded_as_one() {
    let events: Encoded =
        [Event::from("a"), Event::new(), Event::new().id(2).data("b")].into_iter().collect();
    assert_eq!(AsRef::<[u8]>::as_ref(&events), b"data: a\n\ndata: b\nid: 2\n\n");
    assert_eq!(Bytes::from(events), "data: a\n\ndata: b\nid: 2\n\n");
}

#[test]
fn no_run_time_text_can_forge_a_field() {
    for (text, what) in [
        ("\n", r"'\n' at byte 0"),
        ("7\r", r"'\r' at byte 1"),
        ("ab\0c", r"'\0' at byte 2"),
        ("ü\ndata: x", r"'\n' at byte 2"),
    ] {
        let name = EventName::try_from(text).unwrap_err();
        assert_eq!(name.to_string(), format!("event name contains {what}"));
        let id = EventId::try_from(text.to_owned()).unwrap_err();
        assert_eq!(id.to_string(), format!("event id contains {what}"));
        assert!(name.source().is_none());
        assert_eq!(Event::new().try_event(text).unwrap_err(), name);
        assert_eq!(Event::new().try_id(text).unwrap_err(), id);
    }
}

#[test]
fn run_time_names_and_ids_are_written_unchanged() -> Result<(), tower_sse::event::InvalidField> {
    let (name, id) = (EventName::try_from(String::from(" ü: "))?, EventId::try_from("épée")?);
    assert_eq!((name.as_str(), id.as_str()), (" ü: ", "épée"));
    assert_eq!((name.as_ref(), id.as_ref()), (" ü: ", "épée"));
    assert_eq!((&*name.to_string(), &*id.to_string()), (" ü: ", "épée"));
    let event = Event::new().event(name).id(id);
    let name = String::from(" ü: ");
    assert_eq!(Event::new().try_event(&name)?.try_id("épée")?, event);
    assert_wire(event, "event:  ü: \nid: épée\n\n");
    Ok(())
}

#[test]
#[should_panic(expected = "an event's name cannot contain a line break or NUL")]
fn literal_name_with_a_line_break_panics() {
    let _ = Event::new().event("a\nb");
}

#[test]
#[should_panic(expected = "an event's id cannot contain a line break or NUL")]
fn literal_id_with_a_nul_panics() {
    let _ = Event::new().id("a\0b");
}

#[cfg(feature = "json")]
mod json {
    use serde::{Serialize, Serializer, ser::Error as _};
    use serde_json::{json, value::RawValue};
    use tower_sse::{Event, Json, event::Encoded};

    use super::{MILLISECOND, assert_wire};

    struct Unserialisable;

    impl Serialize for Unserialisable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("no"))
        }
    }

    #[track_caller]
    fn assert_json_wire<T: Serialize>(event: Json<T>, wire: &str) {
        assert_eq!(str::from_utf8(Encoded::try_new(event).unwrap().as_bytes()).unwrap(), wire);
    }

    #[test]
    fn json_is_the_data_of_an_event() {
        assert_json_wire(Json::new(json!({"a": [1, "b\nc"]})), "data: {\"a\":[1,\"b\\nc\"]}\n\n");
        assert_json_wire(Event::new().event("n").id(7).json(1), "event: n\ndata: 1\nid: 7\n\n");
        assert_json_wire(Event::new().id("x").json(""), "data: \"\"\nid: x\n\n");
        let replaced = Event::from("a").retry(MILLISECOND).comment("c").json(1);
        assert_json_wire(replaced, ": c\nretry: 1\ndata: 1\n\n");
        assert_wire(Event::new().id(7).json_data(&[1, 2]).unwrap(), "data: [1,2]\nid: 7\n\n");
        assert_wire(Event::new().id(7).json([1, 2]).try_into().unwrap(), "data: [1,2]\nid: 7\n\n");
    }

    #[test]
    fn run_time_text_names_json_too() -> Result<(), tower_sse::event::InvalidField> {
        let named = Event::new().try_event("n")?.try_id("x")?;
        assert_json_wire(named.json(1), "event: n\ndata: 1\nid: x\n\n");
        Ok(())
    }

    #[test]
    fn raw_json_with_line_breaks_stays_in_its_field() {
        let raw = RawValue::from_string("{\r\n\"a\":\n1,\r\"b\":2}".to_owned()).unwrap();
        assert_json_wire(Json::new(&raw), "data: {\ndata: \"a\":\ndata: 1,\ndata: \"b\":2}\n\n");
        assert_json_wire(
            Event::new().id(1).json([&raw]),
            "data: [{\ndata: \"a\":\ndata: 1,\ndata: \"b\":2}]\nid: 1\n\n",
        );
        assert_wire(
            Event::new().json_data(&raw).unwrap(),
            "data: {\ndata: \"a\":\ndata: 1,\ndata: \"b\":2}\n\n",
        );
    }

    /// Python's `splitlines` and some clients end a line at each of these characters.
    #[test]
    fn json_escapes_the_line_ends_of_unicode() {
        let text = "a\u{85}b\u{2028}\u{2029}ü\u{2027}\u{202a}€\u{84}";
        let escaped = "a\\u0085b\\u2028\\u2029ü\u{2027}\u{202a}€\u{84}";
        let raw = RawValue::from_string(format!("{{\"{text}\":\"{text}\"}}")).unwrap();
        let wire = format!("data: [\"{escaped}\",{{\"{escaped}\":\"{escaped}\"}}]\nid: 1\n\n");
        let value = (text, &raw);
        assert_json_wire(Event::new().id(1).json(value), &wire);
        assert_wire(Event::new().id(1).json_data(&value).unwrap(), &wire);
        assert_wire(Event::new().id(1).json(value).try_into().unwrap(), &wire);
        let read: (String, serde_json::Value) =
            serde_json::from_str(wire.lines().next().unwrap().strip_prefix("data: ").unwrap())
                .unwrap();
        assert_eq!((&*read.0, read.1[text].as_str()), (text, Some(text)));
        for (alone, escaped) in
            [("\u{85}", "\\u0085"), ("\u{2028}", "\\u2028"), ("\u{2029}", "\\u2029")]
        {
            assert_json_wire(Json::new(alone), &format!("data: \"{escaped}\"\n\n"));
        }
        // Data that is not JSON is sent unchanged.
        assert_wire(Event::from(text), &format!("data: {text}\n\n"));
    }

    #[test]
    fn value_that_fails_to_serialize_is_an_error() {
        assert_eq!(Encoded::try_new(Json::new(Unserialisable)).unwrap_err().to_string(), "no");
        assert_eq!(Event::new().json_data(&Unserialisable).unwrap_err().to_string(), "no");
    }
}
