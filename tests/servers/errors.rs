use std::{error::Error, io};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{future::join_all, stream};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::time::timeout;
use tower_sse::Event;

use crate::{
    host::{Host, PATIENCE},
    source::streams,
    support::EventReader,
};

/// All bytes of a body that must fail in the end.
async fn read_to_failure(mut body: Incoming) -> (Vec<u8>, hyper::Error) {
    let mut bytes = Vec::new();
    loop {
        match timeout(PATIENCE, body.frame()).await.expect("a frame").expect("a failure") {
            Ok(frame) => bytes.extend(frame.into_data().unwrap_or_default()),
            Err(error) => return (bytes, error),
        }
    }
}

/// HTTP/1: a chunked body without its last chunk. HTTP/2: a reset.
fn assert_says_that_it_failed(host: Host, error: &hyper::Error) {
    if host.is_h2() {
        let reset = error.source().expect("an error of h2").to_string();
        assert!(reset.contains("unexpected internal error encountered"), "{host:?}: {reset}");
    } else {
        // hyper has no method to ask for this one.
        assert_eq!(error.to_string(), "error reading a body from connection", "{host:?}");
    }
}

/// What hyper has not flushed when a body fails is lost with it, and on several workers that is a
/// race: hence the rounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_ready_before_an_error_is_delivered() {
    join_all(Host::ALL.map(|host| {
        let handler = |_| {
            let items = ["one", "two"].map(|data| Ok(Event::from(data)));
            let failure = [Err(io::Error::other("disk full"))];
            tower_sse::response(stream::iter(items.into_iter().chain(failure))).map(Body::new)
        };
        assert_delivers_in_every_round(host, handler)
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_foreign_body_gave_before_an_error_is_delivered() {
    join_all(Host::ALL.map(|host| {
        let handler = |_| {
            let frames = ["data: one\n\n", "data: two\n\n"]
                .map(|event| Ok(Frame::data(Bytes::from_static(event.as_bytes()))));
            let failure = [Err(io::Error::other("disk full"))];
            let body = StreamBody::new(stream::iter(frames.into_iter().chain(failure)));
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(Body::new(body))
                .unwrap()
        };
        assert_delivers_in_every_round(host, handler)
    }))
    .await;
}

async fn assert_delivers_in_every_round<H>(host: Host, handler: H)
where
    H: Fn(http::request::Parts) -> Response<Body> + Clone + Send + Sync + 'static,
{
    const ROUNDS: usize = 100;

    let address = host.serve(handler).await;
    let mut client = host.connect(address).await;
    for round in 0..ROUNDS {
        if !host.is_h2() {
            // An HTTP/1 connection ends with the body that failed.
            client = host.connect(address).await;
        }
        let (bytes, error) = read_to_failure(client.get().await.into_body()).await;
        assert_eq!(bytes, b"data: one\n\ndata: two\n\n", "{host:?}, round {round}");
        assert_says_that_it_failed(host, &error);
    }
}

#[tokio::test]
async fn an_error_drops_the_source_and_the_server_goes_on() {
    for host in Host::ALL {
        let (mut sources, handler) = streams();
        let address = host.serve(handler).await;

        let mut client = host.connect(address).await;
        let response = client.get().await;
        let source = sources.next().await;
        source.fail("disk full");
        source.dropped().await;
        let (bytes, error) = read_to_failure(response.into_body()).await;
        assert_eq!(bytes, b"", "{host:?}");
        assert_says_that_it_failed(host, &error);

        let mut client = host.connect(address).await;
        let mut events = EventReader::new(client.get().await);
        sources.next().await.send("again");
        assert_eq!(events.next().await.unwrap().data, "again", "{host:?}");
    }
}
