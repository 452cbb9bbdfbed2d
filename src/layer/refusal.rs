use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_ENCODING, RETRY_AFTER},
};

use super::{admission::mark_refused, headers};
use crate::{connection::Client, options::Retry};

/// The answer to a client whose stream cannot be opened, because the server is
/// [shutting down](crate::SseLayer::shutdown) or the [limit](crate::SseLayer::max_streams) is reached.
///
/// The rules by which clients reconnect contradict each other: any status but 200 ends an
/// `EventSource` for good ([HTML, "Processing model"][html]), while other clients would take an empty
/// stream for the answer. [`per_client`](Self::per_client), the default, distinguishes them:
///
/// | client | answer |
/// |---|---|
/// | `EventSource`: a `GET` whose `Accept` names `text/event-stream`, and whose `Cache-Control` has `no-cache` | `200`, a `retry` line, and the end, after which it reconnects |
/// | any other | `503` with `Retry-After` |
///
/// The reconnection time (`retry` or `Retry-After`) is drawn for every client, by default from 2 to
/// 10 seconds.
///
/// The decision is made once the head of the response is known, so the handler has run by then. A
/// service that returns a bare stream is refused before it is called. A call (any method but `GET`)
/// that came before the shutdown is answered.
///
/// Only event streams with status 200 are refused: `401`, `404`, `204` and JSON pass. The service's
/// own headers stay (CORS, a request id), and its stream is dropped unpolled. If the inner service
/// reserved a permit in `poll_ready`, as tower's `ConcurrencyLimit` does, that permit stays
/// reserved for its next request.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Refusal, Retry, SseLayer};
///
/// let second = Duration::from_secs(1);
/// # let layer: SseLayer =
/// SseLayer::new()
///     .max_streams(10_000)
///     .refusal(Refusal::per_client().retry(Retry::between(5 * second, 30 * second)));
/// ```
///
/// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Refusal {
    answer: Answer,
    retry: Option<Retry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    PerClient,
    RetryLater,
    Unavailable,
}

impl Refusal {
    const fn new(answer: Answer) -> Self {
        Self { answer, retry: Some(Retry::later()) }
    }

    /// Answers each client with whatever makes it reconnect.
    pub const fn per_client() -> Self {
        Self::new(Answer::PerClient)
    }

    /// Answers every client with `200`, a `retry` line and the end. Use it if all clients are
    /// `EventSource`s whose headers a proxy strips.
    pub const fn retry_later() -> Self {
        Self::new(Answer::RetryLater)
    }

    /// Answers every client with `503`. Use it if all clients are your own; it ends an `EventSource` for
    /// good.
    pub const fn unavailable() -> Self {
        Self::new(Answer::Unavailable)
    }

    /// Sets the reconnection time that refused clients are sent: in whole milliseconds for a `retry`
    /// line, in seconds rounded up for `Retry-After` (RFC 9110, section 10.2.3). 2 to 10 seconds by
    /// default; [`without_retry`](Self::without_retry) undoes it.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sends refused clients no reconnection time.
    pub fn without_retry(mut self) -> Self {
        self.retry = None;
        self
    }

    /// Turns `response` into the answer, whose body `whole` creates.
    pub(crate) fn answer<B, C>(
        &self,
        response: Response<B>,
        client: Client,
        whole: impl FnOnce(Bytes) -> C,
    ) -> Response<C> {
        let is_stream = match self.answer {
            Answer::PerClient => matches!(client, Client::EventSource),
            Answer::RetryLater => true,
            Answer::Unavailable => false,
        };
        let line = match &self.retry {
            Some(retry) if is_stream => retry.line(),
            _ => Bytes::new(),
        };
        let mut response = response.map(|_| whole(line));
        mark_refused(response.extensions_mut());
        if is_stream {
            response.headers_mut().remove(CONTENT_ENCODING);
            headers::make_event_stream(response.headers_mut());
            return response;
        }
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        headers::make_empty(response.headers_mut());
        if let Some(time) = self.retry.as_ref().map(Retry::draw) {
            let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl Default for Refusal {
    /// Returns [`Refusal::per_client`].
    fn default() -> Self {
        Self::per_client()
    }
}
