//! The checks `answer`, `start` and `headers`.

use std::time::Duration;

use http::Method;

use crate::finding::{Finding, quoted, time};
use crate::recording::{Recording, Stream};
use crate::session::Session;

/// A head is late if it takes at least this much longer than connecting did.
const LATE: Duration = Duration::from_secs(1);
/// If a head takes longer than this, the finding mentions the time limits of proxies.
const TOO_LATE: Duration = Duration::from_secs(10);
/// Bytes that come this soon after the head count as coming with it.
const TOGETHER: Duration = Duration::from_millis(20);
const EARLY_HEAD: &str = "early_head/";
const UNKNOWN: &str = "--via with the server's own address shows whether a proxy holds it back";
const WHILE_DOWN: &str = "guide/proxies/#while-no-server-is-up";

pub(crate) fn answer(session: &Session) -> Finding {
    let stream = &session.outermost;
    let recording = &stream.recording;
    let Some((_, head)) = &recording.head else {
        return Finding::not_checked("no answer came");
    };
    let media_type = recording.quoted("content-type");
    let summary = format!("{:?} {}, {media_type}", head.version, head.status);
    if !recording.is_event_stream() {
        return no_stream(session, recording, &summary);
    } else if stream.is_refusal() {
        let is_of_layer = recording.bytes.starts_with(b"retry");
        let page = if is_of_layer { "struct.Refusal.html" } else { WHILE_DOWN };
        let text = "a refusal: it ends at once, so an EventSource reconnects later";
        return Finding::fail(format!("{summary}: {text}"), page).with(quoted(&recording.bytes));
    } else if !recording.is_decoded() {
        return Finding::not_checked(format!("{summary}: its compression is unknown"));
    } else if let Some(charset) = recording.other_charset() {
        let charset = quoted(charset.as_bytes());
        let text = format!("{summary}: with the charset {charset}, Chromium stops for good");
        return Finding::fail(text, "guide/clients/#exceptions");
    } else if stream.has_event() {
        return Finding::pass(summary);
    }
    let but = if stream.events.is_empty() { "" } else { " except what a server sends at first" };
    if session.may_be_empty {
        return Finding::pass(format!("{summary}: no event came{but}"));
    }
    let text = format!("{summary}: no event came{but}, so nothing was checked");
    Finding::fail(text, "guide/troubleshooting/#if-events-are-late-or-come-all-at-once")
        .with("publish events meanwhile, watch for longer (--for), or allow it (--allow-empty)")
}

/// Returns the finding for an answer that clients do not treat as an event stream.
fn no_stream(session: &Session, recording: &Recording, summary: &str) -> Finding {
    let name = "incremental";
    let mut inner = session.inner.iter().map(|stream| &stream.recording);
    let refused = inner.find(|it| recording.status() == 501 && !it.header(name).is_empty());
    let (to, bytes) = (recording.quoted("location"), &recording.bytes);
    let page = match recording.status() {
        // Clients don't follow a redirect without a target.
        301 | 302 | 303 | 307 | 308 if !recording.header("location").is_empty() => {
            let text = format!("{summary}: a redirect, which clients follow");
            return Finding::fail(format!("{text}: check its target, {to}"), "guide/clients/");
        }
        401 | 403 => "guide/authentication/",
        501 if refused.is_some() => "guide/proxies/#incremental",
        500..=599 => WHILE_DOWN,
        _ => "guide/clients/#streams-that-are-over-for-good",
    };
    let body = (!bytes.is_empty()).then(|| format!("the body begins with {}", quoted(bytes)));
    let refused = refused.map(|it| format!("{} sends {name}: {}", it.name(), it.quoted(name)));
    let text = format!("{summary}: no event stream, so an EventSource stops for good");
    Finding::fail(text, page).with_all(refused).with_all(body)
}

pub(crate) fn start(session: &Session) -> Finding {
    let Session { outermost: Stream { recording, events, .. }, .. } = session;
    let proxy = buffers(session);
    let Some((head, _)) = &recording.head else {
        let text = format!("no head within {}", time(recording.end_at));
        return Finding::fail(text, &proxy);
    };
    let first_byte = recording.chunks.first().map(|chunk| chunk.at);
    let byte =
        first_byte.map_or("no byte".to_owned(), |at| format!("first byte after {}", time(at)));
    let summary = format!("head after {}, {byte}", time(*head));
    if *head < LATE + recording.connecting {
        return Finding::pass(summary);
    }
    let is_with = |it: Option<Duration>| it.is_some_and(|at| at < *head + TOGETHER);
    let (is_too_late, is_with_event) =
        (*head > TOO_LATE, is_with(events.first().map(|event| event.at)));
    let page = if is_too_late || is_with_event { EARLY_HEAD.to_owned() } else { proxy };
    let (holder, page) = holder(session).unwrap_or((UNKNOWN.to_owned(), page));
    let held = "the server or a proxy held the head back until the first byte";
    let evidence = [
        (is_too_late, "it comes later than 10 s: many proxies wait for 30 to 100 s"),
        (is_with_event, "it comes only with the first event"),
        (is_with(first_byte), held),
        (true, &holder),
    ];
    let evidence = evidence.into_iter().filter(|(is_so, _)| *is_so);
    Finding::warning(format!("the head is late: {summary}"), &page)
        .with_all(evidence.map(|(_, text)| text.to_owned()))
}

/// Describes what holds the head back, and returns the page about it. `None` if unknown.
fn holder(session: &Session) -> Option<(String, String)> {
    let inner = session.inner.iter();
    let server = &inner.clone().last()?.recording;
    if !inner.clone().all(|stream| stream.recording.is_event_stream()) {
        return None;
    }
    let head = |it: &Recording| it.head.as_ref().map_or(it.end_at, |(at, _)| *at);
    for (outer, inner) in [&session.outermost].into_iter().chain(inner.clone()).zip(inner) {
        let (page, outer, inner) = (proxy_page([outer]), &outer.recording, &inner.recording);
        let held = head(outer).saturating_sub(head(inner));
        if held >= LATE + outer.connecting {
            let (outer, inner, held) = (outer.name(), inner.name(), time(held));
            let text = format!("between {outer} and {inner}, it is held back for {held}");
            return Some((text, page));
        }
    }
    let text = format!("{} itself sends it after {}", server.name(), time(head(server)));
    Some((text, EARLY_HEAD.to_owned()))
}

pub(crate) fn headers(session: &Session) -> Finding {
    let recording = &session.outermost.recording;
    let cache_control = recording.header("cache-control").to_ascii_lowercase();
    let mut findings = Vec::new();
    let is_uncached = cache_control.contains("no-store") || cache_control.contains("no-cache");
    if !is_uncached && session.method == Method::GET {
        let text =
            "caches may replay the stream, because nothing like cache-control: no-cache forbids it";
        findings.push(Finding::warning(text, "struct.SseLayer.html"));
    }
    if !recording.coding().is_empty() {
        let coding = recording.quoted("content-encoding");
        let text = format!(
            "the stream is compressed by {coding}: its events come at once only if the compressor \
             flushes after each one"
        );
        findings.push(Finding::warning(text, "guide/upstreams/#compression"));
    }
    let pass = || Finding::pass("caches do not replay it, and nothing compresses it");
    let shown =
        ["cache-control", "x-accel-buffering", "incremental", "server", "via", "age"].into_iter();
    let shown = shown.filter(|name| !recording.header(name).is_empty());
    Finding::worst(findings)
        .unwrap_or_else(pass)
        .with_all(shown.map(|name| format!("{name}: {}", recording.quoted(name))))
}

/// Returns the page about a proxy in front of the server, or about buffers in general.
pub(crate) fn buffers(session: &Session) -> String {
    proxy_page([&session.outermost].into_iter().chain(&session.proxy))
}

/// Returns the page about the proxy that sent one of these answers, or about buffers in general.
pub(crate) fn proxy_page<'a>(answers: impl IntoIterator<Item = &'a Stream>) -> String {
    let answers = answers.into_iter();
    let headers = answers.map(|it| it.recording.header("server") + &it.recording.header("via"));
    let headers = headers.collect::<String>().to_ascii_lowercase();
    let mut proxies = ["nginx", "envoy", "caddy", "cloudflare"].into_iter();
    match proxies.find(|name| headers.contains(name)) {
        None => "guide/proxies/#buffers".to_owned(),
        Some("nginx") => "guide/nginx/".to_owned(),
        Some("cloudflare") => "guide/proxies/#cloudflare".to_owned(),
        Some(name) => format!("guide/other_proxies/#{name}"),
    }
}
