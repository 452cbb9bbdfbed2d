use std::collections::HashMap;

use tokio::try_join;
use tower_sse::{EventId, LastEventId, Retention, decode::Message, hub::Hub};

use super::super::{Problem, World};
use crate::testing::hub_process::{HubProcess, Published, epoch, number, with_number};
use crate::testing::world::ensure;

/// If each process numbers or orders events separately, the orders can differ when all publish.
pub(crate) async fn all_processes_see_one_order<W: World>(world: &W) -> Result<(), Problem> {
    const EACH: usize = 100;
    let (a, b, start) = HubProcess::pair(world).await?;
    let (first, second) =
        try_join!(a.publish_at_once(events("a", EACH)), b.publish_at_once(events("b", EACH)))?;
    for (data, result) in first.into_iter().chain(second) {
        result.map_err(|error| Problem::caused_by(data, &error))?;
    }
    let (late, later) =
        (HubProcess::connect(world, "late").await?, HubProcess::connect(world, "later").await?);
    let mut orders: Vec<Vec<(String, String)>> = Vec::new();
    for process in [a, b, late, later] {
        let mut client = process.client(["news"], start.clone());
        let mut order = Vec::new();
        for _ in 0..2 * EACH {
            let Message { data, last_event_id, .. } = client.message("an event").await?;
            order.push((data, last_event_id.to_string()));
        }
        if let Some(first) = orders.first() {
            let differs = first.iter().zip(&order).position(|(one, other)| one != other);
            ensure!(differs.is_none(), "event {differs:?} differs between processes");
        }
        rises(order.iter().map(|(_, id)| id.as_str()))?;
        orders.push(order);
    }
    Ok(())
}

/// A broker that collects events in batches must not let one batch overtake another.
pub(crate) async fn a_publisher_keeps_its_order<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut ids = vec![start.to_string()];
    let mut expected = Vec::new();
    for index in 0..100 {
        // The processes take turns, seven events at a time.
        let publisher = if index / 7 % 2 == 0 { &a } else { &b };
        let data = index.to_string();
        ids.push(publisher.publish("news", data.clone()).await?.id().to_string());
        expected.push(data);
    }
    rises(ids.iter().map(String::as_str))?;
    let late = HubProcess::connect(world, "late").await?;
    for process in [a, b, late] {
        process.client(["news"], start.clone()).reads(&expected).await?;
    }
    Ok(())
}

pub(crate) async fn many_publish_at_once<W: World>(world: &W) -> Result<(), Problem> {
    const EACH: usize = 1000;
    let ample = || Hub::builder().retention(Retention::new().events(4 * EACH));
    let (a, b, start) = HubProcess::pair_with(ample, world).await?;
    let (first, second) =
        try_join!(a.publish_at_once(events("a", EACH)), b.publish_at_once(events("b", EACH)))?;
    let acknowledged = receipts(first.into_iter().chain(second))?;
    for process in [a, b] {
        let mut client = process.client(["news"], start.clone());
        let mut missing = acknowledged.clone();
        while !missing.is_empty() {
            let message = client.message("an acknowledged event").await?;
            let id = missing.remove(&message.data);
            is_same(&message, id.as_deref())?;
        }
    }
    Ok(())
}

/// A client can resume from the id in an event's receipt.
pub(crate) async fn receipts_are_ids<W: World>(world: &W) -> Result<(), Problem> {
    const EACH: usize = 25;
    let (a, b, start) = HubProcess::pair(world).await?;
    let (first, second) =
        try_join!(a.publish_at_once(events("a", EACH)), b.publish_at_once(events("b", EACH)))?;
    let results: Vec<_> = first.into_iter().chain(second).collect();
    let by_data: HashMap<_, _> = results
        .iter()
        .filter_map(|(data, result)| Some((data, result.as_ref().ok()?.id())))
        .collect();
    let mut client = a.client(["news"], start);
    let mut order = Vec::new();
    for _ in 0..2 * EACH {
        let message = client.message("an acknowledged event").await?;
        let id = by_data.get(&message.data).map(EventId::as_str);
        is_same(&message, id)?;
        order.push(message.data);
    }
    let mut rest = order.as_slice();
    while let Some((data, later)) = rest.split_first() {
        rest = later;
        let Some(id) = by_data.get(data) else { continue };
        for process in [&a, &b] {
            process.client(["news"], id.clone()).reads(later).await?;
        }
    }
    Ok(())
}

/// If ids are valid in one process only, a client gets a gap at each move.
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
        // In some rounds, the client moves to the next process before it has read all events.
        let some = if round % 3 == 0 { due.len() / 2 } else { due.len() };
        let mut client = process.client(TOPICS, last.clone());
        client.reads(due.drain(..some)).await?;
        last = client.last_event_id().unwrap_or(last);
    }
    a.publish("news", "last").await?;
    due.push("last".to_owned());
    b.client(TOPICS, last).reads(due).await
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

/// Returns pairs of a topic and data.
fn events(name: &'static str, count: usize) -> impl Iterator<Item = (String, String)> {
    (0..count).map(move |index| ("news".to_owned(), format!("{name} {index}")))
}

/// Returns the ids of events, keyed by their data. All events must have been acknowledged.
fn receipts(
    results: impl Iterator<Item = (String, Published)>,
) -> Result<HashMap<String, String>, Problem> {
    let id = |(data, result): (String, Published)| match result {
        Ok(receipt) => Ok((data, receipt.id().to_string())),
        Err(error) => Err(Problem::caused_by(data, &error)),
    };
    results.map(id).collect()
}

fn is_same(message: &Message, receipt: Option<&str>) -> Result<(), Problem> {
    let Message { data, last_event_id, .. } = message;
    ensure!(
        receipt == Some(last_event_id),
        "{data:?} has the id {last_event_id}, and its receipt {receipt:?}",
    );
    Ok(())
}

/// Checks that each id has a higher number than the one before it.
fn rises<'a>(ids: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
    let numbers = ids.map(number).collect::<Result<Vec<_>, _>>()?;
    let falls = numbers.iter().zip(numbers.iter().skip(1)).find(|(one, next)| one >= next);
    ensure!(falls.is_none(), "the numbers of successive events are {falls:?}");
    Ok(())
}
