//! Clients that do not read: they delay a graceful shutdown up to its deadline, and the ends of
//! their streams are still reported.

use crate::*;

const DEADLINE: Duration = Duration::from_millis(300);

/// Returns the reasons that were reported until the server returned, and until its runtime was
/// gone.
fn reports_of(host: Host) -> (Vec<CloseReason>, Vec<CloseReason>) {
    let (servers, clients) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let reports = Reports::default();
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone()).drain(Drain::at_once());
    let layer = reports.observe(layer);
    let full = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&full);
    let handler = handler(move |parts| match parts.uri.path() {
        "/flood" => flood(parts.version, Arc::clone(&counted)),
        path => Source::at(path).answer(None),
    });
    let listener = servers.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    // Accepted sockets inherit the buffer size from the listener.
    SockRef::from(&listener).set_send_buffer_size(SMALL_SOCKET).unwrap();
    let address = listener.local_addr().unwrap();
    let served = servers.spawn(host.serve(listener, layer, handler, shutdown.clone(), DEADLINE));

    let stalled = clients.block_on(async {
        let mut stalled = Vec::new();
        for protocol in Protocol::BOTH {
            stalled.push(stall(protocol, address).await);
        }
        // `stall` returns after the first bytes, before the server's buffers are full.
        until(|| full.load(SeqCst) == stalled.len()).await;
        let mut idle = Protocol::Http1.connect(address).await;
        let idle = idle.send(Requester::EventSource.request("/Idle")).await;
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
    // Until now no stalled client has left.
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
                let (returned, gone) = reports_of(host);
                assert_eq!(gone, ALL, "{host:?}");
                // Only hyper's example accepts its connections itself, so it can wait until they
                // end.
                assert!(host != Host::Hyper || returned == ALL, "{returned:?}");
            });
        }
    });
}

const SMALL_SOCKET: usize = 16 * 1024;

/// Returns a stream that is always ready. It is counted in `full` once a server with a
/// [`SMALL_SOCKET`] takes no more of it. None of its frames ends between events, and the layer
/// passes each frame on in one piece.
fn flood(version: Version, full: Arc<AtomicUsize>) -> Response<Body> {
    // Over HTTP/1, two large frames exceed the capacity of the sockets and of hyper's buffer. Over
    // HTTP/2, one exceeds the window.
    let capacity = if version == Version::HTTP_11 { 3 } else { 2 };
    let large = Bytes::from(["flood ".repeat(2_000), "\n\ndata: ".to_owned()].concat().repeat(21));
    assert!((240 * 1024..=256 * 1024).contains(&large.len()), "{}", large.len());
    let frames = stream::iter([Bytes::from_static(b"data: ")]).chain(stream::repeat(large));
    event_stream(Body::from_stream(frames.enumerate().map(move |(taken, frame)| {
        if taken + 1 == capacity {
            full.fetch_add(1, SeqCst);
        }
        Ok::<_, io::Error>(frame)
    })))
}

/// Opens a flood and reads only its beginning. The client leaves when the returned value is
/// dropped.
async fn stall(protocol: Protocol, address: SocketAddr) -> Box<dyn Any> {
    let mut stream = connect_small(address).await;
    match protocol {
        Protocol::Http1 => {
            stream.write_all(b"GET /flood HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            let mut begin = [0; 1024];
            until_async(async || {
                let peeked = stream.peek(&mut begin).await.unwrap();
                assert_ne!(peeked, 0);
                begin[..peeked].windows(6).any(|bytes| bytes == b"data: ")
            })
            .await;
            Box::new(stream)
        }
        // The connection is read until the window of its stream is full.
        Protocol::Http2 => {
            let mut sender = connect_h2_with_window(stream, 65_535).await;
            let response = soon(sender.send_request(Requester::Get.request("/flood")));
            let mut response = response.await.unwrap();
            let frame = soon(response.body_mut().frame()).await.unwrap().unwrap();
            assert!(frame.into_data().unwrap().starts_with(b"data: "));
            Box::new((sender, response))
        }
    }
}
