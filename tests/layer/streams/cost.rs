//! What subjects cost, in bytes.

use allocation_counter::measure;
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use tower_sse::{
    Event, SseLayer,
    streams::{Streams, Subjects},
};

use super::rig::now;
use crate::support::*;

/// A table of them is as full as one of 10,000.
const STREAMS: usize = 1_250;

/// Returns the bytes of each of many open streams, which have been polled.
fn bytes_per_stream(layer: &SseLayer, subject: impl Fn(usize) -> Option<String>) -> i64 {
    let mut bodies = Vec::with_capacity(STREAMS);
    let counted = measure(|| {
        for number in 0..STREAMS {
            let subject = subject(number);
            let answer = answer_by(Requester::EventSource.request("/"), layer, |request| {
                if let Some(subject) = &subject {
                    request.extensions().get::<Subjects>().unwrap().add(&**subject);
                }
                tower_sse::response(stream::pending::<Event>())
            });
            let mut body = answer.into_body();
            assert_eq!(poll_frame(&mut body), Polled::Pending);
            bodies.push(body);
        }
    });
    drop(bodies);
    counted.bytes_current / STREAMS as i64
}

#[tokio::test(start_paused = true)]
async fn stream_with_one_subject_costs_at_most_250_bytes() {
    let plain: SseLayer = SseLayer::new().without_heartbeat();
    for layer in [plain.clone(), plain.shutdown(CancellationToken::new())] {
        let none = bytes_per_stream(&layer, |_| None);
        let streams = Streams::new();
        let layer = layer.streams(&streams);
        let without = bytes_per_stream(&layer, |_| None) - none;
        let shared = bytes_per_stream(&layer, |_| Some("tenant:7".to_owned())) - none;
        let own = bytes_per_stream(&layer, |number| Some(format!("session:{number:08}"))) - none;
        println!("none {none}; without subject +{without}, shared +{shared}, own +{own}");
        assert_eq!(without, 0);
        assert!(shared <= 250 && own <= 250, "shared {shared}, own {own}");
        let left = measure(|| _ = bytes_per_stream(&layer, |n| Some(format!("user:{}", n % 7))));
        assert!(left.bytes_current < 4096, "{left:?}");
        assert_eq!((streams.subjects(), now(streams.close("tenant:7"))), (vec![], 0));
    }
}
