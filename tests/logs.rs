//! What is logged, with feature `tracing`: a line at DEBUG for every stream, and hardly anything else.
#![cfg(feature = "tracing")]

mod support;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Request;
use tower_sse::SseLayer;
use tracing::{Level, subscriber};
use tracing_subscriber::fmt::MakeWriter;

use support::{Feed, Polled, event_stream, poll_frame, source::answer_to, through};

/// What was logged, line by line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let log = self.0.lock().unwrap();
        str::from_utf8(&log).unwrap().lines().map(|line| line.trim_start().to_owned()).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// What `run` logs at DEBUG and above.
fn logged(run: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    let lines = tracing_subscriber::fmt()
        .with_max_level(Level::DEBUG)
        .with_writer(log.clone())
        .without_time()
        .with_ansi(false)
        .finish();
    subscriber::with_default(lines, run);
    log.lines()
}

#[test]
fn a_stream_without_a_runtime_warns_once() {
    let lines = logged(|| {
        let (feed, source) = Feed::new();
        let mut body = through(&SseLayer::new(), event_stream(source)).into_body();
        for _ in 0..3 {
            assert_eq!(poll_frame(&mut body), Polled::Pending);
            feed.data("data: a\n\n");
            assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
        }
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("WARN tower_sse"), "{lines:?}");
    assert!(lines[0].contains("no heartbeats"), "{lines:?}");
    assert!(lines[1].contains("closed"), "{lines:?}");
}

#[tokio::test]
async fn a_source_that_left_is_a_debug_line() {
    let lines = logged(|| {
        let (feed, source) = Feed::new();
        let mut body = through(&SseLayer::new(), event_stream(source)).into_body();
        feed.fail(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(poll_frame(&mut body), Polled::End);
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("DEBUG tower_sse"), "{lines:?}");
    assert!(lines[0].contains("left"), "{lines:?}");
    assert!(lines[1].starts_with("DEBUG tower_sse"), "{lines:?}");
    assert!(lines[1].contains(r#"reason="ended""#), "{lines:?}");
}

#[tokio::test]
async fn a_last_event_id_that_no_event_can_have_is_a_debug_line_and_no_error() {
    let (_feed, source) = Feed::new();
    let mut response = None;
    let lines = logged(|| {
        let layer = SseLayer::new().last_event_id_query(["lastEventId"]);
        let request = Request::get("/?lastEventId=7%0Adata:%20forged").body(()).unwrap();
        response = Some(answer_to(request, &layer, event_stream(source)));
    });
    assert_eq!(response.unwrap().status(), 200);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("DEBUG tower_sse"), "{lines:?}");
    assert!(lines[0].contains(r"'\n'"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_what_streams_do_logs_its_close_only() {
    let (feed, source) = Feed::new();
    let mut body = through(&SseLayer::new(), event_stream(source)).into_body();
    let quiet = |run: &mut dyn FnMut()| assert_eq!(logged(run), [""; 0]);
    quiet(&mut || {
        feed.data("data: a\n\n");
        assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
        assert_eq!(poll_frame(&mut body), Polled::Pending);
    });
    tokio::time::advance(Duration::from_secs(20)).await;
    quiet(&mut || assert!(matches!(poll_frame(&mut body), Polled::Data(_))));
    let mut body = Some(body);
    // The client leaves.
    let lines = logged(|| drop(body.take()));
    assert!(feed.is_dropped());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("DEBUG tower_sse"), "{lines:?}");
    assert!(lines[0].contains(r#"reason="disconnected""#), "{lines:?}");
    assert!(lines[0].contains("frames=2 bytes=11 heartbeats=1"), "{lines:?}");
}
