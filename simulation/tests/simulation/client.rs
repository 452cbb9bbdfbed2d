use crate::*;

/// A client, which is cut and resumes at the same or another process.
pub(crate) struct Client {
    number: usize,
    pub(crate) journal: Journal,
    last: Option<String>,
    connection: Option<Connection>,
}

struct Connection {
    life: usize,
    subscription: Subscription,
    decoder: Decoder,
    has_received: bool,
    /// Messages that the client has not received yet. They are lost when the connection is cut.
    sent: VecDeque<Message>,
}

impl Client {
    pub(crate) fn new(number: usize, topics: Vec<usize>) -> Self {
        let journal = Journal { topics, start: None, messages: Vec::new() };
        Self { number, journal, last: None, connection: None }
    }

    pub(crate) fn life(&self) -> Option<usize> {
        self.connection.as_ref().map(|connection| connection.life)
    }

    pub(crate) fn cut(&mut self) {
        self.connection = None;
    }

    /// Connects to a process, if its hub has connected.
    pub(crate) fn resume(&mut self, network: &Network, process: &Process<Hub>) {
        let Some(hub) = process.get() else { return };
        let last = self.last.clone().map(|last| LastEventId::try_from(last).unwrap());
        let greeting = Event::new().event("hello").data("");
        let topics = self.journal.topics.iter().map(ToString::to_string);
        let subscription = hub.subscribe(topics).greeting(greeting).resume(last);
        network.log(|| {
            let Self { number, last, .. } = self;
            format!("client {number}: resumes after {last:?} at hub {}", process.number)
        });
        self.connection = Some(Connection {
            life: process.life,
            subscription,
            decoder: Decoder::new(),
            has_received: false,
            sent: VecDeque::new(),
        });
        self.receive(network, usize::MAX);
    }

    /// Receives up to `count` messages that the hub has for this client.
    pub(crate) fn receive(&mut self, network: &Network, count: usize) {
        let Some(connection) = &mut self.connection else { return };
        // Waking is the subject of the models with loom. Here the clients poll, in a fixed order.
        while let Some(Some(item)) = unconstrained(connection.subscription.next()).now_or_never() {
            let mut bytes = item.as_bytes();
            while let Some(message) = connection.decoder.decode(&mut bytes).unwrap() {
                connection.sent.push_back(message);
            }
        }
        let received = connection.sent.len().min(count);
        for message in connection.sent.drain(..received) {
            let Message { event, data, last_event_id, .. } = &message;
            network.log(|| format!("client {}: {event} {data:?} {last_event_id}", self.number));
            self.last = Some(last_event_id.to_string());
            if event == "hello" {
                // A client that resumes from an id unknown to the hub is greeted again.
                self.journal.start = self.journal.start.or(sequence(last_event_id));
            } else {
                let (at, life) = (network.elapsed(), connection.life);
                let received = Received::of(&message, at, life, !connection.has_received);
                self.journal.messages.push(received);
            }
            connection.has_received = true;
        }
    }
}
