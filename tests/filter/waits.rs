//! Nothing that is complete waits for what comes later, and what a filter keeps is bounded.

use allocation_counter::measure;

use crate::{rig::through, support::*, *};

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
        ("\n\n\n", "\n"),
        (": c\n\n", ": c\n"),
        ("\r\n", ""),
        (":\r", ":\r"),
        ("\n\r", "\n"),
        ("\n", ""),
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
async fn large_frames_are_filtered_in_parts() {
    let (feed, source) = Feed::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let count = filter::from_fn(move |_| {
        counted.fetch_add(1, SeqCst);
        Verdict::Pass
    });
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

// What a filter keeps is bounded, and passing costs no allocation.

const LIMIT: usize = 64 << 10;
const PIECE: usize = 1 << 10;

/// Returns the peak memory of a filter that gets up to 1000 pieces, and whether the filter failed.
fn most_memory(first: &'static str, piece: &'static str) -> (u64, bool) {
    let piece = Bytes::from_static(piece.repeat(PIECE / piece.len()).leak().as_bytes());
    let mut failed = false;
    let counted = measure(|| {
        let (feed, source) = Feed::new();
        let filters = FilterLayer::new(|_: &Request<()>| Some(filter::from_fn(|_| Verdict::Pass)));
        let filters = filters.max_event_size(LIMIT);
        let mut body = through(&filters, event_stream(source)).into_body();
        feed.data(first);
        _ = poll_frame(&mut body);
        for _ in 0..1000 {
            feed.data(piece.clone());
            failed = matches!(poll_frame(&mut body), Polled::Failed(_));
            // The feed would keep frames that are not read.
            if failed {
                break;
            }
        }
    });
    (counted.bytes_max, failed)
}

#[test]
fn memory_is_bounded() {
    for (case, first, piece, fails) in [
        ("event without end", "id: 7\n", "data: x\n", true),
        ("long line", "data: ", "x", true),
        ("long name of a field", "x", "x", true),
        ("many data lines", "", "data\n", true),
        ("comments within an event", "data: x\n", ":\n", true),
        ("comment within an event", "data: x\n:", "c", true),
        ("retry line", "retry: ", "1", true),
        ("comments between events", "", ":\n", false),
        ("comment between events", ":", "c", false),
        ("empty lines", "", "\r\n", false),
        ("retry lines", "", "retry: 1\n", false),
        ("events", "", "data: x\n\n", false),
    ] {
        let (bytes, failed) = most_memory(first, piece);
        assert_eq!(failed, fails, "{case}");
        // While a buffer grows, the old one and the new one exist.
        let most = if fails { 3 * LIMIT } else { 0 } + 4 * PIECE;
        assert!(bytes < most as u64, "{case}: {bytes} bytes");
    }
}

#[test]
fn passing_events_allocate_nothing() {
    for frame in ["data: 0123456789abcdef\n\n", "id: 7\nevent: e\ndata: a\n: c\n\n:\n"] {
        let (feed, source) = Feed::new();
        let mut body = FilterBody::new(
            source,
            filter::from_fn(|event| {
                assert!(event.has_data());
                Verdict::Pass
            }),
        );
        feed.passes(frame, &mut body);
        for _ in 0..100 {
            feed.data(frame);
        }
        let counted = measure(|| while let Polled::Data(_) = poll_frame(&mut body) {});
        assert_eq!(counted.count_total, 0, "{frame:?}");
    }
}

#[test]
fn stream_takes_one_allocation() {
    let (_feed, source) = Feed::new();
    let mut body = None;
    let counted =
        measure(|| body = Some(FilterBody::new(source, filter::from_fn(|_| Verdict::Pass))));
    assert_eq!(counted.count_total, 1);
    assert!(counted.bytes_total <= 512, "{} bytes", counted.bytes_total);
    drop(body);
}

#[test]
fn buffer_of_a_large_event_is_freed_after_it() {
    let (feed, source) = Feed::new();
    let mut body = FilterBody::new(source, filter::from_fn(|_| Verdict::Pass));
    let line = format!("data: {}", "x".repeat(10_000)).leak();
    let mut held = |text: &'static str| {
        feed.data(text);
        measure(|| while let Polled::Data(_) = poll_frame(&mut body) {}).bytes_current
    };
    assert!(held(line) >= 10_000, "it is carried");
    assert!(held("\n\n") <= -10_000, "it is freed when the source is idle");
}

#[test]
fn large_frame_is_not_kept_for_its_incomplete_event() {
    let (feed, mut body, _log) = fed_by(PASS);
    let mut frame = "data: x\n\n".repeat(1000).into_bytes();
    frame.extend_from_slice(b"data: half");
    let frame = Bytes::from(frame);
    feed.data(frame.clone());
    let Polled::Data(sent) = poll_frame(&mut body) else { panic!("no data") };
    assert_eq!(sent.as_ptr(), frame.as_ptr(), "what passes is not copied");
    drop(sent);
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    assert!(frame.is_unique());
}
