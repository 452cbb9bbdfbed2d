use bytes::Bytes;
use http::header::{CONTENT_ENCODING, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode, request::Parts};

use crate::body::{BRIEFLY, Hold, SseBody};
use crate::connection::{ClientKind, LastEventId};
use crate::options::{Retry, StreamOptions, id_line, with_id};
use crate::{headers, shutdown::ShutdownWait, signals::Handled};

/// The answer to a client whose stream is refused. Streams are refused during the
/// [shutdown](crate::SseLayer::shutdown), and at the limit for [all
/// streams](crate::SseLayer::max_streams) or for a
/// [subject](crate::streams#limits-for-each-subject), such as a user.
///
/// No single answer makes all clients reconnect, so the default, [`per_client`](Self::per_client),
/// depends on the [kind of client](crate::guide::clients#how-clients-reconnect). By default, each
/// client gets a random reconnection time from 2 to 10 seconds. If a subject's limit is reached,
/// the answer is always [`too_many_requests`](Self::too_many_requests), with times of its own.
///
/// # Answers without an event
///
/// Many scripts wait only after an error, and ask again at once after a clean end: thousands of
/// times a second. So the layer holds such an answer. A refusal with `200` stays open for a second
/// after its line, or for the reconnection time if that is shorter. The line's time is shorter by as
/// much, so a client that obeys it comes back as early as otherwise. The stream of an ended topic or
/// run also stays open for a second, without a place in the limits. The head of a `204` for an
/// `EventSource` or library comes a second later, even if your handler has sent the `204`.
///
/// A process holds up to 10,000 answers at a time, and further ones end at once. A shutdown ends
/// those that it finds. The layer can't slow down a script at an answer that has events, at your
/// handler's `204` to another kind of client, or at a proxy's answer while no server is up: have the
/// script wait for two seconds after every end.
///
/// # What is refused
///
/// Only event streams with status 200 are refused: `401`, `404`, `204` and JSON pass. A call
/// (anything but a `GET`) that arrived before the shutdown began is refused only at a limit. So is
/// a `GET` whose stream has a [drain](crate::StreamOptions::drain) that doesn't end it at once.
///
/// The layer decides once it gets the response head, so the handler has already been called. The
/// refusal keeps the response's headers that don't describe the stream, such as CORS headers.
///
/// For a service that returns a [bare stream](crate::SseLayer#services-that-return-a-bare-stream),
/// the layer decides before it calls the service. Only the subjects' limits are checked after the
/// call.
#[doc(alias = "rejection")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Refusal {
    answer: RefusalAnswer,
    /// The status of an answer that is not a stream.
    status: StatusCode,
    retry: Retry,
    /// The reconnection time for a call: a call's place is free sooner than an open stream's place.
    retry_of_call: Retry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefusalAnswer {
    PerClient,
    RetryLater,
    Unavailable,
}

impl Refusal {
    const fn new(answer: RefusalAnswer) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { answer, status, retry: Retry::LATER, retry_of_call: Retry::LATER }
    }

    /// Answers an `EventSource` with `200` and a stream that has only a `retry` line. A
    /// [library](ClientKind::Library) also gets `200`, with the line in an event named `retry` with
    /// the data `{}` and the id that the client sent, if any. Every other client gets `503`.
    pub const fn per_client() -> Self {
        Self::new(RefusalAnswer::PerClient)
    }

    /// Answers every client with `200`: a library with the event that
    /// [`per_client`](Self::per_client) sends it, and all others with a `retry` line.
    ///
    /// Use this answer if all clients reconnect after a clean end, and a proxy [removes the
    /// headers](crate::guide::proxies#what-a-proxy-hides) by which the layer recognises them. This
    /// answer changes neither the `429` at a subject's limit nor the refusals of `Runs`.
    pub const fn retry_later() -> Self {
        Self::new(RefusalAnswer::RetryLater)
    }

    /// Answers every client with `503`.
    ///
    /// Use this answer for clients that retry after a `503`. It stops an `EventSource` for good.
    pub const fn unavailable() -> Self {
        Self::new(RefusalAnswer::Unavailable)
    }

    /// Answers clients as [`per_client`](Self::per_client) does, but with `429` (RFC 6585, section
    /// 4) instead of `503`. The random reconnection time is from 30 to 60 seconds, or from 2 to 10
    /// seconds for calls (anything but a `GET`).
    pub const fn too_many_requests() -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { status, retry: Retry::MUCH_LATER, ..Self::per_client() }
    }

    /// Sets the reconnection time for refused clients. A stream carries it as a `retry` line, less
    /// the second for which the stream [stays open](Self#answers-without-an-event). An error response carries it as
    /// `Retry-After` (RFC 9110, section 10.2.3) in whole seconds, rounded up. By default, each
    /// client gets a random time from 2 to 10 seconds. With
    /// [`too_many_requests`](Self::too_many_requests), the default is 30 to 60 seconds. For calls,
    /// it's still 2 to 10 seconds.
    pub fn retry(mut self, retry: impl Into<Retry>) -> Self {
        self.retry = retry.into();
        self.retry_of_call = self.retry;
        self
    }

    /// Returns the refusal as a response, for your own handler or middleware. `parts` are the
    /// request's. A layer around your code passes the response on, and
    /// [counts](crate::stats::StatsSnapshot::refused) it as a refusal.
    ///
    /// ```
    /// use axum::{extract::Request, middleware::Next, response::{IntoResponse, Response}};
    /// use tower_sse::Refusal;
    ///
    /// # async fn is_overloaded() -> bool { false }
    /// async fn admit(request: Request, next: Next) -> Response {
    ///     if !is_overloaded().await {
    ///         return next.run(request).await;
    ///     }
    ///     let (parts, _) = request.into_parts();
    ///     Refusal::per_client().answer(&parts).into_response()
    /// }
    /// # _ = axum::middleware::from_fn::<_, (Request,)>(admit);
    /// ```
    pub fn answer(&self, parts: &Parts) -> Response<SseBody> {
        let shown = ClientKind::of(&parts.method, &parts.headers);
        let client = StreamOptions::client_or(&parts.extensions, shown);
        let last_id = LastEventId::of(&parts.extensions, &parts.headers);
        let mut response = self.refuse(Response::new(()), client, last_id.as_ref(), None);
        response.extensions_mut().insert(Handled::Refused { is_counted: false });
        response
    }

    /// Turns `response` into the answer to a refused `client`. The response's body is dropped. The
    /// event for a library repeats `last_id`, which the client would otherwise forget.
    pub(crate) fn refuse<B, C>(
        &self,
        response: Response<B>,
        client: ClientKind,
        last_id: Option<&LastEventId>,
        shutdown: Option<ShutdownWait>,
    ) -> Response<SseBody<C>> {
        let is_stream = match self.answer {
            RefusalAnswer::PerClient => client.resumes(),
            RefusalAnswer::RetryLater => true,
            RefusalAnswer::Unavailable => false,
        };
        // A client's next request comes no later for the hold.
        let retry = if client.is_call() { self.retry_of_call } else { self.retry };
        let time = if is_stream { self.retry } else { retry }.draw();
        let hold = is_stream.then(|| Hold::briefly(time.min(BRIEFLY), shutdown)).flatten();
        let rest = if hold.is_some() { time.saturating_sub(BRIEFLY) } else { time };
        let retry_line = Retry::fixed(rest).line();
        let line = match client {
            _ if !is_stream => Bytes::new(),
            // Some libraries read a `retry` line only in an event with data.
            ClientKind::Library => {
                let id_line = last_id.map(id_line);
                let event = Bytes::from_static(b"event: retry\ndata: {}\n\n");
                [retry_line, with_id(&event, id_line.as_ref())].concat().into()
            }
            _ => retry_line,
        };
        let mut response = response.map(|_| SseBody::held(line, hold));
        response.extensions_mut().insert(Handled::Refused { is_counted: true });
        if is_stream {
            response.headers_mut().remove(CONTENT_ENCODING);
            headers::make_event_stream(response.headers_mut());
            return response;
        }
        *response.status_mut() = self.status;
        headers::make_empty(response.headers_mut());
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        response
    }
}

impl Default for Refusal {
    /// Returns [`Refusal::per_client`].
    fn default() -> Self {
        Self::per_client()
    }
}
