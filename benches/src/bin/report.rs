//! Writes the measurements into one CSV file and one page of Markdown.
//!
//! `report TIMES ALLOCATIONS INSTRUCTIONS OUT [NOTE]...`, where the first three are CSV files and
//! `OUT` is a path without its extension.

use std::path::{Path, PathBuf};
use std::{collections::BTreeMap, env, fmt::Write as _, fs};

use tower_sse_benches::hub::{ONE_TOPIC, TOPICS};
use tower_sse_benches::layer::{NO_OP, WORKS as PASSING};
use tower_sse_benches::{OURS, cases, encode::HEARTBEAT, peers::ours::HEARTBEAT_OFF};

/// How many times faster than a peer an event must be encoded.
const RATIOS: [(&str, &str, f64); 17] = [
    ("16 B literal", "axum", 12.0),
    ("16 B literal", "sse-stream", 2.0),
    ("16 B copied", "axum", 6.0),
    ("16 B String", "axum", 6.0),
    ("16 B String", "sse-stream", 2.0),
    ("16 B shared", "axum", 12.0),
    ("16 B shared", "actix-web-lab", 2.0),
    ("256 B literal", "axum", 8.0),
    ("256 B literal", "sse-stream", 2.0),
    ("256 B String", "axum", 4.5),
    ("256 B String", "sse-stream", 2.0),
    ("256 B shared", "axum", 8.0),
    ("256 B shared", "actix-web-lab", 2.0),
    ("4 KiB literal", "axum", 2.0),
    ("64 lines x 64 B literal", "axum", 1.7),
    ("JSON 227 B", "axum", 4.5),
    ("id + event + 64 B", "axum", 9.0),
];

/// How many more nanoseconds than another case of the same work are allowed.
const DIFFERENCES: [(&str, &str, f64); 4] = [
    (HEARTBEAT, HEARTBEAT_OFF, 0.5),
    (PASSING[0], NO_OP, 60.0),
    (PASSING[1], NO_OP, 70.0),
    // Five nanoseconds for each idle topic.
    (TOPICS, ONE_TOPIC, 99.0 * 5.0),
];

/// The measurements of one case, each column as its file has it.
#[derive(Default)]
struct Figures {
    least: Option<f64>,
    median: Option<f64>,
    allocations: Option<f64>,
    instructions: Option<f64>,
}

type Record = BTreeMap<(String, String), Figures>;

fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    let [times, allocations, instructions, out, notes @ ..] = &*args else {
        panic!("usage: report TIMES ALLOCATIONS INSTRUCTIONS OUT [NOTE]...");
    };
    let mut record = Record::new();
    read(times, &mut record, |figures, columns| {
        (figures.least, figures.median) = (Some(columns[0]), Some(columns[1]));
    });
    read(allocations, &mut record, |figures, columns| figures.allocations = Some(columns[0]));
    read(instructions, &mut record, |figures, columns| figures.instructions = Some(columns[0]));
    let out = PathBuf::from(out);
    write(&out.with_extension("csv"), &csv(&record));
    write(&out.with_extension("md"), &page(&record, notes));
}

fn read(path: &str, record: &mut Record, mut take: impl FnMut(&mut Figures, &[f64])) {
    let text = fs::read_to_string(path).expect("a file of figures");
    for line in text.lines().skip(1) {
        let mut columns = line.split(',');
        let mut name = || columns.next().expect("a name").to_owned();
        let case = (name(), name());
        let columns: Vec<f64> = columns.map(|column| column.parse().expect("a number")).collect();
        take(record.entry(case).or_default(), &columns);
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file written");
    println!("{}", path.display());
}

fn cell(figure: Option<f64>, digits: usize) -> String {
    figure.map(|figure| format!("{figure:.digits$}")).unwrap_or_default()
}

fn csv(record: &Record) -> String {
    let mut text = "work,subject,least_ns,median_ns,allocations,instructions\n".to_owned();
    for case in cases() {
        let figures = &record[&(case.work.to_owned(), case.subject.to_owned())];
        let _ = writeln!(
            text,
            "{},{},{},{},{},{}",
            case.work,
            case.subject,
            cell(figures.least, 2),
            cell(figures.median, 2),
            cell(figures.allocations, 4),
            cell(figures.instructions, 0)
        );
    }
    text
}

fn page(record: &Record, notes: &[String]) -> String {
    let mut text = String::from("# Measured beside the peers\n\n");
    for note in notes {
        let _ = writeln!(text, "- {note}");
    }
    text.push_str("\n## Targets\n\n");
    text.push_str("| work | beside | target | least times | medians | instructions |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    let of = |work: &str, subject: &str| &record[&(work.to_owned(), subject.to_owned())];
    for (work, peer, target) in RATIOS {
        let (ours, theirs) = (of(work, OURS), of(work, peer));
        let ratio = |figure: fn(&Figures) -> Option<f64>| {
            let ratio =
                Option::zip(figure(theirs), figure(ours)).map(|(theirs, ours)| theirs / ours);
            ratio.map_or_else(String::new, |ratio| {
                let missed = if ratio < target { " (missed)" } else { "" };
                format!("{ratio:.2}×{missed}")
            })
        };
        let [least, median] = [ratio(|of| of.least), ratio(|of| of.median)];
        let instructions = Option::zip(theirs.instructions, ours.instructions)
            .map_or_else(String::new, |(theirs, ours)| format!("{:.2}×", theirs / ours));
        let _ = writeln!(
            text,
            "| {work} | {peer} | ≥ {target}× | {least} | {median} | {instructions} |"
        );
    }
    for (work, other, target) in DIFFERENCES {
        let (ours, other_figures) = (of(work, OURS), of(work, other));
        let difference =
            |figure: fn(&Figures) -> Option<f64>| Some(figure(ours)? - figure(other_figures)?);
        let cell = |difference: Option<f64>| {
            difference.map_or_else(String::new, |difference| {
                let missed = if difference > target { " (missed)" } else { "" };
                format!("{difference:+.2} ns{missed}")
            })
        };
        let _ = writeln!(
            text,
            "| {work} | {other} | ≤ +{target} ns | {} | {} | {} |",
            cell(difference(|of| of.least)),
            cell(difference(|of| of.median)),
            difference(|of| of.instructions)
                .map_or_else(String::new, |difference| format!("{difference:+.0}"))
        );
    }
    text.push_str("\n## All results\n\nFor one event or one request.\n\n");
    text.push_str("| work | subject | least ns | median ns | allocations | instructions |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for case in cases() {
        let figures = of(case.work, case.subject);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            case.work,
            case.subject,
            cell(figures.least, 1),
            cell(figures.median, 1),
            cell(figures.allocations, 4),
            cell(figures.instructions, 0)
        );
    }
    text
}
