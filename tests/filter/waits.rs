//! Nothing waits for what comes later.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::{
    rig::{PASS, fed_by},
    support::*,
    *,
};

#[tokio::test(start_paused = true)]
async fn everything_is_sent_in_the_poll_in_which_it_is_complete() {
    let (feed, mut body, _log) = fed_by(PASS);
    for (received, sent) in [
        ("\u{feff}", "\u{feff}"),
        (":", ":"),
        ("\n", "\n"),
        (": heart", ": heart"),
        ("beat\n", "beat\n"),
        ("data: a\r\r", "data: a\r\r"),
        ("\n", "\n"),
        ("data: b\n\ndata: c", "data: b\n\n"),
        ("\r\n", ""),
        ("\r", "data: c\r\n\r"),
        ("\n", "\n"),
        ("retry: 5\n", "retry: 5\n"),
        ("re", ""),
        ("try: 5\r", "retry: 5\r"),
        ("\n\n\n", "\n\n\n"),
        ("event: e\n", ""),
        (": within\n", ""),
        ("\n:\n", "event: e\n: within\n\n:\n"),
    ] {
        feed.data(received);
        let expected = if sent.is_empty() { Polled::Pending } else { data(sent) };
        assert_polls(&mut body, [expected, Polled::Pending]);
    }
}

#[tokio::test(start_paused = true)]
async fn frames_of_the_source_are_not_merged() {
    let (feed, mut body, _log) = fed_by(PASS);
    for text in ["data: a\n\n", ":\n", "data: b\n\n"] {
        feed.data(text);
    }
    feed.end();
    let frames = ["data: a\n\n", ":\n", "data: b\n\n"].map(data);
    assert_polls(&mut body, frames);
    assert_polls(&mut body, [Polled::End]);
}

#[tokio::test(start_paused = true)]
async fn large_frames_are_filtered_in_parts() {
    let (feed, source) = Feed::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let count = filter::inspect(move |_| _ = counted.fetch_add(1, SeqCst));
    let mut body = FilterBody::new(source, count);
    let frame = Bytes::from("data: x\n\n".repeat((16 << 20) / 9));
    feed.data(frame.clone());
    feed.end();
    let mut sent = 0;
    while let Polled::Data(part) = poll_frame(&mut body) {
        assert!(part.len() <= (64 << 10) + 9);
        sent += part.len();
        assert_eq!(seen.load(SeqCst), sent / 9, "no event is seen before it is sent");
    }
    assert_eq!(sent, frame.len());
}

#[tokio::test]
async fn task_that_never_waits_lets_others_run() {
    let (feed, source) = Feed::new();
    let drops = filter::from_fn(|_| filter::Verdict::Drop);
    let mut body = FilterBody::new(source, drops);
    for _ in 0..100_000 {
        feed.data("data: a\n\n");
    }
    let reading = tokio::spawn(async move {
        _ = http_body_util::BodyExt::frame(&mut body).await;
    });
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    assert!(feed.polls() > 0, "the body is read");
    assert!(feed.polls() < 50_000, "{} events without a pause", feed.polls());
    reading.abort();
}
