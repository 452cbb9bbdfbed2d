//! A stream that fails, panics or is not read does not affect other streams, not even those on its
//! HTTP/2 connection. Peers count what looks like a flood, such as frames without bytes, for the
//! whole connection.

use crate::*;

/// More than the hundred empty frames that h2 accepts on a connection.
const STREAMS: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_cut_at_once_do_not_affect_another_stream() {
    for host in [Host::AxumH2, Host::HyperH2] {
        let shutdown = CancellationToken::new();
        let layer = SseLayer::new().shutdown(shutdown.clone());
        let (mut sources, handler) = streams();
        let handler = move |parts: Parts| {
            let is_bystander = parts.uri.path() == "/bystander";
            let drain = if is_bystander { Drain::never() } else { Drain::at_once() };
            handler(parts).with_options(StreamOptions::new().drain(drain))
        };
        let mut client = host.connect(host.serve(layer, handler).await).await;
        let mut bystander = EventReader::new(client.get("/bystander").await);
        let goes_on = sources.next().await;
        let mut calls = Vec::new();
        for _ in 0..STREAMS {
            let call = Request::post("/call").body(Full::default()).unwrap();
            let mut body = client.send(call).await.into_body();
            let source = sources.next().await;
            source.send("first");
            soon(body.frame()).await.unwrap().unwrap();
            calls.push((body, source));
        }
        shutdown.cancel();
        for (mut body, _source) in calls {
            while let Some(Ok(_)) = soon(body.frame()).await {}
        }
        goes_on.send("last");
        goes_on.end();
        assert_eq!(bystander.next().await.unwrap().data, "last", "{host:?}");
        assert_eq!(bystander.next().await, None);
    }
}

/// A panic of the source ends the connection (HTTP/1) or the stream (HTTP/2), with and without the
/// layer. The client sees a failure, the source is dropped, and other streams go on.
#[tokio::test]
async fn panic_of_the_source_propagates_as_without_the_layer() {
    for host in Host::ALL {
        let mut failures = Vec::new();
        for layer in [None, Some(SseLayer::new())] {
            let mut server = Fed::serve(host, layer).await;
            let (mut others, other) = server.open().await;
            if !host.is_h2() {
                server.client = host.connect(server.address).await;
            }
            let (broken, source) = server.open().await;
            let mut body = broken.into_body();
            source.send("one");
            let frame = soon(body.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), "data: one\n\n");
            source.panic();
            source.dropped().await;
            let failure = soon(body.frame()).await.unwrap().unwrap_err();
            failures.push(format!("{failure:?}"));

            other.send("two");
            assert_eq!(others.next().await.unwrap().data, "two", "{host:?}");
        }
        assert_eq!(failures[0], failures[1], "{host:?}");
    }
}

/// Returns a handler that answers `/flood` with an endless stream that counts its events, and other
/// paths as `other` does.
fn flood_or(
    other: impl Fn(Parts) -> Response<Body> + Clone + Send + Sync + 'static,
) -> (Arc<AtomicUsize>, impl Fn(Parts) -> Response<Body> + Clone + Send + Sync) {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    let event = Encoded::from(Event::from("x".repeat(1000)));
    let handler = move |request: Parts| {
        if request.uri.path() != "/flood" {
            return other(request);
        }
        let counter = Arc::clone(&counter);
        let flood = stream::repeat(event.clone()).inspect(move |_| {
            counter.fetch_add(1, SeqCst);
        });
        tower_sse::response(flood).map(Body::new)
    };
    (made, handler)
}

/// The source is no longer polled once the socket's buffers or HTTP/2's window are full, and is
/// polled again when the client reads on.
#[tokio::test]
async fn client_that_stops_reading_holds_back_its_own_source_only() {
    for host in Host::ALL {
        let (mut sources, handler) = streams();
        let (made, handler) = flood_or(handler);
        let address = host.serve(SseLayer::new(), handler).await;
        let mut client = host.connect(address).await;

        let flood = client.get("/flood").await;
        // On HTTP/2 the other stream shares the connection.
        let mut other = if host.is_h2() { client } else { host.connect(address).await };
        let mut events = EventReader::new(other.get("/events").await);
        let source = sources.next().await;

        // Every round is a round trip through the server, in which a source that is polled would
        // have made events.
        let mut standing_still = 0;
        let mut last = 0;
        let until_it_stands_still = async {
            while standing_still < 100 {
                source.send("to another client");
                assert_eq!(events.next().await.unwrap().data, "to another client");
                let now = made.load(SeqCst);
                standing_still = if now == last { standing_still + 1 } else { 0 };
                last = now;
            }
        };
        soon(until_it_stands_still).await;
        assert!(last > 0, "{host:?}: it was polled before");

        let mut flood = flood.into_body();
        let until_it_goes_on = async {
            while made.load(SeqCst) == last {
                flood.frame().await.unwrap().unwrap();
            }
        };
        soon(until_it_goes_on).await;
    }
}
