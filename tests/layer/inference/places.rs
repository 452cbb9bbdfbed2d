use async_stream::stream;
use axum::extract::Request;
use hyper::{client, server};
use hyper_util::service::TowerToHyperService;

use crate::*;

fn events() -> impl Stream<Item = Event> + Send + Unpin + 'static {
    stream::iter(["one", "two"].map(Event::from))
}

async fn handler() -> impl IntoResponse {
    tower_sse::response(events())
}

async fn bare_stream<B>(
    _: http::Request<B>,
) -> Result<impl Stream<Item = Event> + Send, Infallible> {
    Ok(events())
}

async fn response_of_a_stream<B>(
    _: http::Request<B>,
) -> Result<Response<impl Stream<Item = Event> + Send>, Infallible> {
    Ok(Response::builder().status(StatusCode::ACCEPTED).body(events()).unwrap())
}

async fn response_of_a_body<B>(_: http::Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = Full::from("data: one\n\ndata: two\n\n");
    Ok(Response::builder().header("content-type", "text/event-stream").body(body).unwrap())
}

fn request() -> Request {
    Request::default()
}

async fn assert_events<B>(response: Response<B>)
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "data: one\n\ndata: two\n\n");
}

async fn assert_serves_events(app: Router) {
    assert_events(app.oneshot(request()).await.unwrap()).await;
}

#[tokio::test]
async fn around_an_axum_router_or_a_part_of_it() {
    let routes = || Router::new().route("/", get(handler));
    for app in [
        routes().layer(SseLayer::new()),
        routes().route_layer(SseLayer::new()),
        Router::new().route("/", get(handler).layer(SseLayer::new())),
        Router::new().route("/", get(handler).route_layer(SseLayer::new())),
        Router::new().fallback_service(SseLayer::new().layer(routes())),
    ] {
        assert_serves_events(app).await;
    }
}

#[tokio::test]
async fn around_each_kind_of_service_in_an_axum_route() {
    let nested = SseLayer::new().layer(service_fn(bare_stream));
    for app in [
        Router::new().route_service("/", SseLayer::new().layer(service_fn(bare_stream))),
        Router::new().route_service("/", SseLayer::new().layer(service_fn(response_of_a_stream))),
        Router::new().route_service(
            "/",
            ServiceBuilder::new().layer(SseLayer::new()).service_fn(response_of_a_body),
        ),
        Router::new().nest_service("/nested", nested.clone()).fallback_service(nested),
    ] {
        assert_serves_events(app).await;
    }
}

#[tokio::test]
async fn in_hyper_without_a_framework() {
    // This is a macro, because the bounds of a function would help the compiler.
    macro_rules! assert_serves_events {
        ($handler:ident) => {
            let (near_end, far_end) = tokio::io::duplex(1024);
            let service = TowerToHyperService::new(SseLayer::new().layer(service_fn($handler)));
            let http1 = server::conn::http1::Builder::new();
            tokio::spawn(http1.serve_connection(TokioIo::new(near_end), service));
            let handshake = client::conn::http1::handshake(TokioIo::new(far_end));
            let (mut client, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            let request = http::Request::new(Empty::<Bytes>::new());
            assert_events(client.send_request(request).await.unwrap()).await;
        };
    }

    assert_serves_events!(bare_stream);
    assert_serves_events!(response_of_a_stream);
    assert_serves_events!(response_of_a_body);
}

/// The type of a layer includes the kind of its service. The default is the kind of axum routers.
struct Application {
    layer: SseLayer,
    events: SseLayer<marker::Events>,
}

#[tokio::test]
async fn as_a_field_of_a_struct() {
    let application = Application { layer: SseLayer::new(), events: SseLayer::default() };
    let app = Router::new().route("/", get(handler)).layer(application.layer.clone());
    assert_serves_events(app).await;
    assert_serves_events(
        Router::new().route_service("/", application.events.layer(service_fn(bare_stream))),
    )
    .await;
}

#[tokio::test]
async fn in_the_types_of_a_service_written_out() {
    type Response<S> = <SseService<S> as Service<Request>>::Response;

    let service: SseService<Router> = SseLayer::new().layer(Router::new().route("/", get(handler)));
    let response: Response<Router> = service.oneshot(request()).await.unwrap();
    let response: http::Response<SseBody<axum::body::Body>> = response;
    assert_events(response).await;
}

async fn body_of<S>(events: impl Fn() -> S) -> String
where
    S: Stream<Item: Encode>,
{
    let service = ServiceBuilder::new().layer(SseLayer::new()).service_fn(|_: Request| {
        let events = events();
        async { Ok::<_, Infallible>(events) }
    });
    let response = service.oneshot(Request::default()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.into()).unwrap()
}

#[tokio::test]
async fn every_kind_of_item_makes_a_stream() {
    let event = || Event::from("x");
    for body in [
        body_of(|| stream::iter([event()])).await,
        body_of(|| stream::iter([Encoded::from(event())])).await,
        body_of(|| stream::iter([Ok::<_, io::Error>(event())])).await,
        body_of(|| stream::iter([Ok::<_, Infallible>(Encoded::from(event()))])).await,
        body_of(|| Box::pin(stream::once(async { event() }))).await,
        #[cfg(feature = "json")]
        body_of(|| stream::iter([Ok::<_, io::Error>(Event::new().json('x'))]))
            .await
            .replace('"', ""),
    ] {
        assert_eq!(body, "data: x\n\n");
    }
}

#[tokio::test]
async fn stream_that_cannot_move_needs_no_box() {
    let events = || {
        stream! {
            for n in 0..2 {
                tokio::task::yield_now().await;
                yield Event::new().id(n).data("tick");
            }
        }
    };
    assert_eq!(body_of(events).await, "data: tick\nid: 0\n\ndata: tick\nid: 1\n\n");
}
