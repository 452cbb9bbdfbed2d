//! A head that is held until the first event.

use std::future::Future;

use super::support::naive_filter::{ADDED, Choice, Plan};
use super::support::*;
use crate::*;

const LIMIT: Duration = Duration::from_secs(5);

type Held = Response<FilterBody<Planned, FedBody>>;
type Answer = Pin<Box<dyn Future<Output = Result<Held, BoxError>>>>;

/// Returns the future of a response whose body the test feeds, and whose head is held.
fn held(plan: Plan) -> (Feed, Answer, Logged) {
    let (feed, source) = Feed::new();
    let (layer, log) = filters(plan);
    let answer = std::future::ready(Ok(event_stream(source)));
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
async fn dropped_events_do_not_release_the_head() {
    let (feed, mut answer, _log) = held(Plan { events: vec![Choice::Drop], ..PASS });
    feed.data("data: a\n\n");
    assert!(poll(&mut answer).is_none());
    feed.data("data: b\n\n");
    let mut body = poll(&mut answer).expect("a head").into_body();
    assert_polls(&mut body, [data("data: b\n\n"), Polled::Pending]);
}

#[tokio::test(start_paused = true)]
async fn limit_of_time_releases_the_head() {
    let (feed, mut answer, log) = held(Plan { events: vec![Choice::Reject], ..PASS });
    feed.data(":\n");
    assert!(poll(&mut answer).is_none());
    time::advance(LIMIT - MILLISECOND).await;
    assert!(poll(&mut answer).is_none());
    time::advance(2 * MILLISECOND).await;
    let mut body = poll(&mut answer).expect("a head").into_body();
    assert_polls(&mut body, [data(":\n"), Polled::Pending]);
    feed.data("data: a\n\n");
    let error = "event stream rejected after the head of its response";
    assert_polls(&mut body, [failed(error), Polled::End]);
    assert_eq!(outcome(&log), "stopped");
}

/// Such a source spends the budget of the task, without which no timer of tokio is ready.
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
    let (feed, mut answer, log) = held(PASS);
    feed.data(":\n");
    feed.trailers(checksum());
    let mut body = poll(&mut answer).expect("a head").into_body();
    assert_polls(&mut body, [data(":\n"), Polled::Trailers(checksum()), Polled::End]);
    assert_eq!(outcome(&log), "completed");

    let (feed, mut answer, log) = held(PASS);
    feed.data(":\n");
    feed.fail("of the source");
    let mut body = poll(&mut answer).expect("a head").into_body();
    assert_polls(&mut body, [data(":\n"), failed("of the source"), Polled::End]);
    assert_eq!(outcome(&log), "failed");
}

#[tokio::test(start_paused = true)]
async fn rejection_takes_the_place_of_the_response() {
    let on_event = Plan { events: vec![Choice::Drop, Choice::Reject], ..PASS };
    let at_end = Plan { source_end: Choice::Reject, ..PASS };
    for (plan, fails, expected) in
        [(on_event, false, "stopped"), (at_end.clone(), true, "failed"), (at_end, false, "stopped")]
    {
        let is_at_end = plan.events.is_empty();
        let (feed, mut answer, log) = held(plan);
        feed.data(":\n");
        assert!(poll(&mut answer).is_none());
        match (is_at_end, fails) {
            (false, _) => feed.data(": c\ndata: a\n\n:\ndata: b\n\n"),
            (true, true) => feed.fail("of the source"),
            (true, false) => feed.end(),
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
    let too_late = "event stream rejected after the head of its response";
    for first in [Choice::Pass, Choice::Insert, Choice::Replace] {
        let plan = Plan { events: vec![first, Choice::Reject], ..PASS };
        let one = answer_to(&plan, &["data: a\n\ndata: b\n\n"]).await;
        let two = answer_to(&plan, &["data: a\n\n", "data: b\n\n"]).await;
        assert_eq!(one, two, "{first:?}");
        assert_eq!(one.2.as_deref(), Some(too_late), "{first:?}");
    }
    let comment = format!(":{}\n", "c".repeat(16 << 10)).leak();
    let both = format!("{comment}data: a\n\n").leak();
    let plan = Plan { events: vec![Choice::Reject], ..PASS };
    let one = answer_to(&plan, &[both]).await;
    assert_eq!(one, answer_to(&plan, &[comment, "data: a\n\n"]).await);
    assert_eq!(one.2.as_deref(), Some(too_late), "16 KiB of comments release it too");
}

#[tokio::test(start_paused = true)]
async fn stream_that_breaks_off_in_its_first_event_can_be_rejected() {
    let plan = Plan { source_end: Choice::Reject, ..PASS };
    let answer = answer_to(&plan, &["data: half"]).await;
    assert_eq!(answer.1, "rejected");
}

#[tokio::test(start_paused = true)]
async fn verdict_with_events_releases_the_head() {
    let (feed, mut answer, _log) = held(Plan { events: vec![Choice::Replace], ..PASS });
    feed.data("data: a\n\n");
    let mut body = poll(&mut answer).expect("a head").into_body();
    assert_polls(&mut body, [data(ADDED), Polled::Pending]);
}

#[tokio::test(start_paused = true)]
async fn future_dropped_while_the_head_is_held_is_disconnected() {
    let (feed, mut answer, log) = held(PASS);
    feed.data(":\n");
    assert!(poll(&mut answer).is_none());
    drop(answer);
    assert!(feed.is_dropped());
    assert_eq!(outcome(&log), "disconnected");
}

#[tokio::test(start_paused = true)]
async fn head_is_not_held_for_other_responses() {
    let (layer, log) = filters(PASS);
    let answer = std::future::ready(Ok(Response::new("text".to_owned())));
    let answer = call(&layer.hold_head(LIMIT), Request::new(()), answer);
    answer.now_or_never().expect("a response").unwrap();
    assert_eq!(outcome(&log), "not_a_stream");
}

/// Retries a response with status 502, once.
#[derive(Clone)]
struct Once(bool);

impl<B> retry::Policy<Request<()>, Response<B>, BoxError> for Once {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<()>,
        result: &mut Result<Response<B>, BoxError>,
    ) -> Option<Self::Future> {
        let is_bad = result.as_ref().is_ok_and(|response| response.status() == 502);
        (is_bad && !std::mem::replace(&mut self.0, true)).then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, _: &Request<()>) -> Option<Request<()>> {
        Some(Request::new(()))
    }
}

#[tokio::test(start_paused = true)]
async fn retry_layer_outside_fails_over_before_the_first_event() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let filters = FilterLayer::new(|_: &Request<()>| {
        Some(filter::from_fn(|event| match &*event.name() {
            "error" => {
                let error = event.data().into_owned();
                Verdict::Reject(Box::new(
                    Response::builder().status(502).body(error.into()).unwrap(),
                ))
            }
            _ => Verdict::Pass,
        }))
    });
    let service = service_fn(move |_: Request<()>| {
        let text = match counted.fetch_add(1, SeqCst) {
            0 => ": hello\nevent: error\ndata: overloaded\n\n",
            _ => ": hello\ndata: a\n\n",
        };
        std::future::ready(Ok::<_, BoxError>(event_stream(text.to_owned())))
    });
    let service = ServiceBuilder::new()
        .layer(retry::RetryLayer::new(Once(false)))
        .layer(filters.hold_head(LIMIT))
        .service(service);
    let mut service = pin!(service);
    let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 200);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(bytes, ": hello\ndata: a\n\n");
    assert_eq!(calls.load(SeqCst), 2);
}
