use std::sync::Arc;

use http::{
    Extensions, HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};

use crate::{
    connection::{Client, LastEventId},
    headers::make_event_stream,
    layer::Refusal,
    runs::{
        AnswerBody, Attachment, InvalidKey, Outcome,
        record::{NoEvents, Reader, Record},
    },
};

/// The client that sent a request, and its last event id unless that is empty.
pub(crate) struct Requester {
    pub(crate) client: Client,
    pub(crate) last: Option<LastEventId>,
}

impl Requester {
    pub(crate) fn of(method: &Method, headers: &HeaderMap, extensions: &Extensions) -> Self {
        let last = extensions.get().cloned().or_else(|| LastEventId::from_headers(headers));
        let last = last.filter(|last| !last.is_empty());
        Self { client: Client::of(method, headers), last }
    }

    pub(crate) fn of_parts(parts: &Parts) -> Self {
        Self::of(&parts.method, &parts.headers, &parts.extensions)
    }
}

/// Waits until the run's call has answered, attaches the client, and returns its response. Returns
/// `None` if the run is forgotten, or if the call did not return an event stream.
pub(crate) async fn answer(
    record: &Arc<Record>,
    requester: &Requester,
) -> Option<Response<AnswerBody>> {
    let reader = match record.attach(requester.last.as_ref()) {
        Ok(reader) => reader,
        Err(NoEvents::NoRun) => return None,
        Err(NoEvents::GivenWay) => return Some(refusal(requester.client)),
        Err(_) => return Some(not_found()),
    };
    match reader.started().await {
        Ok(()) => Some(events(reader)),
        Err(NoEvents::AllSeen(outcome)) => Some(nothing_left(reader, outcome, requester)),
        Err(_) => None,
    }
}

/// Returns the response for the client that started a run, if the run ended before the call
/// answered.
pub(crate) fn ended_before_answer(reader: Reader, requester: &Requester) -> Response<AnswerBody> {
    match reader.record.phase().outcome() {
        Some(outcome) => nothing_left(reader, outcome, requester),
        None => not_found(),
    }
}

/// Returns the response for a client that has seen all events of a run that has ended.
fn nothing_left(reader: Reader, outcome: Outcome, requester: &Requester) -> Response<AnswerBody> {
    let is_first_visit = requester.last.is_none();
    match (outcome, requester.client) {
        // The client can start the call on another process.
        (Outcome::Interrupted, client) if is_first_visit => refusal(client),
        // After an empty 200, an `EventSource` would reconnect forever.
        (_, Client::EventSource) => status(StatusCode::NO_CONTENT),
        // Clients of other kinds do not expect 204, and some retry it forever.
        (Outcome::Completed, _) => events(reader),
        // The client has read all that there was before the cancellation.
        (Outcome::Cancelled, _) if !is_first_visit => events(reader),
        // An empty 200 would mean that the client misses nothing. After a 503, the client would
        // start again the answer that the user has cancelled.
        _ => not_found(),
    }
}

fn events(reader: Reader) -> Response<AnswerBody> {
    let options = reader.record.lock().options.as_deref().cloned();
    let mut response = Response::new(AnswerBody::events(Attachment::new(reader)));
    make_event_stream(response.headers_mut());
    if let Some(options) = options {
        response.extensions_mut().insert(options);
    }
    response
}

/// Returns the response to an id that cannot be resumed. The response is the same for every reason,
/// so it does not reveal whether a run exists.
pub(crate) fn not_found() -> Response<AnswerBody> {
    status(StatusCode::NOT_FOUND)
}

pub(crate) fn refusal(client: Client) -> Response<AnswerBody> {
    Refusal::per_client().refuse(Response::new(()), client, AnswerBody::whole)
}

/// Returns the response to a request whose key is invalid. Its body names the fault.
pub(crate) fn bad_request(error: &InvalidKey) -> Response<AnswerBody> {
    let mut response = status(StatusCode::BAD_REQUEST);
    *response.body_mut() = AnswerBody::whole(error.to_string().into());
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

fn status(status: StatusCode) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::empty());
    *response.status_mut() = status;
    // Without this header, a cache may store `404` and `204` (RFC 9110, section 15.1), and would
    // answer requests for the next run with them.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
