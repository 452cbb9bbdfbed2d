//! A record of publish results and of received events, and its check.

use crate::*;

/// The last event of each topic has a number from here on.
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
    /// Records an event that has just been acknowledged.
    pub(crate) fn now(topic: usize, number: u64, sequence: u64) -> Self {
        Self { topic, number, sequence, acknowledged_at: now() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Event { number: u64 },
    Gap,
}

/// The messages that one client received over all its connections.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) topics: Vec<usize>,
    /// The sequence number of the position at which it began.
    pub(crate) start: u64,
    pub(crate) messages: Vec<Received>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) topic: usize,
    pub(crate) sequence: u64,
    pub(crate) kind: Kind,
    /// The time, in the form of a sequence number.
    pub(crate) received_at: u64,
    /// The client reconnected with this id before it had the last gap of an item, so it receives
    /// the gap again.
    pub(crate) is_repeated: bool,
}

impl Received {
    /// Parses a message that a client has just received.
    pub(crate) fn now(message: &Message) -> Self {
        let sequence = sequence(&message.last_event_id);
        let (topic, kind) = match message.data.split_once(' ') {
            Some((topic, number)) => (topic, Kind::Event { number: number.parse().unwrap() }),
            None => (&*message.data, Kind::Gap),
        };
        assert_eq!(message.event == "gap", kind == Kind::Gap, "{message:?}");
        let topic = topic.parse().unwrap();
        Self { topic, sequence, kind, received_at: now(), is_repeated: false }
    }

    /// Returns whether this is the last event of its topic.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self.kind, Kind::Event { number } if number >= FIRST_END)
    }
}

/// Returns the time, in the form of a sequence number.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap() << 20
}

/// Returns the data of an event.
pub(crate) fn data(topic: usize, number: u64) -> String {
    format!("{topic} {number}")
}

/// Returns the sequence number of an id.
pub(crate) fn sequence(id: &str) -> u64 {
    id.split_once('-').unwrap().1.parse().unwrap()
}

impl Journal {
    /// Records that the client reconnects with the id of its last message.
    pub(crate) fn reconnect(&mut self) {
        let Some(last) = self.messages.last().copied() else { return };
        let is_same = |it: &Received| it.kind == Kind::Gap && it.sequence == last.sequence;
        let others = self.messages.iter().rposition(|it| !is_same(it));
        let before = others.map(|index| self.messages[index]);
        // The last gap of a loss has another id than those before it.
        if self.topics.len() == 1 || before.is_some_and(|it| it.kind == Kind::Gap) {
            return;
        }
        for received in self.messages.iter_mut().rev().take_while(|it| is_same(it)) {
            received.is_repeated = true;
        }
    }

    /// Gives all gaps of a loss the id of the last one, which alone has the position of the loss. The
    /// others have the id of what the client has received.
    fn with_ids_of_losses(&self) -> Self {
        let mut messages = self.messages.clone();
        let mut last = None;
        let mut topics = HashSet::new();
        for received in messages.iter_mut().rev() {
            let is_gap = received.kind == Kind::Gap && !received.is_repeated;
            if !is_gap || topics.contains(&received.topic) {
                topics.clear();
                last = None;
            }
            if is_gap {
                topics.insert(received.topic);
                received.sequence = *last.get_or_insert(received.sequence);
            }
        }
        Self { topics: self.topics.clone(), start: self.start, messages }
    }
}

/// The counts of the check.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    acknowledged: usize,
    deliveries: usize,
    pub(crate) gaps: usize,
    /// Acknowledged events that a client missed, and which a gap reported to it.
    pub(crate) lost: usize,
    /// The number of faults of each kind.
    faults: BTreeMap<&'static str, usize>,
    /// The first few faults, in words.
    examples: Vec<String>,
}

// The kinds of faults.
/// An acknowledged event that a client missed without a gap.
const UNTOLD: &str = "lost in silence";
const DOUBLED: &str = "doubled";
const OUT_OF_ORDER: &str = "out of order";
/// A gap of a topic beyond one for each loss.
const SUPERFLUOUS: &str = "superfluous gaps";
/// An event with another id than the publisher received, or in another topic.
const MISTAKEN: &str = "mistaken";

impl Verdict {
    /// Panics if the check found anything except reported losses.
    #[track_caller]
    pub(crate) fn assert_faultless(&self) {
        assert!(self.faults.is_empty(), "{self}\n{}", self.examples.join("\n"));
        assert!(self.acknowledged > 0 && self.deliveries > 0, "nothing happened: {self}");
    }

    fn fault(&mut self, kind: &'static str, text: String) {
        *self.faults.entry(kind).or_default() += 1;
        if self.examples.len() < 10 {
            self.examples.push(text);
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, deliveries, gaps, lost, faults, .. } = self;
        write!(
            f,
            "{acknowledged} acknowledged, {deliveries} deliveries, {gaps} gaps, {lost} deliveries \
             lost and reported, faults: {faults:?}",
        )
    }
}

/// A time in which Redis lost something, in the form of sequence numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// No marker of the loss is older.
    pub(crate) began: u64,
    /// No event that was lost is newer.
    pub(crate) ended: u64,
}

impl Loss {
    pub(crate) const fn between(began: u64, ended: u64) -> Self {
        // The id of a gap can be that before the marker's.
        Self { began: (began << 20) - 1, ended: (ended + 1) << 20 }
    }
}

/// Checks all journals. `losses` are the times in which Redis lost something, so of
/// which each client may receive one gap of each topic after it.
pub(crate) fn check(
    acknowledged: &[Acknowledged],
    journals: &[Journal],
    losses: &[Loss],
) -> Verdict {
    let mut verdict = Verdict { acknowledged: acknowledged.len(), ..Verdict::default() };
    let by_number: HashMap<_, _> = acknowledged.iter().map(|event| (event.number, event)).collect();
    assert_eq!(by_number.len(), acknowledged.len(), "an event was acknowledged twice");
    let mut by_topic: HashMap<usize, Vec<&Acknowledged>> = HashMap::new();
    for event in acknowledged {
        by_topic.entry(event.topic).or_default().push(event);
    }
    for (client, journal) in journals.iter().enumerate() {
        check_order(client, journal, &by_number, &mut verdict);
        let journal = &journal.with_ids_of_losses();
        check_gaps(client, journal, losses, &mut verdict);
        for topic in &journal.topics {
            let events = by_topic.get(topic).map_or(&[][..], Vec::as_slice);
            check_topic(client, journal, *topic, events, losses, &mut verdict);
        }
    }
    verdict
}

fn check_order(
    client: usize,
    journal: &Journal,
    by_number: &HashMap<u64, &Acknowledged>,
    verdict: &mut Verdict,
) {
    let mut seen = HashSet::new();
    let mut last = journal.start;
    for received in &journal.messages {
        let Kind::Event { number } = received.kind else {
            if received.sequence < last {
                verdict.fault(OUT_OF_ORDER, format!("client {client}: {received:?} after {last}"));
            }
            last = received.sequence;
            continue;
        };
        verdict.deliveries += 1;
        if !seen.insert(number) {
            verdict.fault(DOUBLED, format!("client {client}: {received:?} again"));
        } else if received.sequence <= last {
            verdict.fault(OUT_OF_ORDER, format!("client {client}: {received:?} after {last}"));
        }
        last = received.sequence;
        let is_mistaken = by_number.get(&number).is_some_and(|event| {
            (event.sequence, event.topic) != (received.sequence, received.topic)
        });
        if is_mistaken || !journal.topics.contains(&received.topic) {
            verdict.fault(MISTAKEN, format!("client {client}: {received:?}"));
        }
    }
}

fn check_gaps(client: usize, journal: &Journal, losses: &[Loss], verdict: &mut Verdict) {
    let mut reported = HashSet::new();
    for (at, received) in journal.messages.iter().enumerate() {
        if received.kind != Kind::Gap || received.is_repeated {
            continue;
        }
        verdict.gaps += 1;
        // A process that connects in the millisecond of a marker sets the ids up to seconds ahead of
        // the clock. The id then does not tell of which loss a gap is.
        let is_ahead = received.sequence > received.received_at;
        let loss_until = |gap: &Received| {
            let newest = gap.sequence.min(received.received_at);
            losses.iter().enumerate().rposition(|(number, loss)| {
                let is_reported = reported.contains(&(received.topic, Some(number)));
                loss.began <= newest && !(is_ahead && is_reported)
            })
        };
        // Gaps before the last one of their loss can have the id of what the client has received.
        let rest = journal.messages[at..].iter().take_while(|message| message.kind == Kind::Gap);
        let loss = { rest }.find_map(loss_until);
        if loss.is_none() || !reported.insert((received.topic, loss)) {
            let text = format!("client {client}: {received:?} of loss {loss:?} of {losses:?}");
            verdict.fault(SUPERFLUOUS, text);
        }
    }
}

/// Checks that each event was received, or that a later message of its topic is a gap. Newer events
/// can precede the gap.
fn check_topic(
    client: usize,
    journal: &Journal,
    topic: usize,
    events: &[&Acknowledged],
    losses: &[Loss],
    verdict: &mut Verdict,
) {
    let mut events: Vec<_> =
        events.iter().filter(|event| event.sequence > journal.start).copied().collect();
    events.sort_unstable_by_key(|event| event.sequence);
    let mut messages = journal.messages.iter().filter(|message| message.topic == topic).peekable();
    for event in events {
        while messages.next_if(|message| message.sequence < event.sequence).is_some() {}
        match messages.peek().map(|message| message.kind) {
            Some(Kind::Event { number }) if number == event.number => {}
            _ if is_reported(event, messages.clone(), losses) => verdict.lost += 1,
            next => verdict.fault(
                UNTOLD,
                format!("client {client}: {event:?} is missing, and next is {next:?}"),
            ),
        }
    }
}

/// Returns whether an event is reported by one of the messages after its place. Redis must have lost
/// it when the client received the first of them.
fn is_reported<'a>(
    event: &Acknowledged,
    mut messages: impl Iterator<Item = &'a Received>,
    losses: &[Loss],
) -> bool {
    let Some(next) = messages.next() else { return false };
    let published_at = event.sequence.min(event.acknowledged_at);
    let is_behind = |loss: &Loss| published_at < loss.ended && loss.began <= next.received_at;
    next.kind == Kind::Gap
        || losses.iter().any(is_behind) && messages.any(|message| message.kind == Kind::Gap)
}

#[test]
fn check_finds_each_fault() {
    let event =
        |number| Acknowledged { topic: 0, number, sequence: number, acknowledged_at: number };
    let received = |sequence, kind| Received {
        topic: 0,
        sequence,
        kind,
        received_at: sequence,
        is_repeated: false,
    };
    let got = |number| received(number, Kind::Event { number });
    let gap = |sequence| received(sequence, Kind::Gap);
    let losses = [12, 20].map(|began| Loss { began, ended: began + 1 });
    let checked_with = |acknowledged: &[Acknowledged], messages: &[Received]| {
        let journal = Journal { topics: vec![0], start: 10, messages: messages.to_vec() };
        check(acknowledged, &[journal], &losses).faults
    };
    let acknowledged = [event(11), event(12), event(13)];
    let checked = |messages: &[Received]| checked_with(&acknowledged, messages);
    let later = |at, it: Received| Received { received_at: at, ..it };
    let elsewhere = |it: Received| Received { topic: 1, ..it };
    // Ids that are ahead of the clock.
    let ahead = |at| later(at, gap(40));
    // Only the last gap of a loss has its id.
    let other = later(12, gap(11));
    for messages in [
        &[got(11), got(12), got(13)][..],
        &[got(11), gap(12), got(13)],
        // The ids are ahead of the clock, and the second gap comes late.
        &[got(11), ahead(22), ahead(23)],
        // A process that knows nothing of the loss can be the first to publish after it.
        &[got(11), got(13), gap(20)],
        &[got(11), other, elsewhere(gap(12)), got(13)],
        // The client reconnected while it was receiving the gaps.
        &[got(11), Received { is_repeated: true, ..gap(12) }, gap(12), got(13)],
    ] {
        assert_eq!(checked(messages), BTreeMap::new(), "{messages:?}");
    }
    for (messages, fault) in [
        (&[got(11), got(13)][..], UNTOLD),
        (&[got(11), got(12)], UNTOLD),
        (&[got(11), got(12), got(12), got(13)], DOUBLED),
        (&[gap(12), gap(12), got(13)], SUPERFLUOUS),
        (&[gap(11), got(12), got(13)], SUPERFLUOUS),
        // Redis had not lost anything yet.
        (&[got(11), later(11, got(13)), gap(20)], UNTOLD),
    ] {
        assert_eq!(checked(messages), BTreeMap::from([(fault, 1)]), "{messages:?}");
    }
    for (messages, fault, count) in [
        (&[got(12), got(11), got(13)][..], OUT_OF_ORDER, Some(1)),
        (&[later(21, gap(11)), elsewhere(gap(21))], SUPERFLUOUS, None),
        (&[got(11), ahead(13), ahead(14)], SUPERFLUOUS, Some(1)),
        (&[got(11), got(12), received(14, Kind::Event { number: 13 })], MISTAKEN, Some(1)),
        (&[got(11), other, got(13)], UNTOLD, Some(1)),
    ] {
        assert_eq!(checked(messages).get(fault).copied(), count, "{messages:?}");
    }
    // The ids are ahead of the clock, and a newer event precedes the gap.
    let [lost, newer] =
        [(30, 20), (31, 22)].map(|(id, at)| Acknowledged { acknowledged_at: at, ..event(id) });
    let newer_first = [later(22, got(31)), gap(32)];
    assert_eq!(checked_with(&[lost, newer], &newer_first).get(UNTOLD), None);
    let late = Acknowledged { acknowledged_at: 21, ..lost };
    assert_eq!(checked_with(&[late, newer], &newer_first)[UNTOLD], 1);
}
