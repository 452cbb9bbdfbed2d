//! Graceful shutdowns of every server: the farewell arrives before a body may fail, and HTTP/2
//! streams without a window delay the shutdown.

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
        // If a busy server has not written the last bytes yet, the layer sends a comment behind
        // them before the body fails.
        let goodbye = goodbye.strip_suffix(": \n").unwrap_or(goodbye);
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
        // A comment follows if the server takes long to write the farewell.
        let bytes = end.bytes.strip_suffix(b": \n").unwrap_or(&end.bytes);
        assert!(bytes.ends_with(b"\ndata: soon\n\n"), "{host:?}: {end:?}");
        server.finished().await;
    }
}

// HTTP/2 streams whose client grants no window. Their data waits for a window, so the streams are
// not polled, and neither their maximum age nor the shutdown ends them. One connection may have as
// many such streams as the server allows.

/// hyper's default limit of streams for one connection.
const STREAMS: usize = 200;
const MAX_AGE: Duration = Duration::from_millis(100);

/// A connection, and the responses that its client never reads.
type Shut = (http2::SendRequest<Full<Bytes>>, Vec<Response<Incoming>>);

async fn connect(address: SocketAddr) -> Shut {
    let stream = soon(TcpStream::connect(address)).await.unwrap();
    let mut sender = connect_h2_with_window(stream, 0).await;
    let mut responses = Vec::new();
    for _ in 0..STREAMS {
        let response = sender.send_request(Requester::EventSource.request("/"));
        responses.push(soon(response).await.unwrap());
    }
    (sender, responses)
}

/// Answers with one event and then nothing; the stream at `/ageless` has no maximum age.
fn answer(parts: &Parts) -> Response<Body> {
    let mut response = Source::Idle.answer(None);
    if parts.uri.path() != "/ageless" {
        response.extensions_mut().insert(StreamOptions::new().max_age(MaxAge::new(MAX_AGE)));
    }
    response
}

#[tokio::test]
async fn one_connection_holds_its_permits_beyond_the_maximum_age_and_the_shutdown() {
    for host in Host::ALL {
        let (shutdown, stats) = (CancellationToken::new(), Stats::new());
        let (closed, mut reports) = tokio::sync::mpsc::unbounded_channel();
        let layer = SseLayer::new()
            .shutdown(shutdown.clone())
            .drain(Drain::at_once())
            .max_streams(STREAMS + 2)
            .on_close(move |report| closed.send(report.reason).unwrap())
            .stats(&stats);
        let server = host.start(layer, handler(|parts| answer(&parts)), &shutdown).await;
        let shut = connect(server.address).await;

        // Later streams that are read do end, one by its age and one by the shutdown.
        let mut reads = Protocol::Http2.connect(server.address).await;
        let ageless = reads.send(Requester::EventSource.request("/ageless")).await;
        let aged = reads.send(Requester::EventSource.request("/")).await;
        assert!(!read_to_end(aged).await.failed, "{host:?}");
        shutdown.cancel();
        assert!(!read_to_end(ageless).await.failed, "{host:?}");
        for expected in [CloseReason::Expired, CloseReason::Drained] {
            assert_eq!(soon(reports.recv()).await, Some(expected), "{host:?}");
        }
        assert_eq!(stats.snapshot().open, STREAMS as u64, "{host:?}");
        assert!(reports.is_empty() && !server.has_finished(), "{host:?}");

        drop(shut);
        for _ in 0..STREAMS {
            assert_eq!(soon(reports.recv()).await, Some(CloseReason::Disconnected), "{host:?}");
        }
        drop(reads);
        server.finished().await;
    }
}
