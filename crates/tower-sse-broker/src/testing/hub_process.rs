use std::collections::{HashSet, VecDeque};
use std::{fmt::Display, future::poll_fn, pin::Pin, time::Duration};

use futures_core::Stream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower_sse::hub::{Hub, HubBuilder, PublishError, Receipt, Subscription, TopicNames};
use tower_sse::{BoxError, Event, EventId, LastEventId};

use super::hub_client::{HubClient, PATIENCE, is_gap, soon};
use super::{Problem, World, world::ensure};

/// The pause between two attempts or two looks at a hub's position.
const PAUSE: Duration = Duration::from_millis(5);

/// A process of a world: a hub that is connected to the world's log.
pub(super) struct HubProcess {
    pub(super) name: &'static str,
    pub(super) hub: Hub,
}

pub(super) type Published = Result<Receipt, PublishError>;

/// An event that was published repeatedly until it was acknowledged.
pub(super) struct AcknowledgedEvent {
    pub(super) receipt: Receipt,
    /// Whether an earlier attempt's outcome is unknown. If so, the log can have the event more than
    /// once.
    pub(super) is_repeated: bool,
}

impl HubProcess {
    pub(super) async fn connect<W: World>(world: &W, name: &'static str) -> Result<Self, Problem> {
        Self::connect_with(Hub::builder(), world, name).await
    }

    pub(super) async fn connect_with<W: World>(
        builder: HubBuilder,
        world: &W,
        name: &'static str,
    ) -> Result<Self, Problem> {
        match soon(format!("process {name}"), builder.connect(world.broker())).await? {
            Ok(hub) => Ok(Self { name, hub }),
            Err(error) => {
                let error: BoxError = error.into();
                Err(Problem::caused_by(format_args!("process {name} failed to connect"), &*error))
            }
        }
    }

    /// Connects two processes and publishes the first event of the log. Returns the processes and
    /// this event's id, from which the scene's clients resume.
    pub(super) async fn pair<W: World>(world: &W) -> Result<(Self, Self, EventId), Problem> {
        Self::pair_with(Hub::builder, world).await
    }

    /// Does the same as [`pair`](Self::pair), with hubs built by `builder`.
    pub(super) async fn pair_with<W: World>(
        builder: impl Fn() -> HubBuilder,
        world: &W,
    ) -> Result<(Self, Self, EventId), Problem> {
        let a = Self::connect_with(builder(), world, "a").await?;
        let b = Self::connect_with(builder(), world, "b").await?;
        let start = a.publish("start", "start").await?.id();
        Ok((a, b, start))
    }

    /// Returns a client that resumes after the event with the id `last`. Without an id, this is the
    /// client's first visit.
    pub(super) fn client(
        &self,
        topics: impl TopicNames,
        last: impl Into<Option<LastEventId>>,
    ) -> HubClient {
        HubClient::new(self.name, self.hub.subscribe(topics).resume(last))
    }

    /// Publishes an event, which must be acknowledged at the first attempt.
    pub(super) async fn publish(
        &self,
        topic: &str,
        event: impl Into<Event>,
    ) -> Result<Receipt, Problem> {
        self.acknowledged(self.try_publish(topic, event).await?)
    }

    pub(super) async fn try_publish(
        &self,
        topic: &str,
        event: impl Into<Event>,
    ) -> Result<Published, Problem> {
        let what = format!("process {}: the result of publishing", self.name);
        soon(what, self.hub.publish(topic, event.into())).await
    }

    pub(super) async fn gap(&self, topic: &str) -> Result<Receipt, Problem> {
        let what = format!("process {}: the result of reporting a gap", self.name);
        self.acknowledged(soon(what, self.hub.gap(topic)).await?)
    }

    /// Ends a topic with an event, which must be acknowledged at the first attempt.
    pub(super) async fn end(
        &self,
        topic: &str,
        event: impl Into<Event>,
    ) -> Result<Receipt, Problem> {
        self.acknowledged(self.try_end(topic, event).await?)
    }

    async fn try_end(&self, topic: &str, event: impl Into<Event>) -> Result<Published, Problem> {
        let what = format!("process {}: the result of ending a topic", self.name);
        soon(what, self.hub.end(topic, event.into())).await
    }

    fn acknowledged(&self, result: Published) -> Result<Receipt, Problem> {
        let what = format_args!("process {}: publishing failed", self.name);
        result.map_err(|error| Problem::caused_by(what, &error))
    }

    /// Publishes an event repeatedly until it is acknowledged, as a program does after a fault.
    pub(super) async fn publish_repeatedly(
        &self,
        topic: &str,
        event: &str,
    ) -> Result<AcknowledgedEvent, Problem> {
        let (result, is_repeated) = self.repeat(topic, event, false).await?;
        Ok(AcknowledgedEvent { receipt: self.acknowledged(result)?, is_repeated })
    }

    /// Tries to end a topic until it has ended.
    pub(super) async fn end_repeatedly(&self, topic: &str, event: &str) -> Result<(), Problem> {
        match self.repeat(topic, event, true).await? {
            // An earlier attempt with an unknown outcome has ended the topic.
            (Err(PublishError::Ended), true) => Ok(()),
            (result, _) => self.acknowledged(result).map(drop),
        }
    }

    /// Publishes an event, or ends a topic with it, repeatedly while it is refused or the outcome
    /// is unknown, for up to [`PATIENCE`]. Returns the last outcome and whether an earlier one is
    /// unknown.
    async fn repeat(
        &self,
        topic: &str,
        event: &str,
        ends_topic: bool,
    ) -> Result<(Published, bool), Problem> {
        let deadline = Instant::now() + PATIENCE;
        let mut is_repeated = false;
        loop {
            let result = match ends_topic {
                true => self.try_end(topic, event).await?,
                false => self.try_publish(topic, event).await?,
            };
            let is_unknown = matches!(result, Err(PublishError::Unknown(_)));
            let has_failed = is_unknown || matches!(result, Err(PublishError::Refused(_)));
            if !has_failed || Instant::now() >= deadline {
                return Ok((result, is_repeated));
            }
            is_repeated |= is_unknown;
            sleep(PAUSE).await;
        }
    }

    /// Publishes an event for each pair of topic and data, all at the same time. Returns the data
    /// and the result of each event, in the order of `events`.
    pub(super) async fn publish_at_once(
        &self,
        events: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Vec<(String, Published)>, Problem> {
        let event = |(topic, data): (_, String)| (topic, data.clone(), data.into(), false);
        self.at_once(events.into_iter().map(event).collect()).await
    }

    /// Like `publish_at_once`, for tuples of a topic, a name, an event and whether it ends the
    /// topic. Returns the names in place of the data.
    pub(super) async fn at_once(
        &self,
        events: Vec<(String, String, Event, bool)>,
    ) -> Result<Vec<(String, Published)>, Problem> {
        let mut publishing = JoinSet::new();
        for (index, (topic, name, event, ends_topic)) in events.into_iter().enumerate() {
            let hub = self.hub.clone();
            publishing.spawn(async move {
                let result = match ends_topic {
                    true => hub.end(topic, event).await,
                    false => hub.publish(topic, event).await,
                };
                (index, name, result)
            });
        }
        let mut results = Vec::new();
        let what = format!("process {}: the result of publishing", self.name);
        while let Some(joined) = soon(&what, publishing.join_next()).await? {
            let joined = joined.map_err(|error| Problem::caused_by("publishing failed", &error));
            results.push(joined?);
        }
        results.sort_by_key(|(index, ..)| *index);
        Ok(results.into_iter().map(|(_, data, result)| (data, result)).collect())
    }

    /// Checks that a newly connected hub has received all events up to this id.
    pub(super) fn is_loaded_up_to(&self, last: &EventId) -> Result<(), Problem> {
        let position = self.hub.position();
        ensure!(
            number(&position)? >= number(last)?,
            "a hub that has connected is at {position}, and {last} was acknowledged before",
        );
        Ok(())
    }

    pub(super) async fn reaches(&self, id: &EventId) -> Result<(), Problem> {
        let expected = number(id.as_str())?;
        let deadline = Instant::now() + PATIENCE;
        while number(self.hub.position().as_str())? < expected {
            let name = self.name;
            ensure!(Instant::now() < deadline, "process {name} did not receive the event {id}");
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

pub(super) fn number(id: impl Display) -> Result<u64, Problem> {
    let id = id.to_string();
    let number = id.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
    number.ok_or_else(|| Problem::new(format!("id {id:?} has no number")))
}

/// Returns an id of the same log with another number.
pub(super) fn with_number(id: &EventId, number: u64) -> Result<LastEventId, Problem> {
    let epoch = epoch(id);
    LastEventId::try_from(format!("{epoch}-{number}"))
        .map_err(|error| Problem::caused_by("no id", &error))
}

/// Returns the part of an id that all events of a log share.
pub(super) fn epoch(id: &EventId) -> &str {
    id.as_str().rsplit_once('-').map_or("", |(epoch, _)| epoch)
}

/// Returns the text of a subscription's next `events` events, or of fewer if the stream ends. Each
/// event is one string, without `id` lines. The text has comments, which a [`HubClient`] doesn't
/// return.
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

/// Publishes events to a hub without a broker and returns their text, as [`lines_of`] does. A hub
/// with a broker must send the same text.
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

/// Checks each publish result against the events that the client has received, and that it has
/// received no gap. The client must have read up to the newest event.
pub(super) fn are_true(
    results: Vec<(String, Published)>,
    client: &HubClient,
) -> Result<(), Problem> {
    for (data, result) in results {
        let count = client.received.iter().filter(|message| message.data == data).count();
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
    ensure!(!client.received.iter().any(is_gap), "received a gap, and nothing was lost");
    Ok(())
}

/// The events that a client is due to receive, in this order and without a gap.
#[derive(Default)]
pub(super) struct Due {
    events: VecDeque<String>,
    /// The events that can be in the log more than once.
    repeated: HashSet<String>,
    received: HashSet<String>,
}

impl Due {
    /// Adds an event that was published after all earlier ones were acknowledged.
    pub(super) fn push(&mut self, data: String, acknowledged: &AcknowledgedEvent) {
        if acknowledged.is_repeated {
            self.repeated.insert(data.clone());
        }
        self.events.push_back(data);
    }

    /// Returns how many events the client has not received yet.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) async fn read(
        &mut self,
        client: &mut HubClient,
        count: usize,
    ) -> Result<(), Problem> {
        let rest = self.events.len().saturating_sub(count);
        while self.events.len() > rest
            && let Some(expected) = self.events.front()
        {
            let message = client.message(&format!("{expected:?}")).await?;
            ensure!(!is_gap(&message), "received a gap before {expected:?}, which was not lost");
            let data = message.data;
            if data == *expected {
                self.events.pop_front();
                self.received.insert(data);
                continue;
            }
            // Another copy of an event for which an earlier attempt's outcome was unknown.
            let is_copy = self.repeated.contains(&data) && self.received.contains(&data);
            ensure!(is_copy, "received {data:?} instead of {expected:?}");
        }
        Ok(())
    }
}
