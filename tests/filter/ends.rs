//! The end of every stream is reported exactly once, with its outcome.

use super::support::naive_filter::{ADDED, Choice, Plan};
use super::{rig::through, support::*};
use crate::*;

fn on_event(choice: Choice) -> Plan {
    Plan { events: vec![choice], ..PASS }
}

fn at_end(choice: Choice) -> Plan {
    Plan { source_end: choice, ..PASS }
}

#[tokio::test(start_paused = true)]
async fn source_that_ends_between_events_completes() {
    let (feed, mut body, log) = fed_by(PASS);
    feed.passes("data: a\n\n", &mut body);
    feed.end();
    assert_polls(&mut body, [Polled::End, Polled::End]);
    assert_eq!(outcome(&log), "completed");
    drop(body);
    assert_eq!(outcome(&log), "completed");
    let (feed, mut body, log) = fed_by(PASS);
    feed.end();
    assert_polls(&mut body, [Polled::End]);
    assert_eq!(outcome(&log), "completed");
}

#[tokio::test(start_paused = true)]
async fn tail_passes_behind_events_of_the_end() {
    let (feed, mut body, log) = fed_by(at_end(Choice::Insert));
    feed.data("data: a");
    feed.end();
    let sent = format!("{ADDED}data: a").leak();
    assert_polls(&mut body, [data(sent), Polled::End]);
    assert_eq!(outcome(&log), "mid_event");
    let log = log.lock().unwrap();
    assert!(!log.seen[0].is_terminated);
    assert_eq!(log.source_ends, ["mid_event"]);
}

#[tokio::test(start_paused = true)]
async fn verdict_that_stops_at_a_tail_is_reported_as_mid_event() {
    for (choice, polls) in [
        (Choice::End, [data(ADDED), Polled::End]),
        (Choice::Fail, [failed("by the filter"), Polled::End]),
        (
            Choice::Reject,
            [failed("event stream rejected after the head of its response"), Polled::End],
        ),
    ] {
        let (feed, mut body, log) = fed_by(on_event(choice));
        feed.data("data: half");
        feed.trailers(checksum());
        assert_polls(&mut body, polls);
        assert_eq!(outcome(&log), "mid_event", "{choice:?}");
        assert!(log.lock().unwrap().source_ends.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn error_of_the_source_follows_whole_events() {
    let (feed, mut body, log) = fed_by(PASS);
    feed.data("data: a\n\ndata: b");
    feed.fail("of the source");
    assert_polls(&mut body, [data("data: a\n\n"), failed("of the source"), Polled::End]);
    assert_eq!(outcome(&log), "failed");
    assert_eq!(log.lock().unwrap().seen.len(), 1, "the tail of a failed source is not seen");
}

#[tokio::test(start_paused = true)]
async fn hidden_error_is_a_clean_end_and_still_reported() {
    for (choice, sent) in [(Choice::Drop, ""), (Choice::Replace, ADDED), (Choice::End, ADDED)] {
        let (feed, mut body, log) = fed_by(at_end(choice));
        feed.fail("of the source");
        if !sent.is_empty() {
            assert_polls(&mut body, [data(sent)]);
        }
        assert_polls(&mut body, [Polled::End]);
        assert_eq!(outcome(&log), "failed", "{choice:?}");
    }
    let (feed, mut body, log) = fed_by(at_end(Choice::Insert));
    feed.fail("of the source");
    assert_polls(&mut body, [data(ADDED), failed("of the source"), Polled::End]);
    assert_eq!(outcome(&log), "failed");
}

#[tokio::test(start_paused = true)]
async fn verdict_that_ends_the_stream_drops_the_source() {
    for (choice, polls, expected) in [
        (Choice::End, [data("data: 0\n\n"), data(ADDED), Polled::End], "stopped"),
        (
            Choice::Fail,
            [data("data: 0\n\n"), failed("by the filter"), Polled::End],
            "filter_failed",
        ),
    ] {
        let (feed, mut body, log) = fed_by(Plan { events: vec![Choice::Pass, choice], ..PASS });
        feed.data("data: 0\n\n");
        assert_polls(&mut body, [polls[0].clone()]);
        feed.data("data: a\n\ndata: b\n\n");
        assert_polls(&mut body, [polls[1].clone()]);
        assert!(feed.is_dropped(), "{choice:?}");
        assert_polls(&mut body, [polls[2].clone()]);
        assert_eq!(outcome(&log), expected);
        assert_eq!(log.lock().unwrap().seen.len(), 2, "nothing is seen after {choice:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn error_of_a_verdict_follows_what_passed_before_in_its_frame() {
    let (feed, mut body, log) = fed_by(Plan { events: vec![Choice::Pass, Choice::Fail], ..PASS });
    feed.data("data: a\n\ndata: b\n\ndata: c\n\n");
    assert_polls(&mut body, [data("data: a\n\n"), failed("by the filter"), Polled::End]);
    assert_eq!(outcome(&log), "filter_failed");
}

#[tokio::test(start_paused = true)]
async fn rejection_after_the_head_fails_unless_it_may_pass() {
    let (feed, mut body, log) = fed_by(on_event(Choice::Reject));
    feed.data("data: a\n\n");
    let error = "event stream rejected after the head of its response";
    assert_polls(&mut body, [failed(error), Polled::End]);
    assert_eq!(outcome(&log), "stopped");

    let (feed, source) = Feed::new();
    let (layer, log) = filters(on_event(Choice::Reject));
    let mut body = through(&layer.pass_rejected(true), event_stream(source)).into_body();
    feed.passes("data: a\n\n", &mut body);
    feed.end();
    assert_polls(&mut body, [Polled::End]);
    assert_eq!(outcome(&log), "completed");
}

#[tokio::test(start_paused = true)]
async fn too_large_event_fails_the_body_unless_it_may_pass() {
    for pass_oversized in [false, true] {
        let (feed, source) = Feed::new();
        let (layer, log) = filters(PASS);
        let layer = layer.max_event_size(8);
        let layer = layer.pass_oversized(pass_oversized);
        let mut body = through(&layer, event_stream(source)).into_body();
        feed.data("data: a\n\ndata: 9 or more\n\ndata: b\n\n");
        feed.end();
        if pass_oversized {
            let all = data("data: a\n\ndata: 9 or more\n\ndata: b\n\n");
            assert_polls(&mut body, [all, Polled::End]);
            assert_eq!(outcome(&log), "completed");
            assert_eq!(log.lock().unwrap().ends[0].oversized, 1);
            assert_eq!(log.lock().unwrap().seen.len(), 2);
        } else {
            let error = failed("an event is larger than 8 bytes");
            assert_polls(&mut body, [data("data: a\n\n"), error, Polled::End]);
            assert_eq!(outcome(&log), "too_large");
            assert!(log.lock().unwrap().source_ends.is_empty());
        }
    }
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
    for (method, answer, expected) in [
        (Method::GET, text, "not_a_stream"),
        (Method::GET, stream().with_status(204), "not_a_stream"),
        (Method::HEAD, stream(), "head"),
    ] {
        let (layer, log) = filters(PASS);
        let request = Request::builder().method(method).body(()).unwrap();
        let (headers, status) = (answer.headers().clone(), answer.status());
        let response = call(&layer, request, ready(Ok(answer))).await.unwrap();
        assert_eq!((response.headers(), response.status()), (&headers, status), "{expected}");
        assert_eq!(outcome(&log), expected);
        let (text, error) = read_to_end(response.into_body()).await;
        assert!(!text.is_empty() && error.is_none(), "{expected}");
    }
    let (layer, log) = filters(PASS);
    let answer = ready(Err::<Response<String>, _>(BoxError::from("unavailable")));
    let error = call(&layer, Request::new(()), answer).await.unwrap_err();
    assert_eq!(error.to_string(), "unavailable");
    assert_eq!(outcome(&log), "not_a_stream");
}

/// As in browsers, which extract the last media type of all values.
#[tokio::test(start_paused = true)]
async fn last_of_several_content_types_decides_whether_events_are_filtered() {
    for (types, is_filtered) in [
        (&["text/plain", "text/event-stream"][..], true),
        (&["text/event-stream", "text/plain"], false),
        (&["text/plain, text/event-stream; charset=utf-8"], true),
        (&["text/event-stream", "*/*", "none"], true),
    ] {
        let (layer, log) = filters(on_event(Choice::Drop));
        let mut answer = Response::new("data: a\n\n".to_owned());
        for value in types {
            answer.headers_mut().append("content-type", value.parse().unwrap());
        }
        let (text, _) = read_to_end(through(&layer, answer).into_body()).await;
        assert_eq!(text.is_empty(), is_filtered, "{types:?}");
        let expected = if is_filtered { "completed" } else { "not_a_stream" };
        assert_eq!(outcome(&log), expected, "{types:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn stream_with_a_content_coding_is_refused_unless_it_may_pass() {
    let answer = || {
        event_stream("coded".to_owned())
            .with_header("content-encoding", "gzip")
            .with_header("access-control-allow-origin", "*")
    };
    let (layer, log) = filters(PASS);
    let response = through(&layer, answer());
    assert_eq!(response.status(), 502);
    assert!(!response.headers().contains_key("content-encoding"));
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(outcome(&log), "encoded");
    let (text, _) = read_to_end(response.into_body()).await;
    assert_eq!(text, "an event stream with a content coding cannot be filtered");

    let (layer, log) = filters(PASS);
    let response = through(&layer.pass_encoded(true), answer());
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(outcome(&log), "encoded");
    assert_eq!(read_to_end(response.into_body()).await.0, "coded");
}

#[tokio::test(start_paused = true)]
async fn headers_of_a_whole_body_are_removed_and_others_stay() {
    let (layer, _log) = filters(PASS);
    let answer = event_stream("data: a\n\n".to_owned())
        .with_header("content-length", "9")
        .with_header("etag", "1")
        .with_header("x-request-id", "7");
    let response = through(&layer, answer);
    let mut names: Vec<_> = response.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "x-request-id"]);
}

#[tokio::test(start_paused = true)]
async fn no_filter_passes_everything() {
    let layer = FilterLayer::new(|_: &Request<()>| None::<Box<dyn EventFilter + Send>>);
    let response = through(&layer, event_stream("data: a".to_owned()).with_header("etag", "1"));
    assert_eq!(response.headers()["etag"], "1");
    assert_eq!(read_to_end(response.into_body()).await.0, "data: a");
}

#[tokio::test(start_paused = true)]
async fn trailers_follow_the_last_bytes_unless_the_filter_ends_the_stream() {
    for (plan, sent, trailers) in [
        (PASS, "data: a", true),
        (at_end(Choice::Replace), ADDED, true),
        (on_event(Choice::End), ADDED, false),
    ] {
        let (feed, mut body, _log) = fed_by(plan);
        feed.data("data: a");
        feed.trailers(checksum());
        feed.end();
        let Polled::Data(first) = poll_frame(&mut body) else { panic!("no data") };
        assert!(first.starts_with(sent.as_bytes()), "{first:?}");
        let expected = if trailers { Polled::Trailers(checksum()) } else { Polled::End };
        assert_eq!(poll_frame(&mut body), expected, "{sent}");
        assert_eq!(poll_frame(&mut body), Polled::End);
    }
}

#[tokio::test(start_paused = true)]
async fn report_counts_bytes_events_and_times() {
    let (feed, mut body, log) = fed_by(Plan { events: vec![Choice::Drop], ..PASS });
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
    for at in ["event", "source_end"] {
        let (log, (feed, source)) = (Logged::default(), Feed::new());
        let mut body = FilterBody::new(source, Panics { at, log: log.clone() });
        feed.data("data: a\n\n");
        feed.end();
        let panicked =
            catch_unwind(AssertUnwindSafe(|| while poll_frame(&mut body) != Polled::End {}));
        assert!(panicked.is_err(), "{at}");
        assert_polls(&mut body, [failed("event stream panicked"), failed("event stream panicked")]);
        assert!(feed.is_dropped(), "{at}");
        assert_eq!(outcome(&log), "panicked", "{at}");
        drop(body);
        assert_eq!(outcome(&log), "panicked", "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_body_reports_a_panic() {
    let (log, (feed, source)) = (Logged::default(), Feed::new());
    let mut body = FilterBody::new(source, Panics { at: "event", log: log.clone() });
    feed.data("data: a\n\n");
    catch_unwind(AssertUnwindSafe(|| poll_frame(&mut body))).unwrap_err();
    drop(body);
    assert_eq!(outcome(&log), "panicked");
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
async fn panic_of_the_service_is_reported() {
    let (layer, log) = filters(PASS);
    let answer = async { panic!("the service") };
    let answer = call::<_, _, String, _>(&layer, Request::new(()), answer);
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_err();
    assert_eq!(outcome(&log), "panicked");
}

#[tokio::test(start_paused = true)]
async fn response_after_a_caught_panic_of_the_service_is_withheld() {
    let (layer, _log) = filters(PASS);
    let mut has_panicked = false;
    let answer = poll_fn(move |_| {
        assert!(mem::replace(&mut has_panicked, true), "the service");
        Poll::Ready(Ok(tower_sse::response(stream::iter([Event::from("a")]))))
    });
    let mut answer = pin!(call(&layer, Request::new(()), answer));
    let cx = &mut Context::from_waker(Waker::noop());
    catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx).is_ready())).unwrap_err();
    assert!(answer.poll(cx).is_pending());
}

#[test]
fn pipe_is_over_after_the_error_of_a_panic() {
    for error in [None, Some("the source failed".into())] {
        let mut pipe = FilterPipe::new(Panics { at: "event", log: Logged::default() });
        let panicked = catch_unwind(AssertUnwindSafe(|| pipe.push("data: a\n\n".into())));
        assert!(panicked.is_err() && !pipe.is_over());
        assert_eq!(pipe.finish(error).unwrap_err().to_string(), "event stream panicked");
        assert!(pipe.is_over());
    }
}

#[tokio::test(start_paused = true)]
async fn line_feed_of_a_dropped_event_is_dropped_with_it() {
    let (feed, mut body, _log) = fed_by(Plan { events: vec![Choice::Drop], ..PASS });
    feed.data("data: a\r\n\r");
    assert_polls(&mut body, [Polled::Pending]);
    feed.data("\n: c\n");
    assert_polls(&mut body, [data(": c\n")]);
    feed.data("data: b\r\n\r");
    assert_polls(&mut body, [data("data: b\r\n\r")]);
    feed.data("\n");
    assert_polls(&mut body, [data("\n")]);
}

#[tokio::test(start_paused = true)]
async fn mark_within_the_source_does_not_become_the_first_bytes() {
    let first_dropped = || Plan { events: vec![Choice::Drop], ..PASS };
    let (feed, mut body, _log) = fed_by(first_dropped());
    feed.data("data: a\n\n\u{feff}data: b\n\n");
    assert_polls(&mut body, [data("\n\u{feff}data: b\n\n")]);
    feed.passes("\u{feff}data: c\n\n", &mut body);

    let (feed, mut body, _log) = fed_by(first_dropped());
    feed.data("\u{feff}data: a\n\n\u{feff}data: b\n\n");
    assert_polls(&mut body, [data("\u{feff}\u{feff}data: b\n\n")]);

    let mut dropped = 0;
    let mut pipe = FilterPipe::new(filter::from_fn(|event| {
        dropped += 1;
        if dropped == 1 { Verdict::Drop } else { Verdict::Replace(event.with_data("***")) }
    }));
    let sent = pipe.push("data: a\n\n\u{feff}other: b\n\n".into()).unwrap();
    assert!(sent.starts_with("\n\u{feff}other: b\n".as_bytes()), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn last_events_start_a_line_behind_a_broken_comment() {
    let (feed, mut body, _log) = fed_by(at_end(Choice::Insert));
    feed.data(": half a com");
    feed.end();
    let sent = format!("\n{ADDED}").leak();
    assert_polls(&mut body, [data(": half a com"), data(sent), Polled::End]);
}
