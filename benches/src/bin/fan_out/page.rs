use std::fmt::Write as _;

use tower_sse_benches::{payload, sockets::clock::parse_digits, sockets::record::extremes};

use crate::*;

type Figure = fn(&Row) -> Option<f64>;

const CPU: Figure = |row| Some(row.cpu);
const RATE: Figure = |row| Some(row.deliveries_per_s);
const MEMORY: Figure = |row| Some(row.resident_kib as f64);
const DELAY: Figure = |row| row.delays.map(|[median, ..]| median);

/// Two cases, a figure, and the least factor by which the second case exceeds the first.
type Target = (&'static str, Case, Case, Figure, Option<f64>);

fn targets() -> Vec<Target> {
    let case = |subject, regime, subscribers| Case { subject, regime, subscribers };
    let ours = |regime, subscribers, peer, figure, target| {
        let of = |subject| case(subject, regime, subscribers);
        (of(Subject::Hub), of(peer), figure, target)
    };
    let beside = |what, (one, other, figure, target)| (what, one, other, figure, target);
    let cpu =
        |regime, peer, target| beside("CPU per delivery", ours(regime, 1_000, peer, CPU, target));
    use {Regime::*, Subject::*};
    let mut targets = vec![
        cpu(Saturated, Axum, Some(1.8)),
        cpu(Bursts, Axum, Some(8.0)),
        cpu(Paced, Axum, Some(1.05)),
        cpu(Saturated, BetterSse, Some(15.0)),
        cpu(Saturated, SseStarlette, Some(30.0)),
    ];
    targets.extend([Saturated, Bursts, Paced].map(|regime| cpu(regime, AxumKeepAlive, None)));
    for peer in [BetterSse, SseStarlette] {
        targets.extend([cpu(Bursts, peer, None), cpu(Paced, peer, None)]);
    }
    for regime in [Saturated, Bursts] {
        targets.push(beside("CPU per delivery", ours(regime, 5_000, Axum, CPU, None)));
    }
    // At most 1.1 times axum's delay.
    targets.push(beside("median delay", ours(Latency, 1, Axum, DELAY, Some(1.0 / 1.1))));
    for subject in [Hub, Axum] {
        let [with, without] = [Stalled, Unstalled].map(|regime| case(subject, regime, 1_000));
        targets.push(("deliveries/s", with, without, RATE, None));
        targets.push(("memory", with, without, MEMORY, None));
    }
    targets
}

/// Writes the medians and ratios of a record.
pub fn page(record: &Record<Case>, notes: &[&str]) -> String {
    let mut text = String::from("# Fan-out, measured beside the peers\n\n");
    for note in notes {
        _ = writeln!(text, "- {note}");
    }
    text.push_str("\n## Ratios\n\nThe figure of the second divided by that of the first: of the medians, and the minimum and maximum of single rounds.\n\n");
    text.push_str(
        "| what | first | second | target | medians | rounds |\n|---|---|---|---|---|---|\n",
    );
    for (what, one, other, figure, target) in targets() {
        let medians = Option::zip(record.median(one, figure), record.median(other, figure));
        let ratio = medians.map(|(one, other)| other / one);
        let missed = Option::zip(ratio, target).is_some_and(|(ratio, target)| ratio < target);
        let rounds = extremes(&record.ratios(other, one, figure));
        _ = writeln!(
            text,
            "| {what} | {} | {} | {} | {}{} | {} |",
            one.label(),
            other.label(),
            target.map(|target| format!("≥ {target:.2}×")).unwrap_or_default(),
            ratio.map(|ratio| format!("{ratio:.2}×")).unwrap_or_default(),
            if missed { " (missed)" } else { "" },
            rounds.map(|[least, most]| format!("{least:.2}–{most:.2}×")).unwrap_or_default(),
        );
    }
    text.push_str("\n## All results\n\nMedians. The server's processor time for each delivery and the delays are in microseconds.\n\n");
    text.push_str("| | events | CPU | user | deliveries/s | reads each | bytes each | delay | 99 of 100 | KiB at the end | missed | runs, void |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (case, rows) in &record.cases {
        let cell = |figure: Figure, digits: usize| {
            let median = record.median(*case, figure);
            median.map(|median| format!("{median:.digits$}")).unwrap_or_default()
        };
        let void = rows.iter().filter(|row| row.is_err()).count();
        _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {}, {void} |",
            case.label(),
            cell(|row| Some(row.events as f64), 0),
            cell(CPU, 3),
            cell(|row| Some(row.user), 3),
            cell(RATE, 0),
            cell(|row| Some(row.reads), 3),
            cell(|row| Some(row.bytes), 1),
            cell(DELAY, 1),
            cell(|row| row.delays.map(|[_, p99, _]| p99), 1),
            cell(MEMORY, 0),
            cell(|row| row.missed.map(|missed| missed as f64), 0),
            rows.len(),
        );
    }
    text
}

impl Columns for Case {
    const COLUMNS: &'static str = "subject,regime,subscribers";

    fn csv(&self) -> String {
        format!("{},{},{}", self.subject.name(), self.regime.name(), self.subscribers)
    }
}

impl Case {
    fn label(self) -> String {
        format!("{} {} {}", self.subject.name(), self.regime.name(), self.subscribers)
    }
}

/// The last byte of an event's data, which nothing else that goes over the wire contains.
pub const MARKER: u8 = b'~';
const DIGITS: usize = 20;

/// A source of event data: 256 bytes of a number, filler, the time, and the [`MARKER`].
pub struct Texts {
    filler: &'static str,
}

impl Texts {
    pub fn new() -> Self {
        Self { filler: payload::line(226) }
    }

    /// Returns the data of this event, published now.
    pub fn now(&self, number: u64) -> String {
        format!("{number:08} {}{:020}~", self.filler, monotonic_ns())
    }
}

/// Returns the number of the event with this data.
pub fn number(text: &str) -> Option<u64> {
    text.split(' ').next()?.parse().ok()
}

/// Returns when the event was published whose marker is at `marker`, or `None` if its data began in
/// earlier bytes.
pub fn published_ns(bytes: &[u8], marker: usize) -> Option<u64> {
    let digits = bytes.get(marker.checked_sub(DIGITS)?..marker)?;
    Some(parse_digits(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_has_256_bytes_and_gives_back_its_number_and_time() {
        let before = monotonic_ns();
        let text = Texts::new().now(42);
        assert_eq!(text.len(), 256);
        assert_eq!(text.bytes().filter(|&byte| byte == MARKER).count(), 1);
        assert_eq!(number(&text), Some(42));
        let published = published_ns(text.as_bytes(), 255).expect("a time");
        assert!((before..=monotonic_ns()).contains(&published));
        assert_eq!(published_ns(&text.as_bytes()[240..], 15), None, "cut before its time");
    }
}
