use async_stream::stream;
use axum::extract::Request;
use tower_sse::{Encode, Encoded};

use crate::*;

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
    assert_eq!(body_of(|| stream::iter([event()])).await, "data: x\n\n");
    assert_eq!(body_of(|| stream::iter([Encoded::from(event())])).await, "data: x\n\n");
    assert_eq!(body_of(|| stream::iter([Ok::<_, io::Error>(event())])).await, "data: x\n\n");
    assert_eq!(
        body_of(|| stream::iter([Ok::<_, Infallible>(Encoded::from(event()))])).await,
        "data: x\n\n"
    );
    assert_eq!(body_of(|| Box::pin(stream::once(async { Event::from("x") }))).await, "data: x\n\n");
}

#[cfg(feature = "json")]
#[tokio::test]
async fn value_makes_an_event_as_json() {
    let value = || Event::new().event("delta").json([1, 2]);
    let expected = "event: delta\ndata: [1,2]\n\n";
    assert_eq!(body_of(|| stream::iter([value()])).await, expected);
    assert_eq!(body_of(|| stream::iter([Ok::<_, io::Error>(value())])).await, expected);
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
    assert_eq!(body_of(events).await, "id: 0\ndata: tick\n\nid: 1\ndata: tick\n\n");
}
