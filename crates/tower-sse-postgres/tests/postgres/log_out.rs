//! The documented logout in the program's transaction.

use axum::extract::Path;
use axum::response::IntoResponse;
use axum::{Router, routing::get};
use tower_sse::SseLayer;
use tower_sse::streams::{Streams, Subjects};
use tower_sse::testing::{TestClient, TestStream};

use crate::*;

const PAGE: &str = include_str!("../../docs/notifications.md");

/// A process whose streams have two subjects: one from the request's path, and `user:ann`.
struct Closing {
    streams: Streams,
    app: Router,
}

impl Closing {
    async fn connect(server: &Server) -> Self {
        let hub = Hub::connect(server.broker_of("notifications")).await.unwrap();
        let streams = Streams::follow(&hub, "closes");
        let events = async move |Path(subject): Path<String>, subjects: Subjects| {
            subjects.add(subject);
            subjects.add("user:ann");
            hub.subscribe_to("all").greeting("open").resume(None).response().into_response()
        };
        let layer = SseLayer::new().streams(&streams);
        let app = Router::new().route("/{subject}", get(events)).layer(layer);
        Self { streams, app }
    }

    async fn open(&self, subject: &str) -> TestStream {
        let mut stream = TestClient::new(self.app.clone()).get(&format!("/{subject}")).await;
        assert_eq!(stream.next().await.data, "open");
        stream
    }
}

#[tokio::test]
async fn transaction_that_deletes_a_session_closes_its_streams_everywhere() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    sql(&client, &block(PAGE, "sql,tables")).await;
    let (first, second) = (Closing::connect(&server).await, Closing::connect(&server).await);
    sql(&client, "insert into session values ('abc', 'ann')").await;
    let ended = [first.open("session:abc").await, second.open("session:abc").await];
    let _stays = [first.open("session:other").await, second.open("session:other").await];
    let log_out = block(PAGE, "sql,log_out");
    sql(&client, &log_out).await;
    for mut stream in ended {
        assert!(stream.collect().await.is_empty());
    }
    for process in [&first, &second] {
        assert_eq!(process.streams.count("session:abc"), 0);
        assert_eq!(process.streams.count("session:other"), 1);
    }
    assert!(sql(&client, "select id from session").await.is_empty());
    // The third line of the event's data names the subject whose streams stay open.
    let others = log_out.replace("session:abc", "user:ann\\nsession:other");
    let mut ended = first.open("session:abc").await;
    sql(&client, &others).await;
    assert!(ended.collect().await.is_empty());
    assert_eq!(first.streams.count("session:other"), 1);
}
