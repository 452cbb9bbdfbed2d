//! The decoder follows the standard, however the stream is split.

use proptest::prelude::*;

use crate::{splitter::STREAMS, *};

#[test]
fn streams_decode_as_by_the_oracle() {
    for stream in STREAMS {
        naive::assert_decoded(&[stream]);
        naive::assert_decoded(&stream.chunks(1).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_decode_as_the_oracle_decodes_them(
        stream in special_bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        naive::assert_decoded(&cut(&stream, &cuts));
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
    assert_eq!(error.to_string(), "an event is larger than 1048576 bytes");
    assert_eq!(decoder.decode(&mut &b"\n\ndata: a\n\n"[..]), Err(error), "an error is final");
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
