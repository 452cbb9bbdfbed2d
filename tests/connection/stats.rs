use crate::*;

#[test]
fn every_reason_has_a_name_of_its_own_for_a_label() {
    let mut names = BTreeSet::new();
    for (reason, closed) in Stats::new().snapshot().closed_by_reason {
        assert_eq!((&*reason.to_string(), closed), (reason.as_str(), 0));
        assert!(reason.as_str().bytes().all(|byte| byte.is_ascii_lowercase()), "{reason}");
        names.insert(reason.as_str());
    }
    assert_eq!(names.len(), 9);
}

#[tokio::test(start_paused = true)]
async fn oldest_age_is_that_of_the_oldest_stream_that_is_open() {
    let stats = Stats::new();
    let layer: SseLayer = SseLayer::new().stats(&stats);
    let oldest = || stats.snapshot().oldest_age;
    assert_eq!(oldest(), None);
    let old = open::<Bodies>(&layer).unwrap();
    let twin = open::<Bodies>(&layer).unwrap();
    advance(90 * SECOND).await;
    let young = open::<Bodies>(&layer).unwrap();
    advance(5 * SECOND).await;
    assert_eq!(oldest(), Some(95 * SECOND));
    drop(old);
    assert_eq!(oldest(), Some(95 * SECOND), "its twin is as old");
    let text = stats.snapshot().prometheus().to_string();
    assert!(text.contains("\nsse_streams_oldest_age_seconds 95\n"), "{text}");
    drop(twin);
    assert_eq!(oldest(), Some(5 * SECOND));
    drop(young);
    assert_eq!(oldest(), None);
}

#[test]
fn ages_of_streams_that_have_closed_take_no_memory() {
    let builder = &mut runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    let stats = Stats::new();
    let layer: SseLayer = SseLayer::new().stats(&stats);
    let counted = measure(|| {
        runtime.block_on(async {
            let mut streams = Vec::new();
            for _ in 0..1_000 {
                streams.push(open::<Bodies>(&layer).unwrap());
                advance(SECOND).await;
            }
        });
    });
    assert!(counted.bytes_current < 4_000, "{} bytes", counted.bytes_current);
}

#[test]
fn several_layers_can_share_stats_and_a_clone_can_have_others() {
    let (stats, others) = (Stats::new(), Stats::new());
    let of_bodies: SseLayer = SseLayer::new().stats(&stats);
    let of_streams = SseLayer::new().stats(&stats.clone());
    assert_eq!(stats.snapshot(), Stats::new().snapshot());
    let open = (
        open::<Bodies>(&of_bodies.clone()).unwrap(),
        open::<Streams>(&of_streams.padding(9)).unwrap(),
        open::<Bodies>(&of_bodies.clone().stats(&others)).unwrap(),
        open::<Bodies>(&of_bodies).unwrap(),
    );
    assert_eq!((stats.snapshot().open, others.snapshot().open), (3, 1));
    drop(open);
    assert_eq!((stats.snapshot().open, stats.snapshot().closed), (0, 3));
}

/// Each stream counts its own frames, so that an event does not touch a shared counter.
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
    assert_eq!(poll_frame(&mut body), data(": \n"));
    assert_eq!(stats.snapshot().heartbeats, 1);
    let (frames, bytes) = sent();
    assert!(frames >= 3 && bytes >= 33, "the events before it: {frames}, {bytes}");

    feed.passes("data: four\n\n", &mut body);
    drop(body);
    assert_eq!((sent(), stats.snapshot().heartbeats), ((5, 33 + 3 + 12), 1));
}

/// A stream that is never idle sends no heartbeats at which it could add its counts.
#[tokio::test(start_paused = true)]
async fn frames_and_bytes_are_added_at_each_64_kib() {
    const EVENT: &str = "data: 0123456789abcdefghi\n\n";
    const STEP: u64 = 64 * 1024;
    let stats = Stats::new();
    let sent = || (stats.snapshot().frames, stats.snapshot().bytes);
    let (feed, mut body) = fed(&SseLayer::new().stats(&stats));
    let (mut frames, mut bytes, mut added) = (0, 0, (0, 0));
    while added.1 < 3 * STEP {
        feed.passes(EVENT, &mut body);
        // Gives the task a new coop budget.
        yield_now().await;
        frames += 1;
        bytes += EVENT.len() as u64;
        if bytes - added.1 >= STEP {
            added = (frames, bytes);
        }
        assert_eq!(sent(), added, "after frame {frames}");
    }
    assert_eq!(added, (frames, bytes));

    // A frame larger than 64 KiB is added at once.
    feed.data("data: ".to_owned() + &"x".repeat(3 * STEP as usize) + "\n\n");
    assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
    assert_eq!(sent(), (frames + 1, bytes + 3 * STEP + 8));
}

/// Middleware or a handler refuses clients for a reason of its own. The innermost layer counts
/// these refusals.
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
async fn snapshot_has_metrics_for_prometheus() {
    let stats = Stats::new();
    let layer = SseLayer::new().stats(&stats);
    ExitPath::SourceEnds.go::<Bodies>(&layer).await;
    let now = stats.snapshot();
    let text = now.prometheus().to_string();
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

fn path(parts: &Parts) -> String {
    parts.uri.path().to_owned()
}

fn counts(now: &StatsSnapshot) -> Vec<(&str, u64, u64)> {
    let both = now.open_by_label.iter().zip(&now.opened_by_label);
    both.map(|((label, open), (same, opened))| {
        assert_eq!(label, same);
        (&**label, *open, *opened)
    })
    .collect()
}

fn request(path: &str) -> Request<()> {
    Request::get(path).header("x-kept", "yes").extension(7_u8).body(()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn label_of_the_request_is_in_the_report_and_the_statistics() {
    let stats = Stats::new();
    let layer = || SseLayer::new().label(path).stats(&stats);
    let one = Rig::fed(layer(), request("/events"));
    let two = Rig::fed(layer(), request("/chat"));
    let three = Rig::fed(layer(), request("/events"));
    assert_eq!(counts(&stats.snapshot()), [("/events", 2, 2), ("/chat", 1, 1)]);
    assert_eq!(one.leave().label.as_deref(), Some("/events"));
    assert_eq!(counts(&stats.snapshot()), [("/events", 1, 2), ("/chat", 1, 1)]);
    let text = stats.snapshot().prometheus().to_string();
    assert!(text.contains("sse_label_streams_open{label=\"/events\"} 1\n"), "{text}");
    assert!(text.contains("sse_label_streams_opened_total{label=\"/events\"} 2\n"), "{text}");
    drop((two, three));
    assert_eq!(Rig::fed(SseLayer::new(), request("/")).leave().label, None);
}

#[tokio::test(start_paused = true)]
async fn request_is_unchanged_behind_the_label() {
    let layer = SseLayer::new().label(|parts: &Parts| {
        assert_eq!((parts.uri.path(), parts.method.as_str()), ("/a", "GET"));
        assert_eq!(parts.extensions.get(), Some(&7_u8));
        "a"
    });
    answer_by(request("/a"), &layer, |request| {
        assert_eq!(
            (request.uri().path(), &request.headers()["x-kept"]),
            ("/a", &"yes".parse().unwrap())
        );
        assert_eq!(request.extensions().get(), Some(&7_u8));
        event_stream(Feed::new().1)
    });
}

#[tokio::test(start_paused = true)]
async fn responses_without_a_stream_count_for_no_label() {
    let stats = Stats::new();
    let layer = SseLayer::new().label(path).stats(&stats);
    answer_to(request("/"), &layer, http::Response::new(Feed::new().1));
    assert_eq!(counts(&stats.snapshot()), []);
    assert!(!stats.snapshot().prometheus().to_string().contains("label"));
}

/// If a program takes the path as the label, clients can choose labels.
#[tokio::test(start_paused = true)]
async fn streams_with_too_many_labels_count_as_other() {
    let stats = Stats::new();
    let layer = || SseLayer::new().label(path).stats(&stats);
    let open: Vec<_> =
        (0..150).map(|label| Rig::fed(layer(), request(&format!("/{label}")))).collect();
    let now = stats.snapshot();
    assert_eq!(counts(&now)[99..], [("/99", 1, 1), ("other", 50, 50)]);
    let reports = open.into_iter().map(Rig::leave);
    let labels: Vec<_> = reports.map(|report| report.label.unwrap()).collect();
    assert_eq!(&*labels[149], "/149", "a report has its own label");
    let now = stats.snapshot();
    assert_eq!(counts(&now)[99..], [("/99", 0, 1), ("other", 0, 50)]);
}

#[tokio::test(start_paused = true)]
async fn closure_that_panics_leaves_the_stream_without_a_label() {
    let layer = SseLayer::new().label(|_| -> &str { panic!("in the label") });
    assert_eq!(Rig::fed(layer, request("/")).leave().label, None);
}

// Streams that open and close on many threads while the counters are read.

const THREADS: u64 = 4;
const STREAMS: u64 = 3_000;

/// Half of the streams close on the thread that opened them, and the others on another thread.
#[test]
fn no_more_streams_are_ever_closed_than_opened() {
    let (stats, reports) = (Stats::new(), Reports::default());
    let layer: SseLayer =
        reports.observe(SseLayer::new().stats(&stats).without_heartbeat().max_streams(64));
    let done = AtomicBool::new(false);
    let snapshots = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut snapshots, mut before) = (0_u64, stats.snapshot());
            while !done.load(SeqCst) {
                let now = stats.snapshot();
                assert!(now.closed <= now.opened, "{now:?}");
                assert_eq!(now.open, now.opened - now.closed);
                assert!(now.opened >= before.opened && now.closed >= before.closed);
                (snapshots, before) = (snapshots + 1, now);
            }
            snapshots
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                let (bodies, received) = mpsc::channel();
                let closing = scope.spawn(move || received.into_iter().for_each(drop));
                let layer = &layer;
                let opening = scope.spawn(move || {
                    for number in 0..STREAMS {
                        let (feed, mut body) = loop {
                            let (feed, source) = Feed::new();
                            let response = through(layer, event_stream(source));
                            if response.status() == 200 {
                                break (feed, response.into_body());
                            }
                            thread::yield_now();
                        };
                        feed.data("data: one\n\n");
                        assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
                        if number % 2 == 0 {
                            feed.end();
                            assert_eq!(poll_frame(&mut body), Polled::End);
                        }
                        bodies.send(body).unwrap();
                    }
                });
                [opening, closing]
            })
            .collect();
        for worker in workers.into_iter().flatten() {
            worker.join().unwrap();
        }
        done.store(true, SeqCst);
        reading.join().unwrap()
    });
    assert!(snapshots > 0);

    let (now, all) = (stats.snapshot(), THREADS * STREAMS);
    assert_eq!((now.open, now.opened, now.closed), (0, all, all));
    assert_eq!((now.frames, now.bytes), (all, 11 * all));
    for reason in [CloseReason::Ended, CloseReason::Disconnected] {
        assert!(now.closed_by_reason.contains(&(reason, all / 2)), "{now:?}");
    }
    assert_eq!((reports.opened() as u64, reports.closed().len() as u64), (all, all));
}
