//! The printed reports.

use std::{fmt::Write, time::Duration};

use http::Method;
use serde_json::{Value, json};

use crate::connection::name;
use crate::finding::{Finding, Verdict, time};
use crate::hop::HopOptions;
use crate::recording::{End, Recording, Stream};
use crate::session::Session;
use crate::verdicts::Judgement;

/// The number of columns of a time line.
const COLUMNS: usize = 60;
/// The characters for a column's number of events, from few to many.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(crate) fn text(session: &Session, findings: &[Finding]) -> String {
    let mut text = String::new();
    for Stream { recording, events, .. } in streams(session) {
        let Recording { head, bytes, .. } = recording;
        let (events, bytes) = (events.len(), bytes.len());
        let head = head
            .as_ref()
            .map(|(at, it)| format!("{:?} {} after {}", it.version, it.status.as_u16(), time(*at)));
        let (head, end) = (head.unwrap_or("no answer".to_owned()), ending(recording));
        _ = writeln!(text, "{}\n  {head}, {events} events, {bytes} bytes, {end}", recording.name());
    }
    if session.method != Method::GET && !session.inner.is_empty() {
        let count = session.inner.len() + 1;
        _ = writeln!(text, "Each address costs a call: {count} times {}.", session.method);
    }
    text += &time_lines(session);
    text + &table(findings, |it| format!("{:2} {:11}", it.number, it.name))
}

pub(crate) fn hop_text(hop: &HopOptions, judgements: &[Judgement]) -> String {
    let findings: Vec<_> = judgements.iter().map(|it| it.finding.clone()).collect();
    let table = table(&findings, |it| format!("{:16}", it.name));
    format!("{} in front of {}\n\n{table}", name(&hop.url), hop.origin)
}

/// Returns the findings, each after its label, and the number of findings with each verdict.
fn table(findings: &[Finding], label: impl Fn(&Finding) -> String) -> String {
    let mut text = String::new();
    for finding in findings {
        let Finding { verdict, summary, evidence, page, .. } = finding;
        let verdict_name = verdict.to_string().replace("fail", "FAIL");
        let start = format!("{verdict_name:11} {} ", label(finding));
        _ = writeln!(text, "{start}{summary}");
        let title = if *verdict == Verdict::Pass { "About it" } else { "To fix it" };
        let page = page.as_ref().map(|page| format!("{title}: {page}"));
        for line in evidence.iter().chain(&page) {
            _ = writeln!(text, "{:1$}{line}", "", start.len());
        }
    }
    let count = |verdict| findings.iter().filter(|it| it.verdict == verdict).count();
    let counts = [Verdict::Pass, Verdict::Warning, Verdict::Fail, Verdict::NotChecked]
        .map(|verdict| format!("{} {verdict}", count(verdict)));
    _ = writeln!(text, "\n{}", counts.join(", "));
    text
}

fn streams(session: &Session) -> impl Iterator<Item = &Stream> {
    [&session.outermost].into_iter().chain(&session.inner)
}

fn ending(recording: &Recording) -> String {
    let after = time(recording.age());
    match &recording.end {
        End::Open if recording.is_full => format!("read for {after}, until the limit"),
        End::Open => format!("open after {after}"),
        End::Clean => format!("ended after {after}"),
        End::Cut(error) => format!("cut after {after}: {error}"),
    }
}

/// Draws when events came at each address.
fn time_lines(session: &Session) -> String {
    let last = streams(session).map(|stream| stream.recording.end_at).max().unwrap_or_default();
    let width = last.max(Duration::from_millis(1)) / COLUMNS as u32;
    let lines = streams(session).map(|stream| cells(stream, width)).collect::<Vec<_>>();
    let most = lines.iter().flatten().filter_map(|cell| cell.ok()).max().unwrap_or(1);
    let mut text = format!("\nEvents in each {}:\n", time(width));
    for (stream, cells) in streams(session).zip(lines) {
        let draw = |cell: Result<usize, char>| {
            let level = cell.map(|count| (count * LEVELS.len()).div_ceil(most) - 1);
            level.map_or_else(|other| other, |level| LEVELS.get(level).copied().unwrap_or('█'))
        };
        let line: String = cells.into_iter().map(draw).collect();
        _ = writeln!(text, "  |{line}| {}", stream.recording.name());
    }
    _ = writeln!(text, "   0 s{:>58}", time(last));
    text + "  h head, · bytes without an event, x end\n\n"
}

/// Returns, for each column, the number of events or the character to draw if there are none.
fn cells(stream: &Stream, width: Duration) -> Vec<Result<usize, char>> {
    let Recording { head, chunks, end, end_at, .. } = &stream.recording;
    let mut cells = vec![Err(' '); COLUMNS];
    let others = chunks.iter().map(|chunk| (chunk.at, '·'));
    let others = others.chain(head.as_ref().map(|(at, _)| (*at, 'h')));
    let others = others.chain((*end != End::Open).then_some((*end_at, 'x')));
    // Returns an index into `cells`.
    let column = |at: Duration| (at.div_duration_f64(width) as usize).min(COLUMNS - 1);
    for (at, other) in others {
        cells[column(at)] = Err(other);
    }
    for event in &stream.events {
        let cell = &mut cells[column(event.at)];
        *cell = Ok(cell.unwrap_or(0) + 1);
    }
    cells
}

/// Returns the report about a hop for programs. Each verdict's value has the verdict's name.
pub(crate) fn hop_json(hop: &HopOptions, judgements: &[Judgement]) -> Value {
    let checks: Vec<_> = judgements.iter().map(|it| check(&it.finding)).collect();
    let mut report = json!({ "url": name(&hop.url), "origin": hop.origin,
        "watched_s": hop.length.as_secs_f64(), "checks": checks });
    for Judgement { value, finding } in judgements {
        report[finding.name] = value.clone();
    }
    report
}

fn check(Finding { number, name, verdict, summary, evidence, page }: &Finding) -> Value {
    let verdict = verdict.to_string();
    json!({ "number": number, "name": name, "verdict": verdict, "summary": summary,
        "evidence": evidence, "page": page })
}

pub(crate) fn json(session: &Session, findings: &[Finding]) -> Value {
    let checks: Vec<_> = findings.iter().map(check).collect();
    let milliseconds = |at: Duration| (at.as_secs_f64() * 10_000.0).round() / 10.0;
    let streams = streams(session).map(|Stream { recording, events, .. }| {
        let head = recording.head.as_ref();
        json!({
            "url": recording.name(),
            "status": head.map(|(_, parts)| parts.status.as_u16()),
            "version": head.map(|(_, parts)| format!("{:?}", parts.version)),
            "head_ms": head.map(|(at, _)| milliseconds(*at)),
            "first_byte_ms": recording.chunks.first().map(|chunk| milliseconds(chunk.at)),
            "bytes": recording.bytes.len(),
            "events_ms": events.iter().map(|event| milliseconds(event.at)).collect::<Vec<_>>(),
            "end": ending(recording),
        })
    });
    json!({ "streams": streams.collect::<Vec<_>>(), "checks": checks })
}
