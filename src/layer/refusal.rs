use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_ENCODING, RETRY_AFTER},
};

use super::headers;
use crate::{body::SseBody, connection::Client, options::Retry};

/// What a client is told whose stream cannot be opened, because the server is
/// [shutting down](crate::SseLayer::shutdown) or the [limit](crate::SseLayer::max_streams) is reached.
///
/// The rules by which clients reconnect contradict each other: any status but 200 ends an
/// `EventSource` for ever ([HTML, "Processing model"][html]), while to others an empty stream would be
/// the answer. [`per_client`](Self::per_client), the default, tells them apart by what they send:
///
/// | client | answer |
/// |---|---|
/// | `EventSource`: a `GET` whose `Accept` names `text/event-stream`, and whose `Cache-Control` has `no-cache` | `200`, a `retry` line, and the end: it comes back |
/// | any other | `503` with `Retry-After` |
///
/// Both times are drawn for every client, by default from 2 to 10 seconds.
///
/// It is decided when the head of the response is known, so a handler may have worked before it is refused;
/// but not for a call (any method but `GET`) that came before the shutdown, which is answered.
///
/// Only event streams with status 200 are refused: `401`, `404`, `204` and JSON pass. The service's
/// own headers stay (CORS, a request id), and its stream is dropped unpolled. A service that answers with a
/// bare stream is not called at all; a permit that it took when it became ready, as `ConcurrencyLimit`
/// does, it keeps for its next call.
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

    /// As the client needs it.
    pub const fn per_client() -> Self {
        Self::new(Answer::PerClient)
    }

    /// `200`, a `retry` line, and the end, for everybody: where all clients are `EventSource`s that a
    /// proxy has stripped of their headers.
    pub const fn retry_later() -> Self {
        Self::new(Answer::RetryLater)
    }

    /// `503` for everybody: where all clients are your own. It ends an `EventSource` for ever.
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

    /// The answer in place of `response`.
    pub(super) fn answer<B, C>(
        &self,
        response: Response<B>,
        client: Client,
    ) -> Response<SseBody<C>> {
        let stays = match self.answer {
            Answer::PerClient => matches!(client, Client::EventSource),
            Answer::RetryLater => true,
            Answer::Unavailable => false,
        };
        let line = match &self.retry {
            Some(retry) if stays => retry.line(),
            _ => Bytes::new(),
        };
        let mut response = response.map(|_| SseBody::whole(line));
        if stays {
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
    /// [`Refusal::per_client`].
    fn default() -> Self {
        Self::per_client()
    }
}
