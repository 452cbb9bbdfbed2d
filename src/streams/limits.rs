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
    /// The number of places in use for each subject, at least 1. All subjects share a lock: with a
    /// lock for each, two streams could each hold the place that the other stream needs, and both
    /// would be refused.
    taken: Mutex<HashMap<Arc<str>, usize>>,
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
            if taken.get(subject).copied().unwrap_or_default() >= class.limit {
                return Err(class);
            }
        }
        for (subject, _) in self.limited(subjects) {
            *taken.entry(Arc::clone(subject)).or_default() += 1;
        }
        Ok(())
    }

    pub(super) fn free(&self, subjects: &[Arc<str>]) {
        if self.classes.is_empty() {
            return;
        }
        let mut taken = lock(&self.taken);
        for (subject, _) in self.limited(subjects) {
            if let Some(places) = taken.get_mut(subject) {
                *places -= 1;
                if *places == 0 {
                    taken.remove(subject);
                    shrink_if_sparse(&mut taken);
                }
            }
        }
    }

    pub(super) fn has_place(&self, subject: &Arc<str>) -> bool {
        let taken = || lock(&self.taken).get(subject).copied().unwrap_or_default();
        self.class_of(subject).is_none_or(|class| taken() < class.limit)
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
