use crate::*;

/// An event of a simulation. The event's number is its index in [`World::publications`].
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) topic: usize,
    /// Whether the event ends its topic.
    pub(crate) is_last: bool,
    /// The life of the process that published the event.
    pub(crate) life: usize,
    pub(crate) began_at: u64,
    /// The newest sequence number that the process had received when it began to publish.
    pub(crate) position: u64,
    pub(crate) result: Published,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// The process stopped before it received an answer, or the simulation ended.
    Pending,
    Acknowledged {
        sequence: u64,
    },
    Refused,
    Unknown,
    /// The event's topic has ended.
    Ended,
}

impl Publication {
    /// Returns the event's sequence number, if the event was acknowledged.
    pub(crate) const fn acknowledged(&self) -> Option<u64> {
        match self.result {
            Published::Acknowledged { sequence } => Some(sequence),
            _ => None,
        }
    }
}

/// Returns the number of the event that an entry contains.
pub(crate) fn number_of(fields: &[Vec<u8>]) -> Option<usize> {
    let data = fields.iter().position(|field| field == b"data")?;
    let text = String::from_utf8(fields[data + 1].clone()).unwrap();
    Some(text.split_once(' ').unwrap().1.parse().unwrap())
}

impl World {
    /// Publishes an event in a task, which ends with the process. Returns the event's number, or
    /// `None` if the process has not connected.
    pub(crate) fn publish(&self, hub: usize, topic: usize, is_last: bool) -> Option<usize> {
        let (network, process) = (self.network.clone(), &self.processes[&hub]);
        let publications = Arc::clone(&self.publications);
        let connected = process.get()?;
        let (life, began_at) = (process.life, network.elapsed());
        let position = sequence(connected.position().as_str()).unwrap_or(0);
        let result = Published::Pending;
        let event = Publication { topic, is_last, life, began_at, position, result };
        let number = add(&mut publications.lock().unwrap(), event);
        tokio::spawn(process.gate.run(async move {
            let (name, data) = (topic.to_string(), format!("{topic} {number}"));
            let result = if is_last {
                connected.end(name, data).await
            } else {
                connected.publish(name, data).await
            };
            network.log(|| format!("hub {hub}: event {number}: {result:?}"));
            publications.lock().unwrap()[number].result = match result {
                Ok(receipt) => {
                    let sequence = sequence(receipt.id().as_str()).expect("an id of the hub");
                    Published::Acknowledged { sequence }
                }
                Err(PublishError::Refused(_)) => Published::Refused,
                Err(PublishError::Unknown(_)) => Published::Unknown,
                Err(PublishError::Ended) => Published::Ended,
                Err(error) => panic!("{error:?}"),
            };
        }));
        Some(number)
    }
}

/// The messages that one client received over all its connections.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) topics: Vec<usize>,
    /// The sequence number of the position at which the client began, once it has connected.
    pub(crate) start: Option<u64>,
    pub(crate) messages: Vec<Received>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) topic: usize,
    pub(crate) kind: Kind,
    /// `None` for the id of a gap after an id that the hub does not know: the client begins anew.
    pub(crate) sequence: Option<u64>,
    /// The milliseconds since the beginning.
    pub(crate) at: u64,
    /// The life of the process that sent the message.
    pub(crate) life: usize,
    /// Whether the message is the first of its connection.
    pub(crate) is_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Event(usize),
    Gap,
}

impl Received {
    pub(crate) fn of(message: &Message, at: u64, life: usize, is_first: bool) -> Self {
        let (topic, kind) = match message.data.split_once(' ') {
            Some((topic, number)) => (topic, Kind::Event(number.parse().unwrap())),
            // The only digits in the object of a gap are those of its topic.
            None => (message.data.trim_matches(|it: char| !it.is_ascii_digit()), Kind::Gap),
        };
        assert_eq!(message.event == "gap", kind == Kind::Gap, "{message:?}");
        let sequence = sequence(&message.last_event_id);
        Self { topic: topic.parse().unwrap(), kind, sequence, at, life, is_first }
    }
}

/// Returns the sequence number of an id of the hub, or `None` if the id makes a client begin anew.
pub(crate) fn sequence(id: &str) -> Option<u64> {
    let (epoch, sequence) = id.split_once('-').unwrap();
    (epoch.len() > 1).then(|| sequence.parse().unwrap())
}
