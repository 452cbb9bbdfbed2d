use crate::*;

/// The pieces in which a stream arrives do not change what is decoded.
pub fn decoder(data: &[u8]) {
    let pieces = pieces(data);
    let stream = pieces.concat();
    let expected = naive::read(&stream);
    let mut decoder = Decoder::new().max_event_size(usize::MAX);
    let mut decoded = Vec::new();
    for mut piece in pieces {
        while let Some(message) = decoder.decode(&mut piece).expect("no limit") {
            decoded.push(naive::seen(message));
        }
        assert!(piece.is_empty());
    }
    assert_eq!(decoded, expected.events);
    assert_eq!(decoder.last_event_id(), expected.last_event_id);
    let retry = decoder.retry().map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX));
    assert_eq!(retry, expected.retry);

    // A limit ends in an error, never in another event.
    let mut limited = Decoder::new().max_event_size(64);
    let (mut input, mut events) = (&*stream, Vec::new());
    while let Ok(Some(message)) = limited.decode(&mut input) {
        events.push(naive::seen(message));
    }
    assert!(expected.events.starts_with(&events));
}
