//! Bytes of any source, cut anywhere, are recorded as the events that a client decodes.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use tower_sse::runs::Runs;

use crate::*;

/// Pieces that sources send, and some that none should.
const PIECES: [&[u8]; 28] = [
    b"data: a\n\n",
    b"data: a\r\n\r\n",
    b"data: a\r\r",
    b"data:b\n",
    b"data\n",
    b"data: \xff\xc3\n\n",
    b"event: tick\n",
    b"event\n",
    b"id: 7\n",
    b"id\r\n",
    b"id: x\0y\n",
    b"retry: 10\n",
    b"retry: 1x\n",
    b": comment\n",
    b":\n\n",
    b": data: no\r\n\r",
    b"unknown: x\n",
    b"unknown\n\n",
    b"dat",
    b"a: c",
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\xef\xbb\xbf",
    b"\xef\xbb",
    b"data:  two blanks \n\n",
    b"retry\n\n",
];

fn hostile(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    if random.u8(..4) == 0 {
        bytes.extend_from_slice(b"\xef\xbb\xbf");
    }
    for _ in 0..random.usize(1..60) {
        bytes.extend_from_slice(PIECES[random.usize(..PIECES.len())]);
    }
    bytes
}

fn cut(mut bytes: &[u8], random: &mut fastrand::Rng) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, rest) = bytes.split_at(random.usize(1..=bytes.len().min(20)));
        frames.push(Bytes::copy_from_slice(frame));
        bytes = rest;
    }
    frames
}

/// The names and data of the events that a client decodes.
pub(crate) fn names_and_data(bytes: &[u8]) -> Vec<(String, String)> {
    naive::read(bytes).events.into_iter().map(|(name, data, _)| (name, data)).collect()
}

/// Records the frames of a body, and returns what a client gets.
async fn record(frames: Vec<Bytes>) -> Vec<u8> {
    let mut rig = Rig::new(Runs::new());
    rig.layer = tower_sse::SseLayer::new().without_heartbeat();
    let first = rig.call(post()).await;
    let frames = frames.into_iter().map(|frame| Ok(http_body::Frame::data(frame)));
    let body = StreamBody::new(stream::iter(frames).then(|frame| async {
        tokio::task::yield_now().await;
        frame
    }));
    rig.handler.reply(Ok(event_stream(body.boxed_unsync())));
    let answer = first.answer().await;
    answer.into_body().collect().await.unwrap().to_bytes().to_vec()
}

#[tokio::test(start_paused = true)]
async fn hostile_bytes_in_500_cuttings_are_the_same_messages() {
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let source = hostile(&mut random);
        let recorded = record(cut(&source, &mut random)).await;
        let context = format!("seed {seed}: {:?}", source.escape_ascii().to_string());
        let ids: Vec<_> = naive::read(&recorded).events.into_iter().map(|(.., id)| id).collect();
        assert_eq!(names_and_data(&recorded), names_and_data(&source), "{context}");
        let text = String::from_utf8_lossy(&recorded);
        assert!(!text.contains('\r') && !text.contains("\n:"), "{context}: {text:?}");
        // Blocks end with their id, each with one.
        let blocks: Vec<_> = text.split_terminator("\n\n").collect();
        for (n, block) in blocks.iter().enumerate() {
            let lines: Vec<_> = block.lines().collect();
            let (last, others) = lines.split_last().unwrap();
            assert!(
                last.starts_with("id: ") && last.ends_with(&format!("-{}", n + 1)),
                "{context}"
            );
            assert!(!others.iter().any(|line| line.starts_with("id")), "{context}");
            let retries = others.iter().filter(|line| line.starts_with("retry")).count();
            assert!(retries <= 1, "{context}");
        }
        let mut unique = ids.clone();
        unique.dedup();
        assert_eq!(unique, ids, "{context}");
    }
}

#[tokio::test(start_paused = true)]
async fn recorded_events_are_normal_and_keep_their_order_of_lines() {
    for (source, expected) in [
        ("data: a\n\n", "data: a\nid: E-1\n\n"),
        ("event: x\r\ndata: a\r\ndata: b\r\n\r\n", "event: x\ndata: a\ndata: b\nid: E-1\n\n"),
        ("id: 7\ndata: a\n: no\nid\n\n: no\n\n", "data: a\nid: E-1\n\n"),
        ("retry: 1\n\nretry: 2\n\ndata: a\n\n", "data: a\nretry: 2\nid: E-1\n\n"),
        ("retry: 1\ndata: a\nretry: 3\n\n", "data: a\nretry: 3\nid: E-1\n\n"),
        ("other: x\n\nother: y\ndata: a\n\n", "other: y\ndata: a\nid: E-1\n\n"),
        ("event: x\n\ndata\n\n", "event: x\nid: E-1\n\ndata\nid: E-2\n\n"),
        ("data: a\n\ndata: half\n", "data: a\nid: E-1\n\n"),
        ("data: a\n\nid: 9\n\n", "data: a\nid: E-1\n\n"),
    ] {
        let recorded = String::from_utf8(record(vec![source.into()]).await).unwrap();
        let epoch = recorded.split_once("id: ").unwrap().1.split_once('-').unwrap().0;
        assert_eq!(recorded.replace(epoch, "E"), expected, "{source:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sse_stream_reads_every_attachment() {
    let rig = Rig::new(Runs::new());
    let (feed, mut first) = rig.stream(post()).await;
    feed.data("retry: 5\n\nevent: tick\ndata: a\ndata: b\n\n: no\n\ndata: c\n\n");
    first.read().await;
    let last = first.last.clone();
    let (epoch, _) = last.split_once('-').unwrap();
    feed.end();
    settle().await;
    let id = format!("{epoch}-1");
    for (request, expected) in
        [(post(), &[("tick", "a\nb", 1), ("", "c", 2)][..]), (after(&id, post()), &[("", "c", 2)])]
    {
        let mut client = rig.send(request).client().await;
        client.read().await;
        let bytes = client.bytes.clone();
        let chunks =
            || stream::iter(bytes.chunks(3).map(|c| Ok::<Bytes, Infallible>(c.to_vec().into())));
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, data, n)| {
                ((*name).to_owned(), (*data).to_owned(), Some(format!("{epoch}-{n}")))
            })
            .chain([(String::new(), "[DONE]".to_owned(), None)])
            .collect();
        macro_rules! assert_reads {
            ($version:ident) => {
                let read: Vec<_> = $version::SseStream::from_bytes_stream(chunks())
                    .map(Result::unwrap)
                    .map(|sse| {
                        (sse.event.unwrap_or_default(), sse.data.unwrap_or_default(), sse.id)
                    })
                    .collect()
                    .await;
                assert_eq!(read, expected);
            };
        }
        assert_reads!(sse_stream);
        assert_reads!(sse_stream_02);
    }
}

#[tokio::test(start_paused = true)]
async fn event_larger_than_the_record_fails_the_run() {
    for data in ["x".repeat(100), "x\ndata: ".repeat(20)] {
        let rig = Rig::new(Runs::builder().retain_bytes(100).build());
        let (feed, mut first) = rig.stream(post()).await;
        feed.data("data: small\n\n");
        feed.data(format!("data: {data}"));
        assert_eq!(first.read().await, ["small"]);
        assert_eq!(first.end, Some(End::Failed));
        assert!(feed.is_dropped());
    }
}
