//! Filters with the rest of the crate, and with other layers.

use tower_http::{compression::CompressionLayer, decompression::DecompressionLayer};

use super::support::naive_filter::{Choice, Plan};
use super::{rig::through as filtered, support::*};
use crate::*;

#[tokio::test(start_paused = true)]
async fn heartbeats_come_between_events_while_the_upstream_stalls_within_one() {
    let (feed, source) = Feed::new();
    let (filters, _log) = filters(PASS);
    let layer: SseLayer = SseLayer::new();
    let mut body = through(&layer, filtered(&filters, event_stream(source))).into_body();
    feed.data("data: a\n\ndata: half");
    assert_polls(&mut body, [data("data: a\n\n")]);
    idle(&mut body, 15 * SECOND).await;
    assert_polls(&mut body, [data(":\n"), Polled::Pending]);
    feed.data(" an event\n\n");
    assert_polls(&mut body, [data("data: half an event\n\n")]);
}

#[tokio::test(start_paused = true)]
async fn errors_of_filters_reach_on_error() {
    for (plan, expected) in [
        (Plan { events: vec![Choice::Fail], ..PASS }, "by the filter"),
        (Plan { max_event_size: 8, ..PASS }, "an event is larger than 8 bytes"),
    ] {
        let (feed, source) = Feed::new();
        let (filters, log) = filters(plan.clone());
        let filters = filters.max_event_size(plan.max_event_size);
        let layer: SseLayer =
            SseLayer::new().on_error(|error| Event::new().event("failed").data(error.to_string()));
        let mut body = through(&layer, filtered(&filters, event_stream(source))).into_body();
        feed.data("data: 9 or more\n\n");
        let sent = format!("event: failed\ndata: {expected}\n\n").leak();
        assert_polls(&mut body, [data(sent)]);
        _ = outcome(&log);
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_of_the_layer_outside_disconnects_the_filter() {
    let (feed, source) = Feed::new();
    let (filters, log) = filters(PASS);
    let shutdown = CancellationToken::new();
    let layer: SseLayer =
        SseLayer::new().without_retry().shutdown(shutdown.clone()).drain(Drain::per_client());
    let answer = filtered(&filters, event_stream(source));
    let mut body = answer_to(Requester::EventSource.request("/"), &layer, answer).into_body();
    feed.passes("data: a\n\n", &mut body);
    feed.data("data: half");
    assert_polls(&mut body, [Polled::Pending]);
    shutdown.cancel();
    while !feed.is_dropped() {
        _ = poll_frame(&mut body);
        tokio::time::advance(SECOND).await;
    }
    assert_eq!(outcome(&log), "disconnected");
}

#[tokio::test(start_paused = true)]
async fn inner_layers_are_recognised_through_a_filter() {
    let (filters, _log) = filters(PASS);
    let inner: SseLayer = SseLayer::new().terminator(Event::from("inner"));
    let outer: SseLayer = SseLayer::new().terminator(Event::from("outer"));
    let events = || stream::iter([Event::from("a")]);
    let inner = through(&inner, tower_sse::response(events()));
    let body = through(&outer, filtered(&filters, inner)).into_body();
    let text = read_to_end(body).await.0;
    assert_eq!(text, "data: a\n\ndata: inner\n\n");
}

/// Returns the number of filters that end while two clients read one run.
async fn ends_of_a_run(is_inside: bool) -> usize {
    let (inside, log_inside) = filters::<Body>(PASS);
    let (outside, log_outside) = filters::<Body>(PASS);
    let runs = Runs::new();
    let key = |_: &Request<Body>| Some(RunKey::shared("one"));
    let events = stream::iter((0..3).map(|n| Event::from(n.to_string())));
    let service = service_fn(move |_: Request<Body>| {
        ready(Ok::<_, Infallible>(tower_sse::response(events.clone())))
    });
    let sse: SseLayer = SseLayer::new();
    let service = ServiceBuilder::new()
        .layer(sse.without_heartbeat())
        .layer(outside)
        .layer(runs.layer(key))
        .layer(inside)
        .service(service);
    for _ in 0..2 {
        let request = Request::post("/").body(Body::empty()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        let text = read_to_end(response.into_body()).await.0;
        assert!(text.contains("data: 2\n"), "{text}");
    }
    let log = if is_inside { log_inside } else { log_outside };
    log.lock().unwrap().ends.len()
}

#[tokio::test(start_paused = true)]
async fn filter_sees_a_run_once_inside_and_for_each_client_outside() {
    assert_eq!(ends_of_a_run(true).await, 1);
    assert_eq!(ends_of_a_run(false).await, 2);
}

fn redacting() -> FilterLayer<impl Fn(&Request<Body>) -> Option<Box<dyn EventFilter + Send>> + Clone>
{
    FilterLayer::new(|_: &Request<Body>| {
        let redact = filter::from_fn(|event| Verdict::Replace(event.with_data("***")));
        Some(Box::new(redact) as Box<dyn EventFilter + Send>)
    })
}

async fn secret() -> Response<EventBody<stream::Iter<std::vec::IntoIter<Event>>>> {
    tower_sse::response(stream::iter(vec![Event::new().id(7).data("secret")]))
}

#[tokio::test]
async fn compressor_outside_sees_what_the_filter_sends() {
    let app =
        Router::new().route("/", get(secret)).layer(redacting()).layer(SseLayer::new()).layer(
            CompressionLayer::new().compress_when(
                tower_http::compression::predicate::NotForContentType::const_new("x"),
            ),
        );
    let app = ServiceBuilder::new().layer(DecompressionLayer::new()).service(app);
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(bytes, "id: 7\ndata: ***\n\n");
}

#[tokio::test]
async fn compressor_inside_is_refused() {
    let compress = CompressionLayer::new()
        .compress_when(tower_http::compression::predicate::NotForContentType::const_new("x"));
    let app = Router::new()
        .route("/", get(secret))
        .layer(compress)
        .layer(redacting())
        .layer(SseLayer::new());
    let request = Request::get("/").header("accept-encoding", "gzip").body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 502);
}

#[tokio::test]
async fn handler_maps_the_body_of_its_response() {
    async fn handler() -> Response<Body> {
        let redact = filter::from_fn(|event| Verdict::Replace(event.with_data("***")));
        secret().await.map(|body| Body::new(FilterBody::new(body, redact)))
    }
    let app: Router = Router::new().route("/", get(handler)).layer(SseLayer::new());
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(bytes, "id: 7\ndata: ***\n\n");
}

#[tokio::test]
async fn several_filters_each_see_what_the_inner_one_sends() {
    let layer = |from: &'static str, to: &'static str| {
        FilterLayer::new(move |_: &Request<()>| {
            Some(filter::from_fn(move |event| {
                assert_eq!(event.data(), from);
                Verdict::Replace(event.with_data(to))
            }))
        })
    };
    let service = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(event_stream("data: a\n\n".to_owned())))
    });
    let service =
        ServiceBuilder::new().layer(layer("b", "c")).layer(layer("a", "b")).service(service);
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "data: c\n\n");
}

#[tokio::test]
async fn messages_of_a_filtered_body_are_decoded() {
    let body = "data: a\n\ndata: b\n\n".to_owned();
    let drop_a = filter::from_fn(|event| match &*event.data() {
        "a" => Verdict::Drop,
        _ => Verdict::Pass,
    });
    let messages = tower_sse::decode::MessageStream::new(FilterBody::new(body, drop_a));
    let data: Vec<_> = messages.map(|message| message.unwrap().data).collect().await;
    assert_eq!(data, ["b"]);
}

#[test]
fn layer_fits_around_grpc_web() {
    // It only has to compile: the types of tonic's services are inferred.
    fn app(routes: tonic::service::Routes) -> Router {
        routes
            .into_axum_router()
            .layer(tonic_web::GrpcWebLayer::new())
            .layer(redacting())
            .layer(SseLayer::new())
    }
    _ = app;
    let _: Bytes = Bytes::new();
}

/// Drops as many events as it is told.
struct First(u64);

impl EventFilter for First {
    fn event(&mut self, _: EventRef<'_>) -> Verdict {
        match self.0.checked_sub(1) {
            Some(rest) => {
                self.0 = rest;
                Verdict::Drop
            }
            None => Verdict::Pass,
        }
    }
}

type MakeFilter = Box<dyn Fn(&Request<Body>) -> Option<First> + Send + Sync>;

struct Gateway {
    filters: FilterLayer<MakeFilter>,
}

impl Gateway {
    fn new(dropped: u64) -> Self {
        Self { filters: FilterLayer::new(Box::new(move |_| Some(First(dropped)))) }
    }

    fn app(&self) -> Router {
        let events = || stream::iter(["a", "b", "c"].map(Event::from));
        let answer = async move || tower_sse::response(events());
        Router::new().route("/", get(answer)).layer(self.filters.clone()).layer(SseLayer::new())
    }
}

#[tokio::test(start_paused = true)]
async fn layer_of_a_closure_that_captures_can_be_a_field() {
    let app = Gateway::new(2).app();
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(read_to_end(response.into_body()).await.0, "data: c\n\n");
}
