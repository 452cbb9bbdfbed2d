use std::fmt::Write as _;

use tower_sse_benches::{payload, sockets::clock::parse_digits};

use super::row::ratio;
use crate::*;

/// The largest ratio to the second subject that is a success.
type Goal = (Subject, Subject, f64);

const GOALS: [Goal; 6] = [
    (Subject::Layer, Subject::Axum, 1.05),
    (Subject::Looks, Subject::Axum, 1.05),
    (Subject::Layer, Subject::Go, 1.0),
    (Subject::Looks, Subject::Go, 1.0),
    (Subject::Layer, Subject::Node, 1.0),
    (Subject::Looks, Subject::Node, 1.0),
];

/// A heading, a figure, and how many of its decimal places are shown.
type Column = (&'static str, fn(&Row) -> f64, usize);

const COLUMNS: [Column; 11] = [
    ("CPU", |row| row.cpu, 2),
    ("user", |row| row.user, 2),
    ("events/s", |row| row.events_per_s, 0),
    ("reads each", |row| row.reads, 3),
    ("delay", |row| row.delays[0], 0),
    ("delay, 99 of 100", |row| row.delays[1], 0),
    ("longest", |row| row.delays[2], 0),
    ("first event", |row| row.first[0], 0),
    ("first event, 99 of 100", |row| row.first[1], 0),
    ("KiB at the end", |row| row.resident_kib as f64, 0),
    ("events a client", |row| row.events as f64, 0),
];

/// Writes the medians and ratios of a record.
pub fn page(record: &Record<Case>, notes: &[&str]) -> String {
    let mut text = String::from("# Relays of event streams, measured beside the peers\n\n");
    for note in notes {
        _ = writeln!(text, "- {note}");
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    _ = writeln!(text, "- load average after the last round {load}");
    text.push_str("\n## Ratios\n\nThe relay's processor time per event, divided by that of the second in the same round: the median, the minimum and the maximum of all rounds.\n\n");
    text.push_str(
        "| | second | goal | paced | rounds | fast | rounds |\n|---|---|---:|---:|---|---:|---|\n",
    );
    for (one, other, goal) in GOALS {
        ratio_row(&mut text, record, one, other, Some(goal));
    }
    let others = Subject::ALL.map(|(_, subject)| subject).into_iter();
    for one in others.filter(|one| GOALS.iter().all(|(of, ..)| of != one) && *one != Subject::Axum)
    {
        ratio_row(&mut text, record, one, Subject::Axum, None);
    }
    for (name, pace) in Pace::ALL {
        let what = match pace {
            Pace::Paced => "One event every 20 ms to each client, the clients evenly out of step.",
            Pace::Fast => {
                "As fast as the relay takes them; the delays are what waits in the buffers of the sockets and of the relay."
            }
        };
        _ = writeln!(
            text,
            "\n## {CLIENTS} clients, {name}\n\n{what} Medians of the rounds; times in microseconds, processor time per event delivered.\n"
        );
        table(&mut text, record, pace);
    }
    text
}

fn ratio_row(
    text: &mut String,
    record: &Record<Case>,
    one: Subject,
    other: Subject,
    goal: Option<f64>,
) {
    let cells = Pace::ALL.map(|(_, pace)| {
        let ratio = ratio(record, Case { subject: one, pace }, Case { subject: other, pace });
        let Some([median, minimum, maximum]) = ratio else { return "| | ".to_owned() };
        let missed = if goal.is_some_and(|goal| median > goal) { " (missed)" } else { "" };
        format!("| {median:.3}{missed} | {minimum:.3}–{maximum:.3} ")
    });
    let goal = goal.map(|goal| format!("≤ {goal:.2}")).unwrap_or_default();
    _ = writeln!(text, "| {} | {} | {goal} {}|", one.name(), other.name(), cells.concat());
}

fn table(text: &mut String, record: &Record<Case>, pace: Pace) {
    _ = write!(text, "| ");
    COLUMNS.iter().for_each(|(column, ..)| _ = write!(text, "| {column} "));
    _ = writeln!(text, "| runs, void |\n|---{}|---:|", "|---:".repeat(COLUMNS.len()));
    for (case, rows) in record.cases.iter().filter(|(case, _)| case.pace == pace) {
        _ = write!(text, "| {} ", case.subject.name());
        for (_, figure, digits) in COLUMNS {
            let median = record.median(*case, |row| Some(figure(row)));
            let cell = median.map(|median| format!("{median:.digits$}")).unwrap_or_default();
            _ = write!(text, "| {cell} ");
        }
        let void = rows.iter().filter(|row| row.is_err()).count();
        _ = writeln!(text, "| {}, {void} |", rows.len());
    }
}

/// The bytes of an event on the wire, without the transfer coding.
pub const SIZE: usize = 200;
/// The bytes of a chunk with one event.
pub const CHUNK: usize = SIZE + 6;
/// What the changing filter replaces, and with what.
pub const REDACTED: (&str, &str) = ("quick", "*****");

/// The last bytes of each event.
pub const END: &[u8] = b"\"}\n\n";

const NUMBER: Range<usize> = 12..20;
const STAMP: Range<usize> = 27..47;

/// An event in which only its number and the time of its sending differ from all others.
pub struct Template {
    event: String,
}

impl Template {
    /// Creates the event that the upstream sends.
    pub fn new() -> Self {
        let text = payload::line(138);
        let event =
            format!("data: {{\"n\":\"{:08}\",\"t\":\"{:020}\",\"delta\":\"{text}\"}}\n\n", 0, 0);
        Self { event }
    }

    /// Creates the event that the changing filter makes of it.
    pub fn redacted() -> Self {
        let (from, to) = REDACTED;
        Self { event: Self::new().event.replace(from, to) }
    }

    /// Appends an event in a chunk of its own.
    pub fn write_chunk(&self, number: u64, stamp: u64, to: &mut Vec<u8>) {
        to.extend_from_slice(b"c8\r\n");
        let start = to.len();
        to.extend_from_slice(self.event.as_bytes());
        write_digits(&mut to[start..][NUMBER], number);
        write_digits(&mut to[start..][STAMP], stamp);
        to.extend_from_slice(b"\r\n");
    }

    /// Returns when this event was sent, or `None` if it is not the one with this number, byte for
    /// byte.
    pub fn sent_ns(&self, event: &[u8], number: u64) -> Option<u64> {
        let template = self.event.as_bytes();
        let same = |range: Range<usize>| event.get(range.clone()) == template.get(range);
        let is_same = event.len() == SIZE
            && same(0..NUMBER.start)
            && same(NUMBER.end..STAMP.start)
            && same(STAMP.end..SIZE)
            && event[STAMP].iter().all(u8::is_ascii_digit)
            && parse_digits(&event[NUMBER]) == number;
        is_same.then(|| parse_digits(&event[STAMP]))
    }
}

fn write_digits(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_gives_back_its_time_and_only_for_its_number() {
        for template in [Template::new(), Template::redacted()] {
            let mut chunk = Vec::new();
            template.write_chunk(7, 1_234_567, &mut chunk);
            assert_eq!(chunk.len(), CHUNK);
            let event = &chunk[4..CHUNK - 2];
            assert_eq!(template.sent_ns(event, 7), Some(1_234_567));
            assert_eq!(template.sent_ns(event, 8), None);
            for at in (0..SIZE).filter(|at| !STAMP.contains(at)) {
                let mut other = event.to_vec();
                other[at] ^= 1;
                assert_eq!(template.sent_ns(&other, 7), None, "byte {at}");
            }
        }
        let mut chunk = Vec::new();
        Template::new().write_chunk(7, 1_234_567, &mut chunk);
        assert_eq!(Template::redacted().sent_ns(&chunk[4..CHUNK - 2], 7), None);
    }
}
