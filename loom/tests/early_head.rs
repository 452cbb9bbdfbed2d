//! A model of a late answer and of the layer that waits for it, checked in every interleaving.
#![cfg(tower_sse_loom)]

use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::{cell::RefCell, pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{Request, Response};
use http_body::Body;
use loom::{future::block_on, model, thread};
use tokio::{runtime::Builder, sync::oneshot};
use tower::{Layer, Service, service_fn};
use tower_sse::early_head::EarlyHeadLayer;
use tower_sse::{Event, SseLayer, StreamOptions, layer::EventBody};

/// Middleware reads the early head's body on a task of its own and passes none of its frames on, so
/// only the answer itself wakes the layer's task.
#[test]
fn late_answer_wakes_the_layer_that_begins_to_wait_meanwhile() {
    model(|| {
        let (answer, answered) = oneshot::channel::<()>();
        let answered = RefCell::new(Some(answered));
        let handler = move |_: Request<()>| {
            let answered = answered.take().unwrap();
            async move {
                answered.await.unwrap();
                let mut response = tower_sse::response(stream::pending::<Event>());
                StreamOptions::new().retry(Duration::from_secs(7)).merge_into(&mut response);
                Ok::<_, Infallible>(response)
            }
        };
        let early = EarlyHeadLayer::new(Duration::ZERO).when(|_| true);
        let call = early.layer(service_fn(handler)).call(Request::new(()));
        // With a paused clock, the runtime never waits.
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let (parts, late) = runtime.unwrap().block_on(call).unwrap().into_parts();
        let reader = thread::spawn(move || {
            let mut late = pin!(late);
            answer.send(()).unwrap();
            _ = poll_fn(|cx| late.as_mut().poll_frame(cx)).now_or_never();
        });
        let silent = EventBody::new(stream::pending::<Event>());
        let passed = RefCell::new(Some(Response::from_parts(parts, silent)));
        let layer: SseLayer = SseLayer::new().without_heartbeat().without_retry();
        let service = move |_: Request<()>| ready(Ok::<_, Infallible>(passed.take().unwrap()));
        let response = block_on(layer.layer(service_fn(service)).call(Request::new(()))).unwrap();
        let mut body = pin!(response.into_body());
        block_on(async {
            for expected in [&b": \n"[..], b"retry: 7000\n"] {
                let frame = poll_fn(|cx| body.as_mut().poll_frame(cx)).await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), Bytes::from_static(expected));
            }
        });
        reader.join().unwrap();
    });
}
