//! The farewell, which arrives however its stream ends.

use crate::*;

const RUNS: usize = 500;

/// On several workers, the tasks of the stream, the connection and the server race. The test
/// therefore runs repeatedly, each time with a new server whose shutdown begins once the head has
/// arrived.
async fn assert_arrives_in_every_run(client: Requester, protocol: Protocol) {
    let runs = stream::iter(0..RUNS).map(|run| async move {
        let host = Host::ALL[run % Host::ALL.len()];
        let shutdown = CancellationToken::new();
        let layer = SseLayer::new()
            .shutdown(shutdown.clone())
            .farewell(Event::new().event("restart").data("soon"));
        let handler = handler(|_| Source::Idle.answer(None));
        let server = host.start(layer, handler, &shutdown).await;
        let mut connection = protocol.connect(server.address).await;
        let response = connection.send(client.request("/")).await;
        shutdown.cancel();
        let end = read_to_end(response).await;
        let what = format!("{client:?}, {protocol:?}, {host:?}, run {run}");
        assert_eq!(end.failed, client.is_cut_by_failing(), "{what}");
        let text = String::from_utf8(end.bytes).unwrap();
        // The source may not have been polled at all.
        let goodbye = text.strip_prefix("data: hello\n\n").unwrap_or(&text);
        let retry = goodbye
            .strip_prefix("retry: ")
            .and_then(|rest| rest.strip_suffix("\nevent: restart\ndata: soon\n\n"))
            .and_then(|milliseconds| milliseconds.parse().ok())
            .map(Duration::from_millis);
        let default = Duration::from_secs(2)..=Duration::from_secs(10);
        assert!(retry.is_some_and(|it| default.contains(&it)), "{what}: {text:?}");
        server.finished().await;
    });
    assert_eq!(runs.buffer_unordered(16).count().await, RUNS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_client_gets_the_farewell_before_its_body_may_fail() {
    for client in [Requester::EventSource, Requester::Fetch] {
        for protocol in Protocol::BOTH {
            assert_arrives_in_every_run(client, protocol).await;
        }
    }
}

/// The farewell and the failure arrive together, and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_gets_the_farewell_before_its_body_fails_over_slow_networks() {
    for host in Host::ALL {
        let shutdown = CancellationToken::new();
        let layer = SseLayer::new().shutdown(shutdown.clone()).farewell(Event::from("soon"));
        let server = host.start(layer, handler(|_| Source::Idle.answer(None)), &shutdown).await;
        let mut relay = Relay::to(server.address).await;
        let mut connection = Protocol::Http2.connect(relay.address).await;
        let response = connection.send(Requester::Fetch.request("/")).await;
        relay.hold();
        shutdown.cancel();
        relay.has_seen(1, RST_STREAM).await;
        relay.release();
        let end = read_to_end(response).await;
        assert!(end.failed, "{host:?}");
        assert!(end.bytes.ends_with(b"\ndata: soon\n\n"), "{host:?}: {end:?}");
        server.finished().await;
    }
}
