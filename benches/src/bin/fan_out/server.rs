use axum::extract::{Query, State};
use axum::response::{IntoResponse, Sse, sse};
use axum::{Router, routing::get};
use futures_core::Stream;
use serde::Deserialize;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::{StreamExt, wrappers::BroadcastStream};
use tower_sse_benches::sockets::{listen::listen, process::end_with_parent};

use super::page::Texts;
use crate::*;

/// The capacity of axum's channel and of a topic of the hub.
const KEPT: usize = 4_096;

/// Serves one subject on one thread until standard input ends. `/events` streams events, `/publish`
/// publishes them, and `/lost` returns how many events a channel has dropped.
pub fn serve(subject: Subject) {
    let published = match subject {
        Subject::Hub | Subject::HubOnly => {
            // The same count as axum's channel, and enough bytes for it: neither loses an event.
            Published::Hub(
                Hub::builder().retention(Retention::new().events(KEPT).bytes(8 << 20)).build(),
            )
        }
        Subject::Axum | Subject::AxumKeepAlive => {
            Published::Channel { sender: broadcast::channel(KEPT).0, lost: Arc::default() }
        }
        Subject::BetterSse | Subject::SseStarlette => panic!("served by a program of its own"),
    };
    let events = match subject {
        Subject::AxumKeepAlive => {
            get(async |served| axum_events(served).await.keep_alive(sse::KeepAlive::default()))
        }
        Subject::Axum => get(axum_events),
        _ => get(hub_events),
    };
    let mut app = Router::new().route("/events", events);
    if subject == Subject::Hub {
        app = app.layer(SseLayer::new());
    }
    let app = app.route("/publish", get(publish)).route("/lost", get(lost));
    let (orders, mut ordered) = mpsc::channel(1);
    let app = app.with_state(Served { published: published.clone(), orders });
    end_with_parent();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = listen().await;
        let serving = tokio::spawn(async { axum::serve(listener, app).await });
        // Not a task: a task would get its turn after all others, so that no event would ever be
        // behind.
        while let Some((order, done)) = ordered.recv().await {
            publish_all(&published, order).await;
            _ = done.send(());
        }
        serving.await.expect("no panic").expect("connections");
    });
}

const TOPIC: &str = "news";

#[derive(Clone)]
struct Served {
    published: Published,
    orders: mpsc::Sender<(Order, oneshot::Sender<()>)>,
}

/// Where events are published to.
#[derive(Clone)]
enum Published {
    Hub(Hub),
    // A reference count is the cheapest item that a channel can carry.
    Channel { sender: broadcast::Sender<Arc<str>>, lost: Arc<AtomicU64> },
}

async fn hub_events(State(Served { published, .. }): State<Served>) -> impl IntoResponse {
    let Published::Hub(hub) = published else { unreachable!("not routed") };
    tower_sse::response(hub.subscribe([TOPIC]).resume(None))
}

async fn axum_events(
    State(Served { published, .. }): State<Served>,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let Published::Channel { sender, lost } = published else { unreachable!("not routed") };
    Sse::new(BroadcastStream::new(sender.subscribe()).filter_map(move |text| match text {
        Ok(text) => Some(Ok::<_, Infallible>(sse::Event::default().data(text))),
        Err(BroadcastStreamRecvError::Lagged(events)) => {
            lost.fetch_add(events, Ordering::Relaxed);
            None
        }
    }))
}

#[derive(Deserialize)]
struct Order {
    events: u64,
    burst: u64,
    gap_ms: u64,
}

async fn publish(State(served): State<Served>, Query(order): Query<Order>) -> &'static str {
    let (done, published) = oneshot::channel();
    _ = served.orders.send((order, done)).await;
    published.await.expect("a publisher that does not panic");
    "published"
}

async fn publish_all(published: &Published, Order { events, burst, gap_ms }: Order) {
    let texts = Texts::new();
    let mut ticks = (gap_ms > 0).then(|| interval(Duration::from_millis(gap_ms)));
    if let Some(ticks) = &mut ticks {
        // A late publisher must not catch up with a burst.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    for number in 1..=events {
        if let Some(ticks) = &mut ticks
            && (number - 1).is_multiple_of(burst)
        {
            ticks.tick().await;
        }
        match published {
            Published::Hub(hub) => {
                let event = Event::new().data(texts.now(number));
                _ = hub.publish(TOPIC, event).await.expect("an open hub");
            }
            Published::Channel { sender, .. } => {
                _ = sender.send(texts.now(number).into());
            }
        }
        if ticks.is_none() && number.is_multiple_of(burst) {
            yield_now().await;
        }
    }
}

async fn lost(State(Served { published, .. }): State<Served>) -> String {
    match published {
        Published::Hub(_) => "lost 0".to_owned(),
        Published::Channel { lost, .. } => format!("lost {}", lost.load(Ordering::Relaxed)),
    }
}
