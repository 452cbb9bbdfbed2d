//! cargo run --package tower-sse-ag-ui

use std::{env, time::Duration};

use async_stream::try_stream;
use axum::extract::{Path, State};
use axum::http::{StatusCode, request::Parts};
use axum::response::{IntoResponse, Response, Result};
use axum::{Json, Router, routing::delete, routing::post, serve::ListenerExt};
use futures_util::{Stream, StreamExt};
use redis::{AsyncCommands, RedisResult};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::runs::{Outcome, RunEnd, RunKey, Runs};
use tower_sse::{BoxError, Event, SseLayer};
use tower_sse_redis::Redis;

#[derive(Clone)]
pub(crate) struct App {
    pub(crate) runs: Runs,
    pub(crate) redis: Option<redis::Client>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (ended, ends) = mpsc::unbounded_channel();
    let runs = Runs::builder().on_end(move |end| _ = ended.send(end.clone()));
    let (runs, redis) = match env::var("REDIS_URL") {
        Ok(url) => (runs.connect(Redis::open(&url)?.runs("ag-ui")).await?, Some(url)),
        Err(_) => (runs.build(), None),
    };
    let app = App { runs, redis: redis.map(redis::Client::open).transpose()? };
    tokio::spawn(restart(app.clone(), ends));
    let port = env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}/agent", listener.local_addr()?);
    let routes = Router::new().route("/agent", post(ask)).route("/agent/{run}", delete(stop));
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone());
    let routes = routes.layer(layer).with_state(app);
    let server = axum::serve(listener.tap_io(|io| _ = io.set_nodelay(true)), routes)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(40));
    tokio::select! { served = server => served?, stopped = stop => stopped? }
    Ok(())
}

/// Returns the key of a run: its user, whom an authenticating proxy has named, and its id.
fn key(parts: &Parts, id: &str) -> Result<RunKey, StatusCode> {
    let user = parts.headers.get("x-user").and_then(|user| user.to_str().ok());
    RunKey::new(user.ok_or(StatusCode::UNAUTHORIZED)?, id).map_err(|_| StatusCode::BAD_REQUEST)
}

/// Starts or joins a run. In both cases, the client gets all events from the first.
async fn ask(State(app): State<App>, parts: Parts, Json(input): Json<Value>) -> Result<Response> {
    let key = key(&parts, input["runId"].as_str().unwrap_or_default())?;
    let work = || work(app.clone(), key.clone(), input);
    let run = match app.runs.get(&key).await {
        // A repeated request must not restart a run that the user has stopped.
        Some(run) if run.outcome() == Some(Outcome::Cancelled) => run,
        _ => app.runs.start(&key, &parts, work).await.map_err(|error| error.answer(&parts))?,
    };
    Ok(run.answer(&parts).await.into_response())
}

async fn stop(State(app): State<App>, Path(run): Path<String>, parts: Parts) -> Result<StatusCode> {
    let last = json!({ "type": "RUN_ERROR", "code": "stopped", "message": "stopped by the user" });
    let is_stopped = app.runs.cancel_with(&key(&parts, &run)?, None, last.to_string()).await;
    Ok(if is_stopped { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
}

fn event(event: Value) -> Event {
    Event::from(event.to_string())
}

/// Returns the events of a run. An error is its last event, or the client would ask forever.
fn work(app: App, key: RunKey, input: Value) -> impl Stream<Item = Event> {
    let error = |error: BoxError| json!({ "type": "RUN_ERROR", "message": error.to_string() });
    parts(app, key, input).map(move |result| result.unwrap_or_else(|it| event(error(it))))
}

/// A larger thread could fill its run. The run would fail, and the client would ask forever.
const MAX_THREAD: usize = 1 << 20;

/// Each part of the answer stands for a call of a model.
fn parts(app: App, key: RunKey, mut input: Value) -> impl Stream<Item = Result<Event, BoxError>> {
    try_stream! {
        let (id, own) = (key.name(), format!("{}/", key.name()));
        if let Some(first) = saved(&app, &key, 0).await? {
            // A page that was reloaded has lost its messages.
            input = serde_json::from_str(&first)?;
        }
        // A client that repeats its request also sends the part of the answer that it has.
        let messages = input["messages"].as_array_mut().ok_or("no messages")?;
        messages.retain(|it| !it["id"].as_str().is_some_and(|it| it.starts_with(&own)));
        let thread = input.to_string();
        if thread.len() > MAX_THREAD {
            Err("the thread is too large")?;
        }
        save(&app, &key, 0, &thread).await?;
        yield event(json!({ "type": "RUN_STARTED", "threadId": input["threadId"], "runId": id }));
        // Clients append events to their messages. This removes what they have of the answer.
        yield event(json!({ "type": "MESSAGES_SNAPSHOT", "messages": input["messages"] }));
        for part in 1..=3 {
            let chunk = |delta: &str| event(json!({ "type": "TEXT_MESSAGE_CHUNK",
                "messageId": format!("{own}{part}"), "role": "assistant", "delta": delta }));
            if let Some(text) = saved(&app, &key, part).await? {
                yield chunk(&text);
                continue;
            }
            println!("working on part {part}");
            let text = format!("Part {part} of the answer, which has eight words. ");
            for word in text.split_inclusive(' ') {
                sleep(Duration::from_millis(100)).await;
                yield chunk(word);
            }
            save(&app, &key, part, &text).await?;
        }
        yield event(json!({ "type": "RUN_FINISHED", "threadId": input["threadId"], "runId": id }));
    }
}

/// Restarts the runs whose process has died. Redis has their input and their finished parts.
pub(crate) async fn restart(app: App, mut ends: mpsc::UnboundedReceiver<RunEnd>) {
    while let Some(RunEnd { key, outcome, .. }) = ends.recv().await {
        if outcome != Outcome::Interrupted {
            continue;
        }
        // A late report must not restart a run that the user has stopped.
        let run = app.runs.get(&key).await;
        let is_stopped = run.is_some_and(|run| run.outcome() == Some(Outcome::Cancelled));
        // If Redis lacks the input, the client's next request brings it and starts the run.
        if !is_stopped && !matches!(saved(&app, &key, 0).await, Ok(None)) {
            let work = || work(app.clone(), key.clone(), Value::Null);
            _ = app.runs.start(&key, None, work).await;
        }
    }
}

pub(crate) async fn save(app: &App, key: &RunKey, part: usize, text: &str) -> RedisResult<()> {
    let Some(redis) = &app.redis else { return Ok(()) };
    redis.get_multiplexed_async_connection().await?.set_ex(name(key, part), text, 86_400).await
}

async fn saved(app: &App, key: &RunKey, part: usize) -> RedisResult<Option<String>> {
    let Some(redis) = &app.redis else { return Ok(None) };
    redis.get_multiplexed_async_connection().await?.get(name(key, part)).await
}

/// Returns the Redis key of a part. Different runs have different keys, because JSON escapes what
/// clients choose.
fn name(key: &RunKey, part: usize) -> String {
    json!(["ag-ui", key.owner(), key.name(), part]).to_string()
}
