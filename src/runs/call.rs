use std::{mem::ManuallyDrop, panic::resume_unwind, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::oneshot;
use tower_service::Service;

use super::{
    AnswerBody, Attachment, Outcome, RunBody, RunKey,
    answer::{self, Requester},
    producer::Producer,
    reader::{Attached, Reader},
    run::on_refusal,
    shared::{Claim, Shared},
    start::spawn,
    task::{Answer, RunTask},
};
use crate::{
    BoxError,
    connection::{CloseReason, Disconnect, DisconnectGuard},
    layer::{has_body, make_event_stream},
};

/// Answers a request with a key, by a call of the service or without one.
pub(super) async fn answer<S, B, R>(
    shared: Arc<Shared>,
    key: RunKey,
    service: S,
    request: Request<B>,
) -> Result<Response<RunBody<R>>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let requester = Requester::of(request.method(), request.headers(), request.extensions());
    let answer = if requester.last.is_some() {
        Found::Answer(resume(&shared, &key, &requester).await)
    } else {
        find(&shared, &key, &requester).await
    };
    match answer {
        Found::Answer(response) => Ok(response.map(RunBody::answer)),
        Found::Nothing(producer, reader) => {
            call(producer, reader, service, request, &requester).await
        }
    }
}

/// What there is for a first request.
enum Found {
    Answer(Response<AnswerBody>),
    /// The request starts the run.
    Nothing(Producer, Reader),
}

/// Answers a client that has seen an event. It never reaches the service, because the service would
/// begin anew.
async fn resume(shared: &Arc<Shared>, key: &RunKey, requester: &Requester) -> Response<AnswerBody> {
    let answer = match shared.get(key) {
        Some(record) => answer::answer(&record, requester).await,
        None => None,
    };
    answer.unwrap_or_else(answer::not_found)
}

/// Attaches the client to the run that is there, or claims the key.
async fn find(shared: &Arc<Shared>, key: &RunKey, requester: &Requester) -> Found {
    loop {
        let record = match shared.claim(key) {
            Err(_) => return Found::Answer(answer::refusal(requester.client)),
            Ok(Claim::Existing(record)) => record,
            Ok(Claim::New(producer)) => match producer.record.attach(None) {
                Attached::Starting(reader) => return Found::Nothing(producer, reader),
                // Another thread has replaced it already.
                _ => continue,
            },
        };
        let attached = match record.attach(None) {
            Attached::Starting(reader) => reader.started().await,
            // It ended since it was found, and has freed the key.
            Attached::Ended { outcome, .. } if outcome != Outcome::Completed => continue,
            attached => attached,
        };
        // The answer of the call that was awaited may be no event stream.
        if let Some(answer) = answer::respond(attached, requester) {
            return Found::Answer(answer);
        }
    }
}

/// Calls the service on a task, and waits for the head of its answer.
async fn call<S, B, R>(
    producer: Producer,
    reader: Reader,
    mut service: S,
    mut request: Request<B>,
    requester: &Requester,
) -> Result<Response<RunBody<R>>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    // The connection is no longer the call's.
    let disconnect = Disconnect::new();
    request.extensions_mut().insert(disconnect.clone());
    let guard = DisconnectGuard::new(disconnect);
    let (shared, record) = (Arc::clone(&producer.shared), Arc::clone(&producer.record));
    let (starter, answer) = oneshot::channel();
    let call = producer.within_call(|| service.call(request));
    drop(service);
    spawn(RunTask::call(producer, call, starter, guard));
    match answer.await {
        Ok(Answer::Stream(mut parts)) => {
            make_event_stream(&mut parts.headers);
            parts.extensions.insert(on_refusal(&shared, &record));
            let body = AnswerBody::events(Attachment::new(reader));
            Ok(Response::from_parts(parts, RunBody::answer(body)))
        }
        Ok(Answer::Other(answer, guard)) => pass(answer, guard),
        Ok(Answer::Panic(panic)) => resume_unwind(ManuallyDrop::into_inner(panic)),
        // The run ended before the call had an answer.
        Err(_) => Ok(answer::without_call(reader, requester).map(RunBody::answer)),
    }
}

/// Passes an answer that is no event stream.
fn pass<B: Body, E>(
    answer: Result<Response<B>, E>,
    mut guard: DisconnectGuard,
) -> Result<Response<RunBody<B>>, E> {
    match answer {
        Ok(response) if has_body(response.status()) => {
            Ok(response.map(|body| RunBody::tracked(body, guard)))
        }
        Ok(response) => {
            guard.set_reason(CloseReason::Ended);
            Ok(response.map(RunBody::pass_through))
        }
        Err(error) => {
            guard.set_reason(CloseReason::Failed);
            Err(error)
        }
    }
}
