//! The verdicts on a hop: what it does to streams and what this means for clients.

use std::time::Duration;

use http::Version;
use serde_json::{Value, json};

use crate::answer::proxy_page;
use crate::finding::{Finding, Verdict, quoted, time};
use crate::hop::{HopOptions, Observed, Played};
use crate::origin::{EVENTS, FILL, FIN, GUARDED, LATE};
use crate::recording::{End, NO_ERROR, Recording};

/// A table with the result and the effects of each verdict's cases.
const EFFECTS: &str = include_str!("../docs/hops.md");
/// The silence after which the layer sends a heartbeat by default.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What the error of a stream that was reset with `CANCEL` says.
const CANCEL: &str = "stream no longer needed";
/// If a server takes this long to notice that a client has left, a write probably had to fail
/// first.
const SOON: Duration = Duration::from_secs(1);

/// A verdict, with a value for programs and a finding for people.
pub(crate) struct Judgement {
    pub(crate) value: Value,
    pub(crate) finding: Finding,
}

impl Judgement {
    /// Creates a verdict and looks its case up in the table of effects.
    fn new(name: &'static str, value: impl Into<Value>, case: &str, summary: String) -> Self {
        let rows = EFFECTS.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let mut rows = rows.filter_map(|row| <[&str; 9]>::try_from(row).ok());
        let row = rows.find(|row| row[1..3] == [name, case]).unwrap_or_default();
        let [_, _, _, result, event_source, fetch, call, page, _] = row;
        let mut verdicts = [Verdict::Pass, Verdict::Warning, Verdict::Fail].into_iter();
        let verdict = verdicts.find(|it| it.to_string() == result).unwrap_or(Verdict::NotChecked);
        let evidence = match event_source == fetch && fetch == call {
            true => vec![format!("EventSource, fetch, call: {call}")],
            false => [("EventSource", event_source), ("fetch", fetch), ("call", call)]
                .map(|(client, effect)| format!("{client}: {effect}"))
                .to_vec(),
        };
        let page = Some(page.to_owned());
        let finding = Finding { number: 0, name, verdict, summary, evidence, page };
        Self { value: value.into(), finding }
    }
}

/// Returns the verdicts in the order of the report.
pub(crate) fn verdicts(hop: &HopOptions, observed: &Observed) -> Vec<Judgement> {
    vec![
        passes(observed),
        bare(&observed.bare),
        held_bytes(observed),
        compressed(observed),
        head_needs_byte(&observed.late),
        post(&observed.post),
        second_stream(&observed.second),
        request_headers(observed),
        response_headers(&observed.events.stream.recording),
        origin_version(&observed.events),
        http2(&observed.http2),
        cut(&observed.cut),
        cut_http2(&observed.cut_http2),
        left(observed.left),
        idle_limit(&observed.idle.stream.recording),
        streams(hop, observed.streams),
        down_status(&observed.down.recording),
    ]
}

/// Returns whether events came at once, the case, and a description of their delays.
fn arrival(played: &Played) -> (bool, &'static str, String) {
    let (lags, status) = (played.lags(), played.stream.recording.status());
    let text = match (lags.get(lags.len() / 2), lags.last()) {
        (Some(median), Some(longest)) => {
            let (median, longest) = (time(*median), time(*longest));
            format!("{} of {} events: median {median}, longest {longest}", lags.len(), EVENTS.count)
        }
        _ if status == 0 => "no answer".to_owned(),
        _ => format!("no event, and status {status}"),
    };
    let is_passed = played.is_passed();
    (is_passed, if is_passed { "at once" } else { "held" }, text)
}

fn passes(observed: &Observed) -> Judgement {
    let (is_passed, case, text) = arrival(&observed.events);
    let mut judgement = Judgement::new("passes", is_passed, case, text);
    let page = proxy_page([&observed.events.stream, &observed.down]);
    judgement.finding.page = Finding::warning("", &page).page;
    judgement
}

fn bare(played: &Played) -> Judgement {
    let (is_passed, case, text) = arrival(played);
    Judgement::new("passes_bare", is_passed, case, format!("with only a content type: {text}"))
}

fn held_bytes(observed: &Observed) -> Judgement {
    let heads = [("all", ""), ("bare", ", with only a content type")];
    let mut filled = observed.fill.iter().zip(heads);
    let Some((Some(filled), (case, head))) = filled.find(|(it, _)| it.is_some()) else {
        return Judgement::new("held_bytes", 0, "none", "none".to_owned());
    };
    let recording = &filled.stream.recording;
    let first = recording.chunks.iter().find(|chunk| chunk.end > 0);
    let first = first.map(|chunk| chunk.at.saturating_sub(recording.sent));
    let writes = filled.seen["writes"].as_array().into_iter().flatten().filter_map(Value::as_f64);
    let before = |first: Duration| writes.filter(|at| at / 1000.0 <= first.as_secs_f64()).count();
    match first.map_or(FILL.count, before) {
        count if count < FILL.count => {
            let text = format!("about {count} KiB{head}");
            Judgement::new("held_bytes", count * FILL.size, "some", text)
        }
        _ => Judgement::new("held_bytes", Value::Null, case, format!("a whole answer{head}")),
    }
}

fn compressed(observed: &Observed) -> Judgement {
    let coding = |it: &Played| it.stream.recording.coding();
    let (guarded, bare) = (coding(&observed.events), coding(&observed.bare));
    let (case, text) = match (guarded.as_bytes(), bare.as_bytes()) {
        (b"", b"") => ("no", "no".to_owned()),
        (b"", it) => ("bare", format!("by {}, unless no-transform forbids it", quoted(it))),
        (it, _) => ("always", format!("by {}", quoted(it))),
    };
    Judgement::new("compressed", case, case, text)
}

fn head_needs_byte(late: &Played) -> Judgement {
    let recording = &late.stream.recording;
    let head = recording.head.as_ref().map_or(recording.end_at, |(at, _)| *at);
    let first_byte = recording.chunks.first().map_or(recording.end_at, |chunk| chunk.at);
    let needs_byte = first_byte.saturating_sub(head) < LATE.delay / 2;
    let (case, when) = if needs_byte { ("yes", "with the first byte") } else { ("no", "at once") };
    Judgement::new("head_needs_byte", needs_byte, case, format!("the head comes {when}"))
}

fn post(played: &Played) -> Judgement {
    let (is_passed, case, text) = arrival(played);
    let has_body = played.seen["head"]["has_body"] == true;
    match is_passed && !has_body {
        true => Judgement::new("post", false, "no body", "the body doesn't arrive".to_owned()),
        false => Judgement::new("post", is_passed, case, text),
    }
}

/// A cache that ignores `no-cache` answers the second request itself.
fn second_stream(played: &Played) -> Judgement {
    let (case, text) = match played.seen["is_second"].as_bool() {
        Some(true) => ("live", "a second stream of one address reaches the server"),
        Some(false) => ("waits", "a second stream of one address waits for the first one's end"),
        None => ("replayed", "a second stream of one address doesn't reach the server"),
    };
    Judgement::new("second_stream", case, case, text.to_owned())
}

/// Returns the verdict on `headers`: each header's name, the value that was sent and the value that
/// was received. `case` can choose another case than `kept` and `changed`.
fn headers(
    name: &'static str,
    headers: &[(&str, String, String)],
    case: impl FnOnce(&[String]) -> Option<&'static str>,
) -> Judgement {
    let show = |it: &str| if it.is_empty() { "nothing".to_owned() } else { quoted(it.as_bytes()) };
    let changed = headers.iter().filter(|(_, sent, received)| sent != received);
    let changes: Vec<_> = changed
        .map(|(name, sent, received)| format!("{name}: {} became {}", show(sent), show(received)))
        .collect();
    let default = if changes.is_empty() { "kept" } else { "changed" };
    let text = if changes.is_empty() { "unchanged".to_owned() } else { changes.join(", ") };
    let case = case(&changes).unwrap_or(default);
    Judgement::new(name, changes, case, text)
}

fn request_headers(observed: &Observed) -> Judgement {
    let received = &observed.events.seen["head"]["headers"];
    let names = ["accept", "cache-control", "last-event-id", "incremental"].map(|name| {
        let sent = observed.sent.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
        (name, sent.to_owned(), received[name].as_str().unwrap_or_default().to_owned())
    });
    let is_hidden = |it: &[String]| it.iter().any(|it| !it.starts_with("incremental"));
    headers("request_headers", &names, |it| is_hidden(it).then_some("hidden"))
}

fn response_headers(recording: &Recording) -> Judgement {
    let names = GUARDED.map(|(name, sent)| (name, sent.to_owned(), recording.header(name)));
    headers("response_headers", &names, |_| (!recording.is_event_stream()).then_some("no stream"))
}

fn origin_version(played: &Played) -> Judgement {
    let version = played.seen["head"]["version"].as_str().unwrap_or_default();
    let case = if version == "HTTP/1.0" { version } else { "HTTP/1.1" };
    Judgement::new("origin_version", version, case, version.to_owned())
}

fn http2(played: &Played) -> Judgement {
    let head = played.stream.recording.head.as_ref();
    let is_offered = head.is_some_and(|(_, head)| head.version == Version::HTTP_2);
    match arrival(played) {
        (_, case, text) if is_offered => Judgement::new("http2", true, case, text),
        _ => Judgement::new("http2", false, "none", "not offered to clients".to_owned()),
    }
}

/// Returns what a client receives after its server has died.
fn end(played: &Played) -> &'static str {
    let recording = &played.stream.recording;
    let sent: String = (0..FIN.count).map(|number| FIN.event(number)).collect();
    match recording.end {
        _ if recording.head.is_some() && recording.status() != 200 => "status",
        _ if !sent.as_bytes().starts_with(&recording.bytes) => "text",
        End::Open => "open",
        End::Clean => "clean",
        End::Cut(ref error) if error.contains(CANCEL) => "cancel",
        End::Cut(ref error) if error == NO_ERROR => "no_error",
        End::Cut(_) => "cut",
    }
}

/// Has the cases of [`cut`], and one more.
fn cut_http2(played: &[Played; 2]) -> Judgement {
    let is_offered = |it: &Played| {
        let head = it.stream.recording.head.as_ref();
        head.is_some_and(|(_, head)| head.version == Version::HTTP_2)
    };
    let mut judgement = match played.iter().any(is_offered) {
        true => cut(played),
        false => Judgement::new("cut", (), "none", "not offered to clients".to_owned()),
    };
    judgement.finding.name = "cut_http2";
    judgement
}

fn cut(played: &[Played; 2]) -> Judgement {
    let [fin, reset] = played.each_ref().map(end);
    let worst = ["open", "text", "clean", "status", "no_error", "cancel"];
    let worst = worst.into_iter().find(|it| [fin, reset].contains(it));
    let text = format!("{fin} after the server's FIN, {reset} after its reset");
    let value = json!({ "fin": fin, "reset": reset });
    Judgement::new("cut", value, worst.unwrap_or("cut"), text)
}

fn left(left: [Result<Duration, Duration>; 2]) -> Judgement {
    let case = match left {
        [Ok(quiet), Ok(busy)] if quiet.max(busy) < SOON => "at once",
        [_, Ok(_)] => "late",
        _ => "never",
    };
    let [quiet, busy] = left.map(|it| match it {
        Ok(after) => format!("after {}", time(after)),
        Err(watched) => format!("not within {}", time(watched)),
    });
    let text = format!("{quiet} in silence, {busy} with events");
    let [quiet, busy] = left.map(|it| it.ok().map(|after| after.as_millis() as u64));
    Judgement::new("left_after_ms", json!({ "quiet": quiet, "busy": busy }), case, text)
}

fn idle_limit(recording: &Recording) -> Judgement {
    let silence = recording.age();
    let (case, text) = match recording.end {
        End::Open => ("none", "none within"),
        _ if silence > HEARTBEAT => ("long", "a silent stream ends after"),
        _ => ("short", "a silent stream ends after"),
    };
    let value = (case != "none").then_some((silence.as_secs_f64() * 10.0).round() / 10.0);
    Judgement::new("idle_limit_s", value, case, format!("{text} {}", time(silence)))
}

fn streams(hop: &HopOptions, (count, status, has_closed): (usize, u16, bool)) -> Judgement {
    let text = format!("{count} of {} reach the server at the same time", hop.streams);
    let (case, text, status) = match status {
        _ if count == hop.streams => ("all", text, None),
        ..300 if has_closed => ("closed", text + "; others are closed without an answer", None),
        ..300 => ("waiting", text + "; the others wait", None),
        _ => ("refused", format!("{text}; others get {status}"), Some(status)),
    };
    Judgement::new("streams", json!({ "open": count, "status": status }), case, text)
}

fn down_status(recording: &Recording) -> Judgement {
    let (status, after) = (recording.status(), time(recording.age()));
    let (case, text) = match status {
        0 if recording.end == End::Open => ("silent", format!("no answer within {after}")),
        0 => ("closed", format!("closed without an answer after {after}")),
        _ if recording.is_event_stream() => ("stream", format!("{status} with an event stream")),
        _ => ("status", format!("{status} after {after}")),
    };
    Judgement::new("down_status", (status > 0).then_some(status), case, text)
}
