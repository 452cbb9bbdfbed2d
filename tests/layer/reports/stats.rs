use tokio::task::yield_now;
use tower_sse::StatsSnapshot;

use crate::*;

fn closed_for(now: &StatsSnapshot, reason: CloseReason) -> u64 {
    now.closed_by_reason.iter().find(|(other, _)| *other == reason).unwrap().1
}

#[test]
fn every_reason_has_a_name_of_its_own_for_a_label() {
    let mut names: Vec<_> = Stats::new()
        .snapshot()
        .closed_by_reason
        .into_iter()
        .map(|(reason, closed)| (reason.to_string(), reason.as_str(), closed))
        .collect();
    for (shown, name, closed) in &names {
        assert_eq!((shown.as_str(), *closed), (*name, 0));
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
    }
    names.dedup();
    assert_eq!(names.len(), 8);
}

#[test]
fn stream_is_open_from_its_head_to_its_drop() {
    let stats = Stats::new();
    let layer: SseLayer = SseLayer::new().stats(&stats);
    assert_eq!(stats.snapshot(), Stats::new().snapshot());
    let bodies: Vec<_> = (0..3).map(|_| open::<Bodies>(&layer).unwrap()).collect();
    assert_eq!((stats.snapshot().open, stats.snapshot().opened), (3, 3));
    drop(bodies);
    let now = stats.snapshot();
    assert_eq!((now.open, now.opened, now.closed), (0, 3, 3));
    assert_eq!(closed_for(&now, CloseReason::Disconnected), 3);
}

#[test]
fn several_layers_can_share_stats_and_clones_are_shared() {
    let stats = Stats::new();
    let of_bodies: SseLayer = SseLayer::new().stats(&stats);
    let of_streams = SseLayer::new().stats(&stats.clone());
    let alone = SseLayer::new();
    let open = (
        open::<Bodies>(&of_bodies.clone()).unwrap(),
        open::<Streams>(&of_streams.padding(9)).unwrap(),
        open::<Bodies>(&alone).unwrap(),
    );
    assert_eq!(stats.snapshot().open, 2);
    drop(open);
    assert_eq!((stats.snapshot().open, stats.snapshot().closed), (0, 2));
}

#[test]
fn other_stats_on_a_clone_do_not_affect_the_original() {
    let (one, other) = (Stats::new(), Stats::new());
    let layer: SseLayer = SseLayer::new().stats(&one);
    let clone = layer.clone().stats(&other);
    let _open = (open::<Bodies>(&layer).unwrap(), open::<Bodies>(&clone).unwrap());
    assert_eq!((one.snapshot().open, other.snapshot().open), (1, 1));
}

/// Each stream counts for itself, so that an event does not touch a shared counter.
#[tokio::test(start_paused = true)]
async fn frames_and_bytes_are_added_at_heartbeats_and_at_the_close() {
    let stats = Stats::new();
    let sent = || (stats.snapshot().frames, stats.snapshot().bytes);
    let layer = SseLayer::new().stats(&stats).heartbeat(Heartbeat::every(16 * SECOND));
    let (feed, mut body) = fed(&layer);
    for _ in 0..3 {
        feed.passes("data: one\n\n", &mut body);
    }
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    assert_eq!(sent(), (0, 0));

    advance(17 * SECOND).await;
    assert_eq!(poll_frame(&mut body), data(":\n"));
    assert_eq!(stats.snapshot().heartbeats, 1);
    let (frames, bytes) = sent();
    assert!(frames >= 3 && bytes >= 33, "the events before it: {frames}, {bytes}");

    feed.passes("data: four\n\n", &mut body);
    drop(body);
    assert_eq!((sent(), stats.snapshot().heartbeats), ((5, 33 + 2 + 12), 1));
}

/// A stream that is never idle sends no heartbeats.
#[tokio::test(start_paused = true)]
async fn frames_and_bytes_are_added_at_each_64_kib() {
    const EVENT: &str = "data: 0123456789abcdefghi\n\n";
    const STEP: u64 = 64 * 1024;
    let stats = Stats::new();
    let sent = || (stats.snapshot().frames, stats.snapshot().bytes);
    let (feed, mut body) = fed(&SseLayer::new().stats(&stats));
    let (mut frames, mut bytes, mut added) = (0, 0, (0, 0));
    while bytes < 3 * STEP {
        feed.passes(EVENT, &mut body);
        // For a new cooperative budget.
        yield_now().await;
        frames += 1;
        bytes += EVENT.len() as u64;
        if bytes / STEP > added.1 / STEP {
            added = (frames, bytes);
        }
        assert_eq!(sent(), added, "after frame {frames}");
    }
    assert_eq!(added, (frames, bytes));

    // A frame that is larger is added at once.
    feed.data("data: ".to_owned() + &"x".repeat(3 * STEP as usize) + "\n\n");
    assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
    assert_eq!(sent(), (frames + 1, bytes + 3 * STEP + 8));
}

#[test]
fn refused_client_is_counted_as_refused_and_not_as_opened() {
    let stats = Stats::new();
    let bodies: SseLayer = SseLayer::new().stats(&stats).max_streams(1);
    let streams = SseLayer::new().stats(&stats).max_streams(1);
    let _open = (open::<Bodies>(&bodies).unwrap(), open::<Streams>(&streams).unwrap());
    for refused in 1..4 {
        open::<Bodies>(&bodies).unwrap_err();
        open::<Streams>(&streams).unwrap_err();
        let now = stats.snapshot();
        assert_eq!((now.refused, now.opened, now.closed), (2 * refused, 2, 0));
    }

    // A 406 is not a refusal: retrying later would not help the client.
    let strict: SseLayer = SseLayer::new().stats(&stats).require_accept(true);
    let request = Request::get("/").header("accept", "text/html").body(()).unwrap();
    drop(answer_to(request, &strict, event_stream(Feed::new().1)));
    assert_eq!((stats.snapshot().refused, stats.snapshot().opened), (6, 2));
}

/// Middleware or a handler refuses clients for a reason of its own. The innermost layer counts them.
#[test]
fn client_that_the_program_refuses_is_counted_once() {
    for (refusal, status) in [(Refusal::retry_later(), 200), (Refusal::unavailable(), 503)] {
        let (inner, outer) = (Stats::new(), Stats::new());
        let refused = || refusal.answer(&Request::new(()).into_parts().0);
        for tracks in [false, true] {
            let layer = |stats| SseLayer::new().stats(stats).track_disconnects(tracks);
            assert_eq!(through(&layer(&inner), refused()).status(), status);
            let passed = through(&layer(&outer), through(&layer(&inner), refused()));
            assert_eq!(passed.status(), status);
        }
        assert_eq!((inner.snapshot().refused, outer.snapshot().refused), (4, 0), "{status}");
        assert_eq!((inner.snapshot().opened, inner.snapshot().closed), (0, 0));
    }
}

#[test]
fn another_503_is_not_counted_as_refused() {
    let stats = Stats::new();
    let answer = event_stream(Feed::new().1).with_status(503);
    drop(through(&SseLayer::new().stats(&stats), answer));
    drop(through(&SseLayer::new().stats(&stats), Response::new(String::new()).with_status(503)));
    assert_eq!(stats.snapshot().refused, 0);
}

#[tokio::test(start_paused = true)]
async fn snapshot_displays_as_metrics_of_prometheus() {
    let stats = Stats::new();
    let layer = SseLayer::new().stats(&stats);
    ExitPath::SourceEnds.go::<Bodies>(&layer).await;
    let now = stats.snapshot();
    let text = now.to_string();
    assert!(text.starts_with("# HELP sse_streams_open Streams that are open.\n"), "{text}");
    for line in [
        "# TYPE sse_streams_open gauge\nsse_streams_open 0\n".to_owned(),
        "# TYPE sse_streams_opened_total counter\nsse_streams_opened_total 1\n".to_owned(),
        "\nsse_streams_closed_total{reason=\"ended\"} 1\n".to_owned(),
        "\nsse_streams_closed_total{reason=\"drained\"} 0\n".to_owned(),
        format!("# TYPE sse_bytes_total counter\nsse_bytes_total {}\n", now.bytes),
    ] {
        assert!(text.contains(&line), "{line} is not in {text}");
    }
}
