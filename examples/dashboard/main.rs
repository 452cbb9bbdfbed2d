//! cargo run --example dashboard --all-features
//!
//! Then open http://127.0.0.1:3000. Another port is the first argument, or the variable `PORT`.
//!
//! Live charts of this host from one event stream. The button on the page cuts the stream; the browser
//! comes back with the id of the last event that it has seen, and the stream goes on after it.

mod sampler;

use std::{collections::VecDeque, env, io, time::Duration};

use async_stream::stream;
use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::{Html, IntoResponse},
    routing::{get, post},
    serve::ListenerExt,
};
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    sync::{broadcast, watch},
    task, time,
};
use tower_sse::{Encoded, Event, Json, LastEventId, Retry, SseLayer};

use self::sampler::Sampler;

/// So many samples are kept for clients that come back: five minutes, at one per second.
const KEPT: usize = 300;

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = env::args().nth(1).or_else(|| env::var("PORT").ok());
    let port = port.map_or(Ok(3000), |port| port.parse()).map_err(io::Error::other)?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // Events are small packets: Nagle's algorithm would hold each back for the client's ACK.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    axum::serve(listener, app(Duration::from_secs(1))).await
}

/// The dashboard, with a sample at every `interval`.
pub(crate) fn app(interval: Duration) -> Router {
    routes(interval).layer(SseLayer::new().retry(Retry::fixed(Duration::from_secs(1))))
}

/// The dashboard without the layer.
pub(crate) fn routes(interval: Duration) -> Router {
    let (kept, history) = watch::channel(History::default());
    let (cuts, _) = broadcast::channel(16);
    tokio::spawn(sample(interval, kept));
    Router::new()
        .route("/", get(Html(include_str!("page.html"))))
        .route("/events", get(events))
        .route("/cut", post(cut))
        .with_state(Dashboard { history, cuts })
}

#[derive(Clone)]
struct Dashboard {
    history: watch::Receiver<History>,
    cuts: broadcast::Sender<Cut>,
}

/// A page's own name, so that its button cuts no other page's stream.
#[derive(Deserialize)]
struct Visit {
    #[serde(default)]
    page: String,
}

async fn events(
    State(mut dashboard): State<Dashboard>,
    Query(Visit { page }): Query<Visit>,
    last: Option<LastEventId>,
) -> impl IntoResponse {
    let mut cuts = dashboard.cuts.subscribe();
    // An id that is no number is none of ours, and taken for a first visit, which begins with all
    // that is kept.
    let mut seen = last
        .and_then(|last| last.parse().ok())
        .unwrap_or_else(|| dashboard.history.borrow().before_oldest());
    tower_sse::response(stream! {
        loop {
            let unseen = tokio::select! {
                unseen = next(&mut dashboard.history, &mut seen) => unseen,
                away = cut_of(&mut cuts, &page) => {
                    // How long the browser is to stay away, this one time.
                    yield Event::new().retry(away).into();
                    None
                }
            };
            let Some(unseen) = unseen else { break };
            for event in unseen {
                yield event;
            }
        }
    })
}

/// What comes after the sample `seen`, as soon as there is something. To catch up and to follow live is
/// the same, so nothing can be lost or doubled in between.
async fn next(history: &mut watch::Receiver<History>, seen: &mut u64) -> Option<Vec<Encoded>> {
    let history = history.wait_for(|history| history.newest != *seen).await.ok()?;
    let unseen = history.after(*seen);
    *seen = history.newest;
    Some(unseen)
}

/// The samples that are kept, by consecutive ids.
#[derive(Default)]
struct History {
    newest: u64,
    samples: VecDeque<Encoded>,
}

impl History {
    fn push(&mut self, sample: Encoded) {
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.newest += 1;
    }

    fn before_oldest(&self) -> u64 {
        self.newest - self.samples.len() as u64
    }

    /// What a client that has `seen` must get. If that was too long ago, or in an earlier life of this
    /// server, it is told so.
    fn after(&self, seen: u64) -> Vec<Encoded> {
        let before_oldest = self.before_oldest();
        let (gap, known) = if (before_oldest..=self.newest).contains(&seen) {
            (None, (seen - before_oldest) as usize)
        } else {
            let next = before_oldest + 1;
            let gap = format!(r#"{{"after":{seen},"next":{next}}}"#);
            (Some(Event::new().event("gap").data(gap).into()), 0)
        };
        gap.into_iter().chain(self.samples.range(known..).cloned()).collect()
    }
}

/// Takes a sample at every `interval`, until nobody can ask for it any more.
async fn sample(interval: Duration, history: watch::Sender<History>) {
    let mut sampler = task::spawn_blocking(Sampler::new).await.unwrap();
    let mut ticks = time::interval(interval);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    // A rate needs some time to have passed.
    ticks.tick().await;
    while !history.is_closed() {
        ticks.tick().await;
        let taken = task::spawn_blocking(move || (sampler.sample(), sampler));
        let sample;
        (sample, sampler) = taken.await.unwrap();
        history.send_modify(|history| {
            let event = Json::new(sample).event("sample").id(history.newest + 1);
            // Encoded once, however many are looking.
            history.push(Encoded::try_new(event).unwrap());
        });
    }
}

/// Ends the streams of `page`, and keeps its browser `away` for so many seconds.
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
