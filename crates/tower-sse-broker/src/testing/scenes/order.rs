use std::collections::HashMap;

use tokio::try_join;
use tower_sse::{EventId, decode::Message};

use super::super::{Problem, World};
use crate::testing::hub_process::{HubProcess, Published, epoch, number, with_number};
use crate::testing::world::ensure;

/// If each process numbers or orders events separately, the orders can differ when several
/// processes publish at once.
pub(crate) async fn all_processes_see_one_order<W: World>(world: &W) -> Result<(), Problem> {
    let topics: Vec<_> = (0..300).map(|topic| format!("topic:{topic}")).collect();
    let (a, b, start) = HubProcess::pair(world).await?;
    let ids = publish_in_both([&a, &b], &topics).await?;
    let late = HubProcess::connect(world, "late").await?;
    for process in [a, b, late] {
        let mut client = process.client(&topics, start.clone());
        let mut last = 0;
        for _ in 0..ids.len() {
            let Message { data, last_event_id, .. } =
                client.message("an acknowledged event").await?;
            let receipt = ids.get(&data).map(EventId::as_str);
            ensure!(
                receipt == Some(&*last_event_id),
                "{data:?} has the id {last_event_id}, and its receipt {receipt:?}",
            );
            let number = number(&last_event_id)?;
            ensure!(number > last, "the numbers of successive events are {last} and {number}");
            last = number;
        }
    }
    Ok(())
}

/// A client can resume from the id in an event's receipt.
pub(crate) async fn receipts_are_ids<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair(world).await?;
    let ids = publish_in_both([&a, &b], &vec!["news".to_owned(); 25]).await?;
    let mut client = a.client(["news"], start);
    let mut order = Vec::new();
    for _ in 0..ids.len() {
        order.push(client.message("an acknowledged event").await?.data);
    }
    let mut rest = order.as_slice();
    while let Some((data, later)) = rest.split_first() {
        rest = later;
        let Some(id) = ids.get(data) else { continue };
        for process in [&a, &b] {
            process.client(["news"], id.clone()).reads(later).await?;
        }
    }
    Ok(())
}

/// A client can have the id of an event that its new process has not received yet.
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

/// Clients can send any id.
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

/// Events and ids of one log mean nothing in another log.
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

/// Publishes an event to each topic in both processes, all at the same time. Returns the events'
/// ids, keyed by their data.
async fn publish_in_both(
    [a, b]: [&HubProcess; 2],
    topics: &[String],
) -> Result<HashMap<String, EventId>, Problem> {
    let events = |name| {
        let event = move |(topic, index): (&String, _)| (topic.clone(), format!("{name} {index}"));
        topics.iter().zip(0..).map(event)
    };
    let (first, second) =
        try_join!(a.publish_at_once(events("a")), b.publish_at_once(events("b")))?;
    let id = |(data, result): (String, Published)| match result {
        Ok(receipt) => Ok((data, receipt.id())),
        Err(error) => Err(Problem::caused_by(data, &error)),
    };
    first.into_iter().chain(second).map(id).collect()
}
