use std::thread::{self, JoinHandle};
use std::{collections::HashSet, sync::mpsc};

use fastrand::Rng;
use tokio::{join, runtime, task::spawn_blocking, time::Instant, try_join};
use tower_sse::hub::{Hub, HubBuilder, PublishError};
use tower_sse::{EventId, LastEventId, Retention};

use super::super::{Problem, World};
use crate::testing::hub_client::{HubClient, PATIENCE, after_turns, is_gap, quoted, soon};
use crate::testing::hub_process::{Due, HubProcess, are_true};
use crate::testing::world::ensure;

/// A connected process that is far behind must not skip events. A process that loads a long history
/// may keep fewer events if it reports a loss.
pub(crate) async fn a_burst_loses_nothing<W: World>(world: &W) -> Result<(), Problem> {
    const EACH: usize = 2500;
    let (a, b, start) = HubProcess::pair_with(ample, world).await?;
    let blocked = BlockedClient::connect(world, start.clone()).await?;
    let mut connected = [&a, &b].map(|process| process.client(["news"], start.clone()));
    let mut published = publish_all([&a, &b], "burst", EACH, 0).await?;
    published.extend(publish_all([&a, &b], "large", EACH_LARGE, LARGE).await?);
    for client in &mut connected {
        has_read(client, &published).await?;
    }
    let late = HubProcess::connect_with(ample(), world, "late").await?;
    has_loaded(&mut late.client(["news"], start), &published).await?;
    blocked.has_read(published).await
}

/// After a break, there are more events to read than this crate's follower requests at a time
/// (1,000), or megabytes of large events.
pub(crate) async fn a_long_break_loses_nothing<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair_with(ample, world).await?;
    let mut clients = [&a, &b].map(|process| process.client(["news"], start.clone()));
    for (round, (each, size)) in [(500, 0), (500, 0), (EACH_LARGE, LARGE)].into_iter().enumerate() {
        world.cut().ok_or_else(|| Problem::skipped("cut"))?.await;
        let published = publish_all([&a, &b], &format!("round {round}"), each, size).await?;
        for client in &mut clients {
            has_read(client, &published).await?;
        }
    }
    Ok(())
}

/// The number of large events that each of two processes publishes at once: more than this crate's
/// queue and follower take at a time, 4 MiB.
const EACH_LARGE: usize = 80;
/// The size in bytes of each large event. Every broker must accept this size.
const LARGE: usize = 60_000;

/// The connection breaks while a hub loads: at the beginning, between pages, or after the last
/// page.
pub(crate) async fn a_break_while_a_hub_loads_loses_nothing<W: World>(
    world: &W,
) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair_with(ample, world).await?;
    let published = publish_all([&a, &b], "history", 100, 0).await?;
    let last = a.publish("news", "newest").await?.id();
    for turns in [0, 1, 3, 10, 30, 100] {
        let cut = world.cut().ok_or_else(|| Problem::skipped("cut"))?;
        let connecting = async {
            let connected = soon("process late", ample().connect(world.broker())).await;
            connected.map(Result::ok)
        };
        let (connected, ()) = join!(connecting, after_turns(turns, cut));
        // The hub may fail to connect.
        let Some(hub) = connected? else { continue };
        let late = HubProcess { name: "late", hub };
        late.is_loaded_up_to(&last)?;
        let mut client = late.client(["news"], start.clone());
        has_loaded(&mut client, &published).await?;
        let after = format!("after {turns}");
        a.publish_repeatedly("news", &after).await?;
        client.read_until(&after).await?;
    }
    Ok(())
}

/// A client of a process whose thread is blocked until the scene has published its events.
struct BlockedClient {
    events: mpsc::Sender<Vec<String>>,
    thread: JoinHandle<Result<(), Problem>>,
}

impl BlockedClient {
    async fn connect<W: World>(world: &W, start: EventId) -> Result<Self, Problem> {
        let broker = world.broker();
        let (events, published) = mpsc::channel::<Vec<String>>();
        let (connected, is_connected) = mpsc::channel();
        let run = move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Problem::caused_by("no runtime", &error))?;
            runtime.block_on(async {
                let hub = soon("process blocked", ample().connect(broker)).await?;
                let failed = |_| Problem::new("process blocked failed to connect");
                let process = HubProcess { name: "blocked", hub: hub.map_err(failed)? };
                let mut client = process.client(["news"], start);
                _ = connected.send(());
                match published.recv() {
                    Ok(events) => has_read(&mut client, &events).await,
                    // The scene has ended.
                    Err(_) => Ok(()),
                }
            })
        };
        let thread = thread::Builder::new().spawn(run);
        let thread = thread.map_err(|error| Problem::caused_by("no thread", &error))?;
        // If the process has failed to connect, the thread returns a problem.
        _ = spawn_blocking(move || is_connected.recv()).await;
        Ok(Self { events, thread })
    }

    async fn has_read(self, events: Vec<String>) -> Result<(), Problem> {
        _ = self.events.send(events);
        let ended = spawn_blocking(|| self.thread.join()).await;
        let panicked = || Err(Problem::new("the broker panicked in process blocked"));
        ended.ok().and_then(Result::ok).unwrap_or_else(panicked)
    }
}

/// Returns a builder of hubs that keep all events of a scene, and those that a busy machine
/// publishes several times, because their results came too late.
fn ample() -> HubBuilder {
    Hub::builder().retention(Retention::new().events(20_000).bytes(64 << 20))
}

/// Publishes events of at least `size` bytes through both processes at once, then a short event.
/// Returns the data of all events, in which the short event is the last.
async fn publish_all(
    [a, b]: [&HubProcess; 2],
    name: &str,
    each: usize,
    size: usize,
) -> Result<Vec<String>, Problem> {
    let event = move |process, index| format!("{name} {process} {index:.<size$}");
    let events = |process| (0..each).map(move |index| event(process, index));
    try_join!(
        publish_until_acknowledged(a, events("a")),
        publish_until_acknowledged(b, events("b")),
    )?;
    let last = format!("{name} last");
    a.publish_repeatedly("news", &last).await?;
    Ok(events("a").chain(events("b")).chain([last]).collect())
}

/// Reads up to the last of these events. Checks that each arrived, and that no gap did.
async fn has_read(client: &mut HubClient, events: &[String]) -> Result<(), Problem> {
    if let Some(last) = events.last() {
        client.read_until(last).await?;
    }
    ensure!(!client.received.iter().any(is_gap), "received a gap, and nothing was lost");
    let received: HashSet<_> = client.received.iter().map(|message| &*message.data).collect();
    if let Some(missing) = events.iter().find(|data| !received.contains(&***data)) {
        let missing = quoted(missing);
        return Err(Problem::new(format!("{missing} was acknowledged, and did not come")));
    }
    Ok(())
}

/// Like `has_read`, for a client of a hub that has loaded the events. The hub may keep fewer events
/// if it reports a gap.
async fn has_loaded(client: &mut HubClient, events: &[String]) -> Result<(), Problem> {
    if is_gap(&client.message("an event or a gap").await?) {
        return Ok(());
    }
    has_read(client, events).await
}

/// Publishes events at once and retries those that are not acknowledged. After an attempt without
/// an acknowledgement, the next one has half as many events, because machines can be slow. The
/// deadline is for single events.
async fn publish_until_acknowledged(
    process: &HubProcess,
    events: impl Iterator<Item = String>,
) -> Result<(), Problem> {
    let mut deadline = Instant::now() + PATIENCE;
    let mut missing: Vec<_> = events.collect();
    let mut at_once = missing.len();
    while !missing.is_empty() {
        let is_in_time = at_once > 1 || Instant::now() < deadline;
        ensure!(is_in_time, "{} events are not acknowledged", missing.len());
        let tried = missing.len();
        let events = missing.drain(..tried.min(at_once)).map(|data| ("news".to_owned(), data));
        for (data, result) in process.publish_at_once(events).await? {
            match result {
                Ok(_) => {}
                Err(PublishError::Refused(_) | PublishError::Unknown(_)) => missing.push(data),
                Err(error) => return Err(Problem::caused_by(data, &error)),
            }
        }
        if missing.len() < tried || at_once > 1 {
            deadline = Instant::now() + PATIENCE;
        }
        if missing.len() == tried {
            at_once = at_once.div_ceil(2);
        }
    }
    Ok(())
}

/// A publish ends soon, with a correct result.
pub(crate) async fn a_publish_during_a_break_ends<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut client = b.client(["news"], start);
    for round in 0..6 {
        let cut = world.cut().ok_or_else(|| Problem::skipped("cut"))?;
        let events = (0..50).map(|event| ("news".to_owned(), format!("{round} {event}")));
        // The cut comes before or while the events are sent, or while results arrive.
        let cutting = after_turns(8 * round, cut);
        let (results, ()) = join!(a.publish_at_once(events), cutting);
        let last = format!("last {round}");
        a.publish_repeatedly("news", &last).await?;
        client.read_until(&last).await?;
        are_true(results?, &client)?;
    }
    Ok(())
}

/// A publish does not wait until the server is back.
pub(crate) async fn an_outage_ends_each_publish<W: World>(world: &W) -> Result<(), Problem> {
    let (begin, end) = world.outage().ok_or_else(|| Problem::skipped("outage"))?;
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut client = b.client(["news"], start);
    begin.await;
    let events = (0..20).map(|event| ("news".to_owned(), event.to_string()));
    let results = a.publish_at_once(events).await;
    end.await;
    a.publish_repeatedly("news", "last").await?;
    client.read_until("last").await?;
    are_true(results?, &client)
}

/// A client receives all published events in order while it changes processes, processes start and
/// stop, and connections break.
pub(crate) async fn any_order_of_steps_loses_nothing<W: World>(world: &W) -> Result<(), Problem> {
    for seed in 0..4 {
        let played = play_steps(world, seed).await;
        played.map_err(|problem| Problem::caused_by(format_args!("seed {seed}"), &problem))?;
    }
    Ok(())
}

/// Plays random steps: publish, receive, move the client, cut, connect and drop processes.
async fn play_steps<W: World>(world: &W, seed: u64) -> Result<(), Problem> {
    const BUSY: [&str; 3] = ["news", "weather", "sport"];
    const TOPICS: [&str; 7] = ["news", "weather", "sport", "a", "b", "c", "d"];
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
                let topic = if random.bool() { random.choice(BUSY) } else { random.choice(TOPICS) };
                let topic = topic.unwrap_or_default();
                let published = process.publish_repeatedly(topic, &data).await?;
                due.push(data, &published);
            }
            10..15 => due.read(&mut client, random.usize(..=due.len())).await?,
            15..17 => {
                last = client.last_event_id().unwrap_or(last);
                client = process.client(TOPICS, last.clone());
            }
            17 => processes.push(HubProcess::connect(world, "new").await?),
            // If the client's stream comes from the dropped process, the stream keeps that hub
            // alive.
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
