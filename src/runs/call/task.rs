use std::{
    any::Any,
    future::Future,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep_until},
};

use super::{
    answer::{Answer, is_recordable},
    recorder::Recorder,
    span::Span,
};
use crate::{
    BoxError,
    callback::without_panic,
    connection::DisconnectGuard,
    options::StreamOptions,
    runs::{
        Outcome,
        process::{PANICKED, Producer},
    },
    signals::{disown, within_recorder},
};

pin_project! {
    /// The task of one run: it awaits the call, and records the answer until the run is over.
    pub(crate) struct RunTask<F, B, E> {
        #[pin]
        stage: Stage<F, B, E>,
        recorder: Recorder,
        // Boxed, because the entry of a timer is large.
        abandonment: Option<Pin<Box<Sleep>>>,
        disconnect: Option<DisconnectGuard>,
        span: Span,
        // The last field, so that dropping the task drops the source before the producer reports
        // the end.
        producer: Producer,
    }
}

pin_project! {
    #[project = StageProj]
    pub(super) enum Stage<F, B, E> {
        // The answer is sent to the `starter`.
        Calling {
            #[pin]
            call: F,
            starter: Option<oneshot::Sender<Answer<B, E>>>,
        },
        Recording {
            #[pin]
            body: B,
        },
        Over,
    }
}

impl<F, B, E> RunTask<F, B, E> {
    pub(super) fn new(
        producer: Producer,
        stage: Stage<F, B, E>,
        disconnect: Option<DisconnectGuard>,
    ) -> Self {
        Self {
            stage,
            recorder: Recorder::new(&producer),
            abandonment: None,
            disconnect,
            span: Span::current(),
            producer,
        }
    }
}

impl<F, B, E> Future for RunTask<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let span = self.span.clone();
        span.within(|| self.poll_within(cx))
    }
}

impl<F, B, E> RunTask<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Polls the call or the recorder. The caller has entered the span of the request.
    fn poll_within(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.producer.is_over(cx) && self.as_mut().poll_abandonment(cx).is_pending() {
            ready!(self.as_mut().poll_stage(cx));
        }
        let mut this = self.project();
        if let (Some(guard), Some(outcome)) =
            (this.disconnect.as_mut(), this.producer.record.phase().outcome())
        {
            guard.reason = outcome.close_reason();
        }
        // Drop the source within the span: its drop may log.
        this.stage.set(Stage::Over);
        *this.disconnect = None;
        Poll::Ready(())
    }

    /// Returns `Ready` once the run is abandoned or has reached its maximum duration.
    fn poll_abandonment(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // loom has no timers.
        if cfg!(tower_sse_loom) {
            return Poll::Pending;
        }
        let this = self.project();
        loop {
            // The timer has been polled, so it will wake the task.
            if this.abandonment.as_ref().is_some_and(|timer| !timer.is_elapsed()) {
                return Poll::Pending;
            }
            let Some(due) = this.producer.end_if_due() else {
                return Poll::Ready(());
            };
            let mut timer = Box::pin(sleep_until(due));
            if timer.as_mut().poll(cx).is_pending() {
                *this.abandonment = Some(timer);
                return Poll::Pending;
            }
        }
    }

    /// Returns `Ready` once the run is over.
    fn poll_stage(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let this = self.as_mut().project();
            match this.stage.project() {
                StageProj::Calling { call, starter } => {
                    let polled =
                        catch_unwind(AssertUnwindSafe(|| within_recorder(|| call.poll(cx))));
                    let answer = ready!(match polled {
                        Ok(answer) => answer.map(Ok),
                        Err(panic) => Poll::Ready(Err(panic)),
                    });
                    let starter = starter.take();
                    let accept = |starter| self.as_mut().accept(answer, starter);
                    let Some(body) = starter.and_then(accept) else {
                        return Poll::Ready(());
                    };
                    self.as_mut().project().stage.set(Stage::Recording { body });
                }
                StageProj::Recording { body } => {
                    let (recorder, producer) = (this.recorder, &*this.producer);
                    let poll = || recorder.poll(body, producer, cx);
                    match without_panic(poll) {
                        Some(Poll::Pending) => return Poll::Pending,
                        Some(Poll::Ready(Ok(()))) => {
                            producer.process.end(&producer.record, Outcome::Completed, None);
                        }
                        Some(Poll::Ready(Err(failure))) => producer.fail(failure),
                        None => producer.fail(PANICKED.into()),
                    }
                    return Poll::Ready(());
                }
                StageProj::Over => return Poll::Ready(()),
            }
        }
    }

    /// Sends the answer to the starter. If it is an event stream, returns the body to record.
    fn accept(
        self: Pin<&mut Self>,
        answer: Result<Result<Response<B>, E>, Box<dyn Any + Send>>,
        starter: oneshot::Sender<Answer<B, E>>,
    ) -> Option<B> {
        let this = self.project();
        let answer = match answer {
            Ok(Ok(response)) if is_recordable(&response) => {
                let (mut parts, body) = response.into_parts();
                disown(&mut parts.extensions);
                let options = parts.extensions.get().map(StreamOptions::for_other_clients);
                if !this.producer.begin(options) {
                    return None;
                }
                _ = starter.send(Answer::Stream(parts));
                return Some(body);
            }
            Ok(answer) => {
                this.producer.void();
                Answer::Other(answer, this.disconnect.take())
            }
            Err(panic) => {
                this.producer.fail_call();
                Answer::Panic(ManuallyDrop::new(panic))
            }
        };
        _ = starter.send(answer);
        None
    }
}
