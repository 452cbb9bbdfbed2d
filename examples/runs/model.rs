use std::{sync::Arc, time::Duration};

use async_stream::stream;
use futures_util::Stream;
use tokio::{sync::Semaphore, time::sleep};

/// The model's answer, in 80 words.
pub(crate) const ANSWER: &str = "A run is one answer that belongs to no connection. The server \
    makes it on a task, records every event and gives each an id. A page that loses its network \
    sends the last id it saw, and receives what follows. A page that reloads receives all words \
    from the start. Another tab reads along. The model is not asked again, so tokens are paid \
    once. Closing the laptop stops nothing. Only pressing stop does, or a long time alone.";

/// A stand-in for a language model.
#[derive(Clone)]
pub(crate) struct Model {
    /// The time that a token takes.
    pub(crate) pace: Duration,
    /// The number of tokens that may still be generated.
    pub(crate) quota: Arc<Semaphore>,
}

impl Model {
    /// Returns the tokens of an answer, each generated when it is polled.
    pub(crate) fn generate(self) -> impl Stream<Item = &'static str> + Send + use<> {
        stream! {
            for word in ANSWER.split_inclusive(' ') {
                sleep(self.pace).await;
                // The semaphore is never closed.
                if let Ok(token) = self.quota.acquire().await {
                    token.forget();
                }
                yield word;
            }
        }
    }
}
