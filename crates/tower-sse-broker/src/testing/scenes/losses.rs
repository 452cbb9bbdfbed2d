use std::collections::HashMap;

use tokio::join;
use tower_sse::{EventId, decode::Message};

use super::super::{Fault, Problem, World};
use crate::testing::hub_client::{HubClient, after_turns, is_gap};
use crate::testing::hub_process::{HubProcess, number};
use crate::testing::world::ensure;

const TOPIC: &str = "news";

/// The number and the data of an acknowledged event.
type AcknowledgedEvent = (u64, String);

/// The broker must look for losses itself, because no later event shows the loss.
pub(crate) async fn a_loss_is_told_although_nobody_publishes<W: World>(
    world: &W,
) -> Result<(), Problem> {
    losses_are_told(world, false).await
}

/// After a break, a broker can find a different log.
pub(crate) async fn a_loss_during_a_break_is_told<W: World>(world: &W) -> Result<(), Problem> {
    losses_are_told(world, true).await
}

/// Checks that clients receive gaps for losses. If `is_away`, connections break just before each
/// loss.
async fn losses_are_told<W: World>(world: &W, is_away: bool) -> Result<(), Problem> {
    let cut = || match is_away {
        true => world.cut().map(Some).ok_or_else(|| Problem::skipped("cut")),
        false => Ok(None),
    };
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut clients = [a.client([TOPIC], start.clone()), b.client([TOPIC], start)];
    if let Some((copy, put_back)) = world.roll_back() {
        copy.await;
        let faults = cut()?.into_iter().chain([put_back]);
        are_told_of(faults, &a, &mut clients, "rolled back").await?;
    }
    let lose = world.lose().ok_or_else(|| Problem::skipped("lose"))?;
    are_told_of(cut()?.into_iter().chain([lose]), &a, &mut clients, "lost").await
}

/// Publishes events, then causes the faults, the last of which loses the events. Checks that
/// clients receive a gap.
async fn are_told_of(
    faults: impl Iterator<Item = Fault<'_>>,
    process: &HubProcess,
    clients: &mut [HubClient],
    name: &str,
) -> Result<(), Problem> {
    publish(process, name, 3).await?;
    for client in &mut *clients {
        client.read_until(&format!("{name} 2")).await?;
    }
    for fault in faults {
        fault.await;
    }
    for client in clients {
        client.read_until_gap().await?;
    }
    Ok(())
}

/// If a number were reused, two events would share an id, and a client would miss the later one.
pub(crate) async fn numbers_are_not_used_again_after_a_loss<W: World>(
    world: &W,
) -> Result<(), Problem> {
    let mut newest = 0;
    for round in 0..3 {
        let process = HubProcess::connect(world, "a").await?;
        let numbers: Vec<_> = publish(&process, "event", 10).await?;
        let first = numbers.iter().map(|(number, _)| *number).min().unwrap_or_default();
        ensure!(first > newest, "after loss {round}, {first} follows {newest}");
        newest = numbers.iter().map(|(number, _)| *number).max().unwrap_or_default();
        // In round 1, no process is connected during the loss. In the other rounds, one is.
        let connected = (round != 1).then_some(process);
        world.lose().ok_or_else(|| Problem::skipped("lose"))?.await;
        drop(connected);
    }
    Ok(())
}

/// The loss comes before, between or after the pages that a hub loads.
pub(crate) async fn a_loss_while_a_hub_loads_is_told<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, _) = HubProcess::pair(world).await?;
    for turns in [0, 1, 3, 10, 30] {
        let start = a.publish_repeatedly(TOPIC, "start").await?.receipt.id();
        let mut acknowledged = publish(&a, "before", 20).await?;
        let lose = world.lose().ok_or_else(|| Problem::skipped("lose"))?;
        let loss = after_turns(turns, lose);
        let (late, ()) = join!(HubProcess::connect(world, "late"), loss);
        let late = late?;
        acknowledged.extend(publish(&a, "after", 1).await?);
        let clients = [late.client([TOPIC], start.clone()), b.client([TOPIC], start.clone())];
        all_are_told(world, [&a, &b], clients, &start, &acknowledged).await?;
    }
    Ok(())
}

pub(crate) async fn a_rolled_back_log_is_told_to_all<W: World>(world: &W) -> Result<(), Problem> {
    roll_back(world, 3, 1).await
}

/// The rollback is followed by more events than it removed. Only the entries' identities reveal the
/// rollback.
pub(crate) async fn an_overtaken_log_is_told_to_all<W: World>(world: &W) -> Result<(), Problem> {
    roll_back(world, 5, 30).await
}

/// Rolls the log back by `lost` acknowledged events, then publishes `after` events at once.
async fn roll_back<W: World>(world: &W, lost: usize, after: usize) -> Result<(), Problem> {
    let (copy, put_back) = world.roll_back().ok_or_else(|| Problem::skipped("roll_back"))?;
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut clients = [a.client([TOPIC], start.clone()), b.client([TOPIC], start.clone())];
    let mut acknowledged = publish(&a, "kept", 3).await?;
    copy.await;
    acknowledged.extend(publish(&b, "lost", lost).await?);
    let last = format!("lost {}", lost - 1);
    for client in &mut clients {
        client.read_until(&last).await?;
    }
    put_back.await;
    let events = (0..after).map(|event| (TOPIC.to_owned(), format!("at once {event}")));
    for (data, result) in a.publish_at_once(events).await? {
        if let Ok(receipt) = result {
            acknowledged.push((number(receipt.id())?, data));
        }
    }
    acknowledged.extend(publish(&a, "after", 1).await?);
    all_are_told(world, [&a, &b], clients, &start, &acknowledged).await
}

/// Publishes events one after another, each repeatedly until it is acknowledged.
async fn publish(
    process: &HubProcess,
    name: &str,
    count: usize,
) -> Result<Vec<AcknowledgedEvent>, Problem> {
    let mut acknowledged = Vec::new();
    for index in 0..count {
        let data = format!("{name} {index}");
        let published = process.publish_repeatedly(TOPIC, &data).await?;
        acknowledged.push((number(published.receipt.id())?, data));
    }
    Ok(acknowledged)
}

/// Checks that these clients receive a gap, and that new clients that resume from the id `start` do
/// too. Also checks that a later event arrives. Each client must receive each event in
/// `acknowledged`, or a gap with the event's number or a higher one.
async fn all_are_told<W: World>(
    world: &W,
    [a, b]: [&HubProcess; 2],
    clients: [HubClient; 2],
    start: &EventId,
    acknowledged: &[AcknowledgedEvent],
) -> Result<(), Problem> {
    let mut clients = Vec::from(clients);
    for client in &mut clients {
        client.read_until_gap().await?;
    }
    let new = HubProcess::connect(world, "new").await?;
    for process in [&new, a, b] {
        let mut client = process.client([TOPIC], start.clone());
        client.read_until_gap().await?;
        clients.push(client);
    }
    a.publish_repeatedly(TOPIC, "last").await?;
    for client in &mut clients {
        client.read_until("last").await?;
        is_covered(&client.received, acknowledged)?;
    }
    Ok(())
}

/// Checks that each acknowledged event was received, or that a gap has the event's number or a
/// higher one. The gap may come after later events.
fn is_covered(received: &[Message], acknowledged: &[AcknowledgedEvent]) -> Result<(), Problem> {
    let mut gaps_up_to = 0;
    let mut events = HashMap::new();
    for message in received {
        let number = number(&message.last_event_id)?;
        if is_gap(message) {
            gaps_up_to = number;
        } else {
            let other = events.insert(number, &message.data);
            ensure!(other.is_none(), "{number} is the number of two received events");
        }
    }
    for (number, data) in acknowledged {
        match events.get(number) {
            Some(received) => ensure!(
                *received == data,
                "{number} is the number of {received:?}, and was acknowledged for {data:?}",
            ),
            None => ensure!(
                *number <= gaps_up_to,
                "{data:?} was acknowledged with the number {number}, and is missing without a gap",
            ),
        }
    }
    Ok(())
}
