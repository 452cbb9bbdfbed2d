//! Streams that may continue after the shutdown has begun, until their source ends. Also streams
//! that end only with their connection.

use crate::*;

/// Sends `bytes` and waits until the client has them.
async fn pass(feed: &Feed, response: &mut Response<Incoming>, bytes: &'static str) {
    feed.data(bytes);
    let mut received = Vec::new();
    while received != bytes.as_bytes() {
        let frame = soon(response.body_mut().frame()).await.unwrap().unwrap();
        received.extend(frame.into_data().unwrap());
        assert!(bytes.as_bytes().starts_with(&received), "{}", received.escape_ascii());
    }
}

async fn goes_on_until_its_own_end(
    drain: Drain,
    host: Host,
    protocol: Protocol,
    client: Requester,
) {
    let what = format!("{drain:?}, {host:?}, {protocol:?}, {client:?}");
    let (shutdown, stats) = (CancellationToken::new(), Stats::new());
    let layer = SseLayer::new().shutdown(shutdown.clone()).drain(drain).stats(&stats);
    let (mut feeds, handler) = Feeds::new();
    let server = host.start(layer.farewell(Event::from("bye")), handler, &shutdown).await;
    let mut connection = protocol.connect(server.address).await;
    let mut response = connection.send(client.request("/")).await;
    let feed = feeds.next().await;
    pass(&feed, &mut response, "data: to").await;
    shutdown.cancel();
    pass(&feed, &mut response, "ken\n\n").await;
    pass(&feed, &mut response, "data: [DONE]\n\n").await;
    assert!(!server.has_finished(), "{what}");
    feed.end();
    let end = read_to_end(response).await;
    assert!(end.bytes.is_empty() && !end.failed, "{what}: {end:?}");
    drop(connection);
    server.finished().await;
    let closed = stats.snapshot().closed_by_reason.into_iter().find(|(_, closed)| *closed > 0);
    assert_eq!(closed, Some((CloseReason::Ended, 1)), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_may_go_on_hold_the_server_until_their_own_end() {
    // The grace is longer than the test, so a stream that ends here was ended by its source.
    let grace = Drain::after(Duration::from_secs(600));
    for (drain, clients) in [
        (Drain::per_client(), &[Requester::Post][..]),
        (Drain::never(), &Requester::ALL[..]),
        (grace, &[Requester::EventSource][..]),
    ] {
        for client in clients {
            let places = Host::ALL.iter().flat_map(|host| Protocol::BOTH.map(|it| (*host, it)));
            join_all(places.map(|(host, protocol)| {
                goes_on_until_its_own_end(drain.clone(), host, protocol, *client)
            }))
            .await;
        }
    }
}

// An HTTP/2 client with a window of 0. Only the maximum age of its connection frees the permits of
// its streams.

const PLACES: usize = 20;

#[tokio::test]
async fn maximum_connection_age_releases_permits_of_closed_windows() {
    let (reports, mut closed) = mpsc::unbounded_channel();
    let layer = SseLayer::new()
        .max_streams(PLACES)
        // The maximum age has no effect on a stream that is not polled.
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
        let response = sender.send_request(Requester::Post.request("/Idle"));
        open.push(soon(response).await.unwrap());
        assert_eq!(open.last().unwrap().status(), 200);
    }
    for _ in 0..PLACES {
        assert_eq!(soon(closed.recv()).await, Some(CloseReason::Disconnected));
    }
    let mut other = Protocol::Http1.connect(address).await;
    assert_eq!(other.send(Requester::Post.request("/Idle")).await.status(), 200);
    drop(other);
    shutdown.cancel();
    soon(served).await.unwrap();
}
