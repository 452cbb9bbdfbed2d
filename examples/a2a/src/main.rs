//! cargo run --package tower-sse-a2a

use std::{env, time::Duration};

use async_stream::stream;
use axum::http::{StatusCode, request::Parts};
use axum::response::{IntoResponse, Response, Result};
use axum::{Json, Router, extract::State, routing::get, routing::post, serve::ListenerExt};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::filter::{self, FilterBody, Verdict};
use tower_sse::runs::{Outcome, Run, RunKey, Runs};
use tower_sse::{BoxError, Event, SseLayer};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let port = env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let url = format!("http://{}/", listener.local_addr()?);
    println!("listening on {url}");
    let mut card: Value = serde_json::from_str(include_str!("agent_card.json"))?;
    card["url"] = env::var("PUBLIC_URL").unwrap_or(url).into();
    let card = get(async move || Json(card));
    let routes = Router::new().route("/", post(call)).route("/.well-known/agent-card.json", card);
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone());
    let routes = routes.layer(layer).with_state(Runs::new());
    let server = axum::serve(listener.tap_io(|io| _ = io.set_nodelay(true)), routes)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(40));
    tokio::select! { served = server => served?, stopped = stop => stopped? }
    Ok(())
}

async fn call(State(runs): State<Runs>, parts: Parts, Json(call): Json<Value>) -> Result<Response> {
    let (id, method) = (call["id"].clone(), call["method"].as_str().unwrap_or_default());
    let (task_id, message) = (&call["params"]["id"], &call["params"]["message"]);
    // A task has the id of its message: a client that sends the message again joins the task.
    let name = task_id.as_str().or(message["messageId"].as_str()).unwrap_or_default();
    let user = parts.headers.get("x-user").and_then(|user| user.to_str().ok());
    let key = RunKey::new(user.ok_or(StatusCode::UNAUTHORIZED)?, name);
    let key = key.map_err(|_| StatusCode::BAD_REQUEST)?;
    let mut run = runs.get(&key).await;
    let is_canceled = run.as_ref().is_some_and(|run| run.outcome() == Some(Outcome::Cancelled));
    if !is_canceled && matches!(method, "message/send" | "message/stream") {
        // This joins a task in progress or complete, and restarts a task that has broken off.
        let started = runs.start(&key, &parts, || work(name, message)).await;
        run = Some(started.map_err(|error| error.answer(&parts))?);
    }
    if let ("message/send", Some(run)) = (method, &run) {
        run.ended().await;
    }
    let error = |code, message| json!({ "error": { "code": code, "message": message } });
    let result = |run: &Run| match task(run) {
        Some((task, _)) => json!({ "result": task }),
        None => error(-32603, "the task is too long"),
    };
    let mut answer = match (method, run) {
        ("message/stream" | "tasks/resubscribe", Some(run)) => return follow(&run, id).await,
        ("message/send" | "tasks/get", Some(run)) => result(&run),
        ("tasks/cancel", Some(run)) => {
            let task = task(&run).map_or(json!({ "id": name }), |(task, _)| task);
            match runs.cancel_with(&key, None, status(&task, "canceled")).await {
                true => result(&run),
                false => error(-32002, "the task has ended"),
            }
        }
        ("tasks/resubscribe" | "tasks/get" | "tasks/cancel", None) => error(-32001, "no such task"),
        _ => error(-32601, "no such method"),
    };
    (answer["jsonrpc"], answer["id"]) = ("2.0".into(), id);
    Ok(match method {
        // The client of this method reads errors from a stream, too.
        "tasks/resubscribe" => tower_sse::response(stream::iter([event(&answer)])).into_response(),
        _ => Json(answer).into_response(),
    })
}

/// Streams a task to one request: first the task as it is, then the results that follow.
async fn follow(run: &Run, id: Value) -> Result<Response> {
    let (task, seen) = task(run).ok_or(StatusCode::NOT_FOUND)?;
    let rest = run.attach(run.event_id(seen)).await.ok_or(StatusCode::NOT_FOUND)?;
    let results = stream::iter((seen > 0).then(|| Ok(event(&task).into()))).chain(rest);
    // The run records only results. Each answer needs its own request's id, so it is built here.
    let answer = filter::from_fn(move |event| {
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{}}}"#, event.data());
        Verdict::Replace(event.with_data(answer))
    });
    Ok(tower_sse::response(results).map(|body| FilterBody::new(body, answer)).into_response())
}

/// Returns the task as its results so far have changed it, and the number of results. `None` if the
/// run has evicted the first results.
fn task(run: &Run) -> Option<(Value, u64)> {
    let messages = run.messages()?;
    let results = messages.iter().map(|it| serde_json::from_str(&it.data).unwrap_or_default());
    let task = results.reduce(|mut task: Value, result: Value| {
        match (result.get("status"), task.pointer_mut("/artifacts/0/parts")) {
            (None, Some(Value::Array(parts))) => parts.push(result["artifact"]["parts"][0].clone()),
            (status, _) => task["status"] = status.cloned().unwrap_or_default(),
        }
        task
    });
    let mut task = task.unwrap_or_default();
    if !matches!(run.outcome(), None | Some(Outcome::Completed | Outcome::Cancelled)) {
        task["status"] = json!({ "state": "failed" });
    }
    Some((task, messages.len() as u64))
}

/// Stands for an agent. Its first result is the task, which the other results change. Return an
/// error as the last result, `status(&task, "failed")`: after a panic, the client would ask
/// forever.
fn work(id: &str, message: &Value) -> impl Stream<Item = Event> + use<> {
    let task = json!({ "kind": "task", "id": id, "history": [message],
        "contextId": message.get("contextId").unwrap_or(&json!(id)),
        "status": { "state": "submitted" }, "artifacts": [{ "artifactId": "text", "parts": [] }] });
    stream! {
        yield event(&task);
        yield status(&task, "working");
        for word in "Each word of this answer takes the model a while.".split_inclusive(' ') {
            sleep(Duration::from_millis(200)).await;
            yield event(&json!({ "kind": "artifact-update", "append": true,
                "taskId": task["id"], "contextId": task["contextId"],
                "artifact": { "artifactId": "text", "parts": [{ "kind": "text", "text": word }] } }));
        }
        yield status(&task, "completed");
    }
}

fn status(task: &Value, state: &str) -> Event {
    event(&json!({ "kind": "status-update", "taskId": task["id"], "contextId": task["contextId"],
        "status": { "state": state }, "final": state != "working" }))
}

fn event(result: &Value) -> Event {
    Event::from(result.to_string())
}
