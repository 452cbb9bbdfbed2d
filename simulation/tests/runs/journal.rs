use tower_sse::{Message, runs::Outcome};

/// One answer, as a client received it: from the first request to its end, over all resumptions.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) client: usize,
    pub(crate) key: usize,
    pub(crate) events: Vec<Received>,
    pub(crate) end: Option<AnswerEnd>,
    /// The time of the end.
    pub(crate) ended: u64,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) epoch: String,
    pub(crate) sequence: u64,
    pub(crate) call: usize,
    /// Its number among the events of the call, from 0.
    pub(crate) number: u64,
}

/// The end of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerEnd {
    /// A clean end: the client takes it for the whole answer.
    Whole,
    /// A clean end, without the terminator by which a client knows the whole answer.
    Unterminated,
    /// The body failed.
    Failed(Option<Outcome>),
    /// No run has the key, or not the event after the client's id.
    NotFound,
    /// The client is not interested any more.
    Left,
}

impl Received {
    pub(crate) fn of(message: &Message) -> Self {
        let (epoch, sequence) = message.last_event_id.split_once('-').unwrap();
        let mut parts = message.data.split(' ');
        let mut number = || parts.next().unwrap().parse().unwrap();
        let (call, number) = (number(), number());
        let call = usize::try_from(call).unwrap();
        Self { epoch: epoch.to_owned(), sequence: sequence.parse().unwrap(), call, number }
    }
}
