use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tokio::time::Instant;

use crate::history::Epoch;

/// The end of a run, and its epoch, which no other run of the process has.
type At = (Instant, Epoch);

/// Runs that have ended, in the order of their ends, with a limit on the memory of each owner's
/// runs.
///
/// Without a limit, no owner is remembered. Runs without an owner are not limited.
#[derive(Debug)]
pub(crate) struct EndedRuns<R> {
    runs: BTreeMap<At, R>,
    owner_of: fn(&R) -> Option<&Arc<str>>,
    max_per_owner: Option<usize>,
    /// The memory of each run of an owner, and the total.
    owners: HashMap<Arc<str>, (BTreeMap<At, usize>, usize)>,
}

impl<R> EndedRuns<R> {
    pub(crate) fn new(max_per_owner: Option<usize>, owner_of: fn(&R) -> Option<&Arc<str>>) -> Self {
        Self { runs: BTreeMap::new(), owner_of, max_per_owner, owners: HashMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(crate) fn add(&mut self, at: At, run: R, bytes: usize) {
        if let (Some(_), Some(owner)) = (self.max_per_owner, (self.owner_of)(&run)) {
            let (runs, total) = self.owners.entry(Arc::clone(owner)).or_default();
            runs.insert(at, bytes);
            *total += bytes;
        }
        self.runs.insert(at, run);
    }

    pub(crate) fn remove(&mut self, at: At) -> Option<R> {
        let run = self.runs.remove(&at)?;
        if let Some(owner) = (self.owner_of)(&run)
            && let Some((runs, total)) = self.owners.get_mut(owner)
        {
            *total -= runs.remove(&at).unwrap_or(0);
            if runs.is_empty() {
                self.owners.remove(owner);
            }
        }
        Some(run)
    }

    /// Returns the first run to which `is_wanted` applies, in the order of their ends.
    pub(crate) fn find(&self, mut is_wanted: impl FnMut(&R) -> bool) -> Option<&R> {
        self.runs.values().find(|run| is_wanted(run))
    }

    /// Returns the run that ended first, and when it ended.
    pub(crate) fn oldest(&self) -> Option<(At, &R)> {
        self.runs.first_key_value().map(|(at, run)| (*at, run))
    }

    /// Removes the run of an owner that ended first, if the owner has several runs and they exceed
    /// the limit.
    pub(crate) fn remove_excess(&mut self, owner: Option<&Arc<str>>) -> Option<R> {
        let (runs, total) = self.owners.get(owner?)?;
        let is_over = runs.len() > 1 && self.max_per_owner.is_some_and(|max| *total > max);
        let (oldest, _) = runs.first_key_value().filter(|_| is_over)?;
        self.remove(*oldest)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::time::Instant;

    use super::{At, EndedRuns};
    use crate::history::Epoch;

    /// Returns a function that gives each run the time of its end, in the order of the numbers.
    fn clock() -> impl Fn(u32) -> At {
        let (start, epoch) = (Instant::now(), Epoch::now());
        move |run| (start + Duration::from_secs(run.into()), epoch)
    }

    type Run = (u32, Option<Arc<str>>);

    #[test]
    fn oldest_runs_of_an_owner_exceed_its_limit_but_never_the_newest() {
        let mut runs = EndedRuns::new(Some(100), |run: &Run| run.1.as_ref());
        let at = clock();
        let [ann, bob, carl] = ["ann", "bob", "carl"].map(|owner| Some(Arc::from(owner)));
        let of_ann = [(&ann, 40); 4];
        let others = [(&bob, 500), (&None, 500), (&carl, 50), (&carl, 50)];
        for (run, (owner, bytes)) in (1..).zip(of_ann.into_iter().chain(others)) {
            runs.add(at(run), (run, owner.clone()), bytes);
        }
        assert_eq!(runs.remove_excess(bob.as_ref()), None, "its only one");
        assert_eq!(runs.remove_excess(None), None);
        assert_eq!(runs.remove_excess(carl.as_ref()), None, "not above the limit");
        assert_eq!(runs.remove_excess(ann.as_ref()), Some((1, ann.clone())));
        assert_eq!(runs.remove(at(3)), Some((3, ann.clone())));
        assert_eq!(runs.remove_excess(ann.as_ref()), None, "no longer above it");
        assert_eq!(runs.oldest(), Some((at(2), &(2, ann))));
        for run in (1..=8).rev() {
            runs.remove(at(run));
        }
        assert_eq!((runs.len(), runs.owners.len()), (0, 0));
    }

    #[test]
    fn no_owner_is_remembered_without_a_limit() {
        let mut runs = EndedRuns::new(None, |run: &Run| run.1.as_ref());
        runs.add(clock()(1), (1, Some("ann".into())), 40);
        assert!(runs.owners.is_empty());
    }
}
