use std::time::Duration;

use tokio::join;
use tokio::time::{Instant, sleep};
use tower_sse::Retention;
use tower_sse::hub::{Hub, PublishError};

use super::super::{Problem, World};
use crate::testing::hub_client::PATIENCE;
use crate::testing::{hub_process::HubProcess, world::ensure};

/// A topic's end is part of its last event, in the history too.
pub(crate) async fn ends_are_the_same_everywhere<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut clients = [a.client(["job"], start.clone()), b.client(["job"], start.clone())];
    let mut of_two = b.client(["job", "news"], start.clone());
    a.publish("job", "50%").await?;
    let end = b.end("job", "done").await?.id();
    for client in &mut clients {
        client.reads(["50%", "done"]).await?;
        client.ends().await?;
    }
    let late = HubProcess::connect(world, "late").await?;
    for (name, process) in [("a", &a), ("b", &b), ("late", &late)] {
        let mut client = process.client(["job"], start.clone());
        client.reads(["50%", "done"]).await?;
        client.ends().await?;
        let has_ended = process.hub.subscribe_to("job").resume(end.clone()).has_ended();
        ensure!(
            has_ended,
            "process {name}: the topic has not ended for a client that has all of it"
        );
        let published = process.try_publish("job", "too late").await?;
        ensure!(
            matches!(published, Err(PublishError::Ended)),
            "process {name}: publishing to an ended topic returned {published:?}",
        );
    }
    late.publish("news", "other").await?;
    of_two.reads(["50%", "done", "other"]).await
}

/// All processes must decide by one clock when an ended topic's name can be used again. Otherwise,
/// one process would drop an event that another publishes under this name.
pub(crate) async fn ended_names_become_free<W: World>(world: &W) -> Result<(), Problem> {
    const AGE: Duration = Duration::from_millis(500);
    // The hub's maximum age decides when the name can be used again. `retention_of` keeps the
    // events themselves for longer.
    let builder = || {
        Hub::builder().retention(Retention::new().age(AGE)).retention_of(|_| Some(Retention::new()))
    };
    let a = HubProcess::connect_with(builder(), world, "a").await?;
    let b = HubProcess::connect_with(builder(), world, "b").await?;
    let end = a.end("job", "done").await?.id();
    b.reaches(&end).await?;
    let ended = Instant::now();
    let anew = loop {
        match b.try_publish("job", "anew").await? {
            Ok(receipt) => break receipt.id(),
            Err(PublishError::Ended) if ended.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(Problem::caused_by("the name of an ended topic", &error)),
        }
    };
    for process in [&a, &b] {
        process.reaches(&anew).await?;
        process.client(["job"], end.clone()).reads(["anew"]).await?;
    }
    // A broker can store a name's end in a place that already has the first one.
    b.end("job", "done again").await?;
    for process in [&a, &b] {
        let mut client = process.client(["job"], anew.clone());
        client.reads(["done again"]).await?;
        client.ends().await?;
    }
    Ok(())
}

/// If a break swallowed the end, the client's stream would never end.
pub(crate) async fn an_end_is_read_after_a_break<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair(world).await?;
    for round in 0..5 {
        let cut = world.cut().ok_or_else(|| Problem::skipped("cut"))?;
        let job = format!("job {round}");
        let clients = [&a, &b].map(|process| process.client([&job], start.clone()));
        let (ended, ()) = join!(a.end_repeatedly(&job, "done"), cut);
        ended?;
        for mut client in clients {
            client.reads(["done"]).await?;
            client.ends().await?;
        }
        let published = a.try_publish(&job, "too late").await?;
        ensure!(
            matches!(published, Err(PublishError::Ended)),
            "publishing to an ended topic returned {published:?}",
        );
    }
    Ok(())
}
