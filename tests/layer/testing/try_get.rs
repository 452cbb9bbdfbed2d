//! Answers that are not event streams.

use http::HeaderName;
use tower_sse::{LAST_EVENT_ID, testing::TestClient};

use crate::*;

#[tokio::test]
async fn answer_that_is_no_event_stream_is_returned_whole() {
    let service = service_fn(async |request: Request<String>| {
        let answer = match request.uri().path() {
            "/204" => Response::new(String::new()).with_status(204),
            "/401" => Response::new("who is it?".to_owned()).with_status(401),
            "/json" => Response::new("{}".to_owned()),
            "/202" => event_stream("data: a\n\n".to_owned()).with_status(202),
            _ => event_stream("id: 1\ndata: a\n\n".to_owned()),
        };
        let id = request.headers().get(LAST_EVENT_ID).cloned();
        let (mut head, body) = answer.into_parts();
        head.headers.extend(id.map(|id| (HeaderName::from_static("x-id"), id)));
        Ok::<_, Infallible>(Response::from_parts(head, body))
    });
    let mut client = TestClient::new(service);
    for (uri, status, body) in [
        ("/204", 204, ""),
        ("/401", 401, "who is it?"),
        ("/json", 200, "{}"),
        ("/202", 202, "data: a\n\n"),
    ] {
        let answer = client.try_get(uri).await.unwrap_err();
        assert_eq!(
            (answer.status().as_u16(), &**answer.body()),
            (status, body.as_bytes()),
            "{uri}"
        );
        assert!(!answer.headers().contains_key("x-id"), "{uri}");
        let answer = client.try_resume(uri, "7").await.unwrap_err();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["x-id"].as_bytes()),
            (status, &b"7"[..]),
            "{uri}"
        );
    }

    let mut events = client.try_get("/").await.unwrap();
    assert_eq!(events.next().await.data, "a");
    let events = client.reconnect(events).await;
    assert_eq!(events.last_event_id(), "1");
    assert_eq!(client.try_resume("/", "7").await.unwrap().last_event_id(), "7");
}
