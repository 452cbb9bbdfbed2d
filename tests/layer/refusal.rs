//! Responses to clients whose stream is refused.

mod headers;
mod passing;
mod time;

use crate::*;

/// A client's name, method and request headers, and whether its refusal must be a `200`.
type Client = (&'static str, Method, &'static [(&'static str, &'static str)], bool);

const CLIENTS: [Client; 9] = [
    (
        "Chromium's EventSource",
        Method::GET,
        &[("accept", EVENTS), ("cache-control", "no-cache"), ("sec-fetch-mode", "cors")],
        true,
    ),
    ("npm eventsource", Method::GET, &[("accept", EVENTS), ("cache-control", "no-cache")], true),
    (
        "undici",
        Method::GET,
        &[("accept", EVENTS), ("cache-control", "no-cache"), ("pragma", "no-cache")],
        true,
    ),
    ("fetch-event-source", Method::GET, &[("accept", EVENTS), ("sec-fetch-mode", "cors")], false),
    ("httpx-sse", Method::GET, &[("accept", EVENTS), ("cache-control", "no-store")], false),
    ("sseclient-py", Method::GET, &[("accept", EVENTS)], false),
    ("curl", Method::GET, &[("accept", "*/*")], false),
    ("openai", Method::POST, &[("accept", "application/json")], false),
    (
        "a call that looks like an EventSource",
        Method::POST,
        &[("accept", EVENTS), ("cache-control", "no-cache")],
        false,
    ),
];
const EVENTS: &str = "text/event-stream";

fn request_of(method: &Method, headers: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method.clone();
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    request
}

pub(crate) fn event_source() -> Request<()> {
    request_of(&CLIENTS[0].1, CLIENTS[0].2)
}

/// The reason for which a stream is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RefusalCause {
    Limit,
    Shutdown,
}

/// Returns a layer that refuses every stream, and a guard that keeps it so.
pub(crate) fn refusing<K: Kind>(
    cause: RefusalCause,
    refusal: Refusal,
) -> (SseLayer<K::Marker>, impl Sized) {
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().refusal(refusal).max_streams(1).shutdown(shutdown.clone());
    match cause {
        RefusalCause::Limit => {
            let open = open::<K>(&layer).unwrap();
            (layer, Some(open))
        }
        RefusalCause::Shutdown => {
            shutdown.cancel();
            (layer, None)
        }
    }
}

pub(crate) fn full(refusal: Refusal) -> (SseLayer, impl Sized) {
    refusing::<Bodies>(RefusalCause::Limit, refusal)
}

/// Sets two seconds, by the option that the refusal uses.
pub(crate) fn two_seconds(refusal: Refusal) -> Refusal {
    refusal.retry(Retry::fixed(2 * SECOND))
}

pub(crate) fn assert_come_back<B>(response: Response<SseBody<B>>, context: &str)
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    assert_eq!(response.status(), StatusCode::OK, "{context}");
    assert_eq!(response.headers()["content-type"], "text/event-stream", "{context}");
    assert_eq!(response.headers()["cache-control"], "no-cache, no-transform", "{context}");
    assert!(!response.headers().contains_key("retry-after"), "{context}");
    let mut body = response.into_body();
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (false, None), "{context}");
    assert_eq!(poll_frame(&mut body), data("retry: 2000\n"), "{context}");
    assert!(body.is_end_stream(), "{context}");
    assert_eq!(poll_frame(&mut body), Polled::End, "{context}");
}

pub(crate) fn assert_unavailable<B>(response: Response<SseBody<B>>, context: &str)
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{context}");
    assert_eq!(response.headers()["retry-after"], "2", "{context}");
    for name in ["content-type", "cache-control", "x-accel-buffering", "incremental"] {
        assert!(!response.headers().contains_key(name), "{context}: {name} is the stream's");
    }
    let mut body = response.into_body();
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (true, Some(0)), "{context}");
    assert_eq!(poll_frame(&mut body), Polled::End, "{context}");
}

fn every_client_is_refused_in_its_own_way<K: Kind>() {
    for cause in [RefusalCause::Limit, RefusalCause::Shutdown] {
        for (refusal, name) in [
            (Refusal::default(), "default"),
            (Refusal::per_client(), "by request"),
            (Refusal::retry_later(), "retry later"),
            (Refusal::unavailable(), "unavailable"),
        ] {
            let (layer, _kept) = refusing::<K>(cause, two_seconds(refusal));
            for (client, method, headers, reconnects_after_a_clean_end) in &CLIENTS {
                let context = format!("{client}, {name}, {cause:?}");
                let (source, events) = Source::new();
                let request = request_of(method, headers);
                let mut events = Some(events);
                let response = answer_by(request, &layer, |_| K::answer(events.take().unwrap()));
                assert_eq!(events.is_none(), !K::BARE, "{context}: whether the service is called");
                assert_eq!(source.witness().is_dropped(), !K::BARE, "{context}");
                match name {
                    "retry later" => assert_come_back(response, &context),
                    "unavailable" => assert_unavailable(response, &context),
                    _ if *reconnects_after_a_clean_end => assert_come_back(response, &context),
                    _ => assert_unavailable(response, &context),
                }
            }
        }
    }
}

#[test]
fn every_client_is_refused_in_a_way_after_which_it_reconnects() {
    for_each_kind!(every_client_is_refused_in_its_own_way);
}

/// The layer writes none of its stream options into a refusal.
#[test]
fn refusal_sends_only_its_retry_line() {
    let (layer, _kept) = full(two_seconds(Refusal::per_client()));
    let layer = layer
        .padding(9)
        .retry(Retry::fixed(60 * SECOND))
        .terminator(Event::from("end"))
        .farewell(Event::from("bye"));
    let answer = event_stream(Feed::new().1).with_options(StreamOptions::new().padding(4));
    let response = answer_to(event_source(), &layer, answer);
    assert!(response.extensions().get::<StreamOptions>().is_none());
    assert_come_back(response, "with all options");
}

/// Middleware can refuse a client for a reason of its own. The layer around it passes that on.
#[test]
fn answer_of_a_refusal_is_that_of_a_layer() {
    for (client, method, headers, reconnects_after_a_clean_end) in &CLIENTS {
        let (parts, ()) = request_of(method, headers).into_parts();
        let layer = SseLayer::new().padding(9).terminator(Event::from("end"));
        let answer = || two_seconds(Refusal::per_client()).answer(&parts);
        let passed = answer_to(request_of(method, headers), &layer, answer());
        if *reconnects_after_a_clean_end {
            assert_come_back(answer(), client);
            assert_come_back(passed, client);
        } else {
            assert_unavailable(answer(), client);
            assert_unavailable(passed, client);
        }
    }
}
