//! A head that is held until the first event.

use std::future::Future;

use crate::naive_filter::{Choice, Plan};
use crate::{ends::TOO_LATE, support::*, *};

const LIMIT: Duration = Duration::from_secs(5);

type Held = Response<FilterBody<Planned, FedBody>>;
type Answer = Pin<Box<dyn Future<Output = Result<Held, BoxError>>>>;

/// Returns the future of a response whose body the test feeds, and whose head is held.
fn held(plan: Plan) -> (Feed, Answer, Logged) {
    let (feed, source) = Feed::new();
    let (layer, log) = filters(plan);
    let answer = ready(Ok(event_stream(source)));
    (feed, Box::pin(call(&layer.hold_head(LIMIT), Request::new(()), answer)), log)
}

fn poll(answer: &mut Answer) -> Option<Held> {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(response) => Some(response.unwrap()),
        Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn first_event_releases_the_head_and_nothing_is_lost() {
    let (feed, mut answer, log) = held(PASS);
    assert!(poll(&mut answer).is_none());
    feed.data(": c\n");
    feed.data("data: a");
    assert!(poll(&mut answer).is_none());
    feed.data("\n\ndata: b\n\nda");
    let mut body = poll(&mut answer).expect("a head").into_body();
    feed.data("ta: c\n\n");
    feed.end();
    let sent = [": c\n", "data: a\n\ndata: b\n\n", "data: c\n\n"].map(data);
    assert_polls(&mut body, sent);
    assert_polls(&mut body, [Polled::End]);
    assert_eq!(outcome(&log), "completed");
}

#[tokio::test(start_paused = true)]
async fn limit_of_time_releases_the_head() {
    let (feed, mut answer, log) = held(on_events(&[Choice::Reject]));
    feed.data(": \n");
    assert!(poll(&mut answer).is_none());
    time::advance(LIMIT - MILLISECOND).await;
    assert!(poll(&mut answer).is_none());
    time::advance(2 * MILLISECOND).await;
    let mut body = poll(&mut answer).expect("a head").into_body();
    assert_polls(&mut body, [data(": \n"), Polled::Pending]);
    feed.data("data: a\n\n");
    assert_polls(&mut body, [failed(TOO_LATE), Polled::End]);
    assert_eq!(outcome(&log), "stopped");
}

/// A source that is always ready spends its task's coop budget. Without budget, tokio's timers are
/// never ready.
#[tokio::test(start_paused = true)]
async fn limit_of_time_holds_for_ready_events_that_are_dropped() {
    let events = EventBody::new(stream::repeat_with(|| Event::from("a")));
    let layer = FilterLayer::new(|_: &Request<()>| Some(filter::from_fn(|_| Verdict::Drop)));
    let answer = call(&layer.hold_head(LIMIT), Request::new(()), ready(Ok(event_stream(events))));
    let answer = tokio::spawn(answer);
    for (step, is_released) in [(LIMIT - MILLISECOND, false), (2 * MILLISECOND, true)] {
        yield_now().await;
        time::advance(step).await;
        yield_now().await;
        assert_eq!(answer.is_finished(), is_released);
    }
}

#[tokio::test(start_paused = true)]
async fn limit_of_bytes_releases_the_head() {
    let (feed, mut answer, _log) = held(PASS);
    let comment = format!(":{}\n", "c".repeat(4094));
    for _ in 0..3 {
        feed.data(comment.clone());
        assert!(poll(&mut answer).is_none());
    }
    feed.data(comment.clone());
    feed.data("data: a\n\n");
    let body = poll(&mut answer).expect("a head").into_body();
    feed.end();
    let text = read_to_end(body).await.0;
    assert_eq!(text, comment.repeat(4) + "data: a\n\n");
}

#[tokio::test(start_paused = true)]
async fn end_and_error_release_the_head_and_follow_it() {
    for (fails, last, expected) in [
        (false, Polled::Trailers(checksum()), "completed"),
        (true, failed("of the source"), "failed"),
    ] {
        let (feed, mut answer, log) = held(PASS);
        feed.data(": \n");
        match fails {
            true => feed.fail("of the source"),
            false => feed.trailers(checksum()),
        }
        let mut body = poll(&mut answer).expect("a head").into_body();
        assert_polls(&mut body, [data(": \n"), last, Polled::End]);
        assert_eq!(outcome(&log), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn rejection_takes_the_place_of_the_response() {
    let rejects_third = on_events(&[Choice::Drop, Choice::Drop, Choice::Reject]);
    for (plan, last, fails, expected) in [
        (rejects_third, ": c\ndata: b\n\n: \ndata: c\n\n", false, "stopped"),
        (at_end(Choice::Reject), "", true, "failed"),
        (at_end(Choice::Reject), "", false, "stopped"),
        (at_end(Choice::Reject), "data: half", false, "mid_event"),
    ] {
        let begins = if plan.events.is_empty() { ": \n" } else { "data: a\n\n" };
        let (feed, mut answer, log) = held(plan);
        feed.data(begins);
        assert!(
            poll(&mut answer).is_none(),
            "neither comments nor dropped events release the head"
        );
        feed.data(last);
        match fails {
            true => feed.fail("of the source"),
            false => feed.end(),
        }
        let response = poll(&mut answer).expect("a response");
        assert_eq!(response.headers()["content-length"], "8");
        assert!(!response.headers().contains_key("content-type"));
        assert!(feed.is_dropped());
        assert_eq!(outcome(&log), expected);
        assert_eq!(read_to_end(response.into_body()).await.0, "rejected");
    }
}

/// Returns the status, the body and its error: what a client gets of these frames.
async fn answer_to(plan: &Plan, frames: &[&'static str]) -> (u16, String, Option<String>) {
    let (feed, mut answer, _log) = held(plan.clone());
    for frame in frames {
        feed.data(*frame);
    }
    feed.end();
    let response = poll(&mut answer).expect("a response");
    let status = response.status().as_u16();
    let (text, error) = read_to_end(response.into_body()).await;
    (status, text, error.map(|error| error.to_string()))
}

#[tokio::test(start_paused = true)]
async fn head_goes_with_the_first_event_wherever_frames_end() {
    for first in [Choice::Pass, Choice::Insert, Choice::Replace] {
        let plan = on_events(&[first, Choice::Reject]);
        let one = answer_to(&plan, &["data: a\n\ndata: b\n\n"]).await;
        let two = answer_to(&plan, &["data: a\n\n", "data: b\n\n"]).await;
        assert_eq!(one, two, "{first:?}");
        assert_eq!(one.2.as_deref(), Some(TOO_LATE), "{first:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn future_dropped_while_the_head_is_held_is_disconnected() {
    let (feed, mut answer, log) = held(PASS);
    feed.data(": \n");
    assert!(poll(&mut answer).is_none());
    drop(answer);
    assert!(feed.is_dropped());
    assert_eq!(outcome(&log), "disconnected");
}
