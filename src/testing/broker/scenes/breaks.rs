use std::collections::HashSet;

use fastrand::Rng;
use tokio::time::Instant;

use super::super::{Problem, World};
use crate::hub::{Hub, HubBuilder, PublishError, Retention};
use crate::testing::broker::hub_client::{HubClient, PATIENCE, both, is_gap};
use crate::testing::broker::hub_process::{Due, HubProcess};
use crate::testing::broker::world::ensure;
use crate::{connection::LastEventId, event::EventId};

/// A reader that comes back continues where it was.
pub(crate) async fn a_break_loses_nothing<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut clients =
        [&a, &b].map(|process| (process.client(["news"], start.clone()), Due::default()));
    for round in 0..5 {
        let cut = world.cut().ok_or_else(|| Problem::skipped("cut"))?;
        let publishing = async {
            let mut published = Vec::new();
            for index in 0..20 {
                let data = format!("{round} {index}");
                let publisher = if index % 2 == 0 { &a } else { &b };
                let acknowledged = publisher.publish_repeatedly("news", &data).await?;
                published.push((data, acknowledged));
            }
            Ok(published)
        };
        let (published, ()) = both(publishing, cut).await;
        for (data, acknowledged) in published? {
            clients.iter_mut().for_each(|(_, due)| due.push(data.clone(), &acknowledged));
        }
        for (client, due) in &mut clients {
            due.read(client, due.len()).await?;
        }
    }
    Ok(())
}

/// A reader that is far behind skips nothing, and neither does a process that then loads a long
/// history.
pub(crate) async fn a_burst_loses_nothing<W: World>(world: &W) -> Result<(), Problem> {
    const EACH: usize = 2500;
    let (a, b, start) = ample_pair(world).await?;
    let mut connected = [&a, &b].map(|process| process.client(["news"], start.clone()));
    let published = publish_all([&a, &b], "burst", EACH).await?;
    for client in &mut connected {
        has_read(client, &published).await?;
    }
    let late = HubProcess::connect_with(ample(), world, "late").await?;
    let mut client = late.client(["news"], start);
    let message = client.message("an event or a gap").await?;
    // A history may be shorter, if that is reported.
    if is_gap(&message) { Ok(()) } else { has_read(&mut client, &published).await }
}

/// More events follow a break than a reader takes at a time.
pub(crate) async fn a_long_break_loses_nothing<W: World>(world: &W) -> Result<(), Problem> {
    const EACH: usize = 500;
    let (a, b, start) = ample_pair(world).await?;
    let mut clients = [&a, &b].map(|process| process.client(["news"], start.clone()));
    for round in 0..3 {
        world.cut().ok_or_else(|| Problem::skipped("cut"))?.await;
        let published = publish_all([&a, &b], &format!("round {round}"), EACH).await?;
        for client in &mut clients {
            has_read(client, &published).await?;
        }
    }
    Ok(())
}

/// Returns a hub that keeps all events of a scene.
fn ample() -> HubBuilder {
    Hub::builder().retention(Retention::new().events(20_000).bytes(16 << 20))
}

/// Does the same as [`HubProcess::pair`], with [`ample`] hubs.
async fn ample_pair<W: World>(world: &W) -> Result<(HubProcess, HubProcess, EventId), Problem> {
    let a = HubProcess::connect_with(ample(), world, "a").await?;
    let b = HubProcess::connect_with(ample(), world, "b").await?;
    let start = a.publish("start", "start").await?.id();
    Ok((a, b, start))
}

/// Publishes events through both processes at once. Returns their data, and last the data of an event
/// that follows all others.
async fn publish_all(
    [a, b]: [&HubProcess; 2],
    name: &str,
    each: usize,
) -> Result<Vec<String>, Problem> {
    let events = |process| (0..each).map(move |index| format!("{name} {process} {index}"));
    let (first, second) = both(
        publish_until_acknowledged(a, events("a")),
        publish_until_acknowledged(b, events("b")),
    )
    .await;
    first?;
    second?;
    let last = format!("{name} last");
    a.publish_repeatedly("news", &last).await?;
    Ok(events("a").chain(events("b")).chain([last]).collect())
}

/// Reads up to the last of these events, and checks that all were received, without a gap. Events can
/// come twice.
async fn has_read(client: &mut HubClient, events: &[String]) -> Result<(), Problem> {
    if let Some(last) = events.last() {
        client.read_until(last).await?;
    }
    ensure!(!client.received().iter().any(is_gap), "received a gap, and nothing was lost");
    let received: HashSet<_> = client.received().iter().map(|message| &*message.data).collect();
    let missing = events.iter().find(|data| !received.contains(&***data));
    ensure!(missing.is_none(), "{missing:?} was acknowledged, and did not come");
    Ok(())
}

/// Publishes events at once, and publishes again those that are not acknowledged.
async fn publish_until_acknowledged(
    process: &HubProcess,
    events: impl Iterator<Item = String>,
) -> Result<(), Problem> {
    let deadline = Instant::now() + PATIENCE;
    let mut missing: Vec<_> = events.collect();
    while !missing.is_empty() {
        ensure!(Instant::now() < deadline, "{} events are not acknowledged", missing.len());
        let events = missing.drain(..).map(|data| ("news".to_owned(), data));
        for (data, result) in process.publish_at_once(events).await? {
            match result {
                Ok(_) => {}
                Err(PublishError::Refused(_) | PublishError::Unknown(_)) => missing.push(data),
                Err(error) => return Err(Problem::caused_by(data, &error)),
            }
        }
    }
    Ok(())
}

/// A publish has a result soon, and the result is true.
pub(crate) async fn a_publish_during_a_break_ends<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut client = b.client(["news"], start);
    for round in 0..6 {
        let cut = world.cut().ok_or_else(|| Problem::skipped("cut"))?;
        let events = (0..50).map(|event| ("news".to_owned(), format!("{round} {event}")));
        let cutting = async {
            // Before the events are sent, while they are, and while the results come.
            for _ in 0..8 * round {
                tokio::task::yield_now().await;
            }
            cut.await;
        };
        let (results, ()) = both(a.publish_at_once(events), cutting).await;
        let last = format!("last {round}");
        a.publish_repeatedly("news", &last).await?;
        client.read_until(&last).await?;
        for (data, result) in results? {
            let count = client.received().iter().filter(|message| message.data == data).count();
            match result {
                Ok(_) => ensure!(count == 1, "{data:?} was acknowledged, and came {count} times"),
                Err(PublishError::Refused(_)) => {
                    ensure!(count == 0, "{data:?} was refused, and came {count} times");
                }
                Err(PublishError::Unknown(_)) => {
                    ensure!(count <= 1, "{data:?} was published once, and came {count} times");
                }
                Err(error) => return Err(Problem::caused_by(data, &error)),
            }
        }
    }
    ensure!(!client.received().iter().any(is_gap), "received a gap, and nothing was lost");
    Ok(())
}

/// Whatever processes and their clients do, a client receives the list of what was published.
pub(crate) async fn any_order_of_steps_loses_nothing<W: World>(world: &W) -> Result<(), Problem> {
    for seed in 0..4 {
        let played = play_steps(world, seed).await;
        played.map_err(|problem| Problem::caused_by(format_args!("seed {seed}"), &problem))?;
    }
    Ok(())
}

/// Plays random steps: to publish, to receive, to move the client, to cut, and to connect and drop
/// processes.
async fn play_steps<W: World>(world: &W, seed: u64) -> Result<(), Problem> {
    const TOPICS: [&str; 3] = ["news", "weather", "sport"];
    let mut random = Rng::with_seed(seed);
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut last = LastEventId::from(start);
    let mut client = a.client(TOPICS, last.clone());
    let mut processes = vec![a, b];
    let mut due = Due::default();
    for step in 0..100 {
        let Some(process) = random.choice(&processes) else { break };
        match random.u8(..20) {
            0..10 => {
                let data = format!("{seed} {step}");
                let topic = random.choice(TOPICS).unwrap_or_default();
                let published = process.publish_repeatedly(topic, &data).await?;
                due.push(data, &published);
            }
            10..15 => due.read(&mut client, random.usize(..=due.len())).await?,
            15..17 => {
                last = client.last_event_id().unwrap_or(last);
                client = process.client(TOPICS, last.clone());
            }
            17 => processes.push(HubProcess::connect(world, "new").await?),
            // The client's stream keeps its hub.
            18 if processes.len() > 1 => {
                drop(processes.swap_remove(random.usize(..processes.len())));
            }
            _ => {
                if let Some(cut) = world.cut() {
                    cut.await;
                }
            }
        }
    }
    due.read(&mut client, due.len()).await
}
