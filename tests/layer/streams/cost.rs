//! What subjects cost, in bytes.

use allocation_counter::measure;
use tower_sse::streams::{Streams, Subjects};

use super::rig::now;
use crate::*;

/// Returns the bytes of each of so many open streams, which have been polled.
fn bytes_per_stream(
    layer: &SseLayer,
    streams: usize,
    subject: impl Fn(usize) -> Option<String>,
) -> i64 {
    let mut bodies = Vec::with_capacity(streams);
    let counted = measure(|| {
        for number in 0..streams {
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
    counted.bytes_current / streams as i64
}

/// How full the table of subjects is depends on the number of streams.
#[tokio::test(start_paused = true)]
async fn stream_with_one_subject_costs_at_most_270_bytes() {
    let plain: SseLayer = SseLayer::new().without_heartbeat();
    for plain in [plain.clone(), plain.shutdown(CancellationToken::new())] {
        for count in [1_250, 4_096] {
            let bytes = |layer: &SseLayer, subject: &dyn Fn(usize) -> Option<String>| {
                bytes_per_stream(layer, count, subject)
            };
            let none = bytes(&plain, &|_| None);
            let streams = Streams::new();
            let layer = plain.clone().streams(&streams);
            let without = bytes(&layer, &|_| None) - none;
            let shared = bytes(&layer, &|_| Some("tenant:7".to_owned())) - none;
            let own = bytes(&layer, &|number| Some(format!("session:{number:08}"))) - none;
            println!("none {none}; without subject +{without}, shared +{shared}, own +{own}");
            assert_eq!(without, 0);
            assert!(shared <= 270 && own <= 270, "{count}: shared {shared}, own {own}");
            let left = measure(|| _ = bytes(&layer, &|n| Some(format!("user:{}", n % 7))));
            assert!(left.bytes_current < 4096, "{left:?}");
            assert_eq!((streams.subjects(), now(streams.close("tenant:7"))), (vec![], 0));
        }
    }
}
