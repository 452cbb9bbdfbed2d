//! The handlers' answers: the same words, in the protocol of each client.

use super::*;

/// An answer's number of words, and the time before each of them.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) words: usize,
    pub(crate) gap: Duration,
}

impl Pace {
    pub(crate) const fn new(words: usize, gap: u64) -> Self {
        Self { words, gap: Duration::from_millis(gap) }
    }

    /// Returns the text that a client must have at the end of the answer of call number `call`.
    pub(crate) fn text(self, call: usize) -> String {
        (0..self.words).map(|at| word(call, at)).collect()
    }

    fn paced(self, call: usize) -> impl Stream<Item = String> + Send + 'static {
        stream::iter(0..self.words).then(move |at| async move {
            tokio::time::sleep(self.gap).await;
            word(call, at)
        })
    }

    /// The words alone, as axum's own events.
    pub(crate) fn words(
        self,
        call: usize,
    ) -> impl Stream<Item = Result<axum::response::sse::Event, Infallible>> + Send + 'static {
        self.paced(call).map(|word| Ok(axum::response::sse::Event::default().data(word)))
    }

    /// The protocol of `ai`.
    pub(crate) fn chat(self, call: usize) -> impl Stream<Item = Event> + Send + 'static {
        let start = [
            json!({ "type": "start", "messageId": format!("message-{call}") }),
            json!({ "type": "text-start", "id": "text" }),
        ];
        let delta = |word| json!({ "type": "text-delta", "id": "text", "delta": word });
        let end = [json!({ "type": "text-end", "id": "text" }), json!({ "type": "finish" })];
        framed(start, self.paced(call).map(delta), end).map(json_event)
    }

    /// The protocol of AG-UI, which TanStack speaks.
    pub(crate) fn ag_ui(self, call: usize) -> impl Stream<Item = Event> + Send + 'static {
        let of_run = |kind| json!({ "type": kind, "threadId": "thread", "runId": "run" });
        let of_message = |kind| json!({ "type": kind, "messageId": "m", "role": "assistant" });
        let delta =
            |word| json!({ "type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": word });
        let start = [of_run("RUN_STARTED"), of_message("TEXT_MESSAGE_START")];
        let end = [of_message("TEXT_MESSAGE_END"), of_run("RUN_FINISHED")];
        framed(start, self.paced(call).map(delta), end).map(json_event)
    }

    /// The protocol of LangGraph.
    pub(crate) fn graph(self, call: usize) -> impl Stream<Item = Event> + Send + 'static {
        let start = [Event::new().event("metadata").data(json!({ "run_id": call }).to_string())];
        let value = |word| Event::new().event("values").data(json!({ "word": word }).to_string());
        let end = [Event::new().event("end").data("null")];
        framed(start, self.paced(call).map(value), end)
    }

    /// The bytes of an upstream that speaks OpenAI's protocol, with blocks that are comments.
    pub(crate) fn completion(
        self,
        call: usize,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        let chunk = |word| {
            let delta = json!({ "index": 0, "delta": { "content": word }, "finish_reason": null });
            let chunk = json!({
                "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [delta],
            });
            format!(": OPENROUTER PROCESSING\n\ndata: {chunk}\n\n: OPENROUTER PROCESSING\n\n")
        };
        let end = ["data: [DONE]\n\n".to_owned()];
        framed([], self.paced(call).map(chunk), end).map(|block| Ok(block.into()))
    }
}

/// Returns a word that occurs once. Words have different lengths, and some have characters of
/// several bytes.
fn word(call: usize, at: usize) -> String {
    format!("{call}.{at}{} ", "ö".repeat(at % 7))
}

fn framed<T: Send + 'static, const S: usize, const E: usize>(
    start: [T; S],
    middle: impl Stream<Item = T> + Send + 'static,
    end: [T; E],
) -> impl Stream<Item = T> + Send + 'static {
    stream::iter(start).chain(middle).chain(stream::iter(end))
}

fn json_event(value: Value) -> Event {
    Event::new().data(value.to_string())
}
