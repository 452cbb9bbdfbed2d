use tower_sse::{Decoder, Message};

use super::event::number;
use crate::*;

/// Decodes all bytes that one subscriber has read, and fails unless they are all events, once each
/// and in order. The bytes of the other subscribers are only counted.
pub fn check(chunked: &[u8], events: u64) -> io::Result<()> {
    let mut decoder = Decoder::new();
    let mut messages: Vec<Message> = Vec::new();
    for mut chunk in chunks(chunked) {
        while let Some(message) = decoder.decode(&mut chunk).map_err(io::Error::other)? {
            messages.push(message);
        }
    }
    // better-sse sends its data as JSON.
    let numbers = messages.iter().map(|message| number(message.data.trim_matches('"')));
    if numbers.eq((1..=events).map(Some)) {
        return Ok(());
    }
    Err(io::Error::other(format!("{} messages, not {events} in their order", messages.len())))
}

/// Returns the whole chunks of a body.
fn chunks(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let line = memmem::find(rest, b"\r\n")?;
        let len = usize::from_str_radix(str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        let chunk = rest.get(line + 2..line + 2 + len)?;
        rest = rest.get(line + 2 + len + 2..)?;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_found() {
        let body = |numbers: &[u64]| {
            let event = |number: &u64| {
                let event = format!("data: {number:08} text\n\n");
                format!("{:x}\r\n{event}\r\n", event.len())
            };
            numbers.iter().map(event).collect::<String>().into_bytes()
        };
        assert!(check(&body(&[1, 2, 3]), 3).is_ok());
        for wrong in [&[1, 3][..], &[1, 2, 2], &[1, 3, 2], &[1, 2], &[1, 2, 3, 4]] {
            assert!(check(&body(wrong), 3).is_err(), "{wrong:?}");
        }
        let cut = body(&[1, 2, 3]);
        assert!(check(&cut[..cut.len() - 4], 3).is_err(), "half of the last one");
    }
}
