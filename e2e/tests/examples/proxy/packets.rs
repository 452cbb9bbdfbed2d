use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::{TryStreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{io::AsyncWriteExt, time::timeout};
use tower_sse::{Decoder, Heartbeat, Message, SseLayer};

use super::{Upstream, example, head, serve};
use crate::*;

const INTERVAL: Duration = Duration::from_millis(20);

/// The upstream's next packet, and what the client must have received before the packet after it is
/// sent.
enum Packet {
    /// A heartbeat follows: the fields are the end of the packet, and the heartbeat.
    Beat(&'static [u8], &'static [u8]),
    /// It ends within a line, so nothing follows, for however long.
    Silence(&'static [u8]),
}

use Packet::{Beat, Silence};

const PACKETS: [Packet; 14] = [
    Beat(b"", b":\n"),
    Beat(b"\xef", b":\n:\n:\n"),
    Silence(b"\xbb\xbfda"),
    Beat(b"ta: one\r", b"data: one\r\n:\n"),
    Silence(b"\n: a com"),
    Silence(b"ment\r\nid: 7"),
    Beat(b"\r\n", b"id: 7\r\n:\n"),
    Beat(b"data: two\n", b"data: two\n:\n"),
    Silence(b"\nret"),
    Beat(b"ry: 10\n", b"retry: 10\n:\n"),
    Silence(b"event: tick\ndata: \xc3"),
    Beat(b"\xbc\r", b"data: \xc3\xbc\r\n:\n"),
    Beat(b"data: three\r", b"data: three\r\n:\n"),
    Beat(b"\rdata: end\n\n", b"data: end\n\n:\n"),
];

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn bytes(packet: &Packet) -> &'static [u8] {
    match packet {
        Beat(bytes, _) | Silence(bytes) => bytes,
    }
}

fn length() -> usize {
    PACKETS.iter().map(|packet| bytes(packet).len()).sum()
}

struct Received {
    body: Incoming,
    bytes: Vec<u8>,
}

impl Received {
    /// Receives more. Returns `false` at the clean end.
    async fn more(&mut self) -> bool {
        let Some(frame) = soon(self.body.frame()).await else { return false };
        self.bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
        true
    }

    async fn until(&mut self, expected: &[u8]) {
        while !self.bytes.windows(expected.len()).any(|window| window == expected) {
            assert!(self.more().await, "the end before {}", expected.escape_ascii());
        }
    }
}

fn messages(bytes: &[u8]) -> Vec<Message> {
    let (mut decoder, mut bytes) = (Decoder::new(), Bytes::copy_from_slice(bytes));
    std::iter::from_fn(|| decoder.decode(&mut bytes).unwrap()).collect()
}

/// Decodes with another crate, which panics at a byte order mark at the start.
async fn events(bytes: &[u8]) -> Vec<eventsource_stream::Event> {
    let bytes = Bytes::copy_from_slice(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes));
    stream::iter([Ok::<_, std::io::Error>(bytes)]).eventsource().try_collect().await.unwrap()
}

/// Returns the bytes as they are without the layer.
async fn without_heartbeats() -> Vec<u8> {
    let (upstream, authority) = Upstream::new().await;
    let address = serve(example::forwarding(authority, example::PATIENCE)).await;
    let (response, ()) = tokio::join!(client::get(address, "/", &[]), async {
        let (mut stream, _) = upstream.answer("\r\n\r\n", &head(length())).await;
        for packet in &PACKETS {
            stream.write_all(bytes(packet)).await.unwrap();
        }
    });
    assert!(response.headers().contains_key("content-length"));
    soon(response.into_body().collect()).await.unwrap().to_bytes().to_vec()
}

#[tokio::test]
async fn heartbeats_do_not_change_what_is_decoded_wherever_packets_are_cut() {
    let without = without_heartbeats().await;
    assert_eq!(without, PACKETS.iter().flat_map(bytes).copied().collect::<Vec<_>>());

    let (upstream, authority) = Upstream::new().await;
    let layer = SseLayer::new().heartbeat(Heartbeat::every(INTERVAL));
    let address = serve(example::forwarding(authority, example::PATIENCE).layer(layer)).await;
    let (response, (mut stream, _)) = tokio::join!(client::get(address, "/", &[]), async {
        upstream.answer("\r\n\r\n", &head(length())).await
    });
    let mut received = Received { body: response.into_body(), bytes: Vec::new() };
    for packet in &PACKETS[..PACKETS.len() - 1] {
        stream.write_all(bytes(packet)).await.unwrap();
        match packet {
            Beat(_, expected) => received.until(expected).await,
            Silence(sent) => {
                // A byte order mark at the start is delayed, and dropped.
                received.until(sent.strip_prefix(b"\xbb\xbf").unwrap_or(sent)).await;
                timeout(INTERVAL * 3, received.more()).await.expect_err("silence within a line");
            }
        }
    }
    stream.write_all(bytes(&PACKETS[PACKETS.len() - 1])).await.unwrap();
    while received.more().await {}

    assert_eq!(messages(&received.bytes), messages(&without));
    let mut expected = events(&without).await;
    assert_eq!(events(&received.bytes).await, expected);
    let last = expected.pop().unwrap();
    assert_eq!((&*last.id, &*last.event, &*last.data), ("7", "message", "end"));
    let tick = expected.pop().unwrap();
    assert_eq!((&*tick.id, &*tick.event, &*tick.data), ("7", "tick", "ü\nthree"));
    let first = expected.pop().unwrap();
    assert_eq!((&*first.id, &*first.event, &*first.data), ("7", "message", "one\ntwo"));
}
