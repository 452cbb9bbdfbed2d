//! ulimit -n 20000; cargo run --release --example many_clients --all-features
//!
//! curl -N http://127.0.0.1:3000/
//! curl http://127.0.0.1:3000/ --data 'hello'
//!
//! Tens of thousands of clients in one process, each with as little memory and processor time as
//! hyper allows. All share a hub. For each core, a runtime with one thread accepts connections and
//! serves them itself, so a stream never moves to another thread. There's only HTTP/1: a proxy can
//! speak HTTP/2 with the clients, and hyper keeps 4 KiB for a connection whose protocol it has to
//! detect.
//!
//! Each connection takes a file descriptor, so raise the limit first. At a SIGTERM or ctrl-c, each
//! client receives a reconnection time, and its stream ends between two events.
//!
//! Set `PORT` to use another port.

use std::net::{self, Ipv4Addr, SocketAddr};
use std::{convert::Infallible, env, io, pin::pin, process, thread, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::{server::graceful::GracefulShutdown, service::TowerToHyperService};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio::{runtime, task::yield_now};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder};
use tower_sse::{BoxError, LastEventId, SseLayer, hub::Hub, stats::Stats};

/// The connections that may wait for `accept`, unless `net.core.somaxconn` is lower. tokio's
/// `TcpListener::bind` sets 128 since mio 1.2: too few when all clients of a process reconnect
/// after a deployment.
const BACKLOG: i32 = 16_384;

/// The maximum number of streams. Telling further clients to reconnect later costs less than
/// running out of file descriptors.
const MAX_STREAMS: usize = 100_000;

/// The time that the shutdown gives streams to end. In production, use more than
/// [`Drain`](tower_sse::Drain) grants.
const DEADLINE: Duration = Duration::from_secs(3);

const TOPIC: &str = "news";

pub(crate) fn main() -> io::Result<()> {
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let listeners = listeners((Ipv4Addr::LOCALHOST, port).into()).unwrap_or_else(|error| {
        eprintln!("cannot listen on port {port}: {error}");
        process::exit(1);
    });
    let (shutdown, stats) = (CancellationToken::new(), Stats::new());
    let main_thread = one_thread()?;
    let signalled = main_thread.spawn(tower_sse::stop_on_signal(shutdown.clone(), Duration::ZERO));
    // Polls the task once, so that a later signal doesn't end the process at once.
    main_thread.block_on(yield_now());
    println!("listening on http://{}", listeners[0].local_addr()?);
    let layer = SseLayer::new()
        // The layer and the server share the token.
        .shutdown(shutdown.clone())
        .max_streams(MAX_STREAMS)
        .stats(&stats);
    let hub = Hub::new();
    let service = ServiceBuilder::new().layer(layer).service_fn(move |request| {
        let hub = hub.clone();
        async move { Ok::<_, Infallible>(answer(&hub, request).await) }
    });
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let (service, shutdown) = (service.clone(), shutdown.clone());
            thread::spawn(move || {
                one_thread()?.block_on(async move {
                    // Created here, because a listener belongs to its runtime.
                    let listener = TcpListener::from_std(listener)?;
                    serve(listener, async |stream| Ok(stream), service, shutdown, DEADLINE).await;
                    Ok::<_, io::Error>(())
                })
            })
        })
        .collect();
    main_thread.block_on(signalled).map_err(io::Error::other)??;
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a thread has panicked"))??;
    }
    let stats = stats.snapshot();
    println!("{} opened, {} closed", stats.opened, stats.closed);
    Ok(())
}

fn one_thread() -> io::Result<runtime::Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

/// Returns a listener for each core. Linux hands each new connection to one of them.
pub(crate) fn listeners(address: SocketAddr) -> io::Result<Vec<net::TcpListener>> {
    // Elsewhere, one listener would get all connections.
    let cores = if cfg!(target_os = "linux") { thread::available_parallelism()?.get() } else { 1 };
    let first = listen(address)?;
    // With port 0, the first listener has chosen the port.
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..cores {
        listeners.push(listen(address)?);
    }
    Ok(listeners)
}

/// Listens beside other sockets on the same address, even those of other processes.
pub(crate) fn listen(address: SocketAddr) -> io::Result<net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    {
        // Lets a new process listen while connections of the old one linger.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until `shutdown` is cancelled, and then until every stream has ended, at most for
/// `deadline`. Streams that are still open close when the runtime is dropped.
///
/// `accept` turns a socket into a connection, for example by a TLS handshake. It should end in time
/// even if the client sends nothing.
pub(crate) async fn serve<S, B, A, F, I>(
    listener: TcpListener,
    accept: A,
    service: S,
    shutdown: CancellationToken,
    deadline: Duration,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    A: Fn(TcpStream) -> F,
    F: Future<Output = io::Result<I>> + Send + 'static,
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connections = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    // With a timer, hyper closes connections whose client never completes a request head.
    server.timer(TokioTimer::new());
    let mut cancelled = pin!(shutdown.cancelled());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut cancelled => break,
        };
        let stream = match accepted.and_then(|(stream, _)| set_options(&stream).map(|()| stream)) {
            Ok(stream) => accept(stream),
            // The client has disconnected, or no file descriptor is free: the server continues.
            Err(error) => {
                eprintln!("accept: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (server, service) = (server.clone(), TowerToHyperService::new(service.clone()));
        let watcher = connections.watcher();
        tokio::spawn(async move {
            let Ok(stream) = stream.await else { return };
            // An error means that a client has left, as the layer's close reports show.
            _ = watcher.watch(server.serve_connection(TokioIo::new(stream), service)).await;
        });
    }
    // Clients that connect now find no listener here, and may reach another process.
    drop(listener);
    if timeout(deadline, connections.shutdown()).await.is_err() {
        eprintln!("the deadline of the shutdown has passed");
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one before.
    stream.set_nodelay(true)?;
    // How long a client that has vanished still holds its descriptor after the next write. Linux's
    // default is a quarter of an hour.
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(Duration::from_secs(30)))?;
    Ok(())
}

/// A body of any type.
type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// Answers a `GET` with the hub's events and publishes the body of a `POST`.
pub(crate) async fn answer(hub: &Hub, request: Request<Incoming>) -> Response<BoxBody> {
    let status = match *request.method() {
        Method::GET => {
            // The layer has put the id there.
            let last = request.extensions().get::<LastEventId>().cloned();
            let events = hub.subscribe_to(TOPIC).resume(last);
            return tower_sse::response(events).map(BodyExt::boxed_unsync);
        }
        Method::POST => match Limited::new(request.into_body(), 64 * 1024).collect().await {
            Ok(text) => match str::from_utf8(&text.to_bytes()) {
                Ok(text) if hub.publish(TOPIC, text.to_owned()).await.is_ok() => {
                    StatusCode::NO_CONTENT
                }
                Ok(_) => StatusCode::SERVICE_UNAVAILABLE,
                Err(_) => StatusCode::BAD_REQUEST,
            },
            Err(_) => StatusCode::BAD_REQUEST,
        },
        _ => StatusCode::METHOD_NOT_ALLOWED,
    };
    let mut response = Response::new(Full::default().map_err(BoxError::from).boxed_unsync());
    *response.status_mut() = status;
    response
}
