//! The situations that a client goes through. Each one has its own server.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;
use tower_sse::{Heartbeat, Retry, SseLayer};

use crate::origin::{BACK, Server, Stage, TOPIC};

/// What a client did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Whether the client sent a request.
    pub(crate) came: bool,
    /// Whether the client came back each time and received an event then. If its stream continues,
    /// whether it received every event (`large`) or the last one (`ended_topic`).
    pub(crate) back: bool,
    /// How many events the client missed without a gap, before others that it received.
    pub(crate) lost: usize,
    /// Whether the client kept sending requests, most of them within two seconds after the previous
    /// request.
    pub(crate) hammers: bool,
    /// How many requests the client sent in the last ten seconds, or in the last minute after a
    /// topic's end.
    pub(crate) asks: usize,
    /// The largest event that the client received, in bytes.
    pub(crate) largest: usize,
    /// How long after the last event, or after its request, the client left by itself, if it did.
    pub(crate) left: Option<Duration>,
    /// Whether the client handed out a part of an event as a whole event.
    pub(crate) half: bool,
    /// Whether the client reported an error.
    pub(crate) reported: bool,
}

/// Returns a layer whose `retry` brings clients back soon, if they obey it.
fn layer() -> SseLayer {
    SseLayer::new().retry(Retry::between(ms(200), ms(400)))
}

/// Returns a layer with the mean of the default `retry`, for situations in which the requests of
/// refused clients are counted.
fn unhurried() -> SseLayer {
    SseLayer::new().retry(Retry::fixed(ms(3_000)))
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// For how long requests are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Counts the numbers that are missing between `first` and the last number, unless a gap was
/// received in their place.
fn missing_since(first: usize, stage: &Stage) -> usize {
    let seen = stage.shared.lock();
    let (mut newest, mut missing, mut gap) = (first - 1, 0, false);
    for it in &seen.received {
        if it.event == "gap" {
            gap = true;
        } else if let Ok(number) = it.data.parse::<usize>()
            && number > newest
        {
            missing += if gap { 0 } else { number - newest - 1 };
            (newest, gap) = (number, false);
        }
    }
    missing
}

/// Counts the events that are missing after the first one that the client received.
fn lost(stage: &Stage) -> usize {
    let first = {
        let seen = stage.shared.lock();
        seen.received.iter().find_map(|it| it.data.parse().ok())
    };
    first.map_or(0, |first| missing_since(first, stage))
}

fn ended(stage: &Stage, back: bool) -> Facts {
    Facts { came: true, back, lost: lost(stage), ..Facts::default() }
}

/// Streams that end after a second, while events come all the time.
pub(crate) async fn max_age(stage: &Stage) -> Facts {
    let server = stage.serve(layer().max_age(ms(1_000)));
    if !stage.came().await {
        return Facts::default();
    }
    stage.shared.until(BACK, |seen| seen.opened > 0).await;
    let back = {
        let publish = async {
            loop {
                server.publish(1);
                sleep(ms(50)).await;
            }
        };
        tokio::select! {
            back = stage.returned(1, 3) => back,
            () = publish => unreachable!(),
        }
    };
    let back = back && stage.arrives(&server).await;
    ended(stage, back)
}

/// The first stream has no event but perhaps `start`. The first events come while the client is
/// away.
pub(crate) async fn first_visit(stage: &Stage) -> Facts {
    let server = stage.prepare(layer().max_age(ms(1_000)));
    server.while_away.store(5, Ordering::Relaxed);
    let server = stage.open(server);
    if !stage.came().await {
        return Facts::default();
    }
    let back = stage.returned(1, 1).await && stage.arrives(&server).await;
    Facts { lost: missing_since(1, stage), ..ended(stage, back) }
}

/// After the first event, streams end after nothing but heartbeats.
pub(crate) async fn quiet(stage: &Stage) -> Facts {
    let server = stage.serve(layer().heartbeat(ms(200)).max_age(ms(1_200)));
    if !stage.came().await {
        return Facts::default();
    }
    stage.arrives(&server).await;
    let before = stage.shared.lock().requests.len();
    let back = stage.returned(before, 2).await && stage.arrives(&server).await;
    ended(stage, back)
}

/// Heartbeats are events.
pub(crate) async fn heartbeat_events(stage: &Stage) -> Facts {
    let heartbeat = Heartbeat::every(ms(200)).event("heartbeat", "{}");
    let server = stage.serve(layer().heartbeat(heartbeat).max_age(ms(2_500)));
    if !stage.came().await {
        return Facts::default();
    }
    stage.arrives(&server).await;
    // Every second stream has only heartbeats. An event comes once that stream has ended.
    let mut back = true;
    for events in [1, 0, 1, 0] {
        let before = stage.shared.lock().requests.len();
        back = back && stage.returned(before, 1).await;
        server.while_away.store(events, Ordering::Relaxed);
    }
    let back = back && stage.arrives(&server).await;
    ended(stage, back)
}

enum Death {
    Stop,
    Kill,
}

async fn replaced(stage: &Stage, death: Death) -> Facts {
    let server = stage.serve(layer());
    if !stage.came().await {
        return Facts::default();
    }
    stage.arrives(&server).await;
    server.publish(2);
    let last = stage.shared.lock().last();
    stage.receives(last).await;
    let before = stage.shared.lock().requests.len();
    match death {
        Death::Stop => server.stop().await,
        Death::Kill => server.kill().await,
    }
    // Meanwhile, a client that does not wait for the `retry` of the shutdown finds no server.
    sleep(ms(1_500)).await;
    let next = stage.prepare(layer());
    next.publish(3);
    let next = stage.open(next);
    let back = stage.returned(before, 1).await && stage.arrives(&next).await;
    ended(stage, back)
}

/// A graceful shutdown, and a new process whose hub has other ids.
pub(crate) async fn restart(stage: &Stage) -> Facts {
    replaced(stage, Death::Stop).await
}

/// A killed process, and a new one whose hub has other ids.
pub(crate) async fn kill(stage: &Stage) -> Facts {
    replaced(stage, Death::Kill).await
}

/// Counts the requests of a refused client for long enough to see whether the client continues.
async fn refused(stage: &Stage, facts: &mut Facts) {
    sleep(2 * WINDOW).await;
    let seen = stage.shared.lock();
    (facts.asks, facts.hammers) = (seen.requests_within(WINDOW), seen.is_hammered());
}

/// The layer is at its limit of streams when the client wants to come back.
pub(crate) async fn limit(stage: &Stage) -> Facts {
    let server = stage.serve(unhurried().max_streams(1).max_age(ms(1_000)));
    if !stage.came().await {
        return Facts::default();
    }
    stage.arrives(&server).await;
    let occupant = loop {
        if let Some(body) = server.occupy().await {
            break body;
        }
        sleep(ms(1)).await;
    };
    let before = stage.shared.lock().requests.len();
    let mut facts = Facts { came: true, ..Facts::default() };
    if stage.returned(before, 1).await {
        refused(stage, &mut facts).await;
        server.publish(3);
        drop(occupant);
        facts.back = stage.arrives(&server).await;
    }
    Facts { lost: lost(stage), ..facts }
}

/// The layer is at its limit of streams at the first visit.
pub(crate) async fn full(stage: &Stage) -> Facts {
    let server = stage.prepare(unhurried().max_streams(1));
    let occupant = server.occupy().await.expect("the only place");
    let server = stage.open(server);
    let mut facts = Facts { came: stage.came().await, ..Facts::default() };
    if facts.came {
        refused(stage, &mut facts).await;
        let before = stage.shared.lock().opened;
        drop(occupant);
        let opened = stage.shared.until(BACK, |seen| seen.opened > before || seen.over.is_some());
        facts.back = opened.await && stage.arrives(&server).await;
    }
    facts
}

/// The server is shutting down at the first visit.
pub(crate) async fn shutdown(stage: &Stage) -> Facts {
    let server = stage.prepare(unhurried());
    server.shutdown.cancel();
    let server = stage.open(server);
    let mut facts = Facts { came: stage.came().await, ..Facts::default() };
    if facts.came {
        refused(stage, &mut facts).await;
        let next = stage.prepare(layer());
        server.forward_to(&next);
        facts.back = stage.arrives(&next).await;
    }
    facts
}

/// The topic ends, and the client has received everything.
pub(crate) async fn ended_topic(stage: &Stage) -> Facts {
    let server = stage.serve(SseLayer::new());
    if !stage.came().await {
        return Facts::default();
    }
    stage.arrives(&server).await;
    let last = stage.shared.lock().last() + 1;
    server.publisher.hub.end(TOPIC, last.to_string()).await.expect("a topic that goes on");
    let back = stage.receives(last).await;
    // The first requests do not count: a client may have to learn that there is nothing more.
    sleep(3 * WINDOW).await;
    // The client may also wait longer and longer between requests.
    sleep(6 * WINDOW).await;
    let seen = stage.shared.lock();
    let (asks, hammers) = (seen.requests_within(6 * WINDOW), seen.is_hammered());
    Facts { came: true, back, asks, hammers, ..Facts::default() }
}

/// The sizes of events that are tried, in bytes.
const SIZES: [usize; 5] = [8_000, 60_000, 100_000, 250_000, 1_000_000];

pub(crate) async fn large(stage: &Stage) -> Facts {
    let server = stage.serve(layer());
    if !stage.came().await {
        return Facts::default();
    }
    stage.arrives(&server).await;
    let mut facts = Facts { came: true, back: true, ..Facts::default() };
    for size in SIZES {
        server.publisher.hub.publish_now(TOPIC, "x".repeat(size)).expect("a topic that goes on");
        let arrived = |seen: &crate::driver::Seen| {
            seen.received.iter().any(|it| it.size >= size) || seen.over.is_some()
        };
        stage.shared.until(Duration::from_secs(30), arrived).await;
        if !stage.shared.lock().received.iter().any(|it| it.size >= size) {
            facts.back = false;
            refused(stage, &mut facts).await;
            break;
        }
        facts.largest = size;
    }
    facts
}

/// Waits until the client leaves, but no longer than `patience`. `Facts::left` is the time since the
/// last event if the stream is silent, otherwise since the first request.
async fn leaves(stage: &Stage, server: &Server, is_silent: bool, patience: Duration) -> Facts {
    if !stage.came().await {
        return Facts::default();
    }
    let first = stage.shared.lock().requests[0];
    stage.arrives(server).await;
    stage.shared.until(patience, |seen| !seen.closed.is_empty()).await;
    let published = stage.shared.lock().published.map_or(first, |(_, at)| at);
    let since = if is_silent { published } else { first };
    let closed = stage.shared.lock().closed.first().copied();
    Facts { came: true, left: closed.map(|at| at.duration_since(since)), ..Facts::default() }
}

pub(crate) async fn silence(stage: &Stage, patience: Duration) -> Facts {
    let server = stage.serve(layer().without_heartbeat());
    leaves(stage, &server, true, patience).await
}

pub(crate) async fn heartbeats(stage: &Stage, patience: Duration) -> Facts {
    let server = stage.serve(layer().heartbeat(ms(1_000)));
    leaves(stage, &server, false, patience).await
}
