//! Signals between modules, which pass through the program's own middleware and bodies.
//!
//! | signal | from | to | by |
//! |---|---|---|---|
//! | [`within_layer`]: whether a layer polls a call or a body, and whether the layer is that of runs | layers, runs | bodies, filters, early heads | the thread |
//! | [`Handled`]: this response is a stream of a layer, or a refusal | layers, refusals, runs | outer layers, filters, early heads, runs | an extension of the response |
//! | [`NothingMore`]: the stream has ended for good | the hub | layers | an extension of the response |
//! | [`StartAt`]: the position at which a stream starts or resumes | the hub, runs | layers, early heads | an extension of the response |
//! | [`OnRefusal`]: call this if the stream is refused | runs, early heads | layers | an extension of the response |
//! | [`EarlyHead`]: the head was sent before the service answered | early heads, runs | layers, streams | an extension of the request and of the response |
//! | [`AwaitedRun`]: the request awaits this process's run, or this is the run's answer | runs | early heads | the events of the run |
//! | [`CancelledFor`]: a cancelled run has nothing left for this client | runs | early heads | an extension of the response |
//! | [`Shutdown`]: the shutdown of a layer has begun | layers | their streams, early heads | a list of tasks |
//! | [`Stopped`]: the source stops its stream, for this reason | early heads, runs | bodies, filters, early heads, runs | a cause of an error |
//! | [`FailedInside`]: an inner layer has handled the error | early heads | bodies, filters, runs | a cause of an error |
//! | [`Interrupted`]: the answer is incomplete for good | early heads, runs | layers | a cause of an error |
//! | [`ItemError`]: this error is the program's | bodies | layers, filters, runs, message streams | a cause of an error |
//! | [`RecordedError`]: the error of the recorded source | runs | layers, `on_error` | a cause of an error |

use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Wake, Waker};
use std::{cell::Cell, error::Error, fmt, future::Future, iter, mem, time::Duration};

use http::Extensions;
use slab::Slab;
use tokio::{task::coop, time::Instant};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::connection::{ClientKind, CloseReason, LastEventId};
use crate::event::{Event, EventId};
use crate::sync::Ordering::{Acquire, Release, SeqCst};
use crate::sync::{AtomicBool, Mutex, lock};
use crate::wake::{drop_waker, wake};
use crate::{BoxError, error::causes, stats::Stats};

/// A slot for an outer layer's shutdown, usually filled before the body is polled.
pub(crate) type Inherited = Arc<OnceLock<Arc<Shutdown>>>;

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

/// Removes the marks that no longer fit a response whose body is replaced: `Handled`, `StartAt` and
/// `EarlyHead`. Also tells the early head that no layer sends its body.
pub(crate) fn disown(extensions: &mut Extensions) {
    extensions.remove::<Handled>();
    extensions.remove::<StartAt>();
    if let Some(head) = extensions.remove::<EarlyHead>() {
        head.adopt(None);
    }
}

/// A mark around an error that the program's stream returned as an item. Hosts such as axum or
/// tonic wrap the errors of bodies, and the mark shows which cause is the program's.
#[derive(Debug)]
pub(crate) struct ItemError(BoxError);

impl ItemError {
    pub(crate) fn mark(error: impl Into<BoxError>) -> BoxError {
        Box::new(Self(error.into()))
    }

    /// Returns the error without the marks of this crate around it.
    pub(crate) fn inside(error: &BoxError) -> &BoxError {
        let error = error.downcast_ref().map_or(error, |FailedInside(error)| error);
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
    let failed = || Some(&*error.downcast_ref::<FailedInside>()?.0 as _);
    let marked = inside::<ItemError>(error).or_else(failed);
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
#[derive(Clone, Copy)]
pub(crate) struct NothingMore;

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

/// The link between a response whose head was sent early and the layer around it.
#[derive(Clone, Default)]
pub(crate) struct EarlyHead(Arc<Early>);

/// What an early head has learned. Others only [wait](AwaitedRun).
#[derive(Default)]
pub(crate) struct Early {
    on_refusal: Mutex<Vec<OnRefusal>>,
    /// Whether the service has answered with the stream of a run of this process and with options
    /// that set a drain.
    has_own_drain: AtomicBool,
    /// Set once a layer has adopted the head: to `None` if that layer replaced the body.
    around: OnceLock<Option<Around>>,
    /// Whether the answer has ended in a way after which no terminator may follow.
    has_ended: AtomicBool,
    /// Set once the service has answered: to the second early head if the answer has one, or else
    /// to `None`.
    answered: OnceLock<Option<EarlyHead>>,
    /// The task of a stream that a shutdown leaves to the early head. The end of the last
    /// [wait](AwaitedRun) wakes it.
    spared: Mutex<Option<Waker>>,
}

/// A request's wait for a run of this process. While it exists and the service hasn't answered, the
/// layer's shutdown leaves the stream to the early head. The events of the run hold it too, because
/// they may be the answer. The head counts these pointers, so a wait ends on every exit path.
#[derive(Clone)]
pub(crate) struct AwaitedRun(Weak<Early>);

impl Drop for AwaitedRun {
    fn drop(&mut self) {
        let Some(early) = mem::take(&mut self.0).upgrade() else { return };
        if Arc::weak_count(&early) == 0 {
            let waker = lock(&early.spared).take();
            waker.into_iter().for_each(wake);
        }
    }
}

/// What an early head's body needs to know about the layer that sends its bytes.
#[derive(Clone)]
pub(crate) struct Around {
    pub(crate) ends_with: EndsWith,
    pub(crate) client: ClientKind,
    /// Whether the stream has no event `start` by default.
    pub(crate) omits_start: bool,
    /// Whether heartbeats are events, which repeat the client's id.
    pub(crate) repeats_id: bool,
    /// The id that the client sent.
    pub(crate) last_id: Option<LastEventId>,
    /// When a long poll ends at the latest.
    pub(crate) poll_end: Option<Instant>,
}

impl EarlyHead {
    /// Notes that the service has answered. `has_drain` says whether the options of its stream set a
    /// drain, which applies if the stream is that of an awaited run.
    pub(crate) fn answer(&self, late: &Extensions, has_drain: bool) {
        // Set first, so that the shutdown can't end the stream in between.
        self.0.has_own_drain.store(has_drain && self.awaits_run(), Release);
        // Middleware can have copied this head from the request into the response.
        let second = late.get::<Self>().filter(|it| !Arc::ptr_eq(&it.0, &self.0));
        _ = self.0.answered.set(second.cloned());
        // The layer around this early head, if it's known, surrounds a second early head too.
        if let (Some(second), Some(around)) = (second, self.0.around.get()) {
            second.adopt(around.clone());
        }
    }

    /// Removes this head from an answer in time. Middleware can have copied it from the request.
    pub(crate) fn remove_from(&self, answer: &mut Extensions) {
        if answer.get().is_some_and(|it: &Self| Arc::ptr_eq(&it.0, &self.0)) {
            answer.remove::<Self>();
        }
    }

    /// Returns whether the handler has answered. If the service answered with a second early head,
    /// the answer behind the second one counts.
    pub(crate) fn is_answered(&self) -> bool {
        self.0.answered.get().is_some_and(|second| second.as_ref().is_none_or(Self::is_answered))
    }

    /// Notes the layer that sends the body's bytes, or `None` if a layer has replaced the body.
    pub(crate) fn adopt(&self, around: Option<Around>) {
        _ = self.0.around.set(around.clone());
        if let Some(Some(second)) = self.0.answered.get() {
            second.adopt(around);
        }
    }

    pub(crate) fn around(&self) -> Option<&Around> {
        self.0.around.get()?.as_ref()
    }

    pub(crate) fn await_run(&self) -> AwaitedRun {
        AwaitedRun(Arc::downgrade(&self.0))
    }

    /// Returns whether the layer's shutdown leaves the stream to the early head.
    pub(crate) fn awaits_run(&self) -> bool {
        match self.0.answered.get() {
            None => Arc::weak_count(&self.0) > 0,
            Some(_) => self.0.has_own_drain.load(Acquire),
        }
    }

    /// Notes an end after which no terminator may follow. Returns whether a layer is around the
    /// early head, which must get an error instead of a clean end. A layer that gets the head later,
    /// from middleware that has read the whole answer, sends no terminator.
    pub(crate) fn ends_for_layer(&self) -> bool {
        self.0.has_ended.store(true, SeqCst);
        self.0.around.get().is_some()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0.has_ended.load(SeqCst)
    }

    /// Adds a callback that a layer calls if it refuses the stream. A request that starts several
    /// runs has several callbacks. Does nothing without an `EarlyHead` in the extensions, which an
    /// `EarlyHeadLayer` inserts if it can send the head early.
    pub(crate) fn add_on_refusal(request: &Extensions, on_refusal: OnRefusal) {
        if let Some(head) = request.get::<Self>() {
            lock(&head.0.on_refusal).push(on_refusal);
        }
    }

    pub(crate) fn on_refusal(&self) -> OnRefusal {
        let early = Arc::clone(&self.0);
        OnRefusal(Arc::new(move || {
            let all = mem::take(&mut *lock(&early.on_refusal));
            all.into_iter().for_each(|it| (it.0)());
        }))
    }
}

thread_local! {
    /// The layers for which the thread is polling a response or a body.
    static POLLED_BY: Cell<PolledBy> =
        const { Cell::new(PolledBy { innermost: Layer::None, is_recorded: false }) };
}

#[derive(Clone, Copy)]
struct PolledBy {
    innermost: Layer,
    /// Whether the layer of runs is polling, even if it is not the innermost layer.
    is_recorded: bool,
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

/// Calls `poll` for the layer of runs. That layer copies each frame, drops it before the next poll,
/// and takes a clean end for the end of the answer.
#[inline]
pub(crate) fn within_recorder<T>(poll: impl FnOnce() -> T) -> T {
    within(Layer::Runs, poll)
}

#[inline]
fn within<T>(layer: Layer, poll: impl FnOnce() -> T) -> T {
    // Replaces `LocalKey::set`, which is not inlined: each poll sets the value twice.
    #[inline]
    fn set(polled_by: PolledBy) {
        POLLED_BY.with(|it| it.set(polled_by));
    }

    /// Restores the outer value of [`POLLED_BY`] when dropped, even if `poll` panics.
    struct Outer(PolledBy);

    impl Drop for Outer {
        #[inline]
        fn drop(&mut self) {
            set(self.0);
        }
    }

    let outer = Outer(POLLED_BY.get());
    let inherits = outer.0.is_recorded && layer != Layer::Call;
    let is_recorded = inherits || layer == Layer::Runs;
    set(PolledBy { innermost: layer, is_recorded });
    poll()
}

pub(crate) fn is_within_layer() -> bool {
    POLLED_BY.get().innermost != Layer::None
}

/// Returns whether the innermost layer that is polling on this thread polls a body.
pub(crate) fn is_within_body() -> bool {
    matches!(POLLED_BY.get().innermost, Layer::Sse | Layer::Runs)
}

/// Returns whether the layer of runs is the innermost layer that is polling on this thread.
pub(crate) fn is_within_recorder() -> bool {
    POLLED_BY.get().innermost == Layer::Runs
}

/// Returns whether the layer of runs is polling a body on this thread, even if layers inside it are
/// too.
pub(crate) fn is_recorded() -> bool {
    POLLED_BY.get().is_recorded
}

/// The cause of an error with which a source stops its stream. Except after `Due`, the layer then
/// ends the stream cleanly, without a terminator or `on_error`, so a `fetch` doesn't reconnect. After
/// `Told` and `Cancelled`, it does so only between events. A run that records the stream gets the error.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stopped {
    /// The stream must end although its source continues.
    Due(CloseReason),
    /// After an early head, the stream of an inner layer has ended cleanly.
    Whole,
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

    pub(crate) const fn reason(&self) -> CloseReason {
        match self {
            Self::Due(reason) => *reason,
            Self::Whole | Self::Refused => CloseReason::Ended,
            Self::Told => CloseReason::Failed,
            Self::Cancelled => CloseReason::Cancelled,
        }
    }
}

error_text!(Stopped, |_| "the stream was stopped");

/// The failure of an inner layer's late stream. The inner layer has handled the error, so an outer
/// layer adds nothing.
#[derive(Debug)]
pub(crate) struct FailedInside(pub(crate) BoxError);

error_text!(FailedInside, |it| "{}", it.0);

/// The name of the event that tells an `EventSource` that its answer is incomplete for good, and its
/// id in runs. From an `EventSource` that sends this id, runs take it for the end.
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

/// The shutdown of a layer, which the layer's streams share. A token for each stream would cost
/// allocations, a lock for each frame, and one long turn to wake all streams.
#[derive(Default)]
pub(crate) struct Shutdown {
    has_begun: AtomicBool,
    /// The tasks of the streams that wait for the shutdown. Empty once the shutdown has begun.
    waiting: Mutex<Slab<Waker>>,
    /// The wait for the program's token.
    cancelled: Mutex<Option<Pin<Box<WaitForCancellationFutureOwned>>>>,
}

/// The shutdown that ends a stream: that of its own layer, of an outer layer, or of the layer
/// around an early head.
#[derive(Clone)]
pub(crate) enum EndsWith {
    Own(Arc<Shutdown>),
    Inherited(Inherited),
    /// The shutdown of the layer around an early head, unless the head waits for a run.
    Early(EarlyHead),
}

impl EndsWith {
    pub(crate) fn of(shutdown: Option<&Arc<Shutdown>>) -> Self {
        shutdown.cloned().map_or_else(|| Self::Inherited(Arc::default()), Self::Own)
    }

    pub(crate) fn inherited(&self) -> Option<Inherited> {
        if let Self::Inherited(inherited) = self { Some(Arc::clone(inherited)) } else { None }
    }

    #[inline]
    fn get(&self) -> Option<&Arc<Shutdown>> {
        match self {
            Self::Early(head) if head.awaits_run() => None,
            Self::Early(head) => head.around()?.ends_with.get(),
            other => other.known(),
        }
    }

    /// Returns the shutdown even while it leaves the stream to the early head.
    #[inline]
    fn known(&self) -> Option<&Arc<Shutdown>> {
        match self {
            Self::Own(shutdown) => Some(shutdown),
            Self::Inherited(inherited) => inherited.get(),
            Self::Early(head) => head.around()?.ends_with.known(),
        }
    }
}

// `repr(C)` puts the shutdown beside the fields of the stream that each poll needs.
#[repr(C)]
pub(crate) struct ShutdownWait {
    place: Option<(usize, Waker)>,
    shutdown: EndsWith,
}

/// The maximum capacity that an empty list keeps.
const FEW: usize = 64;

impl Shutdown {
    pub(crate) fn of(token: CancellationToken) -> Arc<Self> {
        let shutdown = Arc::<Self>::default();
        let waker = Waker::from(Arc::new(Begin(Arc::downgrade(&shutdown))));
        let mut cancelled = Box::pin(token.cancelled_owned());
        let mut cx = Context::from_waker(&waker);
        // Unconstrained: if the task had no budget left, a future that spends budget would wake its
        // waker, here `Begin`, and so begin the shutdown.
        if pin!(coop::unconstrained(cancelled.as_mut())).poll(&mut cx).is_ready() {
            shutdown.begin();
        }
        *lock(&shutdown.cancelled) = Some(cancelled);
        shutdown
    }

    #[inline]
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Acquire)
    }

    fn begin(&self) {
        self.has_begun.store(true, Release);
        let waiting = mem::take(&mut *lock(&self.waiting));
        waiting.into_iter().for_each(|(_, waker)| wake(waker));
    }
}

/// Begins the shutdown within the call that cancels the program's token.
struct Begin(Weak<Shutdown>);

impl Wake for Begin {
    fn wake(self: Arc<Self>) {
        if let Some(shutdown) = self.0.upgrade() {
            shutdown.begin();
        }
    }
}

impl ShutdownWait {
    pub(crate) const fn of(shutdown: EndsWith) -> Self {
        Self { shutdown, place: None }
    }

    /// Returns the wait for a stream that begins, or `None` if no layer's shutdown can end it.
    pub(crate) fn settled(mut self) -> Option<Self> {
        if let EndsWith::Inherited(inherited) = &self.shutdown {
            match inherited.get() {
                Some(shutdown) => self.shutdown = EndsWith::Own(Arc::clone(shutdown)),
                // An outer layer may fill the slot later, if middleware already reads the body.
                None if Arc::strong_count(inherited) > 1 => {}
                None => return None,
            }
        }
        Some(self)
    }

    #[inline]
    pub(crate) fn has_begun(&self) -> bool {
        self.shutdown.get().is_some_and(|shutdown| shutdown.has_begun())
    }

    /// Returns whether the shutdown has begun. If not, the shutdown wakes `waker` when it begins,
    /// unless no shutdown is known yet.
    #[inline]
    pub(crate) fn poll_begun(&mut self, waker: &Waker) -> bool {
        let has_begun = match &self.place {
            Some((_, registered)) if registered.will_wake(waker) => self.has_begun(),
            _ => self.register(waker),
        };
        match &self.shutdown {
            EndsWith::Early(head) if !has_begun => self.poll_wait_over(head, waker),
            _ => has_begun,
        }
    }

    /// If the shutdown has begun but leaves the stream to the early head, the end of the wait for a
    /// run wakes `waker`. Returns whether the wait has ended meanwhile.
    #[cold]
    fn poll_wait_over(&self, head: &EarlyHead, waker: &Waker) -> bool {
        if !self.shutdown.known().is_some_and(|it| it.has_begun()) {
            return false;
        }
        let waker = Some(waker.clone());
        let former = mem::replace(&mut *lock(&head.0.spared), waker);
        drop_waker(former);
        self.has_begun()
    }

    /// Returns whether the shutdown will wake `waker` and can't be replaced by another shutdown.
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        matches!(self.shutdown, EndsWith::Own(_))
            && self.place.as_ref().is_some_and(|(_, registered)| registered.will_wake(waker))
    }

    fn register(&mut self, waker: &Waker) -> bool {
        // Cloning or dropping a waker can run any code, so both are done without a lock.
        let (listed, own) = (waker.clone(), waker.clone());
        // Also while the head awaits a run: the wait can end on another task.
        let Some(shutdown) = self.shutdown.known() else { return false };
        let mut waiting = lock(&shutdown.waiting);
        // Checked under the lock, because `begin` sets the flag before it takes the list.
        if shutdown.has_begun() {
            drop(waiting);
            return self.has_begun();
        }
        let (place, former) = match self.place.take() {
            Some((place, former)) => {
                let listed = waiting.get_mut(place).map(|slot| mem::replace(slot, listed));
                (place, Some((listed, former)))
            }
            None => (waiting.insert(listed), None),
        };
        drop(waiting);
        self.place = Some((place, own));
        if let Some((listed, former)) = former {
            drop_waker(listed);
            drop_waker(Some(former));
        }
        false
    }
}

impl Drop for ShutdownWait {
    fn drop(&mut self) {
        if let EndsWith::Early(head) = &self.shutdown {
            let spared = lock(&head.0.spared).take();
            drop_waker(spared);
        }
        let Some((place, own)) = self.place.take() else { return };
        // The head may have begun to wait for a run since the stream entered the list.
        let Some(shutdown) = self.shutdown.known() else { return };
        let mut waiting = lock(&shutdown.waiting);
        let listed = waiting.try_remove(place);
        // Free the capacity that a large number of clients has left.
        let unused =
            (waiting.is_empty() && waiting.capacity() > FEW).then(|| mem::take(&mut *waiting));
        drop(waiting);
        drop(unused);
        drop_waker(listed);
        drop_waker(Some(own));
    }
}

opaque_debug!(Shutdown);
