//! The checks, and what comes of one.

use std::{fmt, time::Duration};

use crate::{
    answer::{answer, headers, start},
    flow::{bursts, end, silence},
    hops::{changes, delay},
    lines::lines,
    resume::resumption,
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
        f.pad(match self {
            Self::NotLookedAt => "not looked at",
            Self::Pass => "pass",
            Self::Warning => "warning",
            Self::Fail => "fail",
        })
    }
}

/// What a check has found.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) summary: String,
    /// Header lines, bytes and times.
    pub(crate) evidence: Vec<String>,
    /// The page that says how to mend it, below [`GUIDE`].
    pub(crate) page: Option<&'static str>,
}

impl Finding {
    pub(crate) fn pass(summary: impl Into<String>) -> Self {
        Self { verdict: Verdict::Pass, summary: summary.into(), evidence: vec![], page: None }
    }

    pub(crate) fn not_looked_at(summary: impl Into<String>) -> Self {
        Self { verdict: Verdict::NotLookedAt, ..Self::pass(summary) }
    }

    pub(crate) fn warning(summary: impl Into<String>, page: &'static str) -> Self {
        Self { verdict: Verdict::Warning, page: Some(page), ..Self::pass(summary) }
    }

    pub(crate) fn fail(summary: impl Into<String>, page: &'static str) -> Self {
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

/// Where the pages are.
pub(crate) const GUIDE: &str = "https://docs.rs/tower-sse/latest/tower_sse/";

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

pub(crate) fn run((name, _, check): &Check, session: &Session) -> Finding {
    let recording = &session.outermost.recording;
    if recording.is_event_stream() || matches!(*name, "answer" | "start" | "delay") {
        check(session)
    } else if recording.head.is_none() {
        Finding::not_looked_at("no answer has come")
    } else {
        Finding::not_looked_at("the answer is no event stream")
    }
}

/// Writes a time as a person reads it.
pub(crate) fn time(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds < 0.000_95 => format!("{:.1} ms", seconds * 1000.0),
        seconds if seconds < 0.9995 => format!("{:.0} ms", seconds * 1000.0),
        seconds => format!("{seconds:.1} s"),
    }
}

/// Writes bytes in one line, shortened.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    let short: String = text.chars().take(80).collect();
    format!("\"{short}{}\"", if short.len() < text.len() { "…" } else { "" })
}
