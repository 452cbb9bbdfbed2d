//! Signals between modules, which pass through the program's own middleware and bodies.
//!
//! CONTRIBUTING.md lists them, with who sets and who reads each.

use std::sync::{Arc, OnceLock};
use std::{cell::Cell, error::Error, fmt, iter, time::Duration};

use http::Extensions;

use crate::connection::{ClientKind, CloseReason};
use crate::event::{Event, EventId};
use crate::{BoxError, error::causes, shutdown::Inherited, stats::Stats};

/// A mark in a response's extensions. It tells outer layers that the response is already handled.
#[derive(Clone)]
pub(crate) enum Handled {
    /// The response is an event stream. If the stream's layer has no shutdown, an outer layer puts
    /// its own shutdown into `inherited`. If `has_drain` is set, an outer layer doesn't refuse the
    /// stream because of a shutdown that began after the request arrived.
    Stream { inherited: Option<Inherited>, has_drain: bool },
    /// The response is a refusal or an interruption, which can look like an event stream.
    /// For a refusal that the program made, `is_counted` is `false` until a layer counts it.
    Refused { is_counted: bool },
}

impl Handled {
    /// Counts a refusal that the program made, unless an inner layer has counted it.
    pub(crate) fn count_refusal(extensions: &mut Extensions, stats: &Stats) {
        if let Some(Self::Refused { is_counted: is_counted @ false }) = extensions.get_mut() {
            *is_counted = true;
            stats.refused();
        }
    }
}

pub(crate) fn is_refusal(extensions: &Extensions) -> bool {
    matches!(extensions.get(), Some(Handled::Refused { .. }))
}

/// A mark around an error that the program's stream returned as an item. Hosts such as axum or
/// tonic wrap the errors of bodies, and the mark shows which cause is the program's.
#[derive(Debug)]
pub(crate) struct ItemError(BoxError);

impl ItemError {
    pub(crate) fn mark(error: impl Into<BoxError>) -> BoxError {
        Box::new(Self(error.into()))
    }

    /// Returns the error without the mark around it.
    pub(crate) fn inside(error: &BoxError) -> &BoxError {
        error.downcast_ref().map_or(error, |Self(error)| error)
    }

    pub(crate) fn unmark(error: BoxError) -> BoxError {
        error.downcast::<Self>().map_or_else(|error| error, |marked| marked.0)
    }
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ItemError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// Returns the error that the program's stream or body returned, without the wrappers of frameworks
/// such as axum.
pub(crate) fn program_error<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    // `ItemError` is searched for first, because it directly wraps the program's error. An
    // `axum::Error` may wrap another framework's wrapper. Both searches go through all causes,
    // because wrappers that this crate doesn't know may be around the `ItemError` or `axum::Error`.
    let marked = causes(error).find_map(inside::<ItemError>);
    let wrapped = marked.or_else(|| causes(error).find_map(inside_wrapper));
    iter::successors(wrapped, |&error| inside_wrapper(error)).last().unwrap_or(error)
}

fn inside_wrapper<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let marked = inside::<ItemError>(error);
    #[cfg(feature = "axum")]
    let marked = marked.or_else(|| inside::<axum_core::Error>(error));
    marked
}

fn inside<'e, W: Error + 'static>(
    error: &'e (dyn Error + 'static),
) -> Option<&'e (dyn Error + 'static)> {
    error.downcast_ref::<W>()?.source()
}

/// The error with which a recorded source has failed. It hides that error's causes: for the clients
/// of a run, a source that was cancelled has failed.
#[derive(Clone, Debug)]
pub(crate) struct RecordedError(pub(crate) Arc<dyn Error + Send + Sync>);

impl RecordedError {
    pub(crate) fn program_error(&self) -> &(dyn Error + 'static) {
        program_error(&*self.0)
    }

    /// Returns whether the last event of the source has reported the error.
    pub(crate) fn has_told(&self) -> bool {
        Stopped::cause_of(&*self.0) == Some(&Stopped::Told)
    }
}

// The `RunError` around this error already has the source's text.
error_text!(RecordedError, |_| "the source failed");

/// Returns the error for `on_error`: the recorded source's own, or else the program's.
pub(crate) fn source_error<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let error = program_error(error);
    // The source may itself be the stream of another record.
    iter::successors(Some(error), |&error| recorded_error(error)).last().unwrap_or(error)
}

fn recorded_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    error.source()?.downcast_ref().map(RecordedError::program_error)
}

/// The mark of a response whose client has received all that its stream will ever have. An empty
/// stream doesn't mean this: handlers that a client polls return empty streams on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NothingMore {
    /// All topics have ended, so an `EventSource` or a library gets `204`.
    OfTopics,
    /// The run has ended. Its answer to such a client is `204` already.
    OfRun,
}

/// The mark of a `204` that a layer has held, so that outer layers don't hold it again.
#[derive(Clone, Copy)]
pub(crate) struct WasHeld;

/// The position at which a stream starts or resumes. The layer decides whether to send it, because
/// only the layer knows the kind of client. Heartbeats that are events repeat it.
#[derive(Clone)]
pub(crate) struct StartAt {
    /// `None` if a client that resumed at the position would miss the stream's first event, such as
    /// a gap, or if only the view sets ids.
    pub(crate) id: Option<EventId>,
    /// `Some(true)` if every client receives the position, `Some(false)` if only an `EventSource`
    /// and a library do. `None` if no client does, for example because the client has an id, or
    /// because the stream's first event has one.
    pub(crate) is_for_all: Option<bool>,
    /// The slot in which the layer describes the client, for a `View` or a body of newest values.
    pub(crate) seen_by: Option<Arc<OnceLock<Viewer>>>,
}

/// What a hub's `View`, or its body of newest values, needs to know about its client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewer {
    /// Whether clients of this kind include some that ignore the id of an event without data.
    pub(crate) needs_event: bool,
    /// The longest wait of the client's long poll.
    pub(crate) max_wait: Option<Duration>,
}

impl StartAt {
    pub(crate) fn note_viewer(&self, needs_event: bool, max_wait: Option<Duration>) {
        _ = self.seen_by.as_ref().map(|it| it.set(Viewer { needs_event, max_wait }));
    }

    pub(crate) fn is_sent_to(&self, client: ClientKind) -> bool {
        self.is_for_all.is_some_and(|is_for_all| is_for_all || client.resumes())
    }
}

/// A callback that a layer calls once it has refused the stream and dropped its body. The drop
/// alone doesn't tell the source about the refusal.
#[derive(Clone)]
pub(crate) struct OnRefusal(pub(crate) Arc<dyn Fn() + Send + Sync>);

thread_local! {
    /// The innermost layer for which the thread is polling a response or a body.
    static POLLED_BY: Cell<Layer> = const { Cell::new(Layer::None) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    None,
    /// Any layer that polls a call, in which the program can read other bodies.
    Call,
    Sse,
    Runs,
}

/// Calls `poll`, which polls a call for a layer.
#[inline]
pub(crate) fn within_call<T>(poll: impl FnOnce() -> T) -> T {
    within(Layer::Call, poll)
}

/// Calls `poll`, which polls a body for a layer. Other bodies may stand between the layer and this
/// crate's bodies, so only the call stack connects them.
#[inline]
pub(crate) fn within_layer<T>(poll: impl FnOnce() -> T) -> T {
    within(Layer::Sse, poll)
}

/// Calls `poll`, which polls a body for the layer of runs. That layer copies each frame, drops it
/// before the next poll, and takes a clean end for the end of the answer.
#[inline]
pub(crate) fn within_recorder<T>(poll: impl FnOnce() -> T) -> T {
    within(Layer::Runs, poll)
}

#[inline]
fn within<T>(layer: Layer, poll: impl FnOnce() -> T) -> T {
    // Replaces `LocalKey::set`, which is not inlined: each poll sets the value twice.
    #[inline]
    fn set(polled_by: Layer) {
        POLLED_BY.with(|it| it.set(polled_by));
    }

    /// Restores the outer value of [`POLLED_BY`] when dropped, even if `poll` panics.
    struct Outer(Layer);

    impl Drop for Outer {
        #[inline]
        fn drop(&mut self) {
            set(self.0);
        }
    }

    let _outer = Outer(POLLED_BY.get());
    set(layer);
    poll()
}

pub(crate) fn is_within_layer() -> bool {
    POLLED_BY.get() != Layer::None
}

/// Returns whether a layer is polling a body on this thread.
pub(crate) fn is_within_body() -> bool {
    matches!(POLLED_BY.get(), Layer::Sse | Layer::Runs)
}

/// Returns whether an `SseLayer` is polling the body of its stream on this thread.
pub(crate) fn is_within_streams_body() -> bool {
    POLLED_BY.get() == Layer::Sse
}

/// Returns whether the layer of runs is the innermost layer that is polling on this thread.
pub(crate) fn is_within_recorder() -> bool {
    POLLED_BY.get() == Layer::Runs
}

/// Why a stream has stopped although its answer isn't complete. The layer ends the stream cleanly,
/// without a terminator or `on_error`, so a `fetch` doesn't reconnect. As the cause of an error, it
/// does so only between events. A run that records the stream gets this error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The late answer was a refusal.
    Refused,
    /// The last event has reported the failure.
    Told,
    /// The run was cancelled.
    Cancelled,
}

/// The mark of the answer to a client for which a cancelled run has no events left.
#[derive(Clone, Copy)]
pub(crate) struct CancelledFor(pub(crate) ClientKind);

impl Stopped {
    pub(crate) fn cause_of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        causes(error).find_map(<dyn Error>::downcast_ref)
    }

    pub(crate) const fn reason(self) -> CloseReason {
        match self {
            Self::Refused => CloseReason::Ended,
            Self::Told => CloseReason::Failed,
            Self::Cancelled => CloseReason::Cancelled,
        }
    }
}

error_text!(Stopped, |_| "the stream was stopped");

/// The name and id of the event that tells an `EventSource` that its answer is incomplete for good.
/// An `EventSource` that sends this id gets `204`.
pub(crate) const INTERRUPTED: &str = "interrupted";
/// The id of that event behind an early head. Unlike runs, the program sets the other ids there.
pub(crate) const REFUSED_LATE: &str = "tower-sse:interrupted";

/// Returns the event for an `EventSource` whose answer is incomplete for good.
pub(crate) fn interruption(id: &'static str) -> Event {
    Event::new().event(INTERRUPTED).id(id).data("{}")
}

/// The cause of a body's error when no client can get the rest of the answer: a text, and the id
/// that stops an `EventSource`. A [`RecordedError`] means the same.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) &'static str, pub(crate) &'static str);

impl Interrupted {
    pub(crate) fn id_of(error: &(dyn Error + 'static)) -> Option<&'static str> {
        causes(error).find_map(|cause| match cause.downcast_ref() {
            Some(Self(_, id)) => Some(*id),
            None => cause.is::<RecordedError>().then_some(INTERRUPTED),
        })
    }
}

error_text!(Interrupted, |it| "{}", it.0);
