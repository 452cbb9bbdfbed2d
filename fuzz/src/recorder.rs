use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use tower_sse::runs::{RunKey, Runs};

use crate::*;

/// A run records what a client decodes from the source, whatever the bytes are and however they are
/// split. Each recorded event ends with its id.
pub fn recorder(data: &[u8]) {
    let pieces = pieces(data);
    let source = pieces.concat();
    let recorded = in_runtime(record(&pieces));
    let (expected, read) = (naive::read(&source), naive::read(&recorded));
    let without_ids = |events: Vec<naive::Seen>| -> Vec<_> {
        events.into_iter().map(|(name, data, _)| (name, data)).collect()
    };
    assert_eq!(without_ids(read.events), without_ids(expected.events));
    let text = String::from_utf8_lossy(&recorded);
    assert!(!text.contains('\r') && !text.contains("\n:"));
    for (n, block) in text.split_terminator("\n\n").enumerate() {
        let (fields, id) = block.rsplit_once('\n').expect("a field before the id");
        assert!(id.starts_with("id: ") && id.ends_with(&format!("-{}", n + 1)));
        assert!(!fields.lines().any(|line| line == "id" || line.starts_with("id:")));
    }
}

async fn record(pieces: &[&[u8]]) -> Vec<u8> {
    let frames: Vec<_> = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
    let frames = stream::iter(frames).then(|frame| async move {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Frame::data(frame))
    });
    let answer = Arc::new(Mutex::new(Some(event_stream(StreamBody::new(frames.boxed())))));
    let service = service_fn(move |_: Request<()>| {
        let answer = answer.lock().expect("no panic").take();
        ready(Ok::<_, Infallible>(answer.expect("one call")))
    });
    let runs = Runs::new();
    let key = |_: &Request<()>| Some(RunKey::shared("fuzz"));
    let layer: SseLayer = SseLayer::new();
    let service = tower::ServiceBuilder::new()
        .layer(layer.without_heartbeat())
        .layer(runs.layer(key))
        .service(service);
    let response = service.oneshot(Request::new(())).await.expect("an answer");
    response.into_body().collect().await.expect("a source that does not fail").to_bytes().to_vec()
}
