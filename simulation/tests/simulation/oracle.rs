//! Checks the history of a simulation against the guarantees in the crate's documentation.

mod tests;

use super::publications::number_of;
use crate::*;

/// How far a client's id may be ahead of a process's newest id before the process treats the
/// client's id as foreign: 60 seconds, as a difference of sequence numbers.
const MAX_LEAD: u64 = 60_000 << 20;

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) publications: Vec<Publication>,
    pub(crate) journals: Vec<Journal>,
    /// The ended lives: a process that starts again has a new one.
    pub(crate) stopped: BTreeSet<usize>,
    /// The stream at the end.
    pub(crate) kept: Option<Stream>,
    /// Whether a fault or the maximum age could remove entries.
    pub(crate) has_lost: bool,
    /// Whether a client's id could be too far ahead for a process: the clock was set, or a process
    /// started that did not know how far the ids were.
    pub(crate) may_be_ahead: bool,
    /// Whether each process that missed an entry knew this when it read the next entry, so that the
    /// gap precedes newer events.
    pub(crate) is_seen_at_once: bool,
    /// The times after the recovery in which no client may receive a gap, in milliseconds since the
    /// beginning.
    pub(crate) calm: Vec<Range<u64>>,
    /// For each event that was added while another copy of the stream had the event's id or a
    /// higher one, the time at which it was added.
    pub(crate) overtaken: BTreeMap<usize, u64>,
    /// All markers that processes added after losses.
    pub(crate) markers: Vec<Added>,
}

/// Returns the guarantees that were broken, and these counts:
///
/// - `acknowledged`: acknowledged events. `ends`: those that ended a topic, unless a fault could
///   remove entries.
/// - `delivered`: events that clients received.
/// - `anew`: the connections of clients whose id the process did not know, so that they began anew.
/// - `gaps`: gaps that clients received. `ahead`: those for a client whose id was too far ahead of
///   the process to which the client moved, because the process did not know yet that the clock
///   was set forward.
///
/// Three counts are of acknowledged events that a client did not receive:
///
/// - `reported`: a gap reported the event.
/// - `overtaken`: another copy of the stream had an id that was not below the event's, and the
///   client had such an id.
/// - `excused`: the stream and the remaining processes do not know the event, or do not know a
///   later event or gap that the client has received.
pub(crate) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let kept = kept_numbers(history, &mut verdict);
    let knowers = knowers(history);
    let is_forgotten = |number: usize| {
        !kept.contains(&number)
            && knowers.get(number).is_some_and(|lives| lives.is_subset(&history.stopped))
    };
    let events = history.publications.iter().enumerate();
    let mut ids: BTreeMap<_, _> =
        events.filter_map(|(number, event)| Some((number, event.acknowledged()?))).collect();
    verdict.count("acknowledged", ids.len());
    for (client, journal) in history.journals.iter().enumerate() {
        let name = format!("client {client}");
        check_messages(&name, journal, history, &mut ids, &mut verdict);
        check_complete(&name, journal, history, &is_forgotten, &mut verdict);
    }
    check_ends(history, &mut verdict);
    verdict
}

/// Returns the numbers of the events that the stream has at the end. Finds events that were refused
/// or are in the stream twice.
fn kept_numbers(history: &History, verdict: &mut Verdict) -> BTreeSet<usize> {
    let mut kept = BTreeSet::new();
    for (id, fields) in history.kept.iter().flat_map(Stream::entries) {
        let Some(number) = number_of(fields) else { continue };
        let is_refused = history.publications[number].result == Published::Refused;
        if is_refused || !kept.insert(number) {
            let why = if is_refused { "was refused" } else { "is there twice" };
            verdict.faults.push(format!("event {number} {why}, and is in the stream as {id}"));
        }
    }
    kept
}

/// Returns the lives of processes that knew of each event: the one that received the
/// acknowledgement, and those that delivered the event.
fn knowers(history: &History) -> Vec<BTreeSet<usize>> {
    let publishers = history.publications.iter();
    let publishers = publishers.map(|event| event.acknowledged().map(|_| event.life));
    let mut knowers: Vec<BTreeSet<_>> = publishers.map(|it| it.into_iter().collect()).collect();
    for received in history.journals.iter().flat_map(|journal| &journal.messages) {
        // The number of a forged event may belong to no publication.
        if let Kind::Event(number) = received.kind
            && let Some(knowers) = knowers.get_mut(number)
        {
            knowers.insert(received.life);
        }
    }
    knowers
}

/// Returns the newest sequence number whose loss the gap at `index` reports, or `None` if the gap
/// reports all events as lost.
///
/// If a loss causes a gap for each of several topics, only the last gap has the id of what is lost.
/// The others have the id of what the client has received, so a client that is cut off between the
/// gaps resumes there.
fn covers(messages: &[Received], index: usize) -> Option<u64> {
    let gap = messages[index];
    let same_gaps = messages[index + 1..]
        .iter()
        .take_while(|it| it.kind == Kind::Gap && !it.is_first && it.topic != gap.topic);
    let mut ends = same_gaps.map(|it| it.sequence);
    ends.find(|end| *end > gap.sequence).unwrap_or(gap.sequence)
}

/// Returns whether a gap that a client received at `received_at` is forgotten: every process that
/// sent the gap has stopped, and the stream has no marker of the gap, or only a later marker with
/// the same id.
fn is_forgotten_gap(history: &History, gap: u64, received_at: u64) -> bool {
    // A client that was cut off between the gaps of evicted events has the id before theirs.
    let is_same = |sequence: u64| sequence.abs_diff(gap) <= 1;
    // A copy of the stream that has lost the marker can have another marker with the same id.
    let later = history.markers.iter().filter(|marker| marker.at > received_at);
    let later = later.filter(|marker| is_same(sequence_of(&marker.id)));
    let replaced_at = later.map(|marker| marker.at).min();
    let gaps = history.journals.iter().flat_map(|journal| {
        let messages = journal.messages.iter().enumerate();
        let gaps = messages.filter(|(_, message)| message.kind == Kind::Gap);
        gaps.map(|(index, gap)| (gap, covers(&journal.messages, index)))
    });
    let mut senders = gaps
        .filter(|(_, covers)| covers.is_some_and(is_same))
        .map(|(sender, _)| sender)
        .filter(|sender| replaced_at.is_none_or(|at| sender.at < at));
    let entries = history.kept.iter().flat_map(Stream::entries);
    let mut markers = entries.filter(|(_, fields)| fields[0] == b"gap");
    senders.all(|sender| history.stopped.contains(&sender.life))
        && (replaced_at.is_some() || !markers.any(|(id, _)| is_same(sequence_of(&id.to_string()))))
}

fn sequence_of(id: &str) -> u64 {
    let (milliseconds, counter) = id.split_once('-').unwrap();
    (milliseconds.parse::<u64>().unwrap() << 20) + counter.parse::<u64>().unwrap()
}

/// Checks that a client's messages are in order, that none is doubled, refused or forged, that each
/// event has the same id for all clients, and that each gap has a reason.
fn check_messages(
    name: &str,
    journal: &Journal,
    history: &History,
    ids: &mut BTreeMap<usize, u64>,
    verdict: &mut Verdict,
) {
    let mut seen = BTreeSet::new();
    let mut last = journal.start.unwrap_or(0);
    let mut is_ahead = false;
    for received in &journal.messages {
        let sequence = received.sequence.unwrap_or(0);
        let is_in_order = match received.kind {
            Kind::Event(_) => sequence > last,
            // After an id that the hub cannot know, a client begins anew, at an older position.
            Kind::Gap => sequence >= last || received.is_first,
        };
        let begins_anew = sequence < last && received.is_first && received.kind == Kind::Gap;
        if begins_anew {
            seen.clear();
            verdict.count("anew", 1);
        }
        // A connection can begin with a gap for each of its topics. Of these, only the first is the
        // connection's first message.
        is_ahead = received.kind == Kind::Gap
            && if received.is_first { last > sequence + MAX_LEAD } else { is_ahead };
        last = sequence;
        let mut fault = |what: &str| verdict.faults.push(format!("{name}: {what}: {received:?}"));
        if !is_in_order {
            fault("out of order");
        }
        if begins_anew && !history.may_be_ahead {
            fault("begins anew");
        }
        let Kind::Event(number) = received.kind else {
            if history.calm.iter().any(|calm| calm.contains(&received.at)) {
                fault("a gap after the recovery");
            } else if !history.has_lost && !is_ahead {
                fault("a gap without a loss");
            }
            verdict.count("gaps", 1);
            verdict.count("ahead", usize::from(is_ahead));
            continue;
        };
        let event = history.publications.get(number);
        for (is_wrong, what) in [
            (!seen.insert(number), "doubled"),
            (event.is_some_and(|event| event.result == Published::Refused), "refused"),
            (event.is_none_or(|event| event.topic != received.topic), "forged"),
            (*ids.entry(number).or_insert(sequence) != sequence, "with another id"),
            (!journal.topics.contains(&received.topic), "of another topic"),
        ] {
            if is_wrong {
                fault(what);
            }
        }
        verdict.count("delivered", 1);
    }
}

/// Checks that the client received each acknowledged event of its topics, that a gap reported the
/// event, or that [`check`] counts it as overtaken or excused.
fn check_complete(
    name: &str,
    journal: &Journal,
    history: &History,
    is_forgotten: &impl Fn(usize) -> bool,
    verdict: &mut Verdict,
) {
    let Some(start) = journal.start else { return };
    let received: BTreeSet<_> = journal.messages.iter().map(|received| received.kind).collect();
    for (number, event) in history.publications.iter().enumerate() {
        let Some(sequence) = event.acknowledged() else { continue };
        let is_concerned = journal.topics.contains(&event.topic) && sequence > start;
        if !is_concerned || received.contains(&Kind::Event(number)) {
            continue;
        }
        let is_newer = |message: &Received| {
            matches!(message.kind, Kind::Event(_))
                && message.topic == event.topic
                && message.sequence > Some(sequence)
        };
        let newer = journal.messages.iter().position(is_newer).filter(|_| history.is_seen_at_once);
        // The gap of evicted events precedes the events that are left, and its id is below theirs.
        // A client that leaves before it has the id of the lost event or a later id must receive
        // the gap again.
        let passes = |index: usize| {
            let mut rest = journal.messages[index + 1..].iter().take_while(|it| !it.is_first);
            rest.any(|message| message.sequence >= Some(sequence))
        };
        let reports = |(index, message): (usize, &Received)| {
            message.kind == Kind::Gap
                && newer.is_none_or(|newer| index < newer)
                && message.topic == event.topic
                && message.at >= event.began_at
                && (covers(&journal.messages, index).is_none_or(|end| end >= sequence)
                    || passes(index))
        };
        // If an event or gap that a client received was then lost and forgotten, the stream can
        // reach the client's position again, with other events.
        let was_misled = || {
            journal.messages.iter().enumerate().any(|(index, message)| match message.kind {
                _ if message.sequence < Some(sequence) => false,
                Kind::Event(other) => is_forgotten(other),
                Kind::Gap => covers(&journal.messages, index)
                    .is_some_and(|gap| is_forgotten_gap(history, gap, message.at)),
            })
        };
        // The client had an id of the other copy that is not below the event's id.
        let was_ahead = |at: u64| {
            let mut before = journal.messages.iter().take_while(|message| message.at <= at);
            before.any(|message| message.sequence >= Some(sequence))
        };
        if journal.messages.iter().enumerate().any(reports) {
            verdict.count("reported", 1);
        } else if history.overtaken.get(&number).is_some_and(|at| was_ahead(*at)) {
            verdict.count("overtaken", 1);
        } else if is_forgotten(number) || was_misled() {
            verdict.count("excused", 1);
        } else {
            verdict.faults.push(format!(
                "{name}: event {number} of topic {} with the sequence number {sequence} is \
                 missing, and no gap reports it",
                event.topic
            ));
        }
    }
}

/// Checks that a process that has received the end of a topic accepts no event for this topic.
/// Checks nothing if the end could be lost.
fn check_ends(history: &History, verdict: &mut Verdict) {
    let ends = history.publications.iter().filter(|event| event.is_last && !history.has_lost);
    for (topic, end) in ends.filter_map(|event| Some((event.topic, event.acknowledged()?))) {
        verdict.count("ends", 1);
        for (number, event) in history.publications.iter().enumerate() {
            let is_after = event.position >= end && event.acknowledged() > Some(end);
            if event.topic == topic && is_after {
                verdict.faults.push(format!("event {number} is accepted after its topic's end"));
            }
        }
    }
}
