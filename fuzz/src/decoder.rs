use crate::*;

/// The pieces in which a stream arrives do not change what is decoded.
pub fn decoder(data: &[u8]) {
    let pieces = pieces(data);
    naive::assert_decoded(&pieces);

    // Until a decoder with a limit fails, it decodes the same events.
    let mut limited = Decoder::new().max_event_size(64);
    let stream = pieces.concat();
    let (mut input, mut events) = (&*stream, Vec::new());
    while let Ok(Some(message)) = limited.decode(&mut input) {
        events.push(naive::seen(message));
    }
    assert!(naive::read(&stream).events.starts_with(&events));
}
