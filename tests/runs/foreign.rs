//! Bytes of any source, cut anywhere, are recorded as the events that a client decodes.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::StreamBody;
use proptest::{prelude::*, sample::Index};

use crate::*;

/// The names and data of the events that a client decodes.
pub(crate) fn names_and_data(bytes: &[u8]) -> Vec<(String, String)> {
    naive::read(bytes).events.into_iter().map(|(name, data, _)| (name, data)).collect()
}

/// Records the frames of a body, and returns what a client gets.
async fn record(frames: Vec<&[u8]>) -> Vec<u8> {
    let mut rig = Rig::new(Runs::new());
    rig.layer = tower_sse::SseLayer::new().without_heartbeat();
    let first = rig.call(post()).await;
    let frames: Vec<_> =
        frames.into_iter().map(|frame| Ok(http_body::Frame::data(frame.to_vec().into()))).collect();
    let body = StreamBody::new(stream::iter(frames).then(|frame| async {
        tokio::task::yield_now().await;
        frame
    }));
    rig.handler.reply(Ok(event_stream(body.boxed_unsync())));
    let answer = first.answer().await;
    answer.into_body().collect().await.unwrap().to_bytes().to_vec()
}

/// Asserts that a client decodes from the record what the oracle decodes from the `source`.
async fn check(source: &[u8], cuts: &[Index]) {
    let recorded = record(cut(source, cuts)).await;
    let ids: Vec<_> = naive::read(&recorded).events.into_iter().map(|(.., id)| id).collect();
    assert_eq!(names_and_data(&recorded), names_and_data(source));
    let text = String::from_utf8_lossy(&recorded);
    assert!(!text.contains('\r') && !text.contains("\n:"), "{text:?}");
    // Blocks end with their id, each with one.
    for (n, block) in text.split_terminator("\n\n").enumerate() {
        let lines: Vec<_> = block.lines().collect();
        let (last, others) = lines.split_last().unwrap();
        assert!(last.starts_with("id: ") && last.ends_with(&format!("-{}", n + 1)), "{last}");
        let count = |field| others.iter().filter(|line| line.split(':').next() == field).count();
        assert_eq!(count(Some("id")), 0, "{block}");
        assert!(count(Some("retry")) <= 1, "{block}");
    }
    let mut unique = ids.clone();
    unique.dedup();
    assert_eq!(unique, ids);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_bytes_in_500_cuttings_are_the_same_messages(
        source in prop::collection::vec(special_bytes(), 1..4).prop_map(|parts| parts.concat()),
        cuts in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        runtime().block_on(check(&source, &cuts));
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
        let recorded = String::from_utf8(record(vec![source.as_bytes()]).await).unwrap();
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
    for data in ["x".repeat(200), "x\ndata: ".repeat(40)] {
        let rig = Rig::new(Runs::builder().retain_bytes(200).build());
        let (feed, mut first) = rig.stream(post()).await;
        feed.data("data: small\n\n");
        feed.data(format!("data: {data}"));
        assert_eq!(first.read().await, ["small"]);
        assert_eq!(first.end, Some(End::Failed));
        assert!(feed.is_dropped());
    }
}
