//! The shutdown of a layer, and the wait of a stream for it.

use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Wake, Waker};
use std::{future::Future, mem};

use slab::Slab;
use tokio::task::coop;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::sync::Ordering::{Acquire, Release};
use crate::sync::{AtomicBool, Mutex, lock};
use crate::wake::{drop_waker, wake};

/// A slot for an outer layer's shutdown, usually filled before the body is polled.
pub(crate) type Inherited = Arc<OnceLock<Arc<Shutdown>>>;

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

/// The shutdown that ends a stream: that of its own layer, or of an outer layer.
pub(crate) enum EndsWith {
    Own(Arc<Shutdown>),
    Inherited(Inherited),
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
            Self::Own(shutdown) => Some(shutdown),
            Self::Inherited(inherited) => inherited.get(),
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
        match &self.place {
            Some((_, registered)) if registered.will_wake(waker) => self.has_begun(),
            _ => self.register(waker),
        }
    }

    /// Returns whether the shutdown will wake `waker` and can't be replaced by another shutdown.
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        matches!(self.shutdown, EndsWith::Own(_))
            && self.place.as_ref().is_some_and(|(_, registered)| registered.will_wake(waker))
    }

    fn register(&mut self, waker: &Waker) -> bool {
        // Cloning or dropping a waker can run any code, so both are done without a lock.
        let (listed, own) = (waker.clone(), waker.clone());
        let Some(shutdown) = self.shutdown.get() else { return false };
        let mut waiting = lock(&shutdown.waiting);
        // Checked under the lock, because `begin` sets the flag before it takes the list.
        if shutdown.has_begun() {
            return true;
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
        let Some((place, own)) = self.place.take() else { return };
        let Some(shutdown) = self.shutdown.get() else { return };
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
