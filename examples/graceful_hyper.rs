//! cargo run --example graceful_hyper --all-features
//!
//! curl -N http://127.0.0.1:3000/
//! curl -sN http://127.0.0.1:3000/ --http2-prior-knowledge
//! curl -sN http://127.0.0.1:3000/flood | sleep 1000
//!
//! Then press ctrl-c, or send it a SIGTERM. The first two are told when to come back and their streams
//! end between two events. The third does not read, so nothing can be told to it: only the deadline
//! ends it, three seconds later. All have their close report.
//!
//! Another port is the variable `PORT`.

use std::{convert::Infallible, env, future::Future, io, process, time::Duration};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use http::Request;
use hyper::{body::Incoming, rt::Executor};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{interval, sleep, timeout},
};
use tokio_stream::wrappers::IntervalStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, ServiceBuilder};
use tower_sse::{BoxError, Encoded, Event, SseLayer, Stats, is_cancellation};

/// In earnest, longer than the layer takes: `Drain::by_request` gives calls 30 seconds, and 5 more to
/// what is amid an event then. Longer than your orchestrator's own patience it has no effect.
const DEADLINE: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}", listener.local_addr()?);
    let (shutdown, stats) = (CancellationToken::new(), Stats::new());
    tokio::spawn(cancel_when_told(shutdown.clone()));
    let layer = SseLayer::new()
        // The same token tells the layer and the server.
        .shutdown(shutdown.clone())
        .farewell(Event::new().event("restart").data("back in a moment"))
        .stats(&stats)
        .on_close(|closed| println!("{} after {:?}", closed.reason(), closed.age()));
    let service = ServiceBuilder::new().layer(layer).service_fn(events);
    serve(listener, service, shutdown, DEADLINE).await;
    let stats = stats.snapshot();
    println!("{} opened, {} closed", stats.opened(), stats.closed());
    Ok(())
}

/// Serves until `shutdown` is cancelled, and then until every stream has ended, but no longer than to
/// the deadline: to a client that does not read nothing can be sent, not even the end, and hyper mostly
/// does not poll the body, so no layer can end its connection.
///
/// When it returns no task of it is left, and every stream has its close report.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    shutdown: CancellationToken,
    deadline: Duration,
) where
    S: Service<Request<Incoming>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (graceful, cut) = (GracefulShutdown::new(), CancellationToken::new());
    let tasks = Tasks(TaskTracker::new());
    let mut server = auto::Builder::new(tasks.clone());
    // With a timer hyper gives up on clients that never finish the head of their request.
    server.http1().timer(TokioTimer::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let stream = match accepted.and_then(|(stream, _)| set_options(&stream).map(|()| stream)) {
            Ok(stream) => stream,
            // A client that is gone already, or no free file descriptor: neither is our end.
            Err(error) => {
                eprintln!("accept: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(service.clone());
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let (connection, cut) = (graceful.watch(connection), cut.clone());
        tasks.0.spawn(async move {
            tokio::select! {
                served = connection => match served {
                    Err(error) if !is_told(&error) => eprintln!("connection: {error}"),
                    _ => {}
                },
                // Dropped with its connection, a stream is closed.
                () = cut.cancelled() => {}
            }
        });
    }
    // Clients that come now find nobody here, and may go to another server.
    drop(listener);
    if timeout(deadline, graceful.shutdown()).await.is_err() {
        eprintln!("the deadline of the shutdown has passed");
        cut.cancel();
    }
    tasks.0.close();
    tasks.0.wait().await;
}

/// The client left, or the body of its stream failed: both are in the stream's close report.
fn is_told(error: &BoxError) -> bool {
    is_cancellation(&**error) || error.downcast_ref().is_some_and(hyper::Error::is_user)
}

/// hyper has a task for every HTTP/2 stream too, which ends a moment after its connection: so they are
/// all counted.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    // Events are small packets: Nagle's algorithm would hold each back for the client's ACK.
    stream.set_nodelay(true)?;
    // How long a peer may leave unacknowledged what was written, or unread what the socket cannot take
    // any more. By default Linux waits a quarter of an hour for the first, for ever for the second.
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(Duration::from_secs(30)))?;
    Ok(())
}

pub(crate) async fn cancel_when_told(shutdown: CancellationToken) {
    #[cfg(unix)]
    let told = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => _ = terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let told = std::future::pending();
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        () = told => {}
    }
    println!("shutting down");
    shutdown.cancel();
}

async fn events<B>(request: Request<B>) -> Result<BoxStream<'static, Encoded>, Infallible> {
    Ok(if request.uri().path() == "/flood" {
        stream::repeat(Event::from("flood ".repeat(10_000)).into()).boxed()
    } else {
        let ticks = IntervalStream::new(interval(Duration::from_secs(1))).enumerate();
        ticks.map(|(n, _)| Event::new().id(n).data("tick").into()).boxed()
    })
}
