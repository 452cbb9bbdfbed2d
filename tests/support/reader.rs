use tower_sse::decode::{Decoder, Message};

use super::*;

pub struct EventReader<B> {
    body: B,
    decoder: Decoder,
    bytes: Bytes,
}

impl<B> EventReader<B>
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin,
{
    pub fn new(response: Response<B>) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), decoder: Decoder::new(), bytes: Bytes::new() }
    }

    /// Returns the next event, or `None` if the stream ends cleanly before it.
    pub async fn next(&mut self) -> Option<Message> {
        // One timeout for the whole event: heartbeats would renew a timeout per frame.
        soon(self.read()).await
    }

    async fn read(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.decoder.decode(&mut self.bytes).unwrap() {
                return Some(message);
            }
            // Even empty `Bytes` keep their frame alive, as if a server had not yet written it.
            self.bytes = Bytes::new();
            let frame = self.body.frame().await?.unwrap();
            self.bytes = frame.into_data().unwrap_or_default();
        }
    }

    pub fn into_body(self) -> B {
        self.body
    }

    pub async fn rest(mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        messages
    }
}
