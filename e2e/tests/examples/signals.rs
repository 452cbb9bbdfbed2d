//! Ctrl-C and SIGTERM, with a client that reads, one that does not, or none.

use std::time::Instant;

use crate::*;

/// Examples, each with the path of a `GET` that opens a stream, or an empty text.
const EXAMPLES: [(&str, &str); 15] = [
    ("beacon_events", "/eth/v1/events?topics=head"),
    ("early_head", ""),
    ("existing_axum", "/messages"),
    ("gateway", ""),
    ("hyper_raw", "/ticks"),
    ("jmap_push", "/jmap/eventsource?types=*&closeafter=no&ping=0"),
    ("job", ""),
    ("llm_tokens", ""),
    ("metrics", "/news"),
    ("notes", "/notes"),
    ("notifications", ""),
    ("proxy", ""),
    ("quickstart", "/events"),
    ("ticker", "/prices?symbols=AAA"),
    ("tonic_web", "/events"),
];

/// Starts an example and waits until it handles signals, which it does once it has answered twice.
async fn started(name: &str) -> Process {
    let example = run(name).await;
    for _ in 0..2 {
        client::get(example.address, "/", &[]).await;
    }
    example
}

async fn ends_cleanly(name: &str, path: &str, signal: &str) {
    let mut example = started(name).await;
    let stream = match path {
        "" => None,
        path => Some(open(example.address, path, "").await),
    };
    example.signal(signal);
    if let Some(stream) = stream {
        // Panics if the stream is cut.
        stream.rest().await;
    }
    assert!(example.exited().await.success(), "{name} at {signal}");
}

#[tokio::test]
async fn examples_end_their_streams_and_exit_at_each_signal() {
    for signal in ["INT", "TERM"] {
        join_all(EXAMPLES.map(|(name, path)| ends_cleanly(name, path, signal))).await;
    }
}

/// Sends a signal while one client reads and another does not.
async fn exits_at_the_deadline(signal: &str) {
    let mut example = started("quickstart").await;
    let mut mute = client::connect_small(example.address).await;
    mute.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    // The mute client's stream is open once the head has begun to arrive.
    soon(mute.read_u8()).await.unwrap();
    let mut events = open(example.address, "/events", "").await;
    // More bytes than the sockets buffer, and than the hub keeps.
    for _ in 0..200 {
        post(example.address, "/events", &"x".repeat(100_000)).await;
        assert_eq!(events.next().await.unwrap().data.len(), 100_000);
    }
    let began = Instant::now();
    example.signal(signal);
    assert_eq!(events.rest().await.len(), 0, "a clean end");
    assert!(example.exited().await.success());
    // The mute client delayed the exit up to the deadline.
    assert!(began.elapsed() >= Duration::from_secs(10), "{:?}", began.elapsed());
    drop(mute);
}

#[tokio::test]
async fn quickstart_exits_at_each_signal_though_a_client_does_not_read() {
    join_all(["INT", "TERM"].map(exits_at_the_deadline)).await;
}
