//! The results of checks.

use std::{fmt, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Pass,
    NotChecked,
    Warning,
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The array has an entry for each variant.
        f.pad(["pass", "not checked", "warning", "fail"][*self as usize])
    }
}

/// The result of a check.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) number: usize,
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) summary: String,
    /// Details, such as header lines, bytes and times.
    pub(crate) evidence: Vec<String>,
    /// The address of the page that explains the finding or its remedy.
    pub(crate) page: Option<String>,
}

impl Finding {
    pub(crate) fn pass(summary: impl Into<String>) -> Self {
        let (verdict, summary) = (Verdict::Pass, summary.into());
        Self { number: 0, name: "", verdict, summary, evidence: vec![], page: None }
    }

    pub(crate) fn not_checked(summary: impl Into<String>) -> Self {
        Self { verdict: Verdict::NotChecked, ..Self::pass(summary) }
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

    /// Returns the first of the worst findings, with the other findings as evidence.
    pub(crate) fn worst(mut findings: Vec<Self>) -> Option<Self> {
        // The sort is stable, so findings with the same verdict keep their order.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
        let mut findings = findings.into_iter();
        let worst = findings.next()?;
        Some(findings.fold(worst, |worst, it| worst.with(it.summary).with_all(it.evidence)))
    }
}

pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.1} s") }
}

/// Formats bytes from the network in one line, shortened and without terminal controls.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut escaped = bytes.escape_ascii().map(char::from);
    let short: String = escaped.by_ref().take(120).collect();
    format!("\"{short}{}\"", if escaped.next().is_some() { "…" } else { "" })
}
