//! The state of an [`EventStream`](super::event_stream::EventStream) besides its source.

use std::sync::Arc;

use bytes::Bytes;
use http_body::Frame;
use pin_project_lite::pin_project;

use super::{Boundary, Deadline, LastFrames, StreamRecord};
use crate::connection::ClientKind;
use crate::exchange::Adopted;
use crate::options::{ResolvedOptions, Retry};
use crate::shutdown::{EndsWith, ShutdownWait};
use crate::signals::StartAt;
use crate::streams::Membership;
use crate::{BoxError, decode::first_block_retry};
use crate::{coop::CoopBudget, idle_timer::IdleTimer};

pin_project! {
    // `repr(C)` places the fields used for every event next to each other, so that an event touches
    // few cache lines. These fields go from the end of `record` to the start of `idle`. If a poll
    // of a quiet stream finds no event, it needs only the end of `shutdown`, `is_quiet` and the
    // start of `idle`.
    #[repr(C)]
    #[project = StateProj]
    pub(crate) struct StreamState {
        pub(super) record: StreamRecord,
        pub(super) boundary: Boundary,
        pub(super) client: ClientKind,
        pub(super) budget: CoopBudget,
        // Set until the first poll. After that, `None` if no layer's shutdown can end the stream,
        // once the stream has noticed the shutdown, and while the stream ends.
        pub(super) shutdown: Option<ShutdownWait>,
        // Whether the last poll found nothing, and only the source, the shutdown and the timer can
        // change that.
        pub(super) is_quiet: bool,
        // Whether a clean end is held briefly, because the client gets no event.
        pub(crate) holds_end: bool,
        #[pin]
        pub(super) idle: IdleTimer,
        pub(super) phase: StreamPhase,
        // Boxed, because most streams have no deadline.
        pub(super) deadline: Option<Box<Deadline>>,
        pub(super) options: Arc<ResolvedOptions>,
        // The id line that the layer's next event repeats, followed by an empty line, or no bytes.
        // `None` if the layer has no event that repeats it.
        pub(crate) id_line: Option<Box<Bytes>>,
    }
}

pub(super) enum StreamPhase {
    // Boxed, because it's needed only until the first poll.
    Beginning(Option<Box<Opening>>),
    Open,
    /// The stream is open. A result of the source that was polled early, or the rest of a large
    /// frame, is still to be handled.
    Holding(Box<Polled>),
    Ending(LastFrames),
}

pub(crate) enum Opening {
    Start(StartAt),
    /// The head was sent before the service answered.
    Early(Adopted),
    /// The client has received everything that the stream will ever have.
    NothingMore,
}

pub(super) type Polled = Option<Result<Frame<Bytes>, BoxError>>;

/// Larger frames are split into pieces of this size, in bytes, because reading a huge frame line by
/// line would block the thread. Frames with a content coding aren't split: the layer doesn't read
/// them.
pub(super) const LARGEST_PIECE: usize = 256 * 1024;
/// A rest of up to this size, in bytes, is not split off: a piece that begins within the id line
/// would hide the id that the layer's events repeat.
pub(super) const SHORT_REST: usize = 1024;

/// Returns the first bytes of a frame's data.
pub(super) fn first_data(frame: &Polled) -> Option<&[u8]> {
    let data = frame.as_ref()?.as_ref().ok()?.data_ref()?;
    Some(data.get(..LARGEST_PIECE).unwrap_or(data))
}

/// Gives a stream the reconnection time of its source's first lines, unless the layer sends none.
/// Returns whether these lines have one.
#[cold]
pub(super) fn note_own_retry(options: &mut Arc<ResolvedOptions>, first: &[u8]) -> bool {
    let is_off = matches!(options.merged.retry, Some(None));
    let Some(own) = first_block_retry(first).filter(|_| !is_off) else { return false };
    Arc::make_mut(options).merged.retry = Some(Some(Retry::fixed(own)));
    true
}

impl StreamState {
    pub(crate) fn new(
        has_content_coding: bool,
        options: Arc<ResolvedOptions>,
        ends_with: EndsWith,
        client: ClientKind,
        membership: Option<Membership>,
        record: StreamRecord,
        opening: Option<Box<Opening>>,
    ) -> Self {
        Self {
            idle: IdleTimer::default(),
            // Created here, because the program can close the stream before its first poll.
            deadline: membership.map(|it| Box::new(Deadline::new(client, Some(it)))),
            boundary: if has_content_coding { Boundary::opaque() } else { Boundary::default() },
            phase: StreamPhase::Beginning(opening),
            shutdown: Some(ShutdownWait::of(ends_with)),
            is_quiet: false,
            holds_end: false,
            id_line: None,
            budget: CoopBudget::default(),
            options,
            client,
            record,
        }
    }

    /// Returns whether heartbeats are events.
    #[inline]
    pub(super) fn beats_by_events(&self) -> bool {
        self.id_line.is_some() && self.options.heartbeat_event().is_some()
    }

    pub(super) const fn is_over(&self) -> bool {
        // A quiet stream is open. Its phase is in a cache line that an event needs for nothing
        // else.
        !self.is_quiet && matches!(&self.phase, StreamPhase::Ending(ending) if ending.is_over())
    }
}
