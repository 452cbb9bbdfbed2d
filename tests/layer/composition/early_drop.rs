use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use http::{Request, response};
use tower_http::on_early_drop::{OnBodyDropFn, OnEarlyDropLayer};

use super::application::{Place, assert_streams, call, get_request};
use crate::support::*;
use tower_sse::SseLayer;

/// An event stream usually ends by its client leaving, so `OnEarlyDrop` takes nearly every stream
/// for a failed one. Do not use it, or `EarlyDropsAsFailures`, around routes that stream: use a
/// guard in the source, which the layer drops as soon as the stream is over.
#[tokio::test]
async fn on_early_drop_fires_at_every_normal_disconnect() {
    for place in Place::BOTH {
        let drops = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&drops);
        let on_body_drop = OnBodyDropFn::new(move |_: &Request<_>| {
            let counter = Arc::clone(&counter);
            move |_: &response::Parts| {
                move || {
                    counter.fetch_add(1, SeqCst);
                }
            }
        });
        let (app, mut sources) =
            place.compose(SseLayer::new(), OnEarlyDropLayer::builder().on_body_drop(on_body_drop));

        let response = call(&app, get_request("/events", &[])).await;
        assert_streams(response, sources.next().await).await;
        assert_eq!(drops.load(SeqCst), 0, "{place:?}: a clean end is not early");

        let response = call(&app, get_request("/events", &[])).await;
        let source = sources.next().await;
        source.send("one");
        let mut events = EventReader::new(response);
        assert_eq!(events.next().await.unwrap().data, "one");
        drop(events);
        source.dropped().await;
        assert_eq!(drops.load(SeqCst), 1, "{place:?}: any client that leaves is");

        let mut body = call(&app, get_request("/json", &[])).await.into_body();
        assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
        drop(body);
        assert_eq!(drops.load(SeqCst), 1, "{place:?}: what is no stream is seen as before");
    }
}
