use std::{fmt::Display, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Problem, World,
    client::Client,
    problem::ensure,
    wait::{PATIENCE, soon},
};
use crate::{
    BoxError,
    connection::LastEventId,
    event::{Event, EventId},
    hub::{Hub, HubBuilder, PublishError, Receipt, TopicNames},
};

/// The pause before something is tried again.
const PAUSE: Duration = Duration::from_millis(5);

/// A process of a world: a hub that is connected to its log.
pub(super) struct Process {
    name: &'static str,
    pub(super) hub: Hub,
}

/// The hub's result of publishing an event.
pub(super) type Published = Result<Receipt, PublishError>;

/// An event that was published until it was acknowledged.
pub(super) struct Acknowledged {
    pub(super) receipt: Receipt,
    /// Whether an earlier attempt had no result, so that the event can be in the log twice.
    pub(super) is_repeated: bool,
}

impl Process {
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

    /// Connects two processes, and publishes the first event of the log. Returns its id, after which
    /// the clients of the scene resume.
    pub(super) async fn pair<W: World>(world: &W) -> Result<(Self, Self, EventId), Problem> {
        let a = Self::connect(world, "a").await?;
        let b = Self::connect(world, "b").await?;
        let start = a.publish("start", "start").await?.id();
        Ok((a, b, start))
    }

    /// Returns a client that resumes after this id.
    pub(super) fn client(
        &self,
        topics: impl TopicNames,
        last: impl Into<Option<LastEventId>>,
    ) -> Client {
        Client::new(self.name, self.hub.subscribe(topics).resume(last))
    }

    /// Publishes an event, which has to be acknowledged at the first attempt.
    pub(super) async fn publish(
        &self,
        topic: &str,
        event: impl Into<Event>,
    ) -> Result<Receipt, Problem> {
        self.acknowledged(self.try_publish(topic, event).await?)
    }

    /// Publishes an event, and returns the hub's result.
    pub(super) async fn try_publish(
        &self,
        topic: &str,
        event: impl Into<Event>,
    ) -> Result<Published, Problem> {
        let what = format!("process {}: the result of publishing", self.name);
        soon(what, self.hub.publish(topic, event.into())).await
    }

    /// Ends a topic, which has to be acknowledged at the first attempt.
    pub(super) async fn end(&self, topic: &str, event: &str) -> Result<Receipt, Problem> {
        self.acknowledged(self.try_end(topic, event).await?)
    }

    async fn try_end(&self, topic: &str, event: &str) -> Result<Published, Problem> {
        let what = format!("process {}: the result of ending a topic", self.name);
        soon(what, self.hub.end(topic, event)).await
    }

    fn acknowledged(&self, result: Published) -> Result<Receipt, Problem> {
        let what = format_args!("process {}: publishing failed", self.name);
        result.map_err(|error| Problem::caused_by(what, &error))
    }

    /// Publishes an event again and again until it is acknowledged, as a program does after a fault.
    pub(super) async fn publish_repeatedly(
        &self,
        topic: &str,
        event: &str,
    ) -> Result<Acknowledged, Problem> {
        let (result, is_repeated) = self.repeat(topic, event, false).await?;
        Ok(Acknowledged { receipt: self.acknowledged(result)?, is_repeated })
    }

    /// Ends a topic again and again until it has ended.
    pub(super) async fn end_repeatedly(&self, topic: &str, event: &str) -> Result<(), Problem> {
        match self.repeat(topic, event, true).await? {
            // The process has received the end, whose attempt had no result.
            (Err(PublishError::Ended), true) => Ok(()),
            (result, _) => self.acknowledged(result).map(drop),
        }
    }

    /// Publishes an event until there is a result. Returns the result, and whether an earlier attempt
    /// may have published the event.
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

    /// Publishes an event for each pair of a topic and data at the same time. Returns the data and the
    /// results in the same order.
    pub(super) async fn publish_at_once(
        &self,
        events: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Vec<(String, Published)>, Problem> {
        let mut publishing = self.spawn_publishes(events);
        let mut results = Vec::new();
        let what = format!("process {}: the result of publishing", self.name);
        while let Some(joined) = soon(&what, publishing.join_next()).await? {
            let joined = joined.map_err(|error| Problem::caused_by("publishing failed", &error));
            results.push(joined?);
        }
        results.sort_by_key(|(index, ..)| *index);
        Ok(results.into_iter().map(|(_, data, result)| (data, result)).collect())
    }

    /// Spawns a task for each pair of a topic and data.
    fn spawn_publishes(
        &self,
        events: impl IntoIterator<Item = (String, String)>,
    ) -> JoinSet<(usize, String, Published)> {
        let mut publishing = JoinSet::new();
        for (index, (topic, data)) in events.into_iter().enumerate() {
            let hub = self.hub.clone();
            publishing.spawn(async move {
                let result = hub.publish(topic, data.clone()).await;
                (index, data, result)
            });
        }
        publishing
    }

    /// Waits until the hub has received the event with this id.
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

/// Returns the sequence number in an id.
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

/// Returns the part of an id that all events of one log have in common.
pub(super) fn epoch(id: &EventId) -> &str {
    id.as_str().rsplit_once('-').map_or("", |(epoch, _)| epoch)
}
