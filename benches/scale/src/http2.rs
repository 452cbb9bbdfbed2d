//! An HTTP/2 client that opens many streams over one connection and reads only as much as it
//! chooses. It is written by hand because a conforming client would open its windows again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// The types of HTTP/2 frames (RFC 9113, section 6).
pub mod frame {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    /// A flag of DATA and HEADERS frames, not a type.
    pub const END_STREAM: u8 = 1;
    /// Two flags of a HEADERS frame: END_STREAM and END_HEADERS.
    pub const END_STREAM_AND_HEADERS: u8 = 5;
}

const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The initial window of a connection.
const WINDOW: u32 = (1 << 16) - 1;
/// The maximum window.
const WIDEST: u32 = (1 << 31) - 1;

/// Opens a connection with this number of streams and reads their heads. Each stream may be sent
/// `window` bytes; the connection as a whole has the largest window.
///
/// # Panics
///
/// If connecting fails, or the connection ends before all heads have come.
#[must_use]
pub fn open(address: SocketAddr, streams: u64, window: u32) -> TcpStream {
    let mut io = TcpStream::connect(address).expect("a connection");
    let mut sent = opening(window);
    for stream in (1..).step_by(2).zip(0..streams).map(|(id, _)| id) {
        sent.extend(request(stream));
    }
    io.write_all(&sent).expect("requests sent");

    let mut heads = 0;
    while heads < streams {
        let mut header = [0; 9];
        io.read_exact(&mut header).expect("a frame");
        let [a, b, c, kind, ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        io.read_exact(&mut payload).expect("a whole frame");
        heads += u64::from(kind == frame::HEADERS);
    }
    io
}

/// Returns what a client sends first on a connection whose streams may each be sent `window` bytes.
#[must_use]
pub fn opening(window: u32) -> Vec<u8> {
    let mut sent = PREFACE.to_vec();
    let settings = [&INITIAL_WINDOW_SIZE[..], &window.to_be_bytes()].concat();
    push(&mut sent, frame::SETTINGS, 0, 0, &settings);
    push(&mut sent, frame::WINDOW_UPDATE, 0, 0, &(WIDEST - WINDOW).to_be_bytes());
    sent
}

/// Returns the request that opens this stream.
#[must_use]
pub fn request(stream: u32) -> Vec<u8> {
    // Entries of HPACK's static table: `:method: GET`, `:scheme: http`, `:path: /`.
    const HEAD: [u8; 3] = [0x82, 0x86, 0x84];

    let mut sent = Vec::new();
    push(&mut sent, frame::HEADERS, frame::END_STREAM_AND_HEADERS, stream, &HEAD);
    sent
}

fn push(sent: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    sent.extend_from_slice(&length[1..]);
    sent.extend_from_slice(&[kind, flags]);
    sent.extend_from_slice(&stream.to_be_bytes());
    sent.extend_from_slice(payload);
}
