#[cfg(feature = "hub")]
use std::time::Duration;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    deferred_panic::DeferredPanic,
    frame_batch::{FrameBatch, Pushed},
    release::Release,
    without_layer::warn_without_layer,
};
use crate::{
    BoxError,
    coop::CoopBudget,
    event::Encode,
    signals::{ItemError, is_within_layer},
};

/// How long a server may hold a frame before the next one is sent anyway.
#[cfg(feature = "hub")]
const MAX_RELEASE_WAIT: Duration = Duration::from_secs(60);

pin_project! {
    /// A [`Body`] that encodes a stream of events, batching ready events into frames.
    ///
    /// [`response`](crate::response) returns a response with this body, and
    /// [warns](crate::response#without-a-layer) if it is served without a layer. The body only
    /// encodes events; the [layer](crate::SseLayer) adds heartbeats and its other features.
    ///
    /// No event waits for a batch: a frame ends when no further event is ready or when it is full.
    ///
    /// - The first frame is full at 4 KiB. Frames grow to 16 KiB once the server has released the
    ///   previous one, so a client that reads slowly holds little memory.
    /// - An event that is larger than a frame is sent in one frame.
    /// - An [`Encoded`](crate::Encoded) event of 4 KiB or more is not copied and is sent in a frame
    ///   of its own.
    ///
    /// An item that is an `Err`, or that fails to serialise, fails the body after the events before
    /// it. A panic of the stream propagates after the events before it.
    ///
    /// The body drops the stream as soon as the stream ends or fails.
    pub struct EventBody<S> {
        #[pin]
        stream: Option<S>,
        batch: FrameBatch,
        // Maybe a `DeferredPanic`.
        error: Option<BoxError>,
        budget: CoopBudget,
        // Cleared at the first poll.
        expects_layer: bool,
        // Boxed, because few streams have one.
        release: Option<Box<Release>>,
    }
}

impl<S> EventBody<S> {
    /// Creates a body that sends the events of `stream`.
    ///
    /// The stream is first polled when the body is.
    pub fn new(stream: S) -> Self {
        Self { stream: Some(stream), ..Self::ended() }
    }

    /// Creates a body like [`new`](Self::new) that warns if a server polls it without a layer.
    pub(crate) fn expecting_layer(stream: S) -> Self {
        Self { expects_layer: !is_within_layer(), ..Self::new(stream) }
    }

    /// Creates a body that has already ended.
    pub(crate) fn ended() -> Self {
        Self {
            stream: None,
            batch: FrameBatch::new(),
            error: None,
            budget: CoopBudget::default(),
            expects_layer: false,
            release: None,
        }
    }

    /// Lets the body poll its stream only once the server has written the frame before, so that a
    /// client that stalls does not receive what has been replaced meanwhile.
    #[cfg(feature = "hub")]
    pub(crate) fn with_newest_only(self) -> Self {
        Self { release: Some(Box::new(Release::within(MAX_RELEASE_WAIT))), ..self }
    }
}

impl<S> EventBody<S>
where
    S: Stream<Item: Encode>,
{
    /// Encodes events into the batch until the frame is full or no further event is ready.
    ///
    /// Returns `Pending` while the stream has no event, or until the task has budget again.
    #[inline(always)]
    fn poll_batch(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        while let Some(stream) = this.stream.as_mut().as_pin_mut() {
            let event = match stream.poll_next(cx) {
                Poll::Ready(Some(event)) => event,
                Poll::Ready(None) => {
                    this.batch.shrink();
                    this.stream.set(None);
                    break;
                }
                Poll::Pending => {
                    this.batch.shrink();
                    return Poll::Pending;
                }
            };
            match this.batch.push(event) {
                Ok(Pushed::Room) => {}
                // Only bytes spend budget, so events without bytes are counted.
                Ok(Pushed::Empty) => ready!(this.budget.poll_empty(cx)),
                Ok(Pushed::Full) => break,
                Err(error) => {
                    // Only the layer looks for this mark of the program's errors.
                    let error =
                        if is_within_layer() { ItemError::mark(error) } else { error.into() };
                    *this.error = Some(error);
                    this.stream.set(None);
                    break;
                }
            }
        }
        Poll::Ready(())
    }
}

impl<S> Body for EventBody<S>
where
    S: Stream<Item: Encode>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.as_mut().project();
        if *this.expects_layer {
            *this.expects_layer = false;
            warn_without_layer();
        }
        if this.batch.has_uncopied() || this.stream.is_some() {
            ready!(CoopBudget::poll_ready(cx));
        }
        // Once the stream has ended, no later frame can be newer.
        if let Some(release) = this.release
            && this.stream.is_some()
        {
            ready!(release.poll_released(cx));
        }
        if let Some(bytes) = this.batch.take_uncopied() {
            this.budget.spend(cx, bytes.len());
            return Poll::Ready(Some(Ok(Frame::data(tracked(this.release, bytes)))));
        }
        if let Some(error) = this.error.take() {
            return Poll::Ready(Some(Err(DeferredPanic::resume(error))));
        }
        if this.stream.is_none() {
            return Poll::Ready(None);
        }

        let polled = catch_unwind(AssertUnwindSafe(|| self.as_mut().poll_batch(cx)));
        let this = self.project();
        let polled = polled.unwrap_or_else(|panic| {
            *this.error = Some(DeferredPanic::new(panic).into());
            Poll::Ready(())
        });
        if let Some(bytes) = this.batch.take_frame() {
            this.budget.spend(cx, bytes.len());
            return Poll::Ready(Some(Ok(Frame::data(tracked(this.release, bytes)))));
        }
        ready!(polled);
        Poll::Ready(this.error.take().map(|error| Err(DeferredPanic::resume(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none() && self.error.is_none() && !self.batch.has_uncopied()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

#[inline]
fn tracked(release: &mut Option<Box<Release>>, frame: Bytes) -> Bytes {
    match release {
        Some(release) => release.track(frame),
        None => frame,
    }
}

opaque_debug!(EventBody<S>);
