use std::{
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicU8,
            Ordering::{AcqRel, Acquire},
        },
    },
    task::Waker,
};

use super::open_streams::OpenStreams;
use crate::{callback::without_panic, lock::lock};

/// An open stream in the lists of its subjects, which it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Membership(Arc<Member>);

/// A stream, as the lists of its subjects know it.
#[derive(Debug)]
pub(super) struct Member {
    open_streams: Arc<OpenStreams>,
    subjects: Box<[Arc<str>]>,
    /// A [`State`].
    state: AtomicU8,
    /// The task that polls the body.
    waker: Mutex<Option<Waker>>,
}

/// Whether a stream was closed, and whether all streams were closed with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// The streams of a subject.
    Subject = 1,
    /// All streams, whose clients should not reconnect at the same time.
    All = 2,
}

const OPEN: u8 = 0;

impl Membership {
    pub(super) fn new(open_streams: Arc<OpenStreams>, subjects: Box<[Arc<str>]>) -> Self {
        let (state, waker) = (AtomicU8::new(OPEN), Mutex::default());
        Self(Arc::new(Member { open_streams, subjects, state, waker }))
    }

    pub(super) const fn member(&self) -> &Arc<Member> {
        &self.0
    }

    /// Returns whether the stream was closed, and how.
    #[inline]
    pub(crate) fn revocation(&self) -> Option<Revocation> {
        match self.0.state.load(Acquire) {
            OPEN => None,
            state if state == Revocation::All as u8 => Some(Revocation::All),
            _ => Some(Revocation::Subject),
        }
    }

    /// Returns whether the stream was closed. If it was not, the close will wake `waker`.
    pub(crate) fn poll_revoked(&self, waker: &Waker) -> bool {
        let mut registered = lock(&self.0.waker);
        let is_registered = registered.as_ref().is_some_and(|earlier| earlier.will_wake(waker));
        let earlier = if is_registered { None } else { registered.replace(waker.clone()) };
        drop(registered);
        _ = without_panic(|| drop(earlier));
        // Check after registering: a close first sets the state, and then takes the waker.
        self.revocation().is_some()
    }
}

impl Member {
    pub(super) const fn subjects(&self) -> &[Arc<str>] {
        &self.subjects
    }

    pub(super) fn has(&self, subject: &str) -> bool {
        self.subjects.iter().any(|name| **name == *subject)
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.state.load(Acquire) != OPEN
    }

    /// Closes the stream. Returns `false` if it was closed before.
    pub(super) fn revoke(&self, how: Revocation) -> bool {
        if self.state.compare_exchange(OPEN, how as u8, AcqRel, Acquire).is_err() {
            return false;
        }
        let waker = lock(&self.waker).take();
        _ = without_panic(|| waker.map(Waker::wake));
        true
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.0.open_streams.leave(&self.0);
        let waker = lock(&self.0.waker).take();
        _ = without_panic(|| drop(waker));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        task::{Wake, Waker},
    };

    use super::OpenStreams;
    use crate::streams::Closing;

    /// The waker of an earlier poll. It is dropped once a later one is registered, and closes the
    /// stream then, as another thread can.
    struct ClosesOnDrop(Arc<OpenStreams>);

    impl Wake for ClosesOnDrop {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for ClosesOnDrop {
        fn drop(&mut self) {
            assert_eq!(self.0.close(Closing { subject: "a", kept: None }), 1);
        }
    }

    #[test]
    fn a_close_after_the_waker_is_registered_is_seen_by_the_same_poll() {
        let open_streams = Arc::<OpenStreams>::default();
        let membership = open_streams.open(open_streams.ticket(), &["a".into()]);
        let earlier = Waker::from(Arc::new(ClosesOnDrop(Arc::clone(&open_streams))));
        assert!(!membership.poll_revoked(&earlier));
        drop(earlier);
        assert!(membership.poll_revoked(Waker::noop()), "the state was read too early");
    }
}
