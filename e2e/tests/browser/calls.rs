//! Shutdowns with clients that call an API and read the answer as it is generated. They are not
//! browsers, and do not reconnect by themselves.

use axum::routing::post;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::sync::Notify;
use tower_sse::CloseReason;

use crate::*;

async fn complete(server: &Server, protocol: Protocol) -> Response<Incoming> {
    let request = Request::post(format!("http://{}/completion", server.address))
        .header("accept", "application/json")
        .body(Full::<Bytes>::from("{}"))
        .unwrap();
    protocol.connect(server.address).await.send(request).await
}

#[tokio::test]
async fn new_calls_get_a_retry_after_and_open_ones_complete() {
    for protocol in Protocol::BOTH {
        let last = Arc::new(Notify::new());
        let completion = {
            let last = Arc::clone(&last);
            async move || {
                tower_sse::response(stream! {
                    yield Event::from("first");
                    last.notified().await;
                    yield Event::from("last");
                })
            }
        };
        let app = Router::new().route("/completion", post(completion));
        let server =
            Server::start(ANY, layer("server").terminator(Event::from("[DONE]")), app).await;
        let mut open = EventReader::new(complete(&server, protocol).await);
        assert_eq!(open.next().await.unwrap().data, "first");

        server.drain();
        let refused = complete(&server, protocol).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()["retry-after"], "1");
        assert!(!refused.headers().contains_key("content-type"));
        assert!(refused.collect().await.unwrap().to_bytes().is_empty());

        last.notify_one();
        let rest: Vec<String> = open.rest().await.into_iter().map(|event| event.data).collect();
        assert_eq!(rest, ["last", "[DONE]"], "no farewell, and a clean end");
        let stats = server.stats.clone();
        server.shut_down().await;
        let ended = stats.snapshot().closed_by_reason.into_iter().find(|(_, closed)| *closed > 0);
        assert_eq!(ended, Some((CloseReason::Ended, 1)));
    }
}
