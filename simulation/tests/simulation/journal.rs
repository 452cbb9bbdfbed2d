use tower_sse::Message;

/// The messages that one client received over all its connections.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) topics: Vec<usize>,
    /// The sequence number of the position at which it began, once it has connected.
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
    /// The life of the process that sent it.
    pub(crate) life: usize,
    /// Whether it is the first message of a connection.
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
            None => (&*message.data, Kind::Gap),
        };
        assert_eq!(message.event == "gap", kind == Kind::Gap, "{message:?}");
        let sequence = sequence(&message.last_event_id);
        Self { topic: topic.parse().unwrap(), kind, sequence, at, life, is_first }
    }
}

/// Returns the sequence number of an id of the hub.
pub(crate) fn sequence(id: &str) -> Option<u64> {
    let (epoch, sequence) = id.split_once('-').unwrap();
    (epoch.len() > 1).then(|| sequence.parse().unwrap())
}
