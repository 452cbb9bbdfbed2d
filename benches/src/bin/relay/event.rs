use std::ops::Range;

use tower_sse_benches::{payload, sockets::clock::parse_digits};

/// The bytes of an event on the wire, without the transfer coding.
pub const SIZE: usize = 200;
/// The bytes of a chunk with one event.
pub const CHUNK: usize = SIZE + 6;
/// What the changing filter replaces, and with what.
pub const REDACTED: (&str, &str) = ("quick", "*****");

/// The last bytes of each event.
pub const END: &[u8] = b"\"}\n\n";

const NUMBER: Range<usize> = 12..20;
const STAMP: Range<usize> = 27..47;

/// An event in which only its number and the time of its sending differ from all others.
pub struct Template {
    event: String,
}

impl Template {
    /// Creates the event that the upstream sends.
    pub fn new() -> Self {
        let text = payload::line(138);
        let event =
            format!("data: {{\"n\":\"{:08}\",\"t\":\"{:020}\",\"delta\":\"{text}\"}}\n\n", 0, 0);
        Self { event }
    }

    /// Creates the event that the changing filter makes of it.
    pub fn redacted() -> Self {
        let (from, to) = REDACTED;
        Self { event: Self::new().event.replace(from, to) }
    }

    /// Appends an event in a chunk of its own.
    pub fn write_chunk(&self, number: u64, stamp: u64, to: &mut Vec<u8>) {
        to.extend_from_slice(b"c8\r\n");
        let start = to.len();
        to.extend_from_slice(self.event.as_bytes());
        write_digits(&mut to[start..][NUMBER], number);
        write_digits(&mut to[start..][STAMP], stamp);
        to.extend_from_slice(b"\r\n");
    }

    /// Returns when this event was sent, or `None` if it is not the one with this number, byte for
    /// byte.
    pub fn sent_ns(&self, event: &[u8], number: u64) -> Option<u64> {
        let template = self.event.as_bytes();
        let same = |range: Range<usize>| event.get(range.clone()) == template.get(range);
        let is_same = event.len() == SIZE
            && same(0..NUMBER.start)
            && same(NUMBER.end..STAMP.start)
            && same(STAMP.end..SIZE)
            && event[STAMP].iter().all(u8::is_ascii_digit)
            && parse_digits(&event[NUMBER]) == number;
        is_same.then(|| parse_digits(&event[STAMP]))
    }
}

fn write_digits(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_gives_back_its_time_and_only_for_its_number() {
        for template in [Template::new(), Template::redacted()] {
            let mut chunk = Vec::new();
            template.write_chunk(7, 1_234_567, &mut chunk);
            assert_eq!(chunk.len(), CHUNK);
            let event = &chunk[4..CHUNK - 2];
            assert_eq!(template.sent_ns(event, 7), Some(1_234_567));
            assert_eq!(template.sent_ns(event, 8), None);
            for at in (0..SIZE).filter(|at| !STAMP.contains(at)) {
                let mut other = event.to_vec();
                other[at] ^= 1;
                assert_eq!(template.sent_ns(&other, 7), None, "byte {at}");
            }
        }
        let mut chunk = Vec::new();
        Template::new().write_chunk(7, 1_234_567, &mut chunk);
        assert_eq!(Template::redacted().sent_ns(&chunk[4..CHUNK - 2], 7), None);
    }
}
