//! What every client must have received, whatever happened.

use crate::*;

/// What happened in one simulation.
pub(crate) struct History {
    pub(crate) severity: Severity,
    /// Whether Redis loses data in no other way than that owners can restore their claims before
    /// another process takes them.
    pub(crate) restores_claims: bool,
    /// Whether runs are kept until the end, once they have completed.
    pub(crate) keeps_all: bool,
    /// Whether requests pass through the layers.
    pub(crate) is_layered: bool,
    /// The time at which the faults ended.
    pub(crate) healed_at: u64,
    pub(crate) calls: Vec<Call>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) stops: Vec<Stop>,
    pub(crate) reports: Vec<Report>,
    /// When Redis refused commands.
    pub(crate) refusals: Vec<Range<u64>>,
    /// The time between two checks of the runs of other processes.
    pub(crate) check: u64,
    /// Whether each life was kept from reaching Redis in time, or was ended.
    pub(crate) disturbed: Vec<bool>,
    pub(crate) commands: usize,
    /// What was wrong at the end.
    pub(crate) faults: Vec<String>,
}

impl History {
    /// Returns what has happened, besides the processes.
    pub(crate) fn of(
        world: &World,
        severity: Severity,
        keeps_all: bool,
        mut faults: Vec<String>,
    ) -> Self {
        let mut records = world.records();
        faults.append(&mut records.faults);
        Self {
            severity,
            restores_claims: false,
            keeps_all,
            is_layered: world.is_layered,
            healed_at: 0,
            calls: world.calls.list().clone(),
            // Clients that have not ended look up their answers until their processes are killed.
            answers: records.answers.clone(),
            stops: std::mem::take(&mut records.stops),
            reports: std::mem::take(&mut records.reports),
            refusals: std::mem::take(&mut records.refusals),
            check: 0,
            disturbed: records.lives.iter().map(|life| life.is_disturbed).collect(),
            commands: world.network.commands(),
            faults,
        }
    }
}

/// The time in which a run must end after it was stopped, in milliseconds.
const STOP_TIME: u64 = 20_000;

/// The time in which a reply reaches a process that is not disturbed, in milliseconds.
const TRAVEL_TIME: u64 = 2_000;

pub(crate) fn check(history: History) -> Verdict {
    let mut verdict = Verdict::default();
    let faults = &mut verdict.faults;
    faults.extend_from_slice(&history.faults);
    for answer in &history.answers {
        let fault = check_events(&history, answer).or_else(|| check_end(&history, answer));
        if let Some(fault) = fault {
            faults.push(format!("client {} of key {}: {fault}", answer.client, answer.key));
        }
    }
    if history.severity < Severity::Losing || history.restores_claims {
        faults.extend(check_calls(&history));
    }
    if history.severity < Severity::Losing {
        faults.extend(check_stops(&history));
        faults.extend(check_stopped(&history));
    }
    if history.severity == Severity::Calm {
        faults.extend(check_reports(&history));
    }
    let count = |is: fn(&AnswerEnd) -> bool| {
        history.answers.iter().filter(|answer| answer.end.as_ref().is_some_and(is)).count()
    };
    verdict.count("calls", history.calls.len());
    verdict.count("whole", count(|end| *end == AnswerEnd::Whole));
    verdict.count("told", count(|end| matches!(end, AnswerEnd::Failed(_))));
    verdict.count("not found", count(|end| *end == AnswerEnd::NotFound));
    verdict.count("commands", history.commands);
    verdict
}

/// The events of an answer are those of one call, each once and in order, from the first one.
fn check_events(history: &History, answer: &Answer) -> Option<String> {
    let first = answer.events.first()?;
    if history.calls[first.call].key != answer.key {
        return Some(format!("call {} is of another key", first.call));
    }
    for (number, event) in (0..).zip(&answer.events) {
        let Received { epoch, call, .. } = event;
        if (epoch, call) != (&first.epoch, &first.call) {
            return Some(format!("call {call} follows call {}", first.call));
        }
        if (event.sequence, event.number) != (number + 1, number) {
            return Some(format!("event {} of call {call} in place of {number}", event.number));
        }
    }
    None
}

/// An answer that ends cleanly is whole. Any other end has a reason.
fn check_end(history: &History, answer: &Answer) -> Option<String> {
    let call = answer.events.first().map(|first| (first.call, &history.calls[first.call]));
    let is_whole = call.is_some_and(|(_, call)| {
        call.end.is_some_and(|end| end.is_finished) && answer.events.len() as u64 == call.planned
    });
    let is_calm = history.severity == Severity::Calm && history.keeps_all;
    let events = answer.events.len();
    let mut stops = history.stops.iter();
    let is_stopped = stops.any(|stop| stop.key == answer.key && stop.began <= answer.ended);
    match answer.end? {
        AnswerEnd::Left => None,
        // A run that was cancelled ends so.
        AnswerEnd::Unterminated if is_stopped => None,
        AnswerEnd::Unterminated if call.is_some_and(|(_, call)| call.has_options) => {
            Some(format!("no terminator after {events} events of {call:?}"))
        }
        AnswerEnd::Whole | AnswerEnd::Unterminated => {
            let is_right = is_whole && call.is_some_and(|(_, call)| !call.fails);
            (!is_right).then(|| format!("a clean end after {events} events of {call:?}"))
        }
        AnswerEnd::Failed(Some(Outcome::Cancelled)) => {
            (!is_stopped).then(|| "cancelled, but nobody stopped it".to_owned())
        }
        AnswerEnd::Failed(Some(Outcome::Failed)) => {
            let has_failed = match call {
                Some((_, call)) => call.fails && (is_whole || !is_calm),
                None => history.calls.iter().any(|call| call.key == answer.key && call.fails),
            };
            (!has_failed).then(|| format!("failed after {events} events of {call:?}"))
        }
        // Permissions that are missing one after the other can keep a process from its checks.
        AnswerEnd::Failed(None) if was_refused(history, answer.ended) => None,
        AnswerEnd::Failed(outcome @ (None | Some(Outcome::Interrupted))) => {
            is_calm.then(|| format!("told {outcome:?} after {events} events of {call:?}"))
        }
        AnswerEnd::Failed(outcome) => Some(format!("told {outcome:?}")),
        AnswerEnd::NotFound => {
            let (number, call) = call?;
            let has_later = history.calls[number + 1..].iter().any(|call| call.key == answer.key);
            // A replacement takes the key even if its client leaves before the call is made.
            let is_replaced = history.stops.iter().any(|stop| {
                let is_between = stop.began <= answer.ended && call.began <= stop.over;
                stop.replaces && stop.call.is_none() && stop.key == answer.key && is_between
            });
            // A client of a layer that has seen all of an answer that failed gets that status.
            let has_failed = history.is_layered && call.fails && is_whole;
            (is_calm && !has_later && !is_replaced && !has_failed)
                .then(|| format!("not found after {events} events"))
        }
    }
}

/// Returns whether Redis has refused commands for two leases, so that the bodies of clients of other
/// processes fail. The last contact of a process may be a check before the first refusal.
fn was_refused(history: &History, ended: u64) -> bool {
    let check = history.check;
    let is_long = |refused: &Range<u64>| {
        refused.start + 8 * check <= ended + check && ended <= refused.end + check
    };
    history.refusals.iter().any(is_long)
}

/// A key has one call at a time, and none after one that has completed. No call is dropped without
/// a reason.
fn check_calls(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, call) in history.calls.iter().enumerate() {
        let is_disturbed = history.disturbed[call.life];
        // The reply to a claim can arrive after the run was replaced, so calls need not begin in the
        // order of the claims.
        let stopped_before = |time| {
            history.stops.iter().any(|stop| {
                let is_other = stop.call != Some(number);
                let is_between = stop.began <= time
                    && call.asked <= stop.over
                    && stop.over.saturating_add(TRAVEL_TIME) >= call.began;
                stop.key == call.key && is_other && is_between
            })
        };
        let replaces = |later: &Call| {
            let is_over = later.end.is_some_and(|end| end.at <= later.began + TRAVEL_TIME);
            let by_this = |stop: &&Stop| stop.call == Some(number);
            is_over
                && history.stops.iter().find(by_this).is_some_and(|stop| later.asked <= stop.over)
        };
        let dropped = call.end.filter(|end| !end.is_finished);
        if let Some(dropped) = dropped
            && !is_disturbed
            && !history.restores_claims
            && history.keeps_all
            && !stopped_before(dropped.at)
        {
            faults.push(format!("call {number} is dropped, but nobody stopped it"));
        }
        let later = history.calls.iter().enumerate().skip(number + 1);
        for (next, later) in later.filter(|(_, later)| later.key == call.key) {
            if is_disturbed || stopped_before(later.began) || replaces(later) {
                continue;
            }
            let ended = call.end.filter(|end| end.at <= later.began);
            match ended {
                None => faults.push(format!("call {next} begins while call {number} runs")),
                Some(end)
                    if end.is_finished
                        && !call.fails
                        && !call.is_void
                        && history.keeps_all
                        && !history.restores_claims =>
                {
                    faults.push(format!("call {next} begins although call {number} has completed"));
                }
                Some(_) => {}
            }
        }
    }
    faults
}

/// A run that was stopped does not go on.
fn check_stops(history: &History) -> Vec<String> {
    let mut calls = BTreeMap::new();
    for event in history.answers.iter().flat_map(|answer| answer.events.first()) {
        calls.insert(&event.epoch, event.call);
    }
    let goes_on = history.stops.iter().filter_map(|stop| {
        let number = *calls.get(stop.stopped.as_ref()?)?;
        let end = history.calls[number].end.map_or(u64::MAX, |end| end.at);
        let is_late = end > stop.began.max(history.healed_at) + STOP_TIME;
        is_late.then(|| format!("call {number} was stopped, and goes on"))
    });
    goes_on.collect()
}

/// An answer that ends because the run was stopped has every event that any client has seen, unless
/// the run's process was out of reach.
fn check_stopped(history: &History) -> Vec<String> {
    let mut seen = BTreeMap::new();
    for event in history.answers.iter().flat_map(|answer| &answer.events) {
        let newest = seen.entry(&event.epoch).or_insert(0);
        *newest = event.sequence.max(*newest);
    }
    let lacks = history.answers.iter().filter_map(|answer| {
        let last = answer.events.last()?;
        let call = &history.calls[last.call];
        let is_stopped = answer.end == Some(AnswerEnd::Failed(Some(Outcome::Cancelled)));
        // No later request finds a run that was replaced.
        let is_replaced = history.stops.iter().any(|stop| stop.replaces && stop.key == answer.key);
        let is_checked = is_stopped && !is_replaced && !history.disturbed[call.life];
        let newest = seen[&last.epoch];
        (is_checked && last.sequence < newest)
            .then(|| format!("client {} lacks events up to {newest}: {last:?}", answer.client))
    });
    lacks.collect()
}

/// Each run is reported once.
fn check_reports(history: &History) -> Vec<String> {
    let mut reported: BTreeMap<&str, Vec<Outcome>> = BTreeMap::new();
    for report in &history.reports {
        reported.entry(&report.epoch).or_default().push(report.outcome);
    }
    let twice = reported.iter().filter(|(_, outcomes)| outcomes.len() > 1);
    let mut faults: Vec<_> =
        twice.map(|(epoch, outcomes)| format!("run {epoch} is reported as {outcomes:?}")).collect();
    let ended = history.calls.iter().filter(|call| call.end.is_some() && !call.is_void).count();
    if reported.len() < ended {
        faults.push(format!("{} reports of {ended} runs", reported.len()));
    }
    faults
}
