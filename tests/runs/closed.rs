//! Closing the stream of one client of a run.

use crate::*;

/// The subjects of a request count for its client, and not for the recording, which inner layers
/// also see as a stream.
#[tokio::test(start_paused = true)]
async fn closing_one_clients_stream_ends_neither_the_run_nor_other_clients() {
    let streams = Streams::new();
    let handler = Handler::default();
    let inner: SseLayer = SseLayer::new().without_heartbeat().streams(&streams);
    let innermost: SseLayer = inner.clone();
    let outer: SseLayer = SseLayer::new().terminator("[DONE]").streams(&streams);
    let recorded = inner
        .layer(innermost.layer(handler.service()))
        .map_response(|answer: Response<SseBody<SseBody<Body>>>| answer.map(BodyExt::boxed_unsync));
    let service = outer.layer(Runs::new().layer(key).layer(recorded));
    let send = |mut request: Request<()>, session: &'static str| {
        streams.subjects_of(&mut request).add(session);
        Box::pin(service.clone().oneshot(request))
    };
    let mut first = send(post(), "session:a");
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    settle().await;
    // The handler of the first client can add subjects too.
    handler.extensions().get::<Subjects>().expect("the handler has them").add("user:1");
    let feed = handler.stream();
    feed.data("data: one\n\n");
    let mut first = Client::new(first.await.unwrap());
    assert_eq!(first.read().await, ["one"]);
    let mut other = Client::new(send(after(&first.last, post()), "session:b").await.unwrap());
    assert_eq!(streams.count("session:a"), 1, "the recording does not count");
    assert_eq!((streams.count("user:1"), streams.count("session:b")), (1, 1));

    assert_eq!(streams.close("session:a").await.unwrap(), 1);
    assert!(first.read().await.is_empty());
    assert_eq!(first.end, Some(End::Failed));
    feed.data("data: two\n\n");
    feed.end();
    assert_eq!(other.read().await, ["two", "[DONE]"]);
    assert_eq!(handler.calls(), 1);
    settle().await;
    assert_eq!(streams.count("user:1"), 0);
}
