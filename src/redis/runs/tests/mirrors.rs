//! Clients of two processes that share their runs, with the layers of a program.

use std::{convert::Infallible, sync::Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};
use tower::{Layer, ServiceExt, service_fn};

use super::{gate::Gate, *};
use crate::{
    BoxError,
    event::Event,
    layer::SseLayer,
    options::StreamOptions,
    redis::Redis,
    runs::{RunKey, Runs},
};

type Body = UnsyncBoxBody<Bytes, BoxError>;

const CLAIM: &str = "app:run:{user:turn}";
const RETRY: &str = "retry: 7000\n";
const DONE: &str = "data: [DONE]\n\n";

fn key() -> RunKey {
    RunKey::new("user", "turn").unwrap()
}

async fn connect(redis: Redis) -> Runs {
    let builder = Runs::builder().retain_bytes(100_000);
    builder.connect(redis.runs("app").lease(LEASE)).await.unwrap()
}

/// Sends a request through the layers of a process. Its service answers one call, with `source`.
async fn request(
    runs: &Runs,
    last: Option<&str>,
    source: Option<UnboundedReceiver<Event>>,
) -> Response<Body> {
    let source = Arc::new(Mutex::new(source));
    let service = service_fn(move |_: Request<()>| {
        let source = source.lock().unwrap().take().expect("a request that starts the run");
        let next =
            |mut source: UnboundedReceiver<_>| async { Some((source.recv().await?, source)) };
        let mut response = crate::response(stream::unfold(source, next));
        let options = StreamOptions::new().terminator("[DONE]").retry(Duration::from_secs(7));
        response.extensions_mut().insert(options);
        async { Ok::<_, Infallible>(response) }
    });
    let service = runs.layer(|_: &Request<()>| Some(Ok(key()))).layer(service);
    let mut request = Request::post("/");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let answer = SseLayer::new().layer(service).oneshot(request.body(()).unwrap());
    let answer = timeout(PATIENCE, answer).await.expect("an answer in time").unwrap();
    answer.map(BodyExt::boxed_unsync)
}

/// Starts the run, and sends its first events. Returns the body too.
async fn start(runs: &Runs, events: &[&str]) -> (UnboundedSender<Event>, Body) {
    let (source, receiver) = unbounded_channel();
    events.iter().for_each(|event| source.send(Event::from(*event)).unwrap());
    let mut body = request(runs, None, Some(receiver)).await.into_body();
    if let Some(last) = events.last() {
        read_until(&mut body, &format!("data: {last}\n")).await;
    }
    (source, body)
}

async fn read_until(body: &mut Body, text: &str) {
    let mut read = String::new();
    while !read.contains(text) {
        let frame = timeout(PATIENCE, body.frame()).await.expect("a frame in time");
        let data = frame.expect("more frames").unwrap().into_data().unwrap_or_default();
        read.push_str(str::from_utf8(&data).unwrap());
    }
}

/// Reads an answer until its end.
async fn text(answer: Response<Body>) -> String {
    assert_eq!(answer.status(), StatusCode::OK);
    let body = timeout(PATIENCE, answer.into_body().collect()).await.expect("an end in time");
    String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap()
}

async fn epoch(server: &Server) -> String {
    server.command(&format!("HGET {CLAIM} e")).await
}

async fn id(server: &Server, sequence: u64) -> String {
    format!("{}-{sequence}", epoch(server).await)
}

/// Waits until the store has a batch that ends with this event.
async fn is_exported(server: &Server, last: u32) {
    let stream = format!("{CLAIM}:{}", epoch(server).await);
    until("the export", async || has_entry(server, &stream, &format!("{last}-0")).await).await;
}

async fn has_entry(server: &Server, stream: &str, id: &str) -> bool {
    let command = format!("XRANGE {stream} {id} {id}");
    !server.command::<Vec<::redis::Value>>(&command).await.is_empty()
}

/// Waits until a field of the claim has a value.
async fn claim_has(server: &Server, field: &str, is_expected: impl Fn(&str) -> bool) {
    let has = async || {
        let value: Option<String> = server.command(&format!("HGET {CLAIM} {field}")).await;
        value.is_some_and(|value| is_expected(&value))
    };
    until(field, has).await;
}

#[tokio::test]
async fn handlers_options_reach_clients_that_resume_after_the_end() {
    for is_trimmed in [false, true] {
        let Some(server) = Server::start().await else { return };
        let (one, other) = (connect(server.redis()).await, connect(server.redis()).await);
        let large = "x".repeat(40_000);
        let padding = if is_trimmed { &*large } else { "" };
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| format!("{name}{padding}"));
        let (source, mut body) = start(&one, &[&a, &b]).await;
        is_exported(&server, 2).await;
        for event in [c, d] {
            source.send(Event::from(event)).unwrap();
        }
        read_until(&mut body, "data: d").await;
        let stream = format!("{CLAIM}:{}", epoch(&server).await);
        let is_there = async || has_entry(&server, &stream, "0-1").await != is_trimmed;
        until("the head, or none", is_there).await;
        drop(source);
        claim_has(&server, "s", |state| state == "completed").await;
        assert!(is_there().await);
        for sequence in [2, 3, 4] {
            let answer =
                text(request(&other, Some(&id(&server, sequence).await), None).await).await;
            // The terminator too.
            assert_eq!(answer.matches("data: ").count() as u64, 5 - sequence, "{is_trimmed}");
            assert!(
                answer.starts_with(RETRY) && answer.ends_with(DONE),
                "{is_trimmed}: {sequence}"
            );
        }
    }
}

/// Its claim is another run's when the process that looked it up subscribes.
#[tokio::test]
async fn handlers_options_come_with_a_run_that_is_replaced_meanwhile() {
    let Some(server) = Server::start().await else { return };
    let gate = Gate::start(&server);
    let (one, other) = (connect(server.redis()).await, connect(gate.redis()).await);
    let (_source, _body) = start(&one, &["a", "b"]).await;
    let last = id(&server, 1).await;
    is_exported(&server, 2).await;
    gate.hold("SUBSCRIBE");
    let replacing = async {
        gate.held().await;
        one.replace(&key(), None, stream::pending::<Event>).await.unwrap();
        gate.release();
    };
    let (answer, ()) = tokio::join!(request(&other, Some(&last), None), replacing);
    let answer = text(answer).await;
    assert!(answer.starts_with(RETRY) && answer.contains("data: b\n"), "{answer}");
}

/// The hint that a client waits for it is held back.
#[tokio::test]
async fn client_with_the_last_event_is_not_refused_as_the_run_ends() {
    let Some(server) = Server::start().await else { return };
    let gate = Gate::start(&server);
    let (one, other) = (connect(gate.redis()).await, connect(server.redis()).await);
    let (source, mut body) = start(&one, &["a"]).await;
    is_exported(&server, 1).await;
    let (last, beyond) = (id(&server, 2).await, id(&server, 3).await);
    gate.hold("message\r\n");
    source.send(Event::from("b")).unwrap();
    read_until(&mut body, "data: b\n").await;
    let ending = async {
        claim_has(&server, "w", |watched| watched != "0").await;
        drop(source);
    };
    let (answer, ()) = tokio::join!(request(&other, Some(&last), None), ending);
    assert!(text(answer).await.ends_with(DONE));
    let unknown = request(&other, Some(&beyond), None).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn thousand_forged_ids_cost_one_subscription_and_one_load() {
    let Some(server) = Server::start().await else { return };
    let (one, other) = (connect(server.redis()).await, connect(server.redis()).await);
    let (source, _body) = start(&one, &["a"]).await;
    is_exported(&server, 1).await;
    let epoch = epoch(&server).await;
    let _: String = server.command("CONFIG RESETSTAT").await;
    let mut requests = JoinSet::new();
    for sequence in (2..1_002).rev() {
        let (other, last) = (other.clone(), format!("{epoch}-{sequence}"));
        requests.spawn(async move { request(&other, Some(&last), None).await.status() });
    }
    let mut mirrors = 0;
    while let Some(status) = timeout(PATIENCE, requests.join_next()).await.unwrap() {
        assert_eq!(status.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
        mirrors = mirrors.max(other.stats().mirrors());
    }
    assert_eq!(mirrors, 1);
    let stats: String = server.command("INFO commandstats").await;
    let calls = |command: &str| {
        let line =
            stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse::<u32>().unwrap())
    };
    assert_eq!(calls("subscribe"), 1, "{stats}");
    assert!(calls("xrange") <= 2, "{stats}");
    drop(source);
}

/// Its owner restores it a moment later.
#[tokio::test]
async fn run_whose_claim_vanishes_before_the_subscription_is_not_unknown() {
    for sequence in [0, 1, 2] {
        let Some(server) = Server::start().await else { return };
        let gate = Gate::start(&server);
        let (one, other) = (connect(server.redis()).await, connect(gate.redis()).await);
        let (source, _body) = start(&one, &["a", "b"]).await;
        is_exported(&server, 2).await;
        let last = id(&server, sequence).await;
        gate.hold("SUBSCRIBE");
        let flushing = async {
            gate.held().await;
            let _: String = server.command("FLUSHALL").await;
            gate.release();
        };
        let (mut answer, ()) = tokio::join!(request(&other, Some(&last), None), flushing);
        let deadline = Instant::now() + PATIENCE;
        while answer.status() == StatusCode::SERVICE_UNAVAILABLE && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            answer = request(&other, Some(&last), None).await;
        }
        assert_eq!(answer.status(), StatusCode::OK, "{sequence}");
        drop(source);
        let answer = text(answer).await;
        assert_eq!(answer.matches("data: ").count() as u64, 3 - sequence, "{answer}");
        assert!(answer.ends_with(DONE), "{answer}");
    }
}

#[tokio::test]
async fn last_event_of_a_cancel_elsewhere_reaches_clients_of_both_processes() {
    let Some(server) = Server::start().await else { return };
    let (one, other) = (connect(server.redis()).await, connect(server.redis()).await);
    let (source, mut body) = start(&one, &["a"]).await;
    is_exported(&server, 1).await;
    assert!(other.cancel_with(&key(), None, Event::from("12 tokens")).await);
    read_until(&mut body, "data: 12 tokens\n").await;
    source.closed().await;
    for runs in [&one, &other] {
        let answer = text(request(runs, Some(&id(&server, 1).await), None).await).await;
        assert!(answer.contains("data: 12 tokens\n") && !answer.contains(DONE), "{answer}");
    }
}
