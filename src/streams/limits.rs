use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::{cmp::Reverse, collections::HashMap, sync::atomic::AtomicU64};

use crate::{lock::lock, sparse::shrink_if_sparse};

/// The limits of each subject's open streams, and the places in use. An open stream takes a place
/// for each of its subjects that has a limit.
#[derive(Debug, Default)]
pub(super) struct SubjectLimits {
    /// Sorted by the length of the prefix, the longest first, so that the first match is the
    /// longest.
    classes: Vec<Class>,
    /// The places of each subject that has a stream. All subjects share a lock: with a lock for
    /// each, two streams could each hold the place that the other stream needs, and both would be
    /// refused.
    taken: Mutex<HashMap<Arc<str>, Places>>,
}

/// The number of a subject's streams that are open, and of those that were closed and have not
/// ended yet, for example because their clients don't read.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    open: usize,
    closed: usize,
}

impl Places {
    /// Returns whether a stream may open. Closed streams don't count until there are as many as
    /// `limit`: a client that doesn't read could otherwise have any number of them.
    const fn has_room(self, limit: usize) -> bool {
        self.open < limit && self.open + self.closed < limit.saturating_mul(2)
    }
}

#[derive(Debug)]
pub(super) struct Class {
    prefix: Arc<str>,
    limit: usize,
    refused: AtomicU64,
}

impl SubjectLimits {
    pub(super) fn new(limits: impl IntoIterator<Item = (Arc<str>, usize)>) -> Self {
        let class = |(prefix, limit)| Class { prefix, limit, refused: AtomicU64::new(0) };
        let mut classes: Vec<_> = limits.into_iter().map(class).collect();
        classes.sort_by_key(|class| Reverse(class.prefix.len()));
        Self { classes, taken: Mutex::default() }
    }

    /// Takes a place for each subject that has a limit. If a subject has no place left, takes no
    /// place and returns the subject's `Class`.
    pub(super) fn take(&self, subjects: &[Arc<str>]) -> Result<(), &Class> {
        if self.classes.is_empty() {
            return Ok(());
        }
        let mut taken = lock(&self.taken);
        for (subject, class) in self.limited(subjects) {
            if !taken.get(subject).copied().unwrap_or_default().has_room(class.limit) {
                return Err(class);
            }
        }
        for (subject, _) in self.limited(subjects) {
            taken.entry(Arc::clone(subject)).or_default().open += 1;
        }
        Ok(())
    }

    /// Notes that a stream was closed, and that its client may open another one.
    pub(super) fn close(&self, subjects: &[Arc<str>]) {
        self.leave(subjects, |places| {
            places.open -= 1;
            places.closed += 1;
        });
    }

    /// Frees the places of a stream that has ended, after it `was_closed` or without.
    pub(super) fn free(&self, subjects: &[Arc<str>], was_closed: bool) {
        self.leave(subjects, |places| {
            *(if was_closed { &mut places.closed } else { &mut places.open }) -= 1;
        });
    }

    fn leave(&self, subjects: &[Arc<str>], change: impl Fn(&mut Places)) {
        if self.classes.is_empty() {
            return;
        }
        let mut taken = lock(&self.taken);
        for (subject, _) in self.limited(subjects) {
            if let Some(places) = taken.get_mut(subject) {
                change(places);
                if places.open + places.closed == 0 {
                    taken.remove(subject);
                    shrink_if_sparse(&mut taken);
                }
            }
        }
    }

    pub(super) fn has_place(&self, subject: &Arc<str>) -> bool {
        let taken = || lock(&self.taken).get(subject).copied().unwrap_or_default();
        self.class_of(subject).is_none_or(|class| taken().has_room(class.limit))
    }

    fn limited<'s>(
        &self,
        subjects: &'s [Arc<str>],
    ) -> impl Iterator<Item = (&'s Arc<str>, &Class)> {
        subjects.iter().filter_map(move |subject| Some((subject, self.class_of(subject)?)))
    }

    pub(super) fn refused(&self) -> impl Iterator<Item = (Arc<str>, u64)> {
        self.classes.iter().map(|class| (Arc::clone(&class.prefix), class.refused.load(Relaxed)))
    }

    fn class_of(&self, subject: &str) -> Option<&Class> {
        self.classes.iter().find(|class| subject.starts_with(&*class.prefix))
    }
}

impl Class {
    pub(super) fn count_refusal(&self) {
        self.refused.fetch_add(1, Relaxed);
    }
}
