use super::super::{Problem, World};
use crate::connection::LastEventId;
use crate::testing::broker::hub_process::{HubProcess, epoch, number, with_number};
use crate::testing::broker::world::ensure;

/// Ids that are only valid in one process cost a client a gap at each move.
pub(crate) async fn a_client_moves_between_processes<W: World>(world: &W) -> Result<(), Problem> {
    const TOPICS: [&str; 4] = ["news", "weather", "sport", "arts"];
    let (a, b, start) = HubProcess::pair(world).await?;
    let c = HubProcess::connect(world, "c").await?;
    let processes = [&a, &b, &c];
    let mut publishers = processes.iter().cycle().zip(TOPICS.iter().cycle());
    let mut last = LastEventId::from(start);
    let mut due: Vec<String> = Vec::new();
    for (round, process) in processes.iter().cycle().take(40).enumerate() {
        for (index, (publisher, topic)) in publishers.by_ref().take(round % 4).enumerate() {
            let data = format!("{round} {index}");
            publisher.publish(topic, data.clone()).await?;
            due.push(data);
        }
        // Some rounds leave a part to the next process.
        let some = if round % 3 == 0 { due.len() / 2 } else { due.len() };
        let mut client = process.client(TOPICS, last.clone());
        client.reads(due.drain(..some)).await?;
        last = client.last_event_id().unwrap_or(last);
    }
    a.publish("news", "last").await?;
    due.push("last".to_owned());
    b.client(TOPICS, last).reads(due).await
}

/// A client can have an id that its new process has not received yet.
pub(crate) async fn clients_ahead_wait<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, _) = HubProcess::pair(world).await?;
    for round in 0..25 {
        for (ahead, behind) in [(&a, &b), (&b, &a)] {
            let seen = ahead.publish("news", format!("seen {round}")).await?.id();
            let mut client = behind.client(["news"], seen);
            let next = format!("next {round}");
            ahead.publish("news", next.clone()).await?;
            client.reads([next]).await?;
        }
    }
    Ok(())
}

/// Clients choose their ids.
pub(crate) async fn forged_ids_are_told<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair(world).await?;
    let newest = number(a.publish("news", "one").await?.id())?;
    b.client(["news"], start.clone()).reads(["one"]).await?;
    for process in [&a, &b] {
        for forged in [u64::MAX, u64::MAX - 1, newest.saturating_add(1 << 62)] {
            let mut client = process.client(["news"], with_number(&start, forged)?);
            client.reads_gap().await?;
            let data = format!("after {forged}");
            a.publish("news", data.clone()).await?;
            client.read_until(&data).await?;
        }
    }
    Ok(())
}

/// Events and ids of one log mean nothing in another one.
pub(crate) async fn worlds_do_not_see_each_other<W: World>(
    world: &W,
    other: &W,
) -> Result<(), Problem> {
    let (a, b, here) = HubProcess::pair(world).await?;
    let (_c, d, there) = HubProcess::pair(other).await?;
    ensure!(
        epoch(&here) != epoch(&there),
        "ids of two logs begin with {:?}: their brokers have the same name",
        epoch(&here),
    );
    let mut clients = [b.client(["news"], here.clone()), d.client(["news"], there.clone())];
    for round in 0..5 {
        for (process, log) in [(&a, "one"), (&d, "other")] {
            process.publish("news", format!("{log} {round}")).await?;
        }
    }
    for (client, log) in clients.iter_mut().zip(["one", "other"]) {
        client.reads((0..5).map(|round| format!("{log} {round}"))).await?;
    }
    a.client(["news"], there).reads_gap().await?;
    d.client(["news"], here).reads_gap().await
}
