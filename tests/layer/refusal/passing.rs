//! Responses that are never refused.

use std::pin::pin;

use tokio::sync::oneshot;

use super::{RefusalCause, event_source, full, refusing, request_of};
use crate::*;

fn json<B>(status: u16, body: B) -> Response<B> {
    Response::new(body).with_status(status).with_header("content-type", "application/json")
}

#[test]
fn other_responses_and_other_statuses_pass() {
    for cause in [RefusalCause::Limit, RefusalCause::Shutdown] {
        let (layer, _kept) = refusing::<Bodies>(cause, Refusal::per_client());
        for status in [200, 201, 401, 404, 500, 503] {
            let response = answer_to(event_source(), &layer, json(status, Full::from("{}")));
            assert_eq!(response.status(), status);
            assert_eq!(response.headers(), json(status, ()).headers());
            assert_eq!(response.body().size_hint().exact(), Some(2));
        }
        for status in [401, 403, 404, 500] {
            let answer = event_stream(Full::from("data: no\n\n")).with_status(status);
            let response = answer_to(event_source(), &layer, answer);
            assert_eq!(response.status(), status, "{cause:?}");
            assert!(!response.headers().contains_key("retry-after"));
        }
        // Statuses that stop a client for good.
        let answer = event_stream(Full::<Bytes>::default()).with_status(204);
        assert_eq!(answer_to(event_source(), &layer, answer).status(), 204, "{cause:?}");
    }
}

#[test]
fn services_own_status_takes_precedence_over_a_refusal() {
    for cause in [RefusalCause::Limit, RefusalCause::Shutdown] {
        let (layer, _kept) = refusing::<Responses>(cause, Refusal::per_client());
        for status in [401, 404, 204] {
            let answer = Responses::answer(Source::new().1).with_status(status);
            assert_eq!(answer_to(event_source(), &layer, answer).status(), status, "{cause:?}");
        }
    }
}

fn a_head_request_passes<K: Kind>() {
    for cause in [RefusalCause::Limit, RefusalCause::Shutdown] {
        let (layer, _kept) = refusing::<K>(cause, Refusal::per_client());
        let head = Request::head("/").body(()).unwrap();
        let response = answer_to(head, &layer, K::answer(Source::new().1));
        assert_eq!(response.status(), StatusCode::OK, "{cause:?}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
    }
}

/// Monitors and proxies send HEAD requests, and these open nothing.
#[test]
fn head_request_is_never_refused() {
    for_each_kind!(a_head_request_passes);
}

/// If both apply, `406` tells the client what it can change.
#[test]
fn client_that_accepts_no_events_gets_a_406_at_the_limit_too() {
    let (layer, _kept) = full(Refusal::per_client());
    let request = request_of(&Method::GET, &[("accept", "application/json")]);
    let layer = layer.require_accept(true);
    let response = answer_to(request, &layer, event_stream(Feed::new().1));
    assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);
    assert!(!response.headers().contains_key("retry-after"));
}

/// The call has had its effects, and its client would repeat it.
#[test]
fn call_in_progress_at_the_shutdown_is_answered() {
    for (method, passes) in [(Method::POST, true), (Method::GET, false)] {
        let shutdown = CancellationToken::new();
        let (finish, finished) = oneshot::channel::<()>();
        let mut working = Some((finished, event_stream(Feed::new().1)));
        let service = service_fn(move |_: Request<()>| {
            let (finished, answer) = working.take().unwrap();
            finished.map(|_| Ok::<_, Infallible>(answer))
        });
        let mut service = SseLayer::<marker::Http>::new().shutdown(shutdown.clone()).layer(service);
        let mut call = pin!(service.call(request_of(&method, &[])));
        assert!(call.as_mut().now_or_never().is_none());
        shutdown.cancel();
        finish.send(()).unwrap();
        let Ok(response) = call.now_or_never().unwrap();
        assert_eq!(response.status() == StatusCode::OK, passes, "{method}");
    }
}
