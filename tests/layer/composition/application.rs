//! An application whose streams the test feeds, and the two positions of another layer relative to
//! `SseLayer`.

use axum::{body::Body, extract::Request, response::Response, routing::Route};

use crate::*;

pub(crate) fn application() -> (Router, Sources) {
    let (sources, open) = Sources::new();
    let events = async move |request: Request| tower_sse::response(open(request.into_parts().0));
    let app =
        Router::new().route("/events", get(events)).route("/never", get(future::pending::<()>));
    (app, sources)
}

/// The position of the other layer relative to `SseLayer`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Inside,
    Outside,
}

impl Place {
    pub(crate) fn compose<L>(self, sse: SseLayer, other: L) -> (Router, Sources)
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request, Response: IntoResponse + 'static> + Clone + Send + Sync,
        L::Service: Service<Request, Error: Into<Infallible> + 'static, Future: Send> + 'static,
    {
        let (app, sources) = application();
        let app = match self {
            Self::Inside => app.layer(other).layer(sse),
            Self::Outside => app.layer(sse).layer(other),
        };
        (app, sources)
    }
}

pub(crate) fn get_request(path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

/// Calls `app` without a server, for tests that poll the body by hand.
pub(crate) async fn call(app: &Router, request: Request) -> Response {
    app.clone().oneshot(request).await.unwrap()
}

pub(crate) async fn open(
    (app, mut sources): (Router, Sources),
    client: Requester,
) -> (Body, Source) {
    let body = call(&app, client.request("/events")).await.into_body();
    (body, sources.next().await)
}

/// Asserts that two events arrive, each before the next is made, and then a clean end.
pub(crate) async fn assert_streams<B>(response: Response<B>, source: Source)
where
    B: http_body::Body<Data = bytes::Bytes, Error: std::fmt::Debug> + Unpin,
{
    assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
    let mut events = EventReader::new(response);
    for data in ["one", "two"] {
        source.send(data);
        assert_eq!(events.next().await.expect("an event").data, data);
    }
    source.end();
    assert!(events.next().await.is_none());
}
