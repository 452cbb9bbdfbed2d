use std::{env, future::ready, time::Duration};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::{Body, Client};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower_sse::{BoxError, Event, decode::MessageStream};

const ANSWER: &str = "The server makes this answer on a task of its own, and records every word. \
    A page that reloads gets all of them, and a second tab reads along. The model is asked once. \
    Close the page, and come back later for the rest of the answer.";

/// The longest silence of an API, before and during its response.
const MAX_SILENCE: Duration = Duration::from_secs(300);

/// A model, which doesn't know that its answers are recorded.
#[derive(Clone)]
pub(crate) enum Model {
    /// Thinks for this time, then answers, or refuses the question `busy`.
    StandIn(Duration),
    Api(Api),
}

impl Model {
    /// Returns the API whose key is in the environment, or a stand-in.
    pub(crate) fn from_env() -> Self {
        let Ok(key) = env::var("OPENAI_API_KEY") else {
            return Self::StandIn(seconds("SILENCE", 30.0));
        };
        let base = env::var("OPENAI_BASE_URL").unwrap_or("https://api.openai.com/v1".into());
        let name = env::var("OPENAI_MODEL").unwrap_or("gpt-4o-mini".into());
        Self::Api(Api { client: Client::new(), key, base, name })
    }

    pub(crate) async fn answer(self, question: String) -> Response {
        match self {
            Self::StandIn(silence) => {
                sleep(silence).await;
                match &*question {
                    "busy" => StatusCode::TOO_MANY_REQUESTS.into_response(),
                    _ => stand_in().into_response(),
                }
            }
            Self::Api(api) => api.answer(&question).await.unwrap_or_else(|error| {
                eprintln!("the model: {error:?}");
                StatusCode::BAD_GATEWAY.into_response()
            }),
        }
    }
}

fn stand_in() -> impl IntoResponse {
    let words = stream::iter(ANSWER.split_inclusive(' ')).then(async |word| {
        sleep(Duration::from_millis(150)).await;
        Event::from(word)
    });
    tower_sse::response(words.chain(stream::iter([done()])))
}

/// Tells the page that the answer is whole.
fn done() -> Event {
    Event::new().event("done").data("{}")
}

/// An API that streams chat completions as OpenAI's does.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    key: String,
    base: String,
    name: String,
}

impl Api {
    async fn answer(self, question: &str) -> Result<Response, BoxError> {
        let message = json!({ "role": "user", "content": question });
        let request = json!({ "model": self.name, "messages": [message], "stream": true });
        let url = format!("{}/chat/completions", self.base);
        let sent = self.client.post(url).bearer_auth(self.key).json(&request).send();
        // A refusal isn't an answer: no run is kept for it, and the page can ask again.
        let upstream = timeout(MAX_SILENCE, sent).await??.error_for_status()?;
        let messages = MessageStream::new(Body::from(upstream)).terminator("[DONE]");
        let tokens =
            messages.max_silence(MAX_SILENCE).try_filter_map(|message| ready(token(&message.data)));
        let tokens = tokens.inspect_err(|error| eprintln!("the model: {error}"));
        // After an error, `done` isn't sent.
        let events = tokens.chain(stream::iter([Ok(done())]));
        Ok(tower_sse::response(events).into_response())
    }
}

/// Returns a chunk's text, if any. Some APIs report a failure in a chunk, then send `[DONE]`.
fn token(chunk: &str) -> Result<Option<Event>, BoxError> {
    let chunk: Value = serde_json::from_str(chunk)?;
    let error = &chunk["error"];
    if !error.is_null() {
        return Err(error.to_string().into());
    }
    let text = chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
    Ok((!text.is_empty()).then(|| Event::from(text)))
}

/// Returns the seconds in a variable.
pub(crate) fn seconds(variable: &str, default: f64) -> Duration {
    let seconds = env::var(variable).ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(default))
}
