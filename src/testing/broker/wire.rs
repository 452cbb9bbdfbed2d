use std::{future::poll_fn, pin::Pin};

use futures_core::Stream;

use super::{Problem, wait::soon};
use crate::{
    connection::LastEventId,
    event::Event,
    hub::{Hub, Subscription},
};

/// Returns what a subscription sends of each of its next events, without ids. Clients ignore
/// comments, so only the lines show them.
pub(super) async fn lines_of(
    mut subscription: Subscription,
    events: usize,
) -> Result<Vec<String>, Problem> {
    let mut received: Vec<String> = Vec::new();
    while received.len() < events {
        let next = poll_fn(|cx| Pin::new(&mut subscription).poll_next(cx));
        let what = format!("event {} of {events}", received.len() + 1);
        let Some(item) = soon(what, next).await? else { break };
        let text = String::from_utf8_lossy(item.as_bytes());
        received.extend(text.split_inclusive("\n\n").map(without_id));
    }
    Ok(received)
}

/// Returns the lines of events in a hub without a broker, which are what a broker has to keep.
pub(super) async fn lines_without_broker(
    topic: &str,
    events: &[Event],
) -> Result<Vec<String>, Problem> {
    let hub = Hub::new();
    let start: Option<LastEventId> = hub.position().into();
    for event in events {
        let published = hub.publish_now(topic, event.clone());
        published.map_err(|error| Problem::caused_by("publishing without a broker", &error))?;
    }
    lines_of(hub.subscribe_to(topic).resume(start), events.len()).await
}

fn without_id(event: &str) -> String {
    event.split_inclusive('\n').filter(|line| !line.starts_with("id:")).collect()
}
