//! The switch from one process to several, which changes one line: an application answers a client
//! identically with either kind of hub.

use std::fmt::Write;

use axum::{extract::Path, routing::get};
use hyper::body::Incoming;

use super::support::client;
use crate::*;

fn app(hub: Hub) -> Router {
    Router::new()
        .route("/events/{topics}", get(events))
        .route("/publish/{topic}", post(publish))
        .route("/ring/{topic}", post(ring))
        .route("/position", get(async |State(hub): State<Hub>| hub.position().to_string()))
        .with_state(hub)
        .layer(SseLayer::new())
}

async fn events(
    State(hub): State<Hub>,
    Path(topics): Path<String>,
    last: Option<LastEventId>,
) -> impl IntoResponse {
    let greeting = Event::new().event("hello").data("");
    let topics = topics.split('+');
    tower_sse::response(hub.subscribe(topics).recent(2).greeting(greeting).resume(last))
}

async fn publish(
    State(hub): State<Hub>,
    Path(topic): Path<String>,
    text: String,
) -> impl IntoResponse {
    answer(hub.publish(topic, text).await)
}

/// Publishes an event that no client would dispatch.
async fn ring(State(hub): State<Hub>, Path(topic): Path<String>) -> impl IntoResponse {
    answer(hub.publish(topic, Event::new().event("ring")).await)
}

fn answer(published: Result<Receipt, PublishError>) -> (StatusCode, String) {
    match published {
        Ok(receipt) => (StatusCode::OK, format!("{} {}", receipt.id(), receipt.subscribers)),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
    }
}

#[tokio::test]
async fn application_answers_alike_with_a_hub_of_either_kind() {
    let Some(server) = Server::start().await else { return };
    let alone = transcript(Hub::new()).await;
    let shared = transcript(Hub::connect(server.broker()).await.unwrap()).await;
    assert_eq!(alone, shared);
    assert!(alone.contains("stranger: gap \"a\""), "{alone}");
    assert!(alone.contains("return: [5] \"5\""), "{alone}");
}

/// The messages that the clients of an application received, with numbers in place of ids.
struct Script {
    address: SocketAddr,
    ids: Vec<String>,
    transcript: String,
}

/// Serves the application, and returns the messages of its clients.
async fn transcript(hub: Hub) -> String {
    let address = serve_axum(app(hub.clone())).await;
    let mut script = Script { address, ids: Vec::new(), transcript: String::new() };
    // Once it has an event, so has the hub: a broker's answer can be earlier.
    let mut all = script.open("all", "a+b+c", None).await;
    script.read("all", &mut all).await;
    script.publish("a", "1").await;
    script.read("all", &mut all).await;
    let mut greeted = script.open("greeted", "c", None).await;
    let greeting = script.read("greeted", &mut greeted).await.last_event_id;
    drop(greeted);
    let mut client = script.open("first visit", "a", None).await;
    script.read("first visit", &mut client).await;
    script.read("first visit", &mut client).await;
    for (topic, text) in [("b", "2"), ("c", "2c"), ("a", "3\n\"three\"")] {
        script.publish(topic, text).await;
        script.read("all", &mut all).await;
    }
    let last = script.read("first visit", &mut client).await.last_event_id;
    drop(client);
    until(|| hub.subscriber_count("a") == 1).await;
    for text in ["4", "5"] {
        script.publish("a", text).await;
        script.read("all", &mut all).await;
    }
    let mut returned = script.open("return", "a", Some(&last)).await;
    script.read("return", &mut returned).await;
    script.read("return", &mut returned).await;
    let mut greeted = script.open("greeted", "c", Some(&greeting)).await;
    script.read("greeted", &mut greeted).await;
    // An id of a hub that neither knows.
    let foreign = Hub::new().position();
    let mut stranger = script.open("stranger", "a+b", Some(foreign.as_str())).await;
    for _ in 0..7 {
        script.read("stranger", &mut stranger).await;
    }
    script.post("/ring/a", "").await;
    let position = client::get(address, "/position", &[]).await;
    script.answer("position", position).await;
    hub.close();
    script.publish("a", "6").await;
    for (name, stream) in
        [("all", all), ("greeted", greeted), ("return", returned), ("stranger", stranger)]
    {
        let rest = stream.rest().await.len();
        writeln!(script.transcript, "{name}: {rest} more until the end").unwrap();
    }
    script.transcript
}

impl Script {
    async fn open(
        &mut self,
        name: &str,
        topics: &str,
        last: Option<&str>,
    ) -> EventReader<Incoming> {
        let last = last.map(|last| ("last-event-id", last));
        let path = format!("/events/{topics}");
        let response = client::get(self.address, &path, last.as_slice()).await;
        writeln!(self.transcript, "{name}: {:?}", response.headers()["cache-control"]).unwrap();
        EventReader::new(response)
    }

    async fn read(&mut self, name: &str, stream: &mut EventReader<Incoming>) -> Message {
        let message = stream.next().await.expect("an open stream");
        let Message { event, data, last_event_id, .. } = &message;
        // The ids of greetings and gaps are positions between events.
        let about = match &**event {
            "message" => format!("[{}]", self.number(last_event_id)),
            other => other.to_owned(),
        };
        writeln!(self.transcript, "{name}: {about} {data:?}").unwrap();
        message
    }

    async fn publish(&mut self, topic: &str, text: &str) {
        self.post(&format!("/publish/{topic}"), text).await;
    }

    async fn post(&mut self, path: &str, text: &str) {
        let response = client::post(self.address, path, &[], text.to_owned()).await;
        self.answer(path, response).await;
    }

    /// Records a response whose text can start with an id.
    async fn answer(&mut self, name: &str, response: http::Response<Incoming>) {
        let status = response.status();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = str::from_utf8(&text).unwrap();
        let text = match text.split_once(' ') {
            Some((id, rest)) if status == StatusCode::OK => format!("[{}] {rest}", self.number(id)),
            None => format!("[{}]", self.number(text)),
            Some(_) => text.to_owned(),
        };
        writeln!(self.transcript, "{name}: {status} {text}").unwrap();
    }

    /// Returns the same number for the same id.
    fn number(&mut self, id: &str) -> usize {
        self.ids.iter().position(|known| known == id).unwrap_or_else(|| {
            self.ids.push(id.to_owned());
            self.ids.len() - 1
        })
    }
}
