use tower_sse_benches::{payload, sockets::clock::parse_digits};

use crate::*;

/// The last byte of an event's data, which nothing else that goes over the wire contains.
pub const MARKER: u8 = b'~';
const DIGITS: usize = 20;

/// A source of event data: 256 bytes of a number, filler, the time, and the [`MARKER`].
pub struct Texts {
    filler: &'static str,
}

impl Texts {
    pub fn new() -> Self {
        Self { filler: payload::line(226) }
    }

    /// Returns the data of this event, published now.
    pub fn now(&self, number: u64) -> String {
        format!("{number:08} {}{:020}~", self.filler, monotonic_ns())
    }
}

/// Returns the number of the event with this data.
pub fn number(text: &str) -> Option<u64> {
    text.split(' ').next()?.parse().ok()
}

/// Returns when the event was published whose marker is at `marker`, or `None` if its data began in
/// earlier bytes.
pub fn published_ns(bytes: &[u8], marker: usize) -> Option<u64> {
    let digits = bytes.get(marker.checked_sub(DIGITS)?..marker)?;
    Some(parse_digits(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_has_256_bytes_and_gives_back_its_number_and_time() {
        let before = monotonic_ns();
        let text = Texts::new().now(42);
        assert_eq!(text.len(), 256);
        assert_eq!(text.bytes().filter(|&byte| byte == MARKER).count(), 1);
        assert_eq!(number(&text), Some(42));
        let published = published_ns(text.as_bytes(), 255).expect("a time");
        assert!((before..=monotonic_ns()).contains(&published));
        assert_eq!(published_ns(&text.as_bytes()[240..], 15), None, "cut before its time");
    }
}
