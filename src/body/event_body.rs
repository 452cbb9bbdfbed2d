use std::{
    any::type_name,
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::CoopBudget;
use crate::{
    BoxError,
    event::{Encode, EncodeInto, FrameBuf},
};

/// Frames grow to this size while those before were written and let go of.
const LARGE_FRAME: usize = 16 * 1024;
/// The size of a frame while others are still held: hyper keeps up to 16 for a client that reads
/// slowly.
const SMALL_FRAME: usize = 4 * 1024;

pin_project! {
    /// A stream of events as a [`Body`]: the events that are ready leave as one frame.
    ///
    /// It is what [`response`](crate::response) makes. By itself it only encodes; heartbeats and
    /// the rest come from the [layer](crate::SseLayer).
    ///
    /// Nothing waits to be batched: a frame ends as soon as no further event is ready, or at 16 KiB.
    /// While a client reads slowly frames are of 4 KiB, so that little is held for it. An event
    /// encoded before ([`Encoded`](crate::Encoded)) of 4 KiB or more is passed on uncopied, in a
    /// frame of its own.
    ///
    /// An item that is an `Err`, or does not serialise, fails the body, after what was ready before
    /// it. A panic of the stream propagates.
    ///
    /// The stream is dropped as soon as it ends, by itself or by an error.
    pub struct EventBody<S> {
        #[pin]
        stream: Option<S>,
        frame: FrameBuf,
        frame_size: usize,
        // The frame before was cut because it was full, not because no event was ready.
        cut: bool,
        error: Option<BoxError>,
        budget: CoopBudget,
    }
}

impl<S> EventBody<S> {
    /// A body of the events of `stream`, which is not polled before the body is.
    pub fn new(stream: S) -> Self {
        Self { stream: Some(stream), ..Self::ended() }
    }

    /// A body that is at its end.
    pub(crate) fn ended() -> Self {
        Self {
            stream: None,
            frame: FrameBuf::new(),
            frame_size: SMALL_FRAME,
            cut: false,
            error: None,
            budget: CoopBudget::default(),
        }
    }
}

impl<S> Body for EventBody<S>
where
    S: Stream<Item: Encode>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if let Some(bytes) = this.frame.take_uncopied() {
            this.budget.spend(cx, bytes.len());
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if let Some(error) = this.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if this.stream.is_none() {
            return Poll::Ready(None);
        }
        ready!(CoopBudget::poll_ready(cx));

        let mut used_up = mem::take(this.cut);
        let mut pending = false;
        while let Some(stream) = this.stream.as_mut().as_pin_mut() {
            let item = match stream.poll_next(cx) {
                Poll::Ready(Some(item)) => item,
                Poll::Ready(None) => {
                    this.stream.set(None);
                    break;
                }
                Poll::Pending => {
                    pending = true;
                    *this.frame_size = SMALL_FRAME;
                    break;
                }
            };
            if mem::take(&mut used_up) {
                next_buffer(this.frame, this.frame_size);
            }
            if this.frame.has_uncopied() {
                this.frame.copy_first(*this.frame_size);
            }
            let start = this.frame.len();
            if start > 0 && start + this.frame.spare() < *this.frame_size {
                // The first event was given a buffer of its own size; here comes a second.
                this.frame.reserve(*this.frame_size - start);
            }
            if let Err(error) = item.encode(this.frame) {
                this.frame.truncate(start);
                *this.error = Some(error.into());
                this.stream.set(None);
                break;
            }
            if this.frame.has_uncopied() {
                // It goes out as it is, unless another comes that it can share a frame with.
                if this.frame.leaves_room_in(*this.frame_size) {
                    continue;
                }
                break;
            }
            let end = this.frame.len();
            // Events without any field are no bytes, and bytes are what pays for our time.
            if end == start && this.budget.poll_empty(cx).is_pending() {
                pending = true;
                break;
            }
            if end + (end - start) > *this.frame_size {
                // A larger buffer is not kept: it would have room for many frames, and never tell
                // whether they came back.
                *this.cut = end <= LARGE_FRAME;
                break;
            }
        }

        let mut bytes = if *this.cut { this.frame.split() } else { this.frame.take() };
        if bytes.is_empty() {
            match this.frame.take_uncopied() {
                Some(uncopied) => bytes = uncopied,
                None if pending => return Poll::Pending,
                None => return Poll::Ready(this.error.take().map(Err)),
            }
        }
        this.budget.spend(cx, bytes.len());
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none() && self.error.is_none() && !self.frame.has_uncopied()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl<S> fmt::Debug for EventBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBody")
            .field("stream", &format_args!("{}", type_name::<S>()))
            .finish_non_exhaustive()
    }
}

/// Readies the buffer after a frame that was full: a large one if the last has come back, which
/// says that the client keeps up.
fn next_buffer(frame: &mut FrameBuf, frame_size: &mut usize) {
    if !frame.try_reclaim(*frame_size) {
        *frame_size = SMALL_FRAME;
        frame.replace(SMALL_FRAME);
    } else if *frame_size < LARGE_FRAME {
        *frame_size = LARGE_FRAME;
        frame.replace(LARGE_FRAME);
    }
}
