//! cargo run --package tower-sse-dashboard
//!
//! Then open http://127.0.0.1:3000. Set `PORT` to use another port.
//!
//! Live charts of this host from one event stream. A button on the page cuts the stream. The
//! browser reconnects with its last event id, and the stream resumes after that event. Two more
//! buttons shut down a server with 200 simulated clients, and show how they reconnect.

mod clients;
mod drill;
mod generation;
mod sampler;
mod streams;

use std::{env, io, process, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse},
    routing::{get, post},
    serve::ListenerExt,
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tokio::time;
use tokio::{net::TcpListener, sync::broadcast, task};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tower_sse::hub::Hub;
use tower_sse::{Event, LastEventId, Retention, SseLayer, page, stats::Stats};

use self::{
    drill::{Drills, Kind},
    sampler::Sampler,
};

const SAMPLES: &str = "samples";
const DRILLS: &str = "drills";
/// The number of samples kept for clients that reconnect: five minutes, at one per second.
const KEPT: usize = 300;

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}", listener.local_addr()?);
    // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one before.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone());
    let server = axum::serve(listener, app(Duration::from_secs(1), layer))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

/// Returns the dashboard, with a sample at every `interval`.
pub(crate) fn app(interval: Duration, layer: SseLayer) -> Router {
    let stats = Stats::new();
    let layer = layer.for_pages().retry(Duration::from_secs(1)).stats(&stats);
    dashboard(interval, stats).layer(layer)
}

/// Returns the dashboard without the layer, for a test in `e2e/` that shows what the layer does.
#[cfg(test)]
#[allow(dead_code)]
pub(crate) fn routes(interval: Duration) -> Router {
    dashboard(interval, Stats::new())
}

fn dashboard(interval: Duration, stats: Stats) -> Router {
    let hub = hub();
    let (cuts, _) = broadcast::channel(16);
    let drills = Drills::new(&stats, &hub);
    let sampling = tokio::spawn(sample(interval, stats, hub.clone()));
    Router::new()
        .route("/", get(Html(include_str!("page.html"))))
        .route("/tower-sse.js", get(async |headers: HeaderMap| page::module(&headers)))
        .route("/events", get(events))
        .route("/cut", post(cut))
        .route("/drill", post(drill))
        .with_state(Dashboard {
            hub,
            cuts,
            drills,
            _sampling: Arc::new(AbortOnDropHandle::new(sampling)),
        })
}

fn hub() -> Hub {
    // The number of samples is the limit, not their age.
    let samples = Retention::new().events(KEPT).age(Duration::MAX);
    // Each event has the state of both drills, so only the newest is needed, however old it is.
    let drills = Retention::latest();
    Hub::builder()
        .retention_of(move |topic| Some(if topic == DRILLS { drills } else { samples }))
        .build()
}

#[derive(Clone)]
struct Dashboard {
    hub: Hub,
    cuts: broadcast::Sender<Cut>,
    drills: Drills,
    /// Aborts the sampling when the last handler is dropped.
    _sampling: Arc<AbortOnDropHandle<()>>,
}

/// A page's own name: its button doesn't cut another page's stream.
#[derive(Deserialize)]
struct Visit {
    #[serde(default)]
    page: String,
}

async fn events(
    State(dashboard): State<Dashboard>,
    Query(Visit { page }): Query<Visit>,
    last: Option<LastEventId>,
) -> impl IntoResponse {
    let cuts = dashboard.cuts.subscribe();
    // A first visit begins with all samples, and with the newest drill event.
    let events = dashboard.hub.subscribe([SAMPLES, DRILLS]).recent(KEPT).resume(last);
    tower_sse::response(stream::unfold(Some((events, cuts, page)), |source| async {
        let (mut events, mut cuts, page) = source?;
        tokio::select! {
            event = events.next() => Some((event?, Some((events, cuts, page)))),
            // Delay only the next reconnection: each stream starts with the layer's `retry`.
            away = cut_of(&mut cuts, &page) => Some((Event::new().retry(away).into(), None)),
        }
    }))
}

/// Publishes a sample at every `interval`.
async fn sample(interval: Duration, stats: Stats, hub: Hub) {
    let mut sampler = task::spawn_blocking(|| Sampler::new(stats)).await.unwrap();
    let mut ticks = time::interval(interval);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    // A rate needs two measurements some time apart.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let taken = task::spawn_blocking(move || (sampler.sample(), sampler));
        let sample;
        (sample, sampler) = taken.await.unwrap();
        // Encoded once for all subscribers.
        let event = Event::new().event("sample").json_data(&sample).unwrap();
        _ = hub.publish(SAMPLES, event).await.unwrap();
    }
}

/// Ends the streams of `page`, and keeps its browser `away` for this many seconds.
#[derive(Clone, Deserialize)]
struct Cut {
    #[serde(default)]
    page: String,
    #[serde(default = "one_second")]
    away: u8,
}

fn one_second() -> u8 {
    1
}

async fn cut(State(dashboard): State<Dashboard>, Query(cut): Query<Cut>) -> StatusCode {
    // There may be no stream to cut.
    _ = dashboard.cuts.send(cut);
    StatusCode::NO_CONTENT
}

async fn cut_of(cuts: &mut broadcast::Receiver<Cut>, page: &str) -> Duration {
    loop {
        match cuts.recv().await {
            Ok(cut) if cut.page == page => return Duration::from_secs(cut.away.into()),
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[derive(Deserialize)]
struct Drill {
    #[serde(default)]
    spread: bool,
}

async fn drill(State(dashboard): State<Dashboard>, Query(drill): Query<Drill>) -> StatusCode {
    let kind = if drill.spread { Kind::Spread } else { Kind::Storm };
    match dashboard.drills.start(kind) {
        true => StatusCode::ACCEPTED,
        false => StatusCode::CONFLICT,
    }
}
