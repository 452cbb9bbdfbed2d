//! What an early head, the late answer behind it and the layer around them tell each other. The
//! layer takes the answer over as if it had come in time.

use std::sync::{Arc, OnceLock, Weak};
use std::{mem, task::Waker};

use http::Extensions;
use tokio::time::Instant;

use crate::connection::LastEventId;
use crate::options::StreamOptions;
use crate::signals::{Handled, OnRefusal, StartAt, Stopped};
use crate::sync::{Mutex, lock};
use crate::wake::{drop_waker, wake};

/// The link between a response whose head was sent early and the layer that sends its bytes. It is
/// in the extensions of the request, and then in those of the response.
#[derive(Clone, Default)]
pub(crate) struct EarlyHead(Arc<Early>);

#[derive(Default)]
struct Early {
    on_refusal: Mutex<Vec<OnRefusal>>,
    /// Set once the service has answered.
    answer: OnceLock<LateAnswer>,
    /// Set once a layer has adopted the head, and so gets every later frame: to the id that the
    /// client sent. Set under the lock of `task`.
    adopted: OnceLock<Option<LastEventId>>,
    /// The task of the layer's stream. The answer and the end of the last [wait](AwaitedRun) wake
    /// it.
    task: Mutex<Option<Waker>>,
}

/// What a late answer asks of the layer.
pub(crate) struct LateAnswer {
    /// The options of a stream. Its padding and its long poll would come too late.
    pub(crate) options: Option<StreamOptions>,
    pub(crate) answered_at: Instant,
    pub(crate) end: LateEnd,
    start: Mutex<Option<StartAt>>,
    /// The early head that is the answer.
    second: Option<EarlyHead>,
}

/// How the stream of a late answer ends, unless its body fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LateEnd {
    /// As the layer ends it.
    #[default]
    Own,
    /// As an inner layer has ended it. The outer layer adds nothing.
    Inner,
    /// Cleanly and without a terminator. A run that records the stream fails.
    Stopped(Stopped),
}

impl LateEnd {
    /// Returns whether the layer adds nothing if the body fails either.
    pub(crate) const fn is_handled(self) -> bool {
        matches!(self, Self::Inner | Self::Stopped(Stopped::Refused))
    }
}

impl LateAnswer {
    fn has_drain(&self) -> bool {
        self.options.as_ref().is_some_and(|options| options.drain.is_some())
    }

    pub(crate) fn take_start(&self) -> Option<StartAt> {
        lock(&self.start).take()
    }
}

impl EarlyHead {
    /// Notes that the service has answered, and what the layer needs to know of the answer. Of an
    /// answer that `passes` as an event stream, this takes the options and the start.
    pub(crate) fn answer(&self, late: &mut Extensions, passes: bool, end: LateEnd) {
        let (mut options, mut start) = (None::<StreamOptions>, None);
        if passes {
            (options, start) = (late.remove(), late.remove());
        }
        let options = options.map(|it| StreamOptions { padding: None, long_poll: None, ..it });
        // Middleware can have copied this head from the request into the response.
        let second = late.get::<Self>().filter(|it| !Arc::ptr_eq(&it.0, &self.0)).cloned();
        let (answered_at, start) = (Instant::now(), Mutex::new(start));
        let answer = LateAnswer { options, answered_at, end, start, second: second.clone() };
        _ = self.0.answer.set(answer);
        let task = lock(&self.0.task).take();
        // The layer around this early head surrounds a second early head too.
        if let (Some(second), Some(last_id)) = (second, self.0.adopted.get()) {
            second.set_adopted(last_id.clone());
        }
        task.into_iter().for_each(wake);
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
        let answer = self.0.answer.get();
        answer.is_some_and(|it| it.second.as_ref().is_none_or(Self::is_answered))
    }

    /// Returns how the stream ends, as far as the answers so far say.
    pub(crate) fn end(&self) -> LateEnd {
        let Some(answer) = self.0.answer.get() else { return LateEnd::Own };
        answer.second.as_ref().map_or(answer.end, Self::end)
    }

    /// Notes that a frame of the answer has been sent. If no layer gets that frame first, the
    /// answer's position would send the client back.
    pub(crate) fn note_frame(&self) {
        if self.0.adopted.get().is_none()
            && let Some(answer) = self.0.answer.get()
            && let Some(start) = lock(&answer.start).as_mut()
        {
            start.id = None;
        }
    }

    fn set_adopted(&self, last_id: Option<LastEventId>) {
        let task = lock(&self.0.task);
        _ = self.0.adopted.set(last_id.clone());
        drop(task);
        if let Some(LateAnswer { second: Some(second), .. }) = self.0.answer.get() {
            second.set_adopted(last_id);
        }
    }

    /// Makes a layer the one that sends the body's bytes. `last_id` is the id that the client sent.
    pub(crate) fn adopt(self, last_id: Option<LastEventId>) -> Adopted {
        self.set_adopted(last_id);
        Adopted(self)
    }

    /// Returns the id that the client of the layer sent.
    pub(crate) fn last_id(&self) -> Option<&LastEventId> {
        self.0.adopted.get()?.as_ref()
    }

    pub(crate) fn await_run(&self) -> AwaitedRun {
        AwaitedRun(Arc::downgrade(&self.0))
    }

    /// Returns whether the request awaits a run of this process.
    pub(crate) fn awaits_run(&self) -> bool {
        self.0.answer.get().is_none() && Arc::weak_count(&self.0) > 0
    }

    /// Returns whether the stream can outlive a shutdown that has begun.
    pub(crate) fn has_drain(&self) -> bool {
        let answer = self.0.answer.get();
        answer.map_or_else(|| self.awaits_run(), LateAnswer::has_drain)
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

/// The layer's end of the link, until the layer has taken the answer.
pub(crate) struct Adopted(EarlyHead);

impl Adopted {
    #[inline]
    pub(crate) fn answer(&self) -> Option<&LateAnswer> {
        self.0.0.answer.get()
    }

    /// Returns whether the layer's shutdown leaves the stream alone: until a run that the request
    /// awaits has answered, and until the layer has taken the drain of the answer.
    pub(crate) fn is_spared(&self) -> bool {
        self.answer().is_some() || self.0.awaits_run()
    }

    pub(crate) fn last_id(&self) -> Option<&LastEventId> {
        self.0.last_id()
    }

    /// Makes the answer, and the end of the wait for a run, wake `waker`.
    pub(crate) fn register(&self, waker: &Waker) {
        if lock(&self.0.0.task).as_ref().is_some_and(|task| task.will_wake(waker)) {
            return;
        }
        // Cloning or dropping a waker can run any code, so both are done without a lock.
        let waker = waker.clone();
        let former = lock(&self.0.0.task).replace(waker);
        drop_waker(former);
    }

    /// Returns the second early head, if that is the answer.
    pub(crate) fn second(&self) -> Option<Self> {
        self.answer()?.second.clone().map(Self)
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        let task = lock(&self.0.0.task).take();
        drop_waker(task);
    }
}

/// A request's wait for a run of this process. While it exists and the service hasn't answered, the
/// layer's shutdown leaves the stream alone. The events of the run hold it too, because they may be
/// the answer. The head counts these pointers, so a wait ends on every exit path.
#[derive(Clone)]
pub(crate) struct AwaitedRun(Weak<Early>);

impl Drop for AwaitedRun {
    fn drop(&mut self) {
        let Some(early) = mem::take(&mut self.0).upgrade() else { return };
        if Arc::weak_count(&early) == 0 {
            let task = lock(&early.task).take();
            task.into_iter().for_each(wake);
        }
    }
}

/// Removes the marks that no longer fit a response whose body is replaced: `Handled`, `StartAt` and
/// `EarlyHead`. Returns the head.
pub(crate) fn disown(extensions: &mut Extensions) -> Option<EarlyHead> {
    extensions.remove::<Handled>();
    extensions.remove::<StartAt>();
    extensions.remove()
}

opaque_debug!(EarlyHead);
