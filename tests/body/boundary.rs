//! What the layer writes into a foreign stream does not change what a client decodes, whatever the
//! stream's bytes are and wherever they are split.

use proptest::prelude::*;

use super::support::{naive::Place, naive_clients::CLIENTS, *};
use crate::*;

const INTERVAL: Duration = Duration::from_secs(15);
const COMMENT: &[u8] = b": ping\n";
const HEARTBEAT: &[u8] = b"event: heartbeat\ndata: {}\n\n";
const TERMINATOR: &[u8] = b"data: [DONE]\n\n";

/// Sends `chunks` through the layer and returns what the client receives. A silence long enough for
/// a heartbeat comes before each chunk whose bit in `silent` is set, and before the end. Asserts
/// that the layer writes exactly what it should during each silence and at the end.
fn send(layer: &SseLayer, chunks: &[&[u8]], silent: u64) -> Vec<u8> {
    under_a_paused_clock(async {
        let (feed, mut body) = fed(layer);
        let mut received = Vec::new();
        for (n, chunk) in chunks.iter().enumerate() {
            if silent >> (n % 64) & 1 == 1 {
                be_silent(&mut body, &mut received).await;
            }
            feed.data(chunk.to_vec());
            receive(&mut body, &mut received);
        }
        be_silent(&mut body, &mut received).await;
        let terminator = match naive::read(&received).place {
            Place::BetweenEvents => TERMINATOR,
            Place::LineStartInEvent | Place::InsideLine => b"",
        };
        feed.end();
        assert_interjection(terminator, &mut body, &mut received);
        assert_eq!(poll_frame(&mut body), Polled::End);
        received
    })
}

async fn be_silent(body: &mut Body, received: &mut Vec<u8>) {
    receive(body, received);
    let heartbeat = match naive::read(received).place {
        Place::BetweenEvents => HEARTBEAT,
        Place::LineStartInEvent => COMMENT,
        Place::InsideLine => b"",
    };
    time::advance(2 * INTERVAL).await;
    assert_interjection(heartbeat, body, received);
    assert_eq!(poll_frame(body), Polled::Pending);
}

fn receive(body: &mut Body, received: &mut Vec<u8>) {
    while let Polled::Data(bytes) = poll_frame(body) {
        assert!(!bytes.is_empty(), "no frame is empty");
        received.extend(bytes);
    }
}

type Body = SseBody<FedBody>;

/// Asserts that the layer now writes `ours`. Within an event, the lines of `ours` end as the
/// source's last line does. Elsewhere, if the source's last byte is a CR, a line feed comes first,
/// which completes the CRLF.
fn assert_interjection(ours: &[u8], body: &mut Body, received: &mut Vec<u8>) {
    let ends = match naive::read(received).place {
        Place::LineStartInEvent => &["\r\n", "\r"][..],
        Place::BetweenEvents | Place::InsideLine => &[],
    };
    let end = ends.iter().find(|end| received.ends_with(end.as_bytes())).unwrap_or(&"\n");
    let is_after_cr = received.ends_with(b"\r") && *end == "\n" && !ours.is_empty();
    let line_feed = &b"\n"[..usize::from(is_after_cr)];
    let ours = str::from_utf8(ours).unwrap().replace('\n', end);
    let ours = ours.as_bytes();
    let written = match poll_frame(body) {
        Polled::Data(bytes) => bytes,
        Polled::Pending | Polled::End => Bytes::new(),
        other => panic!("{other:?} after {}", received.escape_ascii()),
    };
    // A heartbeat event repeats the last event id. `assert_unchanged` checks the id's value.
    let id_line = written.windows(4).position(|bytes| bytes == b"\nid:");
    let bare = match id_line.and_then(|at| written.get(..=at)) {
        Some(lines) => [lines, b"\n"].concat(),
        None => written.to_vec(),
    };
    assert_eq!(bare, [line_feed, ours].concat(), "after {}", received.escape_ascii());
    received.extend(written);
}

fn decoded(stream: &[u8]) -> (Vec<naive::Seen>, String, Option<u64>) {
    let mut reading = naive::read(stream);
    reading.events.retain(|(name, data, _)| name != "heartbeat" && data != "[DONE]");
    (reading.events, reading.last_event_id, reading.retry)
}

fn layer() -> SseLayer {
    SseLayer::new()
        .heartbeat(Heartbeat::every(INTERVAL).event("heartbeat", "{}").comment("ping"))
        .terminator(Event::from("[DONE]"))
}

/// Returns a layer that sends padding before the first byte of the source.
fn layer_with_preamble() -> SseLayer {
    layer().padding(2)
}

#[track_caller]
fn assert_unchanged(chunks: &[&[u8]], silent: u64) {
    for layer in [layer(), layer_with_preamble()] {
        let received = send(&layer, chunks, silent);
        assert_eq!(
            decoded(&received),
            decoded(&chunks.concat()),
            "{} of {chunks:?}, silent {silent:b}",
            received.escape_ascii()
        );
    }
}

/// Some clients of `CLIENTS` do not read line by line: they split a stream at two line ends.
#[test]
fn clients_read_streams_of_each_line_end_alike_with_heartbeats() {
    for end in ["\n", "\r\n", "\r"] {
        let stream =
            ": c\n\nid: 7\ndata: a\ndata: b\n\n: c\nevent: e\ndata: c\n\n".replace('\n', end);
        let bytes: Vec<_> = stream.as_bytes().chunks(1).collect();
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let received = send(&layer(), &bytes, 1 << first | 1 << second);
                let received = String::from_utf8(received).unwrap();
                for (name, read) in CLIENTS {
                    let mut events = read(&received);
                    events.retain(|(name, data)| name != "heartbeat" && data != "[DONE]");
                    assert_eq!(events, read(&stream), "{name}: {received:?}");
                }
            }
        }
    }
}

#[test]
fn heartbeat_repeats_no_id_behind_part_of_a_byte_order_mark() {
    for line_and_end in ["id: 7\n\n", "id: 7\r\n\r\n"] {
        assert_unchanged(&[b"\xef\xbb", line_and_end.as_bytes()], u64::MAX);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_cut_anywhere_are_decoded_the_same(
        stream in special_bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        silent in any::<u64>(),
    ) {
        assert_unchanged(&cut(&stream, &cuts), silent);
    }
}
