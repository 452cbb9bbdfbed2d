//! The decoder follows the standard, however the stream is split.

use proptest::prelude::*;

use super::support::naive::Seen;
use crate::*;

/// Returns everything that `decoder` decodes from `chunks`.
pub(crate) fn decode<'c>(
    decoder: &mut Decoder,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Vec<Seen> {
    let mut seen = Vec::new();
    for mut chunk in chunks {
        while let Some(message) = decoder.decode(&mut chunk).unwrap() {
            seen.push(naive::seen(message));
        }
        assert!(chunk.is_empty(), "a chunk is read to its end");
    }
    seen
}

#[track_caller]
fn assert_read_as_by_the_oracle(chunks: &[&[u8]]) {
    let expected = naive::read(&chunks.concat());
    let mut decoder = Decoder::new();
    assert_eq!(decode(&mut decoder, chunks.iter().copied()), expected.events, "{chunks:?}");
    assert_eq!(decoder.last_event_id(), expected.last_event_id, "{chunks:?}");
    assert_eq!(decoder.retry(), expected.retry.map(Duration::from_millis), "{chunks:?}");
}

const STREAMS: &[&[u8]] = &[
    b"data: a\n\n",
    b"\xef\xbb\xbfdata: a\r\n\r\ndata: b\r\rdata: c\n\n",
    b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n",
    b"\n\r\n\rdata\n\ndata:\n\ndata: \n\ndata:  x\n\n",
    b"event: tick\nid: 1\ndata: a\ndata: b\n\ndata: c\n\n",
    b"id: 7\n\ndata: a\n\nid\n\ndata: b\n\nid: \0\ndata: c\n\n",
    b"retry: 12\nretry: x\nretry: -1\nretry:\ndata: a\n\nretry:7\n: c\n",
    b"retry: 99999999999999999999999\ndata: a\n\n",
    b"event: tick\n\ndata: a\n\n",
    b": comment\n:\ndata: a\n: b\ndata: c\n\n",
    b"data: \xff\xc3\n\ndata: \xe2\x82\xac \xe2\x82\n\n",
    b"DATA: a\n data: b\ndata : c\nfoo: d\n\n",
    b"data: never ended\n",
];

#[test]
fn streams_decode_the_same_under_every_split() {
    for stream in STREAMS {
        assert_read_as_by_the_oracle(&[stream]);
        let bytes: Vec<_> = stream.chunks(1).collect();
        assert_read_as_by_the_oracle(&bytes);
        for first in 0..=stream.len() {
            let (head, tail) = stream.split_at(first);
            for second in 0..=tail.len() {
                let (middle, tail) = tail.split_at(second);
                assert_read_as_by_the_oracle(&[head, middle, tail]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_decode_as_the_oracle_decodes_them(
        stream in special_bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        assert_read_as_by_the_oracle(&cut(&stream, &cuts));
    }
}

#[test]
fn buffer_in_pieces_is_one_stream() {
    let mut input = (&b"data: a\r"[..]).chain(&b"\n\r\ndata: b\n"[..]).chain(&b"\n"[..]);
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(&mut input).unwrap().unwrap().data, "a");
    assert_eq!(decoder.decode(&mut input).unwrap().unwrap().data, "b");
    assert_eq!(decoder.decode(&mut input).unwrap(), None);
}

#[test]
fn retry_is_reported_with_the_next_message() {
    let mut decoder = Decoder::new();
    let mut input = &b"retry: 10\n\nretry: 20\n: c\ndata: a\n\ndata: b\n\nretry: 30\n"[..];
    let retries: Vec<_> = std::iter::from_fn(|| decoder.decode(&mut input).unwrap())
        .map(|message| message.retry.map(|retry| retry.as_millis()))
        .collect();
    assert_eq!(retries, [Some(20), None]);
    assert_eq!(decoder.retry(), Some(Duration::from_millis(30)));
}

#[test]
fn endless_event_is_an_error_at_the_limit() {
    let mut decoder = Decoder::new();
    let line = [b"data: ".to_vec(), vec![b'x'; 1000], b"\n".to_vec()].concat();
    let mut taken = 0;
    let error = loop {
        match decoder.decode(&mut &line[..]) {
            Ok(message) => assert_eq!(message, None),
            Err(error) => break error,
        }
        taken += line.len();
        assert!(taken < 2 << 20, "the limit is 1 MiB");
    };
    assert!(taken > (1 << 20) - 2 * line.len(), "an event of {taken} bytes is within the limit");
    assert_eq!(error.max_event_size(), 1 << 20);
    assert_eq!(error.to_string(), "an event is larger than 1048576 bytes");
    assert_eq!(decoder.decode(&mut &b"\n\ndata: a\n\n"[..]), Err(error), "an error is final");
}

#[test]
fn limit_counts_line_ends_and_comments_within_events() {
    let fails = |stream: &[u8]| Decoder::new().max_event_size(9).decode(&mut &stream[..]).is_err();
    assert!(!fails(b"data: 78\n"));
    assert!(!fails(b"data: 78\n\n"));
    assert!(!fails(b"data: 78\r\r\n"));
    assert!(fails(b"data: 7890"));
    assert!(fails(b"data: 789\n\n"));
    assert!(fails(b"data: 78\r\n\r\n"));
    assert!(fails(b"data\nid: 7"));
    assert!(fails(b"data\n:\n:\n:"));
    assert!(fails(b"retry: 890"));
}

#[test]
fn comments_between_events_have_no_limit() {
    let mut decoder = Decoder::new().max_event_size(9);
    let mut input = (&b": 3456789012345678\n: 3456789"[..]).chain(&b"01234\ndata: 78\n\n"[..]);
    assert_eq!(decoder.decode(&mut input).unwrap().unwrap().data, "78");
}

#[test]
fn limit_applies_to_each_event() -> Result<(), EventTooLarge> {
    let mut decoder = Decoder::new().max_event_size(9);
    for _ in 0..100 {
        assert_eq!(decoder.decode(&mut &b"data: 78\n\n"[..])?.unwrap().data, "78");
    }
    Ok(())
}

#[test]
#[should_panic(expected = "the maximum size of an event cannot be zero")]
fn limit_of_zero_panics() {
    let _ = Decoder::new().max_event_size(0);
}
