use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tower_sse::{EventId, LastEventId, Retention, hub::Hub};

use super::super::{Problem, World};
use crate::testing::hub_client::{HubClient, is_gap};
use crate::testing::hub_process::{HubProcess, number, with_number};
use crate::testing::world::ensure;

/// A hub is not ready before it has all events that were acknowledged before it connected.
pub(crate) async fn a_late_process_loads_the_history<W: World>(world: &W) -> Result<(), Problem> {
    const TOPICS: [&str; 3] = ["news", "weather", "sport"];
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut expected: Vec<String> = Vec::new();
    let mut last = start.clone();
    for round in 0..5 {
        for (index, topic) in TOPICS.iter().cycle().take(20).enumerate() {
            let publisher = if index % 2 == 0 { &a } else { &b };
            let data = format!("{topic} {round} {index}");
            last = publisher.publish(topic, data.clone()).await?.id();
            expected.push(data);
        }
        let late = HubProcess::connect(world, "late").await?;
        late.is_loaded_up_to(&last)?;
        late.client(TOPICS, start.clone()).reads(&expected).await?;
        let recent: Vec<_> = expected.iter().skip(expected.len() - 10).collect();
        let first_visit = late.hub.subscribe(TOPICS).recent(10).resume(None);
        HubClient::new("late", first_visit).reads(recent).await?;
    }
    Ok(())
}

/// A client with an id from before the history receives a gap.
pub(crate) async fn history_is_as_old_as_asked<W: World>(world: &W) -> Result<(), Problem> {
    const AGE: Duration = Duration::from_millis(900);
    let short = || Hub::builder().retention(Retention::new().age(AGE));
    let (a, b, start) = HubProcess::pair(world).await?;
    let old = a.publish("news", "old").await?.id();
    let is_old = Instant::now() + AGE + Duration::from_millis(200);
    b.client(["news"], start.clone()).reads(["old"]).await?;
    // If a broker adds an entry to the log when `early` connects, the entry must not yet be too old
    // when `late` connects.
    sleep(AGE / 4 * 3).await;
    // `early` loads the event `old` and evicts it once it is too old.
    let early = HubProcess::connect_with(short(), world, "early").await?;
    sleep_until(is_old).await;
    let published = Instant::now();
    a.publish("news", "new").await?;
    // The event `new` has aged when `late` loads it.
    sleep(AGE / 4).await;
    let late = HubProcess::connect_with(short(), world, "late").await?;
    let mut from_old = late.client(["news"], old);
    let newest = a.publish("news", "newest").await?.id();
    let is_all_old = Instant::now() + AGE + Duration::from_millis(200);
    let read = from_old.reads(["new", "newest"]).await;
    // On a busy machine, the event `new` may already be too old.
    if published.elapsed() < AGE / 2 {
        read?;
    }
    for process in [early, late] {
        sends_nothing_old(process, &start, "newest", &newest).await?;
    }
    sleep_until(is_all_old).await;
    // By now, all events are too old to load.
    let empty = HubProcess::connect_with(short(), world, "empty").await?;
    let last = a.publish("news", "last").await?.id();
    sends_nothing_old(empty, &start, "last", &last).await
}

/// Asserts that a client with an id from before the history receives a gap, then the event `data`,
/// but not the event `old`.
async fn sends_nothing_old(
    process: HubProcess,
    start: &EventId,
    data: &str,
    newest: &EventId,
) -> Result<(), Problem> {
    process.reaches(newest).await?;
    let mut client = process.client(["news"], start.clone());
    client.reads_gap().await?;
    client.read_until(data).await?;
    ensure!(
        client.received.iter().all(|message| message.data != "old"),
        "an event was sent that is older than the hub keeps events",
    );
    Ok(())
}

/// A process that asks for less must not decide what the next one loads. It may trim the log.
pub(crate) async fn a_longer_history_follows_a_shorter_one<W: World>(
    world: &W,
) -> Result<(), Problem> {
    const AGE: Duration = Duration::from_millis(100);
    let short = Hub::builder().retention(Retention::new().age(AGE));
    let short = HubProcess::connect_with(short, world, "short").await?;
    let start = short.publish("news", "start").await?.id();
    short.publish("news", "old").await?;
    sleep(AGE * 2).await;
    let long = HubProcess::connect(world, "long").await?;
    let mut client = long.client(["news"], start);
    long.publish("news", "new").await?;
    let first = client.message("the old event or a gap").await?;
    ensure!(
        is_gap(&first) || first.data == "old",
        "a process has neither loaded an event that it asked for nor reported a loss",
    );
    client.read_until("new").await
}

/// For hubs that keep only each topic's newest event, `Feed::max_age` is `Duration::MAX`.
pub(crate) async fn history_of_any_age_is_loaded<W: World>(world: &W) -> Result<(), Problem> {
    let latest = || Hub::builder().retention(Retention::latest());
    let a = HubProcess::connect_with(latest(), world, "a").await?;
    for data in ["one", "two"] {
        a.publish("news", data).await?;
    }
    let late = HubProcess::connect_with(latest(), world, "late").await?;
    let mut client = late.client(["news"], None::<LastEventId>);
    client.reads(["two"]).await?;
    a.publish("news", "three").await?;
    client.reads(["three"]).await
}

/// Only processes that read the events before they were removed can send them.
pub(crate) async fn trimmed_events_are_told_to_a_new_process<W: World>(
    world: &W,
) -> Result<(), Problem> {
    const KEPT: usize = 5;
    let trim = world.trim(KEPT).ok_or_else(|| Problem::skipped("trim"))?;
    let (a, b, start) = HubProcess::pair(world).await?;
    let events: Vec<_> = (0..20).map(|event| event.to_string()).collect();
    let mut ids = vec![start.clone()];
    for data in &events {
        ids.push(a.publish("news", data.clone()).await?.id());
    }
    let mut connected = b.client(["news"], start.clone());
    connected.reads(&events).await?;
    trim.await;
    let new = HubProcess::connect(world, "new").await?;
    let (removed, kept) = ids.split_at(ids.len() - KEPT);
    let mut missed = Vec::new();
    if let Some((newest_removed, older)) = removed.split_last() {
        let just_before = number(newest_removed)?.saturating_sub(1);
        missed.extend(older.iter().cloned().map(LastEventId::from));
        missed.push(with_number(newest_removed, just_before)?);
    }
    let mut from_last = kept.last().map(|last| new.client(["news"], last.clone()));
    a.publish("news", "after").await?;
    for last in missed {
        let mut client = new.client(["news"], last);
        client.reads_gap().await?;
        client.read_until("after").await?;
        let kept = client.received.iter().filter(|message| !is_gap(message)).count();
        ensure!(kept <= KEPT + 1, "a new process has more than {KEPT} events of the trimmed log");
    }
    if let Some(from_last) = &mut from_last {
        from_last.reads(["after"]).await?;
    }
    connected.read_until("after").await
}
