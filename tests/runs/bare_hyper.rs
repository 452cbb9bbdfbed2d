//! A handler of hyper alone, without axum and over sockets.

use hyper::body::Incoming;

use crate::*;

/// A server whose handler knows nothing of runs.
struct Server {
    runs: Runs,
    address: std::net::SocketAddr,
    protocol: Protocol,
    calls: Arc<AtomicUsize>,
    feeds: mpsc::UnboundedReceiver<Feed>,
}

async fn handle(
    request: Request<Incoming>,
    feeds: mpsc::UnboundedSender<Feed>,
) -> Result<Response<Body>, BoxError> {
    let path = request.uri().path().to_owned();
    let question = request.into_body().collect().await?.to_bytes();
    match &*path {
        "/words" => {
            let (feed, body) = Feed::new();
            feed.data([b"data: ", &*question, b"\n\n"].concat());
            feeds.send(feed).unwrap();
            Ok(event_stream(body.boxed_unsync()))
        }
        "/error" => Err("the handler failed".into()),
        _ => panic!("the handler panicked"),
    }
}

fn key(request: &Request<Incoming>) -> Option<Result<RunKey, InvalidKey>> {
    let user = request.headers().get("user")?.to_str().ok()?;
    Some(RunKey::new(user, request.uri().path()))
}

impl Server {
    async fn start(protocol: Protocol) -> Self {
        let (runs, calls) = (Runs::new(), Arc::new(AtomicUsize::new(0)));
        let (opened, feeds) = mpsc::unbounded_channel();
        let counted = Arc::clone(&calls);
        let handler = service_fn(move |request| {
            counted.fetch_add(1, Relaxed);
            handle(request, opened.clone())
        });
        let layer = SseLayer::new().terminator("[DONE]");
        let service = layer.layer(runs.layer(key).layer(handler));
        let address = start(|listener| async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve_connection(stream, protocol, service.clone()));
            }
        })
        .await;
        Self { runs, address, protocol, calls, feeds }
    }

    fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }

    /// Sends a request over a connection of its own.
    async fn send(&self, request: http::request::Builder) -> Response<Incoming> {
        let mut connection = self.protocol.connect(self.address).await;
        connection.send(request.header("user", "ann").body(Full::from("a")).unwrap()).await
    }
}

#[tokio::test]
async fn event_stream_is_recorded_and_resumed_after_a_cut() {
    for protocol in Protocol::BOTH {
        let mut server = Server::start(protocol).await;
        let mut reader = EventReader::new(server.send(Request::post("/words")).await);
        assert_eq!(reader.next().await.unwrap().data, "a");
        let feed = soon(server.feeds.recv()).await.unwrap();
        feed.data("data: b\n\ndata: c");
        let last = reader.next().await.unwrap();
        assert_eq!(last.data, "b");
        // The client's connection is cut in the middle of an event.
        drop(reader);
        until(|| server.runs.stats().attached == 0).await;
        feed.data("\n\ndata: d\n\n");
        let again = Request::post("/words").header("last-event-id", &*last.last_event_id);
        let mut reader = EventReader::new(server.send(again).await);
        for expected in ["c", "d"] {
            assert_eq!(reader.next().await.unwrap().data, expected);
        }
        feed.end();
        let rest: Vec<_> = reader.rest().await.into_iter().map(|event| event.data).collect();
        assert_eq!(rest, ["[DONE]"]);
        let replay = EventReader::new(server.send(Request::post("/words")).await).rest().await;
        let replay: Vec<_> = replay.into_iter().map(|event| event.data).collect();
        assert_eq!(replay, ["a", "b", "c", "d", "[DONE]"]);
        assert_eq!((server.calls(), ended_as(&server.runs.stats(), Outcome::Completed)), (1, 1));
    }
}

/// hyper closes a connection whose service fails or panics, and resets a stream of HTTP/2.
#[tokio::test]
async fn error_and_panic_reach_the_server_and_free_their_key() {
    for protocol in Protocol::BOTH {
        for (path, failures) in [("/error", 0), ("/panic", 2)] {
            let server = Server::start(protocol).await;
            for calls in [1, 2] {
                let request = Request::post(path).header("host", "localhost").header("user", "ann");
                let request = request.body(Full::from("a")).unwrap();
                let sent = match protocol.connect(server.address).await {
                    Connection::Http1(mut sender) => soon(sender.send_request(request)).await,
                    Connection::Http2(mut sender) => soon(sender.send_request(request)).await,
                };
                assert!(sent.is_err(), "{path}: {sent:?}");
                assert_eq!((server.calls(), server.runs.stats().running), (calls, 0), "{path}");
            }
            assert_eq!(ended_as(&server.runs.stats(), Outcome::Failed), failures, "{path}");
        }
    }
}
