//! cargo run --example graceful_axum --all-features
//!
//! curl -N http://127.0.0.1:3000/events
//! curl -sN http://127.0.0.1:3000/flood | sleep 1000
//!
//! Then press ctrl-c, or send it a SIGTERM. The first client is told when to reconnect and its stream
//! ends between two events. The second does not read, so nothing can be sent to it: only the deadline
//! ends its stream, three seconds later. Both have their close report, `drained` and `disconnected`.
//!
//! Another port is the variable `PORT`.

use std::{env, io, process, time::Duration};

use axum::{Router, response::IntoResponse, routing::get, serve::ListenerExt};
use futures_util::{StreamExt, stream};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::{self, interval},
};
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;
use tower_sse::{Encoded, Event, SseLayer, Stats};

/// In production this is longer than what the layer grants: `Drain::per_client` gives calls 30 seconds,
/// and 5 more to one that is mid-event then. It is shorter than your orchestrator's own.
const DEADLINE: Duration = Duration::from_secs(3);

fn main() -> io::Result<()> {
    let (runtime, stats) = (Runtime::new()?, Stats::new());
    let served = runtime.block_on(async {
        let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
        let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
            eprintln!("cannot listen on {address}: {error}");
            process::exit(1);
        });
        println!("listening on http://{}", listener.local_addr()?);
        let shutdown = CancellationToken::new();
        tokio::spawn(cancel_when_told(shutdown.clone()));
        let layer = SseLayer::new()
            // The same token tells the layer and the server.
            .shutdown(shutdown.clone())
            .farewell(Event::new().event("restart").data("back in a moment"))
            .stats(&stats)
            .on_close(|closed| println!("{} after {:?}", closed.reason(), closed.age()));
        serve(listener, routes().layer(layer), shutdown, DEADLINE).await
    });
    // What has not ended by now is cut.
    let cut = stats.snapshot().open();
    // Nobody joins the tasks that axum spawns for its connections. They are dropped here, and with
    // them the streams that the deadline cut: only now are their close reports made. The end of
    // `#[tokio::main]` does the same; `process::exit` would not. A blocking task that never returns
    // must not keep the process, hence the time.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let stats = stats.snapshot();
    println!("{} opened, {} closed, {cut} of them cut", stats.opened(), stats.closed());
    served
}

/// Serves until `shutdown` is cancelled, then until every stream has ended, at most until the deadline.
/// No layer can end the stream of a client that does not read, as hyper does not poll its body.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: CancellationToken,
    deadline: Duration,
) -> io::Result<()> {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = set_options(stream) {
            eprintln!("socket options: {error}");
        }
    });
    let server =
        axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let too_late = async {
        shutdown.cancelled().await;
        time::sleep(deadline).await;
    };
    tokio::select! {
        served = server => served,
        () = too_late => {
            eprintln!("the deadline of the shutdown has passed");
            Ok(())
        }
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

fn routes() -> Router {
    Router::new().route("/events", get(events)).route("/flood", get(flood))
}

async fn events() -> impl IntoResponse {
    let ticks = IntervalStream::new(interval(Duration::from_secs(1)));
    tower_sse::response(ticks.enumerate().map(|(n, _)| Event::new().id(n).data("tick")))
}

async fn flood() -> impl IntoResponse {
    // More than the buffers of both sockets take: a client that does not read it stalls.
    let event = Encoded::from(Event::from("flood ".repeat(6 << 20)));
    tower_sse::response(stream::repeat(event))
}
