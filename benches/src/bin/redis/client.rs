use tower_sse::Decoder;

use super::subject::Frames;
use crate::*;

/// Calls `received` with the data of each event, until it has come `count` times.
pub(crate) async fn receive(mut frames: Frames, count: usize, mut received: impl FnMut(&str)) {
    let mut decoder = Decoder::new();
    let mut events = 0;
    while events < count {
        let mut bytes: Bytes = frames.next().await.expect("an open stream");
        while let Some(message) = decoder.decode(&mut bytes).expect("events") {
            assert_ne!(message.event, "gap");
            received(&message.data);
            events += 1;
        }
    }
}
