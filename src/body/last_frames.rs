use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::{error::Error, future::Future, mem, time::Duration};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep};

use super::{BRIEFLY, Deadline, Hold};
use crate::exchange::LateEnd;
use crate::headers::remove_those_of_whole_bodies;
use crate::options::COMMENT_LINE;
use crate::shutdown::ShutdownWait;
use crate::signals::{ItemError, Stopped, Viewer};
use crate::{
    BoxError, callback::without_panic, connection::CloseReason, error::causes, lock::lock,
};

/// The last frames of a stream whose source was dropped.
pub(super) struct LastFrames {
    reason: CloseReason,
    /// Boxed, because every open stream reserves space for it.
    rest: Option<Box<Rest>>,
}

struct Rest {
    last: Bytes,
    then: Then,
}

enum Then {
    End,
    // Boxed to keep `Rest` small, because a shutdown can make a `Rest` for each open stream.
    Trailers(Box<HeaderMap>),
    Fail { error: BoxError, flush: FlushWait },
    Hold(Box<Hold>),
}

/// How long a `fetch`'s stream stays open if the client has already received everything. Some
/// libraries reconnect at once after each end.
const HOLD: Duration = Duration::from_secs(20);

impl LastFrames {
    pub(super) fn clean(reason: CloseReason, last: Bytes) -> Self {
        let rest = (!last.is_empty()).then(|| Box::new(Rest { last, then: Then::End }));
        Self { reason, rest }
    }

    /// Creates the end of a stream whose source ended cleanly, after the bytes `last`. Removes
    /// trailers such as a digest unless the stream is opaque, because the layer may have written
    /// lines into the stream.
    pub(super) fn own(last: Bytes, trailers: Option<HeaderMap>, is_opaque: bool) -> Self {
        match trailers {
            None => Self::clean(CloseReason::Ended, last),
            Some(mut trailers) => {
                if !is_opaque {
                    remove_those_of_whole_bodies(&mut trailers);
                }
                let rest = Rest { last, then: Then::Trailers(Box::new(trailers)) };
                Self { reason: CloseReason::Ended, rest: Some(Box::new(rest)) }
            }
        }
    }

    /// Creates the clean end of a stream that stays open after the bytes `last`: for [`HOLD`], but
    /// at most until the shutdown or its deadline.
    pub(super) fn held(last: Bytes, shutdown: Option<ShutdownWait>) -> Self {
        let then = Then::Hold(Box::new(Hold::new(HOLD, shutdown)));
        Self { reason: CloseReason::Ended, rest: Some(Box::new(Rest { last, then })) }
    }

    /// Holds a clean end briefly, and returns the bytes before it. Returns `None` if it isn't held.
    pub(super) fn hold(&mut self, shutdown: Option<ShutdownWait>) -> Option<&Bytes> {
        if self.rest.as_ref().is_some_and(|rest| !matches!(rest.then, Then::End)) {
            return None;
        }
        let then = Then::Hold(Box::new(Hold::briefly(BRIEFLY, shutdown)?));
        let last = self.rest.take().map(|rest| rest.last).unwrap_or_default();
        Some(&self.rest.insert(Box::new(Rest { last, then })).last)
    }

    pub(super) fn failure(reason: CloseReason, last: Bytes, error: BoxError) -> Self {
        let (last, flush) = FlushWait::after(last);
        let error = ItemError::unmark(error);
        let rest = Rest { last, then: Then::Fail { error, flush } };
        Self { reason, rest: Some(Box::new(rest)) }
    }

    /// Creates the failure of a stream that the layer ends early, after the bytes `last`.
    pub(super) fn cut_short(reason: CloseReason, last: Bytes) -> Self {
        Self::failure(reason, last, Box::new(CutShort(reason)))
    }

    /// Creates the end of a stream whose source has stopped for good. Returns any other error as
    /// `Err`. Also returns a stopped source's error as `Err` if `stops` is `false`, because the
    /// stream can't end cleanly at this point.
    pub(super) fn of_stopped(
        error: BoxError,
        is_recorded: bool,
        stops: bool,
    ) -> Result<Self, BoxError> {
        match Stopped::cause_of(&*error).map(|stopped| stopped.reason()) {
            // A run must get the error, because the run would take a clean end for the end of the
            // answer.
            Some(reason) if is_recorded => Ok(Self::failure(reason, Bytes::new(), error)),
            Some(reason) if stops => Ok(Self::clean(reason, Bytes::new())),
            _ => Err(error),
        }
    }

    /// Creates the failure of an inner layer's late stream. The inner layer has handled the error,
    /// so this layer adds nothing.
    pub(super) fn of_inner(error: BoxError) -> Self {
        let reason = causes(&*error).find_map(<dyn Error>::downcast_ref);
        let reason = reason.map_or(CloseReason::Failed, |CutShort(reason)| *reason);
        Self::failure(reason, Bytes::new(), error)
    }

    /// Creates the end of a late answer's stream that isn't the layer's own.
    pub(super) fn of_late(end: LateEnd, is_recorded: bool) -> Option<Self> {
        Some(match end {
            LateEnd::Own => return None,
            LateEnd::Inner => Self::clean(CloseReason::Ended, Bytes::new()),
            LateEnd::Stopped(stopped) if is_recorded => {
                Self::failure(stopped.reason(), Bytes::new(), stopped.into())
            }
            LateEnd::Stopped(stopped) => Self::clean(stopped.reason(), Bytes::new()),
        })
    }

    pub(super) const fn is_over(&self) -> bool {
        self.rest.is_none()
    }

    /// Returns the reason to report if the stream is dropped now. Returns `None` if this drop would
    /// mean that the client has disconnected.
    pub(super) fn reason(&self) -> Option<CloseReason> {
        let is_sent = |rest: &Rest| matches!(rest.then, Then::Fail { .. } | Then::Hold(_));
        self.rest.as_deref().is_none_or(is_sent).then_some(self.reason)
    }

    pub(super) fn poll_frame(
        &mut self,
        deadline: Option<&mut Deadline>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(rest) = self.rest.as_deref_mut() else {
            return Poll::Ready(None);
        };
        if !rest.last.is_empty() {
            let last = mem::take(&mut rest.last);
            if let Then::End = rest.then {
                self.rest = None;
            }
            return Poll::Ready(Some(Ok(Frame::data(last))));
        }
        if let Then::Fail { flush, .. } = &mut rest.then
            && let Some(line) = ready!(flush.poll_line(cx))
        {
            return Poll::Ready(Some(Ok(Frame::data(line))));
        }
        if let Then::Hold(hold) = &mut rest.then
            && !deadline.is_some_and(|deadline| deadline.poll_due(cx).is_ready())
        {
            ready!(hold.poll(cx));
        }
        let then = mem::replace(&mut rest.then, Then::End);
        self.rest = None;
        Poll::Ready(match then {
            Then::End | Then::Hold(_) => None,
            Then::Trailers(trailers) => Some(Ok(Frame::trailers(*trailers))),
            Then::Fail { error, .. } => Some(Err(error)),
        })
    }
}

#[derive(Debug)]
struct CutShort(CloseReason);

error_text!(CutShort, |it| "the event stream was cut short: {}", it.0);

/// The wait between the last bytes of a stream and its failure. At the failure, the server drops
/// the bytes that it has not written. It has usually written all bytes when it drops the last
/// frame. That frame is never empty, because many empty frames look like an attack to HTTP/2 peers.
#[derive(Debug)]
enum FlushWait {
    Writing(Option<Release>),
    Pausing(Pin<Box<Sleep>>),
    Done,
}

/// How long the server may hold a frame before the body sends another line. A compressor drops a
/// frame only when it gets the next frame.
const HELD_AFTER: Duration = Duration::from_millis(10);
/// The maximum wait for the last bytes after another line was sent. Some servers never drop the
/// last bytes.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause before the failure. On HTTP/2, one more poll of the connection's task is not always
/// enough to write the last bytes, and browsers drop the unread bytes of a `fetch` body that fails.
const PAUSE: Duration = Duration::from_millis(20);

impl FlushWait {
    fn after(last: Bytes) -> (Bytes, Self) {
        if last.is_empty() {
            return (last, Self::Writing(None));
        }
        let mut release = Release::within(RELEASE_TIMEOUT);
        (release.track(last), Self::Writing(Some(release)))
    }

    /// Returns another line to send, or `None` once the body can fail.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match self {
                Self::Writing(release) => {
                    if let Some(release) = release
                        && let Some(line) = ready!(release.poll_line(cx))
                    {
                        return Poll::Ready(Some(line));
                    }
                    return self.begin_pause(cx);
                }
                Self::Pausing(pause) => {
                    ready!(pin!(coop::unconstrained(pause)).poll(cx));
                    *self = Self::Done;
                }
                Self::Done => return Poll::Ready(None),
            }
        }
    }

    /// Begins the pause, which is pending at least once: over HTTP/1, hyper writes the last bytes
    /// only once the body is pending.
    fn begin_pause<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let mut pause = Box::pin(sleep(PAUSE));
        // On a stalled thread the new timer may have elapsed already.
        while pin!(coop::unconstrained(&mut pause)).poll(cx).is_ready() {
            pause.as_mut().reset(Instant::now() + PAUSE);
        }
        *self = Self::Pausing(pause);
        Poll::Pending
    }
}

/// A body's wait until the server drops a frame, usually after writing it.
#[derive(Debug)]
pub(super) struct Release {
    frame: Arc<Mutex<FrameState>>,
    /// The maximum wait after the line, for code that collects frames and never drops them.
    max_wait: Duration,
    has_sent_line: bool,
    timeout: Option<Pin<Box<Sleep>>>,
    /// The slot for a description of the client, until the layer has filled it. Only long polls
    /// need it.
    pub(super) viewer: Option<Arc<OnceLock<Viewer>>>,
}

#[derive(Debug, Default)]
struct FrameState {
    is_held: bool,
    waiting: Option<Waker>,
}

impl Release {
    pub(super) fn within(max_wait: Duration) -> Self {
        let (frame, has_sent_line) = (Arc::default(), false);
        Self { frame, max_wait, has_sent_line, timeout: None, viewer: None }
    }

    pub(super) fn track(&mut self, frame: Bytes) -> Bytes {
        (self.has_sent_line, self.timeout) = (false, None);
        lock(&self.frame).is_held = true;
        Bytes::from_owner(TrackedFrame { bytes: frame, state: Arc::clone(&self.frame) })
    }

    /// Waits until the server has dropped the frame. If that takes longer than [`HELD_AFTER`],
    /// first returns a line to send.
    pub(super) fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        ready!(self.poll_released(cx));
        if self.has_sent_line || !lock(&self.frame).is_held {
            return Poll::Ready(None);
        }
        (self.has_sent_line, self.timeout) = (true, None);
        Poll::Ready(Some(COMMENT_LINE))
    }

    fn poll_released(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !lock(&self.frame).is_held {
            // The timer would wake a stream that is idle.
            self.timeout = None;
            return Poll::Ready(());
        }
        // Cloning or dropping a waker can run any code, so neither is done under the lock.
        let waker = cx.waker().clone();
        let (is_held, _earlier) = {
            let mut frame = lock(&self.frame);
            (frame.is_held, frame.waiting.replace(waker))
        };
        if !is_held {
            return Poll::Ready(());
        }
        let wait = if self.has_sent_line { self.max_wait } else { HELD_AFTER };
        let timeout = self.timeout.get_or_insert_with(|| Box::pin(sleep(wait)));
        pin!(coop::unconstrained(timeout)).poll(cx)
    }
}

struct TrackedFrame {
    bytes: Bytes,
    state: Arc<Mutex<FrameState>>,
}

impl AsRef<[u8]> for TrackedFrame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for TrackedFrame {
    fn drop(&mut self) {
        let waiting = {
            let mut frame = lock(&self.state);
            frame.is_held = false;
            frame.waiting.take()
        };
        if let Some(waiting) = waiting {
            without_panic(|| waiting.wake());
        }
    }
}
