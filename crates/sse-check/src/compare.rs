//! Two streams that should have the same events: at two addresses, or before and after a client has come
//! back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use http::Method;

use crate::finding::{Finding, quoted, time};
use crate::recording::{End, Event, Stream, bursts};
use crate::{answer::buffers, session::Session};

/// An event that is delayed by this much, besides the round trips, is late.
const LATE: Duration = Duration::from_millis(150);
/// Events that were made further apart than this, and came together, were held back.
const APART: Duration = Duration::from_millis(250);
/// An event that was sent this shortly before the end of the watch may still be on its way.
const UNDERWAY: Duration = Duration::from_secs(1);
const HUB: &str = "hub/";

/// The property by which two events are the same.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Basis {
    Ids,
    /// Name and data.
    Data,
    /// Nothing but their order, because each stream has data of its own or all events are alike.
    Order,
}

/// The same stream at two addresses.
struct Hop<'a> {
    outer: &'a Stream,
    inner: &'a Stream,
    basis: Basis,
    /// The indices of the same event in the inner and the outer stream, in the order of the outer
    /// stream.
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

    /// Returns the events that the outer stream should have received by now, after the last one that
    /// it has.
    fn waiting(&self) -> &'a [Event] {
        let first = self.pairs.iter().map(|(inner, _)| inner + 1).max().unwrap_or(0);
        let after = self.inner.events.get(first..).unwrap_or_default();
        let len = after.partition_point(|it| it.at + UNDERWAY < self.outer.recording.end_at);
        after.get(..len).unwrap_or_default()
    }

    /// Counts the events that came together, and that the inner stream had received apart.
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

    /// Describes the events with the longest delays.
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

/// Pairs the events that are the same, by a property that most events share with no other event.
fn pair(inner: &[Event], outer: &[Event]) -> (Basis, Vec<(usize, usize)>) {
    for basis in [Basis::Ids, Basis::Data] {
        let key = |event: &Event| match basis {
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

/// Compares each address with the next one. The finding names both addresses.
fn each_hop(session: &Session, compare: impl Fn(&Hop<'_>) -> Finding) -> Finding {
    let outer = [&session.outermost].into_iter().chain(&session.inner);
    let findings = outer.zip(&session.inner).map(|(outer, inner)| {
        let mut finding = if !inner.recording.is_event_stream() {
            let status = inner.recording.status();
            Finding::not_looked_at(format!("the inner one answers {status}, and no event stream"))
        } else {
            compare(&Hop::new(outer, inner))
        };
        let (outer, inner) = (outer.recording.name(), inner.recording.name());
        finding.summary = format!("between {outer} and {inner}: {}", finding.summary);
        finding
    });
    let none = || Finding::not_looked_at("needs the server's own address: --via http://…");
    Finding::worst(findings.collect()).unwrap_or_else(none)
}

pub(crate) fn delay(session: &Session) -> Finding {
    each_hop(session, |hop| hop_delay(hop, session))
}

fn hop_delay(hop: &Hop<'_>, session: &Session) -> Finding {
    let page: &str = &buffers(session);
    let (outer, waiting) = (&hop.outer.recording, hop.waiting());
    let delays = hop.events().map(|(inner, outer)| outer.at.saturating_sub(inner.at));
    let mut delays: Vec<_> = delays.collect();
    delays.sort_unstable();
    let is_open = outer.end == End::Open;
    if !waiting.is_empty() && (delays.is_empty() || is_open && waiting.len() > 1) {
        let wait = waiting.first().map_or(outer.end_at, |it| outer.end_at.saturating_sub(it.at));
        let head = if outer.head.is_none() { " and the head" } else { "" };
        let text = format!("{} events{head} are held back for {}", waiting.len(), time(wait));
        return Finding::fail(text, page).with_all(hop.samples());
    }
    let (Some(&median), Some(&longest)) = (delays.get(delays.len() / 2), delays.last()) else {
        return Finding::not_looked_at("no event is the same");
    };
    let figures = format!("median {}, longest {}", time(median), time(longest));
    // The answers to two calls may be made at different times.
    let is_same = session.method == Method::GET && hop.basis != Basis::Order;
    let verdict = |is_sure| if is_sure { Finding::fail } else { Finding::warning };
    let bunched = hop.bunched();
    if bunched > 2 {
        let text = format!("{bunched} events came together that were sent apart ({figures})");
        let is_sure = is_same || bunched * 2 >= delays.len();
        return verdict(is_sure)(text, page).with_all(hop.samples());
    }
    let round_trips = outer.connecting.max(hop.inner.recording.connecting);
    if hop.basis != Basis::Order && median >= LATE + round_trips {
        // Every event waits for the one before to be acknowledged, or for a full packet.
        let is_steady = longest < Duration::from_millis(400) && page.ends_with("#buffers");
        let page = if is_steady { "guide/other_proxies/#haproxy" } else { page };
        let text = format!("events come late ({figures})");
        return verdict(is_same)(text, page).with_all(hop.samples());
    }
    Finding::pass(format!("{} events are not held back ({figures})", delays.len()))
}

pub(crate) fn changes(session: &Session) -> Finding {
    each_hop(session, |hop| {
        let finding = match hop.basis {
            _ if hop.pairs.is_empty() => Finding::not_looked_at("no event is the same"),
            Basis::Ids | Basis::Data => changed_events(hop),
            Basis::Order => {
                Finding::not_looked_at("nothing tells the events apart: no ids, no data")
            }
        };
        finding.with_all(changed_headers(hop))
    })
}

fn changed_events(hop: &Hop<'_>) -> Finding {
    let page = "guide/proxies/";
    let mut dropped = Vec::new();
    let mut last: Option<(usize, usize)> = None;
    for &(inner, outer) in &hop.pairs {
        if let Some((last_inner, last_outer)) = last {
            if inner < last_inner {
                continue;
            }
            // As many others in the same place are events of which each stream has its own.
            let missing = last_inner + 1..inner;
            if missing.len() > outer - last_outer - 1 {
                dropped.extend(hop.inner.events.get(missing).unwrap_or_default());
            }
        }
        last = Some((inner, outer));
    }
    if !dropped.is_empty() {
        let text = format!("{} events are dropped or changed", dropped.len());
        let dropped = dropped.iter().take(3).map(|it| quoted(hop.inner.raw(it)));
        return Finding::fail(text, page).with_all(dropped);
    }
    let differing = hop.events().filter(|(a, b)| (&a.name, &a.data) != (&b.name, &b.data));
    let differing: Vec<_> = differing.collect();
    let (count, all) = (differing.len(), hop.pairs.len());
    let Some((inner, outer)) = differing.first() else {
        return Finding::pass(format!("{all} events are unchanged"));
    };
    let (from, to) = (quoted(hop.inner.raw(inner)), quoted(hop.outer.raw(outer)));
    let finding = if count == all {
        Finding::warning("all events differ, if the server sends each client the same", page)
    } else {
        Finding::fail(format!("{count} of {all} events are changed"), page)
    };
    finding.with(format!("{from} became {to}"))
}

/// Describes headers that the hop changes.
fn changed_headers(hop: &Hop<'_>) -> Vec<String> {
    let names = ["content-type", "content-encoding", "content-length", "cache-control"];
    let (inner, outer) = (&hop.inner.recording, &hop.outer.recording);
    let changed = names.iter().filter(|name| inner.header(name) != outer.header(name));
    changed
        .map(|it| format!("{it}: '{}' became '{}'", inner.header(it), outer.header(it)))
        .collect()
}

/// Compares the stream of a client that came back with what the first connection received.
pub(crate) fn resumption(session: &Session) -> Finding {
    let ids = session.outermost.events.iter().filter_map(|it| Some((it.id.as_deref()?, it.at)));
    let ids: Vec<_> = ids.collect();
    let Some(resumption) = &session.resumption else {
        return Finding::not_looked_at(match session.method {
            Method::GET if ids.is_empty() => "the events have no ids",
            Method::GET => "no event with an id came in the first half of the time",
            _ => "a client that comes back would repeat the request",
        });
    };
    let (id, recording) = (&resumption.id, &resumption.stream.recording);
    // What the first connection received after the event, which the second one must receive too.
    let known = ids.iter().take_while(|(it, _)| it != id).count() + 1;
    let (before, after) = ids.split_at(known.min(ids.len()));
    let before: Vec<_> = before.iter().map(|(id, _)| *id).collect();
    let due = after.iter().filter(|(_, at)| *at + UNDERWAY < recording.end_at);
    let is_live = due.clone().any(|(_, at)| *at > recording.sent);
    let expected: Vec<_> = due.map(|(id, _)| *id).collect();
    let received = resumption.stream.events.iter().filter_map(|it| it.id.as_deref());
    let received: Vec<_> = received.collect();
    let is_stream = recording.is_event_stream();
    let seen: HashSet<_> = ids.iter().map(|(id, _)| *id).collect();
    let is_own = !received.is_empty() && received.iter().all(|id| !seen.contains(id));
    let finding = match (recording.status(), &recording.end) {
        _ if is_stream && received.is_empty() && is_live => {
            Finding::not_looked_at("nothing came on the second connection, not even new events")
        }
        _ if is_stream && is_own => {
            Finding::warning("each stream has ids of its own, so that none resumes", HUB)
        }
        _ if is_stream => judge(&before, &expected, &received),
        (204, _) if expected.is_empty() => {
            Finding::pass("204 stops an EventSource, which is right")
        }
        (0, End::Cut(error)) => Finding::fail(format!("a client that comes back: {error}"), HUB),
        (0, _) => Finding::not_looked_at("the second answer did not come in time"),
        (status, _) => Finding::fail(format!("a client that comes back gets {status}"), HUB),
    };
    finding
        .with(format!("last-event-id: {id}, sent after {}", time(recording.sent)))
        .with(format!("received ids: {}", listed(&received)))
}

/// After the client has reconnected, compares the received ids with the expected ones.
fn judge(before: &[&str], expected: &[&str], received: &[&str]) -> Finding {
    let mut positions = HashMap::new();
    for (position, id) in received.iter().enumerate() {
        if positions.insert(*id, position).is_some() {
            return Finding::fail(format!("id {id} came twice"), HUB);
        }
    }
    let repeated = before.iter().filter(|it| positions.contains_key(*it)).count();
    if repeated > 0 {
        let text = format!("{repeated} events came again that the client had received");
        return Finding::fail(text, HUB);
    }
    let missing = expected.iter().filter(|id| !positions.contains_key(*id)).copied();
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        let text = format!("{} events were lost that came in between", missing.len());
        return Finding::fail(text, HUB).with(format!("lost ids: {}", listed(&missing)));
    }
    if !expected.iter().map(|id| positions.get(id)).is_sorted() {
        let text = "the order differs from that of the first connection";
        return Finding::fail(text, HUB).with(format!("ids in order: {}", listed(expected)));
    }
    Finding::pass(format!("each of {} events that were due came once", expected.len()))
}

fn listed(ids: &[&str]) -> String {
    let shown = ids.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    if ids.len() > 8 { format!("{shown}, … ({})", ids.len()) } else { shown }
}
