use std::error::Error;

use crate::*;

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

/// What hyper has not flushed when a body fails is lost with it, and on several workers that is a
/// race: hence the rounds and the concurrent clients.
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
        for address in [host.serve(own).await, host.serve(foreign).await] {
            in_every_round(host, address, assert_delivered_before_the_failure).await;
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn error_event_is_delivered_before_a_clean_end() {
    join_all(Host::ALL.map(async |host| {
        let handler =
            |_| tower_sse::response(stream::iter(two_events_and_an_error())).map(Body::new);
        let layer =
            SseLayer::new().on_error(|error| Event::new().event("failed").data(error.to_string()));
        let address = host.serve_with(Some(layer), handler).await;
        in_every_round(host, address, async |host, round, body: Incoming| {
            let body = soon(body.collect()).await.unwrap().to_bytes();
            let expected = "data: one\n\ndata: two\n\nevent: failed\ndata: disk full\n\n";
            assert_eq!(body, expected, "{host:?}, round {round}");
        })
        .await;
    }))
    .await;
}

fn two_events_and_an_error() -> [io::Result<Event>; 3] {
    [Ok(Event::from("one")), Ok(Event::from("two")), Err(io::Error::other("disk full"))]
}

async fn assert_delivered_before_the_failure(host: Host, round: usize, body: Incoming) {
    let (received, error) = read_to_end(body).await;
    assert_eq!(received, "data: one\n\ndata: two\n\n:\n", "{host:?}, round {round}");
    assert_says_that_it_failed(host, error);
}

/// Runs 500 responses from one server to a few clients with a connection each.
async fn in_every_round(
    host: Host,
    address: SocketAddr,
    assert: impl AsyncFn(Host, usize, Incoming),
) {
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
            assert(host, done.fetch_add(1, SeqCst), client.get("/events").await.into_body()).await;
        }
    }))
    .await;
    assert_eq!(done.into_inner(), ROUNDS);
}

#[tokio::test]
async fn error_drops_the_source_and_the_server_goes_on() {
    for host in Host::ALL {
        let mut server = Fed::serve(host).await;
        let (events, source) = server.open().await;
        source.fail(io::Error::other("disk full"));
        source.dropped().await;
        let (received, error) = read_to_end(events.into_body()).await;
        assert_eq!(received, ":\n", "{host:?}");
        assert_says_that_it_failed(host, error);

        server.client = host.connect(server.address).await;
        let (mut events, source) = server.open().await;
        source.send("again");
        assert_eq!(events.next().await.unwrap().data, "again", "{host:?}");
    }
}
