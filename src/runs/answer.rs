use std::sync::Arc;

use http::{Extensions, HeaderMap, Method, Response, StatusCode, request::Parts};

use super::{
    AnswerBody, Attachment, Outcome,
    reader::{Attached, Reader},
    record::Record,
    state::Phase,
};
use crate::{
    connection::{Client, LastEventId},
    layer::{Refusal, make_event_stream},
};

/// What a request says about its client.
pub(super) struct Requester {
    pub(super) client: Client,
    pub(super) last: Option<LastEventId>,
}

impl Requester {
    pub(super) fn of(method: &Method, headers: &HeaderMap, extensions: &Extensions) -> Self {
        let last = extensions.get().cloned().or_else(|| LastEventId::from_headers(headers));
        Self { client: Client::of(method, headers), last: last.filter(|last| !last.is_empty()) }
    }

    pub(super) fn of_parts(parts: &Parts) -> Self {
        Self::of(&parts.method, &parts.headers, &parts.extensions)
    }
}

/// Answers a request for a run, once its call has an answer. Returns `None` if there is no such
/// run, or none any more.
pub(super) async fn answer(
    record: &Arc<Record>,
    requester: &Requester,
) -> Option<Response<AnswerBody>> {
    let attached = match record.attach(requester.last.as_ref()) {
        Attached::Starting(reader) => reader.started().await,
        attached => attached,
    };
    respond(attached, requester)
}

/// Answers a request for a run whose call has an answer.
pub(super) fn respond(attached: Attached, requester: &Requester) -> Option<Response<AnswerBody>> {
    match attached {
        Attached::Unknown => None,
        Attached::NotFound => Some(not_found()),
        Attached::Ended { reader, outcome, is_at_end: true } => {
            Some(nothing_left(reader, outcome, requester))
        }
        Attached::Starting(reader) | Attached::Running(reader) | Attached::Ended { reader, .. } => {
            Some(events(reader))
        }
    }
}

/// Answers the client whose call was given up before it had an answer.
pub(super) fn without_call(reader: Reader, requester: &Requester) -> Response<AnswerBody> {
    match reader.record.phase() {
        Phase::Ended(outcome) => nothing_left(reader, outcome, requester),
        Phase::Starting | Phase::Running | Phase::Void => not_found(),
    }
}

/// Answers a client that has seen all events of a run that has ended.
fn nothing_left(reader: Reader, outcome: Outcome, requester: &Requester) -> Response<AnswerBody> {
    let is_first_visit = requester.last.is_none();
    match (outcome, requester.client) {
        // Another process may make the call.
        (Outcome::Interrupted, client) if is_first_visit => refusal(client),
        // It would reconnect forever.
        (_, Client::EventSource) => status(StatusCode::NO_CONTENT),
        // Other clients do not expect 204, and some retry it forever.
        (Outcome::Completed | Outcome::Cancelled, _) => events(reader),
        // An empty 200 would say that nothing is missing.
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

/// The answer for an id of no run, whatever the reason.
pub(super) fn not_found() -> Response<AnswerBody> {
    status(StatusCode::NOT_FOUND)
}

pub(super) fn refusal(client: Client) -> Response<AnswerBody> {
    Refusal::per_client().answer(Response::new(()), client, AnswerBody::whole)
}

fn status(status: StatusCode) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::empty());
    *response.status_mut() = status;
    response
}
