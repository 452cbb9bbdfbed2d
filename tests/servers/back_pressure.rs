use crate::*;

/// Returns a handler that answers `/flood` with an endless stream that counts its events, and other
/// paths with streams fed by the test.
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
        let address = host.serve(handler).await;
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
