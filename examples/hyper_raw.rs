//! cargo run --example hyper_raw --all-features
//!
//! curl -N http://127.0.0.1:3000/ticks
//! curl -N http://127.0.0.1:3000/ticks --http2-prior-knowledge --header 'Last-Event-ID: 7'
//! curl -N http://127.0.0.1:3000/countdown
//!
//! hyper without a framework, HTTP/1 and HTTP/2 on one port. The two event routes and the `404`
//! have different bodies, so each is boxed. The first stream is a clock whose ids are its ticks: a
//! client that reconnects gets the ticks that it missed at once. The second stream ends.
//!
//! Set `PORT` to use another port. A program of your own needs:
//!
//! cargo add bytes futures-util http http-body-util hyper tower-sse
//! cargo add tower --features util && cargo add tokio --features full
//! cargo add hyper-util --features http1,http2,server-auto,service,tokio

use std::{
    convert::Infallible, env, error::Error, io, iter, process, sync::LazyLock, time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_sse::{BoxError, Event, LastEventId, SseLayer};

const PERIOD: Duration = Duration::from_millis(250);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let server = serve(listener, SseLayer::new().shutdown(shutdown.clone()));
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(1));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

pub(crate) async fn serve(listener: TcpListener, layer: SseLayer) -> io::Result<()> {
    let service = ServiceBuilder::new().layer(layer).service_fn(answer);
    let mut server = auto::Builder::new(TokioExecutor::new());
    // With a timer, hyper closes HTTP/1 connections whose client never completes a request head.
    server.http1().timer(TokioTimer::new());
    loop {
        // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one
        // before.
        let accepted = listener.accept().await.and_then(|(stream, _)| {
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        let stream = match accepted {
            Ok(stream) => stream,
            // The client has disconnected, or no file descriptor is free: the server continues.
            Err(error) => {
                eprintln!("accept: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (server, service) = (server.clone(), TowerToHyperService::new(service.clone()));
        tokio::spawn(async move {
            // hyper's timer begins with the first bytes.
            let first = timeout(Duration::from_secs(10), stream.peek(&mut [0])).await;
            let Ok(Ok(_)) = first else { return };
            let connection = server.serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await
                && !is_usual(&*error)
            {
                eprintln!("connection: {error}");
            }
        });
    }
}

/// Returns whether the client disconnected or the body of its stream failed. Neither is an error of
/// the server's connections.
fn is_usual(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    let first: &(dyn Error + 'static) = error;
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

/// A body of any type.
type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

async fn answer<B>(request: Request<B>) -> Result<Response<BoxBody>, Infallible> {
    Ok(match request.uri().path() {
        "/ticks" => {
            // The layer has put the id there.
            let last = request.extensions().get::<LastEventId>();
            tower_sse::response(ticks(last)).map(BodyExt::boxed_unsync)
        }
        "/countdown" => tower_sse::response(countdown()).map(BodyExt::boxed_unsync),
        _ => {
            let body = Full::from("no such route\n").map_err(BoxError::from);
            let mut response = Response::new(body.boxed_unsync());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}

/// Returns the ticks after the last event id.
fn ticks(last: Option<&LastEventId>) -> impl Stream<Item = Event> + Send + use<> {
    let now = START.elapsed().as_millis() / PERIOD.as_millis();
    let now = u32::try_from(now).unwrap_or(u32::MAX);
    let first = last
        .and_then(|last| last.parse::<u32>().ok())
        // An id in the future is from before a restart, so the client starts over.
        .filter(|last| *last <= now)
        .map_or(now, |last| last.saturating_add(1));
    stream::unfold(first, |tick| async move {
        sleep_until(*START + PERIOD * tick).await;
        let event = Event::new().event("tick").id(tick).data(format!("{:?}", PERIOD * tick));
        Some((event, tick.saturating_add(1)))
    })
}

fn countdown() -> impl Stream<Item = Event> + Send {
    stream::iter(["3", "2", "1"].map(Event::from))
}
