use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::{cmp::Reverse, collections::HashMap, sync::atomic::AtomicU64};

use crate::lock::lock;

/// The limits of open streams for each subject, and the places that are taken.
#[derive(Debug, Default)]
pub(super) struct SubjectLimits {
    /// The longest prefix first, so that the first one that matches counts.
    classes: Vec<Class>,
    /// The number of places that each subject has taken, at least 1.
    taken: Mutex<HashMap<Arc<str>, usize>>,
}

#[derive(Debug)]
struct Class {
    prefix: Arc<str>,
    limit: usize,
    refused: AtomicU64,
}

/// A place that a stream has taken. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct LimitPlace {
    limits: Arc<SubjectLimits>,
    subject: Arc<str>,
}

impl SubjectLimits {
    pub(super) fn new(limits: impl IntoIterator<Item = (Arc<str>, usize)>) -> Self {
        let class = |(prefix, limit)| Class { prefix, limit, refused: AtomicU64::new(0) };
        let mut classes: Vec<_> = limits.into_iter().map(class).collect();
        classes.sort_by_key(|class| Reverse(class.prefix.len()));
        Self { classes, taken: Mutex::default() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Takes a place for each subject, or none if one of them has no place left.
    pub(super) fn take(self: &Arc<Self>, subjects: &[Arc<str>]) -> Result<Vec<LimitPlace>, Full> {
        let mut limited: Vec<_> = subjects
            .iter()
            .filter_map(|subject| Some((subject, self.class_of(subject)?)))
            .collect();
        // Of several subjects without a place, the first by name is reported.
        limited.sort_unstable_by_key(|(subject, _)| *subject);
        let mut taken = lock(&self.taken);
        for &(subject, class) in &limited {
            if taken.get(subject).copied().unwrap_or_default() >= class.limit {
                let (subject, prefix) = (Arc::clone(subject), Arc::clone(&class.prefix));
                return Err(Full { subject, prefix, limit: class.limit });
            }
        }
        for (subject, _) in &limited {
            *taken.entry(Arc::clone(subject)).or_default() += 1;
        }
        drop(taken);
        let place = |(subject, _): (&Arc<str>, _)| LimitPlace {
            limits: Arc::clone(self),
            subject: subject.clone(),
        };
        Ok(limited.into_iter().map(place).collect())
    }

    pub(super) fn count_refusal(&self, full: &Full) {
        if let Some(class) = self.class_of(&full.subject) {
            class.refused.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn refused(&self) -> impl Iterator<Item = (Arc<str>, u64)> {
        self.classes.iter().map(|class| (Arc::clone(&class.prefix), class.refused.load(Relaxed)))
    }

    fn class_of(&self, subject: &str) -> Option<&Class> {
        self.classes.iter().find(|class| subject.starts_with(&*class.prefix))
    }
}

impl LimitPlace {
    pub(super) fn is_of(&self, subject: &str) -> bool {
        *self.subject == *subject
    }
}

impl Drop for LimitPlace {
    fn drop(&mut self) {
        let mut taken = lock(&self.limits.taken);
        if let Some(places) = taken.get_mut(&self.subject) {
            *places -= 1;
            if *places == 0 {
                taken.remove(&self.subject);
                shrink_if_sparse(&mut taken);
            }
        }
    }
}

/// The error for a subject that has reached its [limit](super::StreamsBuilder::limit) of open
/// streams.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Full {
    /// The subject that has reached its limit.
    pub subject: Arc<str>,
    /// The prefix for which the limit is set.
    pub prefix: Arc<str>,
    /// The number of open streams that the subject may have.
    pub limit: usize,
}

// Not the subject, which can be an address or a name.
error_text!(Full, |it| "a subject with the prefix {:?} has {} open streams", it.prefix, it.limit);

/// Shrinks a table that is nearly empty, for example after a storm of clients.
pub(super) fn shrink_if_sparse<V>(table: &mut HashMap<Arc<str>, V>) {
    if table.capacity() > 64 && table.capacity() / 8 > table.len() {
        table.shrink_to(2 * table.len());
    }
}
