//! Events whose publisher gets an error: published or not, as the error says.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::Instant;
use tower_sse::hub::{Hub, PublishError};

use crate::{PATIENCE, client::Client, server::Server, until};

#[tokio::test]
async fn server_that_refuses_writes_refuses_the_event() {
    let Some(server) = Server::start().await else { return };
    let hub = Hub::connect(server.broker()).await.unwrap();
    let mut client = Client::connect(&hub, &["a"]);
    for (before, reason, after) in [
        ("CONFIG SET maxmemory 1", "OOM", "CONFIG SET maxmemory 0"),
        ("CONFIG SET min-replicas-to-write 1", "NOREPLICAS", "CONFIG SET min-replicas-to-write 0"),
        ("REPLICAOF 127.0.0.1 1", "READONLY", "REPLICAOF NO ONE"),
    ] {
        let _: String = server.command(before).await;
        let error = hub.publish("a", reason).await.unwrap_err();
        let PublishError::Refused(refused) = error else { panic!("{reason}: {error:?}") };
        let text = format!("{:?}", std::error::Error::source(&*refused));
        assert!(text.to_uppercase().contains(reason), "{reason}: {text}");
        let _: String = server.command(after).await;
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = hub.publish("a", format!("after {reason}")).await {
            assert!(matches!(error, PublishError::Refused(_)), "{error:?}");
            assert!(Instant::now() < deadline);
        }
        assert_eq!(client.data(1).await, [format!("after {reason}")]);
    }
}

#[tokio::test]
async fn event_without_an_answer_is_unknown_and_may_still_be_published_once() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker().publish_deadline(Duration::from_millis(500));
    let health = broker.health();
    let hub = Hub::connect(broker).await.unwrap();
    let mut client = Client::connect(&hub, &["a"]);
    server.signal(Signal::SIGSTOP);
    let started = Instant::now();
    let error = hub.publish("a", "sent").await.unwrap_err();
    assert!(matches!(error, PublishError::Unknown(_)), "{error:?}");
    assert!(started.elapsed() < Duration::from_millis(1_000), "{:?}", started.elapsed());
    // The reader notices as well, after which nothing is sent any more.
    until(|| !health.is_following()).await;
    let error = hub.publish("a", "not sent").await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(_)), "{error:?}");
    server.signal(Signal::SIGCONT);
    until(|| health.is_following()).await;
    _ = hub.publish("a", "after").await.unwrap();
    assert_eq!(client.data(2).await, ["sent", "after"]);
    assert_eq!(health.losses(), 0);
}

#[tokio::test]
async fn first_publish_after_a_restart_succeeds() {
    let Some(mut server) = Server::start_durable().await else { return };
    let broker = server.broker();
    let health = broker.health();
    let hub = Hub::connect(broker).await.unwrap();
    let mut client = Client::connect(&hub, &["a"]);
    _ = hub.publish("a", "before").await.unwrap();
    server.kill();
    until(|| !health.is_following()).await;
    let publishing = tokio::spawn({
        let hub = hub.clone();
        async move { hub.publish("a", "after").await }
    });
    server.restart().await;
    _ = publishing.await.unwrap().unwrap();
    assert_eq!(client.data(2).await, ["before", "after"]);
    assert_eq!(health.losses(), 0);
}
