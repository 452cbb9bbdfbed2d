use std::mem::{self, ManuallyDrop};
use std::task::Poll;
use std::{future::Future, future::poll_fn, panic::resume_unwind, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::oneshot;
use tower_service::Service;

use super::task::{Answer, CallStage, RunTask, spawn};
use crate::body::SseBody;
use crate::connection::DisconnectGuard;
use crate::headers::{allow_chunks, has_body, make_event_stream};
use crate::runs::answer::{self, Requester};
use crate::runs::process::{Claim, Producer, Purpose};
use crate::runs::record::{Phase, Reader};
use crate::runs::{Outcome, RunKey, Runs};
use crate::{BoxError, exchange::EarlyHead, options::StreamOptions, runs::run::on_refusal};

pub(crate) async fn join_or_call<S, B, R>(
    runs: Runs,
    key: RunKey,
    mut service: S,
    mut request: Request<B>,
) -> Result<Response<SseBody>, Other<R, S::Error>>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let requester = Requester::of(request.method(), request.headers(), request.extensions());
    let mut is_ready = true;
    // A request that waits gives up its ready service, which can hold a permit that the other
    // request's call needs.
    let wait = || (service, is_ready) = (service.clone(), false);
    let (producer, reader) = match find(&runs, &key, &requester, wait).await {
        Action::Answer(response) => return Ok(response),
        Action::Start(producer, reader) => (producer, reader),
    };
    let awaited = requester.await_run(&producer.record);
    if !is_ready {
        let uncalled = Uncalled(&producer);
        let is_over = || (!producer.record.phase().is_live()).then_some(());
        let mut over = pin!(producer.record.until(is_over));
        let ready = poll_fn(|cx| match over.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => service.poll_ready(cx).map(Some),
        });
        match ready.await {
            Some(ready) => ready.map_err(|error| (Err(error), None))?,
            None => return Ok(ended_before_answer(reader, &requester)),
        }
        mem::forget(uncalled);
    }
    // The call can outlive the client's connection, so it gets a `Disconnect` of its own.
    let guard = DisconnectGuard::insert(request.extensions_mut());
    // The options of the request are for the stream of this client, not for the recorded stream.
    // But the handler's refusals depend on the kind of client.
    StreamOptions::record(request.extensions_mut());
    let record = Arc::clone(&producer.record);
    EarlyHead::add_on_refusal(request.extensions(), on_refusal(&runs.process, &record));
    let (starter, answer) = oneshot::channel();
    let call = producer.within_call(|| service.call(request));
    drop(service);
    let stage = CallStage::Calling { call, starter: Some(starter) };
    spawn(RunTask::new(producer, stage, Some(guard)));
    match answer.await {
        Ok(Answer::Stream(mut parts)) => {
            make_event_stream(&mut parts.headers);
            allow_chunks(&mut parts.version);
            parts.extensions.insert(on_refusal(&runs.process, &record));
            Ok(Response::from_parts(parts, answer::events_of(reader, awaited)))
        }
        Ok(Answer::Other(answer, guard)) => Err((answer, guard)),
        Ok(Answer::Panic(panic)) => resume_unwind(ManuallyDrop::into_inner(panic)),
        // The run ended before the call had an answer.
        Err(_) => Ok(ended_before_answer(reader, &requester)),
    }
}

/// An answer of the service that isn't recorded, and the guard of the call's `Disconnect`, if any.
pub(super) type Other<R, E> = (Result<Response<R>, E>, Option<DisconnectGuard>);

enum Action {
    Answer(Response<SseBody>),
    Start(Producer, Reader),
}

fn ended_before_answer(reader: Reader, requester: &Requester) -> Response<SseBody> {
    // A task that is dropped reports its end to the waiting request first.
    let outcome = reader.record.phase().outcome().unwrap_or(Outcome::Interrupted);
    answer::nothing_left(Some(reader), Some(outcome), requester)
}

/// Frees the key if the request is dropped, or its service fails, before the call.
struct Uncalled<'p>(&'p Producer);

impl Drop for Uncalled<'_> {
    fn drop(&mut self) {
        self.0.void();
    }
}

/// Answers the request from an existing run, or claims the key for a new run. Calls `wait` before
/// it waits for another request's call.
async fn find(runs: &Runs, key: &RunKey, requester: &Requester, mut wait: impl FnMut()) -> Action {
    let last = requester.last.as_ref();
    // Kept until the end, because the request also waits between two claims.
    let mut _awaited = None;
    loop {
        let record = match runs.claim(key, last, Purpose::Attach).await {
            Err(error) => return Action::Answer(error.answer_to(requester)),
            Ok(Claim::Existing(record)) => record,
            Ok(Claim::New(producer)) => match producer.record.attach(None) {
                Ok(reader) => match producer.record.phase() {
                    Phase::Starting => return Action::Start(producer, reader),
                    Phase::Ended(Outcome::Cancelled) => {
                        return Action::Answer(ended_before_answer(reader, requester));
                    }
                    _ => continue,
                },
                // The run is already forgotten, for example because another request replaced it.
                Err(_) => continue,
            },
        };
        // Since the claim, the run has ended without completing, or its call returned no stream.
        if last.is_none() && !record.phase().is_usable() {
            continue;
        }
        _awaited = requester.await_run(&record);
        if record.phase() == Phase::Starting {
            wait();
        }
        if let Some(answer) = answer::answer(&record, requester).await {
            return Action::Answer(answer);
        }
    }
}

pub(super) fn pass<B: Body, E>((answer, guard): Other<B, E>) -> Result<Response<SseBody<B>>, E> {
    answer.map(|response| match guard.filter(|_| has_body(response.status())) {
        // Dropping the body fires the `Disconnect`.
        Some(guard) => response.map(|body| SseBody::tracked(body, guard)),
        None => response.map(SseBody::pass_through),
    })
}
