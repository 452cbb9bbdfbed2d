//! The kind of client that the program sets.

use tower_sse::ClientKind::{self, *};

use super::refusal::full;
use crate::*;

/// What a client of each kind gets at a limit, and whether its body fails at its maximum age.
const KINDS: [(ClientKind, u16, &str, bool); 5] = [
    (EventSource, 200, "retry: 1000\n", false),
    (Library, 200, "retry: 1000\nevent: retry\ndata: {}\n\n", false),
    (Fetch, 503, "", true),
    (Other, 503, "", false),
    (Call, 503, "", true),
];

async fn treatment(
    request: impl Fn() -> Request<()>,
    options: StreamOptions,
) -> (u16, String, bool) {
    let (layer, _kept) = full(two_seconds(Refusal::per_client()));
    let refusal =
        answer_to(request(), &layer.options(options.clone()), event_stream(Feed::new().1));
    let status = refusal.status().as_u16();
    let text = refusal.into_body().collect().await.unwrap().to_bytes();
    let age = MaxAge::new(SECOND).grace(Duration::ZERO);
    let layer = SseLayer::new().without_retry().max_age(age).options(options);
    let mut body = answer_to(request(), &layer, event_stream(Feed::new().1)).into_body();
    idle(&mut body, 2 * SECOND).await;
    let fails = body.collect().await.is_err();
    (status, String::from_utf8(text.into()).unwrap(), fails)
}

fn set_in<B>(mut request: Request<B>, kind: ClientKind) -> Request<B> {
    StreamOptions::new().client_kind(kind).merge_into_extensions(request.extensions_mut());
    request
}

#[tokio::test(start_paused = true)]
async fn program_sets_the_kind_of_each_get_but_of_no_other_method() {
    let new = StreamOptions::new;
    for (kind, status, text, fails) in KINDS {
        let expected = (status, text.to_owned(), fails);
        let any = || Request::get("/").header("accept", "*/*").body(()).unwrap();
        assert_eq!(treatment(any, new().client_kind(kind)).await, expected, "{kind:?}");
        assert_eq!(treatment(|| set_in(any(), kind), new()).await, expected, "{kind:?}");
        let both = treatment(|| set_in(any(), kind), new().client_kind(EventSource)).await;
        assert_eq!(both, expected, "the request's {kind:?} overrides the layer's");
        for client in Requester::ALL.into_iter().filter(|client| *client != Requester::Post) {
            let got = treatment(|| client.request("/"), new().client_kind(kind)).await;
            assert_eq!(got, expected, "{client:?} as {kind:?}");
        }
        let call = || Requester::Post.request("/");
        let got = treatment(call, new().client_kind(kind)).await;
        assert_eq!(got, (503, String::new(), true), "a call as {kind:?}");
    }
}

#[test]
fn kind_is_set_before_a_bare_stream_is_refused() {
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let layer = SseLayer::new().shutdown(cancelled);
    for (kind, status, ..) in KINDS {
        let layer = layer.clone().client_kind(kind);
        let answer = answer_to(Request::new(()), &layer, stream::pending::<Event>());
        assert_eq!(answer.status(), status, "{kind:?}");
    }
}

#[test]
fn services_inside_see_the_kind_that_the_layer_sets() {
    let layer: SseLayer = SseLayer::new().client_kind(Library);
    for (request, expected) in [
        (Request::new(()), 200),
        (Requester::Fetch.request("/"), 200),
        (set_in(Request::new(()), Other), 503),
        (Requester::Post.request("/"), 503),
    ] {
        let answer = answer_by(request, &layer, |request| {
            Refusal::per_client().answer(&request.into_parts().0)
        });
        assert_eq!(answer.status(), expected);
    }
}

#[test]
fn kind_in_a_response_comes_too_late() {
    let (layer, _kept) = full(Refusal::per_client());
    let options = StreamOptions::new().client_kind(EventSource);
    let answer = event_stream(Feed::new().1).with_options(options);
    assert_eq!(answer_to(Request::new(()), &layer, answer).status(), 503);
}

/// A call that arrives during a shutdown is refused, and one that arrived earlier is not.
#[test]
fn get_set_to_be_a_call_is_one_during_a_shutdown() {
    for drain in [Drain::per_client(), Drain::at_once()] {
        for (is_late, expected) in [(false, 200), (true, 503)] {
            let token = CancellationToken::new();
            let layer = SseLayer::new().shutdown(token.clone()).client_kind(Call);
            if is_late {
                token.cancel();
            }
            let answer = answer_by(Request::new(()), &layer.drain(drain.clone()), |_| {
                token.cancel();
                event_stream(Feed::new().1)
            });
            assert_eq!(answer.status(), expected, "late: {is_late}, {drain:?}");
        }
    }
}

/// With `Drain::never`, an open stream goes on after the shutdown has begun, but no new stream
/// opens.
#[test]
fn late_request_is_refused_whatever_kind_is_set() {
    let token = CancellationToken::new();
    token.cancel();
    let layer = SseLayer::new().shutdown(token).drain(Drain::never());
    for (kind, ..) in KINDS {
        let layer = layer.clone().client_kind(kind).refusal(Refusal::unavailable());
        let answer = answer_to(Request::new(()), &layer, event_stream(Feed::new().1));
        assert_eq!(answer.status(), 503, "{kind:?}");
    }
}
