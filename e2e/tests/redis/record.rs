//! A record of publish results and of received events, and its check.

use crate::*;

/// The numbers of the topics' last events begin here.
pub(crate) const FIRST_END: u64 = u64::MAX - 1_000;

/// An event whose publish was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) topic: usize,
    /// The data of the event, which no other event has.
    pub(crate) number: u64,
    pub(crate) sequence: u64,
    /// The time, in the form of a sequence number. The ids of events can be ahead of it.
    acknowledged_at: u64,
}

impl Acknowledged {
    pub(crate) fn now(topic: usize, number: u64, sequence: u64) -> Self {
        Self { topic, number, sequence, acknowledged_at: now() }
    }
}

/// The messages that one client received over all its connections.
#[derive(Debug)]
pub(crate) struct Journal {
    /// The sequence number of the position at which the client began.
    pub(crate) start: u64,
    pub(crate) messages: Vec<Received>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    topic: usize,
    sequence: u64,
    /// An event's number. A gap has none.
    number: Option<u64>,
    /// The time, in the form of a sequence number.
    received_at: u64,
}

impl Received {
    pub(crate) fn now(message: &Message) -> Self {
        let sequence = sequence(&message.last_event_id);
        let (topic, number) = match message.data.split_once(' ') {
            Some((topic, number)) => (topic, Some(number.parse().unwrap())),
            None => {
                let topic = message.data.strip_prefix(r#"{"topic":""#);
                (topic.and_then(|it| it.split_once('"')).unwrap().0, None)
            }
        };
        assert_eq!(message.event == "gap", number.is_none(), "{message:?}");
        Self { topic: topic.parse().unwrap(), sequence, number, received_at: now() }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.number >= Some(FIRST_END)
    }
}

/// Returns the time, in the form of a sequence number.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap() << 20
}

pub(crate) fn data(topic: usize, number: u64) -> String {
    format!("{topic} {number}")
}

pub(crate) fn sequence(id: &str) -> u64 {
    id.split_once('-').unwrap().1.parse().unwrap()
}

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) gaps: usize,
    /// Acknowledged events that a client missed and whose loss a gap reported.
    pub(crate) lost: usize,
}

/// A time in which Redis lost something, in the form of sequence numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// No entry that marks the loss is older.
    pub(crate) began: u64,
    /// No event that was lost is newer.
    pub(crate) ended: u64,
}

impl Loss {
    pub(crate) const fn between(began: u64, ended: u64) -> Self {
        // The id of a gap can be the id before that of the entry that marks the loss.
        Self { began: (began << 20) - 1, ended: (ended + 1) << 20 }
    }
}

/// Checks all journals, and returns the first fault, if any. `losses` are the times in which Redis
/// lost something.
pub(crate) fn check(
    acknowledged: &[Acknowledged],
    journals: &[Journal],
    losses: &[Loss],
) -> Result<Verdict, String> {
    let mut verdict = Verdict::default();
    let by_number: HashMap<_, _> = acknowledged.iter().map(|event| (event.number, event)).collect();
    assert_eq!(by_number.len(), acknowledged.len(), "an event was acknowledged twice");
    for (client, journal) in journals.iter().enumerate() {
        let (mut seen, mut last) = (HashSet::new(), journal.start);
        for received in &journal.messages {
            let fault = |what: &str| Err(format!("client {client}: {received:?} is {what}"));
            if let Some(number) = received.number {
                if !seen.insert(number) {
                    return fault("doubled");
                }
                let is_mistaken = |event: &&Acknowledged| {
                    (event.sequence, event.topic) != (received.sequence, received.topic)
                };
                if by_number.get(&number).is_some_and(is_mistaken) {
                    return fault("of another id or topic");
                }
            }
            verdict.gaps += usize::from(received.number.is_none());
            if received.sequence < last + u64::from(received.number.is_some()) {
                return fault("out of order");
            }
            last = received.sequence;
        }
        let missing = acknowledged.iter().filter(|event| event.sequence > journal.start);
        for event in missing.filter(|event| !seen.contains(&event.number)) {
            if !is_reported(event, journal, losses) {
                return Err(format!("client {client}: {event:?} is lost in silence"));
            }
            verdict.lost += 1;
        }
    }
    Ok(verdict)
}

/// Returns whether a gap reports the missing event, among the later messages of the event's topic.
/// Newer events may precede the gap if Redis had already lost the missing event when the client
/// received the first of the newer ones.
fn is_reported(event: &Acknowledged, journal: &Journal, losses: &[Loss]) -> bool {
    let of_topic: Vec<_> = journal.messages.iter().filter(|it| it.topic == event.topic).collect();
    let is_before = |it: &&Received| it.number.is_some() && it.sequence < event.sequence;
    let place = of_topic.iter().rposition(is_before).map_or(0, |before| before + 1);
    let [next, later @ ..] = &of_topic[place..] else { return false };
    let published_at = event.sequence.min(event.acknowledged_at);
    let is_behind = |loss: &Loss| published_at < loss.ended && loss.began <= next.received_at;
    next.number.is_none()
        || losses.iter().any(is_behind) && later.iter().any(|message| message.number.is_none())
}

#[test]
fn check_finds_each_fault() {
    let event =
        |number| Acknowledged { topic: 0, number, sequence: number, acknowledged_at: number };
    let received =
        |sequence, number| Received { topic: 0, sequence, number, received_at: sequence };
    let got = |number| received(number, Some(number));
    let gap = |sequence| received(sequence, None);
    let losses = [12, 20].map(|began| Loss { began, ended: began + 1 });
    let checked_with = |acknowledged: &[Acknowledged], messages: &[Received]| {
        let journal = Journal { start: 10, messages: messages.to_vec() };
        check(acknowledged, &[journal], &losses).map(drop)
    };
    let acknowledged = [event(11), event(12), event(13)];
    let checked = |messages: &[Received]| checked_with(&acknowledged, messages);
    // Redis had not lost anything yet.
    let early = Received { received_at: 11, ..got(13) };
    for messages in [
        &[got(11), got(12), got(13)][..],
        &[got(11), gap(12), got(13)],
        // A process that knows nothing of the loss can be the first to publish after it.
        &[got(11), got(13), gap(20)],
    ] {
        assert_eq!(checked(messages), Ok(()), "{messages:?}");
    }
    for (messages, fault) in [
        (&[got(11), got(13)][..], "silence"),
        (&[got(11), got(12)], "silence"),
        (&[got(11), got(12), got(12), got(13)], "doubled"),
        (&[got(11), early, gap(20)], "silence"),
        (&[got(12), got(11), got(13)], "order"),
        (&[got(11), got(12), received(14, Some(13))], "another id"),
    ] {
        assert!(checked(messages).unwrap_err().contains(fault), "{messages:?}");
    }
    // The ids are ahead of the clock, and a newer event precedes the gap.
    let [lost, newer] =
        [(30, 20), (31, 22)].map(|(id, at)| Acknowledged { acknowledged_at: at, ..event(id) });
    let newer_first = [Received { received_at: 22, ..got(31) }, gap(32)];
    assert_eq!(checked_with(&[lost, newer], &newer_first), Ok(()));
    let late = Acknowledged { acknowledged_at: 21, ..lost };
    assert!(checked_with(&[late, newer], &newer_first).unwrap_err().contains("silence"));
}
