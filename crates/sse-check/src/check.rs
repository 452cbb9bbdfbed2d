//! The checks, and what comes of one.

use std::{fmt, time::Duration};

use crate::{
    answer::{answer, headers, start},
    compare::{changes, delay, resumption},
    flow::{bursts, end, silence},
    lines::lines,
    session::Session,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    NotLookedAt,
    Pass,
    Warning,
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One for each variant.
        f.pad(["not looked at", "pass", "warning", "fail"][*self as usize])
    }
}

/// What a check has found.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// The number and name of its check.
    pub(crate) number: usize,
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) summary: String,
    /// Header lines, bytes and times.
    pub(crate) evidence: Vec<String>,
    /// The address of the page that says how to mend it.
    pub(crate) page: Option<String>,
}

impl Finding {
    pub(crate) fn pass(summary: impl Into<String>) -> Self {
        let (verdict, summary) = (Verdict::Pass, summary.into());
        Self { number: 0, name: "", verdict, summary, evidence: vec![], page: None }
    }

    pub(crate) fn not_looked_at(summary: impl Into<String>) -> Self {
        Self { verdict: Verdict::NotLookedAt, ..Self::pass(summary) }
    }

    pub(crate) fn warning(summary: impl Into<String>, page: &str) -> Self {
        let page = Some(format!("https://docs.rs/tower-sse/latest/tower_sse/{page}"));
        Self { verdict: Verdict::Warning, page, ..Self::pass(summary) }
    }

    pub(crate) fn fail(summary: impl Into<String>, page: &str) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warning(summary, page) }
    }

    pub(crate) fn with(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    pub(crate) fn with_all(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// Returns the first of the worst findings, with the others as evidence.
    pub(crate) fn worst(mut findings: Vec<Self>) -> Option<Self> {
        // A stable sort from worse to better.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
        let mut findings = findings.into_iter();
        let worst = findings.next()?;
        Some(findings.fold(worst, |worst, it| worst.with(it.summary).with_all(it.evidence)))
    }
}

/// The name of a check, what it looks at, and the check.
pub(crate) type Check = (&'static str, &'static str, fn(&Session) -> Finding);

/// The number of a check is its place, and stays.
pub(crate) const CHECKS: [Check; 10] = [
    ("answer", "the status and the content type", answer),
    ("start", "the times until the head and the first byte", start),
    ("headers", "the headers that keep proxies from caching and compressing", headers),
    ("bursts", "events that come together but were made at different times", bursts),
    ("delay", "the delay that each hop of --via adds", delay),
    ("changes", "what each hop of --via changes or drops", changes),
    ("silence", "the longest silence, and what idle limits make of it", silence),
    ("resumption", "what a client receives that comes back with an id", resumption),
    ("end", "how the stream ends", end),
    ("lines", "lines that parsers read differently", lines),
];

pub(crate) const RESUMPTION: usize = 8;

/// Runs the checks of these numbers.
pub(crate) fn run(numbers: &[usize], session: &Session) -> Vec<Finding> {
    let recording = &session.outermost.recording;
    let chosen = (1..).zip(CHECKS).filter(|(number, _)| numbers.contains(number));
    let findings = chosen.map(|(number, (name, _, check))| {
        let is_of_any = matches!(name, "answer" | "start" | "delay");
        let finding = match recording.head {
            _ if is_of_any || recording.is_event_stream() => check(session),
            None => Finding::not_looked_at("no answer has come"),
            Some(_) => Finding::not_looked_at("the answer is no event stream"),
        };
        Finding { number, name, ..finding }
    });
    findings.collect()
}

/// Writes a time as a person reads it.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.1} s") }
}

/// Writes bytes in one line, shortened.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    let short: String = text.chars().take(80).collect();
    format!("\"{short}{}\"", if short.len() < text.len() { "…" } else { "" })
}
