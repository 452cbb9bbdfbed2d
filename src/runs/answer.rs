use std::task::{Context, Poll, ready};
use std::{pin::Pin, sync::Arc};

use futures_core::Stream;
use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, HeaderValue, Method, Response, StatusCode, request::Parts};
use tokio::task::coop;

use super::record::{NoEvents, Reader, Record};
use super::{InvalidKey, Outcome, RunError, StartError};
use crate::body::{BRIEFLY, EventBody, Hold, SseBody};
use crate::connection::{ClientKind, LastEventId};
use crate::event::Encoded;
use crate::exchange::{AwaitedRun, EarlyHead};
use crate::options::StreamOptions;
use crate::signals::{CancelledFor, Handled, NothingMore};
use crate::signals::{INTERRUPTED, REFUSED_LATE, interruption};
use crate::{headers, headers::make_event_stream, layer::Refusal};

pub(crate) struct Requester {
    pub(crate) client: ClientKind,
    pub(crate) last: Option<LastEventId>,
    /// Whether repeating the request can start a run.
    pub(crate) starts: bool,
    /// The response's head, if it can be sent early.
    pub(crate) head: Option<EarlyHead>,
}

impl Requester {
    pub(crate) fn of(method: &Method, headers: &HeaderMap, extensions: &Extensions) -> Self {
        let last = LastEventId::of(extensions, headers);
        let last = last.filter(|last| !last.is_empty());
        let client = StreamOptions::client_or(extensions, ClientKind::of(method, headers));
        Self { client, last, starts: true, head: extensions.get().cloned() }
    }

    /// Begins a wait for the run, if the run is one of this process and the request's head can be
    /// sent early.
    pub(crate) fn await_run(&self, record: &Record) -> Option<AwaitedRun> {
        self.head.as_ref().filter(|_| !record.is_mirror).map(EarlyHead::await_run)
    }

    pub(crate) fn of_parts(parts: &Parts) -> Self {
        Self::of(&parts.method, &parts.headers, &parts.extensions)
    }
}

/// Answers a client. Returns `None` if the run has no event stream or is forgotten. If a completed
/// run is forgotten while the client waits for it, the client still gets the events.
pub(crate) async fn answer(
    record: &Arc<Record>,
    requester: &Requester,
) -> Option<Response<SseBody>> {
    let reader = match record.attach(requester.last.as_ref()) {
        Ok(reader) => reader,
        Err(NoEvents::NoRun) => return None,
        Err(NoEvents::GivenWay) => return Some(refusal(requester)),
        // A client with an id gets the same answer as after a failure.
        Err(NoEvents::Lost) if requester.last.is_some() => {
            return Some(nothing_left(None, Some(Outcome::Failed), requester));
        }
        Err(_) => return Some(not_found(requester)),
    };
    let _awaited = requester.await_run(record);
    match reader.started().await {
        Ok(()) => Some(events(reader, requester)),
        Err(NoEvents::AllSeen(outcome)) => {
            Some(nothing_left(Some(reader), Some(outcome), requester))
        }
        Err(_) => None,
    }
}

/// Answers a client whose run is forgotten, for example because it was replaced while starting.
pub(crate) fn forgotten(record: &Record, requester: &Requester) -> Response<SseBody> {
    // A run whose events are gone must not look like a run that had none.
    let outcome = record.phase().outcome().filter(|_| record.lock().newest == 0);
    nothing_left(None, outcome, requester)
}

/// Answers a client that can't attach to a run, as if no run had its key.
pub(crate) fn not_found(requester: &Requester) -> Response<SseBody> {
    nothing_left(None, None, requester)
}

/// Answers a client for which no event is left. `outcome` is that of the client's run, or `None` to
/// answer as if there were no run.
pub(crate) fn nothing_left(
    reader: Option<Reader>,
    outcome: Option<Outcome>,
    requester: &Requester,
) -> Response<SseBody> {
    use ClientKind::{EventSource, Library};
    use Outcome::{Cancelled, Completed, Interrupted};
    let client = requester.client;
    let mut answer = match (outcome, client, &requester.last, reader) {
        // The run is another process's, and may still be going on there.
        (.., Some(reader)) if reader.record.lock().is_lost => return refusal(requester),
        // A client that repeats its request starts a new run, on another process if this one is
        // shutting down.
        (Some(Interrupted), _, None, _) if requester.starts => refusal(requester),
        // After an empty 200, these clients would reconnect forever.
        (Some(Completed | Cancelled), EventSource, ..)
        | (Some(Completed | Cancelled), Library, Some(_), _) => status(StatusCode::NO_CONTENT),
        // A page cannot tell a `404` from the `204` at the end of a complete answer.
        (Some(_), EventSource, last, _) => interrupted(last.as_ref(), "{}"),
        (None, EventSource, last @ Some(_), _) => interrupted(last.as_ref(), UNKNOWN),
        // Clients of other kinds do not expect 204, and some retry it forever. A client with an id
        // has read everything from before the cancellation.
        (Some(Completed), _, _, Some(reader)) | (Some(Cancelled), _, Some(_), Some(reader)) => {
            let mut answer = events(reader, requester);
            answer.extensions_mut().insert(NothingMore::OfRun);
            answer
        }
        // An empty 200 would mean that nothing is missing. After a 503, the client would start
        // again what the user has cancelled.
        _ => status(StatusCode::NOT_FOUND),
    };
    if outcome == Some(Cancelled) {
        answer.extensions_mut().insert(CancelledFor(client));
    }
    answer
}

fn events(reader: Reader, requester: &Requester) -> Response<SseBody> {
    let options = reader.record.lock().options.as_deref().cloned();
    let awaited = requester.await_run(&reader.record);
    let mut response = Response::new(events_of(reader, awaited));
    make_event_stream(response.headers_mut());
    if let Some(options) = options {
        response.extensions_mut().insert(options);
    }
    response
}

/// The data of the event `interrupted` if the page may have the whole answer.
const UNKNOWN: &str = r#"{"run":"unknown"}"#;

fn interrupted(last: Option<&LastEventId>, data: &str) -> Response<SseBody> {
    if last.is_some_and(|last| [INTERRUPTED, REFUSED_LATE].contains(&last.as_str())) {
        return status(StatusCode::NO_CONTENT);
    }
    let event = Encoded::from(interruption(INTERRUPTED).data(data)).into();
    let mut response = Response::new(SseBody::held(event, Hold::briefly(BRIEFLY, None)));
    make_event_stream(response.headers_mut());
    // Without this mark, a layer would open a stream and send its terminator, and a filter could
    // take the event for half an answer.
    response.extensions_mut().insert(Handled::Refused { is_counted: true });
    response
}

pub(crate) fn refusal(requester: &Requester) -> Response<SseBody> {
    let Requester { client, last, .. } = requester;
    Refusal::per_client().refuse(Response::new(()), *client, last.as_ref(), None)
}

pub(crate) fn bad_request(error: &InvalidKey) -> Response<SseBody> {
    let mut response = status(StatusCode::BAD_REQUEST);
    *response.body_mut() = SseBody::whole(error.to_string().into());
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

fn status(status: StatusCode) -> Response<SseBody> {
    let mut response = Response::new(SseBody::empty());
    *response.status_mut() = status;
    // Without this header, a cache may store `404` and `204` (RFC 9110, section 15.1), and use them
    // for the next run's requests.
    headers::forbid_storing(response.headers_mut());
    response
}

impl StartError {
    /// Returns the answer to a request for which no run was started.
    ///
    /// For [`NotFound`](Self::NotFound), this is a `404`. An `EventSource` with an id gets the
    /// event [`interrupted`](super#half-an-answer) instead, or `204` if it already has that event.
    /// For all other errors, it's [`Refusal::per_client`](crate::Refusal::per_client).
    #[must_use]
    pub fn answer(&self, parts: &Parts) -> Response<SseBody> {
        self.answer_to(&Requester::of_parts(parts))
    }

    pub(crate) fn answer_to(self, requester: &Requester) -> Response<SseBody> {
        match self {
            Self::NotFound => not_found(requester),
            _ => refusal(requester),
        }
    }
}

/// A stream of a run's events for one client. Each item has one or more events, with their ids.
///
/// If the run [completed](crate::runs::Outcome::Completed), the stream ends without an error. After
/// any other outcome, it fails. It also fails if the client's next event was evicted, or if this
/// process loses contact with the run's process.
///
/// If the run was [cancelled](crate::runs::Outcome::Cancelled), the error makes
/// [`SseLayer`](crate::SseLayer) end the body cleanly, without the
/// [terminator](crate::SseLayer::terminator).
///
/// Until the stream ends, the client counts as attached: the run isn't abandoned, and its source
/// may have to wait for the client. Dropping the attachment detaches the client, but the run
/// continues.
#[must_use = "streams do nothing unless polled"]
pub struct Attachment {
    /// `None` once the stream has ended.
    reader: Option<Reader>,
    /// The wait of the request for which the handler started the run: its answer may be this stream.
    _awaited: Option<AwaitedRun>,
}

impl Attachment {
    pub(crate) fn new(reader: Reader, awaited: Option<AwaitedRun>) -> Self {
        Self { reader: Some(reader), _awaited: awaited }
    }
}

impl Stream for Attachment {
    type Item = Result<Encoded, RunError>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Encoded, RunError>>> {
        let Some(reader) = &mut self.reader else {
            return Poll::Ready(None);
        };
        let unit = ready!(coop::poll_proceed(cx));
        let read = ready!(reader.poll_read(cx));
        unit.made_progress();
        if !matches!(read, Some(Ok(_))) {
            self.reader = None;
        }
        Poll::Ready(read.map(|read| read.map(Encoded::of)))
    }
}

opaque_debug!(Attachment);

pub(crate) fn events_of(reader: Reader, awaited: Option<AwaitedRun>) -> SseBody {
    SseBody::boxed(Box::pin(EventBody::expecting_layer(Attachment::new(reader, awaited))))
}
