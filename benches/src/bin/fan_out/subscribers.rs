use socket2::{Domain, Socket, Type};
use tower_sse_benches::sockets::client::Receiver;

use super::page::{number, published_ns};
use crate::*;

/// Counts the events of all subscribers, and keeps the bytes of one.
#[derive(Default)]
pub struct Subscribers {
    delays: Option<Vec<u64>>,
    /// All bytes that the first subscriber has read.
    pub witnessed: Vec<u8>,
}

impl Subscribers {
    /// Starts to record the delay of each event, from its publication to the return of the read.
    pub fn measure_delays(&mut self) {
        self.delays = Some(Vec::new());
    }

    /// Returns the delays in ascending order, or `None` if they were not measured.
    pub fn delays(&mut self) -> Option<Vec<u64>> {
        let mut delays = self.delays.take()?;
        delays.sort_unstable();
        Some(delays)
    }
}

impl Receiver for Subscribers {
    fn receive(&mut self, connection: usize, bytes: &[u8]) -> io::Result<u64> {
        let mut delivered = 0;
        if let Some(delays) = &mut self.delays {
            let now = monotonic_ns();
            for marker in memchr_iter(MARKER, bytes) {
                delivered += 1;
                delays.extend(published_ns(bytes, marker).map(|then| now - then));
            }
        } else {
            delivered = memchr_iter(MARKER, bytes).count() as u64;
        }
        if connection == 0 {
            self.witnessed.extend_from_slice(bytes);
        }
        Ok(delivered)
    }
}

/// A subscriber that does not read until the others have all events.
pub struct Stalled {
    stream: TcpStream,
}

impl Stalled {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // A loopback socket buffers megabytes, most of them at the server. The amount depends on
        // the segment size.
        socket.set_tcp_mss(536)?;
        socket.set_recv_buffer_size(4096)?;
        socket.connect(&address.into())?;
        let mut stream = request(socket.into(), "/events")?;
        read_head(&mut stream)?;
        Ok(Self { stream })
    }

    /// Reads up to the last event. Returns how many events were missed and whether a gap was
    /// reported.
    pub fn missed(mut self, events: u64) -> io::Result<(u64, bool)> {
        let last = format!("data: {events:08} ");
        let mut buffer = vec![0; 64 * 1024];
        let mut delivered = 0;
        let mut gap_reported = false;
        let mut tail = Vec::new();
        loop {
            let read = self.stream.read(&mut buffer)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            delivered += memchr_iter(MARKER, &buffer[..read]).count() as u64;
            tail.extend_from_slice(&buffer[..read]);
            gap_reported |= memmem::find(&tail, b"event: gap\n").is_some();
            if let Some(last) = memmem::find(&tail, last.as_bytes())
                && tail[last..].contains(&MARKER)
            {
                return Ok((events - delivered, gap_reported));
            }
            // Keep at least one event, as it may be cut.
            tail.drain(..tail.len().saturating_sub(1024));
        }
    }
}

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
