use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::{any::Any, future::Future, mem::ManuallyDrop, sync::Arc};

use bytes::Bytes;
use http::{Response, StatusCode, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tokio::task::coop;
use tokio::time::{Sleep, sleep_until};

use crate::exchange::{EarlyHead, LateEnd, disown};
use crate::headers::{has_content_coding, is_event_stream};
use crate::runs::process::{PANICKED, Producer};
use crate::runs::record::{Appended, Cutter};
use crate::signals::{is_refusal, within_call, within_recorder};
use crate::{BoxError, callback::without_panic, connection::DisconnectGuard, coop::CoopBudget};
use crate::{history::MemoryShare, options::StreamOptions, runs::Outcome, runs::outcome::Failure};

pin_project! {
    pub(crate) struct RunTask<F, B, E> {
        #[pin]
        stage: CallStage<F, B, E>,
        recorder: Recorder,
        // Boxed, because the entry of a timer is large.
        abandonment: Option<Pin<Box<Sleep>>>,
        disconnect: Option<DisconnectGuard>,
        // The last field: dropping the task drops the source before the producer reports the end.
        producer: Producer,
    }
}

pin_project! {
    #[project = CallStageProj]
    pub(super) enum CallStage<F, B, E> {
        Calling {
            #[pin]
            call: F,
            starter: Option<oneshot::Sender<Answer<B, E>>>,
        },
        Recording {
            #[pin]
            body: B,
        },
    }
}

impl<F, B, E> RunTask<F, B, E> {
    pub(super) fn new(
        producer: Producer,
        stage: CallStage<F, B, E>,
        disconnect: Option<DisconnectGuard>,
    ) -> Self {
        Self { stage, recorder: Recorder::new(&producer), abandonment: None, disconnect, producer }
    }
}

impl<F, B, E> Future for RunTask<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.producer.is_over(cx) || self.as_mut().poll_abandonment(cx).is_ready() {
            return Poll::Ready(());
        }
        self.poll_stage(cx)
    }
}

impl<F, B, E> RunTask<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
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
            let Some(due) = this.producer.abandon_if_due() else {
                return Poll::Ready(());
            };
            let mut timer = Box::pin(sleep_until(due));
            // Without budget, the timer would be pending but not registered, so it would never
            // elapse.
            if pin!(coop::unconstrained(timer.as_mut())).poll(cx).is_pending() {
                *this.abandonment = Some(timer);
                return Poll::Pending;
            }
        }
    }

    fn poll_stage(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let this = self.as_mut().project();
            match this.stage.project() {
                CallStageProj::Calling { call, starter } => {
                    let polled = catch_unwind(AssertUnwindSafe(|| within_call(|| call.poll(cx))));
                    let answer = ready!(match polled {
                        Ok(answer) => answer.map(Ok),
                        Err(panic) => Poll::Ready(Err(panic)),
                    });
                    let starter = starter.take();
                    let accept = |starter| self.as_mut().accept(answer, starter);
                    let Some(body) = starter.and_then(accept) else {
                        return Poll::Ready(());
                    };
                    self.as_mut().project().stage.set(CallStage::Recording { body });
                }
                CallStageProj::Recording { body } => {
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
            }
        }
    }

    /// Returns the body if the answer [can be recorded](is_recordable) and the run isn't over.
    fn accept(
        self: Pin<&mut Self>,
        answer: Result<Result<Response<B>, E>, Box<dyn Any + Send>>,
        starter: oneshot::Sender<Answer<B, E>>,
    ) -> Option<B> {
        let this = self.project();
        let answer = match answer {
            Ok(Ok(response)) if is_recordable(&response) => {
                let (mut parts, body) = response.into_parts();
                this.recorder.head = disown(&mut parts.extensions);
                let options = parts.extensions.get().map(StreamOptions::for_other_clients);
                if !this.producer.begin(options) {
                    return None;
                }
                // The waker of the waiting request may panic, but other clients read the run too.
                _ = without_panic(|| starter.send(Answer::Stream(parts)));
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
        _ = without_panic(|| starter.send(answer));
        None
    }
}

pub(crate) enum Answer<B, E> {
    Stream(Parts),
    /// Any other answer, and the guard of the call's `Disconnect`, if there is one.
    Other(Result<Response<B>, E>, Option<DisconnectGuard>),
    /// The payload of a panic. Leaked if no client receives it: dropping it could panic again.
    Panic(ManuallyDrop<Box<dyn Any + Send>>),
}

/// Returns whether the events of a response can be recorded. With a content coding, they would have
/// to be decoded. A recorded refusal would pass for a complete answer.
fn is_recordable<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::OK
        && is_event_stream(response.status(), response.headers())
        && !has_content_coding(response.headers())
        && !is_refusal(response.extensions())
}

#[derive(Debug)]
struct Recorder {
    cutter: Cutter,
    /// The bytes of the last frame that are not recorded yet.
    bytes: Bytes,
    memory: MemoryShare,
    budget: CoopBudget,
    /// Set if the response's head was sent before the service answered.
    head: Option<EarlyHead>,
}

impl Recorder {
    fn new(producer: &Producer) -> Self {
        Self {
            cutter: Cutter::default(),
            bytes: Bytes::new(),
            memory: MemoryShare::new(Arc::clone(&producer.process.counters.memory)),
            budget: CoopBudget::default(),
            head: None,
        }
    }

    /// Records the body. Returns `Pending` while the body is pending or the record is full of
    /// unread events, and to let other tasks run.
    fn poll<B>(
        &mut self,
        mut body: Pin<&mut B>,
        producer: &Producer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        loop {
            if !self.bytes.is_empty() || self.cutter.is_complete() {
                match self.append(producer, cx) {
                    Appended::All => {}
                    Appended::Some => ready!(CoopBudget::poll_ready(cx)),
                    Appended::Full => return Poll::Pending,
                    Appended::Over => return Poll::Ready(Ok(())),
                    Appended::TooLarge => {
                        let limit = producer.record.max_event();
                        let text = format!("an event is larger than {limit} bytes");
                        warn!("a run failed: {text}");
                        return Poll::Ready(Err(text.into()));
                    }
                }
                continue;
            }
            ready!(CoopBudget::poll_ready(cx));
            match within_recorder(|| body.as_mut().poll_frame(cx)) {
                Poll::Pending => {
                    self.cutter.shrink();
                    self.memory.set(self.cutter.memory());
                    return Poll::Pending;
                }
                Poll::Ready(None) => {
                    let end = self.head.as_ref().map(EarlyHead::end);
                    let Some(LateEnd::Stopped(stopped)) = end else { return Poll::Ready(Ok(())) };
                    return Poll::Ready(Err(Failure::of(stopped.into())));
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Failure::of(error.into())));
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => self.bytes = bytes,
                    // Trailers are dropped: they are not part of an event stream.
                    Ok(_) | Err(_) => ready!(self.budget.poll_empty(cx)),
                },
            }
        }
    }

    fn append(&mut self, producer: &Producer, cx: &mut Context<'_>) -> Appended {
        let before = self.bytes.len();
        let appended = producer.record.append(&mut self.cutter, &mut self.bytes);
        self.budget.spend(cx, before - self.bytes.len());
        if self.bytes.is_empty() {
            // An empty slice would keep its frame's memory.
            self.bytes = Bytes::new();
        }
        self.memory.set(self.cutter.memory());
        producer.mark();
        producer.process.make_room(0);
        appended
    }
}

#[cfg(not(any(tower_sse_loom, tower_sse_simulation)))]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    // The task, and the drop of its source, log in the span of the request that starts the run.
    #[cfg(feature = "tracing")]
    let task = tracing::Instrument::in_current_span(task);
    tokio::spawn(task);
}

#[cfg(tower_sse_simulation)]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    crate::simulation::spawn(task);
}

/// Runs a task on a thread of its own, because loom has no runtime.
#[cfg(tower_sse_loom)]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    loom::thread::spawn(move || loom::future::block_on(task));
}
