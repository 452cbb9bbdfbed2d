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
    producer::{PANICKED, Producer},
    recorder::Recorder,
    span::Span,
};
use crate::{
    BoxError,
    body::within_layer,
    callback::without_panic,
    connection::{CloseReason, DisconnectGuard},
    layer::disown,
    options::StreamOptions,
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
        // Last: if the task is dropped, its source is dropped before the producer reports that.
        producer: Producer,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<F, B, E> {
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
    /// Creates the task of a call, which sends the answer to the `starter`.
    pub(crate) fn call(
        producer: Producer,
        call: F,
        starter: oneshot::Sender<Answer<B, E>>,
        disconnect: DisconnectGuard,
    ) -> Self {
        let stage = Stage::Calling { call, starter: Some(starter) };
        Self::new(producer, stage, Some(disconnect))
    }

    /// Creates the task of a run that already has a body.
    pub(crate) fn record(producer: Producer, body: B) -> Self {
        Self::new(producer, Stage::Recording { body }, None)
    }

    fn new(producer: Producer, stage: Stage<F, B, E>, disconnect: Option<DisconnectGuard>) -> Self {
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
    /// Polls the call or the recorder; called within the span of the request.
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
}

impl<F, B, E> RunTask<F, B, E> {
    /// Returns `Ready` once the run is abandoned or has reached its maximum duration.
    fn poll_abandonment(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // loom has no timers.
        if cfg!(tower_sse_loom) {
            return Poll::Pending;
        }
        let this = self.project();
        loop {
            match this.abandonment {
                // The timer has been polled, so it will wake the task.
                Some(timer) if !timer.is_elapsed() => return Poll::Pending,
                _ => {}
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
}

impl<F, B, E> RunTask<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Returns `Ready` once the run is over.
    fn poll_stage(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut this = self.as_mut().project();
            match this.stage.as_mut().project() {
                StageProj::Calling { call, starter } => {
                    let polled = catch_unwind(AssertUnwindSafe(|| within_layer(|| call.poll(cx))));
                    let answer = match polled {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(answer)) => Ok(answer),
                        Err(panic) => Err(panic),
                    };
                    let starter = starter.take();
                    let Some(body) = self.as_mut().accept(answer, starter) else {
                        return Poll::Ready(());
                    };
                    self.as_mut().project().stage.set(Stage::Recording { body });
                }
                StageProj::Recording { body } => {
                    let (recorder, producer) = (this.recorder, &*this.producer);
                    let poll = || recorder.poll(body, producer, cx);
                    match without_panic(poll) {
                        Some(Poll::Pending) => return Poll::Pending,
                        Some(Poll::Ready(Ok(()))) => producer.complete(),
                        Some(Poll::Ready(Err(error))) => producer.fail(&error),
                        None => {
                            producer.fail(PANICKED);
                            if let Some(guard) = this.disconnect {
                                guard.reason = CloseReason::Panicked;
                            }
                        }
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
        starter: Option<oneshot::Sender<Answer<B, E>>>,
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
                if let Some(starter) = starter {
                    _ = starter.send(Answer::Stream(parts));
                }
                return Some(body);
            }
            Ok(answer) => {
                this.producer.void();
                Answer::Other(answer, this.disconnect.take()?)
            }
            Err(panic) => {
                this.producer.fail_call();
                if let Some(guard) = this.disconnect {
                    guard.reason = CloseReason::Panicked;
                }
                Answer::Panic(ManuallyDrop::new(panic))
            }
        };
        if let Some(starter) = starter {
            _ = starter.send(answer);
        }
        None
    }
}
