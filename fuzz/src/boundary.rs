use std::task::{Context, Poll, Waker};

use http_body::Body;
use tower_sse::Heartbeat;

use crate::*;

const INTERVAL: Duration = Duration::from_secs(1);

/// Heartbeats between any two pieces of any source, as comments or as events, do not change what a
/// client decodes from the source.
pub fn boundary(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    let is_event = mode % 2 == 1;
    let pieces = pieces(data);
    let source = pieces.concat();
    let sent = in_runtime(through_layer(&pieces, is_event));

    let [read, expected] = [sent, source].map(|stream| {
        let mut reading = naive::read(&stream);
        reading.events.retain(|(name, ..)| name != "beat");
        (reading.events, reading.last_event_id, reading.retry)
    });
    assert_eq!(read, expected);
}

/// Sends each piece after a pause of two intervals. Returns the bytes that a client receives.
async fn through_layer(pieces: &[&[u8]], is_event: bool) -> Vec<u8> {
    let heartbeat = Heartbeat::every(INTERVAL);
    let heartbeat = if is_event { heartbeat.event("beat", "x") } else { heartbeat };
    let frames: Vec<_> = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
    let source = stream::unfold(frames.into_iter(), |mut frames| async {
        tokio::time::sleep(2 * INTERVAL).await;
        Some((Ok::<_, Infallible>(Frame::data(frames.next()?)), frames))
    });
    let layer: SseLayer = SseLayer::new().heartbeat(heartbeat);
    let answer = event_stream(StreamBody::new(Box::pin(source)));
    let mut body = Box::pin(answer::through(&layer, answer).into_body());
    let mut sent = Vec::new();
    loop {
        match body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(frame)) => {
                let data = frame.expect("a source that does not fail").into_data();
                sent.extend_from_slice(&data.expect("a source without trailers"));
            }
            Poll::Ready(None) => return sent,
            Poll::Pending => tokio::time::advance(INTERVAL / 2).await,
        }
    }
}
