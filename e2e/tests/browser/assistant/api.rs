//! A model's API that sends a word whenever the test allows it.

use std::sync::atomic::AtomicBool;

use axum::routing::post;

use crate::*;

pub(crate) const WORDS: usize = 6;
/// The number of bytes of events that a run keeps by default.
pub(crate) const RETAINED: usize = 2 << 20;

#[derive(Clone, Default)]
pub(crate) struct Api(Arc<State>);

#[derive(Default)]
struct State {
    calls: AtomicUsize,
    open: AtomicUsize,
    /// A call waits for its first word before it sends a head.
    quota: Quota,
    refuses: AtomicBool,
    /// The number of blanks behind each word; 0 stands for 1.
    blanks: AtomicUsize,
}

/// Counts the words that the calls may still send.
struct Quota(Semaphore);

impl Default for Quota {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Api {
    pub(crate) async fn serve(&self) -> SocketAddr {
        let own = self.clone();
        let complete = post(async move || own.complete().await);
        let app = Router::new().route("/v1/chat/completions", complete).layer(SseLayer::new());
        serve_axum(app).await
    }

    async fn complete(self) -> axum::response::Response {
        self.0.calls.fetch_add(1, SeqCst);
        self.0.open.fetch_add(1, SeqCst);
        let call = Call(self);
        let Api(state) = &call.0;
        state.quota.0.acquire().await.unwrap().forget();
        if state.refuses.load(SeqCst) {
            return StatusCode::TOO_MANY_REQUESTS.into_response();
        }
        let blanks = " ".repeat(state.blanks.load(SeqCst).max(1));
        let words = stream! {
            for word in 1..=WORDS {
                if word > 1 {
                    call.0.0.quota.0.acquire().await.unwrap().forget();
                }
                let content = format!("{word}{blanks}");
                let delta = json!({ "choices": [{ "delta": { "content": content } }] });
                yield Event::from(delta.to_string());
            }
            yield Event::from("[DONE]");
        };
        tower_sse::response(words).into_response()
    }

    /// Lets the model send words and waits until it has sent them.
    pub(crate) async fn say(&self, words: usize) {
        self.0.quota.0.add_permits(words);
        until(|| self.0.quota.0.available_permits() == 0).await;
    }

    pub(crate) async fn refuse(&self) {
        self.0.refuses.store(true, SeqCst);
        self.say(1).await;
    }

    /// Makes the words of later answers so long that a run keeps fewer than `WORDS - 1` of them.
    pub(crate) fn lengthen(&self) {
        self.0.blanks.store(RETAINED / (WORDS - 2), SeqCst);
    }

    pub(crate) fn open(&self) -> usize {
        self.0.open.load(SeqCst)
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(SeqCst)
    }

    pub(crate) async fn is_idle(&self) {
        until(|| self.0.open.load(SeqCst) == 0).await;
    }
}

struct Call(Api);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, SeqCst);
    }
}
