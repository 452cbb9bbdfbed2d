//! The head of the answer.

use std::time::Duration;

use http::Method;

use crate::finding::{Finding, quoted, time};
use crate::session::Session;

/// A head that takes longer than this and the round trips is late.
const LATE: Duration = Duration::from_secs(1);

pub(crate) fn answer(session: &Session) -> Finding {
    let recording = &session.outermost.recording;
    let Some((_, head)) = &recording.head else {
        return Finding::not_looked_at("no answer has come");
    };
    let media_type = recording.header("content-type");
    let summary = format!("{:?} {}, {media_type}", head.version, head.status);
    if recording.is_event_stream() {
        return Finding::pass(summary);
    }
    let page = "guide/clients/#streams-that-are-over-for-good";
    let body = recording.bytes.get(..120).unwrap_or(&recording.bytes);
    Finding::fail(format!("{summary}: no event stream, so an EventSource stops for good"), page)
        .with(format!("location: '{}'", recording.header("location")))
        .with(format!("the body begins with {}", quoted(body)))
}

pub(crate) fn start(session: &Session) -> Finding {
    let recording = &session.outermost.recording;
    let Some((head, _)) = &recording.head else {
        let text = format!("no head within {}", time(recording.end_at));
        return Finding::fail(text, &buffers(session));
    };
    let first_byte = recording.chunks.first().map(|chunk| chunk.at);
    let byte =
        first_byte.map_or("no byte".to_owned(), |at| format!("first byte after {}", time(at)));
    let summary = format!("head after {}, {byte}", time(*head));
    if *head < LATE + recording.connecting {
        return Finding::pass(summary);
    }
    let held = "the server or a proxy has held the head back until the first byte";
    let is_held = first_byte.is_some_and(|at| at < *head + Duration::from_millis(20));
    let finding = Finding::warning(format!("the head is late: {summary}"), &buffers(session));
    finding.with_all(is_held.then(|| held.to_owned()))
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
        findings.push(Finding::warning(text, "guide/upstreams/#compression"));
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
pub(crate) fn buffers(session: &Session) -> String {
    let answers = [&session.outermost].into_iter().chain(&session.proxy);
    let headers = answers.map(|it| it.recording.header("server") + &it.recording.header("via"));
    let headers = headers.collect::<String>().to_ascii_lowercase();
    let proxy = ["nginx", "envoy", "caddy"].into_iter().find(|name| headers.contains(name));
    match proxy {
        None => "guide/proxies/#buffers".to_owned(),
        Some("nginx") => "guide/nginx/".to_owned(),
        Some(name) => format!("guide/other_proxies/#{name}"),
    }
}
