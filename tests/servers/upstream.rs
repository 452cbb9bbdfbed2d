//! Half an answer does not look complete when its upstream breaks off, for each kind of client,
//! over real sockets. The exception is an HTTP/2 reset with `NO_ERROR`.

use h2::Reason;
use tokio::io::AsyncReadExt;

use crate::*;

const HALF: &str = "data: half\n\n";

/// The bytes that a client receives, whether the end is clean, and the close reason.
type Outcome = (String, bool, CloseReason);

fn expected(broken: Break, on_error: bool) -> Outcome {
    match broken {
        // RFC 9113, section 8.1: the response is complete, and the upstream wants no more of the
        // request. hyper ends the body.
        Break::H2Reset(Reason::NO_ERROR) => (HALF.to_owned(), true, CloseReason::Ended),
        _ if on_error => (format!("{HALF}data: failed\n\n"), true, CloseReason::Failed),
        _ => (format!("{HALF}: \n"), false, CloseReason::Failed),
    }
}

/// Serves the answer of an upstream inside `layer`. Returns what a client receives, and whether the
/// end is clean.
async fn outcome(broken: Break, client: Requester, layer: SseLayer) -> (String, bool) {
    let may_break = Arc::new(Notify::new());
    let breaking = Arc::clone(&may_break);
    let upstream = start(async move |listener| {
        let (stream, _) = listener.accept().await.unwrap();
        match broken {
            Break::H1 { framing, reset } => answer_h1(stream, &breaking, framing, reset).await,
            Break::H2Reset(reason) => answer_h2(stream, &breaking, Some(reason)).await,
            Break::H2Closed => answer_h2(stream, &breaking, None).await,
        }
    })
    .await;
    let protocol =
        if matches!(broken, Break::H1 { .. }) { Protocol::Http1 } else { Protocol::Http2 };
    let relay = async move || protocol.connect(upstream).await.get("/").await.map(Body::new);
    let address = serve_axum(Router::new().fallback(relay).layer(layer)).await;
    let mut connection = Protocol::Http1.connect(address).await;
    let mut body = connection.send(client.request("/")).await.into_body();
    let mut received = String::new();
    let clean = soon(async {
        loop {
            let frame = match body.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => frame,
            };
            let data = frame.into_data().unwrap_or_default();
            received.push_str(str::from_utf8(&data).unwrap());
            if received == HALF {
                // Only now may the upstream break off: a reset loses bytes that have not arrived.
                may_break.notify_one();
            }
        }
    });
    let clean = clean.await;
    (received, clean)
}

#[tokio::test]
async fn broken_upstream_never_looks_like_a_complete_response() {
    // All clients run at the same time: each failure is delayed for some milliseconds, which add
    // up.
    let clients = [false, true].into_iter().flat_map(|on_error| {
        Requester::ALL.into_iter().map(move |client| async move {
            let (reports, asked) = (Reports::default(), Arc::new(AtomicUsize::new(0)));
            let layer = SseLayer::new().without_retry().shutdown(CancellationToken::new());
            let mut layer = reports.observe(layer);
            if on_error {
                let asked = Arc::clone(&asked);
                layer = layer.on_error(move |_| {
                    asked.fetch_add(1, SeqCst);
                    Event::from("failed")
                });
            }
            for broken in Break::all() {
                let case = format!("{broken:?} for {client:?}, on_error: {on_error}");
                let (received, clean) = outcome(broken, client, layer.clone()).await;
                let [reason] = reports.take()[..] else { panic!("one close report: {case}") };
                assert_eq!((received, clean, reason), expected(broken, on_error), "{case}");
                let is_asked = on_error && reason == CloseReason::Failed;
                assert_eq!(asked.swap(0, SeqCst), usize::from(is_asked), "{case}");
            }
        })
    });
    join_all(clients).await;
}

#[derive(Clone, Copy, Debug)]
enum Break {
    /// HTTP/1, by a RST or only a FIN.
    H1 { framing: Framing, reset: bool },
    /// HTTP/2, RST_STREAM with this code.
    H2Reset(Reason),
    /// HTTP/2, the connection is closed.
    H2Closed,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Chunks,
    ContentLength,
    /// A `content-length` in HTTP/1.0.
    OldContentLength,
}

impl Break {
    fn all() -> impl Iterator<Item = Self> {
        let framings = [Framing::Chunks, Framing::ContentLength, Framing::OldContentLength];
        let h1 = framings.into_iter().flat_map(|framing| {
            [true, false].into_iter().map(move |reset| Self::H1 { framing, reset })
        });
        // The codes of RFC 9113, section 7.
        let h2 = (0..=0xd).map(|code| Self::H2Reset(Reason::from(code)));
        h1.chain(h2).chain([Self::H2Closed])
    }
}

async fn answer_h1(mut stream: TcpStream, may_break: &Notify, framing: Framing, reset: bool) {
    _ = stream.read(&mut [0; 1024]).await.unwrap();
    let (version, body) = match framing {
        Framing::Chunks => {
            let chunk = format!("{:x}\r\n{HALF}\r\n", HALF.len());
            ("1.1", format!("transfer-encoding: chunked\r\n\r\n{chunk}"))
        }
        Framing::ContentLength => ("1.1", format!("content-length: 100\r\n\r\n{HALF}")),
        Framing::OldContentLength => ("1.0", format!("content-length: 100\r\n\r\n{HALF}")),
    };
    let head = format!("HTTP/{version} 200 OK\r\ncontent-type: text/event-stream\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    may_break.notified().await;
    if reset {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

async fn answer_h2(stream: TcpStream, may_break: &Notify, reset: Option<Reason>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (_, mut respond) = connection.accept().await.unwrap().unwrap();
    let mut body = respond.send_response(event_stream(()), false).unwrap();
    body.send_data(Bytes::from_static(HALF.as_bytes()), false).unwrap();
    tokio::select! {
        () = may_break.notified() => {}
        _ = connection.accept() => panic!("a second request"),
    }
    if let Some(reason) = reset {
        body.send_reset(reason);
        // Drives the connection until the client closes it.
        _ = connection.accept().await;
    }
}
