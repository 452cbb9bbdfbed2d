//! Streams that may continue until their source ends after the shutdown has begun.

use crate::*;

/// A stream whose source the test feeds, on a server that is shutting down.
struct Stream {
    shutdown: CancellationToken,
    stats: Stats,
    server: Server,
    feed: Feed,
    response: http::Response<Incoming>,
}

impl Stream {
    async fn open(drain: Drain, host: Host, protocol: Protocol, client: Requester) -> Self {
        let (shutdown, stats) = (CancellationToken::new(), Stats::new());
        let layer = SseLayer::new()
            .shutdown(shutdown.clone())
            .drain(drain.retry(Retry::fixed(Duration::from_secs(1))))
            .farewell(Event::from("bye"))
            .stats(&stats);
        let (mut feeds, handler) = Feeds::new();
        let server = host.start(layer, handler, &shutdown).await;
        let mut connection = protocol.connect(server.address).await;
        let response = connection.send(client.request("/")).await;
        let feed = feeds.next().await;
        Self { shutdown, stats, server, feed, response }
    }

    /// Sends `bytes`, and waits until the client has them.
    async fn pass(&mut self, bytes: &'static str) {
        self.feed.data(bytes);
        let mut received = Vec::new();
        while received != bytes.as_bytes() {
            let frame = soon(self.response.body_mut().frame()).await.unwrap().unwrap();
            received.extend(frame.into_data().unwrap());
            assert!(bytes.as_bytes().starts_with(&received), "{}", received.escape_ascii());
        }
    }
}

async fn everywhere<F: Future<Output = ()>>(test: impl Fn(Host, Protocol) -> F) {
    let places = Host::ALL.iter().flat_map(|host| Protocol::BOTH.map(|protocol| (*host, protocol)));
    join_all(places.map(|(host, protocol)| test(host, protocol))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_may_go_on_hold_the_server_until_their_own_end() {
    // Longer than the test: a stream that ends here ends by itself.
    let grace = Drain::after(Duration::from_secs(600));
    for (drain, clients) in [
        (Drain::per_client(), &[Requester::Post][..]),
        (Drain::never(), &Requester::ALL[..]),
        (grace, &[Requester::EventSource][..]),
    ] {
        let drain = &drain;
        everywhere(|host, protocol| async move {
            for client in clients {
                let what = format!("{drain:?}, {host:?}, {protocol:?}, {client:?}");
                let mut stream = Stream::open(drain.clone(), host, protocol, *client).await;
                stream.pass("data: to").await;
                stream.shutdown.cancel();
                stream.pass("ken\n\n").await;
                stream.pass("data: [DONE]\n\n").await;
                assert!(!stream.server.has_finished(), "{what}");
                stream.feed.end();
                let Stream { stats, server, response, .. } = stream;
                let end = read_to_end(response).await;
                assert!(end.bytes.is_empty() && !end.failed, "{what}: {end:?}");
                server.finished().await;
                let closed =
                    stats.snapshot().closed_by_reason.into_iter().find(|(_, closed)| *closed > 0);
                assert_eq!(closed, Some((CloseReason::Ended, 1)), "{what}");
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_that_its_source_completes_in_time_is_delivered_whole() {
    everywhere(|host, protocol| async move {
        let mut stream =
            Stream::open(Drain::per_client(), host, protocol, Requester::EventSource).await;
        stream.pass("data: ha").await;
        stream.shutdown.cancel();
        stream.pass("lf and").await;
        // The event that follows in the same frame is not begun.
        stream.feed.data(" half\n\ndata: next");
        let end = read_to_end(stream.response).await;
        let rest = " half\n\nretry: 1000\ndata: bye\n\n";
        assert_eq!(String::from_utf8(end.bytes).unwrap(), rest, "{host:?}, {protocol:?}");
        assert!(!end.failed, "{host:?}, {protocol:?}");
        assert!(stream.feed.is_dropped(), "{host:?}, {protocol:?}");
        stream.server.finished().await;
    })
    .await;
}

// An HTTP/2 client with a window of 0, whose permits only the maximum age of its connection frees.

const PLACES: usize = 20;

#[tokio::test]
async fn maximum_connection_age_releases_permits_of_closed_windows() {
    let (reports, mut closed) = mpsc::unbounded_channel();
    let layer = SseLayer::new()
        .max_streams(PLACES)
        // Without effect on a stream that is not polled.
        .max_age(MaxAge::new(Duration::from_millis(1)))
        .on_close(move |report| _ = reports.send(report.reason));
    let service = layer.layer(service_fn(|request: Request<Incoming>| {
        let answer = Source::at(request.uri().path()).answer(None);
        std::future::ready(answer).map(Ok::<_, Infallible>)
    }));
    let (listener, address) = listen().await;
    let limits =
        Limits { age: Duration::from_secs(2), grace: Duration::from_millis(100), ..LIMITS };
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(graceful_hyper::serve(listener, service, shutdown.clone(), limits));

    let stream = TcpStream::connect(address).await.unwrap();
    let mut sender = connect_h2_with_window(stream, 0).await;
    let mut open: Vec<Response<Incoming>> = Vec::new();
    for _ in 0..PLACES {
        sender.ready().await.unwrap();
        let response = sender.send_request(Requester::Post.request("/idle"));
        open.push(soon(response).await.unwrap());
        assert_eq!(open.last().unwrap().status(), 200);
    }
    for _ in 0..PLACES {
        assert_eq!(soon(closed.recv()).await, Some(CloseReason::Disconnected));
    }
    let mut other = Protocol::Http1.connect(address).await;
    assert_eq!(other.send(Requester::Post.request("/idle")).await.status(), 200);
    drop(other);
    shutdown.cancel();
    soon(served).await.unwrap();
}
