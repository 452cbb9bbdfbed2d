use std::{future::Future, mem::ManuallyDrop, panic::resume_unwind, sync::Arc};

use futures_core::Stream;
use http::request::Parts;
use tokio::sync::oneshot;

use super::{
    answer::Answer,
    task::{RunTask, Stage},
};
use crate::{
    event::Encode,
    layer::response,
    runs::{
        Run, RunKey, Runs, StartError,
        process::{Claim, Producer},
        spawn::spawn,
    },
};

/// Starting runs whose source must wait before it can stream, and may fail before it can.
impl Runs {
    /// Returns the run with this key, or starts one, as [`start`](Self::start) does. `call` returns
    /// a future with the stream to record, or with what the handler answers instead, such as the
    /// `429` of a model.
    ///
    /// ```
    /// use axum::response::{IntoResponse, Response};
    /// use futures_util::{Stream, stream};
    /// use http::{StatusCode, request::Parts};
    /// use tower_sse::{Event, runs::{RunKey, Runs}};
    ///
    /// async fn ask_model() -> Result<impl Stream<Item = Event> + Send, Response> {
    ///     let status = StatusCode::OK; // await the response of the model here
    ///     if !status.is_success() {
    ///         return Err(status.into_response());
    ///     }
    ///     Ok(stream::iter(["Hel", "lo"].map(Event::from)))
    /// }
    ///
    /// async fn chat(runs: Runs, key: RunKey, parts: Parts) -> Response {
    ///     match runs.start_with(&key, &parts, ask_model).await {
    ///         Ok(Ok(run)) => run.answer(&parts).await.into_response(),
    ///         Ok(Err(response)) => response,
    ///         Err(error) => error.answer(&parts).into_response(),
    ///     }
    /// }
    /// # _ = chat;
    /// ```
    ///
    /// - The future runs on the task of the run, so it goes on if this client leaves. Its `Err` is
    ///   returned to the caller that started the run, and dropped if that caller has left.
    /// - An `Err` is not recorded, and the key is free again. Requests that wait for the run then try
    ///   to start it themselves.
    /// - Until the future is ready, the run is starting. It can be cancelled, replaced and
    ///   abandoned like any other. The method then returns the run, and [`Run::answer`] answers
    ///   according to the [table](Self#answers).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`start`](Self::start). What `call` fails with is the inner `Err`.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime. A panic of `call` or of its future propagates, and the key is free
    /// again.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it has started a run, the run continues.
    pub async fn start_with<'p, C, F, S, R>(
        &self,
        key: &RunKey,
        request: impl Into<Option<&'p Parts>>,
        call: C,
    ) -> Result<Result<Run, R>, StartError>
    where
        C: FnOnce() -> F,
        F: Future<Output = Result<S, R>> + Send + 'static,
        S: Stream<Item: Encode> + Send + 'static,
        R: Send + 'static,
    {
        Ok(match self.claim_to_start(key, request.into()).await? {
            Claim::New(producer) => self.call(producer, call).await,
            Claim::Existing(record) => Ok(self.existing(record)),
        })
    }

    /// Makes the call on the task of the run, and waits for what it returns.
    async fn call<C, F, S, R>(&self, producer: Producer, call: C) -> Result<Run, R>
    where
        C: FnOnce() -> F,
        F: Future<Output = Result<S, R>> + Send + 'static,
        S: Stream<Item: Encode> + Send + 'static,
        R: Send + 'static,
    {
        let record = Arc::clone(&producer.record);
        // This reader attaches the waiting client, so that the run is not abandoned during the
        // wait.
        let reader = record.attach(None);
        let call = producer.within_call(call);
        let call = async { call.await.map(response) };
        let (starter, answer) = oneshot::channel();
        let stage = Stage::Calling { call, starter: Some(starter) };
        spawn(RunTask::new(producer, stage, None));
        let answer = answer.await;
        drop(reader);
        match answer {
            Ok(Answer::Other(Err(other), _)) => Err(other),
            Ok(Answer::Panic(panic)) => resume_unwind(ManuallyDrop::into_inner(panic)),
            // If there is no answer, the run ended before the call answered.
            Ok(Answer::Stream(_) | Answer::Other(Ok(_), _)) | Err(_) => {
                Ok(Run::new(self.clone(), record, true))
            }
        }
    }
}
