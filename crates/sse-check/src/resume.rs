//! A client that comes back.

use std::{collections::HashMap, time::Duration};

use http::Method;

use crate::{
    check::{Finding, time},
    recording::End,
    session::Session,
};

/// How long an event may be on its way when the streams are not watched any more.
const UNDERWAY: Duration = Duration::from_secs(1);
const PAGE: &str = "hub/";

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
    let expected: Vec<_> = due.map(|(id, _)| *id).collect();
    let received = resumption.stream.events.iter().filter_map(|it| it.id.as_deref());
    let received: Vec<_> = received.collect();
    let finding = match (recording.status(), &recording.end) {
        _ if recording.is_event_stream() => {
            let is_own = |id: &&str| ids.iter().all(|(it, _)| it != id);
            if !received.is_empty() && received.iter().all(is_own) {
                Finding::warning("each stream has ids of its own, so that none resumes", PAGE)
            } else {
                judge(&before, &expected, &received)
            }
        }
        (204, _) if expected.is_empty() => {
            Finding::pass("the stream is over, and 204 stops an EventSource")
        }
        (0, End::Cut(error)) => {
            Finding::fail(format!("a client that comes back gets no answer: {error}"), PAGE)
        }
        (0, _) => Finding::not_looked_at("the second answer did not come in time"),
        (status, _) => Finding::fail(format!("a client that comes back gets {status}"), PAGE),
    };
    let sent = time(recording.sent);
    let finding = finding.with(format!("last-event-id: {id}, sent after {sent}"));
    finding.with(format!("received ids: {}", listed(&received)))
}

/// Compares the ids that came after the client was back with those that were due.
fn judge(before: &[&str], expected: &[&str], received: &[&str]) -> Finding {
    let mut positions = HashMap::new();
    for (position, id) in received.iter().enumerate() {
        if positions.insert(*id, position).is_some() {
            return Finding::fail(format!("id {id} came twice"), PAGE);
        }
    }
    let repeated = before.iter().filter(|it| positions.contains_key(*it)).count();
    if repeated > 0 {
        let text = format!("{repeated} events came again that the client had received");
        return Finding::fail(text, PAGE);
    }
    let missing = expected.iter().filter(|id| !positions.contains_key(*id)).copied();
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        let text = format!("{} events were lost that came in between", missing.len());
        return Finding::fail(text, PAGE).with(format!("lost ids: {}", listed(&missing)));
    }
    if !expected.iter().map(|id| positions.get(id)).is_sorted() {
        let text = "the order differs from that of the first connection";
        return Finding::fail(text, PAGE).with(format!("ids in order: {}", listed(expected)));
    }
    Finding::pass(format!("each of {} events that were due came once", expected.len()))
}

fn listed(ids: &[&str]) -> String {
    let shown = ids.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    if ids.len() > 8 { format!("{shown}, … ({})", ids.len()) } else { shown }
}
