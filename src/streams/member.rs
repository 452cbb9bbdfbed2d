use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::sync::{Arc, Mutex};
use std::{mem, task::Waker};

use super::limits::SubjectLimits;
use crate::{callback::without_panic, lock::lock};

/// An open stream, in the lists of its subjects.
#[derive(Debug)]
pub(super) struct Member {
    /// [`UNLISTED`], [`OPEN`], a [`Revocation`], or [`ENDING`].
    state: AtomicU8,
    /// Whether the stream has a place for each of its subjects that has a limit.
    pub(super) has_places: bool,
    /// Whether the limits have been told of a close. Changed under the lock of `shared`.
    was_closed: AtomicBool,
    /// Lock order: a list's lock of [`OpenStreams`](super::open_streams::OpenStreams) comes first,
    /// and the lock of the limits last.
    shared: Mutex<MemberShared>,
}

#[derive(Debug, Default)]
struct MemberShared {
    subjects: Box<[Arc<str>]>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    Subject = 1,
    /// All streams were closed. Their clients should not reconnect at the same time.
    All = 2,
}

const OPEN: u8 = 0;
/// The stream has no subject yet, so no close concerns it.
const UNLISTED: u8 = 4;
/// The stream is ending or has ended, after a close or without one.
const ENDING: u8 = 3;

impl Member {
    pub(super) fn new(subjects: Box<[Arc<str>]>, has_places: bool) -> Self {
        let state = AtomicU8::new(if subjects.is_empty() { UNLISTED } else { OPEN });
        let shared = Mutex::new(MemberShared { subjects, waker: None });
        Self { state, has_places, was_closed: AtomicBool::new(false), shared }
    }

    pub(super) fn has(&self, subject: &str) -> bool {
        lock(&self.shared).subjects.iter().any(|name| **name == *subject)
    }

    pub(super) fn subjects(&self) -> Box<[Arc<str>]> {
        lock(&self.shared).subjects.clone()
    }

    pub(super) fn has_several(&self) -> bool {
        lock(&self.shared).subjects.len() > 1
    }

    /// Opens a stream that had no subject, so that it can get its first one.
    pub(super) fn list(&self) {
        _ = self.state.compare_exchange(UNLISTED, OPEN, AcqRel, Acquire);
    }

    /// Adds a subject. Returns `false` if the stream isn't open.
    pub(super) fn add(&self, subject: &Arc<str>) -> bool {
        let mut shared = lock(&self.shared);
        // Checked under the lock, because an end sets the state before it takes the subjects.
        if self.is_revoked() {
            return false;
        }
        let subjects = mem::take(&mut shared.subjects).into_vec();
        shared.subjects = subjects.into_iter().chain([Arc::clone(subject)]).collect();
        true
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state.load(Acquire) == ENDING
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.state.load(Acquire) != OPEN
    }

    /// Closes the stream. Returns `false` if the stream was not open.
    pub(super) fn revoke(&self, how: Revocation, limits: &SubjectLimits) -> bool {
        if self.state.compare_exchange(OPEN, how as u8, AcqRel, Acquire).is_err() {
            return false;
        }
        let mut shared = lock(&self.shared);
        let waker = shared.waker.take();
        // The subjects are gone if the stream has ended meanwhile.
        if self.has_places && !shared.subjects.is_empty() {
            self.was_closed.store(true, Relaxed);
            limits.close(&shared.subjects);
        }
        drop(shared);
        _ = without_panic(|| waker.map(Waker::wake));
        true
    }

    /// Notes that the stream is about to end. The stream stays in its lists.
    pub(super) fn set_ending(&self) {
        self.state.store(ENDING, Release);
    }

    /// Returns how the stream was closed, or `None` if it is open, ending or [`UNLISTED`].
    #[inline]
    pub(super) fn revocation(&self) -> Option<Revocation> {
        match self.state.load(Acquire) {
            OPEN | ENDING | UNLISTED => None,
            state if state == Revocation::All as u8 => Some(Revocation::All),
            _ => Some(Revocation::Subject),
        }
    }

    /// Leaves the lists of the subjects, whose places are free from then on. Returns the subjects
    /// and the waker, which the caller drops without holding a lock.
    pub(super) fn take(&self, limits: &SubjectLimits) -> (Box<[Arc<str>]>, Option<Waker>) {
        let MemberShared { subjects, waker } = mem::take(&mut *lock(&self.shared));
        if self.has_places {
            limits.free(&subjects, self.was_closed.load(Relaxed));
        }
        (subjects, waker)
    }

    /// Lets a close wake `waker`. The caller then checks whether the stream was closed meanwhile.
    pub(super) fn register(&self, waker: &Waker) {
        let mut shared = lock(&self.shared);
        let is_registered = shared.waker.as_ref().is_some_and(|it| it.will_wake(waker));
        let earlier = if is_registered { None } else { shared.waker.replace(waker.clone()) };
        drop(shared);
        _ = without_panic(|| drop(earlier));
    }
}
