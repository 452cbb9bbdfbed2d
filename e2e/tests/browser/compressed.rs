//! Streams that nginx compresses without holding events back.

use std::convert::Infallible;

use axum::routing::get;
use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use http_body_util::Full;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tower::{ServiceExt, service_fn};
use tower_http::decompression::Decompression;

use crate::*;

#[tokio::test]
async fn nginx_passes_each_event_that_it_compresses_at_once() {
    let Some(nginx) = find_nginx() else { return };
    let (events, _) = broadcast::channel::<&'static str>(8);
    let opened = events.clone();
    let answer = async move || {
        let received = BroadcastStream::new(opened.subscribe());
        tower_sse::response(received.map(|data| data.map(Event::from)))
    };
    let app = Router::new().route("/events", get(answer)).layer(SseLayer::new());
    let upstream = format!("server {};", serve_axum(app).await);
    let settings = "proxy_http_version 1.1; gzip on; gzip_types text/event-stream;";
    let nginx = Nginx::start_with(&nginx, &upstream, settings).await;

    let response = client::get(nginx.address, "/events", &[("accept-encoding", "gzip")]).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let mut response = Some(response);
    let received = service_fn(move |_: Request<Full<Bytes>>| {
        std::future::ready(Ok::<_, Infallible>(response.take().expect("one request")))
    });
    let response = Decompression::new(received).oneshot(Request::default()).await.unwrap();
    let mut received = EventReader::new(response);
    for data in ["one", "two", "two", "three"] {
        events.send(data).unwrap();
        assert_eq!(received.next().await.unwrap().data, data);
    }
}
