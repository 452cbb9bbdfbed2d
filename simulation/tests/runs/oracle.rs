//! Checks the clients' answers, the calls, the stops and the reports, as far as the faults allow a
//! check.

use crate::world::Records;
use crate::*;

pub(crate) struct History {
    pub(crate) severity: Severity,
    /// Whether owners can restore every lost claim before another process takes the key.
    pub(crate) restores_claims: bool,
    /// Whether Redis keeps the lists of live runs.
    pub(crate) keeps_lists: bool,
    /// Whether the only faults are that replicas are attached or have left.
    pub(crate) is_quiet: bool,
    settings: Settings,
    /// The time at which the faults ended.
    pub(crate) healed_at: u64,
    records: Records,
    commands: usize,
}

impl History {
    /// Returns what has happened so far. Its faults are those recorded, `faults`, and those that
    /// the state shows now.
    pub(crate) fn of(
        world: &World,
        severity: Severity,
        faults: impl IntoIterator<Item = String>,
    ) -> Self {
        let network = &world.network;
        // Only a key `…:data`, whose absence shows a loss, may lack a time to live.
        let eternal = network.eternal_keys().into_iter().find(|key| !key.ends_with(":data"));
        let mut records = world.records().clone();
        records.faults.splice(..0, network.exhaustion());
        records.faults.extend(faults);
        records.faults.extend(eternal.map(|key| format!("{key} never expires")));
        for process in world.processes().values() {
            let Some(Program { runs, .. }) = process.get() else { continue };
            let calls = records.calls.iter().filter(|call| call.life == process.life).count();
            let (number, counted) = (process.number, runs.stats().started);
            if counted != calls as u64 {
                records.faults.push(format!("process {number} counts {counted} of {calls} calls"));
            }
        }
        let (settings, commands) = (world.settings, network.commands());
        let (restores_claims, keeps_lists, is_quiet, healed_at) = (false, false, false, 0);
        Self {
            severity,
            restores_claims,
            keeps_lists,
            is_quiet,
            settings,
            healed_at,
            records,
            commands,
        }
    }
}

/// The time in which a stopped run must end, in milliseconds, since the stop or the end of the
/// faults, whichever is later.
const STOP_TIME: u64 = 20_000;

/// The time in which a reply reaches a process that is not disturbed, in milliseconds.
const TRAVEL_TIME: u64 = 2_000;

pub(crate) fn check(history: &History) -> Verdict {
    let Records { calls, answers, faults, .. } = &history.records;
    let mut verdict = Verdict::default();
    verdict.faults.clone_from(faults);
    for (number, answer) in answers.iter().enumerate() {
        let fault = check_events(calls, answer).or_else(|| check_end(history, answer));
        let key = answer.key;
        verdict.faults.extend(fault.map(|it| format!("client {number} of key {key}: {it}")));
    }
    if history.severity < Severity::Losing || history.restores_claims {
        verdict.faults.extend(check_calls(history));
    }
    if history.severity < Severity::Losing {
        verdict.faults.extend(check_stops(history));
        verdict.faults.extend(check_stopped(&history.records));
    }
    verdict.faults.extend(check_reports(history));
    verdict.count("calls", calls.len());
    verdict.count("commands", history.commands);
    for end in answers.iter().filter_map(|answer| answer.end) {
        let what = match end {
            AnswerEnd::Whole => "whole",
            AnswerEnd::Failed(_) => "told",
            AnswerEnd::NotFound => "not found",
            AnswerEnd::Unterminated | AnswerEnd::Left => continue,
        };
        verdict.count(what, 1);
    }
    verdict
}

/// Checks that an answer's events are those of one call, each once and in order, from the first
/// one.
fn check_events(calls: &[Call], answer: &Answer) -> Option<String> {
    let first = answer.events.first()?;
    if calls[first.call].key != answer.key {
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

/// Checks that an answer is whole if its client takes it for the whole one, and that any other end
/// has a reason.
fn check_end(history: &History, answer: &Answer) -> Option<String> {
    let call = answer.events.first().map(|first| (first.call, &history.records.calls[first.call]));
    let is_whole = call.is_some_and(|(_, call)| {
        call.end.is_some_and(|end| end.is_finished)
            && answer.events.len() as u64 == call.plan.events
    });
    let is_calm = history.severity == Severity::Calm && history.settings.keep_all();
    let events = answer.events.len();
    let mut stops = history.records.stops.iter();
    let is_stopped = stops.any(|stop| stop.key == answer.key && stop.began <= answer.ended);
    // A client that starts no run calls `get` and then `answer`. It counts one refusal if the run
    // begins between the two calls.
    if history.is_quiet && history.settings.keep_all() && answer.refused > 1 {
        return Some(format!("{} requests are refused", answer.refused));
    }
    match answer.end? {
        AnswerEnd::Left => None,
        // A run that was cancelled ends without the terminator.
        AnswerEnd::Unterminated if is_stopped => None,
        AnswerEnd::Unterminated if call.is_some_and(|(_, call)| call.has_options) => {
            Some(format!("no terminator after {events} events of {call:?}"))
        }
        AnswerEnd::Whole | AnswerEnd::Unterminated => {
            let is_right = is_whole && call.is_some_and(|(_, call)| !call.plan.fails);
            (!is_right).then(|| format!("a clean end after {events} events of {call:?}"))
        }
        AnswerEnd::Failed(Some(Outcome::Cancelled)) => {
            (!is_stopped).then(|| "cancelled, but nobody stopped it".to_owned())
        }
        AnswerEnd::Failed(Some(Outcome::Failed)) => {
            let has_failed = match call {
                Some((_, call)) => call.plan.fails && (is_whole || !is_calm),
                None => history
                    .records
                    .calls
                    .iter()
                    .any(|call| call.key == answer.key && call.plan.fails),
            };
            (!has_failed).then(|| format!("failed after {events} events of {call:?}"))
        }
        // While Redis refuses commands, a process may be unable to check the runs of others.
        AnswerEnd::Failed(None) if was_refused(history, answer.ended) => None,
        AnswerEnd::Failed(outcome @ (None | Some(Outcome::Interrupted))) => {
            is_calm.then(|| format!("told {outcome:?} after {events} events of {call:?}"))
        }
        AnswerEnd::Failed(outcome) => Some(format!("told {outcome:?}")),
        AnswerEnd::NotFound => {
            let (number, call) = call?;
            let has_later =
                history.records.calls[number + 1..].iter().any(|call| call.key == answer.key);
            // With layers, a client that has seen all of an answer that failed gets a 404.
            let has_failed = history.settings.is_layered && call.plan.fails && is_whole;
            (is_calm && !has_later && !is_taken(&history.records, answer, call) && !has_failed)
                .then(|| format!("not found after {events} events"))
        }
    }
}

/// Returns whether a request that has made no call may have taken the key of a call's run before an
/// answer ended: a replacement or, once the run has ended without completing, a start. Its client
/// left too early.
fn is_taken(Records { stops, cut_starts, .. }: &Records, answer: &Answer, call: &Call) -> bool {
    let is_replaced = stops.iter().any(|stop| {
        let is_between = stop.began <= answer.ended && call.began <= stop.over;
        stop.replaces && stop.call.is_none() && stop.key == answer.key && is_between
    });
    let can_start = call.end.filter(|end| !end.is_finished || call.plan.fails);
    let is_started = can_start.is_some_and(|end| {
        let mut of_key = cut_starts.iter().filter(|(key, _)| *key == answer.key);
        of_key.any(|&(_, at)| end.at <= at + TRAVEL_TIME && at <= answer.ended)
    });
    is_replaced || is_started
}

/// Returns whether Redis had refused commands for two leases when the answer ended. After this
/// time, bodies fail at all processes but the run's owner. The time of a check is tolerated,
/// because a process's last contact may be a check before the first refusal.
fn was_refused(history: &History, ended: u64) -> bool {
    let check = history.settings.check();
    let is_long = |refused: &Range<u64>| {
        refused.start + 8 * check <= ended + check && ended <= refused.end + check
    };
    history.records.refusals.iter().any(is_long)
}

/// Checks that a key has one call at a time. If ended runs are kept, also checks that no call
/// follows one that has completed, and that no call is dropped without a reason. Leaves out calls
/// whose process was out of reach or ended.
fn check_calls(history: &History) -> Vec<String> {
    let Records { calls, stops, disturbed, .. } = &history.records;
    let keeps_ends = history.settings.keep_all() && !history.restores_claims;
    let mut faults = Vec::new();
    for (number, call) in calls.iter().enumerate().filter(|(_, call)| !disturbed[call.life]) {
        // The reply to a claim can arrive after the run was replaced, so calls need not begin in
        // the order of the claims.
        let stopped_before = |time| {
            let mut others =
                stops.iter().filter(|it| it.key == call.key && it.call != Some(number));
            others.any(|stop| {
                let travels_until = stop.over.saturating_add(TRAVEL_TIME);
                stop.began <= time && call.asked <= stop.over && travels_until >= call.began
            })
        };
        let replaces = |later: &Call| {
            let is_over = later.end.is_some_and(|end| end.at <= later.began + TRAVEL_TIME);
            let own = stops.iter().find(|stop| stop.call == Some(number));
            is_over && own.is_some_and(|stop| later.asked <= stop.over)
        };
        let dropped = call.end.filter(|end| !end.is_finished && keeps_ends);
        if dropped.is_some_and(|dropped| !stopped_before(dropped.at)) {
            faults.push(format!("call {number} is dropped, but nobody stopped it"));
        }
        for (next, later) in calls.iter().enumerate().skip(number + 1) {
            if later.key != call.key || stopped_before(later.began) || replaces(later) {
                continue;
            }
            match call.end.filter(|end| end.at <= later.began) {
                None => faults.push(format!("call {next} begins while call {number} runs")),
                Some(end) if end.is_finished && !call.plan.fails && !call.is_void && keeps_ends => {
                    faults.push(format!("call {next} begins although call {number} has completed"));
                }
                Some(_) => {}
            }
        }
    }
    faults
}

/// Checks that stopped runs end within [`STOP_TIME`].
fn check_stops(history: &History) -> Vec<String> {
    let Records { calls, answers, stops, .. } = &history.records;
    let events = answers.iter().filter_map(|answer| answer.events.first());
    let of_epochs: BTreeMap<_, _> = events.map(|event| (&event.epoch, event.call)).collect();
    let goes_on = stops.iter().filter_map(|stop| {
        let number = *of_epochs.get(stop.stopped.as_ref()?)?;
        let end = calls[number].end.map_or(u64::MAX, |end| end.at);
        let is_late = end > stop.began.max(history.healed_at) + STOP_TIME;
        is_late.then(|| format!("call {number} was stopped, and goes on"))
    });
    goes_on.collect()
}

/// Checks that an answer that ends because the run was stopped has every event that any client has
/// seen. Leaves out runs that were replaced, and runs whose process was out of reach or ended.
fn check_stopped(Records { calls, answers, stops, disturbed, .. }: &Records) -> Vec<String> {
    let mut seen = BTreeMap::new();
    for event in answers.iter().flat_map(|answer| &answer.events) {
        let newest = seen.entry(&event.epoch).or_insert(0);
        *newest = event.sequence.max(*newest);
    }
    let lacks = answers.iter().filter_map(|Answer { key, events, end, .. }| {
        let last = events.last()?;
        let is_stopped = *end == Some(AnswerEnd::Failed(Some(Outcome::Cancelled)));
        // No later request finds a run that was replaced.
        let is_replaced = stops.iter().any(|stop| stop.replaces && stop.key == *key);
        let is_checked = is_stopped && !is_replaced && !disturbed[calls[last.call].life];
        let newest = seen[&last.epoch];
        (is_checked && last.sequence < newest)
            .then(|| format!("a client of key {key} lacks events up to {newest}: {last:?}"))
    });
    lacks.collect()
}

/// Checks that each run is reported if Redis keeps the lists of live runs, and that no run is
/// reported twice unless a process may have been out of reach.
fn check_reports(history: &History) -> Vec<String> {
    let Records { calls, stops, reports, .. } = &history.records;
    let is_calm = history.severity == Severity::Calm;
    let twice = reports.iter().filter(|(_, outcomes)| is_calm && outcomes.len() > 1);
    let mut faults: Vec<_> =
        twice.map(|(epoch, outcomes)| format!("run {epoch} is reported as {outcomes:?}")).collect();
    let ended = calls.iter().filter(|call| call.end.is_some() && !call.is_void).count();
    if history.keeps_lists && reports.len() < ended {
        faults.push(format!("{} reports of {ended} runs", reports.len()));
    }
    // A run that is stopped before its call is reported, as `RunsStats::ended_by_outcome` says.
    let most = calls.len() + stops.len();
    if is_calm && reports.len() > most {
        faults.push(format!("{} reports of {most} calls and stops", reports.len()));
    }
    faults
}
