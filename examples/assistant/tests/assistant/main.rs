//! The example as a process, with the stand-in for a model, and with an API that the test serves.

mod api;
mod example;
mod model;

use std::{future::ready, time::Duration};

use axum::http::StatusCode;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use reqwest::{Body, Response};
use tokio::time::timeout;
use tower_sse::BoxError;
use tower_sse::decode::{Message, MessageStream};

use self::{api::Api, example::Example};

/// Longer than anything a test awaits, so that a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns an answer's events without the heartbeats for pages.
fn messages(response: Response) -> BoxStream<'static, Result<Message, BoxError>> {
    assert_eq!(response.status(), StatusCode::OK);
    let messages = MessageStream::new(Body::from(response)).map_err(BoxError::from);
    messages.try_filter(|message| ready(message.event != "heartbeat")).boxed()
}

/// Returns the names and data of an answer's events.
async fn events(response: Response) -> Result<Vec<(String, String)>, BoxError> {
    let events = messages(response).map_ok(|message| (message.event.into_owned(), message.data));
    timeout(PATIENCE, events.try_collect()).await.expect("an end in time")
}

/// Returns the words of a whole answer.
async fn words(response: Response) -> Vec<String> {
    let mut events = events(response).await.unwrap();
    assert_eq!(events.pop().expect("an event").0, "done");
    assert!(events.iter().all(|(name, _)| name == "message"), "{events:?}");
    events.into_iter().map(|(_, data)| data).collect()
}

async fn next(messages: &mut BoxStream<'static, Result<Message, BoxError>>) -> Message {
    timeout(PATIENCE, messages.next()).await.unwrap().unwrap().unwrap()
}
