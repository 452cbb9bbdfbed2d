use std::mem::ManuallyDrop;

use http::header::{ACCEPT, CACHE_CONTROL, PRAGMA, USER_AGENT};
use http::{HeaderMap, HeaderName, Method};

use super::LastEventId;
use crate::headers::elements;

/// A kind of client. Clients differ in when they reconnect, so the layer treats each kind
/// [differently](crate::guide::clients#how-clients-reconnect).
///
/// The layer recognises the kind by the request's method and headers. If a proxy hides the headers,
/// or if clients of two kinds send the same headers, set
/// [`SseLayer::client_kind`](crate::SseLayer::client_kind).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientKind {
    /// A browser's `EventSource`, or a client that behaves like one. It reconnects after a clean
    /// end and after a failure, and gives up after any status but 200 or a redirect.
    EventSource,
    /// Page code that requests `text/event-stream` with `fetch`. It usually reconnects after a
    /// failure or a bad status, but not after a clean end.
    Fetch,
    /// A library that requests only `text/event-stream`, such as Deno's `EventSource`,
    /// reqwest-eventsource, go-sse or Jersey. It usually reconnects like an `EventSource`, but may
    /// show its program every event, even one whose name the program doesn't know. The layer
    /// recognises it by an `Accept` of one type, if the request has no `Cache-Control`, no
    /// `Sec-Fetch-Mode`, no `Pragma: no-cache` and no `User-Agent` that begins with `Mozilla/`.
    ///
    /// A program that uses such a library should skip unknown events. A [hub](crate::hub) sends
    /// [`start`](crate::hub::Subscribe::start_event), and a [refusal](crate::Refusal) is an event
    /// named `retry` with the data `{}`: reqwest-eventsource 0.6 keeps no id and obeys no `retry`
    /// line without data. A script, for example with Python's `requests`, can send the same
    /// headers, but needs a refusal's status. Set [`Other`](Self::Other) for such a script.
    Library,
    /// Any other client that sent a `GET`, such as a script. It usually doesn't reconnect.
    Other,
    /// A client that reads the stream as the answer to a call. It usually doesn't reconnect. So by
    /// default, the answer gets 30 seconds to finish at a shutdown or its maximum age, and then the
    /// body fails. Any request but a `GET` or `HEAD` is a call.
    Call,
}

impl ClientKind {
    #[inline]
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        Self::of_scanned(method, headers, HeaderScan::of(headers))
    }

    #[inline]
    pub(crate) fn of_scanned(method: &Method, headers: &HeaderMap, scan: HeaderScan) -> Self {
        if !matches!(*method, Method::GET | Method::HEAD) {
            Self::Call
        } else if scan.has_long_accept {
            Self::of_get(headers)
        } else {
            Self::Other
        }
    }

    #[cold]
    fn of_get(headers: &HeaderMap) -> Self {
        if !names_event_stream(headers) {
            Self::Other
        } else if sends_no_cache(headers) {
            Self::EventSource
        } else if headers.contains_key("sec-fetch-mode") {
            Self::Fetch
        } else if ranges(headers).count() == 1
            && !headers.contains_key(CACHE_CONTROL)
            // Over plain http, a browser's `fetch` usually has no `Sec-Fetch-Mode`.
            && !headers.get(USER_AGENT).is_some_and(|it| it.as_bytes().starts_with(b"Mozilla/"))
        {
            Self::Library
        } else {
            Self::Other
        }
    }

    /// Returns whether the body must fail if the layer ends the stream early, except as a long
    /// poll. Otherwise, `fetch` would not reconnect, and a call's partial answer would look
    /// complete.
    pub(crate) const fn is_cut_by_failing(self) -> bool {
        matches!(self, Self::Fetch | Self::Call)
    }

    /// Returns whether clients of this kind usually reconnect after every end and stop for good at
    /// any status but 200 or a redirect.
    pub(crate) const fn resumes(self) -> bool {
        matches!(self, Self::EventSource | Self::Library)
    }

    /// Returns whether the stream is the answer to a call, which should be sent to its end.
    pub(crate) const fn is_call(self) -> bool {
        matches!(self, Self::Call)
    }
}

/// Returns whether `Cache-Control`, or else `Pragma`, is `no-cache`. By the Fetch standard, an
/// `EventSource` sends both headers, and `fetch` only in the cache modes `no-store` and `reload`.
/// Varnish removes `Cache-Control`, but not `Pragma`, which means the same (RFC 9111, section 5.4).
fn sends_no_cache(headers: &HeaderMap) -> bool {
    let name = if headers.contains_key(CACHE_CONTROL) { CACHE_CONTROL } else { PRAGMA };
    elements(headers, name).any(|directive| directive.eq_ignore_ascii_case(b"no-cache"))
}

/// Returns whether a request accepts an event stream (RFC 9110, section 12.5.1).
pub(crate) fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let mut ranges = ranges(headers).peekable();
    if ranges.peek().is_none() {
        return true;
    }
    ranges
        .filter_map(RangeMatch::of)
        .max_by_key(|range| range.specificity)
        .is_some_and(|range| range.is_accepted)
}

/// Returns whether the `Accept` header names `text/event-stream`, with a weight above zero.
#[inline]
pub(crate) fn names_event_stream(headers: &HeaderMap) -> bool {
    let has_several = headers.len() > headers.keys_len();
    let mut all = headers.iter();
    all.find(|(name, _)| **name == ACCEPT).is_some_and(|(_, first)| {
        (has_several || first.len() >= "text/event-stream".len()) && any_names_event_stream(headers)
    })
}

// Out of line, so that requests with a short `Accept` pay only for the check.
#[cold]
fn any_names_event_stream(headers: &HeaderMap) -> bool {
    ranges(headers)
        .filter_map(RangeMatch::of)
        .any(|range| range.specificity == BY_NAME && range.is_accepted)
}

fn ranges(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    elements(headers, ACCEPT).filter(|range| !range.is_empty())
}

struct RangeMatch {
    specificity: u8,
    is_accepted: bool,
}

/// The specificity of the range `text/event-stream` itself.
const BY_NAME: u8 = 2;

impl RangeMatch {
    fn of(range: &[u8]) -> Option<Self> {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let media_range = parts.next()?;
        let specificity = match media_range {
            b"*/*" => 0,
            range if range.eq_ignore_ascii_case(b"text/*") => 1,
            range if range.eq_ignore_ascii_case(b"text/event-stream") => BY_NAME,
            _ => return None,
        };
        Some(Self { specificity, is_accepted: !parts.any(is_zero_weight) })
    }
}

fn is_zero_weight(parameter: &[u8]) -> bool {
    match parameter {
        [b'q' | b'Q', b'=', b'0'] => true,
        [b'q' | b'Q', b'=', b'0', b'.', digits @ ..] => digits.iter().all(|digit| *digit == b'0'),
        _ => false,
    }
}

/// The result of one pass over a request's headers. Comparing a few names costs less than
/// hashing them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeaderScan {
    pub(crate) has_last_event_id: bool,
    /// Whether an `Accept` header is long enough to name `text/event-stream`.
    pub(crate) has_long_accept: bool,
}

impl HeaderScan {
    #[inline]
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        // For a constant, unlike a static, the compiler knows whether the name is a standard one.
        // Without `ManuallyDrop`, each call would drop a copy of the constant.
        const NAME: ManuallyDrop<HeaderName> = ManuallyDrop::new(LastEventId::HEADER);
        let last_event_id = NAME;
        let mut scan = Self::default();
        for (name, value) in headers {
            if *name == ACCEPT {
                scan.has_long_accept |= value.len() >= "text/event-stream".len();
            } else if *name == *last_event_id {
                scan.has_last_event_id = true;
            }
        }
        scan
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Method, header::ACCEPT};

    use super::{ClientKind, accepts_event_stream};

    fn client_of(method: &Method, headers: &[(&'static str, &'static str)]) -> ClientKind {
        let headers: HeaderMap = headers
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        ClientKind::of(method, &headers)
    }

    /// The headers that the named clients send, and a few others.
    #[test]
    fn clients_are_classified_by_their_headers() {
        let accept = ("accept", "text/event-stream");
        let no_cache = ("cache-control", "no-cache");
        let cors = ("sec-fetch-mode", "cors");
        for (client, method, headers, expected) in [
            ("Chromium", Method::GET, &[accept, no_cache, cors][..], ClientKind::EventSource),
            ("npm eventsource", Method::GET, &[accept, no_cache], ClientKind::EventSource),
            (
                "undici",
                Method::GET,
                &[accept, no_cache, ("pragma", "no-cache")],
                ClientKind::EventSource,
            ),
            ("fetch-event-source", Method::GET, &[accept, cors], ClientKind::Fetch),
            ("fetch", Method::GET, &[("accept", "*/*"), no_cache, cors], ClientKind::Other),
            ("httpx-sse", Method::GET, &[accept, ("cache-control", "no-store")], ClientKind::Other),
            (
                "Varnish",
                Method::GET,
                &[accept, ("pragma", "no-cache"), cors],
                ClientKind::EventSource,
            ),
            ("reqwest-eventsource", Method::GET, &[accept], ClientKind::Library),
            ("Deno", Method::GET, &[accept, ("user-agent", "Deno/2.9.6")], ClientKind::Library),
            ("go-sse", Method::GET, &[accept, ("cache", "no-cache")], ClientKind::Library),
            (
                "fetch over http",
                Method::GET,
                &[accept, ("user-agent", "Mozilla/5.0 (X11)")],
                ClientKind::Other,
            ),
            ("Ktor", Method::GET, &[("accept", "*/*,text/event-stream")], ClientKind::Other),
            (
                "Pragma beside Cache-Control",
                Method::GET,
                &[accept, ("cache-control", "no-store"), ("pragma", "no-cache")],
                ClientKind::Other,
            ),
            ("curl", Method::GET, &[("accept", "*/*")], ClientKind::Other),
            (
                "page code that asks for the status",
                Method::HEAD,
                &[accept, no_cache, cors],
                ClientKind::EventSource,
            ),
            ("curl --head", Method::HEAD, &[("accept", "*/*")], ClientKind::Other),
            ("openai", Method::POST, &[("accept", "application/json")], ClientKind::Call),
            ("MCP", Method::POST, &[accept, no_cache, cors], ClientKind::Call),
            ("QUERY", "QUERY".parse().unwrap(), &[accept, no_cache, cors], ClientKind::Call),
        ] {
            assert_eq!(client_of(&method, headers), expected, "{client}");
        }
    }

    #[test]
    fn header_in_two_lines_is_one_list() {
        let mut headers = HeaderMap::new();
        headers.append("accept", HeaderValue::from_static("application/json"));
        headers.append("accept", HeaderValue::from_static("text/event-stream"));
        headers.append("cache-control", HeaderValue::from_static("no-cache"));
        assert_eq!(ClientKind::of(&Method::GET, &headers), ClientKind::EventSource);
    }

    #[test]
    fn lists_and_case_follow_the_grammar_of_each_header() {
        for (accept, cache_control, expected) in [
            ("application/json, Text/Event-Stream;q=0.9", "No-Cache", ClientKind::EventSource),
            ("text/event-stream", "max-age=0, no-cache", ClientKind::EventSource),
            ("text/event-stream;q=0", "no-cache", ClientKind::Other),
            ("text/*", "no-cache", ClientKind::Other),
        ] {
            let headers = [("accept", accept), ("cache-control", cache_control)];
            assert_eq!(client_of(&Method::GET, &headers), expected, "{accept}, {cache_control}");
        }
    }

    #[test]
    fn most_specific_range_decides() {
        for (accept, expected) in [
            (&[][..], true),
            (&[""], true),
            (&["text/event-stream"], true),
            (&["Text/Event-Stream"], true),
            (&["text/event-stream; charset=utf-8"], true),
            (&["text/*"], true),
            (&["*/*"], true),
            (&["application/json"], false),
            (&["text/html, application/xml;q=0.9"], false),
            (&["application/json", "text/event-stream;q=0.1"], true),
            (&["text/event-stream;q=0"], false),
            (&["text/event-stream; q=0.000"], false),
            (&["text/event-stream;q=0, */*"], false),
            (&["*/*;q=0, text/event-stream"], true),
            (&["text/*;q=0, */*"], false),
            (&["text/event-stream;q=0.001"], true),
            (&["application/json;profile=\"a, text/event-stream, \\\"b\""], false),
            (&["text/event-streaming"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(accepts_event_stream(&headers), expected, "{accept:?}");
        }
    }
}
