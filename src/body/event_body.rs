use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::Relaxed;
#[cfg(feature = "hub")]
use std::sync::{Arc, OnceLock};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
#[cfg(feature = "hub")]
use std::time::Duration;
use std::{any::Any, pin::Pin, sync::atomic::AtomicBool};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::task;

use super::last_frames::Release;
use crate::event::{Encode, FrameBuf};
#[cfg(feature = "hub")]
use crate::signals::Viewer;
use crate::signals::{ItemError, is_within_body, is_within_layer, is_within_recorder};
use crate::{BoxError, callback::without_panic, coop::CoopBudget};

/// How long a server may hold a frame before the next one is sent anyway.
#[cfg(feature = "hub")]
const MAX_RELEASE_WAIT: Duration = Duration::from_secs(60);

pin_project! {
    /// A [`Body`] that encodes a stream of events, batching ready events into frames.
    ///
    /// [`response`](crate::response) creates a response with such a body. The first body from
    /// `response` that's served without a layer logs a [warning](crate::response#without-a-layer).
    /// A body from [`new`](Self::new) doesn't.
    ///
    /// - No event waits for later events: a frame ends when no further event is ready, or when it's
    ///   full. It's full at about 4 KiB, or at about 16 KiB while the client keeps up.
    /// - This body never splits an event, so a frame that contains a large event can exceed these
    ///   sizes. An [`Encoded`](crate::event::Encoded) event of 4 KiB or more is not copied.
    /// - If an item is an `Err` or fails to serialise, or if the stream panics, the body first
    ///   returns all earlier events. Then it fails or panics. The layer
    ///   [waits](crate::SseLayer::on_error) before it passes on a failure, so that the server can
    ///   write the earlier events. The layer passes on a panic at once.
    /// - The body drops the stream as soon as the stream ends or fails.
    // `repr(C)`: a poll that finds an idle body still idle needs only the fields up to `source`.
    #[repr(C)]
    pub struct EventBody<S> {
        // Whether the last poll found no event. Always `false` if there is a `release`.
        is_idle: bool,
        // Cleared at the first poll.
        expects_layer: bool,
        budget: CoopBudget,
        size: FrameSize,
        #[pin]
        source: Source<S>,
        // Boxed, because few streams need it.
        release: Option<Box<Release>>,
        buffer: FrameBuf,
    }
}

pin_project! {
    #[project = SourceProj]
    #[project_replace = Replaced]
    enum Source<S> {
        Open { #[pin] stream: S },
        // The error, which can be a `DeferredPanic`, comes after all earlier events.
        Failed { error: BoxError },
        Ended,
    }
}

type Polled = Option<Result<Frame<Bytes>, BoxError>>;

impl<S> EventBody<S> {
    /// Creates a body that sends the events of `stream`. `stream` is polled only while a server
    /// polls the body.
    pub fn new(stream: S) -> Self {
        Self { source: Source::Open { stream }, ..Self::default() }
    }

    /// Creates a body like [`new`](Self::new) that warns if a server polls it without a layer.
    pub(crate) fn expecting_layer(stream: S) -> Self {
        Self { expects_layer: !is_within_layer(), ..Self::new(stream) }
    }

    /// Lets the body poll its stream only once the server has dropped the previous frame, or after
    /// [`MAX_RELEASE_WAIT`]. Servers usually write a frame before they drop it, so a stalled client
    /// receives few events that newer events have replaced. A compressor drops it once a comment
    /// line follows. Doesn't apply to long polls: `viewer` is the slot in which the layer describes
    /// the client.
    #[cfg(feature = "hub")]
    pub(crate) fn with_newest_only(self, viewer: Arc<OnceLock<Viewer>>) -> Self {
        let mut release = Release::within(MAX_RELEASE_WAIT);
        release.viewer = Some(viewer);
        Self { release: Some(Box::new(release)), ..self }
    }
}

/// An empty body. Middleware that answers by itself, such as tower-http's `CorsLayer`, sends it.
impl<S> Default for EventBody<S> {
    fn default() -> Self {
        Self {
            is_idle: false,
            expects_layer: false,
            budget: CoopBudget::default(),
            size: FrameSize::default(),
            source: Source::Ended,
            release: None,
            buffer: FrameBuf::new(),
        }
    }
}

impl<S> EventBody<S>
where
    S: Stream<Item: Encode>,
{
    /// Returns the result of this poll, or `None` if the stream may be polled now.
    fn poll_held(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Poll<Polled>> {
        let this = self.project();
        let is_open = matches!(*this.source, Source::Open { .. });
        // A long poll ends when its source is pending. If it ended after only some of the gaps, the
        // client's id would be the same as before, and each poll would get the same gaps.
        // Middleware can poll the body before the layer fills the slot.
        if let Some(release) = this.release
            && let Some(viewer) = release.viewer.as_ref().and_then(|slot| slot.get()).copied()
        {
            release.viewer = None;
            if viewer.max_wait.is_some() {
                *this.release = None;
            }
        }
        // Once the stream has ended, no newer event can replace an event of a held frame.
        if let Some(release) = this.release
            && is_open
        {
            match release.poll_line(cx) {
                Poll::Pending => return Some(Poll::Pending),
                Poll::Ready(Some(line)) => return Some(Poll::Ready(Some(Ok(Frame::data(line))))),
                Poll::Ready(None) => {}
            }
        }
        if let Some(bytes) = this.buffer.take_uncopied() {
            this.budget.spend(cx, bytes.len());
            return Some(Poll::Ready(Some(Ok(Frame::data(tracked(this.release, bytes))))));
        }
        (!is_open).then(|| Poll::Ready(this.source.end().map(Err)))
    }

    /// Encodes events until the frame is full, the stream ends or fails, or no event or budget is
    /// left.
    #[inline(always)]
    fn poll_batch(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let mut is_idle = mem::take(this.is_idle);
        let mut batch = FrameBatch { buffer: this.buffer, size: this.size };
        while let SourceProj::Open { stream } = this.source.as_mut().project() {
            let event = match stream.poll_next(cx) {
                Poll::Ready(Some(event)) => event,
                Poll::Ready(None) => {
                    batch.shrink();
                    this.source.set(Source::Ended);
                    break;
                }
                Poll::Pending => {
                    if !is_idle {
                        batch.shrink();
                    }
                    *this.is_idle = is_idle;
                    return Poll::Pending;
                }
            };
            is_idle = false;
            match batch.push(event) {
                Ok(Pushed::Room) => {}
                // An event without bytes makes no frame that spends budget, so it spends some here.
                Ok(Pushed::Empty) => ready!(this.budget.poll_empty(cx)),
                Ok(Pushed::Full) => break,
                Err(error) => {
                    // A program that reads the body itself gets its own error, without a mark.
                    let error =
                        if is_within_body() { ItemError::mark(error) } else { error.into() };
                    this.source.set(Source::Failed { error });
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
        let is_open = matches!(*this.source, Source::Open { .. });
        if *this.is_idle || is_open || this.buffer.has_uncopied() {
            ready!(CoopBudget::poll_ready(cx));
        }
        if !*this.is_idle
            && let Some(polled) = self.as_mut().poll_held(cx)
        {
            return polled;
        }
        let polled = catch_unwind(AssertUnwindSafe(|| self.as_mut().poll_batch(cx)));
        let mut this = self.project();
        if *this.is_idle {
            return Poll::Pending;
        }
        let polled = polled.unwrap_or_else(|panic| {
            let error = DeferredPanic::new(panic).into();
            // Dropping a stream that panicked can panic again.
            _ = without_panic(|| this.source.set(Source::Failed { error }));
            Poll::Ready(())
        });
        if let Some(bytes) = (FrameBatch { buffer: this.buffer, size: this.size }).take_frame() {
            this.budget.spend(cx, bytes.len());
            return Poll::Ready(Some(Ok(Frame::data(tracked(this.release, bytes)))));
        }
        if polled.is_pending() {
            *this.is_idle = this.release.is_none();
            return Poll::Pending;
        }
        Poll::Ready(this.source.end().map(Err))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Ended) && !self.buffer.has_uncopied()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl<S> Source<S> {
    /// Ends the source. If the source failed, returns its error, or resumes the panic that the
    /// error holds.
    fn end(self: Pin<&mut Self>) -> Option<BoxError> {
        let Replaced::Failed { error } = self.project_replace(Self::Ended) else { return None };
        Some(DeferredPanic::resume(error))
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

/// The frame size while the client keeps up, in bytes.
const LARGE_FRAME: usize = 16 * 1024;
/// The frame size until the client is known to keep up, in bytes. Over HTTP/1, hyper holds up to 16
/// frames for a slow client.
const SMALL_FRAME: usize = 4 * 1024;
/// The capacity in bytes up to which a recorded body keeps its buffer, even while it is idle.
const KEPT_CAPACITY: usize = 256;

/// What decides the next frame's size.
#[derive(Default)]
struct FrameSize {
    /// Whether the client keeps up, so that frames are large.
    is_large: bool,
    /// Whether the last frame was full and its buffer is kept for the next frame.
    is_full: bool,
}

/// The events that leave together as the next frame of an [`EventBody`].
struct FrameBatch<'b> {
    buffer: &'b mut FrameBuf,
    size: &'b mut FrameSize,
}

/// An event that is being encoded. Dropping this removes the bytes of an event that failed.
struct Incomplete<'b> {
    buffer: &'b mut FrameBuf,
    start: usize,
}

impl Drop for Incomplete<'_> {
    fn drop(&mut self) {
        self.buffer.bytes.truncate(self.start);
    }
}

pub(super) enum Pushed {
    Room,
    Empty,
    Full,
}

impl FrameBatch<'_> {
    const fn frame_size(&self) -> usize {
        if self.size.is_large { LARGE_FRAME } else { SMALL_FRAME }
    }

    // Inlined into the loop that polls the stream, so that the event is encoded without a call.
    #[inline(always)]
    fn push<T: Encode>(&mut self, event: T) -> Result<Pushed, T::Error> {
        let mut start = self.buffer.bytes.len();
        if start == 0 {
            if self.size.is_full {
                self.renew_buffer();
            }
            if self.buffer.has_uncopied() {
                self.buffer.copy_first(self.frame_size());
                start = self.buffer.bytes.len();
            }
        } else if start + self.buffer.spare() < self.frame_size() {
            // The first event allocated a buffer of the event's size. The second event needs a
            // buffer of a frame's size.
            self.buffer.reserve(self.frame_size() - start);
        }
        let incomplete = Incomplete { buffer: self.buffer, start };
        event.encode(incomplete.buffer)?;
        mem::forget(incomplete);
        if self.buffer.has_uncopied() {
            // If the next event can share this event's frame, the next `push` copies this event.
            let has_room = self.buffer.leaves_room_in(self.frame_size());
            return Ok(if has_room { Pushed::Room } else { Pushed::Full });
        }
        let end = self.buffer.bytes.len();
        if end == start {
            return Ok(Pushed::Empty);
        }
        if end + (end - start) > self.frame_size() {
            // A buffer above `LARGE_FRAME` is not reused: it may have room for many frames, so room
            // for another frame would not show that the server has dropped the previous frames.
            self.size.is_full = end <= LARGE_FRAME;
            return Ok(Pushed::Full);
        }
        Ok(Pushed::Room)
    }

    /// Makes the next frame small, because no event is ready. Also frees a large empty buffer.
    #[inline]
    fn shrink(&mut self) {
        self.size.is_large = false;
        let is_oversized = self.size.is_full || self.buffer.bytes.capacity() > KEPT_CAPACITY;
        if is_oversized && self.buffer.bytes.is_empty() {
            self.buffer.replace(0);
        }
        self.size.is_full = false;
    }

    /// Returns the frame, or `None` if it has no bytes. An uncopied event after other events is a
    /// frame of its own. Keeps a small buffer within a recorder, which soon drops the frame, so
    /// that the next frame can reuse the buffer.
    #[inline]
    fn take_frame(&mut self) -> Option<Bytes> {
        if self.buffer.bytes.is_empty() {
            return self.buffer.take_uncopied();
        }
        let is_kept = self.size.is_full
            || self.buffer.bytes.capacity() <= KEPT_CAPACITY && is_within_recorder();
        Some(if is_kept { self.buffer.split() } else { self.buffer.take() })
    }

    /// Prepares the buffer after a full frame. If the server has dropped that frame, the client
    /// keeps up, so the next buffer is large.
    fn renew_buffer(&mut self) {
        self.size.is_full = false;
        // Reclaims the buffer of frames that were split off and dropped.
        if !self.buffer.bytes.try_reclaim(self.frame_size()) {
            self.size.is_large = false;
            self.buffer.replace(SMALL_FRAME);
        } else if !self.size.is_large {
            self.size.is_large = true;
            self.buffer.replace(LARGE_FRAME);
        }
    }
}

/// A stream's panic, as an error. The mutex, never locked, makes the payload `Sync`.
struct DeferredPanic(Mutex<Payload>);

/// The payload is leaked if the panic never resumes, because dropping it could panic again.
type Payload = ManuallyDrop<Box<dyn Any + Send>>;

impl DeferredPanic {
    const fn new(payload: Box<dyn Any + Send>) -> Self {
        Self(Mutex::new(ManuallyDrop::new(payload)))
    }

    fn resume(error: BoxError) -> BoxError {
        match error.downcast::<Self>() {
            Ok(panic) => {
                let payload = panic.0.into_inner().unwrap_or_else(PoisonError::into_inner);
                resume_unwind(ManuallyDrop::into_inner(payload))
            }
            Err(error) => error,
        }
    }
}

opaque_debug!(DeferredPanic);

error_text!(DeferredPanic, |_| "the stream panicked");

/// Warns once in each process if a task polls the body without a layer. Tests often poll outside of
/// tasks, and need no layer.
#[cold]
#[inline(never)]
pub(crate) fn warn_without_layer() {
    static HAS_WARNED: AtomicBool = AtomicBool::new(false);

    if is_within_layer() || task::try_id().is_none() || HAS_WARNED.swap(true, Relaxed) {
        return;
    }
    warn!(
        "an event stream is served without `SseLayer`: it has no heartbeats, and its \
         `StreamOptions` have no effect; add `.layer(SseLayer::new())` after the routes"
    );
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{FrameBatch, FrameSize, KEPT_CAPACITY, Pushed, SMALL_FRAME};
    use crate::event::{Event, FrameBuf};
    use crate::signals::{within_layer, within_recorder};

    fn frame(batch: &mut FrameBatch<'_>, len: usize) -> Bytes {
        assert!(batch.push(Event::from("x".repeat(len - 8))).is_ok());
        batch.take_frame().unwrap()
    }

    #[test]
    fn only_a_recorded_body_reuses_the_buffer_of_a_dropped_frame() {
        let (buffer, size) = (&mut FrameBuf::new(), &mut FrameSize::default());
        let mut batch = FrameBatch { buffer, size };
        let first = within_recorder(|| frame(&mut batch, 100));
        let held = within_recorder(|| frame(&mut batch, 90));
        assert_ne!(held.as_ptr(), first.as_ptr());
        let address = held.as_ptr();
        drop(held);
        let reused = within_recorder(|| frame(&mut batch, 80));
        assert_eq!(reused.as_ptr(), address);
        assert_eq!(*first, *[b"data: ", &[b'x'; 92][..], b"\n\n"].concat());
        drop(reused);
        within_layer(|| frame(&mut batch, 80));
        assert_eq!(batch.buffer.bytes.capacity(), 0);
    }

    #[test]
    fn idle_body_keeps_no_large_buffer() {
        let (buffer, size) = (&mut FrameBuf::new(), &mut FrameSize::default());
        let mut batch = FrameBatch { buffer, size };
        within_recorder(|| {
            frame(&mut batch, KEPT_CAPACITY + 1);
            assert_eq!(batch.buffer.bytes.capacity(), 0);
            while matches!(batch.push(Event::from("x".repeat(100))), Ok(Pushed::Room)) {}
            assert!(batch.take_frame().unwrap().len() > SMALL_FRAME / 2);
            assert!(batch.size.is_full);
            // The buffer is renewed, but empty.
            assert!(matches!(batch.push(Event::new()), Ok(Pushed::Empty)));
            assert!(batch.buffer.bytes.capacity() >= SMALL_FRAME);
            batch.shrink();
            assert_eq!(batch.buffer.bytes.capacity(), 0);
            assert!(batch.take_frame().is_none());
        });
    }
}
