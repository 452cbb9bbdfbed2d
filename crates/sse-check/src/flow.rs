//! Checks when bytes arrive and how the stream ends.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;

use crate::compare::delay;
use crate::finding::{Finding, Verdict, quoted, time};
use crate::recording::{self, End, Event, Stream};
use crate::{answer::buffers, session::Session};

/// A silence this long may mean that events were held back.
const GAP: Duration = Duration::from_secs(1);
/// The length of a time in the format of RFC 3339 up to its seconds.
const SECONDS: usize = "2026-01-01T00:00:00".len();
const ERRORS: &str = "guide/errors/";
const IDLE: &str = "guide/proxies/#idle-timeouts";
const FULL: &str = "only the first bytes and events are looked at";

pub(crate) fn bursts(session: &Session) -> Finding {
    let (stream, page) = (&session.outermost, &buffers(session));
    let bursts = recording::bursts(&stream.events, |event| event.at);
    let lag = |it: &Event| Some(it.at.as_secs_f64() - made(it, session.began)?);
    let lags: Vec<_> = stream.events.iter().filter_map(lag).collect();
    let (mut before, mut count, mut suspicious) = (stream.recording.sent, 0, 0);
    for burst in bursts {
        let (Some(first), Some(last)) = (burst.first(), burst.last()) else { continue };
        let gap = first.at.saturating_sub(before);
        (before, count) = (last.at, count + 1);
        if gap < GAP {
            continue;
        }
        suspicious += usize::from(burst.len() > 2);
        // Fail only if the events were made during the gap: older events may have been replayed.
        let spread = spread(burst, session, &lags).unwrap_or_default();
        if spread >= 0.5 && spread <= gap.as_secs_f64() + 0.5 {
            let (count, gap) = (burst.len(), time(gap));
            let text = format!("{count} events came at once after {gap}, made over {spread:.1} s");
            return Finding::fail(text, page)
                .with_all([first, last].map(|event| quoted(stream.raw(event))));
        }
    }
    let is_all = count == 1 && stream.recording.end != End::Open;
    let is_delay_known = || delay(session).verdict != Verdict::NotChecked;
    if (suspicious > 1 || suspicious == 1 && is_all) && !is_delay_known() {
        let text = format!("{suspicious} times, several events came at once after a gap");
        return Finding::warning(text, page).with(
            "to find out whether a proxy does this, add the server's own address with --via",
        );
    }
    Finding::pass(format!("{} events came at {count} times", stream.events.len()))
}

/// Returns the time in the event's id or data, in seconds after the first request.
fn made(event: &Event, began: SystemTime) -> Option<f64> {
    let data = String::from_utf8_lossy(&event.data);
    event.id.as_deref().and_then(|id| time_in(id, began)).or_else(|| time_in(&data, began))
}

/// Returns the seconds between the oldest and the newest of these events, ignoring those made
/// before the request. `None` if an event has no time or no event is left. `lags` has the time that
/// each of the stream's events with a time took to come, by the server's clock.
fn spread(events: &[Event], session: &Session, lags: &[f64]) -> Option<f64> {
    let (stream, began) = (&session.outermost, session.began);
    // How far the server's clock is behind, judged by the event that came fastest. If the stream
    // has no times except these, all may be late: then only a time zone is corrected, in quarters
    // of an hour.
    let least = lags.iter().copied().fold(f64::INFINITY, f64::min);
    let is_all = events.len() == lags.len();
    let skew = if is_all { (least / 900.0).round() * 900.0 } else { least };
    let made: Option<Vec<_>> = events.iter().map(|it| Some(made(it, began)? + skew)).collect();
    let new = made?.into_iter().filter(|it| *it >= stream.recording.sent.as_secs_f64());
    Some(new.clone().reduce(f64::max)? - new.reduce(f64::min)?)
}

/// Finds a time in a text, at most two days from `began`, and returns it in seconds after `began`:
/// a Unix time in s, ms, µs or ns, or a time in the format of RFC 3339.
fn time_in(text: &str, began: SystemTime) -> Option<f64> {
    let seconds = |it: SystemTime| it.duration_since(UNIX_EPOCH).map(|it| it.as_secs_f64()).ok();
    let began = seconds(began)?;
    let unix = text.split(|it: char| !it.is_ascii_digit() && it != '.').filter_map(|number| {
        let digits = number.split('.').next()?.len();
        let units = [(10, 1.0), (13, 1e3), (16, 1e6), (19, 1e9)];
        let (_, unit) = units.into_iter().find(|(len, _)| *len == digits)?;
        Some(number.parse::<f64>().ok()? / unit)
    });
    let rfc3339 = text.split(|it: char| !it.is_ascii_digit() && !"-:.T".contains(it));
    // Ignore the time zone, which can begin with a hyphen: `spread` corrects it.
    let rfc3339 = rfc3339.filter_map(|it| {
        let end = it.get(SECONDS..)?.find('-').map_or(it.len(), |at| SECONDS + at);
        seconds(humantime::parse_rfc3339_weak(it.get(..end)?).ok()?)
    });
    unix.chain(rfc3339).map(|it| it - began).find(|it| it.abs() < 172_800.0)
}

pub(crate) fn silence(session: &Session) -> Finding {
    let stream = &session.outermost;
    let (longest, from, is_last) = stream.longest_silence();
    let (end, seconds) = (&stream.recording.end, longest.as_secs());
    let heartbeats = stream.comments + stream.blocks.len();
    let figures = format!(
        "the longest silence is {}, from {} on; {heartbeats} heartbeats came",
        time(longest),
        time(from)
    );
    if is_last && longest >= GAP && matches!(end, End::Cut(_)) {
        let text = format!("the stream was cut after {} of silence", time(longest));
        return Finding::fail(text, IDLE).with(figures);
    }
    if stream.recording.is_full && longest < Duration::from_secs(30) {
        return Finding::not_checked(format!("{FULL}; until then, {figures}"));
    }
    let is_open = is_last && *end == End::Open;
    // The idle limits of common proxies.
    let limits = [30, 60, 100].map(|limit| match seconds >= limit {
        true => format!("an idle limit of {limit} s cuts the stream"),
        false if is_open => format!("an idle limit of {limit} s is beyond what was watched"),
        false => format!("an idle limit of {limit} s does not cut the stream"),
    });
    let finding = match seconds {
        60.. => Finding::fail(figures, IDLE),
        30.. => Finding::warning(figures, IDLE),
        20.. if is_open => Finding::warning(figures + "; --for 65s shows the next one", IDLE),
        _ => Finding::pass(figures),
    };
    finding.with_all(limits)
}

pub(crate) fn end(session: &Session) -> Finding {
    let stream = &session.outermost;
    let recording = &stream.recording;
    let (after, seconds) = (time(recording.age()), recording.age().as_secs_f64());
    let finding = match &recording.end {
        End::Open if recording.is_full => return Finding::not_checked(FULL),
        End::Open => return Finding::pass(format!("still open after {after}")),
        End::Clean => Finding::pass(format!("it ends cleanly after {after}")),
        End::Cut(error) => Finding::fail(format!("it is cut after {after}: {error}"), ERRORS),
    };
    let mut findings = vec![finding.with("an EventSource reconnects")];
    // The answers to two POST requests may have different lengths.
    let is_same = session.method == Method::GET || matches!(recording.end, End::Cut(_));
    let outlives = |inner: &&Stream| is_same && inner.recording.is_open();
    if let Some(inner) = session.inner.iter().find(outlives) {
        let text = format!("{} is still open then: a proxy ends it", inner.recording.name());
        let is_round = seconds > 4.0 && (seconds - seconds.round()).abs() < 0.1;
        let limit = format!("{seconds:.1} s looks like a limit of the whole response");
        findings.insert(0, Finding::fail(text, IDLE).with_all(is_round.then_some(limit)));
    }
    if let Some(event) = &stream.incomplete {
        let text = "it ends within an event, which clients discard";
        findings.push(Finding::fail(text, ERRORS).with(quoted(stream.raw(event))));
    }
    Finding::worst(findings).unwrap_or_else(|| Finding::pass(""))
}
