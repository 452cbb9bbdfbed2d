//! What events cost Redis without this crate, on the same machine and at the same moment.

use futures_util::StreamExt;
use redis::{Client, aio::MultiplexedConnection};
use tokio::time::{MissedTickBehavior, interval_at};

use crate::{
    cost::{EVENTS_PER_SECOND, RUNS, SPAN, Used, used_while},
    server::Server,
    *,
};

/// The time between two events of one stream.
const GAP: Duration = Duration::from_millis(1_000 / EVENTS_PER_SECOND);

/// Measures `XADD` and `PUBLISH` for each event, by hand: to as many streams and as often as the
/// runs do, over one connection, with one subscriber.
pub(crate) async fn event_by_hand(redis: &Server) -> Used {
    let mut subscriber = Client::open(redis.url()).unwrap().get_async_pubsub().await.unwrap();
    for stream in 0..RUNS {
        subscriber.subscribe(name(stream)).await.unwrap();
    }
    let received = tokio::spawn(async move { subscriber.into_on_message().count().await });
    let connection = redis.try_connect().await.unwrap();
    let until = Instant::now() + SPAN;
    let published = used_while(redis, async {
        let published =
            join_all((0..RUNS).map(|stream| publish(stream, connection.clone(), until)));
        published.await.into_iter().sum()
    });
    let used = published.await;
    received.abort();
    used
}

fn name(stream: usize) -> String {
    // As long as the names of a run.
    format!("by-hand:run:{{ann:%2Fturn%2Fcost%2D{stream}}}:mk3abcdefghijkl")
}

/// Returns the number of events.
async fn publish(stream: usize, mut connection: MultiplexedConnection, until: Instant) -> u64 {
    // Sources are not in step with each other.
    let start = Instant::now() + GAP.mul_f64(stream as f64 / RUNS as f64);
    let mut ticks = interval_at(start, GAP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let name = name(stream);
    let mut published = 0;
    while ticks.tick().await < until {
        published += 1;
        let event = format!("id: mk3abcdefghijkl-{published}\ndata: {published}\n\n");
        let mut pipeline = redis::pipe();
        pipeline.cmd("XADD").arg(&name).arg(format!("{published}-0"));
        pipeline.arg("f").arg(published).arg("d").arg(&event);
        pipeline.cmd("PUBLISH").arg(&name).arg(&event);
        let _: (String, u64) = pipeline.query_async(&mut connection).await.unwrap();
    }
    published
}
