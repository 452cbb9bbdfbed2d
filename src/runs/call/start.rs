use std::future::{Future, Pending};
use std::{convert::Infallible, mem::ManuallyDrop, panic::resume_unwind, sync::Arc};

use futures_core::Stream;
use http::{Response, request::Parts};
use tokio::sync::oneshot;

use super::task::{Answer, CallStage, RunTask, spawn};
use crate::runs::process::{Claim, Producer, Purpose};
use crate::runs::record::{NoEvents, Phase};
use crate::runs::{Outcome, Run, RunKey, Runs, StartError};
use crate::runs::{answer::Requester, run::on_refusal};
use crate::{body::EventBody, event::Encode, exchange::EarlyHead, layer::response};

/// A closure without arguments that returns the stream of a run. Use it as the bound of functions
/// that start runs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function that returns a stream of events",
    label = "not the source of a run",
    note = "pass a closure that returns the stream, which is called only if a run is started: \
            `|| stream`",
    note = "a source that must await before it has a stream, such as a request to an upstream, is \
            for `Runs::start_with`, which takes `|| async {{ Result<Stream, Response> }}`"
)]
pub trait RunSource: FnOnce() -> Self::Stream {
    /// The stream whose events are recorded.
    type Stream: Stream;
}

// Without this attribute, the compiler would report that `FnOnce` or `Stream` is not implemented.
#[diagnostic::do_not_recommend]
impl<F: FnOnce() -> S, S: Stream> RunSource for F {
    type Stream = S;
}

impl Runs {
    /// Returns the run with this key if it's starting or running, or has ended and is still kept.
    /// Inside the [layer](Self::layer), a handler can get its own run, for example to
    /// [store](crate::runs#storing-answers) the answer.
    ///
    /// Returns `None` otherwise, and if the run can't be [found or
    /// loaded](StartError::Unavailable). While the [store](crate::runs#several-processes) can't be
    /// reached, returns the run only if it's starting or running in this process.
    pub async fn get(&self, key: &RunKey) -> Option<Run> {
        let record = self.find(key, None).await.ok().flatten()?;
        // The outcome of another process's run is known once the run's last events are loaded.
        let is_loaded = self.ask(|shared| shared.is_loaded(&record), |_| true).await;
        is_loaded.then(|| Run::found(self.clone(), record))
    }

    /// Returns the run with this key if it's running, or has completed and is still kept.
    /// Otherwise, starts a run that records the stream of `source`.
    ///
    /// In a handler, pass the request's head, and return the response from [`Run::answer`]. Without
    /// a request, pass `None`. If no client attaches in time, the run is
    /// [abandoned](crate::runs::RunsBuilder::abandon_after).
    ///
    /// ```
    /// use axum::response::{IntoResponse, Response};
    /// use futures_util::{Stream, stream};
    /// use http::request::Parts;
    /// use tower_sse::{Event, runs::{RunKey, Runs}};
    ///
    /// fn tokens() -> impl Stream<Item = Event> + Send + 'static {
    ///     stream::iter(["Hel", "lo"].map(Event::from))
    /// }
    ///
    /// async fn chat(runs: Runs, key: RunKey, parts: Parts) -> Response {
    ///     match runs.start(&key, &parts, tokens).await {
    ///         Ok(run) => run.answer(&parts).await.into_response(),
    ///         Err(error) => error.answer(&parts).into_response(),
    ///     }
    /// }
    /// ```
    ///
    /// `source` is called only if a run is started. Its stream is polled on a task of its own, even
    /// without a client. If you must await something first, use [`start_with`](Self::start_with).
    ///
    /// A request with a last event id never starts a run. It gets the run with this key, even a
    /// failed one, or an error such as [`NotFound`](StartError::NotFound).
    ///
    /// This method waits while the [layer](Self::layer) or a [`start_with`](Self::start_with) call
    /// is still starting the key's run. A request with a last event id doesn't wait. Inside the
    /// layer, don't pass the key of the handler's own request: the handler would wait for itself.
    ///
    /// # Errors
    ///
    /// Returns a [`StartError`] if the run can be neither found nor started.
    ///
    /// # Panics
    ///
    /// Panics if it starts a run outside a tokio runtime. If `source` panics, the panic propagates,
    /// and the key is free again.
    ///
    /// # Cancel safety
    ///
    /// If you drop the future before it's ready, no run is started.
    pub async fn start<'p, F>(
        &self,
        key: &RunKey,
        request: impl Into<Option<&'p Parts>>,
        source: F,
    ) -> Result<Run, StartError>
    where
        F: RunSource<Stream: Stream<Item: Encode> + Send + 'static>,
    {
        let request = request.into();
        let claim = self.claim_to_start(key, request).await?;
        Ok(self.record(claim, source, request))
    }

    /// Starts a run that records the stream of `source`, and cancels the key's previous run, if
    /// any.
    ///
    /// Use this method if successive answers, such as a chat's turns, share a key. [Runs without
    /// the layer](crate::runs#runs-without-the-layer) has an example.
    ///
    /// A request with a last event id neither starts nor cancels a run. It gets the run with this
    /// key, or an error such as [`NotFound`](StartError::NotFound).
    ///
    /// A client that disconnects before its first event has no id, so its repeated request starts
    /// the turn again. To avoid that, call [`start`](Self::start) with a key that names the turn.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`start`](Self::start). If the previous run is running in this
    /// process, it doesn't count towards the limits. If the error is
    /// [`Unavailable`](StartError::Unavailable), the previous run may have been cancelled. After
    /// any other error, the previous run continues.
    ///
    /// # Panics
    ///
    /// The same as for [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// Without a store, the first poll starts the run. With a
    /// [store](crate::runs#several-processes), if you drop the future after its first poll, the
    /// previous run may be cancelled although no new run starts.
    pub async fn replace<'p, F>(
        &self,
        key: &RunKey,
        request: impl Into<Option<&'p Parts>>,
        source: F,
    ) -> Result<Run, StartError>
    where
        F: RunSource<Stream: Stream<Item: Encode> + Send + 'static>,
    {
        let request: Option<&Parts> = request.into();
        let last = request.and_then(|parts| Requester::of_parts(parts).last);
        let claim = self.claim(key, last.as_ref(), Purpose::Replace).await?;
        self.end_if_refused(request, &claim);
        Ok(self.record(claim, source, request))
    }

    async fn claim_to_start(
        &self,
        key: &RunKey,
        request: Option<&Parts>,
    ) -> Result<Claim, StartError> {
        let requester = request.map(Requester::of_parts);
        let last = requester.as_ref().and_then(|requester| requester.last.as_ref());
        // Kept until the end, because the request also waits between two claims.
        let mut _awaited = None;
        loop {
            let record = match self.claim(key, last, Purpose::Attach).await? {
                Claim::Existing(record) => record,
                new => {
                    self.end_if_refused(request, &new);
                    return Ok(new);
                }
            };
            _awaited = requester.as_ref().and_then(|requester| requester.await_run(&record));
            if last.is_some() || !matches!(record.phase(), Phase::Starting | Phase::Void) {
                return Ok(Claim::Existing(record));
            }
            // Waits, then claims again if the run's call has returned something other than an event
            // stream.
            if let Ok(reader) = record.attach(None) {
                match reader.started().await {
                    Ok(()) if record.phase().is_usable() && !record.is_forgotten() => {
                        return Ok(Claim::Existing(record));
                    }
                    Err(NoEvents::AllSeen(Outcome::Cancelled)) => {
                        return Ok(Claim::Existing(record));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Makes a new run end if a layer refuses the request's early head while the run has no client.
    fn end_if_refused(&self, request: Option<&Parts>, claim: &Claim) {
        if let (Some(parts), Claim::New(producer)) = (request, claim) {
            let on_refusal = on_refusal(&self.process, &producer.record);
            EarlyHead::add_on_refusal(&parts.extensions, on_refusal);
        }
    }

    fn record<F, S>(&self, claim: Claim, source: F, request: Option<&Parts>) -> Run
    where
        F: FnOnce() -> S,
        S: Stream<Item: Encode> + Send + 'static,
    {
        let producer = match claim {
            Claim::New(producer) => producer,
            Claim::Existing(record) => return Run::new(self.clone(), record, false, request),
        };
        let record = Arc::clone(&producer.record);
        let source = producer.within_call(source);
        producer.begin(None);
        let task: RunTask<Pending<Result<Response<_>, Infallible>>, _, _> =
            RunTask::new(producer, CallStage::Recording { body: EventBody::new(source) }, None);
        spawn(task);
        Run::new(self.clone(), record, true, request)
    }
}

impl Runs {
    /// Returns the run with this key, or starts one, as [`start`](Self::start) does. The future
    /// that `call` returns resolves to the stream to record, or to an `Err` with a response, such
    /// as a model's `429`.
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
    /// The future of `call` runs on the run's task, so it continues if the client disconnects.
    ///
    /// An `Err` goes only to the caller that started the run, and the key is free again. Requests
    /// that were waiting for this run try to start one themselves, and an [`answer`](Self::answer)
    /// call that was waiting for it returns `None`.
    ///
    /// If the run ends before the future of `call` is ready, the caller gets the ended run.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`start`](Self::start). An `Err` from `call` becomes
    /// `Ok(Err(_))`.
    ///
    /// # Panics
    ///
    /// Panics if it starts a run outside a tokio runtime. If `call` or its future panics, the panic
    /// propagates, and the key is free again.
    ///
    /// # Cancel safety
    ///
    /// If you drop the future after it has started a run, the run continues.
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
        let request = request.into();
        Ok(match self.claim_to_start(key, request).await? {
            Claim::New(producer) => self.call(producer, call, request).await,
            Claim::Existing(record) => Ok(Run::new(self.clone(), record, false, request)),
        })
    }

    async fn call<C, F, S, R>(
        &self,
        producer: Producer,
        call: C,
        request: Option<&Parts>,
    ) -> Result<Run, R>
    where
        C: FnOnce() -> F,
        F: Future<Output = Result<S, R>> + Send + 'static,
        S: Stream<Item: Encode> + Send + 'static,
        R: Send + 'static,
    {
        let run = Run::new(self.clone(), Arc::clone(&producer.record), true, request);
        // This reader attaches the waiting client, so the run isn't abandoned during the wait.
        let reader = run.record.attach(None);
        let call = producer.within_call(call);
        let call = async { call.await.map(response) };
        let (starter, answer) = oneshot::channel();
        let stage = CallStage::Calling { call, starter: Some(starter) };
        spawn(RunTask::new(producer, stage, None));
        let answer = answer.await;
        drop(reader);
        match answer {
            Ok(Answer::Other(Err(other), _)) => Err(other),
            Ok(Answer::Panic(panic)) => resume_unwind(ManuallyDrop::into_inner(panic)),
            // If there is no answer, the run ended before the call answered.
            Ok(Answer::Stream(_) | Answer::Other(Ok(_), _)) | Err(_) => Ok(run),
        }
    }
}
