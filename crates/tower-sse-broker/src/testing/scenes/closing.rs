use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio::{join, runtime::Handle, try_join};
use tower_sse::hub::{Hub, PublishError};

use super::super::{Problem, World};
use crate::tasks::lock;
use crate::testing::hub_client::{PATIENCE, poll_and_drop};
use crate::testing::hub_process::{HubProcess, are_true};
use crate::testing::world::ensure;

pub(crate) async fn closing_one_hub_leaves_the_others<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut of_closed = a.client(["news"], start.clone());
    let mut of_open = b.client(["news"], start.clone());
    b.publish("news", "before").await?;
    of_closed.reads(["before"]).await?;
    a.hub.close();
    of_closed.ends().await?;
    let published = a.try_publish("news", "closed").await?;
    ensure!(
        matches!(published, Err(PublishError::Closed)),
        "publishing through a closed hub returned {published:?}",
    );
    b.publish("news", "after").await?;
    of_open.reads(["before", "after"]).await?;
    let new = HubProcess::connect(world, "new").await?;
    new.publish("news", "new").await?;
    of_open.reads(["new"]).await?;
    new.client(["news"], start).reads(["before", "after", "new"]).await
}

/// A hub's drop also drops the publisher, here while the broker feeds the hub and may hold locks.
pub(crate) async fn a_hub_is_dropped_while_it_is_fed<W: World>(world: &W) -> Result<(), Problem> {
    const HUBS: usize = 5;
    let (a, b, start) = HubProcess::pair(world).await?;
    let before = tasks();
    for index in 0..HUBS {
        let owner = Arc::new(Mutex::new(None));
        let dropped = Arc::clone(&owner);
        let topic = format!("topic {index}");
        let last_topic = topic.clone();
        // Called when the hub is fed the first event of a topic.
        let builder = Hub::builder().retention_of(move |topic| {
            let hub = lock(&dropped).take_if(|_| topic == last_topic);
            drop(hub);
            None
        });
        let hub = HubProcess::connect_with(builder, world, "dropped").await?.hub;
        *lock(&owner) = Some(hub);
        let events = (0..10).map(|event| (topic.clone(), event.to_string()));
        for (data, result) in a.publish_at_once(events).await? {
            result.map_err(|error| Problem::caused_by(data, &error))?;
        }
        let deadline = Instant::now() + PATIENCE;
        while lock(&owner).is_some() {
            ensure!(Instant::now() < deadline, "a hub was not fed");
            sleep(Duration::from_millis(5)).await;
        }
        for process in [&a, &b] {
            let mut client = process.client([&topic], start.clone());
            for _ in 0..10 {
                client.message("an event of each publish").await?;
            }
        }
    }
    end_of_tasks(before, HUBS).await?;
    b.publish("news", "after").await?;
    a.client(["news"], start).reads(["after"]).await
}

/// A program can stop waiting for a broker at any time. If tasks were left, a program that makes a
/// hub for each test or tenant would fill its memory.
pub(crate) async fn a_dropped_connect_leaves_nothing<W: World>(world: &W) -> Result<(), Problem> {
    const HUBS: usize = 20;
    let (a, b, start) = HubProcess::pair(world).await?;
    for index in 0..20 {
        a.publish("news", index.to_string()).await?;
    }
    let before = tasks();
    let mut processes = Vec::new();
    for polls in 0..HUBS {
        drop(poll_and_drop(Hub::connect(world.broker()), polls).await);
        processes.push(HubProcess::connect(world, "dropped").await?);
    }
    // No event wakes the tasks of the dropped hubs now, so they must end by themselves.
    processes.drain(..).step_by(2).for_each(|process| process.hub.close());
    end_of_tasks(before, HUBS).await?;
    b.publish("news", "after").await?;
    let late = HubProcess::connect(world, "late").await?;
    for process in [a, b, late] {
        let events = (0..20).map(|index| index.to_string()).chain(["after".to_owned()]);
        process.client(["news"], start.clone()).reads(events).await?;
    }
    Ok(())
}

/// When a client disconnects, the server drops the handler's future, with any publish in it. The
/// publish may be writing the events of several publishers.
pub(crate) async fn a_dropped_publish_leaves_the_others<W: World>(
    world: &W,
) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut client = b.client(["news"], start);
    let mut dropped = Vec::new();
    for round in 0..24 {
        let polls = round % 6;
        let data = format!("{round} after {polls} polls");
        let first = a.hub.publish("news", data.clone());
        let other = |index| {
            let (data, a) = (format!("{round} {index}"), &a);
            async move { Ok((data.clone(), a.try_publish("news", data).await?)) }
        };
        let (first, others) = join!(poll_and_drop(first, polls), async {
            try_join!(other(1), other(2), other(3), other(4), other(5))
        });
        let mut results = Vec::from(<[_; 5]>::from(others?));
        match first {
            Some(result) => results.push((data, result)),
            None => dropped.push((polls, data)),
        }
        let last = format!("{round} last");
        a.publish("news", last.clone()).await?;
        client.read_until(&last).await?;
        are_true(results, &client)?;
    }
    for (polls, dropped) in dropped {
        let count = client.received.iter().filter(|message| message.data == dropped).count();
        ensure!(count <= usize::from(polls > 0), "{dropped:?} was published {count} times");
    }
    Ok(())
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Waits until fewer new tasks are left than hubs were dropped. A broker's hubs may share tasks.
async fn end_of_tasks(before: usize, hubs: usize) -> Result<(), Problem> {
    let deadline = Instant::now() + PATIENCE;
    while tasks() >= before + hubs {
        let left = tasks() - before;
        ensure!(Instant::now() < deadline, "{left} tasks are left of {hubs} dropped hubs");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
