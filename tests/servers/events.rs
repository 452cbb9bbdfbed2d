use crate::*;

#[tokio::test]
async fn head_and_every_event_arrive_before_the_next_is_made() {
    for host in Host::ALL {
        let (mut sources, handler) = streams();
        let mut client = host.connect(host.serve(handler).await).await;

        // Nothing was sent yet: the head arrives alone.
        let response = client.get("/events").await;
        assert_eq!(response.headers()["cache-control"], "no-cache, no-transform", "{host:?}");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert_eq!(response.headers()["incremental"], "?1");
        let source = sources.next().await;
        let mut events = EventReader::new(response);
        for data in ["one", "two", "three"] {
            source.send(data);
            assert_eq!(events.next().await.unwrap().data, data, "{host:?}");
        }
    }
}

#[tokio::test]
async fn clean_end_leaves_the_connection_usable() {
    for host in Host::ALL {
        let mut server = Fed::serve(host).await;
        for data in ["one", "two", "three"] {
            let (events, source) = server.open().await;
            source.send(data);
            source.end();
            let events: Vec<_> = events.rest().await.into_iter().map(|event| event.data).collect();
            assert_eq!(events, [data], "{host:?}");
        }
    }
}

/// On HTTP/2 they would make the whole response invalid.
#[tokio::test]
async fn hop_by_hop_headers_are_removed() {
    for host in Host::ALL {
        let (mut sources, handler) = streams();
        let handler = move |parts| {
            handler(parts)
                .with_header("connection", "keep-alive")
                .with_header("keep-alive", "timeout=5")
        };
        let mut client = host.connect(host.serve(handler).await).await;

        let response = client.get("/events").await;
        for name in ["connection", "keep-alive"] {
            assert!(!response.headers().contains_key(name), "{host:?}: {name}");
        }
        let source = sources.next().await;
        let mut events = EventReader::new(response);
        source.send("one");
        assert_eq!(events.next().await.unwrap().data, "one");
    }
}

#[tokio::test]
async fn head_request_gets_the_headers_of_a_get_and_no_stream() {
    /// Removes the headers that the server adds for one connection.
    fn of_the_response(headers: &HeaderMap) -> HeaderMap {
        let mut headers = headers.clone();
        headers.remove("date");
        headers.remove("transfer-encoding");
        headers
    }

    for host in Host::ALL {
        let (mut sources, handler) = streams();
        let mut client = host.connect(host.serve(handler).await).await;

        let head = client.send(Request::head("/events").body(Full::default()).unwrap()).await;
        // Its stream is dropped at once, although it has not ended.
        sources.next().await.dropped().await;
        assert!(!head.headers().contains_key("content-length"), "{host:?}");
        let head_headers = of_the_response(head.headers());
        assert!(EventReader::new(head).rest().await.is_empty());

        let get = client.get("/events").await;
        assert_eq!(head_headers, of_the_response(get.headers()), "{host:?}");
        sources.next().await.send("one");
        assert_eq!(EventReader::new(get).next().await.unwrap().data, "one", "{host:?}");
    }
}

const EVENTS: &str = "data: one\n\ndata: two\n\n";

#[tokio::test]
async fn stream_has_no_content_length_though_its_size_is_known() {
    for host in Host::ALL {
        for has_header in [false, true] {
            let handler = move |_| {
                let mut response = event_stream(Body::new(Full::from(EVENTS)));
                if has_header {
                    response.headers_mut().insert("content-length", EVENTS.len().into());
                }
                response
            };
            let layer = SseLayer::new().terminator(Event::from("[DONE]"));
            let mut client = host.connect(host.serve_with(Some(layer), handler).await).await;

            let response = client.get("/events").await;
            let headers = response.headers();
            assert!(!headers.contains_key("content-length"), "{host:?}");
            let chunked = (!host.is_h2()).then_some("chunked");
            assert_eq!(
                headers.get("transfer-encoding").map(|value| value.to_str().unwrap()),
                chunked
            );
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!("{EVENTS}data: [DONE]\n\n"), "{host:?}");
        }
    }
}

#[tokio::test]
async fn other_responses_keep_their_content_length() {
    for host in Host::ALL {
        let handler = |_| Response::new(Body::new(Full::from("a page")));
        let mut client = host.connect(host.serve(handler).await).await;

        for request in [Request::get("/"), Request::head("/")] {
            let response = client.send(request.body(Full::default()).unwrap()).await;
            assert_eq!(response.headers()["content-length"], "6", "{host:?}");
            assert!(!response.headers().contains_key("cache-control"));
        }
    }
}

#[tokio::test]
async fn trailers_of_the_source_come_after_the_terminator() {
    for host in Host::ALL {
        let handler = |_| {
            let frames =
                [Frame::data(Bytes::from_static(EVENTS.as_bytes())), Frame::trailers(checksum())];
            let body = StreamBody::new(stream::iter(frames.map(Ok::<_, BoxError>)));
            // hyper writes only the trailers announced here, and only if the client wants any.
            event_stream(Body::new(body)).with_header("trailer", "x-checksum")
        };
        let layer = SseLayer::new().terminator(Event::from("[DONE]"));
        let mut client = host.connect(host.serve_with(Some(layer), handler).await).await;

        let request = Request::get("/events").header("te", "trailers");
        let response = client.send(request.body(Full::default()).unwrap()).await;
        let collected = response.into_body().collect().await.unwrap();
        let trailers = collected.trailers().expect("trailers").clone();
        assert_eq!(trailers["x-checksum"], "7", "{host:?}");
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
