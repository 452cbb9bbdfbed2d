use std::{
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicU8,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
    task::Waker,
};

use crate::{callback::without_panic, lock::lock};

/// A stream, as the lists of its subjects know it.
#[derive(Debug)]
pub(super) struct Member {
    subjects: Box<[Arc<str>]>,
    /// [`OPEN`], a [`Revocation`], or [`ENDING`].
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
/// The body has seen that the stream was closed.
const ENDING: u8 = 3;

impl Member {
    pub(super) fn new(subjects: Box<[Arc<str>]>) -> Self {
        Self { subjects, state: AtomicU8::new(OPEN), waker: Mutex::default() }
    }

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

    /// Notes that the body has seen that the stream was closed.
    pub(super) fn set_ending(&self) {
        self.state.store(ENDING, Release);
    }

    /// Returns whether the stream was closed, and how, unless the body has seen it.
    #[inline]
    pub(super) fn revocation(&self) -> Option<Revocation> {
        match self.state.load(Acquire) {
            OPEN | ENDING => None,
            state if state == Revocation::All as u8 => Some(Revocation::All),
            _ => Some(Revocation::Subject),
        }
    }

    /// Returns whether the stream was closed. If it was not, the close will wake `waker`.
    pub(super) fn poll_revoked(&self, waker: &Waker) -> bool {
        let mut registered = lock(&self.waker);
        let is_registered = registered.as_ref().is_some_and(|earlier| earlier.will_wake(waker));
        let earlier = if is_registered { None } else { registered.replace(waker.clone()) };
        drop(registered);
        _ = without_panic(|| drop(earlier));
        // Check after registering: a close first sets the state, and then takes the waker.
        self.revocation().is_some()
    }

    /// Drops the waker of the task that polled the body.
    pub(super) fn forget_waker(&self) {
        let waker = lock(&self.waker).take();
        _ = without_panic(|| drop(waker));
    }
}
