use memchr::memchr;
use tower_sse_benches::sockets::client::Receiver;

use crate::{dechunker::Dechunker, page::SIZE, *};

/// Checks every byte that every client receives, and measures the delay of each event, from the time
/// in it to the return of the read.
pub struct Checker {
    template: Template,
    streams: Vec<Stream>,
    delays: Vec<u64>,
}

/// What one client has received.
#[derive(Default)]
struct Stream {
    dechunker: Dechunker,
    /// The beginning of the next event.
    body: Vec<u8>,
    number: u64,
}

impl Checker {
    pub const fn new(template: Template) -> Self {
        Self { template, streams: Vec::new(), delays: Vec::new() }
    }

    /// Forgets the delays so far.
    pub fn restart(&mut self) {
        self.delays.clear();
    }

    /// Returns the delays in ascending order, in nanoseconds.
    pub fn delays(mut self) -> Vec<u64> {
        self.delays.sort_unstable();
        self.delays
    }
}

impl Receiver for Checker {
    fn receive(&mut self, connection: usize, bytes: &[u8]) -> io::Result<u64> {
        let now = monotonic_ns();
        if self.streams.len() <= connection {
            self.streams.resize_with(connection + 1, Stream::default);
        }
        let stream = &mut self.streams[connection];
        stream.dechunker.push(bytes, &mut stream.body)?;
        let mut delivered = 0;
        let mut at = 0;
        while let Some(&first) = stream.body.get(at) {
            // Comments, such as heartbeats, may stand between events.
            if first == b':' || first == b'\n' {
                let Some(end) = memchr(b'\n', &stream.body[at..]) else { break };
                at += end + 1;
                continue;
            }
            let Some(event) = stream.body.get(at..at + SIZE) else { break };
            let Some(sent) = self.template.sent_ns(event, stream.number) else {
                let (number, text) = (stream.number, String::from_utf8_lossy(event));
                let message = format!("client {connection}: not event {number}: {text:?}");
                return Err(io::Error::other(message));
            };
            self.delays.push(now.saturating_sub(sent));
            stream.number += 1;
            delivered += 1;
            at += SIZE;
        }
        stream.body.drain(..at);
        Ok(delivered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(numbers: &[u64]) -> Vec<u8> {
        let mut chunks = Vec::new();
        numbers.iter().for_each(|&number| Template::new().write_chunk(number, 1, &mut chunks));
        chunks
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_found() {
        let received = |numbers: &[u64]| {
            let mut checker = Checker::new(Template::new());
            let mut receive = |piece: &[u8]| checker.receive(0, piece).ok();
            chunks(numbers).chunks(150).map(&mut receive).sum::<Option<u64>>()
        };
        assert_eq!(received(&[0, 1, 2]), Some(3));
        for wrong in [&[1, 2][..], &[0, 2], &[0, 1, 1], &[0, 2, 1]] {
            assert_eq!(received(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn comments_between_events_are_skipped_and_each_client_is_checked() {
        let mut checker = Checker::new(Template::new());
        let heartbeat = b"3\r\n:\n\n\r\n";
        assert_eq!(checker.receive(1, &chunks(&[0])).unwrap(), 1);
        assert_eq!(checker.receive(1, heartbeat).unwrap(), 0);
        assert_eq!(checker.receive(1, &chunks(&[1])).unwrap(), 1);
        assert!(checker.receive(0, &chunks(&[1])).is_err());
    }
}
