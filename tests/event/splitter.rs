//! However a stream is cut, its pieces together are the stream, and its events are those that the
//! standard defines.

use proptest::prelude::*;

use crate::naive::{Block, Part};
use crate::*;

#[derive(Default)]
struct Split {
    events: Vec<Block>,
    whole: Vec<u8>,
    is_too_large: bool,
}

impl Split {
    fn add(&mut self, piece: Piece<'_>) {
        self.whole.extend_from_slice(piece.as_bytes());
        match piece {
            Piece::Event(event) => self.events.push(naive::block(event)),
            Piece::Between(bytes) | Piece::Comment(bytes) => {
                assert!(!bytes.is_empty(), "no piece is empty");
            }
            other => panic!("{other:?}"),
        }
    }
}

fn split(chunks: &[&[u8]], limit: usize) -> Split {
    let mut splitter = EventSplitter::new().max_event_size(limit);
    let mut split = Split::default();
    for chunk in chunks {
        let mut input = *chunk;
        loop {
            match splitter.next(&mut input) {
                Ok(Some(piece)) => split.add(piece),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(splitter.next(&mut &b""[..]).unwrap_err(), error, "it is final");
                    split.is_too_large = true;
                    return split;
                }
            }
        }
        assert!(input.is_empty(), "a chunk is read to its end");
    }
    while let Some(piece) = splitter.finish() {
        split.add(piece);
    }
    split
}

#[track_caller]
fn assert_split_as_by_the_oracle(chunks: &[&[u8]], limit: usize) {
    let stream = chunks.concat();
    let split = split(chunks, limit);
    let (mut events, mut is_too_large) = (Vec::new(), false);
    for part in naive::parts(&stream) {
        match part {
            Part::Event(block) if block.size <= limit => events.push(block),
            Part::Event(_) => is_too_large = true,
            // The LF of a CRLF does not count: the line has ended with its CR.
            Part::Line(line) => {
                let len = line.strip_suffix(b"\r\n").map_or(line.len(), |line| line.len() + 1);
                is_too_large = line[0] == b'r' && len > limit;
            }
        }
        if is_too_large {
            break;
        }
    }
    assert_eq!(naive::comparable(split.events), naive::comparable(events), "{chunks:?}");
    assert_eq!(split.is_too_large, is_too_large, "{chunks:?}");
    assert!(stream.starts_with(&split.whole), "{chunks:?}");
    assert!(is_too_large || split.whole == stream, "{chunks:?}");
}

pub(crate) const STREAMS: &[&[u8]] = &[
    b"data: a\n\n",
    b"\xef\xbb\xbfdata: a\r\n\r\ndata: b\r\rdata: c\n\n",
    b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n",
    b"\xef\xbbdata: a\n\n",
    b"\n\r\n\rdata\n\ndata:\n\ndata: \n\ndata:  x\n\n",
    b"event: tick\nid: 1\ndata: a\n: c\ndata: b\nretry: 5\n\ndata: c\n\n",
    b"retry: 5\r\nretry\nretryx: 1\n\nretry:5\n\ndata: a\n\nret\n\nrex",
    b":\n: comment\r\n:\rdata: a\n:retry: 1\n\n:retry: 1\n",
    b"data: never ended\n",
    b"data: a\n\nretry",
    b"data: a\n\nretr",
    b"data: a\n\nretry: 1",
    b"data: a\n\n: c",
    b"\xef\xbb",
    b"data: \xff\xc3\n\ndata: \xe2\x82\xac \xe2\x82\n\n",
    b"id: 7\n\ndata: a\n\nid\n\ndata: b\n\nid: \0\ndata: c\n\n",
    b"retry: 12\nretry: x\nretry: -1\nretry:\ndata: a\n\nretry:7\n: c\n",
    b"data: a\nretry: 5\nretry: x\n\n",
    b"retry: 99999999999999999999999\ndata: a\n\n",
    b"event: tick\n\ndata: a\n\n",
    b"DATA: a\n data: b\ndata : c\nfoo: d\n\n",
    // Lines that begin like `retry`.
    b"rx: 1\r\n",
    b"retry",
    b"retr",
    b"retryy\n\n",
    b"retry\r\nretr\n\nretry:\n",
    b"re\nretry: 5\n\n",
];

#[test]
fn streams_split_the_same_under_every_cutting() {
    for stream in STREAMS {
        // Up to two bytes that may be a byte order mark are kept whatever the limit is.
        let least = if stream.starts_with(b"\xef") { 3 } else { 1 };
        for limit in (least..=8).chain([usize::MAX]) {
            for pieces in cuttings(stream) {
                assert_split_as_by_the_oracle(&pieces, limit);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_split_as_the_oracle_splits_them(
        stream in special_bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        limit in prop_oneof![Just(usize::MAX), 3..40_usize],
    ) {
        assert_split_as_by_the_oracle(&cut(&stream, &cuts), limit);
        let bytes: Vec<_> = stream.chunks(1).collect();
        assert_split_as_by_the_oracle(&bytes, limit);
    }

    #[test]
    fn with_data_keeps_every_other_line(
        stream in special_bytes(),
        data in "[a\r\n]{0,6}",
    ) {
        for event in split(&[&stream], usize::MAX).events {
            assert_redacted(&event.raw, &data);
        }
    }
}

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// Calls `read` with the event in `raw`, which need not be terminated.
fn with_event<T>(raw: &[u8], read: impl FnOnce(EventRef<'_>) -> T) -> T {
    // Behind a first event, the bytes of a byte order mark are not taken for one.
    let stream = [b"x\n\n", raw].concat();
    let (mut splitter, mut input) = (EventSplitter::new(), &stream[..]);
    splitter.next(&mut input).unwrap().unwrap();
    if let Some(Piece::Event(event)) = splitter.next(&mut input).unwrap() {
        assert!(input.is_empty(), "one event: {raw:?}");
        return read(event);
    }
    match splitter.finish() {
        Some(Piece::Event(event)) => read(event),
        other => panic!("no event: {other:?}"),
    }
}

fn other_lines(event: EventRef<'_>) -> Lines {
    let others = event.fields().filter(|(name, _)| *name != b"data");
    others.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

#[track_caller]
fn assert_redacted(raw: &[u8], data: &str) {
    let (redacted, copy, others) =
        with_event(raw, |event| (event.with_data(data), event.to_encoded(), other_lines(event)));
    let joined = data.replace("\r\n", "\n").replace('\r', "\n");
    with_event(redacted.as_bytes(), |event| {
        assert!(event.is_terminated(), "{raw:?}");
        assert_eq!(event.data(), joined, "{raw:?}");
        assert_eq!(other_lines(event), others, "{raw:?}");
    });
    with_event(copy.as_bytes(), |event| {
        assert!(event.is_terminated() && event.raw().starts_with(raw), "{raw:?}");
    });
}

#[test]
fn removed_data_line_does_not_join_line_end_and_empty_line() {
    assert_redacted(b"id: 1\rdata: a\n\n", "b");
    assert_redacted(b"data: a\nid: 1\rdata: b\n\n", "c");
    assert_redacted(b"id: 1\r\n\r\n", "c");
    assert_redacted(b"id: 1", "c");
}

/// Some clients split a stream only where the same line end comes twice.
#[test]
fn changed_event_keeps_its_line_ends() {
    for end in ["\n", "\r\n", "\r"] {
        let of = |text: &str| text.replace('\n', end);
        let changed = |raw: &str, data: &str| {
            let raw = of(raw);
            with_event(raw.as_bytes(), |event| {
                assert_eq!(event.to_encoded().as_bytes(), raw.as_bytes());
                String::from_utf8(event.with_data(data).as_bytes().to_vec()).unwrap()
            })
        };
        for (raw, data, expected) in [
            ("data: a\n\n", "b", "data: b\n\n"),
            ("id: 7\ndata: a\nx: 1\n\n", "b", "id: 7\ndata: b\nx: 1\n\n"),
            ("data: a\n\n", "b\nc", "data: b\ndata: c\n\n"),
            ("data: a\ndata: b\n\n", "c\nd", "data: c\ndata: d\n\n"),
            ("id: 7\n\n", "b\nc", "id: 7\ndata: b\ndata: c\n\n"),
            ("data\n\n", "b", "data: b\n\n"),
        ] {
            assert_eq!(changed(raw, data), of(expected), "{raw:?} with {end:?}");
        }
    }
}

#[test]
fn copy_and_change_do_not_depend_on_the_last_line_feed() {
    for raw in
        ["data: a\r\n\r", "id: 7\r\ndata: a\r\n\r", "data: a\r\ndata: b\r\n\r", "id: 7\r\n\r"]
    {
        let whole = format!("{raw}\n");
        let of = |raw: &str| {
            with_event(raw.as_bytes(), |event| {
                [event.to_encoded(), event.with_data("b"), event.with_data("b\nc")]
            })
        };
        assert_eq!(of(raw)[0].as_bytes(), whole.as_bytes());
        assert_eq!(of(raw), of(&whole), "{raw:?}");
    }
}

#[test]
fn event_that_breaks_off_becomes_whole_with_its_line_ends() {
    for (raw, copy, changed) in [
        ("data: a", "data: a\n\n", "data: b\n\n"),
        ("id: 7\r\ndata: a", "id: 7\r\ndata: a\r\n\r\n", "id: 7\r\ndata: b\r\n\r\n"),
        ("data: a\r\nid: 7", "data: a\r\nid: 7\r\n\r\n", "data: b\r\nid: 7\r\n\r\n"),
        ("data: a\rid: 7", "data: a\rid: 7\r\r", "data: b\rid: 7\r\r"),
        ("id: 7\rdata: a\r", "id: 7\rdata: a\r\r", "id: 7\rdata: b\r\r"),
    ] {
        with_event(raw.as_bytes(), |event| {
            assert_eq!(event.to_encoded().as_bytes(), copy.as_bytes(), "{raw:?}");
            assert_eq!(event.with_data("b").as_bytes(), changed.as_bytes(), "{raw:?}");
        });
    }
}

#[test]
fn splitter_of_a_new_stream_keeps_no_field_of_the_previous_one() {
    let mut splitter = EventSplitter::new();
    let mut first = &b"id: 7\nevent: a\ndata: x\n\n"[..];
    while !first.is_empty() {
        splitter.next(&mut first).unwrap();
    }
    assert!(splitter.finish().is_none());
    // The first character begins like a byte order mark.
    let mut second = "：\ndata: y\n\n".as_bytes();
    let Some(Piece::Event(event)) = splitter.next(&mut second).unwrap() else { panic!("no event") };
    let event = naive::block(event);
    assert_eq!((&*event.name, event.data.as_deref(), event.id), ("message", Some("y"), None));
    assert!(splitter.finish().is_none());
    // A stream that is only a part of a byte order mark.
    assert!(splitter.next(&mut &b"\xEF\xBB"[..]).unwrap().is_none());
    let Some(Piece::Event(event)) = splitter.finish() else { panic!("no event") };
    assert!(!event.is_terminated() && !event.has_data());
}
