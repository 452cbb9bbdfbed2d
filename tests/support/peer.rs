//! A client that speaks HTTP by hand, so that a test can choose how it leaves.

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

/// The id of the first HTTP/2 stream that a client may open.
const STREAM_ID: u32 = 1;

/// Constants of HTTP/2 frames (RFC 9113).
mod frame {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const HEADER_LENGTH: usize = 9;
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const ACK: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;
    pub(super) const CANCEL: u32 = 8;
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Leave {
    /// The client closes its side of the connection.
    Fin,
    /// The client closes the connection with a TCP reset.
    Reset,
    /// HTTP/2: the client resets the stream, and the connection goes on.
    ResetStream,
    /// HTTP/2: the client sends a GOAWAY and closes its side.
    GoAway,
}

impl Leave {
    pub const fn all(protocol: Protocol) -> &'static [Self] {
        const ALL: [Leave; 4] = [Leave::Fin, Leave::Reset, Leave::ResetStream, Leave::GoAway];
        match protocol {
            Protocol::Http1 => ALL.split_at(2).0,
            Protocol::Http2 => &ALL,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Clean,
    Failed,
}

pub struct Peer {
    io: TcpStream,
    h2: bool,
    received: BytesMut,
    /// Whether the response has status 200, once its head has arrived.
    ok: Option<bool>,
    /// The number of bytes of the response's body that have arrived.
    body: usize,
    end: Option<End>,
}

impl Peer {
    pub async fn connect(address: SocketAddr, protocol: Protocol) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), protocol).await
    }

    pub async fn over(io: TcpStream, protocol: Protocol) -> Self {
        io.set_nodelay(true).unwrap();
        let received = BytesMut::new();
        let h2 = protocol == Protocol::Http2;
        let mut peer = Self { io, h2, received, ok: None, body: 0, end: None };
        if h2 {
            peer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
            peer.write_frame(frame::SETTINGS, 0, 0, &[]).await;
        }
        peer
    }

    pub async fn request(&mut self, method: &str, path: &str) {
        if !self.h2 {
            let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            return self.write(head.as_bytes()).await;
        }
        // The scheme is a whole entry of HPACK's static table; the other fields use names of the
        // table.
        let mut block = vec![0x86];
        for (name, value) in [(1, "localhost"), (2, method), (4, path)] {
            block.extend([name, u8::try_from(value.len()).unwrap()]);
            block.extend(value.as_bytes());
        }
        let flags = frame::END_STREAM | frame::END_HEADERS;
        self.write_frame(frame::HEADERS, flags, STREAM_ID, &block).await;
    }

    pub async fn head(&mut self) -> bool {
        self.until("a head", |peer| peer.ok).await
    }

    pub async fn bytes(&mut self, count: usize) {
        self.until("bytes", |peer| (peer.body >= count).then_some(())).await;
    }

    pub async fn end(&mut self) -> End {
        self.until("an end", |peer| peer.end).await
    }

    /// Leaves, and returns the socket unless the client has reset the connection. The server
    /// receives nothing more until the socket is dropped.
    pub async fn leave(mut self, how: Leave) -> Option<TcpStream> {
        match how {
            Leave::Fin => {}
            Leave::Reset => {
                SockRef::from(&self.io).set_linger(Some(Duration::ZERO)).unwrap();
                return None;
            }
            Leave::ResetStream => {
                let code = frame::CANCEL.to_be_bytes();
                self.write_frame(frame::RST_STREAM, 0, STREAM_ID, &code).await;
                return Some(self.io);
            }
            // The payload: no last stream, and no error.
            Leave::GoAway => self.write_frame(frame::GOAWAY, 0, 0, &[0; 8]).await,
        }
        self.finish_writing().await;
        Some(self.io)
    }

    /// Sends a FIN. The client can still read.
    pub async fn finish_writing(&mut self) {
        self.io.shutdown().await.unwrap();
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        soon(self.io.write_all(bytes)).await.unwrap();
    }

    async fn write_frame(&mut self, kind: u8, flags: u8, stream_id: u32, payload: &[u8]) {
        let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let header = [&length[..], &[kind, flags], &stream_id.to_be_bytes()].concat();
        self.write(&[&header, payload].concat()).await;
    }

    async fn until<T>(&mut self, what: &str, mut seen: impl FnMut(&Self) -> Option<T>) -> T {
        let read = async {
            loop {
                if let Some(seen) = seen(self) {
                    return seen;
                }
                assert!(self.end.is_none(), "the response ended before {what}: {:?}", self.end);
                let count = self.io.read_buf(&mut self.received).await;
                self.take_in(count).await;
            }
        };
        timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("no {what}"))
    }

    async fn take_in(&mut self, read: io::Result<usize>) {
        if self.h2 {
            while self.take_frame().await {}
        } else {
            while self.take_chunk() {}
        }
        if !matches!(read, Ok(1..)) {
            self.end.get_or_insert(End::Failed);
        }
    }

    /// HTTP/1: takes the head or a chunk, if it has arrived completely.
    fn take_chunk(&mut self) -> bool {
        let received = &mut self.received;
        let end_of = |text: &[u8]| received.windows(text.len()).position(|bytes| bytes == text);
        if self.ok.is_none() {
            let Some(length) = end_of(b"\r\n\r\n") else { return false };
            // Not for `100 Continue`.
            self.ok = (!received.starts_with(b"HTTP/1.1 1"))
                .then(|| received.starts_with(b"HTTP/1.1 200"));
            received.advance(length + 4);
            return true;
        }
        let Some(line) = end_of(b"\r\n") else { return false };
        let size = str::from_utf8(&received[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let start = line + 2;
        if received.len() < start + size + 2 {
            return false;
        }
        self.body += size;
        received.advance(start + size + 2);
        if size == 0 {
            self.end = Some(End::Clean);
        }
        true
    }

    /// HTTP/2: takes a frame, if it has arrived completely.
    async fn take_frame(&mut self) -> bool {
        let &[a, b, c, kind, flags, ..] = &*self.received else { return false };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if self.received.len() < frame::HEADER_LENGTH + length {
            return false;
        }
        let mut payload = self.received.split_to(frame::HEADER_LENGTH + length);
        payload.advance(frame::HEADER_LENGTH);
        match kind {
            // 0x88 is status 200 in HPACK's static table.
            frame::HEADERS if self.ok.is_none() => self.ok = Some(payload.first() == Some(&0x88)),
            frame::DATA => self.body += payload.len(),
            frame::RST_STREAM => self.end = Some(End::Failed),
            frame::SETTINGS if flags & frame::ACK == 0 => {
                self.write_frame(frame::SETTINGS, frame::ACK, 0, &[]).await;
            }
            _ => {}
        }
        if matches!(kind, frame::HEADERS | frame::DATA) && flags & frame::END_STREAM != 0 {
            self.end = Some(End::Clean);
        }
        true
    }
}
