//! cargo run --example gateway --all-features
//!
//! curl -iN -d '' http://127.0.0.1:3000/v1/chat/completions
//!
//! A gateway in front of two upstreams, which are stand-ins for a model's API. It filters what they
//! send:
//!
//! - The first upstream is overloaded, and says so in its first event under status 200. The gateway
//!   fails over to the second one before the client gets a head.
//! - It counts the events of an answer and bills them once, however the answer ends.
//! - It removes a field that clients may not see.
//! - It fails an answer that ends without `[DONE]`, such as that to `/cut`, or that an upstream
//!   reports as failed, such as that to `/failed`.
//!
//! Set `PORT` to use another port.

use std::{env, future::ready, io, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt,
};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::filter::{EventFilter, FilterEnd, FilterLayer, SourceEnd, Verdict};
use tower_sse::{BoxError, Event, SseLayer, decode::EventRef};

/// How long the head of an answer waits for the first event. Meanwhile, no heartbeat is sent.
const HOLD: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone());
    // No fallback: vllm-router, for one, posts each request to another path first.
    let app: Router = ["/v1/chat/completions", "/cut", "/failed"]
        .into_iter()
        .fold(Router::new(), |app, path| app.route(path, post(forward)))
        .layer(layer);
    let server =
        axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(40));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

/// Forwards a request to the first upstream whose answer does not begin with an error.
async fn forward(request: Request) -> Result<Response, StatusCode> {
    let filters = FilterLayer::new(|request: &Request| Some(Answer::of(request))).hold_head(HOLD);
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    for upstream in [overloaded, model] {
        let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
        let service =
            filters.layer(service_fn(move |request| ready(Ok::<_, BoxError>(upstream(request)))));
        match service.oneshot(request).await {
            Ok(answer) if answer.status() != StatusCode::BAD_GATEWAY => {
                return Ok(answer.into_response());
            }
            _ => {}
        }
    }
    Err(StatusCode::BAD_GATEWAY)
}

/// The answer of an upstream on its way to the client.
struct Answer {
    path: String,
    is_done: bool,
    events: u64,
}

impl Answer {
    fn of(request: &Request) -> Self {
        Self { path: request.uri().path().to_owned(), is_done: false, events: 0 }
    }
}

impl EventFilter for Answer {
    fn event(&mut self, event: EventRef<'_>) -> Verdict {
        let data = event.data();
        if event.name() == "error" || is_error(&data) {
            let response = Response::builder().status(StatusCode::BAD_GATEWAY);
            return match response.body(data.into_owned().into()) {
                Ok(response) => Verdict::Reject(Box::new(response)),
                Err(error) => Verdict::Fail(error.into()),
            };
        } else if data == "[DONE]" {
            self.is_done = true;
            return Verdict::Pass;
        }
        self.events += 1;
        match data.split_once(r#","server":""#) {
            Some((public, _)) => Verdict::Replace(event.with_data(format!("{public}}}"))),
            None => Verdict::Pass,
        }
    }

    fn source_end(&mut self, _: SourceEnd<'_>) -> Verdict {
        if self.is_done { Verdict::Pass } else { Verdict::Fail("the answer was cut".into()) }
    }

    fn end(&mut self, end: &FilterEnd) {
        if self.events > 0 {
            println!("billed {} events of {}: {}", self.events, self.path, end.outcome.as_str());
        }
    }
}

/// LiteLLM reports a failure without the name `error`, and sends `[DONE]` afterwards.
fn is_error(data: &str) -> bool {
    data.contains(r#""error""#)
        && serde_json::from_str::<Value>(data).is_ok_and(|it| !it["error"].is_null())
}

/// An upstream that fails under status 200.
fn overloaded(_: Request) -> Response {
    let error = Event::new().event("error").data(r#"{"message":"overloaded"}"#);
    tower_sse::response(stream::iter([error])).into_response()
}

/// An upstream that answers in the format of OpenAI's API. Its answer to `/cut` breaks off, and that
/// to `/failed` fails.
// The signature is that of the other upstream.
#[allow(clippy::needless_pass_by_value)]
fn model(request: Request) -> Response {
    let (count, end): (_, &[&str]) = match request.uri().path() {
        "/cut" => (2, &[]),
        "/failed" => (2, &[r#"{"error":{"message":"cut","code":"500"}}"#, "[DONE]"]),
        _ => (3, &["[DONE]"]),
    };
    let chunk = |text| {
        format!(
            r#"{{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}],"server":"gpu-7"}}"#
        )
    };
    let texts = ["Filters ", "see ", "events."].map(chunk);
    let data = texts.into_iter().take(count).chain(end.iter().map(ToString::to_string));
    let events = stream::iter(data).then(async |data| {
        sleep(Duration::from_millis(100)).await;
        Event::from(data)
    });
    tower_sse::response(events.boxed()).into_response()
}
