//! The end of every filtered stream is reported exactly once, with its outcome. Nothing is reported
//! for a response that is not filtered.

use crate::naive_filter::{ADDED, Choice};
use crate::{rig::through, support::*, *};

pub(crate) const TOO_LATE: &str = "event stream rejected after the head of its response";

#[tokio::test(start_paused = true)]
async fn verdict_that_ends_the_stream_drops_the_source() {
    for (choice, last, expected) in [
        (Choice::End, data(ADDED), "stopped"),
        (Choice::Fail, failed("by the filter"), "filter_failed"),
    ] {
        let (feed, mut body, log) = fed_by(on_events(&[Choice::Pass, choice]));
        feed.passes("data: 0\n\n", &mut body);
        feed.data("data: a\n\ndata: b\n\n");
        assert_polls(&mut body, [last]);
        assert!(feed.is_dropped(), "{choice:?}");
        assert_polls(&mut body, [Polled::End, Polled::End]);
        assert_eq!(outcome(&log), expected);
        drop(body);
        assert_eq!(outcome(&log), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_follow_the_last_bytes_unless_the_filter_ends_the_stream() {
    let behind_added = format!("{ADDED}data: half").leak();
    for (plan, last, has_trailers) in [
        (PASS, data("data: half"), true),
        (at_end(Choice::Replace), data(behind_added), true),
        (on_events(&[Choice::End]), data(ADDED), false),
        (on_events(&[Choice::Fail]), failed("by the filter"), false),
        (on_events(&[Choice::Reject]), failed(TOO_LATE), false),
    ] {
        let _case = case(format!("{plan:?}"));
        let (feed, mut body, log) = fed_by(plan);
        feed.data("data: half");
        let mut trailers = checksum();
        trailers.insert("repr-digest", "sha-256=:of the source:".parse().unwrap());
        feed.trailers(trailers);
        feed.end();
        let behind = if has_trailers { Polled::Trailers(checksum()) } else { Polled::End };
        assert_polls(&mut body, [last, behind, Polled::End]);
        assert_eq!(outcome(&log), "mid_event");
        assert_eq!(log.lock().unwrap().source_ends.is_empty(), !has_trailers);
    }
}

#[tokio::test(start_paused = true)]
async fn rejection_after_the_head_fails_the_body() {
    let (feed, mut body, log) = fed_by(on_events(&[Choice::Reject]));
    feed.data("data: a\n\n");
    feed.end();
    assert_polls(&mut body, [failed(TOO_LATE), Polled::End]);
    assert_eq!(outcome(&log), "stopped");
}

#[tokio::test(start_paused = true)]
async fn dropped_body_and_future_are_disconnected() {
    let (_feed, mut body, log) = fed_by(PASS);
    assert_polls(&mut body, [Polled::Pending]);
    drop(body);
    assert_eq!(outcome(&log), "disconnected");

    let (_feed, body, log) = fed_by(PASS);
    drop(body);
    assert_eq!(outcome(&log), "disconnected", "before the first poll");

    let (layer, log) = filters(PASS);
    drop(call(&layer, Request::new(()), pending::<Result<Response<String>, _>>()));
    assert_eq!(outcome(&log), "disconnected", "before the response");
}

#[tokio::test(start_paused = true)]
async fn responses_that_are_not_filtered_pass_unchanged() {
    let stream = || event_stream("data: a\n\n".to_owned()).with_header("content-length", "9");
    let text = Response::new("text".to_owned()).with_header("etag", "1");
    for (method, answer, name) in [
        (Method::GET, text, "text"),
        (Method::GET, stream().with_status(204), "204"),
        (Method::HEAD, stream(), "head"),
    ] {
        let (layer, log) = filters(PASS);
        let request = Request::builder().method(method).body(()).unwrap();
        let (headers, status) = (answer.headers().clone(), answer.status());
        let answer = call(&layer.hold_head(SECOND), request, ready(Ok(answer)));
        let response = answer.now_or_never().expect("a head that is not held").unwrap();
        assert_eq!((response.headers(), response.status()), (&headers, status), "{name}");
        assert_discarded(&log);
        let (text, error) = read_to_end(response.into_body()).await;
        assert!(!text.is_empty() && error.is_none(), "{name}");
    }
    let (layer, log) = filters(PASS);
    let answer = ready(Err::<Response<String>, _>(BoxError::from("unavailable")));
    let error = call(&layer, Request::new(()), answer).await.unwrap_err();
    assert_eq!(error.to_string(), "unavailable");
    assert_discarded(&log);
}

#[tokio::test(start_paused = true)]
async fn stream_with_a_content_coding_is_refused() {
    let mut answer = event_stream("coded".to_owned())
        .with_header("content-encoding", "gzip")
        .with_header("access-control-allow-origin", "*");
    *answer.version_mut() = Version::HTTP_3;
    let (layer, log) = filters(PASS);
    let response = through(&layer, answer);
    assert_eq!(
        (response.status(), response.version()),
        (StatusCode::BAD_GATEWAY, Version::HTTP_11)
    );
    assert!(!response.headers().contains_key("content-encoding"));
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_discarded(&log);
    let (text, _) = read_to_end(response.into_body()).await;
    assert_eq!(text, "an event stream with a content coding cannot be filtered");
}

#[tokio::test(start_paused = true)]
async fn headers_of_a_whole_body_are_removed_and_others_stay() {
    let (layer, _log) = filters(PASS);
    let mut answer = event_stream("data: a\n\n".to_owned())
        .with_header("content-length", "9")
        .with_header("etag", "1")
        .with_header("x-request-id", "7");
    // In HTTP/1.0, the client couldn't tell whether the body failed.
    *answer.version_mut() = Version::HTTP_10;
    let response = through(&layer, answer);
    assert_eq!(response.version(), Version::HTTP_11);
    let names: BTreeSet<_> = response.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["content-type", "x-request-id"].into());
}

#[tokio::test(start_paused = true)]
async fn no_filter_passes_everything() {
    let layer = FilterLayer::new(|_: &Request<()>| None::<Box<dyn EventFilter + Send>>);
    let response = through(&layer, event_stream("data: a".to_owned()).with_header("etag", "1"));
    assert_eq!(response.headers()["etag"], "1");
    assert_eq!(read_to_end(response.into_body()).await.0, "data: a");
}

#[tokio::test(start_paused = true)]
async fn report_counts_bytes_events_and_times() {
    let (feed, mut body, log) = fed_by(on_events(&[Choice::Drop]));
    idle(&mut body, SECOND).await;
    feed.data("data: a\n\n: c\n");
    assert_polls(&mut body, [data(": c\n")]);
    idle(&mut body, SECOND).await;
    feed.data("data: b\n\n");
    feed.end();
    assert_polls(&mut body, [data("data: b\n\n"), Polled::End]);
    let log = log.lock().unwrap();
    let FilterEnd { events, bytes_received, bytes_sent, age, .. } = log.ends[0];
    assert_eq!((events, bytes_received, bytes_sent), (2, 22, 13));
    assert_eq!(age, 2 * SECOND);
}

/// A large frame is filtered in parts.
#[tokio::test(start_paused = true)]
async fn report_counts_the_whole_frame_in_which_a_filter_ends_the_stream() {
    for size in [1 << 10, 1 << 20] {
        let (feed, mut body, log) = fed_by(on_events(&[Choice::End]));
        let frame = "data: a\n\n: c\n".to_owned() + &"x".repeat(size);
        feed.data(frame.clone());
        while !matches!(poll_frame(&mut body), Polled::End) {}
        assert_eq!(log.lock().unwrap().ends[0].bytes_received, frame.len() as u64, "{size}");
    }
}

/// A filter that panics in one of its methods, or when it is dropped.
struct Panics {
    at: &'static str,
    log: Logged,
}

impl EventFilter for Panics {
    fn event(&mut self, _: EventRef<'_>) -> Verdict {
        assert_ne!(self.at, "event");
        Verdict::Pass
    }

    fn source_end(&mut self, _: SourceEnd<'_>) -> Verdict {
        assert_ne!(self.at, "source_end");
        Verdict::Pass
    }

    fn end(&mut self, end: &FilterEnd) {
        self.log.lock().unwrap().ends.push(end.clone());
        assert_ne!(self.at, "end");
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.log.lock().unwrap().drops += 1;
        assert_ne!(self.at, "drop");
    }
}

#[tokio::test(start_paused = true)]
async fn panic_of_the_filter_propagates_and_the_body_never_ends_cleanly() {
    for (at, is_polled_again) in [("event", true), ("event", false), ("source_end", true)] {
        let (log, (feed, source)) = (Logged::default(), Feed::new());
        let mut body = FilterBody::new(source, Panics { at, log: log.clone() });
        feed.data("data: a\n\n");
        feed.end();
        let panicked =
            catch_unwind(AssertUnwindSafe(|| while poll_frame(&mut body) != Polled::End {}));
        assert!(panicked.is_err(), "{at}");
        if is_polled_again {
            let panicked = failed("event stream panicked");
            assert_polls(&mut body, [panicked.clone(), panicked]);
            assert!(feed.is_dropped(), "{at}");
            assert_eq!(outcome(&log), "panicked", "{at}");
        }
        drop(body);
        assert_eq!(outcome(&log), "panicked", "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn panic_of_the_report_and_of_the_drop_is_caught() {
    for at in ["end", "drop"] {
        let (log, (feed, source)) = (Logged::default(), Feed::new());
        let mut body = FilterBody::new(source, Panics { at, log: log.clone() });
        feed.data("data: a\n\n");
        feed.end();
        assert_polls(&mut body, [data("data: a\n\n"), Polled::End]);
        assert_eq!(outcome(&log), "completed", "{at}");
        let body = FilterBody::new("".to_owned(), Panics { at, log: Logged::default() });
        drop(body);
    }
}

#[tokio::test(start_paused = true)]
async fn response_after_a_caught_panic_of_the_service_is_withheld() {
    let (layer, log) = filters(PASS);
    let mut has_panicked = false;
    let answer = poll_fn(move |_| {
        assert!(mem::replace(&mut has_panicked, true), "the service");
        Poll::Ready(Ok(tower_sse::response(stream::iter([Event::from("a")]))))
    });
    let mut answer = Box::pin(call(&layer, Request::new(()), answer));
    let cx = &mut Context::from_waker(Waker::noop());
    catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx).is_ready())).unwrap_err();
    assert!(answer.as_mut().poll(cx).is_pending());
    drop(answer);
    assert_eq!(outcome(&log), "panicked");
}

/// The property tests rarely generate streams with two byte order marks, or with one behind a
/// dropped event.
#[test]
fn mark_within_the_source_does_not_become_the_first_bytes() {
    for (stream, sent) in [
        ("data: a\n\n\u{feff}data: b\n\n", "\n\u{feff}data: b\n\n"),
        ("\u{feff}data: a\n\n\u{feff}data: b\n\n", "\u{feff}\u{feff}data: b\n\n"),
    ] {
        let mut is_first = true;
        let filter = filter::from_fn(|event| {
            let is_dropped = mem::take(&mut is_first);
            if is_dropped { Verdict::Drop } else { Verdict::Replace(event.to_encoded()) }
        });
        assert_eq!(
            read(&mut FilterBody::new(stream.to_owned(), filter)).0.concat(),
            sent.as_bytes()
        );
    }
}
