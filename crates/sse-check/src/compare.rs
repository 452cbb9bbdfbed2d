//! Compares streams that should have the same events: at two addresses, or after a reconnection.

use std::collections::{HashMap, HashSet, VecDeque};
use std::{ops::RangeInclusive, time::Duration};

use http::Method;

use crate::finding::{Finding, Verdict, quoted, time};
use crate::recording::{End, Event, Stream, bursts};
use crate::{answer::proxy_page, session::Resumption, session::Session};

/// Events are late if their median delay is at least this much longer than connecting took.
const LATE: Duration = Duration::from_millis(150);
/// Events that came together were held back if they came at least this far apart on the inner
/// stream.
const APART: Duration = Duration::from_millis(250);
/// An event sent less than this before the end of the watch may still be on its way.
const UNDERWAY: Duration = Duration::from_secs(1);
const HUB: &str = "hub/";
const COMPRESSION: &str = "guide/upstreams/#compression";
const HIDDEN: &str = "guide/proxies/#what-a-proxy-hides";
const GAPS: &str = "hub/enum.GapPolicy.html";
const NEWEST: &str = "struct.Retention.html#method.latest";
const OWN: &str = "each stream has events that the other lacks, which is right if newer events \
                   replace older ones";

/// The property by which events of two streams are matched.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Basis {
    Ids,
    /// Name and data.
    Data,
    /// Only the order of the events: the streams have different data, or many events are alike.
    Order,
}

/// The same stream at two addresses. `outer` is nearer to the client, `inner` to the server.
struct Hop<'a> {
    outer: &'a Stream,
    inner: &'a Stream,
    basis: Basis,
    /// Each matched event's indices in the inner and the outer stream, in the outer's order.
    pairs: Vec<(usize, usize)>,
}

impl<'a> Hop<'a> {
    fn new(outer: &'a Stream, inner: &'a Stream) -> Self {
        let (basis, pairs) = pair(&inner.events, &outer.events);
        Self { outer, inner, basis, pairs }
    }

    fn events(&self) -> impl Iterator<Item = (&'a Event, &'a Event)> {
        let (inner, outer) = (&self.inner.events, &self.outer.events);
        self.pairs.iter().filter_map(|(a, b)| inner.get(*a).zip(outer.get(*b)))
    }

    /// Returns the index after the last inner event that the outer stream has too.
    fn after_pairs(&self) -> usize {
        self.pairs.iter().map(|(inner, _)| inner + 1).max().unwrap_or(0)
    }

    /// Returns the inner events after those that the outer stream has, up to the last event that was
    /// sent long enough before the outer recording ended.
    fn waiting(&self) -> &'a [Event] {
        let first = match self.basis {
            Basis::Order => self.outer.events.len(),
            _ => self.after_pairs(),
        };
        let after = self.inner.events.get(first..).unwrap_or_default();
        let len = after.partition_point(|it| it.at + UNDERWAY < self.outer.recording.end_at);
        after.get(..len).unwrap_or_default()
    }

    /// Returns the inner events after the last matched one, if both streams have ended.
    fn missing_at_the_end(&self) -> &'a [Event] {
        let are_over = [self.outer, self.inner].iter().all(|it| it.recording.end != End::Open);
        let last = self.inner.events.get(self.after_pairs()..).filter(|_| are_over);
        last.unwrap_or_default()
    }

    /// Counts the events that came together on the outer stream, but apart on the inner stream.
    fn bunched(&self) -> usize {
        let events: Vec<_> = self.events().collect();
        let is_bunch = |group: &&[(&Event, &Event)]| {
            let sent = group.iter().map(|(inner, _)| inner.at);
            let (first, last) = (sent.clone().min(), sent.max());
            first.is_some_and(|first| last >= Some(first + APART))
        };
        let groups = bursts(&events, |(_, outer)| outer.at).into_iter();
        groups.filter(is_bunch).map(<[_]>::len).sum()
    }

    /// Describes up to three events: those not received yet, then those with the longest delays.
    fn samples(&self) -> Vec<String> {
        let mut events: Vec<_> = self.events().collect();
        events.sort_by_key(|(inner, outer)| std::cmp::Reverse(outer.at.saturating_sub(inner.at)));
        let sent = |it: &Event| format!("{} sent after {}", quoted(&it.data), time(it.at));
        let waiting = self.waiting().iter().map(|it| format!("{}, not received yet", sent(it)));
        let came = events.into_iter().map(|(inner, outer)| (sent(inner), time(outer.at)));
        let came = came.map(|(sent, came)| format!("{sent}, received after {came}"));
        waiting.chain(came).take(3).collect()
    }
}

/// Pairs the events of two streams by ids, else by name and data, else by order up to the first
/// difference in names. Ids, or names and data, must tell most of the inner events apart and match
/// at least half of the events of the shorter stream.
fn pair(inner: &[Event], outer: &[Event]) -> (Basis, Vec<(usize, usize)>) {
    for basis in [Basis::Ids, Basis::Data] {
        let key = |event: &Event| match basis {
            _ if event.is_own() => None,
            Basis::Ids => event.id.clone().map(String::into_bytes),
            _ => Some([event.name.as_bytes(), b"\n", &event.data].concat()),
        };
        let mut places = HashMap::<_, VecDeque<usize>>::new();
        for (key, at) in inner.iter().map(key).zip(0..) {
            places.entry(key).or_default().push_back(at);
        }
        places.remove(&None);
        let is_varied = places.len() * 4 > inner.len() * 3;
        let same = |(key, at)| Some((places.get_mut(&key)?.pop_front()?, at));
        let pairs: Vec<_> = outer.iter().map(key).zip(0..).filter_map(same).collect();
        if is_varied && pairs.len() * 2 >= inner.len().min(outer.len()) {
            return (basis, pairs);
        }
    }
    let count = inner.iter().zip(outer).take_while(|(a, b)| a.name == b.name).count();
    (Basis::Order, (0..count).map(|at| (at, at)).collect())
}

/// Compares each address's stream with the next address's. Returns the worst finding.
fn each_hop(session: &Session, compare: impl Fn(&Hop<'_>) -> Finding) -> Finding {
    let outer = [&session.outermost].into_iter().chain(&session.inner);
    let findings = outer.zip(&session.inner).map(|(outer, inner)| {
        let (status, is_refusal) = (inner.recording.status(), inner.is_refusal());
        let is_stream = inner.recording.is_event_stream() && inner.recording.is_decoded();
        let mut finding = if is_refusal || !is_stream {
            Finding::not_checked(format!(
                "the inner address answers {status} without an event stream"
            ))
        } else {
            compare(&Hop::new(outer, inner))
        };
        let (outer, inner) = (outer.recording.name(), inner.recording.name());
        finding.summary = format!("between {outer} and {inner}: {}", finding.summary);
        finding
    });
    let none = || Finding::not_checked("needs the server's own address: --via http://…");
    Finding::worst(findings.collect()).unwrap_or_else(none)
}

pub(crate) fn delay(session: &Session) -> Finding {
    each_hop(session, |hop| hop_delay(hop, session))
}

fn hop_delay(hop: &Hop<'_>, session: &Session) -> Finding {
    let page: &str = &proxy_page([hop.outer].into_iter().chain(&session.proxy));
    let (outer, waiting) = (&hop.outer.recording, hop.waiting());
    let is_compressed = !["", &hop.inner.recording.coding()].contains(&&*outer.coding());
    let kind = if is_compressed { "compressed events" } else { "events" };
    let page = if is_compressed && page.ends_with("#buffers") { COMPRESSION } else { page };
    let is_start = waiting.len() == 1 && waiting.iter().all(|it| it.is_own() && it.name == "start");
    if is_start && !is_compressed && outer.is_event_stream() {
        let or = if outer.chunks.is_empty() { ", or its first event is held back" } else { "" };
        let text = "Accept or Cache-Control is changed, so the server sees no EventSource";
        return Finding::fail(format!("{text}{or}"), HIDDEN);
    }
    let delays = hop.events().map(|(inner, outer)| outer.at.saturating_sub(inner.at));
    let mut delays: Vec<_> = delays.collect();
    delays.sort_unstable();
    // A server may produce the answers to two POST requests at different times.
    let is_same = session.method == Method::GET && hop.basis != Basis::Order;
    let verdict = |is_sure| if is_sure { Finding::fail } else { Finding::warning };
    let is_open = outer.is_open();
    if !waiting.is_empty() && (delays.is_empty() || is_open && waiting.len() > 1) {
        let wait = waiting.first().map_or(outer.end_at, |it| outer.end_at.saturating_sub(it.at));
        let head = if outer.head.is_none() { " and the head" } else { "" };
        let text = format!("{} {kind}{head} are held back for {}", waiting.len(), time(wait));
        // A greeting passes a hop that holds everything after it back.
        let is_sure = is_same || hop.events().all(|(inner, _)| inner.is_own());
        return verdict(is_sure)(text, page).with_all(hop.samples());
    }
    let (Some(&median), Some(&longest)) = (delays.get(delays.len() / 2), delays.last()) else {
        return Finding::not_checked("the streams have no event in common");
    };
    let figures = format!("median {}, longest {}", time(median), time(longest));
    let bunched = hop.bunched();
    if bunched > 2 {
        let text = format!("{bunched} {kind} came together that were sent apart ({figures})");
        let is_sure = is_same || bunched * 2 >= delays.len();
        return verdict(is_sure)(text, page).with_all(hop.samples());
    }
    let round_trips = outer.connecting.max(hop.inner.recording.connecting);
    if hop.basis != Basis::Order && median >= LATE + round_trips {
        // With Nagle's algorithm, an event waits for the previous event's ACK or a full packet.
        let is_steady = longest < Duration::from_millis(400) && page.ends_with("#buffers");
        let page = if is_steady { "guide/other_proxies/#haproxy" } else { page };
        let text = format!("{kind} come late ({figures})");
        return verdict(is_same)(text, page).with_all(hop.samples());
    }
    Finding::pass(format!("{} events are not held back ({figures})", delays.len()))
}

pub(crate) fn changes(session: &Session) -> Finding {
    each_hop(session, |hop| {
        let finding = match hop.basis {
            _ if hop.pairs.is_empty() => {
                Finding::not_checked("the streams have no event in common")
            }
            Basis::Ids | Basis::Data => changed_events(hop, session),
            Basis::Order => Finding::not_checked("no ids or data tell the events apart"),
        };
        finding.with_all(changed_headers(hop))
    })
}

fn changed_events(hop: &Hop<'_>, session: &Session) -> Finding {
    let page = "guide/proxies/";
    let (mut dropped, mut has_own) = (Vec::new(), false);
    let mut last: Option<(usize, usize)> = None;
    for &(inner, outer) in &hop.pairs {
        if let Some((last_inner, last_outer)) = last {
            if inner < last_inner {
                continue;
            }
            let (missing, own) = (last_inner + 1..inner, outer - last_outer - 1);
            // If the outer stream has at least as many other events here, no event counts as
            // dropped. If it has more, each stream has its own events.
            if missing.len() > own {
                dropped.extend(hop.inner.events.get(missing).unwrap_or_default());
            } else {
                has_own |= missing.len() < own;
            }
        }
        last = Some((inner, outer));
    }
    let finding = |text: String| match session.method {
        Method::GET => Finding::fail(text, page),
        _ => Finding::warning(format!("{text}, which is right if two calls differ"), page),
    };
    if !dropped.is_empty() {
        let text = format!("{} events are dropped or changed", dropped.len());
        let dropped = dropped.iter().take(3).map(|it| quoted(hop.inner.raw(it)));
        return if has_own { Finding::warning(OWN, page) } else { finding(text) }.with_all(dropped);
    }
    let pairs = hop.pairs.iter().zip(hop.events());
    let differing = pairs.filter(|(_, (a, b))| (&a.name, &a.data) != (&b.name, &b.data));
    let differing: Vec<_> = differing.collect();
    let (count, all) = (differing.len(), hop.pairs.len());
    // Unless all events differ, ignore a stream's first event: it may be a greeting whose id is the
    // client's position.
    let later = differing.iter().filter(|((a, b), _)| count == all || *a > 0 && *b > 0);
    let changed: Vec<_> = later.map(|(_, events)| events).collect();
    let Some((inner, outer)) = changed.first() else {
        let missing = hop.missing_at_the_end();
        if missing.is_empty() || session.method != Method::GET {
            return Finding::pass(format!("{} events are unchanged", all - count));
        }
        let text = format!(
            "the last {} events are missing, which is right if the server ends each client's stream \
             at its own time",
            missing.len()
        );
        return Finding::warning(text, page)
            .with_all(missing.iter().take(3).map(|it| quoted(hop.inner.raw(it))));
    };
    let (from, to) = (quoted(hop.inner.raw(inner)), quoted(hop.outer.raw(outer)));
    let finding = if count == all {
        Finding::warning(
            "all events differ, which is right if the server sends each client its own",
            page,
        )
    } else {
        finding(format!("{} of {all} events are changed", changed.len()))
    };
    finding.with(format!("{from} became {to}"))
}

fn changed_headers(hop: &Hop<'_>) -> Vec<String> {
    let names = ["content-type", "content-encoding", "content-length", "cache-control"];
    let (inner, outer) = (&hop.inner.recording, &hop.outer.recording);
    let changed = names.iter().filter(|name| inner.header(name) != outer.header(name));
    changed.map(|it| format!("{it}: {} became {}", inner.quoted(it), outer.quoted(it))).collect()
}

/// The key that tells events apart: the id alone if exactly one event of the first stream has it,
/// otherwise the id, the name and the data.
type Key<'a> = (&'a str, &'a str, &'a [u8]);

/// Compares the first connection's stream with what a client receives at each address when it
/// reconnects.
pub(crate) fn resumption(session: &Session) -> Finding {
    let first = &session.outermost;
    let Some(Resumption { id, streams }) = &session.resumption else {
        return Finding::not_checked(match session.method {
            Method::GET if first.with_ids(None).count() == 0 => "no event with an id came",
            Method::GET => "no event with an id came in the first half of the time",
            _ => "a client that reconnects would repeat the request",
        });
    };
    let mut findings: Vec<_> = streams.iter().map(|it| resumed(first, id, it)).collect();
    let passing = findings.iter().position(|it| it.verdict == Verdict::Pass);
    // There is a finding for each target, and at least one target.
    let finding = findings.swap_remove(0);
    // A refusal or an error says nothing about ids.
    let is_stream = streams.first().is_some_and(|it| it.recording.is_event_stream());
    let is_hub = finding.page.clone().unwrap_or_default().ends_with(HUB);
    let asked = streams.iter().map(|it| it.recording.sent).min();
    let missed = first.with_ids(None).skip_while(|(it, _)| it != id).skip(1);
    let missed = missed.take_while(|(_, event)| Some(event.at) <= asked).count();
    // A client that missed one event proves nothing: a server that keeps only the newest value
    // sends this event even if it gets no id.
    let is_lost = is_stream && is_hub && (finding.verdict == Verdict::Fail || missed > 1);
    // The hop just outside of the outermost address at which a client misses nothing.
    let hop = passing.and_then(|it| streams.get(it.checked_sub(1)?..=it)).filter(|_| is_lost);
    let Some([outer, inner]) = hop else { return finding };
    let (outer, inner) = (outer.recording.name(), inner.recording.name());
    let text = format!("between {outer} and {inner}: {}, but {inner} resumes", finding.summary);
    let hop = "the hop drops Last-Event-ID, or asks a server with other events";
    Finding::fail(text, HIDDEN).with(hop).with_all(finding.evidence)
}

/// Compares one stream of a client that reconnected with the first connection's stream.
fn resumed(first: &Stream, id: &str, second: &Stream) -> Finding {
    let recording = &second.recording;
    let mut counts = HashMap::<&str, usize>::new();
    // Count heartbeats too: an event that comes late on one connection can look like a heartbeat.
    let ids = first.events.iter().filter_map(|it| it.id.as_deref());
    ids.for_each(|id| *counts.entry(id).or_default() += 1);
    let key = |(id, event): (_, _)| key(id, event, counts.get(id) == Some(&1));
    let is_shared = |(_, event): &(&str, &Event)| !event.is_own();
    let received: Vec<_> = second.with_ids(Some(id)).filter(is_shared).map(key).collect();
    let mut before: Vec<_> = first.with_ids(None).collect();
    // The first connection's events after this id.
    let start = before.iter().take_while(|(it, _)| *it != id).count();
    let known = before.iter().skip(start).take_while(|(it, _)| *it == id).count();
    let mut after = before.split_off(start + known);
    after.retain(is_shared);
    let until = |time| after.partition_point(|(_, event)| event.at <= time);
    let due = until(recording.end_at.saturating_sub(UNDERWAY));
    let is_live = due > until(recording.sent);
    // From the number of events of `after` that had come on the first connection when the second
    // request was sent, to the number when the second connection's head came.
    let head = recording.head.as_ref().map_or(recording.sent, |(at, _)| *at);
    let newest = until(recording.sent)..=until(head);
    let [before, after] = [before, after].map(|it| it.into_iter().map(key).collect::<Vec<_>>());
    let is_stream = recording.is_event_stream();
    let is_own = !received.is_empty() && received.iter().all(|(id, ..)| !counts.contains_key(id));
    let has = |name| second.events.iter().any(|it| it.is_own() && it.name == name);
    let is_over = due == 0 && first.recording.end == End::Clean;
    let finding = match (recording.status(), &recording.end) {
        _ if second.is_refusal() && !is_over => {
            let text = format!("a client that reconnects is refused: {}", quoted(&recording.bytes));
            Finding::fail(text, "struct.Refusal.html")
        }
        _ if is_stream && received.is_empty() && is_live => {
            Finding::not_checked("nothing came on the second connection, not even new events")
        }
        _ if is_stream && is_own => {
            Finding::warning("each stream has its own ids, so a client cannot resume", HUB)
        }
        _ if is_stream => judge(&before, &after, due, &received, newest, has("gap")),
        (204, _) if is_over => Finding::pass("204 stops an EventSource, which is right"),
        (0, End::Cut(error)) => Finding::fail(format!("a client that reconnects: {error}"), HUB),
        (0, _) => Finding::not_checked("the second answer did not come in time"),
        (status, _) => Finding::fail(format!("a client that reconnects gets {status}"), HUB),
    };
    let id = quoted(id.as_bytes());
    finding
        .with(format!("last-event-id: {id}, sent after {}", time(recording.sent)))
        .with(format!("received ids: {}", listed(&received)))
        .with_all(has("start").then(|| "a start event came, as without an id".to_owned()))
}

fn key<'a>(id: &'a str, event: &'a Event, has_own_id: bool) -> Key<'a> {
    if has_own_id { (id, "", b"") } else { (id, &event.name, &event.data) }
}

/// Compares `received`, the events that came after a client reconnected, with the first `due`
/// events of `after`, the events that follow the client's id. `newest` is how many events of
/// `after` may have come when the server answered: a server that keeps only the newest event begins
/// with the last of them.
fn judge(
    before: &[Key<'_>],
    after: &[Key<'_>],
    due: usize,
    received: &[Key<'_>],
    newest: RangeInclusive<usize>,
    has_gap: bool,
) -> Finding {
    // For each event, how many more times it came on the second connection than on the first
    // connection after the id.
    let mut excess = HashMap::<_, isize>::new();
    received.iter().for_each(|key| *excess.entry(*key).or_default() += 1);
    after.iter().for_each(|key| *excess.entry(*key).or_default() -= 1);
    let before: HashSet<_> = before.iter().collect();
    let again = |key: &&Key<'_>| excess.get(*key).is_some_and(|count| *count > 0);
    let mut seen = HashSet::new();
    let mut repetitions = received.iter().filter(|key| !seen.insert(*key) && again(key));
    if let Some((id, ..)) = repetitions.find(|key| !before.contains(key)) {
        return Finding::fail(format!("id {} came twice", quoted(id.as_bytes())), HUB);
    }
    let repeated = before.iter().filter(|key| again(key)).count();
    if repeated > 0 {
        let text = format!("{repeated} events came again, although the client had them");
        return Finding::fail(text, HUB);
    }
    let due = after.get(..due).unwrap_or_default();
    let is_in_order = |events: &[Key<'_>]| {
        let mut received = received.iter();
        events.iter().all(|key| received.any(|it| it == key))
    };
    let is_missing = |key: &&Key<'_>| excess.get(*key).is_some_and(|count| *count < 0);
    let missing: Vec<_> = due.iter().filter(is_missing).copied().collect();
    if due.is_empty() {
        return Finding::not_checked("the client missed no event with an id");
    } else if missing.is_empty() && is_in_order(due) {
        return Finding::pass(format!("each of the {} missed events came once", due.len()));
    } else if missing.is_empty() {
        let text = "the order differs from that of the first connection";
        return Finding::fail(text, HUB).with(format!("ids in order: {}", listed(due)));
    }
    let (replaced, rest) = due.split_at(missing.len());
    let count = missing.len() + 1;
    let is_newest = replaced == missing && newest.contains(&count) && is_in_order(rest);
    // If an event that only the second connection received is between two that the first received
    // too, each stream has its own events.
    let mut unknown = received.iter().skip_while(again).skip_while(|key| !again(key));
    let text = format!("{} events were lost in between", missing.len());
    let finding = if has_gap {
        Finding::warning(text + ", and a gap reports it", GAPS)
    } else if is_newest {
        let text = format!("only the newest of {count} events came");
        let right = "which is right if each event replaces the one before";
        Finding::warning(format!("{text}, {right}"), HUB)
    } else if unknown.any(|key| !again(&key)) {
        Finding::warning(OWN, NEWEST)
    } else {
        Finding::fail(text, HUB)
    };
    finding.with(format!("lost ids: {}", listed(&missing)))
}

fn listed(keys: &[Key<'_>]) -> String {
    let shown = keys.iter().take(8).map(|(id, ..)| quoted(id.as_bytes())).collect::<Vec<_>>();
    let shown = shown.join(", ");
    if keys.len() > 8 { format!("{shown}, … ({})", keys.len()) } else { shown }
}
