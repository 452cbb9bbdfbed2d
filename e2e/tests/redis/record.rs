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
    pub(crate) acknowledged: usize,
    pub(crate) deliveries: usize,
    pub(crate) gaps: usize,
    /// Acknowledged events that a client missed, and which a gap reported to it.
    pub(crate) lost: usize,
    /// Acknowledged events that a client missed without a gap.
    pub(crate) untold: usize,
    pub(crate) doubled: usize,
    pub(crate) out_of_order: usize,
    /// Gaps of a topic beyond one for each loss.
    pub(crate) superfluous: usize,
    /// Events with another id than the publisher received, or in another topic.
    pub(crate) mistaken: usize,
    /// The first few faults, in words.
    pub(crate) faults: Vec<String>,
}

impl Verdict {
    /// Panics if the check found anything except reported losses.
    #[track_caller]
    pub(crate) fn assert_faultless(&self) {
        assert!(self.faults.is_empty(), "{self}\n{}", self.faults.join("\n"));
        assert!(self.acknowledged > 0 && self.deliveries > 0, "nothing happened: {self}");
    }

    fn fault(&mut self, count: fn(&mut Self) -> &mut usize, text: impl FnOnce() -> String) {
        *count(self) += 1;
        if self.faults.len() < 10 {
            self.faults.push(text());
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, deliveries, gaps, lost, .. } = self;
        let Self { untold, doubled, out_of_order, superfluous, mistaken, .. } = self;
        write!(
            f,
            "{acknowledged} acknowledged, {deliveries} deliveries, {gaps} gaps, {lost} deliveries \
             lost and reported; {untold} lost in silence, {doubled} doubled, {out_of_order} out of \
             order, {superfluous} superfluous gaps, {mistaken} mistaken",
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
                verdict.fault(
                    |v| &mut v.out_of_order,
                    || format!("client {client}: {received:?} after {last}"),
                );
            }
            last = received.sequence;
            continue;
        };
        verdict.deliveries += 1;
        if !seen.insert(number) {
            verdict.fault(|v| &mut v.doubled, || format!("client {client}: {received:?} again"));
        } else if received.sequence <= last {
            verdict.fault(
                |v| &mut v.out_of_order,
                || format!("client {client}: {received:?} after {last}"),
            );
        }
        last = received.sequence;
        let is_mistaken = by_number.get(&number).is_some_and(|event| {
            (event.sequence, event.topic) != (received.sequence, received.topic)
        });
        if is_mistaken || !journal.topics.contains(&received.topic) {
            verdict.fault(|v| &mut v.mistaken, || format!("client {client}: {received:?}"));
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
            verdict.fault(
                |v| &mut v.superfluous,
                || format!("client {client}: {received:?} of loss {loss:?} of {losses:?}"),
            );
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
            _ => verdict.fault(
                |v| &mut v.untold,
                || {
                    let next = messages.peek();
                    format!("client {client}: {event:?} is missing, and next is {next:?}")
                },
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
    let acknowledged = [event(11), event(12), event(13)];
    let checked_with = |acknowledged: &[Acknowledged], messages: &[Received]| {
        let journal = Journal { topics: vec![0], start: 10, messages: messages.to_vec() };
        let verdict = check(acknowledged, &[journal], &losses);
        let Verdict { untold, doubled, out_of_order, superfluous, mistaken, .. } = verdict;
        [untold, doubled, out_of_order, superfluous, mistaken]
    };
    let checked = |messages: &[Received]| checked_with(&acknowledged, messages);
    assert_eq!(checked(&[got(11), got(12), got(13)]), [0; 5]);
    assert_eq!(checked(&[got(11), gap(12), got(13)]), [0; 5]);
    assert_eq!(checked(&[got(11), got(13)]), [1, 0, 0, 0, 0]);
    assert_eq!(checked(&[got(11), got(12)]), [1, 0, 0, 0, 0]);
    assert_eq!(checked(&[got(11), got(12), got(12), got(13)]), [0, 1, 0, 0, 0]);
    assert_eq!(checked(&[got(12), got(11), got(13)])[2], 1);
    assert_eq!(checked(&[gap(12), gap(12), got(13)]), [0, 0, 0, 1, 0]);
    assert_eq!(checked(&[gap(11), got(12), got(13)]), [0, 0, 0, 1, 0]);
    let first = Received { received_at: 21, ..gap(11) };
    assert_eq!(checked(&[first, Received { topic: 1, ..gap(21) }])[3], 0);
    // The ids are ahead of the clock, and the second gap comes late.
    let ahead = |at| Received { received_at: at, ..gap(40) };
    assert_eq!(checked(&[got(11), ahead(22), ahead(23)]), [0; 5]);
    assert_eq!(checked(&[got(11), ahead(13), ahead(14)])[3], 1);
    let other_id = received(14, Kind::Event { number: 13 });
    assert_eq!(checked(&[got(11), got(12), other_id])[4], 1);
    // A process that knows nothing of the loss can be the first to publish after it.
    assert_eq!(checked(&[got(11), got(13), gap(20)]), [0; 5]);
    // The ids are ahead of the clock, and a newer event precedes the gap.
    let [lost, newer] =
        [(30, 20), (31, 22)].map(|(id, at)| Acknowledged { acknowledged_at: at, ..event(id) });
    let newer_first = [Received { received_at: 22, ..got(31) }, gap(32)];
    assert_eq!(checked_with(&[lost, newer], &newer_first)[0], 0);
    let late = Acknowledged { acknowledged_at: 21, ..lost };
    assert_eq!(checked_with(&[late, newer], &newer_first)[0], 1);
    // Redis had not lost anything yet.
    let early = Received { received_at: 11, ..got(13) };
    assert_eq!(checked(&[got(11), early, gap(20)]), [1, 0, 0, 0, 0]);
    // Only the last gap of a loss has its id.
    let elsewhere = Received { topic: 1, ..gap(12) };
    let other = Received { received_at: 12, ..gap(11) };
    assert_eq!(checked(&[got(11), other, elsewhere, got(13)]), [0; 5]);
    assert_eq!(checked(&[got(11), other, got(13)])[0], 1);
    // The client reconnected while it was receiving the gaps.
    let repeated = Received { is_repeated: true, ..gap(12) };
    assert_eq!(checked(&[got(11), repeated, gap(12), got(13)]), [0; 5]);
}
