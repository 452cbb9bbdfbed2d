//! The cells of one client's row.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::situations::Facts;

/// What was seen of a client, by situation.
pub(crate) type Seen = BTreeMap<String, Facts>;

/// The words of the table for the situations after which a client should come back.
const RETURNS: [(&str, &str); 7] = [
    ("max_age", "a maximum age"),
    ("quiet", "the end of a quiet stream"),
    ("restart", "a restart"),
    ("kill", "a kill"),
    ("limit", "a limit"),
    ("full", "a limit at the first visit"),
    ("shutdown", "a shutdown at the first visit"),
];

/// The words of the table for the situations in which a client can miss events.
const LOSSES: [(&str, &str); 8] = [
    ("max_age", "at a maximum age"),
    ("first_visit", "before the first id"),
    ("quiet", "after a quiet stream"),
    ("heartbeat_events", "after heartbeat events"),
    ("restart", "at a restart"),
    ("kill", "at a kill"),
    ("limit", "at a limit"),
    ("half", "the event that was cut"),
];

fn of<'s>(seen: &'s Seen, situation: &str) -> &'s Facts {
    &seen[situation]
}

/// The cell of a client that never comes back, and so has nothing to lose or to ask for.
const NOTHING_TO_SEE: &str = "–";

fn never_returns(seen: &Seen) -> bool {
    RETURNS.iter().all(|(it, _)| !of(seen, it).back)
}

pub(crate) fn comes_back(seen: &Seen) -> String {
    let not: Vec<_> = RETURNS.iter().filter(|(it, _)| !of(seen, it).back).map(|it| it.1).collect();
    let mut cell = match not.len() {
        0 => "yes".to_owned(),
        count if count == RETURNS.len() => "no".to_owned(),
        count if count > RETURNS.len() / 2 => {
            let after = RETURNS.iter().filter(|(it, _)| of(seen, it).back).map(|it| it.1);
            format!("only after {}", after.collect::<Vec<_>>().join(", "))
        }
        _ => format!("not after {}", not.join(", ")),
    };
    if ["limit", "full", "shutdown"].iter().any(|it| of(seen, it).hammers) {
        cell.push_str("; **asks again and again while refused**");
    }
    cell
}

pub(crate) fn loses(seen: &Seen) -> String {
    let lost = LOSSES.iter().filter(|(it, _)| of(seen, it).lost > 0).map(|it| it.1);
    let lost: Vec<_> = lost.collect();
    match lost.is_empty() {
        true if never_returns(seen) => NOTHING_TO_SEE.to_owned(),
        true => "nothing".to_owned(),
        false => format!("**{}**", lost.join(", ")),
    }
}

/// Returns what the client does once a topic has ended.
pub(crate) fn afterwards(seen: &Seen) -> &'static str {
    match of(seen, "ended_topic") {
        it if it.hammers => "**asks again and again**",
        it if it.asks > 0 => "asks now and then",
        _ if never_returns(seen) => NOTHING_TO_SEE,
        _ => "stops",
    }
}

pub(crate) fn cut(seen: &Seen) -> &'static str {
    match of(seen, "half") {
        it if it.half => "**part of an event**",
        it if it.back => "again",
        it if it.reported => "error",
        _ => "**looks complete**",
    }
}

pub(crate) fn largest(seen: &Seen) -> String {
    let it = of(seen, "large");
    let kilobytes = it.largest / 1_000;
    match it.back {
        false if kilobytes == 0 => "none".to_owned(),
        true => "over 1 MB".to_owned(),
        false if it.hammers => format!("{kilobytes} kB; **asks for it again and again**"),
        false => format!("{kilobytes} kB"),
    }
}

/// Possible limits of clients, in seconds. A client leaves later than its limit, but before the
/// next larger one.
const LIMITS: [u64; 14] = [2, 5, 10, 15, 20, 30, 40, 45, 60, 90, 120, 180, 240, 300];

fn limit(left: Duration) -> u64 {
    LIMITS.into_iter().rev().find(|limit| left.as_secs() >= *limit).unwrap_or(0)
}

/// Returns the limit for a silent stream. Of two silent streams, the one that the client left
/// earlier counts, because a busy machine delays leaving.
pub(crate) fn idle(seen: &Seen) -> String {
    let silent = ["silence", "more_silence"].iter().filter_map(|it| of(seen, it).left).min();
    let Some(silent) = silent else { return "none".to_owned() };
    // A limit of the whole stream is the same with and without heartbeats, and begins before the
    // server has the request.
    let early = |it: Duration| it.mul_f64(1.03) + Duration::from_secs(1);
    match of(seen, "heartbeats").left {
        Some(left) if limit(early(left)) == limit(early(silent)) => {
            format!("{} s, whatever arrives", limit(early(left)))
        }
        _ => format!("{} s", limit(silent)),
    }
}

/// Returns whether the client misses events or asks too often. Its row must then say why.
pub(crate) fn needs_a_cause(seen: &Seen) -> bool {
    seen.values().any(|it| it.lost > 0 || it.hammers)
}
