//! cargo run --package tower-sse-tonic --bin graceful_tonic
//!
//! curl -N http://127.0.0.1:3000/events
//! curl -sN http://127.0.0.1:3000/flood | sleep 1000
//!
//! Then press ctrl-c, or send a SIGTERM. The first client receives the event `restart` and a
//! reconnection time, and its stream ends between two events. The second does not read, so nothing
//! can be sent to it: only the deadline ends its stream, three seconds later. Their close reports
//! say `drained` and `disconnected`.
//!
//! The layer ends only event streams. The shutdown also waits for streaming gRPC calls: end them in
//! their services with the same token, or the deadline will cut them.
//!
//! Set `PORT` to use another port.

use std::{env, error::Error, io, process, time::Duration};

use axum::{Router, response::IntoResponse, routing::get};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::{self, interval},
};
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::{
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};
use tonic_web::GrpcWebLayer;
use tower_sse::{Event, SseLayer, event::Encoded, stats::Stats};

/// In production use more than the layer grants: `Drain::per_client` gives calls 30 seconds, and 5
/// more to a stream that is mid-event then. Use less than your orchestrator's own deadline.
const DEADLINE: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn Error>> {
    let (runtime, stats) = (Runtime::new()?, Stats::new());
    let served = runtime.block_on(async {
        let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
        let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
            eprintln!("cannot listen on {address}: {error}");
            process::exit(1);
        });
        println!("listening on http://{}", listener.local_addr()?);
        let shutdown = CancellationToken::new();
        tokio::spawn(tower_sse::stop_on_signal(shutdown.clone(), Duration::ZERO));
        let layer = SseLayer::new()
            // The layer and the server share the token.
            .shutdown(shutdown.clone())
            .farewell(Event::new().event("restart").data("back in a moment"))
            .stats(&stats)
            .on_close(|closed| println!("{} after {:?}", closed.reason, closed.age));
        Ok(serve(listener, routes(), layer, shutdown, DEADLINE).await?)
    });
    // Streams that are still open are cut.
    let cut = stats.snapshot().open;
    // tonic does not join the tasks of its connections. The runtime drops these tasks here, and
    // with them the streams that the deadline cut: the drop makes these streams' close reports. The
    // end of `#[tokio::main]` drops the tasks too; `process::exit` would not. The timeout is for a
    // blocking task that never returns.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let stats = stats.snapshot();
    println!("{} opened, {} closed, {cut} of them cut", stats.opened, stats.closed);
    served
}

/// Serves until `shutdown` is cancelled, then until every stream has ended, at most until the
/// deadline. No layer can end the stream of a client that does not read, as hyper does not poll its
/// body.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Routes,
    layer: SseLayer,
    shutdown: CancellationToken,
    deadline: Duration,
) -> Result<(), tonic::transport::Error> {
    let incoming = TcpIncoming::from(listener).inspect_ok(|stream| {
        if let Err(error) = set_options(stream) {
            eprintln!("socket options: {error}");
        }
    });
    let server = Server::builder()
        .accept_http1(true)
        .layer(layer)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
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
    // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one before.
    stream.set_nodelay(true)?;
    // How long a peer may leave written data unacknowledged, or a full socket unread. Linux's
    // defaults are a quarter of an hour for the first, and no limit for the second.
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(Duration::from_secs(30)))?;
    Ok(())
}

fn routes() -> Routes {
    let health = HealthService::from_health_reporter(HealthReporter::new());
    let calls = Routes::new(HealthServer::new(health));
    let streams = Router::new().route("/events", get(events)).route("/flood", get(flood));
    // Only calls go through `GrpcWebLayer`: it answers 400 to any other HTTP/1 request.
    Routes::from(calls.into_axum_router().layer(GrpcWebLayer::new()).merge(streams))
}

async fn events() -> impl IntoResponse {
    let ticks = IntervalStream::new(interval(Duration::from_secs(1)));
    tower_sse::response(ticks.enumerate().map(|(n, _)| Event::new().id(n).data("tick")))
}

async fn flood() -> impl IntoResponse {
    // More than the buffers of both sockets: it stalls a client that does not read.
    let event = Encoded::from(Event::from("flood ".repeat(6 << 20)));
    tower_sse::response(stream::repeat(event))
}
