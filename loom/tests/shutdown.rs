//! Models of streams and the shutdown of their layer, checked in every interleaving.
#![cfg(tower_sse_loom)]

use std::future::{poll_fn, ready};
use std::{convert::Infallible, pin::Pin};

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::Request;
use http_body::Body;
use loom::{future::block_on, model, thread};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, service_fn};
use tower_sse::{BoxError, Event, SseLayer};

type StreamBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// Creates streams of one layer that never end by themselves.
fn streams<const N: usize>(shutdown: &CancellationToken) -> [StreamBody; N] {
    let layer: SseLayer = SseLayer::new().without_heartbeat().shutdown(shutdown.clone());
    let response = || tower_sse::response(stream::pending::<Event>());
    let mut service =
        layer.layer(service_fn(move |_: Request<()>| ready(Ok::<_, Infallible>(response()))));
    [(); N].map(|()| {
        let response = block_on(service.call(Request::new(()))).unwrap();
        Box::pin(response.into_body()) as StreamBody
    })
}

/// Reads to the end. loom reports a deadlock if the stream never ends.
fn read_to_end(mut body: StreamBody) {
    block_on(async move {
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            frame.unwrap();
        }
    });
}

#[test]
fn stream_that_begins_to_wait_while_the_shutdown_begins_ends() {
    model(|| {
        let shutdown = CancellationToken::new();
        let [body] = streams(&shutdown);
        let canceller = thread::spawn(move || shutdown.cancel());
        read_to_end(body);
        canceller.join().unwrap();
    });
}

#[test]
fn stream_ends_beside_one_that_is_dropped_while_the_shutdown_begins() {
    model(|| {
        let shutdown = CancellationToken::new();
        let [mut dropped, body] = streams(&shutdown);
        _ = poll_fn(|cx| dropped.as_mut().poll_frame(cx)).now_or_never();
        let canceller = thread::spawn(move || shutdown.cancel());
        let dropper = thread::spawn(move || drop(dropped));
        read_to_end(body);
        dropper.join().unwrap();
        canceller.join().unwrap();
    });
}
