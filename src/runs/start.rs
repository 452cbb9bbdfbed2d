use std::{convert::Infallible, future::Pending, sync::Arc};

use futures_core::Stream;
use http::Response;

use super::{
    Run, RunKey, Runs, StartError, producer::Producer, reader::Attached, shared::Claim,
    state::Phase, task::RunTask,
};
use crate::{body::EventBody, event::Encode};

impl Runs {
    /// Returns the run with this key if it is running or has completed. Otherwise, starts a run
    /// that records the stream of `source`. If a call through the layer has not answered yet, waits
    /// for the answer.
    ///
    /// `source` is called at most once, and only if a run is started. The stream is polled on a
    /// task of its own, whether or not a client is attached.
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
    ///     match runs.start(&key, tokens).await {
    ///         Ok(run) => run.answer(&parts).await.into_response(),
    ///         Err(error) => error.answer(&parts).into_response(),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if a run would have to be started while a limit of running runs is reached,
    /// or during a shutdown.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime. A panic of `source` propagates, and the key is free again.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it has started a run, the run continues.
    pub async fn start<F, S>(&self, key: &RunKey, source: F) -> Result<Run, StartError>
    where
        F: FnOnce() -> S,
        S: Stream<Item: Encode> + Send + 'static,
    {
        loop {
            let record = match self.shared.claim(key)? {
                Claim::New(producer) => return Ok(self.record(producer, source)),
                Claim::Existing(record) => record,
            };
            if record.phase() != Phase::Starting {
                return Ok(Run::new(Arc::clone(&self.shared), record, false));
            }
            // A call through the layer may still return something else than an event stream.
            if let Attached::Starting(reader) = record.attach(None) {
                _ = reader.started().await;
            }
        }
    }

    /// Starts a run that records the stream of `source`, and cancels the run with this key if there
    /// is one.
    ///
    /// Use it for keys that name more than one answer, such as a whole chat, in which each turn
    /// replaces the previous one.
    ///
    /// # Errors
    ///
    /// Returns an error if a limit of running runs is reached, or during a shutdown. During a
    /// shutdown, the existing run continues.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime. A panic of `source` propagates, and the key is free again.
    ///
    /// # Cancel safety
    ///
    /// The run is started at the first poll. If the future is dropped before that, nothing happens.
    pub async fn replace<F, S>(&self, key: &RunKey, source: F) -> Result<Run, StartError>
    where
        F: FnOnce() -> S,
        S: Stream<Item: Encode> + Send + 'static,
    {
        let producer = self.shared.replace(key)?;
        Ok(self.record(producer, source))
    }

    fn record<F, S>(&self, producer: Producer, source: F) -> Run
    where
        F: FnOnce() -> S,
        S: Stream<Item: Encode> + Send + 'static,
    {
        let record = Arc::clone(&producer.record);
        let source = producer.within_call(source);
        producer.begin(None);
        let task: RunTask<Pending<Result<Response<_>, Infallible>>, _, _> =
            RunTask::record(producer, EventBody::new(source));
        spawn(task);
        Run::new(Arc::clone(&self.shared), record, true)
    }
}

/// Runs the task of a run.
#[cfg(not(tower_sse_loom))]
pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// Runs the task of a run on a thread of its own, because loom has no runtime.
#[cfg(tower_sse_loom)]
pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    loom::thread::spawn(move || loom::future::block_on(task));
}
