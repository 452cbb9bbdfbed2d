//! Log lines with feature `tracing`: one at DEBUG for every stream, and few others.
#![cfg(feature = "tracing")]

use tracing_subscriber::layer::{Context, Layer};

use crate::*;

fn logged(run: impl FnOnce()) -> Vec<String> {
    let (log, _recording) = Log::record();
    run();
    log.all()
}

#[track_caller]
fn assert_lines(lines: &[String], expected: &[(&str, &str)]) {
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, (level, text)) in lines.iter().zip(expected) {
        assert!(line.starts_with(&format!("{level} tower_sse")), "{line}");
        assert!(line.contains(text), "{line}");
    }
}

/// A subscriber panics, for example, when it writes to a standard error that is closed.
#[test]
fn subscriber_that_panics_keeps_no_close_from_its_reports() {
    struct Panics;

    impl<S: Subscriber> Layer<S> for Panics {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            panic!("in the subscriber, at {}", event.metadata().target());
        }
    }

    let _recording = record_by(Registry::default().with(Panics));
    let (reports, stats) = (Reports::default(), Stats::new());
    let layer = reports.observe(SseLayer::new().without_heartbeat().stats(&stats));
    let (_feed, body) = fed(&layer);
    drop(body);
    assert_eq!(reports.closed().len(), 1);
    assert_eq!(stats.snapshot().open, 0);
}

#[tokio::test]
async fn callback_that_panics_is_a_warn_line() {
    let lines = logged(|| {
        let layer = SseLayer::new()
            .on_open(|| panic!("in on_open"))
            .on_error(|_| panic!("in on_error"))
            .on_close(|_| panic!("in on_close"));
        let (feed, mut body) = fed(&layer);
        feed.fail("disk full");
        assert_eq!(poll_frame(&mut body), data(": \n"));
    });
    let panicked = ("WARN", "a callback of an event stream panicked");
    let failed = ("DEBUG", r#"reason="failed""#);
    assert_lines(&lines, &[panicked, panicked, failed, panicked]);
}

#[tokio::test]
async fn invalid_last_event_id_is_a_debug_line_and_no_error() {
    let (_feed, source) = Feed::new();
    let mut response = None;
    let lines = logged(|| {
        let layer = SseLayer::new().last_event_id_query("lastEventId");
        let request = Request::get("/?lastEventId=7%0Adata:%20forged").body(()).unwrap();
        response = Some(answer_to(request, &layer, event_stream(source)));
    });
    assert_eq!(response.unwrap().status(), 200);
    assert_lines(&lines, &[("DEBUG", r"'\n'")]);
}

#[tokio::test(start_paused = true)]
async fn ordinary_stream_logs_only_its_close() {
    let (log, _recording) = Log::record();
    let (feed, mut body) = fed(&SseLayer::new());
    feed.passes("data: a\n\n", &mut body);
    idle(&mut body, 20 * SECOND).await;
    assert_eq!(poll_frame(&mut body), data(": \n"));
    assert_eq!(log.all(), [""; 0]);
    drop(body);
    let closed = r#"reason="disconnected""#;
    assert_lines(&log.all(), &[("DEBUG", closed)]);
    assert!(log.all()[0].contains("frames=2 bytes=12 heartbeats=1"), "{:?}", log.all());
}

/// At a higher level, many clients that reconnect too early would fill the log.
#[test]
fn refusal_is_a_debug_line() {
    let layer = SseLayer::new().max_streams(1);
    let _open = through(&layer, event_stream(Feed::new().1));
    let lines = logged(|| drop(through(&layer, event_stream(Feed::new().1))));
    assert_lines(&lines, &[("DEBUG", "refused")]);
}

/// A layer that tracks disconnects and limits streams logs nothing about other responses either.
#[test]
fn other_responses_log_nothing() {
    let layer =
        SseLayer::new().track_disconnects(true).max_streams(1).terminator(Event::from("end"));
    let lines = logged(|| {
        let (feed, body) = Feed::new();
        feed.fail("disk full");
        let page = http::Response::new(body).with_header("content-type", "text/html");
        let mut body = through(&layer, page).into_body();
        assert_eq!(poll_frame(&mut body), failed("disk full"));
    });
    assert_eq!(lines, [""; 0]);
}

#[cfg(all(feature = "hub", feature = "testing"))]
#[test]
fn publishing_without_waiting_for_the_broker_warns_once_for_each_hub() {
    use tower_sse::{hub::Hub, testing::MemoryBroker};

    let broker = MemoryBroker::new();
    let lines = logged(|| {
        for _ in 0..2 {
            let hub = Hub::connect(broker.clone()).now_or_never().unwrap().unwrap();
            for _ in 0..3 {
                assert!(hub.publish_now("a", "x").is_err());
                assert!(hub.clone().publish_now("b", "x").is_err());
            }
            assert!(hub.publish("a", "x").now_or_never().unwrap().is_ok());
        }
        assert!(Hub::new().publish_now("a", "x").is_ok());
    });
    assert_lines(&lines, &[("WARN", "publish_now"); 2]);
}
