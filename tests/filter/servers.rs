//! A relay of another server's stream over sockets.

use axum::extract::State;
use hyper::body::Incoming;

use crate::naive_filter::Choice;
use crate::{support::*, *};

/// Answers with what the upstream sends.
async fn relay(State((protocol, upstream)): State<(Protocol, SocketAddr)>) -> Response<Incoming> {
    protocol.connect(upstream).await.get("/").await
}

async fn answer() -> Response<Body> {
    let events = stream::iter((0..1000).map(|n| Event::new().id(n).data("the secret is 7")));
    tower_sse::response(events).map(Body::new)
}

#[tokio::test]
async fn relay_changes_every_event_over_both_protocols() {
    for protocol in Protocol::BOTH {
        let upstream = Router::new().route("/", get(answer)).layer(SseLayer::new());
        let upstream = serve_axum(upstream).await;
        let redact = FilterLayer::new(|_: &Request<Body>| {
            Some(filter::from_fn(|event| {
                Verdict::Replace(event.with_data(event.data().replace('7', "*")))
            }))
        });
        let app = Router::new()
            .route("/", get(relay))
            .with_state((protocol, upstream))
            .layer(redact)
            .layer(SseLayer::new());
        let address = serve_axum(app).await;
        let response = protocol.connect(address).await.get("/").await;
        let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
        let expected: String =
            (0..1000).map(|n| format!("data: the secret is *\nid: {n}\n\n")).collect();
        assert_eq!(body, expected, "{protocol:?}");
    }
}

#[tokio::test]
async fn client_that_leaves_ends_the_filter_and_the_upstream() {
    for protocol in Protocol::BOTH {
        let more = || stream::repeat_with(|| Event::from("more"));
        let upstream = Router::new().route("/", get(async move || tower_sse::response(more())));
        let (filters, log) = filters::<Body>(PASS);
        let state = (protocol, serve_axum(upstream).await);
        let app = Router::new().route("/", get(relay)).with_state(state);
        let address = serve_axum(app.layer(filters).layer(SseLayer::new())).await;
        let mut connection = protocol.connect(address).await;
        let mut body = connection.get("/").await.into_body();
        soon(body.frame()).await.unwrap().unwrap();
        drop((body, connection));
        until(|| !log.lock().unwrap().ends.is_empty()).await;
        assert_eq!(outcome(&log), "disconnected", "{protocol:?}");
    }
}

/// Without the layer, hyper drops them, and even the head.
#[tokio::test]
async fn failure_leaves_the_events_of_its_frame_under_the_layer() {
    for protocol in Protocol::BOTH {
        let (filters, log) = filters::<Body>(on_events(&[Choice::Pass, Choice::Fail]));
        let frame = async || event_stream(Body::from("data: a\n\ndata: b\n\n"));
        let app = Router::new().route("/", get(frame)).layer(filters).layer(SseLayer::new());
        let mut connection = protocol.connect(serve_axum(app).await).await;
        let (received, error) = read_to_end(connection.get("/").await.into_body()).await;
        assert!(error.is_some() && received.starts_with("data: a\n\n"), "{protocol:?}");
        assert!(!received.contains("data: b\n\n"), "{protocol:?}: {received}");
        assert_eq!(outcome(&log), "filter_failed");
    }
}
