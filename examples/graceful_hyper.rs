//! cargo run --example graceful_hyper --all-features
//!
//! curl -N http://127.0.0.1:3000/
//! curl -sN http://127.0.0.1:3000/ --http2-prior-knowledge
//! curl -sN http://127.0.0.1:3000/flood | sleep 1000
//!
//! Then press ctrl-c, or send a SIGTERM. The first two clients receive a reconnection time, and
//! their streams end between two events. The third doesn't read, so nothing can be sent to it: only
//! the deadline ends its stream, three seconds later. The close reports say `drained` for the first
//! two, and `disconnected` for the third.
//!
//! An HTTP/2 client that never opens its window would keep its streams open forever. hyper doesn't
//! poll their bodies, so `max_age` can't end them. `TCP_USER_TIMEOUT` can't either, because nothing
//! is unacknowledged. So this server limits the age of connections: see [`Limits`].
//!
//! A client that has sent only half a request line, or HTTP/2's preface, would hold the shutdown
//! until the deadline. So this server gives connections without a request one second.
//!
//! Set `PORT` to use another port.

use std::{
    convert::Infallible,
    env,
    error::Error,
    future::{self, Future},
    io, iter,
    pin::pin,
    process,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use http::Request;
use hyper::{body::Incoming, rt::Executor};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulConnection},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{interval, sleep, timeout},
};
use tokio_stream::wrappers::IntervalStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_sse::{BoxError, Event, MaxAge, SseLayer, event::Encoded, stats::Stats};

/// The limits of connections that do not end by themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The time that the shutdown gives streams to end.
    pub(crate) deadline: Duration,
    /// The age from which a connection takes no new requests.
    pub(crate) age: Duration,
    /// The further time after which the connection is cut, with the streams that are still open.
    pub(crate) grace: Duration,
}

const HOUR: Duration = Duration::from_secs(3600);

/// In production, use a deadline longer than the layer grants, and shorter than your orchestrator's
/// own. `Drain::per_client` gives calls 30 seconds, and 5 more to a stream that is mid-event then.
pub(crate) const LIMITS: Limits = Limits {
    deadline: Duration::from_secs(3),
    age: HOUR,
    // Longer than the layer's `max_age` with its jitter and its 30 seconds for calls, so that only
    // streams whose client does not read are cut.
    grace: Duration::from_secs(2 * 3600),
};

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}", listener.local_addr()?);
    let (shutdown, stats) = (CancellationToken::new(), Stats::new());
    tokio::spawn(tower_sse::stop_on_signal(shutdown.clone(), Duration::ZERO));
    let layer = SseLayer::new()
        // The layer and the server share the token.
        .shutdown(shutdown.clone())
        .max_age(MaxAge::new(HOUR).jitter(0.1))
        .farewell(Event::new().event("restart").data("back in a moment"))
        .stats(&stats)
        .on_close(|closed| println!("{} after {:?}", closed.reason, closed.age));
    let service = ServiceBuilder::new().layer(layer).service_fn(events);
    let cut = serve(listener, service, shutdown, LIMITS).await;
    let stats = stats.snapshot();
    println!("{} opened, {} closed, connections cut: {cut}", stats.opened, stats.closed);
    Ok(())
}

/// Serves until `shutdown` is cancelled, then until every stream has ended or the deadline has
/// passed. No layer can end the stream of a client that doesn't read, because hyper doesn't poll
/// its body.
///
/// Returns how many connections were cut at the deadline. By then, all tasks of the server have
/// ended, and every stream has its close report.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    shutdown: CancellationToken,
    limits: Limits,
) -> usize
where
    S: Service<Request<Incoming>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
    let tasks = Tasks(TaskTracker::new());
    let mut server = auto::Builder::new(tasks.clone());
    // With a timer, hyper closes HTTP/1 connections whose client never completes a request head.
    // Connections whose client sends nothing end at their maximum age.
    server.http1().timer(TokioTimer::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let stream = match accepted.and_then(|(stream, _)| set_options(&stream).map(|()| stream)) {
            Ok(stream) => stream,
            // The client has disconnected, or no file descriptor is free: the server continues.
            Err(error) => {
                eprintln!("accept: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let has_request = Arc::new(AtomicBool::new(false));
        let service = service.clone().map_request({
            let has_request = Arc::clone(&has_request);
            move |request| {
                has_request.store(true, Relaxed);
                request
            }
        });
        let service = TowerToHyperService::new(service);
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection =
            end_in_time(connection, limits, shutdown.clone(), cut.clone(), has_request);
        tasks.0.spawn(connections.track_future(connection));
    }
    // Clients that connect now find no listener here, and may reach another server.
    drop(listener);
    connections.close();
    let mut late = 0;
    if timeout(limits.deadline, connections.wait()).await.is_err() {
        eprintln!("the deadline of the shutdown has passed");
        late = connections.len();
        cut.cancel();
    }
    tasks.0.close();
    tasks.0.wait().await;
    late
}

/// Drives a connection. Ends it gracefully at the shutdown or at its maximum age, and cuts it if
/// its streams have not ended by the deadline or within the grace period. Cuts it after a second if
/// it has had no request by then.
async fn end_in_time<C>(
    connection: C,
    limits: Limits,
    shutdown: CancellationToken,
    cut: CancellationToken,
    has_request: Arc<AtomicBool>,
) where
    C: GracefulConnection<Error = BoxError>,
{
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => Some(served),
        () = shutdown.cancelled() => None,
        () = sleep(limits.age) => None,
    };
    let served = match served {
        Some(served) => served,
        None => {
            // Over HTTP/1, hyper reads no further request. Over HTTP/2, it sends a GOAWAY and still
            // serves requests that are under way. It would wait for the rest of half a handshake or
            // half a request too.
            connection.as_mut().graceful_shutdown();
            let no_request = async {
                sleep(Duration::from_secs(1)).await;
                if has_request.load(Relaxed) {
                    future::pending::<()>().await;
                }
            };
            tokio::select! {
                served = connection => served,
                () = cut.cancelled() => Ok(()),
                () = no_request => Ok(()),
                () = sleep(limits.grace) => {
                    eprintln!("cutting a connection at its maximum age");
                    Ok(())
                }
            }
        }
    };
    // A stream closes when it is dropped with its connection.
    match served {
        Err(error) if !is_reported(&error) => eprintln!("connection: {error}"),
        _ => {}
    }
}

/// Returns whether the client disconnected or the body of its stream failed. The stream's close
/// report already shows these errors.
fn is_reported(error: &BoxError) -> bool {
    let first: &(dyn Error + 'static) = &**error;
    iter::successors(Some(first), |&error| error.source()).any(|error| {
        let hyper = error.downcast_ref::<hyper::Error>();
        if hyper.is_some_and(|it| it.is_user() || it.is_canceled() || it.is_incomplete_message()) {
            return true;
        }
        error.downcast_ref::<io::Error>().is_some_and(|error| {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut};
            matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut)
        })
    })
}

/// An executor that counts its tasks. hyper spawns a task for every HTTP/2 stream too, which ends
/// shortly after its connection.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one before.
    stream.set_nodelay(true)?;
    // How long a peer may leave written data unacknowledged, or a full socket unread. Linux's
    // defaults are a quarter of an hour for the first, and no limit for the second.
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(Duration::from_secs(30)))?;
    Ok(())
}

async fn events<B>(request: Request<B>) -> Result<BoxStream<'static, Encoded>, Infallible> {
    Ok(if request.uri().path() == "/flood" {
        // More than both sockets buffer: it stalls a client that doesn't read.
        stream::repeat(Event::from("flood ".repeat(6 << 20)).into()).boxed()
    } else {
        let ticks = IntervalStream::new(interval(Duration::from_secs(1))).enumerate();
        ticks.map(|(n, _)| Event::new().id(n).data("tick").into()).boxed()
    })
}
