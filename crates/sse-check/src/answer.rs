//! The head of the answer.

use std::time::Duration;

use http::Method;

use crate::{
    check::{Finding, quoted, time},
    session::Session,
};

/// A head that takes longer is late, apart from the round trips.
const LATE: Duration = Duration::from_secs(1);

pub(crate) fn answer(session: &Session) -> Finding {
    let recording = &session.outermost.recording;
    let Some((_, head)) = &recording.head else {
        return Finding::not_looked_at("no answer has come");
    };
    let media_type = recording.header("content-type");
    let summary = format!("{:?} {}, {media_type}", head.version, head.status);
    if recording.is_event_stream() {
        return match media_type.to_ascii_lowercase().split_once("charset=") {
            Some((_, charset)) if !charset.trim_matches('"').starts_with("utf-8") => {
                let summary = format!("{summary}: clients read UTF-8 whatever the charset is");
                Finding::warning(summary, "guide/clients/")
            }
            _ => Finding::pass(summary),
        };
    }
    let what = match head.status.as_u16() {
        200 => "not text/event-stream, so an EventSource stops for good",
        300..400 => "a redirect; check the address to which it leads",
        _ => "an EventSource stops for good",
    };
    let page = "guide/clients/#streams-that-are-over-for-good";
    let body = recording.bytes.get(..120).unwrap_or(&recording.bytes);
    Finding::fail(format!("{summary}: {what}"), page)
        .with(format!("location: '{}'", recording.header("location")))
        .with(format!("the body begins with {}", quoted(body)))
}

pub(crate) fn start(session: &Session) -> Finding {
    let recording = &session.outermost.recording;
    let Some((head, _)) = &recording.head else {
        let text = format!("no head within {}", time(recording.end_at));
        return Finding::fail(text, buffers(session));
    };
    let first_byte = recording.chunks.first().map(|chunk| chunk.at);
    let byte =
        first_byte.map_or("no byte".to_owned(), |at| format!("first byte after {}", time(at)));
    let summary = format!("head after {}, {byte}", time(*head));
    if *head < LATE + recording.connecting {
        return Finding::pass(summary);
    }
    let finding = Finding::warning(format!("the head is late: {summary}"), buffers(session));
    let is_held = first_byte.is_some_and(|at| at < *head + Duration::from_millis(20));
    finding.with(match is_held {
        true => "the server or a proxy has held the head back until the first byte",
        false => "an EventSource is not open before the head has come",
    })
}

pub(crate) fn headers(session: &Session) -> Finding {
    let recording = &session.outermost.recording;
    let cache_control = recording.header("cache-control").to_ascii_lowercase();
    let mut findings = Vec::new();
    let is_uncached = cache_control.contains("no-store") || cache_control.contains("no-cache");
    if !is_uncached && session.method == Method::GET {
        let text = "nothing forbids caches to store the stream, as cache-control: no-cache does";
        findings.push(Finding::warning(text, "struct.SseLayer.html"));
    }
    let coding = recording.header("content-encoding");
    if !coding.is_empty() && coding != "identity" {
        let text = format!(
            "the stream is compressed by {coding}: its events come at once only if the compressor \
             flushes after each one"
        );
        findings.push(Finding::warning(text, "guide/compression/"));
    }
    if !recording.header("content-length").is_empty() {
        let text = "a content-length: the whole stream was known before its head was sent";
        findings.push(Finding::warning(text, buffers(session)));
    }
    let pass = || Finding::pass("caches do not store it, and nothing compresses it");
    let shown =
        ["cache-control", "x-accel-buffering", "incremental", "server", "via", "age"].into_iter();
    let shown = shown.filter(|name| !recording.header(name).is_empty());
    Finding::worst(findings)
        .unwrap_or_else(pass)
        .with_all(shown.map(|name| format!("{name}: {}", recording.header(name))))
}

/// Returns the page about the proxy that has answered, or about buffers in general.
pub(crate) fn buffers(session: &Session) -> &'static str {
    let recording = &session.outermost.recording;
    let (server, via) = (recording.header("server"), recording.header("via"));
    let names = format!("{server} {via} {}", session.proxy).to_ascii_lowercase();
    let pages = [
        ("nginx", "guide/nginx/"),
        ("openresty", "guide/nginx/"),
        ("envoy", "guide/envoy/"),
        ("caddy", "guide/caddy/"),
        ("google", "guide/load_balancers/"),
        ("awselb", "guide/load_balancers/"),
    ];
    let page = pages.iter().find(|(name, _)| names.contains(name));
    page.map_or("guide/proxies/#buffers", |(_, page)| page)
}
