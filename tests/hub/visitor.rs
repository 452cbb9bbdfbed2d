//! A client of the hub that checks every message against [`Naive`](crate::model), a simple hub.

use crate::*;

/// The number of topics up to which the hub looks at each topic for each event.
const FEW: usize = 4;

/// A client that connects and disconnects, and the messages that are due to it.
#[derive(Default)]
pub(crate) struct Visitor {
    connection: Option<Client>,
    /// The process that the client is or was connected to.
    pub(crate) process: usize,
    pub(crate) topics: Vec<usize>,
    pub(crate) recent: usize,
    pub(crate) is_greeted: bool,
    pub(crate) last: Option<LastEventId>,
    /// For each topic of the client: the newest sequence number that was sent, or reported as a
    /// gap.
    served: Vec<u64>,
    /// The same, with the gaps from before the client's first visit that the newest id is past.
    skipped: Vec<u64>,
    /// For each topic of the client: whether a gap is due because the hub cannot know what the
    /// client has seen.
    gap_due: Vec<bool>,
    /// The sequence number in the newest id of this hub that the client has.
    newest: u64,
    /// The sequence number up to which losses were reported or do not concern this client.
    loss_seen: u64,
    /// While a loss is being reported: the number of its gaps that the client has received.
    loss_gaps: usize,
    /// Whether the client sent a foreign id, and has received no id of this hub yet.
    is_foreign: bool,
    /// After a malformed id, a gap for each topic comes first. The last of these gaps is at this
    /// position, unless a greeting follows.
    gaps_at: Option<u64>,
    /// The position that the greeting must have as its id, while the greeting is due.
    greeting_due: Option<u64>,
    /// The last event id before the last item, and after each of its messages.
    pub(crate) ids: Vec<Option<LastEventId>>,
}

impl Visitor {
    pub(crate) fn connect(&mut self, world: &mut World, process: usize) {
        assert!(self.connection.is_none());
        self.process = process;
        let Process { hub, naive, .. } = &mut world.processes[process];
        let names = self.topics.iter().map(|topic| TOPICS[*topic]);
        let mut subscribe = hub.subscribe(names).recent(self.recent);
        if self.is_greeted {
            let greeting = Event::new().event("greeting").data("hello").id("of no use");
            subscribe = subscribe.greeting(greeting);
        }
        self.connection = Some(Client::new(subscribe.resume(self.last.clone())));
        for topic in &self.topics {
            naive.subscribe(hub, *topic);
        }
        let epoch = hub.position().as_str().split_once('-').unwrap().0.to_owned();
        let parts = self.last.as_ref().and_then(|last| last.as_str().split_once('-'));
        let is_foreign = matches!(parts, Some(("zz", "1") | ("1", "0")));
        let ours = parts.filter(|(of, _)| *of == epoch).and_then(|(_, n)| n.parse().ok());
        let ours = ours.filter(|sequence| *sequence <= world.newest);
        let first_visit = naive.before_recent(&self.topics, self.recent);
        let begin = |topic: &usize| match ours {
            Some(seen) => seen,
            None if is_foreign => 0,
            None => first_visit.max(naive.evicted_up_to(*topic)),
        };
        self.served = self.topics.iter().map(begin).collect();
        self.skipped = self.served.clone();
        self.gap_due = vec![self.last.is_some() && ours.is_none(); self.topics.len()];
        self.gaps_at = (self.gap_due[0] && !is_foreign).then_some(first_visit);
        let is_greeted = self.is_greeted && ours.is_none() && !is_foreign;
        self.greeting_due = is_greeted.then_some(first_visit);
        self.newest = ours.unwrap_or(if is_foreign { 0 } else { first_visit });
        self.loss_seen = ours.unwrap_or(naive.newest);
        self.loss_gaps = 0;
        self.is_foreign = is_foreign;
        self.ids.clear();
    }

    pub(crate) fn disconnect(&mut self, world: &mut World) {
        if self.connection.take().is_some() {
            let naive = &mut world.processes[self.process].naive;
            self.topics.iter().for_each(|topic| naive.subscribers[*topic] -= 1);
        }
    }

    pub(crate) fn poll(&mut self, world: &mut World) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        let naive = &mut world.processes[self.process].naive;
        match connection.poll() {
            Poll::Ready(Some(messages)) => {
                naive.gaps += messages.iter().filter(|it| it.event == "gap").count() as u64;
                self.ids = vec![self.last.clone()];
                let reason = connection.reason.clone();
                self.skip_evicted(&messages, naive);
                for message in messages {
                    self.check(&message, reason.as_deref(), naive);
                    self.note_skipped(naive);
                    self.ids.push(self.last.clone());
                }
                true
            }
            polled => {
                assert_eq!(self.greeting_due, None, "pending, and the greeting is due");
                assert_eq!(self.due_loss(naive), None, "pending, and a loss is due");
                assert_eq!(self.loss_gaps, 0, "all gaps of a loss are one item");
                self.skip_evicted(&[], naive);
                self.skip_gaps(u64::MAX, naive);
                for index in 0..self.topics.len() {
                    assert!(self.missed(index, naive).is_none(), "pending, and there is more");
                    assert!(!self.gap_due[index], "pending, and a gap is due");
                }
                if polled.is_ready() {
                    self.disconnect(world);
                }
                false
            }
        }
    }

    fn check(&mut self, message: &Message, reason: Option<&str>, naive: &Naive) {
        if message.event == "greeting" {
            self.last = Some(last_id(&message.last_event_id));
            assert_eq!(self.greeting_due.take(), Some(sequence(&message.last_event_id)));
            assert!(!self.gap_due.contains(&true), "after all gaps");
            return;
        }
        let is_gap = message.event == "gap";
        let name = if is_gap { &message.data } else { &message.data[..1] };
        let index =
            self.topics.iter().position(|topic| TOPICS[*topic] == name).expect("one of its topics");
        if is_gap && self.is_of_loss(index, reason, naive) {
            self.check_gap_of_loss(message, naive);
            return;
        }
        assert_eq!(self.loss_gaps, 0, "the gaps of a loss are together");
        let gap_due = std::mem::take(&mut self.gap_due[index]);
        self.last = Some(last_id(&message.last_event_id));
        if let Some(at) = self.gaps_at
            && gap_due
        {
            assert!(is_gap);
            let is_last = !self.gap_due.contains(&true);
            if is_last {
                self.newest = at;
            }
            if is_last && self.greeting_due.is_none() {
                assert_eq!(sequence(&message.last_event_id), at);
            } else {
                assert_eq!(&*message.last_event_id, "0-0");
            }
            return;
        }
        assert_eq!(self.greeting_due, None, "the greeting comes before all but these gaps");
        if is_gap {
            self.check_gap(index, gap_due, message, reason, naive);
            return;
        }
        let number = sequence(&message.last_event_id);
        let is_due = |it| self.own_gap(it, naive).is_some_and(|gap| gap < number);
        assert!(!(0..self.topics.len()).any(is_due), "gaps come first");
        self.is_foreign = false;
        let is_before_loss = self.due_loss(naive).is_none_or(|loss| number < loss);
        assert!(is_before_loss, "from after a loss that was not reported");
        self.skip_gaps(number, naive);
        let missed = self.missed(index, naive).expect("an event");
        assert!(number > self.newest, "in order, without duplicates");
        assert!(!missed.evicted, "the event was evicted, and no gap reported");
        assert_eq!(missed.sequence, number, "the very next event");
        (self.served[index], self.newest) = (number, number);
    }

    /// Checks a gap of evicted events, which comes first, or one that the program has reported.
    fn check_gap(
        &mut self,
        index: usize,
        gap_due: bool,
        message: &Message,
        reason: Option<&str>,
        naive: &Naive,
    ) {
        let evicted = naive.evicted_up_to(self.topics[index]);
        let is_evicted = gap_due || evicted > self.served[index];
        let reported = self.reported_gap(index, naive).filter(|_| !is_evicted);
        assert!(is_evicted || reported.is_some(), "a gap, and nothing was evicted");
        assert_eq!(is_evicted, reason != Some("reported"));
        let served = reported.unwrap_or(evicted).max(self.served[index]);
        self.served[index] = served;
        self.skip_gaps(reported.unwrap_or(0), naive);
        // Skip later gaps only for this check, because the hub can still evict them.
        let passed = self.served.clone();
        self.skip_gaps(u64::MAX, naive);
        let mut others = 0..self.topics.len();
        // The gaps of evicted events come together.
        if is_evicted && others.any(|other| self.has_evicted(other, naive)) {
            self.check_id_before_gaps(message);
        } else {
            self.check_id_of_gap(served, message, naive);
        }
        self.served = passed;
    }

    fn check_id_of_gap(&mut self, served: u64, message: &Message, naive: &Naive) {
        self.is_foreign = false;
        // The id is never past an event, a gap or a loss that the client has yet to receive.
        let item = |it| Some(self.last_of_gaps(it, self.missed(it, naive)?, naive));
        let left = (0..self.topics.len()).filter_map(item).chain(self.due_loss(naive)).min();
        let passed = self.served.iter().copied().filter(|it| left.is_none_or(|left| *it < left));
        let number = sequence(&message.last_event_id);
        let is_alone = self.topics.len() == 1;
        let expected = if is_alone { served } else { passed.max().unwrap_or(0).max(self.newest) };
        // The id can be lower if a gap was reported before the first visit.
        let is_held_back =
            self.loss_seen > self.newest && (self.newest..expected).contains(&number);
        assert!(number == expected || is_held_back, "{number} is not {expected}");
        self.newest = number;
        // The gap of a single topic includes the losses before it.
        self.loss_seen = self.loss_seen.max(number);
    }

    /// Asserts that a gap which others follow has the id from before the gaps, or `1-0` after a
    /// foreign id. A client that leaves between the gaps then receives all of them again.
    fn check_id_before_gaps(&self, message: &Message) {
        if self.is_foreign {
            assert_eq!(&*message.last_event_id, "1-0");
        } else {
            assert_eq!(sequence(&message.last_event_id), self.newest);
        }
    }

    fn has_evicted(&self, index: usize, naive: &Naive) -> bool {
        self.gap_due[index] || naive.evicted_up_to(self.topics[index]) > self.served[index]
    }

    /// Skips the gaps up to `end` that this client is not sent, because they are from before its
    /// first visit.
    fn skip_gaps(&mut self, end: u64, naive: &Naive) {
        for (topic, served) in self.topics.iter().zip(&mut self.served) {
            let is_older = |item: &&Published| {
                item.is_gap && !item.evicted && item.sequence <= self.loss_seen.min(end)
            };
            let next = naive.items(*topic).filter(|item| item.sequence > *served);
            *served = next.take_while(is_older).last().map_or(*served, |gap| gap.sequence);
        }
    }

    fn note_skipped(&mut self, naive: &Naive) {
        let served = self.served.clone();
        self.skip_gaps(self.newest, naive);
        self.skipped = std::mem::replace(&mut self.served, served);
    }

    /// Of many topics, the hub may have skipped a gap before it evicted it. Then it doesn't report
    /// it.
    fn skip_evicted(&mut self, messages: &[Message], naive: &Naive) {
        if self.topics.len() <= FEW {
            return;
        }
        let is_reported =
            |topic: usize| messages.iter().any(|it| it.event == "gap" && it.data == TOPICS[topic]);
        let topics = self.topics.iter().zip(&mut self.served).zip(&self.skipped);
        for ((topic, served), skipped) in topics {
            let evicted = naive.evicted_up_to(*topic);
            if *served < evicted && evicted <= *skipped && !is_reported(*topic) {
                *served = *skipped;
            }
        }
    }

    /// Returns the next event or gap of a topic. Gaps from before a first visit do not count,
    /// unless events were evicted with them.
    fn missed<'n>(&self, index: usize, naive: &'n Naive) -> Option<&'n Published> {
        naive.items(self.topics[index]).find(|item| {
            let counts = !item.is_gap || item.evicted || item.sequence > self.loss_seen;
            item.sequence > self.served[index] && counts
        })
    }

    /// Returns the sequence number of the next item of a topic, if that is a gap that the program
    /// reported. Of several such gaps without an event between them, this is the last.
    fn reported_gap(&self, index: usize, naive: &Naive) -> Option<u64> {
        let first = self.missed(index, naive).filter(|item| item.is_gap && !item.evicted)?;
        Some(self.last_of_gaps(index, first, naive))
    }

    /// Returns the sequence number of an item, or of the last gap of those that one gap reports
    /// because no event is between them.
    fn last_of_gaps(&self, index: usize, first: &Published, naive: &Naive) -> u64 {
        let rest = naive.items(self.topics[index]).filter(|item| item.sequence >= first.sequence);
        rest.take_while(|item| item.is_gap).last().map_or(first.sequence, |gap| gap.sequence)
    }

    /// Returns the sequence number before which the gap comes that is due in this topic alone. A
    /// gap of evicted events has 0, because it comes before all others. But a client of many topics
    /// may receive events that are older than the evicted events before it.
    fn own_gap(&self, index: usize, naive: &Naive) -> Option<u64> {
        if !self.has_evicted(index, naive) {
            return self.reported_gap(index, naive);
        }
        if self.gap_due[index] || self.topics.len() <= FEW {
            return Some(0);
        }
        // The hub may have queued gaps of the program before it evicted them, as one gap.
        self.missed(index, naive).map(|first| self.last_of_gaps(index, first, naive))
    }

    fn due_loss(&self, naive: &Naive) -> Option<u64> {
        naive.losses.iter().copied().find(|loss| *loss > self.loss_seen)
    }

    /// Returns whether an event that was not sent, or a gap of one topic, is in this range.
    fn is_unread(&self, range: Range<u64>, naive: &Naive) -> bool {
        let mut topics = self.topics.iter().zip(&self.served).enumerate();
        topics.any(|(index, (topic, served))| {
            let mut kept = naive.kept(*topic).map(|event| event.sequence);
            kept.any(|sequence| sequence > *served && range.contains(&sequence))
                || self.own_gap(index, naive).is_some_and(|gap| range.contains(&gap))
        })
    }

    /// Returns whether a gap of this topic reports a loss of all topics.
    fn is_of_loss(&self, index: usize, reason: Option<&str>, naive: &Naive) -> bool {
        let is_lost = reason == Some("lost");
        let is_at_start = self.gaps_at.is_some() && self.gap_due[index];
        let due = self.due_loss(naive).filter(|_| !is_at_start);
        let must_be =
            due.is_some_and(|loss| self.own_gap(index, naive).is_none_or(|gap| gap > loss));
        // A gap of evicted events from after the loss can come with one from before it.
        let may_be_own = self.topics.len() > FEW && self.has_evicted(index, naive);
        assert!(is_lost == must_be || may_be_own && !is_lost, "a gap because of {reason:?}");
        is_lost
    }

    fn check_gap_of_loss(&mut self, message: &Message, naive: &Naive) {
        assert_eq!(self.greeting_due, None, "the greeting comes before");
        let due = self.due_loss(naive).expect("a loss");
        self.skip_gaps(due, naive);
        assert!(!self.is_unread(0..due, naive), "an event or a gap is before");
        assert_eq!(message.data, TOPICS[self.topics[self.loss_gaps]], "each topic once");
        self.last = Some(last_id(&message.last_event_id));
        self.loss_gaps += 1;
        let is_last = self.loss_gaps == self.topics.len();
        if !is_last {
            self.check_id_before_gaps(message);
            return;
        }
        let loss = sequence(&message.last_event_id);
        assert!(naive.losses.contains(&loss));
        // Losses with nothing between them can be reported as one.
        assert!(!self.is_unread(due..loss, naive), "an event is between");
        (self.loss_seen, self.newest, self.loss_gaps) = (loss, loss, 0);
        self.is_foreign = false;
        self.served.iter_mut().for_each(|served| *served = loss.max(*served));
        self.gap_due.fill(false);
    }
}
