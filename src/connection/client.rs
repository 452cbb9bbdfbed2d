use http::{
    HeaderMap, Method,
    header::{ACCEPT, CACHE_CONTROL},
};

use super::accept::names_event_stream;

/// Who is asking, which decides what a refusal and an end look like: the rules by which clients
/// reconnect contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// It reconnects after a clean end and after a cut. Any status but 200 ends it for ever ([HTML,
    /// "Processing model"][html]).
    ///
    /// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model
    EventSource,
    /// A stream that page code reads by `fetch`: it reconnects after an error or a bad status, and is
    /// done after a clean end.
    Fetch,
    /// A script or a proxy, of which nothing is known.
    Get,
    /// A call of an API, whose answer is the stream: it does not reconnect.
    Call,
    /// A `GET` of somebody whom nobody asked.
    Unclassified,
}

impl Client {
    #[inline]
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        if *method != Method::GET {
            return Self::Call;
        }
        // Most requests accept anything, and are not looked at further.
        let mut accepted = headers.get_all(&ACCEPT).iter();
        if accepted.any(|range| range.len() >= "text/event-stream".len()) {
            Self::of_get(headers)
        } else {
            Self::Get
        }
    }

    /// Without a look at the headers.
    #[inline]
    pub(crate) fn unclassified(method: &Method) -> Self {
        if *method == Method::GET { Self::Unclassified } else { Self::Call }
    }

    #[cold]
    fn of_get(headers: &HeaderMap) -> Self {
        if !names_event_stream(headers) {
            Self::Get
        } else if has_no_cache(headers) {
            Self::EventSource
        } else if headers.contains_key("sec-fetch-mode") {
            Self::Fetch
        } else {
            Self::Get
        }
    }

    /// Is a clean end, before the source's own, the wrong thing to tell? To `fetch` it means that
    /// nothing more will come, and half of an answer would look like the whole. After a failure every
    /// client that reconnects at all does so.
    pub(crate) const fn is_cut_by_failing(self) -> bool {
        matches!(self, Self::Fetch | Self::Call | Self::Unclassified)
    }

    /// Returns whether the client is known to reconnect after a clean end.
    pub(crate) const fn reconnects_after_clean_end(self) -> bool {
        matches!(self, Self::EventSource)
    }

    /// Is its stream the answer to a call, which should come to its own end?
    pub(crate) const fn is_call(self) -> bool {
        matches!(self, Self::Call)
    }
}

/// The standard has an `EventSource` send it; `fetch` with the same `Accept` does not.
fn has_no_cache(headers: &HeaderMap) -> bool {
    headers
        .get_all(CACHE_CONTROL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-cache"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Method};

    use super::Client;

    fn of(method: &Method, headers: &[(&'static str, &'static str)]) -> Client {
        let headers: HeaderMap = headers
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        Client::of(method, &headers)
    }

    /// The headers were read off the clients named.
    #[test]
    fn clients_are_known_by_what_they_send() {
        let accept = ("accept", "text/event-stream");
        let no_cache = ("cache-control", "no-cache");
        let cors = ("sec-fetch-mode", "cors");
        for (client, method, headers, expected) in [
            ("Chromium", Method::GET, &[accept, no_cache, cors][..], Client::EventSource),
            ("npm eventsource", Method::GET, &[accept, no_cache], Client::EventSource),
            ("fetch-event-source", Method::GET, &[accept, cors], Client::Fetch),
            ("fetch", Method::GET, &[("accept", "*/*"), no_cache, cors], Client::Get),
            ("httpx-sse", Method::GET, &[accept, ("cache-control", "no-store")], Client::Get),
            ("sseclient-py", Method::GET, &[accept], Client::Get),
            ("curl", Method::GET, &[("accept", "*/*")], Client::Get),
            ("openai", Method::POST, &[("accept", "application/json")], Client::Call),
            ("MCP", Method::POST, &[accept, no_cache, cors], Client::Call),
        ] {
            assert_eq!(of(&method, headers), expected, "{client}");
        }
    }

    #[test]
    fn a_list_in_two_lines_is_one_list() {
        let mut headers = HeaderMap::new();
        headers.append("accept", HeaderValue::from_static("application/json"));
        headers.append("accept", HeaderValue::from_static("text/event-stream"));
        headers.append("cache-control", HeaderValue::from_static("no-cache"));
        assert_eq!(Client::of(&Method::GET, &headers), Client::EventSource);
    }

    #[test]
    fn lists_and_cases_are_read_as_their_grammars_say() {
        for (accept, cache_control, expected) in [
            ("application/json, Text/Event-Stream;q=0.9", "No-Cache", Client::EventSource),
            ("text/event-stream", "max-age=0, no-cache", Client::EventSource),
            ("text/event-stream;q=0", "no-cache", Client::Get),
            ("text/*", "no-cache", Client::Get),
        ] {
            let headers = [("accept", accept), ("cache-control", cache_control)];
            assert_eq!(of(&Method::GET, &headers), expected, "{accept}, {cache_control}");
        }
    }
}
