//! A hop with the faults of real hops, in front of the origin that `sse-check hop` plays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::{
    convert::Infallible, error::Error, future::pending, io, net::SocketAddr, time::Duration,
};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::{
    Router,
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use futures_util::StreamExt;
use http::{StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::report::Report;
use crate::support::{free_port, listen};

/// What the hop sends to the client after its server has died.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum OnDeath {
    #[default]
    Cut,
    /// Over HTTP/2, a reset with this code.
    Reset(h2::Reason),
    Clean,
    Text,
    Open,
}

/// What the hop does with a request for an address that it has already passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Cache {
    #[default]
    Nothing,
    /// Answers with the first answer, as far as it has come.
    Replay,
    /// Passes one request on at a time.
    Wait,
}

/// When the hop closes its connection to the server after the client has left.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum OnLeaving {
    #[default]
    AtOnce,
    AtAWrite,
    Never,
}

/// What the hop answers while no server is up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum WhileDown {
    #[default]
    BadGateway,
    Stream,
    Nothing,
}

/// What the hop does with streams above its limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum AtLimit {
    #[default]
    Wait,
    /// Answers with an error status.
    Refuse,
    /// Closes the connection without an answer.
    Close,
}

/// The bodies that the hop compresses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Gzip {
    #[default]
    Nothing,
    /// Bodies without `no-transform`. The hop flushes at their end.
    Bare,
    /// All bodies. The hop flushes after each write.
    All,
}

/// The faults of a hop, by default none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The size of a buffer, which the hop passes on when it is full or at the end.
    pub(crate) buffer: usize,
    /// Whether the head waits for the body's first byte.
    pub(crate) holds_head: bool,
    pub(crate) gzip: Gzip,
    pub(crate) drops_request_headers: &'static [&'static str],
    pub(crate) drops_response_headers: &'static [&'static str],
    pub(crate) drops_body: bool,
    pub(crate) speaks_http_1_0: bool,
    pub(crate) on_death: OnDeath,
    pub(crate) on_leaving: OnLeaving,
    pub(crate) idle_limit: Option<Duration>,
    pub(crate) streams: Option<usize>,
    pub(crate) at_limit: AtLimit,
    /// Whether the hop keeps each event until the next one or the end.
    pub(crate) is_behind: bool,
    pub(crate) while_down: WhileDown,
    pub(crate) cache: Cache,
    /// Whether the hop refuses all requests once its server was down.
    pub(crate) stays_down: bool,
}

/// Runs `sse-check hop` with a hop that has these faults. The program starts the origin.
pub(crate) async fn look_at(faults: Faults, options: &str) -> Report {
    let (hop, origin) = start(faults).await;
    let url = format!("http://{hop}/events?token=secret");
    let arguments = ["hop", &url, "--origin", &origin].into_iter();
    let arguments: Vec<_> = arguments.chain(options.split_whitespace()).collect();
    Report::of(&arguments).await
}

/// Starts a hop. Returns its address, and the address to which it passes requests on.
pub(crate) async fn start(faults: Faults) -> (SocketAddr, String) {
    let origin = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (listener, address) = listen().await;
    let places = Arc::new(Semaphore::new(faults.streams.unwrap_or(Semaphore::MAX_PERMITS)));
    let cached = Arc::new(Mutex::new(HashMap::new()));
    let handler = move |request: Request| {
        let (places, cached) = (Arc::clone(&places), Arc::clone(&cached));
        async move {
            let url = request.uri().path_and_query().map(ToString::to_string);
            let turn = {
                let mut cached = cached.lock().unwrap_or_else(PoisonError::into_inner);
                if faults.cache == Cache::Replay && cached.contains_key(&url) {
                    return Ok(replay());
                }
                Arc::clone(cached.entry(url).or_insert(Arc::new(Semaphore::new(1))))
            };
            let turn = match faults.cache {
                Cache::Wait => turn.acquire_owned().await.ok(),
                _ => None,
            };
            pass(request, origin, faults, places, turn).await
        }
    };
    let app = Router::new().fallback(handler);
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    (address, origin.to_string())
}

/// Returns what a cache has of a stream.
fn replay() -> Response {
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(Body::from("id: 0\ndata: x\n\n")).unwrap()
}

async fn pass(
    request: Request,
    origin: SocketAddr,
    faults: Faults,
    places: Arc<Semaphore>,
    turn: Option<OwnedSemaphorePermit>,
) -> Result<Response, Infallible> {
    let is_full = places.available_permits() == 0;
    match faults.at_limit {
        AtLimit::Refuse if is_full => return Ok(StatusCode::SERVICE_UNAVAILABLE.into_response()),
        // Ends the connection's task. Unlike `panic!`, this prints nothing.
        AtLimit::Close if is_full => std::panic::resume_unwind(Box::new(())),
        _ => {}
    }
    let Ok(place) = Arc::clone(&places).acquire_owned().await else {
        return Ok(StatusCode::SERVICE_UNAVAILABLE.into_response());
    };
    let Ok(answer) = ask(request, origin, faults).await else {
        if faults.stays_down {
            places.close();
        }
        return Ok(answer_while_down(faults.while_down).await);
    };
    let (mut head, body) = answer.into_parts();
    let is_guarded = head.headers.contains_key("cache-control");
    faults.drops_response_headers.iter().for_each(|name| _ = head.headers.remove(*name));
    // hyper frames the body anew for the client.
    head.headers.remove(header::TRANSFER_ENCODING);
    head.version = Version::default();
    let is_compressed = match faults.gzip {
        Gzip::Nothing => false,
        Gzip::Bare => !is_guarded,
        Gzip::All => true,
    };
    let gzip = is_compressed.then(|| GzEncoder::new(Vec::new(), Compression::default()));
    if is_compressed {
        head.headers.insert("content-encoding", "gzip".parse().unwrap());
    }
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        pump(body, sender, faults, gzip).await;
        drop((place, turn));
    });
    let mut stream = ReceiverStream::new(receiver).boxed();
    if faults.holds_head || faults.buffer > 0 {
        let first = stream.next().await;
        stream = futures_util::stream::iter(first).chain(stream).boxed();
    }
    Ok(Response::from_parts(head, Body::from_stream(stream)))
}

async fn ask(
    mut request: Request,
    origin: SocketAddr,
    faults: Faults,
) -> Result<http::Response<Incoming>, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(origin).await?;
    stream.set_nodelay(true)?;
    faults.drops_request_headers.iter().for_each(|name| _ = request.headers_mut().remove(*name));
    *request.uri_mut() = request.uri().path_and_query().unwrap().as_str().parse()?;
    *request.version_mut() = match faults.speaks_http_1_0 {
        true => Version::HTTP_10,
        false => Version::HTTP_11,
    };
    if faults.drops_body {
        request.headers_mut().remove("content-length");
        *request.body_mut() = Body::empty();
    }
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

async fn answer_while_down(what: WhileDown) -> Response {
    let (status, body) = match what {
        WhileDown::BadGateway => (StatusCode::BAD_GATEWAY, "down"),
        WhileDown::Stream => (StatusCode::OK, ":\n"),
        WhileDown::Nothing => pending().await,
    };
    let response = Response::builder().status(status).header("content-type", "text/event-stream");
    response.body(Body::from(body)).unwrap()
}

type Sender = mpsc::Sender<Result<Bytes, Box<dyn Error + Send + Sync>>>;

/// Passes the body on until it ends, the server dies, the idle limit passes, or the client leaves
/// and `on_leaving` isn't `Never`.
async fn pump(
    mut body: Incoming,
    sender: Sender,
    faults: Faults,
    mut gzip: Option<GzEncoder<Vec<u8>>>,
) {
    let (mut held, mut newest) = (Vec::new(), Vec::new());
    loop {
        let frame = async {
            let frame = body.frame();
            match faults.idle_limit {
                Some(limit) => tokio::time::timeout(limit, frame).await.ok(),
                None => Some(frame.await),
            }
        };
        let frame = tokio::select! {
            frame = frame => frame,
            () = sender.closed(), if faults.on_leaving == OnLeaving::AtOnce => return,
        };
        let last = match frame {
            // The idle limit has passed.
            None => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            Some(None) => {
                held.append(&mut newest);
                held.extend(gzip.map(|it| it.finish().unwrap()).unwrap_or_default());
                Ok(held.into())
            }
            Some(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                let mut data = compress(gzip.as_mut(), &data, faults.gzip == Gzip::All);
                if faults.is_behind {
                    std::mem::swap(&mut data, &mut newest);
                }
                held.extend(data);
                if held.len() >= faults.buffer.max(1)
                    && sender.send(Ok(std::mem::take(&mut held).into())).await.is_err()
                    && faults.on_leaving != OnLeaving::Never
                {
                    return;
                }
                continue;
            }
            Some(Some(Err(error))) => return die(sender, faults.on_death, error).await,
        };
        _ = sender.send(last).await;
        return;
    }
}

fn compress(gzip: Option<&mut GzEncoder<Vec<u8>>>, data: &[u8], flushes: bool) -> Vec<u8> {
    let Some(gzip) = gzip else { return data.to_vec() };
    io::Write::write_all(gzip, data).unwrap();
    if flushes {
        io::Write::flush(gzip).unwrap();
        return std::mem::take(gzip.get_mut());
    }
    Vec::new()
}

async fn die(sender: Sender, how: OnDeath, error: hyper::Error) {
    match how {
        OnDeath::Cut => _ = sender.send(Err(error.into())).await,
        OnDeath::Reset(code) => _ = sender.send(Err(h2::Error::from(code).into())).await,
        OnDeath::Clean => {}
        OnDeath::Text => _ = sender.send(Ok("Error occurred while trying to proxy".into())).await,
        OnDeath::Open => sender.closed().await,
    }
}

impl Report {
    pub(crate) fn value(&self, name: &str) -> &Value {
        &self.json[name]
    }

    #[track_caller]
    pub(crate) fn expect_value(&self, name: &str, value: impl Into<Value>, verdict: &str) {
        assert_eq!(*self.value(name), value.into(), "{name}: {self}");
        self.expect_of_hop(name, verdict);
    }

    #[track_caller]
    pub(crate) fn expect_of_hop(&self, name: &str, verdict: &str) {
        assert_eq!(self.verdict(name), verdict, "{name}: {self}");
        assert_eq!(self.code, i32::from(!self.all("fail").is_empty()), "{self}");
    }
}
