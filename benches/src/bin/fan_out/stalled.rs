use std::io::Read;

use socket2::{Domain, Socket, Type};

use crate::*;

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
