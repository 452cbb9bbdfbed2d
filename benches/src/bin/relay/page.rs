use std::fmt::Write as _;

use super::rounds::ratio;
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
