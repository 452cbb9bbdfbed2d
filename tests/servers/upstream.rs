//! Half an answer never looks complete: every way in which an upstream can break off, for every
//! kind of client, over real sockets.

use axum::routing::any;
use h2::Reason;
use tokio::{io::AsyncReadExt, sync::Semaphore};
use tonic::{Code, Status};

use crate::*;

const HALF: &str = "data: half\n\n";

/// The bytes that a client receives, whether the end is clean, and the close reason.
type Outcome = (String, bool, CloseReason);

fn expected(broken: Break, client: Requester, on_error: bool) -> Outcome {
    let cancelled = broken == Break::CancelledTask;
    match broken {
        // RFC 9113, section 8.1: the response is complete, and the upstream wants no more of the
        // request. hyper ends the body.
        Break::H2Reset(h2::Reason::NO_ERROR) => (HALF.to_owned(), true, CloseReason::Ended),
        _ if cancelled && client == Requester::EventSource => {
            (HALF.to_owned(), true, CloseReason::Cancelled)
        }
        _ if cancelled => (format!("{HALF}:\n"), false, CloseReason::Cancelled),
        _ if on_error => (format!("{HALF}data: failed\n\n"), true, CloseReason::Failed),
        _ => (format!("{HALF}:\n"), false, CloseReason::Failed),
    }
}

/// A server inside a layer that inspects requests.
struct Front {
    proxy: Proxy,
    app: Router,
    reports: Reports,
    asked: Arc<AtomicUsize>,
}

impl Front {
    async fn new(on_error: bool) -> Self {
        let reports = Reports::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let mut layer =
            reports.observe(SseLayer::new().without_retry().shutdown(CancellationToken::new()));
        if on_error {
            let asked = Arc::clone(&asked);
            layer = layer.on_error(move |_| {
                asked.fetch_add(1, SeqCst);
                Event::from("failed")
            });
        }
        let proxy = Proxy::new().await;
        let app = proxy.router().layer(layer);
        Self { proxy, app, reports, asked }
    }

    async fn outcome(&self, broken: Break, client: Requester) -> Outcome {
        let address = serve_axum(self.app.clone()).await;
        let mut sender = connect_h1(address).await;
        let path = format!("/{}", broken.index());
        let mut body = sender.send_request(client.request(&path)).await.unwrap().into_body();
        let mut received = String::new();
        let read = async {
            loop {
                let frame = match body.frame().await {
                    None => return true,
                    Some(Err(_)) => return false,
                    Some(Ok(frame)) => frame,
                };
                let data = frame.into_data().unwrap_or_default();
                received.push_str(str::from_utf8(&data).unwrap());
                if received == HALF {
                    // Bytes that have not arrived when an upstream resets its connection are lost.
                    self.proxy.break_off();
                }
            }
        };
        let clean = soon(read).await;
        let [reason] = self.reports.take()[..] else { panic!("one close report") };
        (received, clean, reason)
    }
}

#[tokio::test]
async fn broken_upstream_never_looks_like_a_complete_response() {
    // Each failure is delayed for some milliseconds, which add up.
    let clients = [false, true].into_iter().flat_map(|on_error| {
        Requester::ALL.into_iter().map(move |client| async move {
            let front = Front::new(on_error).await;
            for broken in Break::all() {
                let before = front.asked.load(SeqCst);
                let outcome = front.outcome(broken, client).await;
                let expected = expected(broken, client, on_error);
                assert_eq!(outcome, expected, "{broken:?} for {client:?}, on_error: {on_error}");
                let asked = front.asked.load(SeqCst) - before;
                let is_error = expected.2 == CloseReason::Failed;
                assert_eq!(asked, usize::from(on_error && is_error), "{broken:?}: {client:?}");
            }
        })
    });
    join_all(clients).await;
}

/// A way to break off after half an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Break {
    /// HTTP/1, with chunks or a `content-length`, by a RST or only a FIN.
    H1 { chunked: bool, reset: bool },
    /// HTTP/2, RST_STREAM with this code.
    H2Reset(Reason),
    /// HTTP/2, the connection is closed.
    H2Closed,
    /// A stream of events that ends with an `io::Error`.
    Io(io::ErrorKind),
    /// A stream of events that ends with a status of tonic.
    Tonic(Code),
    /// A stream of events that ends with the error of a task that was cancelled.
    CancelledTask,
    /// A stream of events that ends with the error of a task that panicked.
    PanickedTask,
}

const KINDS: [io::ErrorKind; 20] = [
    io::ErrorKind::NotFound,
    io::ErrorKind::PermissionDenied,
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::HostUnreachable,
    io::ErrorKind::NetworkUnreachable,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::NotConnected,
    io::ErrorKind::AddrInUse,
    io::ErrorKind::NetworkDown,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::WouldBlock,
    io::ErrorKind::InvalidInput,
    io::ErrorKind::InvalidData,
    io::ErrorKind::TimedOut,
    io::ErrorKind::WriteZero,
    io::ErrorKind::Interrupted,
    io::ErrorKind::Unsupported,
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::Other,
];

impl Break {
    pub(crate) fn all() -> Vec<Self> {
        let both = [(true, true), (true, false), (false, true), (false, false)];
        let h1 = both.into_iter().map(|(chunked, reset)| Self::H1 { chunked, reset });
        // The codes of RFC 9113, section 7.
        let h2 = (0..=0xd).map(|code| Self::H2Reset(Reason::from(code)));
        let io = KINDS.into_iter().map(Self::Io);
        let tonic = (0..=16).map(|code| Self::Tonic(Code::from_i32(code)));
        let others = [Self::H2Closed, Self::CancelledTask, Self::PanickedTask];
        h1.chain(h2).chain(io).chain(tonic).chain(others).collect()
    }

    /// Returns its index among all, used as a path of the proxy.
    pub(crate) fn index(self) -> usize {
        Self::all().iter().position(|other| *other == self).unwrap()
    }

    /// Returns the error of the stream of events that breaks off in this way, if it is one.
    pub(crate) async fn error(self) -> Option<BoxError> {
        Some(match self {
            Self::H1 { .. } | Self::H2Reset(_) | Self::H2Closed => return None,
            Self::Io(kind) => io::Error::from(kind).into(),
            Self::Tonic(code) => Status::new(code, "upstream").into(),
            Self::CancelledTask => cancelled_task().await.into(),
            Self::PanickedTask => {
                tokio::spawn(async { panic!("in a task") }).await.unwrap_err().into()
            }
        })
    }
}

/// A handler whose answers break off, by itself or because its upstream does.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// One permit for each answer that may break off now.
    may_break: Arc<Semaphore>,
}

impl Proxy {
    pub(crate) async fn new() -> Self {
        Self { may_break: Arc::new(Semaphore::new(0)) }
    }

    pub(crate) fn break_off(&self) {
        self.may_break.add_permits(1);
    }

    pub(crate) fn router(&self) -> Router {
        let proxy = self.clone();
        Router::new().route(
            "/{index}",
            any(move |Path(index): Path<usize>| async move { proxy.answer(Break::all()[index]).await }),
        )
    }

    async fn answer(self, broken: Break) -> Response<Body> {
        if let Some(error) = broken.error().await {
            let half = Ok::<_, BoxError>(Event::from("half"));
            let rest = stream::once(async move {
                self.may_break.acquire().await.unwrap().forget();
                Err(error)
            });
            let events = futures_util::StreamExt::chain(stream::iter([half]), rest);
            return tower_sse::response(events).map(Body::new);
        }
        let upstream = self.serve(broken).await;
        let request = Request::get("http://upstream/").body(Full::<Bytes>::default()).unwrap();
        let response = match broken {
            Break::H1 { .. } => connect_h1(upstream).await.send_request(request).await,
            _ => connect_h2(upstream).await.send_request(request).await,
        };
        response.unwrap().map(Body::new)
    }

    /// Starts an upstream that answers one request.
    async fn serve(self, broken: Break) -> SocketAddr {
        let (listener, address) = listen().await;
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            match broken {
                Break::H1 { chunked, reset } => self.answer_h1(stream, chunked, reset).await,
                Break::H2Reset(reason) => self.answer_h2(stream, Some(reason)).await,
                _ => self.answer_h2(stream, None).await,
            }
        });
        address
    }

    async fn answer_h1(self, mut stream: TcpStream, chunked: bool, reset: bool) {
        _ = stream.read(&mut [0; 1024]).await.unwrap();
        let body = if chunked {
            format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{HALF}\r\n", HALF.len())
        } else {
            format!("content-length: 100\r\n\r\n{HALF}")
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        self.may_break.acquire().await.unwrap().forget();
        if reset {
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    async fn answer_h2(self, stream: TcpStream, reset: Option<h2::Reason>) {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        let mut body = respond.send_response(event_stream(()), false).unwrap();
        body.send_data(Bytes::from_static(HALF.as_bytes()), false).unwrap();
        let may_break = async {
            self.may_break.acquire().await.unwrap().forget();
        };
        tokio::select! {
            () = may_break => {}
            _ = connection.accept() => panic!("a second request"),
        }
        if let Some(reason) = reset {
            body.send_reset(reason);
            // Drives the connection until the client closes it.
            _ = connection.accept().await;
        }
    }
}
