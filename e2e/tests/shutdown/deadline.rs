//! Clients that do not read: they delay a graceful shutdown up to its deadline, and their streams
//! still have close reports.

use crate::*;

const DEADLINE: Duration = Duration::from_millis(300);

/// Returns the close reports once the server has returned, and once its runtime is gone.
fn reports_of(host: Host) -> (Vec<CloseReason>, Vec<CloseReason>) {
    let (servers, clients) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let reports = Reports::default();
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone()).drain(Drain::at_once());
    let layer = reports.observe(layer);
    let full = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&full);
    let handler = handler(move |parts| match parts.uri.path() {
        "/flood" => {
            let counted = Arc::clone(&counted);
            flood(parts.version, move || _ = counted.fetch_add(1, SeqCst))
        }
        path => Source::at(path).answer(None),
    });
    let listener = servers.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    // Accepted sockets inherit it from the listener.
    SockRef::from(&listener).set_send_buffer_size(SMALL_SOCKET).unwrap();
    let address = listener.local_addr().unwrap();
    let served = servers.spawn(host.serve(listener, layer, handler, shutdown.clone(), DEADLINE));

    let stalled = clients.block_on(async {
        let mut stalled = Vec::new();
        for protocol in Protocol::BOTH {
            stalled.push(Stalled::connect(protocol, address, "/flood").await);
        }
        // The first bytes arrive before the servers are full.
        soon(async {
            while full.load(SeqCst) < stalled.len() {
                yield_now().await;
            }
        })
        .await;
        let mut idle = Protocol::Http1.connect(address).await;
        let idle = idle.send(Requester::EventSource.request("/idle")).await;
        let began = Instant::now();
        shutdown.cancel();
        assert!(!read_to_end(idle).await.failed, "{host:?}");
        soon(served).await.unwrap();
        assert!(began.elapsed() >= DEADLINE, "{host:?}: after {:?}", began.elapsed());
        stalled
    });
    let returned = reports.reasons();
    servers.shutdown_timeout(Duration::from_secs(10));
    let gone = reports.reasons();
    // Until now no client has left.
    drop(stalled);
    (returned, gone)
}

const ALL: [CloseReason; 3] =
    [CloseReason::Drained, CloseReason::Disconnected, CloseReason::Disconnected];

#[test]
fn deadline_ends_streams_that_the_drain_cannot() {
    thread::scope(|scope| {
        for host in Host::ALL {
            scope.spawn(move || {
                let (_, gone) = reports_of(host);
                assert_eq!(gone, ALL, "{host:?}");
            });
        }
    });
}

/// A server that accepts its own connections can also wait for them.
#[test]
fn recipe_for_hyper_returns_when_all_reports_are_made() {
    let (returned, _) = reports_of(Host::Hyper);
    assert_eq!(returned, ALL);
}

// Clients that do not read, and the streams that stall.

pub(crate) const SMALL_SOCKET: usize = 16 * 1024;

/// Returns a stream that is always ready, and calls `full` once its server with a [`SMALL_SOCKET`] takes
/// no more of it. None of its frames ends between events, and the layer passes each on in one piece.
pub(crate) fn flood(version: Version, full: impl FnOnce() + Send + 'static) -> Response<Body> {
    // Over HTTP/1, two large frames exceed the capacity of the sockets and of hyper's buffer. Over
    // HTTP/2, one exceeds the window.
    let capacity = if version == Version::HTTP_11 { 3 } else { 2 };
    let large = Bytes::from(["flood ".repeat(2_000), "\n\ndata: ".to_owned()].concat().repeat(21));
    assert!((240 * 1024..=256 * 1024).contains(&large.len()), "{}", large.len());
    let first = Bytes::from_static(b"data: ");
    let frames = stream::iter([first]).chain(stream::repeat(large));
    let (mut taken, mut full) = (0, Some(full));
    event_stream(Body::from_stream(frames.map(move |frame| {
        taken += 1;
        if taken == capacity
            && let Some(full) = full.take()
        {
            full();
        }
        Ok::<_, io::Error>(frame)
    })))
}

/// A client that has read the beginning of a flood and then stops reading.
pub(crate) enum Stalled {
    Http1 { _connection: TcpStream },
    Http2 { _connection: http2::SendRequest<Full<Bytes>>, _response: Response<Incoming> },
}

impl Stalled {
    pub(crate) async fn connect(protocol: Protocol, address: SocketAddr, path: &str) -> Self {
        let stream = connect_small(address).await;
        match protocol {
            Protocol::Http1 => Self::http1(stream, path).await,
            Protocol::Http2 => Self::http2(stream, path).await,
        }
    }

    async fn http1(mut stream: TcpStream, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut begin = [0; 1024];
        soon(async {
            loop {
                let peeked = stream.peek(&mut begin).await.unwrap();
                assert_ne!(peeked, 0);
                if begin[..peeked].windows(6).any(|bytes| bytes == b"data: ") {
                    break;
                }
                yield_now().await;
            }
        })
        .await;
        Self::Http1 { _connection: stream }
    }

    /// Opens an HTTP/2 client whose connection is read until the window of its stream is full.
    async fn http2(stream: TcpStream, path: &str) -> Self {
        let mut sender = connect_h2_with_window(stream, 65_535).await;
        let response = soon(sender.send_request(Requester::Get.request(path)));
        let mut response = response.await.unwrap();
        let frame = soon(response.body_mut().frame()).await.unwrap().unwrap();
        assert!(frame.into_data().unwrap().starts_with(b"data: "));
        Self::Http2 { _connection: sender, _response: response }
    }
}
