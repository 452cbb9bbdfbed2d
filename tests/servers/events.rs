use crate::*;

#[tokio::test]
async fn each_event_arrives_before_the_next_and_the_connection_stays_usable() {
    for host in Host::ALL {
        let mut server = Fed::serve(host, SseLayer::new()).await;
        for _ in 0..2 {
            // Nothing was sent yet: the head arrives alone.
            let response = server.client.get("/events").await;
            assert_eq!(response.headers()["cache-control"], "no-cache, no-transform", "{host:?}");
            assert_eq!(response.headers()["x-accel-buffering"], "no");
            assert_eq!(response.headers()["incremental"], "?1");
            let source = server.sources.next().await;
            let mut events = EventReader::new(response);
            for data in ["one", "two", "three"] {
                source.send(data);
                assert_eq!(events.next().await.unwrap().data, data, "{host:?}");
            }
            source.end();
            assert_eq!(events.next().await, None);
        }
    }
}

const EVENTS: &str = "data: one\n\ndata: two\n\n";

#[tokio::test]
async fn trailers_of_the_source_come_after_the_terminator() {
    for host in Host::ALL {
        let handler = |_| {
            let mut trailers = checksum();
            // A digest would not fit the bytes with the lines that the layer adds.
            trailers.insert("repr-digest", http::HeaderValue::from_static("sha-256=:x:"));
            let frames =
                [Frame::data(Bytes::from_static(EVENTS.as_bytes())), Frame::trailers(trailers)];
            let body = StreamBody::new(stream::iter(frames.map(Ok::<_, BoxError>)));
            // Over HTTP/1, hyper writes only trailers that are announced, and only if the client
            // wants any.
            let response =
                event_stream(Body::new(body)).with_header("trailer", "x-checksum, repr-digest");
            response.with_header("content-length", "22")
        };
        let layer = SseLayer::new().terminator(Event::from("[DONE]"));
        let mut client = host.connect(host.serve(layer, handler).await).await;

        let request = Request::get("/events").header("te", "trailers");
        let response = client.send(request.body(Full::default()).unwrap()).await;
        assert!(!response.headers().contains_key("content-length"), "{host:?}");
        let collected = response.into_body().collect().await.unwrap();
        let trailers = collected.trailers().expect("trailers").clone();
        assert_eq!(trailers["x-checksum"], "7", "{host:?}");
        assert!(!trailers.contains_key("repr-digest"), "{host:?}");
        assert_eq!(collected.to_bytes(), format!("{EVENTS}data: [DONE]\n\n"), "{host:?}");
    }
}

/// Asserts an HTTP/1 body without its last chunk, or an HTTP/2 reset.
fn assert_says_that_it_failed(host: Host, error: Option<hyper::Error>) {
    let error = error.expect("a failure");
    if host.is_h2() {
        let reset = error.source().expect("an error of h2").to_string();
        assert!(reset.contains("unexpected internal error encountered"), "{host:?}: {reset}");
    } else {
        // hyper has no method that detects this error.
        assert_eq!(error.to_string(), "error reading a body from connection", "{host:?}");
    }
}

/// When a body fails, hyper loses what it has not flushed. On several workers, that is a race, so
/// the test needs many rounds and concurrent clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_before_an_error_are_delivered() {
    let foreign = |_| {
        let frames = two_events_and_an_error();
        let frames =
            frames.map(|event| event.map(|event| Frame::data(Encoded::from(event).into())));
        let frames = StreamBody::new(stream::iter::<[io::Result<Frame<Bytes>>; 3]>(frames));
        event_stream(Body::new(frames))
    };
    join_all(Host::ALL.map(async |host| {
        let own = |_| tower_sse::response(stream::iter(two_events_and_an_error())).map(Body::new);
        for address in
            [host.serve(SseLayer::new(), own).await, host.serve(SseLayer::new(), foreign).await]
        {
            in_every_round(host, address).await;
        }
    }))
    .await;
}

fn two_events_and_an_error() -> [io::Result<Event>; 3] {
    [Ok(Event::from("one")), Ok(Event::from("two")), Err(io::Error::other("disk full"))]
}

/// Asserts what 500 responses from one server deliver to a few clients that send requests at the
/// same time.
async fn in_every_round(host: Host, address: SocketAddr) {
    const ROUNDS: usize = 500;
    const CLIENTS: usize = 5;

    let done = AtomicUsize::new(0);
    join_all((0..CLIENTS).map(async |_| {
        let mut client = host.connect(address).await;
        for _ in 0..ROUNDS / CLIENTS {
            if !host.is_h2() {
                // An HTTP/1 connection ends with a body that failed.
                client = host.connect(address).await;
            }
            let (received, error) = read_to_end(client.get("/events").await.into_body()).await;
            let round = done.fetch_add(1, SeqCst);
            // Before it fails, the body sends a comment, and another one if the server still holds
            // the first after 10 milliseconds.
            let expected = ["data: one\n\ndata: two\n\n: \n", "data: one\n\ndata: two\n\n: \n: \n"];
            assert!(expected.contains(&&*received), "{host:?}, round {round}: {received:?}");
            assert_says_that_it_failed(host, error);
        }
    }))
    .await;
    assert_eq!(done.into_inner(), ROUNDS);
}
